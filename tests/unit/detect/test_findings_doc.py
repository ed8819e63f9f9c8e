"""docs/findings.md says what the code does: its tables, its constants and the numbers of its example."""

from __future__ import annotations

import re
from pathlib import Path

from test_causes import GIB, around, finding, process, waits

from linnix.cognitod.detect import alerts, merging, scores, symptoms
from linnix.cognitod.detect.causes import rank
from linnix.cognitod.judging import KEEP_NS

PAGE = (Path(__file__).parents[3] / "docs" / "findings.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, tuple[str, ...]]:
    """Names in the second cell of each row of a section, by the name in the first."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {re.findall(r"`(\w+)`", first)[0]: tuple(re.findall(r"`(\w+)`", second)) for first, second, *_ in rows}


def test_the_classes_that_are_words_for_the_same_are_those_of_the_code() -> None:
    covers = {cls: tuple(less for less in covered if less != cls) for cls, covered in merging.COVERS.items()}
    assert table("1. One fault, told once") == covers


def test_what_can_bring_about_what_is_as_in_the_code() -> None:
    assert table("2. Cause and symptom") == symptoms.EXPLAINS


def test_the_share_of_a_stall_that_makes_a_symptom_is_that_of_the_code() -> None:
    assert f"at least\n  {symptoms.MOSTLY} of its stall" in PAGE


def test_the_constants_are_those_of_the_code() -> None:
    said = PAGE.split("## 3. The score", 1)[1]
    assert re.search(r"severity \| (.*?) \|", said)[1] == ", ".join(f"`{k}` {v}" for k, v in scores.SEVERITY.items())  # type: ignore[index]
    for constant in (
        f"{scores.AT_THRESHOLD} where the evidence just reaches its threshold, 1 at {scores.SURE_AT} times",
        f"{scores.WITHOUT_THRESHOLD} without a threshold",
        f"× {scores.NAMELESS} | nobody",
        f"× {scores.INFERRED} | `noisy_neighbour`",
        f"{scores.TAKES_NOTHING} for what takes nothing",
        f"keeps {scores.SYMPTOM} of its score, and at most {scores.BELOW_CAUSE} of",
        f"waits {alerts.PATIENCE_NS // 10**9} s for",
        f"For {alerts.AFTERMATH_NS // 10**9} s after",
        f"finding for {KEEP_NS // 10**9} s",
    ):
        assert constant in said, constant


def test_the_example_is_as_it_is_told() -> None:
    found = [
        finding("mem_leak", 4711, evidence={"growth_bytes": 268e6, "threshold": 67e6}),
        finding("io_saturation", 4711, evidence={"io_pct": 40.0, "threshold": 30.0}),
        finding("swap_thrash", None, "high", evidence={"psi_pct": 25.0, "threshold": 10.0}),
        finding("cpu_spin", 612, evidence={"cpu_pct": 99.0, "threshold": 80.0}),
        finding("cpu_saturation", None, "low", evidence={"psi_pct": 66.0, "threshold": 60.0}),
    ]
    people = process(4711, rss_bytes=int(3.2 * GIB)), process(612, cpu_pct=100.0), process(80), process(9, cpu_pct=80.0)
    causes = rank(found, around(*people, blame=(waits(80, 4711, "memory", 0.6),)))
    assert [(cause.cls, cause.finding.pid, cause.score) for cause in causes] == [
        ("mem_leak", 4711, 0.66),
        ("cpu_spin", 612, 0.476),
        ("swap_thrash", None, 0.094),
        ("io_saturation", 4711, 0.09),
        ("cpu_saturation", None, 0.038),
    ]
    assert all(number in PAGE for number in ("0.75 × 1 × 0.88 = 0.66", "0.75 × 0.746 × 0.85 = 0.476", "has 0.09."))

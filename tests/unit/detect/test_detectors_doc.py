"""docs/detectors.md says what the code does: every detector with its parameters, every tag with its thresholds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from linnix.cognitod.detect.params import DETECTORS
from linnix.cognitod.detect.rules import DEFAULT_COOLDOWN_S, DEFAULT_KEEP_FIRING_S, parse
from linnix.cognitod.detect.tags import LEVELS
from linnix.cognitod.model import TAG_NAMES
from linnix.insight.classes import CLASSES, SEVERITIES

PAGE = (Path(__file__).parents[3] / "docs" / "detectors.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, list[str]]:
    """Cells of the first table under a heading, by the name in backticks that opens the row."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return {row.split("`")[1]: [cell.strip() for cell in row.strip("|").split("|")[1:]] for row in rows}


def test_every_detector_has_its_row_and_no_other_has() -> None:
    assert sorted(table("Detectors")) == sorted(DETECTORS)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_row_of_a_detector_has_its_parameters_defaults_and_class(name: str) -> None:
    parameters, _, cls, _ = table("Detectors")[name]
    struct = DETECTORS[name]
    told = re.findall(r"`(\w+)`(?: \([^)]*\))?(?: = (\d+))?", parameters)
    defaults = dict(zip(reversed(struct.__struct_fields__), reversed(struct.__struct_defaults__), strict=False))
    assert [field for field, _ in told] == list(struct.__struct_fields__)
    assert {field: float(value) for field, value in told if value} == {
        k: v for k, v in defaults.items() if v is not None
    }
    named = re.findall(r"`(\w+)`", cls)
    assert struct.cls in named
    assert set(named) <= set(CLASSES)


def test_every_tag_has_its_row_and_its_thresholds() -> None:
    rows = table("Tags")
    assert sorted(rows) == sorted(TAG_NAMES.values())
    for tag, level in LEVELS.items():
        gained, lost = rows[str(tag.name).lower()]
        assert re.findall(r"^\d+", gained) == [f"{level.on:g}"]
        assert re.findall(r"below (\d+)", lost) == [f"{level.off:g}"]


def test_the_common_fields_have_their_defaults() -> None:
    rows = table("Rule files")
    assert {name: cells[0] for name, cells in rows.items()} == {
        "name": "required",
        "detector": "required",
        "severity": "`info`",
        "cooldown": f"{DEFAULT_COOLDOWN_S:g}",
        "hold": "0",
        "keep_firing": f"{DEFAULT_KEEP_FIRING_S:g}",
    }
    assert all(f"`{severity}`" in rows["severity"][1] for severity in SEVERITIES)


def test_the_example_is_a_valid_rule_file() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert example is not None
    assert [rule.name for rule in parse(example[1])] == [raw["name"] for raw in yaml.safe_load(example[1])]

"""docs/detectors.md says what the code does: every detector with its parameters, every tag with its thresholds."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from linnix.cognitod.detect.drafts import COMMON
from linnix.cognitod.detect.params import DETECTORS
from linnix.cognitod.detect.rules import DEFAULT_COOLDOWN_S, DEFAULT_KEEP_FIRING_S, Sources, defaults, parse
from linnix.cognitod.detect.scope import KEYS
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
        k: v for k, v in defaults.items() if v is not None and v is not msgspec.NODEFAULT
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
        "for": "0",
        "keep_firing": f"{DEFAULT_KEEP_FIRING_S:g}",
        "keep_firing_for": f"{DEFAULT_KEEP_FIRING_S:g}",
        "scope": "everybody",
        "labels": "none",
        "runbook": "none",
        "enabled": "true",
    }
    assert all(f"`{severity}`" in rows["severity"][1] for severity in SEVERITIES)


def test_the_example_is_a_valid_rule_file() -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert example is not None
    assert [rule.name for rule in parse(example[1])] == [raw["name"] for raw in yaml.safe_load(example[1])]


def test_every_field_of_a_rule_and_every_key_of_a_scope_has_its_row() -> None:
    assert sorted(table("Rule files")) == sorted(COMMON)
    assert list(table("Scope")) == list(KEYS)


def test_the_example_of_a_scope_is_a_valid_rule_file() -> None:
    (rule,) = parse(re.findall(r"```yaml\n(.*?)```", PAGE, re.S)[1])
    assert (rule.hold_s, rule.keep_firing_s, str(rule.scope)) == (
        300,
        60,
        "unit=postgresql*.service,mysql.service uid=70,999",
    )
    assert rule.labels == {"team": "data", "tier": "1"}


def test_the_example_of_overrides_changes_adds_and_switches_off(tmp_path: Path) -> None:
    (tmp_path / "50-local.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.S)[2])
    before = {rule.name: rule for rule in defaults()}
    after = {rule.name: rule for rule in Sources(None, tmp_path).load().rules}
    assert set(before) - set(after) == {"cpu_full"}
    assert set(after) - set(before) == {"database_leak"}
    assert {name for name in set(before) & set(after) if before[name] != after[name]} == {"fork_storm"}

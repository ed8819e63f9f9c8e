"""docs/faultlab.md says what the format is: every field, every default, and an example that is valid."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from linnix.faultlab import loading
from linnix.faultlab.scenario import Also, Command, Intensity, Needs, Scenario

DOC = (Path(__file__).parents[3] / "docs" / "faultlab.md").read_text()


@pytest.mark.parametrize("struct", [Scenario, Command])
def test_every_field_has_its_row(struct: type[msgspec.Struct]) -> None:
    assert [field for field in struct.__struct_encode_fields__ if f"\n| `{field}` |" not in DOC] == []


@pytest.mark.parametrize("struct", [Intensity, Needs, Also])
def test_every_field_of_the_small_ones_is_named(struct: type[msgspec.Struct]) -> None:
    assert [field for field in struct.__struct_encode_fields__ if f"`{field}`" not in DOC] == []


def test_the_defaults_are_those_of_the_code() -> None:
    told = dict(re.findall(r"^\| `(\w+_s)` \| (\d+) \|", DOC, re.MULTILINE))
    fields = {
        field.encode_name: field.default for struct in (Scenario, Command) for field in msgspec.structs.fields(struct)
    }

    assert {name: float(value) for name, value in told.items()} == {
        name: default for name, default in fields.items() if name.endswith("_s")
    }
    assert (
        f"`memory_mib`\n({Needs().memory_mib}), `disk_mib` ({Needs().disk_mib}), `processes` ({Needs().processes};"
        in DOC
    )


def test_the_examples_are_scenarios() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)

    assert [loading.parse(each, "docs/faultlab.md").name for each in examples] == ["renderer-loops", "cache-fills"]

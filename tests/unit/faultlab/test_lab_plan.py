"""A plan is a function of scenario and seed, and of nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from lab_make import SMALL, small_plan, text

from linnix.faultlab import loading, plan
from linnix.faultlab.plan import Launch, Phase
from linnix.faultlab.scenario import Intensity


def test_a_plan_says_when_what_starts_and_ends(tmp_path: Path) -> None:
    found = small_plan(tmp_path, source=text(("as: renderd", "as: renderd\n    start_s: 1.5")))

    worker, other = found.scenario.commands[0], found.scenario.decoys[0]
    assert found.phases == (Phase("warm_up", 0, 2), Phase("injection", 2, 6), Phase("recovery", 6, 8))
    assert found.launches == (Launch(other, True, 0, 8), Launch(worker, False, 3.5, 6))
    assert (found.run, found.injection.name) == ("small-1", "injection")


def test_intensities_are_those_of_every_machine_and_python(tmp_path: Path) -> None:
    drawn = [small_plan(tmp_path, seed).intensity for seed in (1, 2, 3)]

    assert drawn == [14.563115, 12.232882, 12.536393]


def test_another_process_makes_the_same_plan(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    command = [sys.executable, "-m", "linnix.cli.main", "faultlab", "run", str(tmp_path / "small.yaml"), "--dry-run"]

    first, second = (subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2))

    assert first == second
    assert b'"digest"' in first


@given(st.integers(-1000, 1000), st.integers(0, 1000), st.integers(0, 2**40), st.booleans())
def test_what_is_drawn_is_of_the_range(low: int, width: int, seed: int, whole: bool) -> None:
    drawn = plan.draw(Intensity(low, low + width, "x", whole), "name", seed)

    assert low <= drawn <= low + width
    assert not whole or drawn == int(drawn)


def test_both_ends_of_a_range_of_whole_numbers_are_drawn() -> None:
    assert {plan.draw(Intensity(1, 3, "x", True), "name", seed) for seed in range(100)} == {1, 2, 3}


def test_a_seed_draws_one_of_several_names_and_the_group_follows_it(tmp_path: Path) -> None:
    source = text(("as: renderd", "as: [renderd, paintd, drawd]"))
    drawn = [small_plan(tmp_path, seed, source).launches[1].command for seed in range(1, 7)]

    assert [command.comm for command in drawn] == ["paintd", "renderd", "renderd", "renderd", "drawd", "paintd"]
    assert [command.group for command in drawn] == [f"{command.comm}.service" for command in drawn]


def test_a_command_is_told_its_intensity_and_the_seed(tmp_path: Path) -> None:
    whole = small_plan(tmp_path, 2, text(("unit: percent}", "unit: percent, whole: true}")))

    assert whole.environment == {"INTENSITY": str(int(whole.intensity)), "SEED": "2"}


def test_a_collection_goes_seed_by_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(text(("name: small", f"name: {name}")))
    loaded = loading.load_all(tmp_path)

    assert [each.run for each in plan.plans(loaded)] == ["a-1", "b-1", "a-2", "b-2"]
    assert [each.run for each in plan.plans(loaded, (7,))] == ["a-7", "b-7"]

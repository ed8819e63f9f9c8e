"""Pressure of the host and of groups: totals between moments, triggers, and what cannot be known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.host.psi import HostWatch, read_total_us
from linnix.cognitod.host.waiting import Waits

S = 10**9


def put(path: Path, total_us: int) -> None:
    path.write_text(
        f"some avg10=1.00 avg60=2.00 avg300=3.00 total={total_us}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    )


def group(folder: Path, total_us: int) -> int:
    folder.mkdir()
    put(folder / "cpu.pressure", total_us)
    return folder.stat().st_ino


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A hierarchy whose root has waited for a second."""
    root = tmp_path / "cgroup"
    group(root, 10**6)
    return root


def nobody() -> np.ndarray:
    return np.zeros(0, np.uint64)


def told(waits: Waits, *expected: int) -> tuple[int, dict[int, int], bool]:
    since = waits.since(np.array(expected, np.uint64))
    return since.host_us, dict(zip(since.groups.tolist(), since.groups_us.tolist(), strict=True)), since.complete


def test_what_is_told_is_what_was_waited_since_the_last_time(tree: Path) -> None:
    a = group(tree / "a", 500)
    put(tree / "host", 9000)
    waits = Waits("cpu", tree / "host", tree)
    waits.begin()
    assert told(waits) == (0, {}, True)
    put(tree / "a/cpu.pressure", 800)
    put(tree / "host", 9400)
    assert told(waits) == (400, {a: 300}, True)
    assert told(waits) == (0, {}, True)


def test_a_group_that_was_made_meanwhile_counts_from_nothing(tree: Path) -> None:
    put(tree / "host", 0)
    waits = Waits("cpu", tree / "host", tree)
    waits.begin()
    made = group(tree / "young", 250)
    assert told(waits) == (0, {}, True)  # nobody expects it, so nobody looks for it
    assert told(waits, made) == (0, {made: 250}, True)


def test_a_group_that_is_gone_is_left_out(tree: Path) -> None:
    put(tree / "host", 0)
    a = group(tree / "a", 500)
    waits = Waits("cpu", tree / "host", tree)
    waits.begin()
    (tree / "a/cpu.pressure").unlink()
    (tree / "a").rmdir()
    assert told(waits, a) == (0, {}, True)


def test_beyond_the_bound_the_deepest_are_left_out_and_that_is_told(tree: Path) -> None:
    put(tree / "host", 0)
    a, deep = group(tree / "a", 1), group(tree / "a/deep", 1)
    waits = Waits("cpu", tree / "host", tree, max_groups=2)
    waits.begin()
    put(tree / "a/cpu.pressure", 5)
    put(tree / "a/deep/cpu.pressure", 5)
    assert told(waits, a, deep) == (0, {a: 4}, False)


def test_a_new_epoch_knows_nothing_of_what_was_waited_before_it(tree: Path) -> None:
    put(tree / "host", 0)
    group(tree / "a", 500)
    waits = Waits("cpu", tree / "host", tree)
    waits.begin()
    put(tree / "a/cpu.pressure", 900)
    waits.begin()
    assert told(waits) == (0, {}, True)


def test_without_cgroup2_the_host_alone_is_told(tmp_path: Path) -> None:
    put(tmp_path / "host", 100)
    waits = Waits("cpu", tmp_path / "host", None)
    waits.begin()
    put(tmp_path / "host", 160)
    assert told(waits, 5) == (60, {}, False)


@pytest.mark.parametrize("content", ["", "rubbish\n", "full avg10=0.00 total=5\n", "some avg10=0.00 total=x\n"])
def test_what_is_no_pressure_file_has_no_total(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text(content)
    assert read_total_us(tmp_path / "file") is None
    assert read_total_us(tmp_path / "none") is None


def test_a_look_says_how_much_of_the_time_since_the_last_one_was_waited(tmp_path: Path) -> None:
    put(tmp_path / "cpu", 0)
    watch = HostWatch(tmp_path / "cpu", 5.0)
    put(tmp_path / "cpu", 1000)  # anew: a plain file takes the words of the trigger for its content
    assert watch.look(0) == 0.0
    put(tmp_path / "cpu", 1000 + 250_000)
    assert watch.look(S) == 25.0
    put(tmp_path / "cpu", 1000 + 250_000 + 9_000_000)
    assert watch.look(2 * S) == 100.0
    watch.close()
    assert watch.look(3 * S) == 0.0


def test_a_host_without_pressure_never_waits(tmp_path: Path) -> None:
    watch = HostWatch(tmp_path / "none", 5.0)
    assert [watch.look(0), watch.look(S)] == [0.0, 0.0]
    watch.close()
    watch.close()

"""Tags: gained at one threshold, lost at a lower one, and computed for each row by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from detect_world import MIB, S
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.detect.tags import LEVELS, compute
from linnix.cognitod.model import ROW, Rows, Tag, tag_names

NOW = 1000 * S


def row(**columns: Any) -> Rows:
    rows = np.zeros(1, ROW)
    for name, value in ({"pid": 300, "alive": True, "state": b"S", "first_ns": 900 * S} | columns).items():
        rows[name] = value
    return rows


def dead(lived_s: float = 10, **columns: Any) -> Rows:
    return row(alive=False, state=b"X", exit_ns=round((900 + lived_s) * S), **columns)


def names(rows: Rows) -> tuple[str, ...]:
    return tag_names(int(compute(rows, NOW, 2)[0]))


HAS = {tag: int(tag) for tag in Tag}


@pytest.mark.parametrize(
    ("rows", "tags"),
    [
        pytest.param(row(), (), id="nothing_remarkable"),
        pytest.param(row(cpu_pct=80), ("high_cpu",), id="cpu_at_the_upper_threshold"),
        pytest.param(row(cpu_pct=79.9), (), id="cpu_below_the_upper_threshold"),
        pytest.param(row(cpu_pct=50, tags=HAS[Tag.HIGH_CPU]), ("high_cpu",), id="cpu_kept_at_the_lower_threshold"),
        pytest.param(row(cpu_pct=49.9, tags=HAS[Tag.HIGH_CPU]), (), id="cpu_lost_below_the_lower_threshold"),
        pytest.param(row(cpu_pct=60, tags=HAS[Tag.HIGH_MEM]), (), id="one_tag_does_not_keep_another"),
        pytest.param(row(mem_pct=10), ("high_mem",), id="mem_gained"),
        pytest.param(row(mem_pct=8.5, tags=HAS[Tag.HIGH_MEM]), ("high_mem",), id="mem_kept"),
        pytest.param(row(rss_growth_bytes=64 * MIB), ("mem_growth",), id="growth"),
        pytest.param(row(rss_growth_bytes=-64 * MIB, tags=HAS[Tag.MEM_GROWTH]), (), id="shrinking_is_no_growth"),
        pytest.param(row(forks=500), ("fork_storm",), id="fifty_forks_a_second"),
        pytest.param(row(forks=499), (), id="not_quite_fifty_forks_a_second"),
        pytest.param(row(forks=250, tags=HAS[Tag.FORK_STORM]), ("fork_storm",), id="storm_kept"),
        pytest.param(row(short_children=200), ("short_job_flood",), id="twenty_short_jobs_a_second"),
        pytest.param(row(state=b"Z", alive=False), ("zombie",), id="zombie"),
        pytest.param(row(state=b"D"), ("blocked",), id="blocked"),
        pytest.param(row(kthread=True), ("kernel_thread",), id="kernel_thread"),
        pytest.param(row(own=True, cpu_pct=99), ("high_cpu", "own"), id="own_is_marked_not_spared"),
        pytest.param(dead(), (), id="a_good_end"),
        pytest.param(dead(0.999), ("short_lived",), id="a_short_life"),
        pytest.param(dead(1.0), (), id="a_life_of_a_second"),
        pytest.param(dead(exit_code=127), ("failed_exit",), id="failed"),
        pytest.param(dead(exit_signal=9), ("failed_exit", "killed"), id="killed"),
        pytest.param(dead(tags=HAS[Tag.HIGH_CPU]), ("high_cpu",), id="the_dead_keep_what_they_died_with"),
        pytest.param(dead(tags=HAS[Tag.ZOMBIE] | HAS[Tag.BLOCKED]), (), id="but_not_their_state"),
        pytest.param(row(comm=b"\x1b[31m\xff"), (), id="a_hostile_name_changes_nothing"),
    ],
)
def test_a_row_has_these_tags(rows: Rows, tags: tuple[str, ...]) -> None:
    assert names(rows) == tags


def test_a_value_between_the_thresholds_never_flickers() -> None:
    rows = row()
    seen = []
    for cpu in (70, 85, 70, 55, 85, 60, 49, 70, 79):
        rows["cpu_pct"] = cpu
        rows["tags"] = compute(rows, NOW, 2)
        seen.append(names(rows))
    assert seen == [(), *[("high_cpu",)] * 5, (), (), ()]


def test_every_lower_threshold_is_below_its_upper_one() -> None:
    assert all(0 < level.off < level.on for level in LEVELS.values())


@given(
    cpu=st.lists(st.floats(0, 800, width=32), min_size=1, max_size=20),
    tags=st.integers(0, (1 << len(Tag)) - 1),
    pick=st.data(),
)
def test_a_few_rows_get_what_all_would(cpu: list[float], tags: int, pick: st.DataObject) -> None:
    rows = np.zeros(len(cpu), ROW)
    rows["cpu_pct"], rows["tags"], rows["alive"] = cpu, tags, True
    rows["exit_ns"][::3], rows["alive"][::3] = 5, False
    some = np.array(pick.draw(st.lists(st.integers(0, len(cpu) - 1))), np.intp)
    assert compute(rows[some], NOW, 2).tolist() == compute(rows, NOW, 2)[some].tolist()
    assert compute(rows, NOW, 2).dtype == np.uint32

"""Which processes the facts of a moment name, and in which order.

Owns the choice. Refuses to look anything up. Invariants: at most ``MAX_PROCESSES``, nobody twice; the same moment gives
the same order; whoever an open finding accuses is named, though it be idle or dead.

First come the culprits of findings, then, by CPU, memory and pid, the ten with most CPU, the ten with most memory and
the three that fork most. What follows is there because a fault may show nowhere else: those whose children failed or
ended most in the last second, parties of blame, of OOM kills and of full file systems, and who is stuck, and the first
of each measure; then their parents, and the second and third of each measure; last the parents of all others, since
whoever is merely busy says most himself. Kernel threads are chosen for CPU and for being stuck, blamed or accused, and
for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.detect.moment import Moment
from linnix.cognitod.detect.tags import WINDOW_S
from linnix.cognitod.events import UNKNOWN_FILES
from linnix.cognitod.handles import Index, distinct
from linnix.cognitod.senses import Identity

MAX_PROCESSES = 48
TOP = 10
TOP_FORKERS = 3
#: Of every measure.
RANKS = 3
#: Culprits mentioned; a host on which every process is one is no longer described by naming them.
MAX_CULPRITS = 10
MIN_CPU_PCT = 0.1
MIN_RSS_BYTES = 1_000_000
MIN_FORKS_PER_S = 1.0
#: Generations above whoever was chosen: a supervisor, and who runs that.
FOREBEARS = 2
#: Who writes less is not what fills a file system.
MIN_WRITER_BYTES_PER_S = 65_536

_KIB, _MIB = 1024, 1024 * 1024

Values = NDArray[Any]
_NOBODY = np.zeros(0, np.intp)


def choose(moment: Moment, culprits: Sequence[Identity], parents: Sequence[int] = ()) -> list[int]:
    """Places among the moment's rows, most relevant first. ``culprits``: in their order; ``parents``: places of
    those whose children failed or ended most.
    """
    ranked = _ranked(moment) + _of_senses(moment)
    told = _told(moment, culprits)
    standing_out = [*parents, *_parties(moment), *(places[0] for places in ranked if places)]
    first = [place for place in standing_out if place not in told]
    others = [places[rank] for rank in range(1, RANKS) for places in ranked if len(places) > rank]
    everybody = (*told, *first, *_forebears(moment, first), *others, *_forebears(moment, told + others))
    return list(dict.fromkeys(place for place in everybody if place >= 0))[:MAX_PROCESSES]


def writers(moment: Moment) -> list[int]:
    """Who writes most to block devices now, most first: itself, or by way of children that have ended."""
    ended = moment.rows["child_write_kib"] * (1024 / WINDOW_S)
    own = ended if moment.usage is None else np.nan_to_num(moment.usage["write_bytes_per_s"]) + ended
    return _highest(moment, own, MIN_WRITER_BYTES_PER_S)


def _told(moment: Moment, culprits: Sequence[Identity]) -> list[int]:
    """Culprits, and who uses most CPU and memory or forks most."""
    rows = moment.rows
    accused = [place for who in dict.fromkeys(culprits) if (place := moment.at(who)) >= 0][:MAX_CULPRITS]
    at = np.flatnonzero(rows["alive"])
    cpu, rss, forks, pid = (rows[name][at] for name in ("cpu_pct", "rss_bytes", "forks", "pid"))
    by_cpu, by_rss, by_pid = -cpu, -rss.astype(np.int64), pid
    tops = np.concatenate(
        [
            _first(TOP, np.flatnonzero(cpu > MIN_CPU_PCT), by_cpu, by_rss, by_pid),
            _first(TOP, np.flatnonzero(rss > MIN_RSS_BYTES), by_rss, by_cpu, by_pid),
            _first(TOP_FORKERS, np.flatnonzero(forks >= MIN_FORKS_PER_S * WINDOW_S), -forks.astype(np.int64), by_pid),
        ]
    )
    told: list[int] = at[_first(len(tops), distinct(tops), by_cpu, by_rss, by_pid)].tolist()
    return accused + [place for place in told if place not in accused]


def _first(count: int, at: Index, *keys: Values) -> Index:
    """Of these those that ``count`` at most come before, by the first key, then the others; in that order."""
    if len(at) > count:  # most need not be sorted
        at = at[keys[0][at] <= np.partition(keys[0][at], count - 1)[count - 1]]
    return at[np.lexsort([key[at] for key in reversed(keys)])][:count]


def _parties(moment: Moment) -> Iterator[int]:
    """Whom instruments tell to have part in something wrong."""
    senses = moment.senses
    for stall in senses.stalls:
        yield moment.at(stall.victim)
        yield moment.at(stall.offender)
    for kill in senses.kills:
        yield from map(moment.at, (kill.parent, kill.largest, kill.victim))
    if senses.spaces:
        yield from writers(moment)
    yield from _by(moment, {who: stuck.since_s for who, stuck in senses.stuck.items()}, 0)


def _measures(moment: Moment) -> Iterator[tuple[Values, float]]:
    """What else a process may stand out by, and from where on it does."""
    rows, tree, usage = moment.rows, moment.family, moment.usage
    if usage is not None:
        files = usage["open_files"]
        yield usage["read_bytes_per_s"] + usage["write_bytes_per_s"], 256 * _KIB
        yield np.where(files == UNKNOWN_FILES, np.uint32(0), files), 64
        yield usage["voluntary_switches_per_s"], 100
        yield usage["run_delay_pct"], 5
        yield usage["swap_bytes"], 8 * _MIB
    yield rows["child_cpu_us"], 0.1 * WINDOW_S * 1e6
    yield rows["child_read_kib"] + rows["child_write_kib"], 256 * WINDOW_S
    yield rows["threads"], 16
    yield tree.zombies, 2
    yield np.where(tree.branches & (rows["pid"] > 1), tree.descendants, 0), 8
    yield np.where(tree.spreads_cpu & (rows["pid"] > 1), tree.subtree_cpu_pct, 0.0), 50
    yield rows["failed_children"], 2
    yield rows["child_exits"], 5
    yield rows["rss_growth_bytes"], 8 * _MIB
    if (grown := moment.grown) is not None:  # of a small leak beside large pools this is all that shows
        yield grown["open_files"], 16
        yield grown["threads"], 6
        yield np.where(tree.branches & (rows["pid"] > 1), grown["descendants"], 0), 8
        yield grown["zombies"], 4


def _ranked(moment: Moment) -> list[list[int]]:
    """Of each measure the ``RANKS`` highest of the living that are no threads of the kernel."""
    measures, users = list(_measures(moment)), np.flatnonzero(moment.users)
    values = np.array([each[users] for each, _ in measures], np.float64)
    above = values >= np.array([[floor] for _, floor in measures])  # NaN is never above
    pids, ranked = moment.rows["pid"][users], []
    for measure, of_measure in enumerate(above):
        at = np.flatnonzero(of_measure) if of_measure.any() else _NOBODY
        ranked.append(users[_first(RANKS, at, -values[measure], pids)].tolist() if len(at) else [])
    return ranked


def _of_senses(moment: Moment) -> list[list[int]]:
    senses = moment.senses
    sockets, waits = senses.sockets.items(), senses.waits.items()
    measures: list[tuple[dict[Identity, float], float]] = [
        ({who: each.tx_bytes_per_s + each.rx_bytes_per_s for who, each in sockets}, 100 * _KIB),
        ({who: each.tx_calls_per_s + each.rx_calls_per_s + each.connects_per_s for who, each in sockets}, 100),
        ({who: each.lock_wait_pct or 0.0 for who, each in waits}, 10),
        ({who: each.sync_pct or 0.0 for who, each in waits}, 10),
        ({who: (each.syncs_per_s or 0.0) + each.ended_syncs_per_s for who, each in senses.syncs.items()}, 5),
        ({who: float(each.lock_waiters or 0) for who, each in waits}, 2),
        (dict(senses.tcp_failures_per_s), 1),
    ]
    return [list(_by(moment, values, floor)) for values, floor in measures]


def _by(moment: Moment, values: Mapping[Identity, float], floor: float) -> Iterator[int]:
    """Those of the living with the highest values, at least ``floor``."""
    above = sorted((-value, who) for who, value in values.items() if value >= floor)
    living = (place for _, who in above if (place := moment.at(who)) >= 0 and moment.rows["alive"][place])
    return islice(living, RANKS)


def _highest(moment: Moment, values: Values, floor: float) -> list[int]:
    """Those of the living that are no kernel threads with the highest values, at least ``floor``."""
    at = np.flatnonzero((values >= floor) & moment.users)  # NaN is never above
    places: list[int] = _first(RANKS, at, -values.astype(np.float64), moment.rows["pid"]).tolist()
    return places


def _forebears(moment: Moment, of: Sequence[int]) -> Iterator[int]:
    """Parents of these, and theirs, but for pid 1 and the kernel's."""
    rows, level = moment.rows, [place for place in of if place >= 0]
    for _ in range(FOREBEARS):
        above = dict.fromkeys(int(moment.family.parents[place]) for place in level)
        level = [place for place in above if place >= 0 and rows["pid"][place] > 1 and not rows["kthread"][place]]
        yield from level

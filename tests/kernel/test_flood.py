"""A process tree that forks as fast as it can blinds nobody: its excess is counted, everybody else's events come."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.events import ACCOUNT, BOOK_KINDS, Array, Kind
from linnix.cognitod.kernel import BpfSight, open_sight
from linnix.cognitod.kernel.ring import HEADER_BYTES
from linnix.cognitod.kernel.sight import RingSizes
from support.hidden import LIMIT_S, NeverCameError, tried_again
from support.watching import SETTLE_S
from workloads.lifecycle import read_log

FLOODER, OTHER = 65_534, 54_321
#: Rings so small that a reader who looks away for a second finds them full.
SMALL = RingSizes(events=512 << 10, texts=256 << 10, accounts=256 << 10)
FLOOD_FORKS, FORKS, EXECS, FAILURES = 9973, 211, 53, 7


@pytest.fixture
def small(ebpf: None) -> Iterator[BpfSight]:
    if os.geteuid() != 0:
        pytest.skip("needs root to act as two users")
    opened = open_sight(sizes=SMALL)
    yield opened
    opened.close()


def as_user(uid: int, command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(command, stdout=out, user=uid, group=uid, extra_groups=[])


def of_user(rows: Array, uid: int, ppid: int) -> dict[str, list[int]]:
    mine = rows[(rows["uid"] == uid) & (rows["ppid"] == ppid)]
    return {kind.name.lower(): mine["pid"][mine["kind"] == kind].tolist() for kind in Kind}


def test_a_flooder_loses_its_excess_and_another_user_nothing_while_the_reader_looks_away(
    small: BpfSight, programs: Path, tmp_path: Path
) -> None:
    for folder in (programs, *programs.parents, tmp_path, *tmp_path.parents):
        with suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o055)
    lifecycle = str(programs / "lifecycle")
    small.drain()
    flooder = as_user(FLOODER, [lifecycle, str(FLOOD_FORKS), "0", "0", lifecycle], tmp_path / "flooder")
    time.sleep(0.5)  # the ring is filling
    other = as_user(
        OTHER, [lifecycle, str(FORKS), str(EXECS), str(FAILURES), str(programs / "renamed")], tmp_path / "other"
    )
    assert (other.wait(), flooder.wait()) == (0, 0)
    time.sleep(SETTLE_S)
    batch, counters = small.drain(), small.counters()

    itself, children = read_log(tmp_path / "other")
    assert of_user(batch.events, OTHER, itself.pid) == {
        "fork": [child.pid for child in children],
        "exec": [child.pid for child in children if child.end == "exec"],
        "exit": [child.pid for child in children],
    }
    told = of_user(batch.events, FLOODER, read_log(tmp_path / "flooder")[0].pid)
    (flood,) = [group for group in counters.floods if group.uid == FLOODER]
    lost = dict(zip(BOOK_KINDS, flood.lost, strict=True))
    assert {kind: len(told[kind]) + lost[kind] for kind in ("fork", "exit")} == {
        "fork": FLOOD_FORKS,
        "exit": FLOOD_FORKS + 1 - len(told["exec"]),
    }
    assert len(told["fork"]) < FLOOD_FORKS // 2
    assert not [group for group in counters.floods if group.uid == OTHER]
    assert {kind: counters.flood[kind] >= lost[kind] for kind in lost} == dict.fromkeys(lost, True)


def of_pids(rows: Array, pids: list[int]) -> list[int]:
    found: list[int] = rows["pid"][np.isin(rows["pid"], pids)].tolist()
    return found


@tried_again
def test_a_flood_of_execs_leaves_room_for_the_texts_and_accounts_of_others(
    small: BpfSight, programs: Path, tmp_path: Path
) -> None:
    for folder in (programs, *programs.parents, tmp_path, *tmp_path.parents):
        with suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o055)
    lifecycle = str(programs / "lifecycle")
    small.drain()
    flooder = as_user(FLOODER, [lifecycle, "1009", "1009", "0", str(programs / "renamed")], tmp_path / "flooder")
    assert flooder.wait() == 0
    other = as_user(OTHER, [lifecycle, "17", "17", "0", str(programs / "renamed")], tmp_path / "other")
    assert other.wait() == 0
    time.sleep(SETTLE_S)
    batch, counters = small.drain(), small.counters()
    _, children = read_log(tmp_path / "other")
    pids = [child.pid for child in children]
    accounted = of_pids(batch.accounts, pids)
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and len(accounted) < len(pids):
        time.sleep(0.05)
        accounted += of_pids(small.drain().accounts, pids)

    assert of_pids(batch.texts, pids) == pids
    assert len(accounted) == len(set(accounted))
    if missing := set(pids) - set(accounted):
        raise NeverCameError(f"of {len(pids)} accounts {len(missing)} never came")
    assert sorted(accounted) == sorted(pids)
    (flood,) = [group for group in counters.floods if group.uid == FLOODER]
    assert dict(zip(BOOK_KINDS, flood.lost, strict=True))["exec_text"] > 500


def test_a_reader_that_keeps_up_sees_all_of_a_flood(small: BpfSight, programs: Path) -> None:
    small.drain()
    with subprocess.Popen([programs / "lifecycle", "997", "0", "0", "x"], stdout=subprocess.DEVNULL) as flooder:
        forks = 0
        while flooder.poll() is None:
            small.wait(0.02)
            forks += len(of_user(small.drain().events, os.getuid(), flooder.pid)["fork"])
    forks += len(of_user(small.drain().events, os.getuid(), flooder.pid)["fork"])

    assert forks == 997
    assert small.counters().flood == dict.fromkeys(BOOK_KINDS, 0)


def test_who_gathers_for_long_is_called_before_a_small_ring_is_full(small: BpfSight, programs: Path) -> None:
    small.drain()
    forks, accounts, waits = 0, 0, 0
    with subprocess.Popen([programs / "lifecycle", "9973", "0", "0", "x"], stdout=subprocess.DEVNULL) as flooder:
        while flooder.poll() is None:
            small.gather(5)
            waits += 1
            batch = small.drain()
            forks += len(of_user(batch.events, os.getuid(), flooder.pid)["fork"])
            accounts += len(batch.accounts)
    forks += len(of_user(small.drain().events, os.getuid(), flooder.pid)["fork"])

    assert (forks, small.counters().lost, small.counters().flood) == (
        9973,
        dict.fromkeys(BOOK_KINDS, 0),
        dict.fromkeys(BOOK_KINDS, 0),
    )
    assert waits >= accounts * small_account_bytes() // SMALL.accounts


def small_account_bytes() -> int:
    """What a final account takes in its ring."""
    return HEADER_BYTES + ACCOUNT.itemsize

"""Each field of a process's account is what /proc says of the same process, and grows by what the process did.

Every workload waits on its standard input while it is compared, so that nothing changes between the two readings.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.accounts import oom_scores
from linnix.cognitod.events import COUNTERS
from linnix.cognitod.kernel import BpfSight
from linnix.cognitod.kernel.preflight import parse_release
from workloads.build import compile_c

PAGE = os.sysconf("SC_PAGE_SIZE")
BLOCK = 4096
RELEASE = parse_release(os.uname().release)
#: Before 6.2 each thread keeps up to 64 pages of each kind to itself, which only its own record adds.
UNKNOWN_PAGES = 0 if RELEASE >= (6, 2) else 64
#: Until 6.16 status and oom_score themselves show a count that lags by what CPUs have not handed in.
LAGGING_PAGES = 0 if RELEASE >= (6, 16) else 64 * (os.cpu_count() or 1)
CPUCLOCK_SCHED = 2  # include/linux/posix-timers.h: the clock of a thread group by the scheduler's nanoseconds


class Workload:
    """tests/workloads/accounts.c, told what to do."""

    def __init__(self, program: Path, file: Path) -> None:
        self.process = subprocess.Popen([program, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        self.proc = Path(f"/proc/{self.pid}")
        self._answered()
        self.do("sleep", 1)  # now it has touched all of itself that it needs

    def _answered(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ok\n"
        time.sleep(0.05)  # from the answer to the wait for the next line

    def do(self, what: str, times: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what} {times}\n".encode())
        self.process.stdin.flush()
        self._answered()

    def tasks(self) -> list[Path]:
        return list((self.proc / "task").iterdir())


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c("accounts", tmp_path_factory.mktemp("program"))


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[Callable[[], Workload]]:
    started: list[Workload] = []

    def one() -> Workload:
        started.append(Workload(program, tmp_path / f"file{len(started)}"))
        return started[-1]

    yield one
    for workload in started:
        with workload.process as process:
            process.kill()


@pytest.fixture
def workload(start: Callable[[], Workload]) -> Workload:
    return start()


def row_of(sight: BpfSight, pid: int) -> np.void:
    rows = sight.sample()
    (row,) = rows[rows["pid"] == pid]
    return row


def of(row: np.void, *names: str) -> dict[str, int]:
    return {name: int(row[name]) for name in names}


def grown(sight: BpfSight, workload: Workload, what: str, times: int) -> dict[str, int]:
    """By how much each counter and size grew while it did this."""
    names = (*COUNTERS, "rss_anon_bytes", "rss_shmem_bytes", "open_files", "threads")
    before = of(row_of(sight, workload.pid), *names)
    workload.do(what, times)
    after = of(row_of(sight, workload.pid), *names)
    return {name: after[name] - before[name] for name in names}


def numbers(text: str, *names: str) -> list[int]:
    """The numbers that stand behind these names, each at the beginning of a line."""
    found = dict(re.findall(r"^(\w+):\s+(\d+)", text, re.MULTILINE))
    return [int(found[name]) for name in names]


def stat_of(workload: Workload) -> list[str]:
    """The fields of /proc/PID/stat from the third on."""
    return (workload.proc / "stat").read_text().rpartition(")")[2].split()


def memory_and_swap_bytes() -> list[int]:
    return [kib * 1024 for kib in numbers(Path("/proc/meminfo").read_text(), "MemTotal", "SwapTotal")]


def schedstats(workload: Workload) -> list[list[int]]:
    return [[int(part) for part in (task / "schedstat").read_text().split()] for task in workload.tasks()]


def busy(workload: Workload) -> None:
    """A bit of everything, in prime numbers, by several threads that live."""
    for what, times in (("threads", 7), ("faults", 1009), ("shared", 211), ("files", 67), ("write", 31), ("sleep", 53)):
        workload.do(what, times)
    workload.do("spin", 30)


def test_all_that_proc_tells_of_a_process_is_the_same_here(sight: BpfSight, workload: Workload) -> None:
    busy(workload)
    os.setpriority(os.PRIO_PROCESS, workload.pid, 7)
    (workload.proc / "oom_score_adj").write_text("123")
    row = row_of(sight, workload.pid)
    stat = stat_of(workload)
    status = [(task / "status").read_text() for task in workload.tasks()]
    switches = [numbers(text, "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches") for text in status]
    io = (workload.proc / "io").read_text()
    delays = schedstats(workload)

    assert of(row, "min_flt", "maj_flt", "threads", "nice") == {
        "min_flt": int(stat[7]),
        "maj_flt": int(stat[9]),
        "threads": 8,
        "nice": int(stat[16]),
    }
    assert row["nice"] == 7
    assert of(row, "nvcsw", "nivcsw") == dict(
        zip(("nvcsw", "nivcsw"), map(sum, zip(*switches, strict=True)), strict=True)
    )
    assert row["run_delay_ns"] == sum(delay for _, delay, _ in delays)
    assert row["cpu_ns"] == sum(run for run, _, _ in delays)
    of_io = ("read_bytes", "write_bytes", "cancelled_write_bytes")
    assert of(row, *of_io) == dict(zip(of_io, numbers(io, *of_io), strict=True))
    assert row["open_files"] == len(list((workload.proc / "fd").iterdir()))
    assert row["oom_score_adj"] == 123


def test_memory_is_divided_as_status_divides_it(sight: BpfSight, workload: Workload) -> None:
    busy(workload)
    row = row_of(sight, workload.pid)
    status = (workload.proc / "status").read_text()
    names = ("RssFile", "RssAnon", "RssShmem", "VmSwap", "VmPTE")
    sizes = [kib * 1024 for kib in numbers(status, *names)]
    ours = list(of(row, "rss_file_bytes", "rss_anon_bytes", "rss_shmem_bytes", "swap_bytes", "pgtables_bytes").values())

    unsure = (UNKNOWN_PAGES + LAGGING_PAGES) * PAGE
    assert [abs(our - size) <= unsure for our, size in zip(ours, sizes, strict=True)] == [True] * 5
    assert row["rss_bytes"] == sum(ours[:3])


def test_cpu_time_is_that_of_the_kernels_clock_of_the_process(sight: BpfSight, workload: Workload) -> None:
    workload.do("burst", 11)  # threads that are gone
    workload.do("spin", 30)
    row = row_of(sight, workload.pid)

    assert row["cpu_ns"] == time.clock_gettime_ns(~workload.pid << 3 | CPUCLOCK_SCHED)
    # the kernel splits by ticks as well; before it scales the parts to the sum they may be a tick off each
    stat = [int(part) * 10**9 // os.sysconf("SC_CLK_TCK") for part in stat_of(workload)[11:13]]
    share = int(row["utime_ns"]) / max(int(row["utime_ns"]) + int(row["stime_ns"]), 1)
    assert abs(int(row["cpu_ns"]) * share - stat[0]) <= 20_000_000
    assert abs(int(row["cpu_ns"]) * (1 - share) - stat[1]) <= 20_000_000


def test_waiting_for_a_cpu_is_counted(sight: BpfSight, workload: Workload) -> None:
    here = min(os.sched_getaffinity(0))
    os.sched_setaffinity(workload.pid, {here})
    rival = subprocess.Popen(["taskset", "-c", str(here), "sh", "-c", "while :; do :; done"])
    try:
        more = grown(sight, workload, "spin", 100)
    finally:
        rival.kill()
        rival.wait()

    assert row_of(sight, workload.pid)["run_delay_ns"] == sum(delay for _, delay, _ in schedstats(workload))
    assert more["run_delay_ns"] > 30_000_000  # it had half of the CPU, or less
    assert more["nivcsw"] >= 1


def test_pages_touched_for_the_first_time_are_faults_and_memory(sight: BpfSight, workload: Workload) -> None:
    faults = grown(sight, workload, "faults", 10_007)
    shared = grown(sight, workload, "shared", 4_999)

    assert (faults["min_flt"], faults["maj_flt"], faults["rss_anon_bytes"]) == (10_007, 0, 10_007 * PAGE)
    # 5.10 calls the first touch of shared memory a major fault, as its own /proc does; 6.1 no longer
    assert (shared["min_flt"] + shared["maj_flt"], shared["rss_shmem_bytes"]) == (4_999, 4_999 * PAGE)
    assert (faults["rss_shmem_bytes"], shared["rss_anon_bytes"]) == (0, 0)


def test_pages_that_come_from_the_disk_are_major_faults_and_bytes_read(sight: BpfSight, workload: Workload) -> None:
    workload.do("write", 211)
    more = grown(sight, workload, "major", 211)

    assert (more["maj_flt"], more["read_bytes"]) == (211, 211 * PAGE)


def test_bytes_that_bypass_the_page_cache_are_counted_exactly(sight: BpfSight, workload: Workload) -> None:
    workload.do("write", 1_009)  # the file system's own bookkeeping for a growing file is charged to who grows it
    written = grown(sight, workload, "write", 1_009)
    read = grown(sight, workload, "read", 499)

    assert (written["write_bytes"], written["read_bytes"]) == (1_009 * BLOCK, 0)
    assert (read["write_bytes"], read["read_bytes"]) == (0, 499 * BLOCK)


def test_bytes_that_were_truncated_before_they_were_written_are_cancelled(sight: BpfSight, workload: Workload) -> None:
    more = grown(sight, workload, "cancel", 101)

    assert more["cancelled_write_bytes"] == 101 * PAGE
    assert more["write_bytes"] >= 101 * PAGE  # and what the file system wrote about it


@pytest.mark.parametrize("count", [61, 127, 1_009])
def test_open_files_are_counted_wherever_their_numbers_lie(sight: BpfSight, workload: Workload, count: int) -> None:
    assert grown(sight, workload, "files", count)["open_files"] == count


def test_what_threads_used_that_are_gone_is_kept(sight: BpfSight, workload: Workload) -> None:
    more = grown(sight, workload, "burst", 101)

    assert more["threads"] == 0
    assert more["cpu_ns"] >= 101 * 1_000_000
    assert more["nvcsw"] >= 101
    assert more["min_flt"] >= 101
    # the kernel adds up what it keeps of them as well, and tells it when the process ends: switches in a rusage
    row = row_of(sight, workload.pid)
    workload.process.kill()
    _, _, usage = os.wait4(workload.pid, 0)
    workload.process.returncode = 0
    assert (usage.ru_minflt, usage.ru_majflt) == (row["min_flt"], row["maj_flt"])
    assert 0 <= usage.ru_nvcsw + usage.ru_nivcsw - int(row["nvcsw"]) - int(row["nivcsw"]) <= 3  # of its death


def test_a_process_whose_first_thread_is_gone_is_accounted_by_the_others(sight: BpfSight, workload: Workload) -> None:
    busy(workload)
    workload.do("leave", 0)
    row = row_of(sight, workload.pid)
    (living,) = [task for task in workload.tasks() if "State:\tS" in (task / "status").read_text()][-1:]
    status = (living / "status").read_text()

    assert row["state"] == b"S"
    assert (
        abs(int(row["rss_anon_bytes"]) - numbers(status, "RssAnon")[0] * 1024) <= (UNKNOWN_PAGES + LAGGING_PAGES) * PAGE
    )
    assert row["open_files"] == len(list((living / "fd").iterdir()))
    assert row["min_flt"] == int(stat_of(workload)[7])


def test_the_oom_score_is_the_kernels_own(sight: BpfSight, start: Callable[[], Workload]) -> None:
    adjustments = (0, 300, 1000)  # to lower it takes CAP_SYS_RESOURCE
    workloads = [start() for _ in adjustments]
    for workload, adjustment in zip(workloads, adjustments, strict=True):
        workload.do("faults", 50_021)
        (workload.proc / "oom_score_adj").write_text(str(adjustment))
    rows = sight.sample()
    rows = rows[np.isin(rows["pid"], [workload.pid for workload in workloads])]
    scores = oom_scores(rows, *memory_and_swap_bytes())
    told = {int(pid): int(score) for pid, score in zip(rows["pid"], scores, strict=True)}
    kernels = {workload.pid: int((workload.proc / "oom_score").read_text()) for workload in workloads}

    # oom_badness() reads lagging counters: a page more or less may be a point
    assert {pid: abs(told[pid] - score) <= 1 for pid, score in kernels.items()} == dict.fromkeys(kernels, True)


def test_kernel_threads_and_init_are_never_chosen_by_the_oom_killer(sight: BpfSight) -> None:
    rows = sight.sample()
    scores = oom_scores(rows, *memory_and_swap_bytes())

    spared = rows["kthread"] | (rows["pid"] == 1)
    assert scores[spared].tolist() == [0] * int(spared.sum())
    assert (scores >= 0).all()

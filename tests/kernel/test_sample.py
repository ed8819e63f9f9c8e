"""The task iterator shows all processes as they are."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod.events import PROCESS, Array
from linnix.cognitod.kernel import BpfSight, KernelError, open_sight
from linnix.cognitod.kernel.libbpf import Library, Object
from linnix.cognitod.kernel.preflight import OBJECTS, object_dir, parse_release


@pytest.mark.parametrize("name", OBJECTS)
def test_every_program_passes_the_verifier(ebpf: None, name: str) -> None:
    with Object(Library(), object_dir() / name) as loaded:
        loaded.load()


def test_a_call_that_fails_raises_with_its_name_and_errno(ebpf: None) -> None:
    with Object(Library(), object_dir() / OBJECTS[0]) as loaded:
        loaded.load()
        with pytest.raises(KernelError, match="bpf_object__find_program_by_name failed: No such file") as caught:
            loaded.attach("no_such_program")

    assert (caught.value.call, caught.value.errno) == ("bpf_object__find_program_by_name", 2)


def row_of(rows: Array, pid: int) -> np.void:
    (row,) = rows[rows["pid"] == pid]
    return row


def settled(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.05)  # from the write to the sleep that follows


def test_rows_are_one_a_process_and_ordered_by_pid(sight: BpfSight) -> None:
    rows = sight.sample()
    alive = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}

    assert rows.dtype == PROCESS
    assert (np.diff(rows["pid"].astype(np.int64)) > 0).all()
    assert {2, os.getpid()} <= set(rows["pid"].tolist())  # some sandboxes hide pid 1 from iterators
    assert len(alive & set(rows["pid"].tolist())) > 0.8 * len(alive)
    assert bool(row_of(rows, 2)["kthread"]) is True
    assert bool(row_of(rows, os.getpid())["kthread"]) is False


def test_a_process_is_shown_with_all_its_threads_its_memory_and_its_owner(sight: BpfSight) -> None:
    script = (
        "import threading, time, sys\n"
        "def spin():\n    while time.thread_time() < 0.1: pass\n"
        "spinners = [threading.Thread(target=spin) for _ in range(2)]\n"
        "sleepers = [threading.Thread(target=time.sleep, args=(60,), daemon=True) for _ in range(4)]\n"
        "for t in spinners + sleepers: t.start()\n"
        "for t in spinners: t.join()\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        try:
            settled(process)
            row = row_of(sight.sample(), process.pid)
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        finally:
            process.kill()

    rss = re.search(r"^Rss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert rss is not None
    # before 6.2 each thread keeps up to 64 pages of each of three counters to itself
    unknown = 0 if parse_release(os.uname().release) >= (6, 2) else 4 * 3 * 64 * os.sysconf("SC_PAGE_SIZE")
    assert abs(int(row["rss_bytes"]) - int(rss[1]) * 1024) <= unknown
    assert row["cpu_ns"] >= 190_000_000  # of threads that are gone
    assert int(row["start_ns"]) // 10**7 == int(stat[19])
    assert (int(row["threads"]), bytes(row["state"]), int(row["ppid"])) == (5, b"S", os.getpid())
    assert (int(row["uid"]), int(row["gid"])) == (os.getuid(), os.getgid())


def test_a_zombie_is_shown_as_one(sight: BpfSight) -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    row = row_of(sight.sample(), process.pid)
    process.wait()

    assert (bytes(row["state"]), int(row["rss_bytes"]), bytes(row["comm"])) == (b"Z", 0, b"true")


def test_cpu_time_never_runs_backwards(sight: BpfSight) -> None:
    before = sight.sample()
    after = sight.sample()
    both, first, second = np.intersect1d(before["pid"], after["pid"], return_indices=True)

    assert len(both) > 1
    assert (after["cpu_ns"][second] >= before["cpu_ns"][first]).all()


def test_switched_off_is_a_reason_of_its_own() -> None:
    with pytest.raises(KernelError, match=r"eBPF is switched off by LINNIX_BPF=off \(unset LINNIX_BPF\)"):
        open_sight({"LINNIX_BPF": "off"})


def test_missing_objects_say_where_they_were_sought_and_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=rf"in {tmp_path} \(build: python hatch_build.py\)"):
        open_sight({"LINNIX_BPF_PATH": str(tmp_path)})

"""How much of its memory limit a control group uses, on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnix.cognitod.host.memory_limits import MemoryLimits

MIB = 1024 * 1024


def put(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    put(tmp_path / "proc", mounts=f"cgroup2 {tmp_path}/cgroup cgroup2 rw,nosuid 0 0")
    put(tmp_path / "proc" / "7", cgroup="0::/app/web")
    return tmp_path / "proc"


def test_the_tightest_limit_above_a_process_counts_and_page_cache_does_not(tmp_path: Path, proc: Path) -> None:
    put(
        tmp_path / "cgroup" / "app",
        memory__max=100 * MIB,
        memory__current=95 * MIB,
        memory__stat=f"anon {70 * MIB}\nactive_file {5 * MIB}\ninactive_file {10 * MIB}",
    )
    put(tmp_path / "cgroup" / "app" / "web", memory__max=200 * MIB, memory__current=80 * MIB, memory__stat="anon 1")
    assert MemoryLimits(proc).used_pct(7) == 80.0


def test_without_a_limit_or_a_process_nothing_is_told(tmp_path: Path, proc: Path) -> None:
    put(tmp_path / "cgroup" / "app" / "web", memory__max="max", memory__current=80 * MIB, memory__stat="anon 1")
    limits = MemoryLimits(proc)
    assert (limits.used_pct(7), limits.used_pct(8)) == (None, None)


def test_a_group_without_a_limit_is_asked_again_after_ten_seconds(tmp_path: Path, proc: Path) -> None:
    web = tmp_path / "cgroup" / "app" / "web"
    put(web, memory__max="max", memory__current=80 * MIB, memory__stat="anon 1")
    now = [100.0]
    limits = MemoryLimits(proc, lambda: now[0])
    told = []
    for second in (0, 5, 11):
        now[0] = 100.0 + second
        told.append(limits.used_pct(7))
        put(web, memory__max=160 * MIB)
    assert told == [None, None, 50.0]


def test_version_1_has_its_own_hierarchy_and_names(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    put(
        proc,
        mounts=f"cgroup2 {tmp_path}/unified cgroup2 rw 0 0\ncgroup {tmp_path}/memory cgroup rw,relatime,memory 0 0",
    )
    put(proc / "7", cgroup="4:memory:/jobs\n1:cpu,cpuacct:/\n0::/other")
    put(
        tmp_path / "memory" / "jobs",
        memory__limit_in_bytes=64 * MIB,
        memory__usage_in_bytes=64 * MIB,
        memory__stat=f"total_active_file 0\ntotal_inactive_file {16 * MIB}",
    )
    assert MemoryLimits(proc).used_pct(7) == 75.0

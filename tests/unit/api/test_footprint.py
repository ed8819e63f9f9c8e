"""The daemon's own size, from files laid out like /proc/self."""

from __future__ import annotations

import mmap
from pathlib import Path

from linnix.cognitod import footprint


def test_sizes_are_read_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "statm").write_text("40000 1234 500 2 0 900 0\n")
    (tmp_path / "smaps_rollup").write_text("7f00-7fff ---p 00000000 00:00 0 [rollup]\nRss: 5000 kB\nPss: 3210 kB\n")
    assert footprint.read_rss_bytes(tmp_path) == 1234 * mmap.PAGESIZE
    assert footprint.read_pss_bytes(tmp_path) == 3210 * 1024


def test_a_size_that_cannot_be_read_is_zero_and_no_error(tmp_path: Path) -> None:
    assert footprint.read_rss_bytes(tmp_path) == 0
    assert footprint.read_pss_bytes(tmp_path) == 0
    (tmp_path / "statm").write_text("")
    (tmp_path / "smaps_rollup").write_text("Rss: 1 kB\n")
    assert footprint.read_rss_bytes(tmp_path) == 0
    assert footprint.read_pss_bytes(tmp_path) == 0


def test_this_process_has_a_size() -> None:
    assert footprint.read_rss_bytes() > footprint.read_pss_bytes() > 1 << 20
    assert footprint.read_cpu_s() > 0

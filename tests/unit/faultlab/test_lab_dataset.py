"""Runs as archives: the same bytes every time, read where they lie, and a test part that says when it was opened."""

from __future__ import annotations

import hashlib
import io
import os
import re
import resource
import tarfile
from pathlib import Path

import pytest
from lab_recorded import Run, run, write

from linnix.faultlab import dataset
from linnix.faultlab.errors import LabError, RefusedError

FILES = ("truth.json", "meta.json", "facts.jsonl")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with runs of two parts."""
    for each in (run([], name="b-2"), run([], name="a-1"), run([], name="held-1", part="test")):
        write(each, tmp_path / "runs")
    return tmp_path / "runs"


def contents(found: list[Run]) -> dict[str, list[bytes]]:
    return {each.name: [each.read(name) for name in FILES] for each in found}


def test_the_same_runs_make_the_same_bytes(runs: Path, tmp_path: Path) -> None:
    first = dataset.pack(list(dataset.read(runs)), tmp_path / "one")
    for file in runs.rglob("*"):
        os.utime(file, (1, 1))
    again = dataset.pack(list(dataset.read(runs))[::-1], tmp_path / "two")

    assert list(first.values()) == list(again.values())
    assert [path.name for path in first] == ["test.tar.xz", "train.tar.xz"]
    sums = "".join(f"{digest}  {path.name}\n" for path, digest in first.items())
    assert (tmp_path / "one" / "SHA256SUMS").read_text() == sums
    assert list(first.values()) == [hashlib.sha256(path.read_bytes()).hexdigest() for path in first]


def test_what_was_packed_is_what_is_read_and_what_is_unpacked(runs: Path, tmp_path: Path) -> None:
    dataset.pack(list(dataset.read(runs)), tmp_path / "set")
    before = contents(list(dataset.read(runs, "train")))

    assert list(before) == ["a-1", "b-2"]
    assert contents(list(dataset.read(tmp_path / "set", "train"))) == before
    assert contents(list(dataset.read(tmp_path / "set" / "train.tar.xz"))) == before
    folders = dataset.unpack(tmp_path / "set" / "train.tar.xz", tmp_path / "out")
    assert contents(list(dataset.read(tmp_path / "out"))) == before
    assert sorted(path.name for path in folders[0].iterdir()) == sorted(FILES)
    with pytest.raises(RefusedError, match=r"out/a-1: is there already$"):
        dataset.unpack(tmp_path / "set" / "train.tar.xz", tmp_path / "out")


def test_an_archive_holds_one_part(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"an archive holds one part, and these are of test, train$"):
        dataset.pack(list(dataset.read(runs)), tmp_path / "all.tar.xz")
    with pytest.raises(RefusedError, match=r"^there are no runs to pack of part 'validation'$"):
        dataset.pack(list(dataset.read(runs)), tmp_path / "all.tar.xz", "validation")


def test_the_test_part_is_opened_only_with_a_reason_which_is_logged(runs: Path, tmp_path: Path) -> None:
    [(archive, digest)] = dataset.pack(list(dataset.read(runs, "test")), tmp_path / "set").items()
    log = archive.with_name("test-openings.log")

    with pytest.raises(RefusedError, match=r"test.tar.xz is of part 'test', and each time that is opened is logged$"):
        list(dataset.read(tmp_path / "set"))
    assert not log.exists()
    for why in ("the figures of\n version 1", "again"):
        assert [each.name for each in dataset.read(archive, why=why)] == ["held-1"]

    assert [re.sub(r"^\S+Z ", "", line) for line in log.read_text().splitlines()] == [
        f"sha256:{digest} commit:none the figures of version 1",
        f"sha256:{digest} commit:none again",
    ]


def test_a_name_that_leads_elsewhere_is_no_file_of_a_run(tmp_path: Path) -> None:
    for name in ("../evil-1/truth.json", "/a-1/truth.json", "a-1/other"):
        with tarfile.open(tmp_path / "x.tar.xz", "w:xz") as tar:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())

        with pytest.raises(LabError, match=r"is no file of a run$"):
            dataset.unpack(tmp_path / "x.tar.xz", tmp_path / "out")


def test_what_is_no_data_set_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.tar.xz").write_bytes(b"no")
    (tmp_path / "empty").mkdir()

    for place, words in (("x.tar.xz", "not an archive of runs"), ("empty", "no run"), ("none", "no such file")):
        with pytest.raises(LabError, match=words):
            list(dataset.read(tmp_path / place))


def test_a_disk_that_takes_no_more_is_told_with_the_file_and_nothing_is_left(runs: Path, tmp_path: Path) -> None:
    found = list(dataset.read(runs))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(LabError) as told:
            dataset.pack(found, tmp_path / "set")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert str(told.value) == f"{tmp_path / 'set' / 'test.tar.xz'}: File too large"
    assert told.value.advice == "Make room there, or name another --out"
    assert list((tmp_path / "set").iterdir()) == []

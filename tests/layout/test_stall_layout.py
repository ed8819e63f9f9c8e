"""The records of the blame programs for IO and memory, and their numpy mirrors, are one layout. Needs no privilege."""

import re

import numpy as np
import pytest

from linnix.cognitod.kernel import blame_io, blame_memory, preflight, stalls
from support.btf import Btf, Layout

PLACE = preflight.object_dir({})


def of_dtype(dtype: np.dtype[np.void]) -> Layout:
    assert dtype.fields is not None
    return Layout(dtype.itemsize, {name: (field[1], field[0].itemsize) for name, field in dtype.fields.items()})


@pytest.mark.parametrize("name", ["blame_io.bpf.o", "blame_memory.bpf.o"])
def test_a_record_and_the_books_have_the_layout_of_their_mirror(name: str) -> None:
    btf = Btf(PLACE / name)

    assert of_dtype(stalls.RECORD) == btf.struct("linnix_stall")
    assert of_dtype(stalls.BOOKS) == btf.struct("linnix_stall_books")
    assert of_dtype(stalls.RAN) == btf.struct("linnix_ran")
    assert of_dtype(stalls.RUNNING) == btf.struct("linnix_running")
    assert stalls.RECORD.itemsize % 8 == 0


def test_kinds_and_causes_have_the_numbers_that_the_programs_write() -> None:
    header = (PLACE / "stall.h").read_text()
    written = {name: int(number) for name, number in re.findall(r"LINNIX_(\w+) = (\d+)", header)}

    assert written == {
        "STALL_WAIT": stalls.WAIT,
        "STALL_SERVED": stalls.SERVED,
        "STALL_ALLOC": stalls.ALLOC,
        "STALL_CGROUP": stalls.CGROUP,
        "STALL_KINDS": stalls.KINDS,
        "END_DONE": stalls.DONE,
        "END_REFUSED": stalls.REFUSED,
        "END_UNSEEN": stalls.UNSEEN,
        "END_MISSED": stalls.MISSED,
        "CAUSE_IO": stalls.IO,
        "CAUSE_RECLAIM": stalls.RECLAIM,
        "CAUSE_OWN_LIMIT": stalls.OWN_LIMIT,
        "CAUSE_COMPACTION": stalls.COMPACTION,
        "CAUSE_REFAULT": stalls.REFAULT,
    }


@pytest.mark.parametrize(
    ("source", "size"), [("blame_io", blame_io.RING_BYTES), ("blame_memory", blame_memory.RING_BYTES)]
)
def test_a_ring_is_mapped_in_the_size_that_its_programs_give_it(source: str, size: int) -> None:
    (shift,) = re.findall(r"#define STALLS_BYTES \((\d+) << 20\)", (PLACE / f"{source}.bpf.c").read_text())

    assert int(shift) << 20 == size


@pytest.mark.parametrize("meter", [blame_io, blame_memory])
def test_hashes_are_emptied_in_the_sizes_that_the_programs_give_them(meter: object) -> None:
    thread = Btf(PLACE / f"{meter.__name__.rpartition('.')[2]}.bpf.o").struct("thread")  # type: ignore[attr-defined]

    assert meter._MAPS["threads"] == (4, thread.size)  # type: ignore[attr-defined]

"""The C structs and their numpy mirrors are one layout, as the compiler's own BTF says. Needs no privilege."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod import events
from linnix.cognitod.kernel import preflight, sight
from support.btf import Btf, Layout, programs

BPF = Path(events.__file__).parent / "bpf"


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf(preflight.object_dir({}) / "layout.bpf.o")


def of_dtype(dtype: np.dtype[np.void]) -> Layout:
    assert dtype.fields is not None
    return Layout(dtype.itemsize, {name: (field[1], field[0].itemsize) for name, field in dtype.fields.items()})


@pytest.mark.parametrize(
    ("struct", "dtype"),
    [
        ("linnix_event", events.EVENT),
        ("linnix_exec_text", events.EXEC_TEXT),
        ("linnix_account", events.ACCOUNT),
        ("linnix_task", events.TASK),
        ("linnix_clocks", events.CLOCKS),
        ("linnix_idle", events.IDLE),
        ("linnix_flood_key", events.FLOOD_KEY),
        ("linnix_flood", events.FLOOD),
        ("linnix_books", events.BOOKS),
    ],
)
def test_a_dtype_has_the_size_and_every_member_of_its_struct(btf: Btf, struct: str, dtype: np.dtype[np.void]) -> None:
    assert of_dtype(dtype) == btf.struct(struct)


@pytest.mark.parametrize("dtype", [events.EVENT, events.EXEC_TEXT, events.ACCOUNT, events.TASK, events.BOOKS])
def test_a_record_is_a_multiple_of_eight_bytes_so_that_the_ring_has_a_constant_stride(
    dtype: np.dtype[np.void],
) -> None:
    assert dtype.itemsize % 8 == 0


def test_kinds_have_the_numbers_that_the_programs_write() -> None:
    header = (BPF / "event.h").read_text()
    written = {name: int(number) for name, number in re.findall(r"LINNIX_(?!\w+_RING)(\w+) = (\d+)", header)}

    assert {kind.name: int(kind) for kind in events.Kind} == {
        name: number for name, number in written.items() if name not in ("EXEC_TEXT", "ACCOUNT", "KINDS")
    }
    assert [written[name.upper()] for name in events.BOOK_KINDS] == list(range(written["KINDS"]))


def test_sizes_of_names_are_those_of_the_header() -> None:
    header = (BPF / "event.h").read_text()
    written = {name: int(number) for name, number in re.findall(r"LINNIX_(\w+)_LEN (\d+)", header)}

    assert written == {"COMM": events.COMM_LEN, "FILENAME": events.FILENAME_LEN, "ARGV": events.ARGV_LEN}


def test_rings_are_mapped_in_the_size_in_which_they_are_made() -> None:
    source = "".join((BPF / name).read_text() for name in ("lifecycle.bpf.c", "account.bpf.h"))
    made = {name: int(a) << int(b) for name, a, b in re.findall(r"#define (\w+)_BYTES \((\d+) << (\d+)\)", source)}

    assert made == {"EVENTS": sight.EVENTS_BYTES, "TEXTS": sight.TEXTS_BYTES, "ACCOUNTS": sight.ACCOUNTS_BYTES}


@pytest.mark.parametrize("name", preflight.OBJECTS)
def test_an_object_names_no_path_of_the_machine_that_built_it(name: str) -> None:
    assert str(BPF).encode() not in (BPF / name).read_bytes()


#: Of the opcodes in include/uapi/linux/bpf.h: BPF_STX | BPF_ATOMIC, of 32 and of 64 bits. ``imm`` says which operation;
#: 0 is BPF_ADD, and until Linux 5.12 the only one.
ATOMIC, ADD = (0xC3, 0xDB), 0
#: Loads of 64 bits take the place of two instructions.
LOAD_64 = 0x18
#: Wants Linux 5.17 anyhow.
YOUNGER = ("blame_cpu.bpf.o",)


def operations(program: bytes) -> Iterator[int]:
    """Of the atomic instructions."""
    skips = False
    for opcode, _registers, _offset, imm in struct.iter_unpack("<BBhi", program):
        if not skips and opcode in ATOMIC:
            yield imm
        skips = not skips and opcode == LOAD_64


@pytest.mark.parametrize("name", sorted({path.name for path in BPF.glob("*.bpf.o")} - set(YOUNGER)))
def test_an_object_has_no_atomic_instruction_that_linux_5_10_refuses(name: str) -> None:
    assert {imm for program in programs(BPF / name) for imm in operations(program)} <= {ADD}

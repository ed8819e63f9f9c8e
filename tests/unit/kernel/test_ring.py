"""The ring reader against a ring made of plain memory, written as kernel/bpf/ringbuf.c writes one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.kernel.errors import KernelError
from linnix.cognitod.kernel.ring import BUSY, DISCARD, HEADER_BYTES, Fence, Ring

SIZE = 256
RECORD = np.dtype([("number", "<u8"), ("name", "S4")])  # 12 bytes: rounded up to 16, and 24 do not divide 256
STRIDE = HEADER_BYTES + 16
STEPS = ("reserve", "commit", "discard", "drain")


@dataclass
class Kernel:
    """The producer's side."""

    start: int = 0
    consumer: np.ndarray = field(default_factory=lambda: np.zeros(1, np.uint64))
    producer: np.ndarray = field(default_factory=lambda: np.zeros(1, np.uint64))
    data: np.ndarray = field(default_factory=lambda: np.zeros(SIZE, np.uint8))

    def __post_init__(self) -> None:
        self.consumer[0] = self.producer[0] = self.start

    def write(self, at: int, raw: bytes) -> None:
        for i, byte in enumerate(raw):
            self.data[(at + i) % SIZE] = byte

    def reserve(self, length: int = RECORD.itemsize) -> int | None:
        at = int(self.producer[0])
        if at + STRIDE - int(self.consumer[0]) > SIZE:
            return None
        self.head(at, BUSY, length)
        self.producer[0] = at + STRIDE
        return at

    def head(self, at: int, flags: int, length: int = RECORD.itemsize) -> None:
        self.write(at, int(length | flags).to_bytes(4, "little") + b"\x07\0\0\0")

    def commit(self, at: int, number: int) -> None:
        self.write(at + HEADER_BYTES, np.array((number, b"name"), RECORD).tobytes())
        self.head(at, 0)

    def ring(self) -> Ring:
        return Ring(self.consumer, self.producer, self.data, RECORD)


@given(
    start=st.integers(0, 2**40).map(lambda turn: turn * STRIDE),
    steps=st.lists(
        st.tuples(st.sampled_from(["reserve", "commit", "discard", "drain"]), st.integers(0, 9)), max_size=80
    ),
)
def test_every_committed_record_is_read_once_and_in_order_whatever_the_interleaving(
    start: int, steps: list[tuple[str, int]]
) -> None:
    kernel = Kernel(start)
    ring = kernel.ring()
    reserved: list[tuple[int, str]] = []  # in ring order: position and what became of it
    expected: list[int] = []
    read: list[int] = []
    for step, choice in steps:
        busy = [i for i, (_, state) in enumerate(reserved) if state == "busy"]
        if step == "reserve":
            at = kernel.reserve()
            if at is not None:
                reserved.append((at, "busy"))
        elif step == "drain":
            got = ring.drain()
            while reserved and reserved[0][1] != "busy":
                at, state = reserved.pop(0)
                if state == "commit":
                    expected.append(at)
            read += got["number"].tolist()
            assert got.dtype == RECORD
            assert set(got["name"].tolist()) <= {b"name"}
            assert read == expected
            assert int(kernel.consumer[0]) == (reserved[0][0] if reserved else int(kernel.producer[0]))
        elif busy:
            at = reserved[busy[choice % len(busy)]][0]
            kernel.commit(at, at) if step == "commit" else kernel.head(at, DISCARD)
            reserved[busy[choice % len(busy)]] = (at, step)


def test_what_was_drained_stays_when_the_kernel_writes_over_its_place() -> None:
    kernel = Kernel()
    kernel.commit(0, 1) if kernel.reserve() is not None else None
    drained = kernel.ring().drain()
    kernel.data[:] = 0xFF

    assert drained.tolist() == [(1, b"name")]


def test_the_position_is_not_moved_by_a_record_that_is_still_being_written() -> None:
    kernel = Kernel()
    kernel.reserve()

    assert kernel.ring().drain().tolist() == []
    assert int(kernel.consumer[0]) == 0


def test_a_record_of_another_size_is_refused_and_left_where_it_is() -> None:
    kernel = Kernel()
    kernel.reserve(length=16)
    kernel.head(0, 0, 16)

    with pytest.raises(KernelError, match="a record of 16 bytes where only 12 are possible"):
        kernel.ring().drain()
    assert int(kernel.consumer[0]) == 0


def test_a_fence_can_be_passed_any_number_of_times() -> None:
    fence = Fence(needed=True)

    assert [fence() for _ in range(3)] == [None] * 3

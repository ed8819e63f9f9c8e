"""Reads a BPF ring buffer that holds records of one size as arrays.

Owns the shared memory and the consumer's position. Refuses to know what a record means. Invariant: a record is copied
only after its header was seen committed in the shared memory itself, and its space is given back only after the copy.

The layout is the kernel's ABI (kernel/bpf/ringbuf.c): one page with the consumer's position, one with the producer's,
then the data. Each record begins with a u32 length, whose bit 31 says that it is still being written and bit 30 that it
is to be skipped, and a u32 of the kernel's own. Since all records have one size, a run of them is an array of constant
stride. The kernel offers the data a second time behind itself, so that a record that wraps is
contiguous; it is not mapped, because that would count every ring twice in our memory for the sake of one record a lap.
"""

from __future__ import annotations

import mmap
import platform
import threading
from typing import cast

import numpy as np
from numpy.typing import NDArray

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.errors import KernelError

BUSY = 1 << 31
DISCARD = 1 << 30
HEADER_BYTES = 8

Position = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

#: x86 never lets a load pass an earlier load, nor a store an earlier load: no fence is needed there.
_STRONGLY_ORDERED = platform.machine() in ("x86_64", "i686", "AMD64")


class Fence:
    """Orders this thread's accesses to shared memory around it on processors that would reorder them.

    Python has no fence, but two locks in a row are one: a release and the next acquire keep their order.
    """

    def __init__(self, needed: bool = not _STRONGLY_ORDERED) -> None:
        self._locks = (threading.Lock(), threading.Lock()) if needed else ()

    def __call__(self) -> None:
        """Everything before is seen before everything after."""
        for lock in self._locks:
            with lock:
                pass


class Ring:
    """The consumer's side of one ring. One thread may use it."""

    def __init__(self, consumer: Position, producer: Position, data: Bytes, record: np.dtype[np.void]) -> None:
        """``data`` holds the ring's bytes; the positions are one element each, in shared memory."""
        self._consumer, self._producer, self._data = consumer, producer, data
        self._record = record
        # the kernel rounds every record up to 8 bytes
        self._stride = HEADER_BYTES + (record.itemsize + 7) // 8 * 8
        self._slot = np.dtype(
            {
                "names": ["head", "body"],
                "formats": ["<u4", f"V{record.itemsize}"],  # bytes are copied in one piece, fields one by one
                "offsets": [0, HEADER_BYTES],
                "itemsize": self._stride,
            }
        )
        self._fence = Fence()

    def drain(self) -> Array:
        """Copy out everything committed up to the first record still being written. Never blocks."""
        at = int(self._consumer[0])
        waiting = (int(self._producer[0]) - at) // self._stride
        if waiting <= 0:
            return np.empty(0, self._record)
        self._fence()  # the producer's position before the headers
        parts: list[Array] = []
        taken = 0
        while taken < waiting:
            run = self._run(at + taken * self._stride, waiting - taken)
            heads = run["head"].copy()
            busy = heads & BUSY != 0
            committed = int(busy.argmax()) if busy.any() else len(run)
            self._fence()  # the headers before what they vouch for
            parts.append(self._bodies(run[:committed], heads[:committed]))
            taken += committed
            if committed < len(run):
                break
        self._fence()  # the copy before the space is given back
        self._consumer[0] = at + taken * self._stride
        return cast(Array, (parts[0] if len(parts) == 1 else np.concatenate(parts)).view(self._record))

    def _run(self, at: int, waiting: int) -> Array:
        """The records from a position to the end of the ring; the one that lies across it is put together."""
        place = at % len(self._data)
        whole = min(waiting, (len(self._data) - place) // self._stride)
        if whole:
            return np.ndarray(whole, self._slot, self._data, place)
        one = np.zeros(1, self._slot)
        one["head"] = np.ndarray(1, "<u4", self._data, place)
        self._fence()  # its header too before what it vouches for
        raw, left = one.view(np.uint8), len(self._data) - place
        raw[HEADER_BYTES:left] = self._data[place + HEADER_BYTES :]
        raw[left:] = self._data[: self._stride - left]
        return one

    def _bodies(self, run: Array, heads: NDArray[np.uint32]) -> Array:
        foreign = heads & ~np.uint32(DISCARD) != self._record.itemsize
        if foreign.any():
            length = int(heads[foreign.argmax()]) & ~DISCARD
            raise KernelError(
                f"the ring holds a record of {length} bytes where only {self._record.itemsize} are possible: "
                "BPF objects and Python code are of different builds: rebuild with: python hatch_build.py"
            )
        kept = heads & DISCARD == 0
        bodies: Array = run["body"]
        return bodies.copy() if kept.all() else bodies[kept]


class MappedRing(Ring):
    """A ring in the memory of a BPF map."""

    def __init__(self, map_fd: int, size: int, record: np.dtype[np.void]) -> None:
        """``size`` is the map's ``max_entries`` in bytes."""
        page = mmap.PAGESIZE
        control = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        shared = mmap.mmap(map_fd, page + size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        super().__init__(
            np.frombuffer(control, "<u8", 1),
            np.frombuffer(shared, "<u8", 1),
            np.frombuffer(shared, np.uint8, size, offset=page),
            record,
        )

    def close(self) -> None:
        """Let go of the memory, which is unmapped with its last view. What ``drain`` returned was copied: it stays."""
        del self._consumer, self._producer, self._data

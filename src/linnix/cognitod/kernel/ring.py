"""Reads a BPF ring buffer that holds records of one size as arrays.

Owns the shared memory and the consumer's position. Refuses to know what a record means. Invariant: a record is copied
only after its header was seen committed in the shared memory itself, and its space is given back only after the copy.

The layout is the kernel's ABI (kernel/bpf/ringbuf.c): one page with the consumer's position, one with the producer's,
then the data, mapped twice in a row so that a record that wraps is still contiguous. Each record begins with a u32
length, whose bit 31 says that it is still being written and bit 30 that it is to be skipped, and a u32 of the kernel's
own. Since all records have one size, the run from consumer to producer is an array of constant stride.
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
        """``data`` holds the ring's bytes twice in a row; the positions are one element each, in shared memory."""
        self._consumer, self._producer, self._data = consumer, producer, data
        self._size = len(data) // 2
        self._record = record
        # the kernel rounds every record up to 8 bytes
        stride = HEADER_BYTES + (record.itemsize + 7) // 8 * 8
        self._slot = np.dtype(
            {"names": ["head", "body"], "formats": ["<u4", record], "offsets": [0, HEADER_BYTES], "itemsize": stride}
        )
        self._fence = Fence()

    def drain(self) -> Array:
        """Copy out everything committed up to the first record still being written. Never blocks."""
        at = int(self._consumer[0])
        waiting = (int(self._producer[0]) - at) // self._slot.itemsize
        if waiting <= 0:
            return np.empty(0, self._record)
        self._fence()  # the producer's position before the headers
        run: Array = np.ndarray(waiting, self._slot, self._data, at % self._size)
        heads = run["head"].copy()
        busy = heads & BUSY != 0
        if busy.any():
            waiting = int(busy.argmax())
            run, heads = run[:waiting], heads[:waiting]
        self._fence()  # the headers before what they vouch for
        foreign = heads & ~np.uint32(DISCARD) != self._record.itemsize
        if foreign.any():
            length = int(heads[foreign.argmax()]) & ~DISCARD
            raise KernelError(
                f"the ring holds a record of {length} bytes where only {self._record.itemsize} are possible: "
                "BPF objects and Python code are of different builds: rebuild with: python hatch_build.py"
            )
        kept = heads & DISCARD == 0
        records = run["body"].copy() if kept.all() else run["body"][kept]
        self._fence()  # the copy before the space is given back
        self._consumer[0] = at + waiting * self._slot.itemsize
        return cast(Array, records)


class MappedRing(Ring):
    """A ring in the memory of a BPF map."""

    def __init__(self, map_fd: int, size: int, record: np.dtype[np.void]) -> None:
        """``size`` is the map's ``max_entries`` in bytes."""
        page = mmap.PAGESIZE
        control = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        shared = mmap.mmap(map_fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        super().__init__(
            np.frombuffer(control, "<u8", 1),
            np.frombuffer(shared, "<u8", 1),
            np.frombuffer(shared, np.uint8, 2 * size, offset=page),
            record,
        )

    def close(self) -> None:
        """Let go of the memory, which is unmapped with its last view. What ``drain`` returned was copied: it stays."""
        del self._consumer, self._producer, self._data

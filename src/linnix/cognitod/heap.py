"""How the C library keeps memory that was freed.

Owns three settings of glibc's allocator. Refuses other C libraries: where ``mallopt`` is missing, nothing happens.
Invariant: it changes how much the process holds, never what it does.

By default each thread gets an arena of its own, and one large array freed raises the size up to which later ones are
kept. In a storm that adds up to some 15 MB that nobody uses.
"""

from __future__ import annotations

import ctypes

# From malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_KEEP_BYTES = 256 * 1024


def keep_little() -> None:
    """One arena, and large arrays go back to the kernel when they are freed. Call it before threads start."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def give_back() -> None:
    """Return what is free at the end of the heap, after start-up has used and left much of it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)

"""How much memory the process holds that it does not use.

Owns three settings of glibc's allocator, and the giving back of what start-up or a storm has used and left. Refuses
other C libraries: where ``mallopt`` is missing, nothing is set. Invariant: it changes how much the process holds, never
what it does.

By default each thread gets an arena of its own, and one large array freed raises the size up to which later ones are
kept. In a storm that adds up to some 15 MB that nobody uses. The text of libraries is another matter: some 10 MB of it
are only run while modules are imported and objects are loaded, and stay mapped although nothing needs them. The page
cache has them as long as the machine has room, and maps them again, sixteen at a time, when they are run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

# From malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_KEEP_BYTES = 256 * 1024
# From sys/mman.h.
_MADV_DONTNEED = 4

_SMAPS = Path("/proc/self/smaps")


def keep_little() -> None:
    """One arena, and large arrays go back to the kernel when they are freed. Call it before threads start."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def give_back() -> None:
    """Return what is free in the heap, and unmap text that was run once. Costs a few milliseconds."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    if hasattr(libc, "madvise"):
        libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        try:
            areas = list(clean_areas(_SMAPS.read_text()))
        except OSError:
            return
        for start, end in areas:
            libc.madvise(start, end - start, _MADV_DONTNEED)


def clean_areas(smaps: str) -> Iterator[tuple[int, int]]:
    """Start and end of the mapped parts of files that may not be written and were not: what the file still has.

    Relocated data, and text in which a debugger has set a breakpoint, are private copies: those are left alone.
    """
    area: tuple[int, int] | None = None
    for line in smaps.splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            words = rest.split(maxsplit=4)
            start, _, end = first.partition("-")
            of_file = words[0] in ("r-xp", "r--p") and words[-1].startswith("/")
            area = (int(start, 16), int(end, 16)) if of_file else None
        elif first == "Anonymous:" and area is not None and int(rest.split()[0]) == 0:
            yield area

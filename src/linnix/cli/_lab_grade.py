"""`linnix faultlab grade`, `pack` and `unpack`: the score of recorded runs, and runs as a data set.

Owns the options and where the judge comes from: the findings that were recorded, or today's rules over the facts that
were. Refuses arithmetic: `faultlab.score` does that. Invariant: the test part is not opened without a reason.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnix.cli._errors import CommandError, ExitCode
from linnix.cli._lab_errors import told

if TYPE_CHECKING:
    from linnix.cognitod.detect.rules import Rule
    from linnix.faultlab.ticks import Judge
    from linnix.insight.facts import Facts, Finding

Part = Annotated[str | None, typer.Option("--part", metavar="PART", help="Only train, validation or test.")]
Why = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="Why an archive of part test is opened; it is logged beside it.")
]
Planned = Annotated[
    Path | None,
    typer.Option(
        "--planned",
        metavar="FILE_OR_DIR",
        help="Scenarios whose runs there should be. [default: what planned.json beside the runs says]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def grade(
    place: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder of recordings or of archives, or one archive.")
    ],
    part: Part = None,
    rejudge: Annotated[
        bool, typer.Option("--rejudge", help="Judge the recorded facts again, with the rules of today.")
    ] = False,
    rules: Annotated[
        list[Path] | None,
        typer.Option("--rules", metavar="FILE", help="Rules for --rejudge, later ones over earlier; repeatable."),
    ] = None,
    why: Why = "",
    planned: Planned = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables for a document.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say how often the culprit was named, how fast, and how often there was an alarm for nothing.

    An alarm is a finding above severity info. A hit names a process of the culprit's tree. Intervals are of 95 %, from
    a bootstrap over scenarios, or Wilson's where those are few or agree. Every miss is listed with what was told
    instead, and when; so is every run that was planned and is not there. A run whose daemon failed is a miss.

    Examples: linnix faultlab grade runs · linnix faultlab grade runs --rejudge --rules my-rules.yaml
    """
    from linnix.faultlab import coverage, dataset, report, score, ticks
    from linnix.faultlab import grade as grading
    from linnix.faultlab.scenario import PARTS

    if rules and not rejudge:
        raise typer.BadParameter("--rules needs --rejudge: what was recorded was found with the rules of then")
    if markdown and as_json:
        raise typer.BadParameter("--markdown and --json exclude each other")
    loaded = _rules(rules or [])
    holds_s = {rule.name: rule.hold_s + getattr(rule.params, "duration", 0.0) for rule in loaded}
    judge = _judge_by(loaded) if rejudge else ticks.recorded
    with told():
        graded = [grading.grade(run, judge, holds_s) for run in dataset.read(place, _part(part), why)]
        if not graded:
            raise CommandError(f"{place}: no run of part {part!r}")
        parts = {part} if part else {run.part for run in graded} if place.is_file() else PARTS
        covered = coverage.cover(_planned(planned) or coverage.read(place), graded, parts)
        found = score.score(graded)
    if as_json:
        import msgspec

        answer = {"coverage": covered, "score": found, "runs": graded}
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
        return
    how = _how(part, rejudge, rules or [])
    print("\n".join(report.markdown(found, covered, how) if markdown else report.plain(found, covered)))


def pack(
    place: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of recordings.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.tar.xz|DIR", help="An archive, or a folder of them.")],
    part: Part = None,
    planned: Planned = None,
    as_json: AsJson = False,
) -> None:
    """Write recordings, without their events, as compressed archives: one a part, with their SHA-256 digests.

    The same recordings make the same bytes. What was planned goes beside the archives, as planned.json.
    """
    from linnix.faultlab import coverage, dataset

    with told():
        written = dataset.pack(list(dataset.read(place, _part(part))), out, part)
        if runs := _planned(planned) or coverage.read(place):
            coverage.add(out if out.is_dir() else out.parent, runs)
    if as_json:
        print(json.dumps({str(path): digest for path, digest in written.items()}, indent=2))
        return
    for path, digest in written.items():
        print(f"{digest}  {path}  {path.stat().st_size / 2**20:.1f} MiB")


def unpack(
    archives: Annotated[list[Path], typer.Argument(metavar="FILE.tar.xz", help="Archives that pack wrote.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the runs go.")],
    why: Why = "",
) -> None:
    """Write the runs of archives as the folders that they were recorded to, without events."""
    from linnix.faultlab import dataset

    with told():
        for archive in archives:
            print(f"{len(dataset.unpack(archive, out, why))} runs from {archive}")


def _part(part: str | None) -> str | None:
    from linnix.faultlab.scenario import PARTS

    if part is not None and part not in PARTS:
        raise typer.BadParameter(f"--part is one of {', '.join(PARTS)}")
    return part


def _planned(scenarios: Path | None) -> dict[str, str] | None:
    from linnix.faultlab import coverage, loading, plan

    return None if scenarios is None else coverage.planned(plan.plans(loading.load_all(scenarios)))


def _how(part: str | None, rejudge: bool, rules: list[Path]) -> str:
    """What the figures are of, in a sentence that is the same every time."""
    which = f"part {part}" if part else "all parts"
    by = f"the rules of {', '.join(path.name for path in rules)}" if rules else "the default rules"
    judged = (
        f"its recorded facts judged again with {by}" if rejudge else "by what the daemon told while it was recorded"
    )
    return f"The fault laboratory's recordings, {which}, {judged} (`linnix faultlab grade --markdown`)."


def _rules(files: list[Path]) -> "Sequence[Rule]":
    from linnix.cognitod.detect.rules import RuleError, defaults, load_files

    try:
        return load_files(files).rules if files else defaults()
    except RuleError as error:
        first, *others = map(str, error.problems)
        raise CommandError(first, "\n".join(others), ExitCode.FAILED) from error


def _judge_by(rules: "Sequence[Rule]") -> "Judge":
    replay = import_module("linnix.cognitod.detect.replay")

    def judge(bodies: "Iterable[bytes]") -> "Iterator[tuple[Facts, tuple[Finding, ...]]]":
        yield from replay.judged(bodies, rules)

    return judge

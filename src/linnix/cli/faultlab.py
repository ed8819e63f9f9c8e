"""`linnix faultlab`: check, list and run scenarios that break this host on purpose, in a small and known way.

Refuses to run what it has not checked whole: one wrong file of a folder, and nothing starts. Invariant: what a run
started is gone when the command ends, and what a killed one left is gone once the next has started.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnix.cli import _lab_grade
from linnix.cli._errors import CommandError, ExitCode
from linnix.cli._lab_errors import told

if TYPE_CHECKING:
    from linnix.faultlab.plan import Plan

app = typer.Typer(
    name="faultlab",
    help="Break this host on purpose, in a small and known way, and record what the daemon saw.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
Places = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE_OR_DIR", help="Scenarios, or folders of them; without any, those that came with Linnix."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("check")
def check(places: Places = None, as_json: AsJson = False) -> None:
    """Check scenario files: what they may say, and what they must. Every file that is wrong is told, with its line.

    What a good one requires and this host lacks is told, too; it is no mistake of the file.
    """
    from linnix.faultlab import commands, loading
    from linnix.faultlab.errors import FormatError, MissingError

    good, wrong = [], []
    lacking: dict[str, MissingError] = {}
    with told():
        paths = loading.files(*(places or [loading.COLLECTION]))
        for path in paths:
            try:
                good.append(loading.load(path))
                commands.require(good[-1].scenario)
            except FormatError as error:
                wrong.append(str(error))
            except MissingError as error:
                lacking[str(path)] = error
        apart = [str(error) for error in loading.disagreements(good)]
        wrong += apart
    if as_json:
        names = [{"file": str(each.path), "name": each.scenario.name, "digest": each.digest} for each in good]
        absent = {file: lack.programs for file, lack in lacking.items()}
        print(json.dumps({"ok": not wrong, "scenarios": names, "errors": wrong, "missing": absent}, indent=2))
    else:
        for line in wrong:
            print(line)
        for file, lack in lacking.items():
            print(f"{file}: would be skipped here: {lack}. {lack.advice}", file=sys.stderr)
        print(f"{len(good)} of {len(paths)} files are good" + (", but not beside each other" if apart else ""))
    raise typer.Exit(ExitCode.FAILED if wrong else ExitCode.DONE)


@app.command("list")
def list_(places: Places = None, as_json: AsJson = False) -> None:
    """List scenarios: class, who is the culprit, how strong and how long, and what it needs."""
    from linnix.faultlab import loading
    from linnix.insight.render import clean

    with told():
        found = [each.scenario for each in loading.load_all(*(places or [loading.COLLECTION]))]
    if as_json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    rows = [("NAME", "CLASS", "CULPRIT", "INTENSITY", "SECONDS", "NEEDS", "SEEDS")]
    for each in found:
        comm = " or ".join(next((one.names for one in each.commands if one.name == each.culprit), ("-",)))
        strength = f"{each.intensity.low:g} to {each.intensity.high:g} {each.intensity.unit}"
        needs = f"{each.needs.memory_mib} MiB, {each.needs.disk_mib} MiB of disk"
        rows.append((each.name, each.cls, comm, strength, f"{each.seconds:g}", needs, " ".join(map(str, each.seeds))))
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(rows[0]))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command("run")
def run(
    places: Annotated[
        list[Path], typer.Argument(metavar="FILE_OR_DIR", help="Scenarios, or folders of them; checked together.")
    ],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the recordings go.")] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option("--seed", min=0, help="Only this seed; repeatable. [default: those of the file]"),
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option("--part", help="Only scenarios of this part of the collection; repeatable.")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="URL", help="A daemon that runs. [default: start one for each run]"),
    ] = None,
    max_load: Annotated[
        float | None, typer.Option("--max-load", min=0.0, help="Begin up to this load average. [default: 1.5 a core]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plans and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run scenarios on this host under the real daemon, and record what it saw beside the truth.

    Needs root and cgroup2. What is complete in DIR is skipped, so a collection can be interrupted and gone on with. A
    run under which the daemon fails is recorded as that, and graded as a miss. DIR/planned.json lists what was planned.
    """
    from linnix.faultlab import loading, plan
    from linnix.faultlab.scenario import PARTS

    with told():
        found = [each for each in loading.load_all(*places) if not part or each.scenario.part in part]
        plans = plan.plans(found, tuple(dict.fromkeys(seed or ())))
        if not plans:
            where = ", ".join(map(str, places))
            raise CommandError(f"{where}: no scenario of part {' or '.join(part or [])}", "Parts: " + ", ".join(PARTS))
        if dry_run:
            import msgspec

            print(msgspec.json.format(msgspec.json.encode(plans), indent=2).decode())
            return
        if out is None:
            raise CommandError("--out is missing", "Say where the recordings go: --out DIR", ExitCode.USAGE)
        code = _carry_out(plans, out, host, max_load, as_json)
    raise typer.Exit(code)


def _carry_out(plans: "list[Plan]", out: Path, host: str | None, max_load: float | None, as_json: bool) -> ExitCode:
    from linnix.cli._lab_progress import LabProgress
    from linnix.cli._stack import Stop, StopRequested
    from linnix.faultlab import cgroups, coverage, runner
    from linnix.faultlab.errors import MissingError, NoDaemonError, RefusedError, RunFailedError
    from linnix.faultlab.recording import Output

    mount = cgroups.require_mount()
    failed = 0
    missing: dict[str, str] = {}
    with Stop.on_signals() as stop, LabProgress(as_json) as progress, Output(out) as output:
        coverage.add(out, coverage.planned(plans))
        settings = runner.Settings(stop.pause, progress, host, max_load)
        runner.clean_up(mount, output, progress)
        try:
            for at, each in enumerate(plans, start=1):
                count = f"{at} of {len(plans)}"
                try:
                    if output.is_complete(each):
                        progress.say("skipped", f"{each.run}: is complete ({count})", run=each.run)
                        continue
                    done = runner.run(each, output, mount, settings)
                    said = {"run": each.run, "folder": str(done.folder)}
                    if not done.failed:
                        progress.say("done", f"{each.run}: recorded ({count})", "good", **said)
                        continue
                    failed += 1
                    words = f"recorded as a miss, the daemon failed: {done.failed}"
                    progress.say("daemon_failed", f"{each.run}: {words} ({count})", "bad", **said, reason=done.failed)
                    if host is not None:
                        raise NoDaemonError(words, "The next runs would have no daemon either")
                except MissingError as error:
                    failed += 1
                    missing |= error.programs
                    progress.say(
                        "missing", f"{each.run}: skipped, {error}. {error.advice} ({count})", "warn", run=each.run
                    )
                except (RefusedError, RunFailedError) as error:  # the next one may be able to
                    failed += 1
                    advice = f". {error.advice}" if error.advice else ""
                    progress.say("failed", f"{each.run}: {error}{advice} ({count})", "bad", run=each.run)
                except NoDaemonError as error:
                    raise NoDaemonError(f"{each.run}: {error}", error.advice) from error
        except StopRequested:
            progress.say("interrupted", "Interrupted: all that was started has been ended", "warn")
            return ExitCode.INTERRUPTED
        finally:
            if missing:
                packages = sorted({package for package in missing.values() if package})
                words = f"Not on this host: {', '.join(sorted(missing))}"
                words += f"; apt-get install {' '.join(packages)}" if packages else ""
                progress.say("summary", words, "warn", programs=missing)
    return ExitCode.FAILED if failed else ExitCode.DONE


app.command("grade")(_lab_grade.grade)
app.command("pack")(_lab_grade.pack)
app.command("unpack")(_lab_grade.unpack)

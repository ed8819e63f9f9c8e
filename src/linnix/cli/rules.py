"""`linnix rules`: what the daemon would hold to be wrong on this host, and what it would have held in recorded runs.

Owns the options and the table of rules. Refuses to judge rules: `cognitod.detect.rules` does, and it is the daemon's
own check. Invariant: every mistake is one line that begins with file and line, names are cleaned before they reach a
terminal, and the daemon is neither asked nor needed.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linnix.cli._errors import CommandError, ExitCode
from linnix.cli._lab_errors import told
from linnix.cli._lab_grade import Why

if TYPE_CHECKING:
    from linnix.cognitod.detect.rules import Loaded, Problem, Rule

app = typer.Typer(help="What the daemon looks for: check the rules, try them on recorded runs.", no_args_is_help=True)

_HEAD = ("NAME", "DETECTOR", "SEVERITY", "FOR", "SCOPE")
_SEVERITIES = {"high": "31", "medium": "33", "low": "", "info": "2"}
#: Columns the scope may take at least when the terminal is narrow.
_MIN_SCOPE = 12


@app.callback()
def root() -> None:
    """What the daemon looks for: check the rules, try them on recorded runs."""


@app.command("check")
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Rule files, later ones over earlier; none: what the daemon uses."),
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", "-o", help="FILE changes the rules in use, as a file of rules.d does.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="cognitod's configuration.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR and a pipe do the same.")] = False,
) -> None:
    """Say what is wrong with rule files, line by line, or show the rules as the daemon would use them.

    Without FILE these are the rules in use on this host: rules.path of the configuration, else those that come with
    Linnix, and the files of rules.d over them.

    A FILE that lies in a directory called rules.d is taken for what it is: it changes the rules in use.

    Nothing is applied. The daemon loads changed files by itself, and keeps the rules before while they are wrong.

    Exit code 0 when every rule can be used, 1 when one cannot.

    Examples: linnix rules check · linnix rules check rules.yaml · linnix rules check /etc/linnix/rules.d/50-local.yaml
    """
    loaded, looked_at, problems = _load(files or [], override, config)
    if as_json:
        print(json.dumps(_told(loaded, list(loaded.files) or looked_at, problems), indent=2))
    else:
        for line in _wrong(problems, looked_at) if problems else _table(loaded, _coloured(no_color)):
            print(line)
    raise typer.Exit(ExitCode.FAILED if problems else ExitCode.DONE)


@app.command("test")
def test(
    runs: Annotated[
        Path, typer.Option("--runs", metavar="PATH", help="A folder of recordings or of archives, or one archive.")
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Rule files, as for `check`; none: what the daemon uses."),
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", "-o", help="FILE changes the rules in use, as a file of rules.d does.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="cognitod's configuration.")] = None,
    why: Why = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR and a pipe do the same.")] = False,
) -> None:
    """Say what rules would have found in recorded runs: where they fired, whom they named, and how soon.

    Every recorded tick is judged again with these rules. Findings and alerts that were recorded do not matter.

    Facts are what was counted, not the events themselves: docs/detectors.md says what that changes. A rule that
    recordings cannot decide is named.

    Exit code 0 when the runs were judged, whatever was found; 1 when a rule cannot be used or a run cannot be read.

    Examples: linnix rules test rules.yaml --runs runs · linnix rules test --runs runs --json
    """
    from linnix.cli import _rules_test
    from linnix.faultlab import dataset

    loaded, looked_at, problems = _load(files or [], override, config)
    if problems:
        if as_json:
            print(json.dumps(_told(loaded, list(loaded.files) or looked_at, problems), indent=2))
        else:
            print(*_wrong(problems, looked_at), sep="\n")
        raise typer.Exit(ExitCode.FAILED)
    with told():
        judged = list(_rules_test.carry_out(dataset.read(runs, why=why), loaded.rules))
    found = _rules_test.sums(judged, loaded.rules)
    if as_json:
        head = {"valid": True, "files": list(loaded.files), "problems": []}
        print(json.dumps(head | _rules_test.told(judged, found), indent=2))
        return
    for line in _rules_test.lines(judged, found, _coloured(no_color)):
        print(line)


def _load(given: list[Path], override: bool, config: Path | None) -> "tuple[Loaded, list[str], tuple[Problem, ...]]":
    """The rules of these files, or of this host; which files were looked at; and all that is wrong with them."""
    from linnix.cognitod.config import ConfigError, load
    from linnix.cognitod.detect.rules import BUILT_IN, Loaded, RuleError, defaults_file, load_files
    from linnix.cognitod.rulebook import sources

    if override and not given:
        raise typer.BadParameter("--override needs a FILE; without one rules.d is checked too")
    looked_at: list[str] = [str(file) for file in given]
    try:
        if given and not override and given[0].absolute().parent.name != "rules.d":
            loaded = load_files(given)
        else:
            try:
                used = sources(load(config)[0])
            except ConfigError as error:
                raise CommandError(error.problems[0], "\n".join(error.problems[1:])) from error
            looked_at = [str(used.path or BUILT_IN), *looked_at] if given else [str(used.path or BUILT_IN)]
            loaded = load_files([used.path or defaults_file(), *given]) if given else used.load()
        return loaded, looked_at, loaded.orphans
    except RuleError as error:
        told = {problem.file for problem in error.problems if problem.file}
        return Loaded((), ()), sorted({*looked_at, *told}), error.problems


def _coloured(no_color: bool) -> bool:
    return not no_color and sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _told(loaded: "Loaded", files: list[str], problems: "tuple[Problem, ...]") -> dict[str, Any]:
    return {
        "valid": not problems,
        "files": files,
        "rules": [_rule(rule) for rule in loaded.rules],
        "problems": [problem._asdict() for problem in problems],
    }


def _rule(rule: "Rule") -> dict[str, Any]:
    from linnix.cognitod.detect.scope import KEYS

    return {
        "name": rule.name,
        "detector": rule.detector,
        "severity": rule.severity,
        "cooldown": rule.cooldown_s,
        "for": rule.hold_s,
        "keep_firing_for": rule.keep_firing_s,
        "params": {name: getattr(rule.params, name) for name in rule.params.__struct_fields__},
        "scope": {key: list(getattr(rule.scope, key)) for key in KEYS if getattr(rule.scope, key)},
        "labels": dict(rule.labels),
        "runbook": rule.runbook,
    }


def _wrong(problems: "tuple[Problem, ...]", files: list[str]) -> list[str]:
    from linnix.insight.render import clean

    what = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    where = "1 file" if len(files) == 1 else f"{len(files)} files"
    return [*(clean(str(problem)) for problem in problems), f"{what} in {where}"]


def _table(loaded: "Loaded", colour: bool) -> list[str]:
    from linnix.insight.render import clean
    from linnix.reasoner.output import fit, width_of

    rows = [
        (
            clean(rule.name, 64),
            rule.detector,
            rule.severity,
            f"{rule.hold_s:g} s" if rule.hold_s else "-",
            clean(str(rule.scope)) or "everybody",
        )
        for rule in loaded.rules
    ]
    widths = [max(width_of(row[at]) for row in (_HEAD, *rows)) for at in range(len(_HEAD))]
    if sys.stdout.isatty():
        spare = shutil.get_terminal_size((120, 24)).columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(spare, _MIN_SCOPE))
    lines = []
    for row in (_HEAD, *rows) if rows else ():
        line = "  ".join(fit(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip()
        style = "2" if row is _HEAD else _SEVERITIES[row[2]]
        lines.append(f"\x1b[{style}m{line}\x1b[0m" if colour and style else line)
    count = "1 rule" if len(rows) == 1 else f"{len(rows)} rules"
    return [*lines, f"{count} from {', '.join(clean(file) for file in loaded.files)}"]

"""Rule files: from files to a checked set of rules.

Owns which files make up a set and how the later ones override the earlier. Refuses to guess: whatever is unknown or
out of bounds is an error that names file, line, rule, field and the nearest valid name, and all of them are told at
once. Invariant: a set that was loaded can be run as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from linnix.cognitod.detect import documents
from linnix.cognitod.detect.checks import DEFAULT_COOLDOWN_S, DEFAULT_KEEP_FIRING_S, Rule, make
from linnix.cognitod.detect.documents import Document, Problem, RuleError, nearest
from linnix.cognitod.detect.drafts import Draft, draft
from linnix.cognitod.detect.params import DETECTORS

__all__ = [
    "BUILT_IN",
    "DEFAULT_COOLDOWN_S",
    "DEFAULT_KEEP_FIRING_S",
    "Loaded",
    "Problem",
    "Rule",
    "RuleError",
    "Sources",
    "defaults",
    "defaults_file",
    "load",
    "load_files",
    "parse",
]

#: How the rules that come with the package are called where a file would be named.
BUILT_IN = "default.yaml (comes with Linnix)"
SUFFIXES = (".yaml", ".yml", ".toml")
#: What a person writes is far below; a log that was named by mistake is not.
MAX_BYTES = 256 << 10
MAX_RULES = 1000

#: One file: how it is called, and what stands in it.
File = tuple[str, Document]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A set of rules and the files it came from, in the order in which they override.

    ``off`` are the classes of rules that are switched off. ``orphans`` are overrides of rules that are not there: a
    mistake, or what an upgrade has left behind. They change nothing, and a daemon must not stay down for them.
    """

    rules: tuple[Rule, ...]
    files: tuple[str, ...]
    orphans: tuple[Problem, ...] = ()
    off: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where rules come from: one file, or those of the package, and a directory of overrides that may be absent."""

    path: Path | None
    directory: Path

    def overrides(self) -> list[Path]:
        """Files of the directory, in the order of their names. ``OSError`` where it cannot be read."""
        try:
            files = sorted(self.directory.iterdir())
        except FileNotFoundError:
            return []
        # A name that begins with a dot is an editor's.
        return [file for file in files if file.suffix in SUFFIXES and not file.name.startswith(".")]

    def stamp(self) -> tuple[object, ...]:
        """Changes whenever one of the files does; costs one look at each."""
        try:
            files = self.overrides()
        except OSError as error:
            return (error.errno,)
        return tuple(map(_stamp, [*([self.path] if self.path else []), *files]))

    def load(self) -> Loaded:
        """The set as the files are now. Raises ``RuleError`` with everything that is wrong."""
        base = defaults_file() if self.path is None else self.path
        try:
            overrides = self.overrides()
        except OSError as error:
            raise RuleError(_unreadable("directory of rules", self.directory, error)) from error
        return load_files([base, *overrides])


def load_files(files: Iterable[Path | File]) -> Loaded:
    """The rules of these files, each overriding those before. Raises ``RuleError``."""
    read: list[File] = []
    problems: list[Problem] = []
    for file in files:
        try:
            read.append(file if isinstance(file, tuple) else (str(file), _entries(file)))
        except RuleError as error:
            problems += error.problems
        except OSError as error:
            problems.append(_unreadable("rule file", Path(str(file)), error))
    # Without one of them others would be found to override nothing.
    orphans: list[Problem] = []
    off: set[str] = set()
    rules = [] if problems else _merge(read, problems, orphans, off)
    if problems:
        raise RuleError(*sorted([*problems, *orphans], key=lambda problem: (problem.file, problem.line or 0)))
    return Loaded(tuple(rules), tuple(name for name, _ in read), tuple(orphans), frozenset(off))


def load(path: Path) -> list[Rule]:
    """Read a rule file. The extension says which format is tried first; the other is tried next.

    Raises ``RuleError`` for a file that is no valid rule file, ``OSError`` for one that cannot be read.
    """
    return list(load_files([(str(path), _entries(path))]).rules)


def defaults() -> list[Rule]:
    """The rules that ship with the package, for a host without a rule file of its own."""
    return list(load_files([defaults_file()]).rules)


def parse(text: str, *, yaml_first: bool = True) -> list[Rule]:
    """Rules of a text. An empty one has none. Raises ``RuleError``."""
    return list(load_files([("", documents.read(text, yaml_first=yaml_first))]).rules)


def defaults_file() -> File:
    """The rules that ship with the package, as ``load_files`` takes them."""
    shipped = resources.files("linnix.cognitod.detect").joinpath("default.yaml")
    return BUILT_IN, documents.read(shipped.read_text(encoding="utf-8"))


def _entries(path: Path) -> Document:
    try:
        text = _read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RuleError(Problem(f"not a text file: {error.reason} at byte {error.start}", file=str(path))) from error
    try:
        return documents.read(text, yaml_first=path.suffix.lower() in (".yaml", ".yml"))
    except RuleError as error:
        raise error.of(str(path)) from error


def _read(path: Path) -> bytes:
    """What is in a file. The event loop reads too, so nothing is opened that could keep it waiting."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
            raise RuleError(Problem("not a regular file", file=str(path)))
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise RuleError(Problem(f"larger than {MAX_BYTES} bytes: not a rule file", file=str(path)))
    return content


def _merge(read: Iterable[File], problems: list[Problem], orphans: list[Problem], off: set[str]) -> list[Rule]:
    drafts: dict[str, Draft] = {}
    rules: dict[str, Rule] = {}
    for file, document in read:
        problems += [problem._replace(file=file) for problem in document.problems]
        before = dict(drafts)
        here = _drafts(file, document, problems)
        for name, drafted in here.items():
            if before and name not in before and "detector" not in drafted.common:
                said = f"no rule of this name to override, and no detector to make it a new one{nearest(name, before)}"
                orphans.append(drafted.problem(said))
                continue
            drafts[name] = drafted.over(before[name]) if name in before else drafted
            # Every file is judged, so that a later one does not hide what is wrong with an earlier.
            rule, wrong = make(drafts[name])
            problems += [problem for problem in wrong if problem not in problems]
            rules.pop(name, None)
            if rule is not None:
                rules[name] = rule
    if len(drafts) > MAX_RULES:
        problems.append(Problem(f"{len(drafts)} rules, more than {MAX_RULES}"))
    if not problems:  # then what is no rule is switched off
        detectors = [str(drafted.common["detector"].value) for name, drafted in drafts.items() if name not in rules]
        off.update(DETECTORS[detector].cls for detector in detectors)
    return [rules[name] for name in drafts if name in rules]


def _drafts(file: str, document: Document, problems: list[Problem]) -> dict[str, Draft]:
    """What one file says, by the names of the rules."""
    here: dict[str, Draft] = {}
    for entry in document.entries:
        drafted, wrong = draft(entry, file)
        problems += wrong
        if drafted is None:
            continue
        if drafted.name in here:
            said = "the name is used twice; cooldowns are kept by name"
            problems.append(Problem(said, drafted.name, line=drafted.line, file=file))
        here.setdefault(drafted.name, drafted)
    return here


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        seen = path.stat()
    except OSError as error:
        return (path, error.errno)
    return (path, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size, seen.st_ino, seen.st_dev)


def _unreadable(what: str, path: Path, error: OSError) -> Problem:
    return Problem(f"cannot read the {what} {path}: {(error.strerror or str(error)).lower()}")

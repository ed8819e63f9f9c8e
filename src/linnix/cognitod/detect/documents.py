"""Rule files as documents: from a text to entries that know on which line each of their fields stands.

Owns the two formats, YAML and TOML, and where in them something is. Refuses meaning: which fields there are and what
they may hold is ``checks``' business. Invariant: nothing of a document is executed, and what is wrong with its form is
told with its line, never with a traceback.

YAML tells where its nodes are. TOML does not, so lines are found by looking: entry N begins at the N-th line
``[[rules]]``, and a field stands on the first line of its entry on which its name is followed by ``=``, else on the
line of a table of its name. Where that finds nothing, the line is that on which the entry begins.
"""

from __future__ import annotations

import difflib
import re
import reprlib
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import yaml

#: A field by the keys that lead to it from its entry, as ``("scope", "comm")``.
Keys = tuple[str, ...]
#: What the YAML reader raises for a text that is none: its own errors, and Python's for values such as ``!!int ""``.
_BREAKS_YAML = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxstring, _SHOWN.maxlong, _SHOWN.maxother = 2, 80, 80, 80
#: So many lines of an entry are remembered; aliases could make it any number.
_MAX_LINES = 4096
#: Mappings inside an entry are looked into so deep: ``detector: {NAME: {FIELD: …}}``.
_DEPTH = 3


class Problem(NamedTuple):
    """One thing that is wrong, where, and what would be right."""

    message: str
    rule: str | int = ""  # its name, or its number where it has none
    field: str = ""
    line: int | None = None
    file: str = ""

    def __str__(self) -> str:
        place = ":".join(part for part in (self.file, str(self.line or "")) if part)
        whose = f"rule {self.rule!r}" if self.rule else ""
        return ": ".join(part for part in (place, whose, self.field, self.message) if part)


class RuleError(ValueError):
    """Rules that cannot be used; ``problems`` says of each which rule, which field and what would be valid."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems

    def of(self, file: str) -> RuleError:
        """The same, of this file."""
        return RuleError(*(problem._replace(file=file) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of the list of rules, as it was written."""

    value: object
    number: int
    line: int | None = None
    lines: dict[Keys, int] = field(default_factory=dict)

    def line_of(self, path: Keys) -> int | None:
        """Where a field stands; of one that does not, where the entry begins."""
        return self.lines.get(path, self.line)


@dataclass(frozen=True, slots=True)
class Document:
    """The entries of a text, and what is wrong with how it is put together."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read(text: str, *, yaml_first: bool = True) -> Document:
    """What stands in a text; nothing in an empty one. Raises ``RuleError`` for a text of neither format."""
    if not text.strip():
        return Document()
    failed = []
    for reader in (_from_yaml, _from_toml) if yaml_first else (_from_toml, _from_yaml):
        try:
            return reader(text)
        except _FormatError as error:
            failed.append(error)
    raise RuleError(Problem("; ".join(map(str, failed)), line=failed[0].line))


def guess(word: str, valid: Iterable[str]) -> str | None:
    """What was probably meant."""
    return next(iter(difflib.get_close_matches(word, list(valid), n=1, cutoff=0.5)), None)


def nearest(word: str, valid: Iterable[str]) -> str:
    """What was probably meant, else all that could be, as the end of a sentence."""
    valid = list(valid)
    meant = guess(word, valid)
    return f"; did you mean {meant!r}?" if meant else f"; one of {', '.join(valid)}"


def shown(value: object) -> str:
    """A value as a message quotes it: never long, however much a few aliases of YAML make of it."""
    return _SHOWN.repr(value)


class _FormatError(Exception):
    """The text is not of this format at all; the other one is tried next."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def _from_yaml(text: str) -> Document:
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        problems = list(_given_twice(node)) if node is not None else []
        document = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise _FormatError("not YAML: " + " ".join(str(error.problem or error).split()), line) from error
    except _BREAKS_YAML as error:
        raise _FormatError("not YAML: " + (" ".join(str(error).split()) or type(error).__name__)) from error
    if document is not None and not isinstance(document, list | dict):
        raise _FormatError("not YAML: expected a list of rules")
    lines = {tuple(path): line for path, line in _lines(node, (), 1)} if isinstance(document, dict) else {}
    rules = _rules(document, lines, problems)
    nodes = node
    if isinstance(node, yaml.MappingNode):
        nodes = next((value for key, value in node.value if getattr(key, "value", None) == "rules"), None)
    elements = nodes.value if isinstance(nodes, yaml.SequenceNode) else []
    entries = [
        Entry(rule, number, element.start_mark.line + 1, dict(islice(_lines(element, (), _DEPTH), _MAX_LINES)))
        for number, (rule, element) in enumerate(zip(rules, elements, strict=False), 1)
    ]
    return Document(entries, problems)


def _lines(node: Any, path: Keys, depth: int) -> Iterator[tuple[Keys, int]]:
    if depth and isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1
            yield from _lines(value, below, depth - 1)


def _given_twice(node: Any) -> Iterator[Problem]:
    """Keys that a mapping has twice. YAML would keep the last one and say nothing."""
    seen, todo = set(), [node]
    while todo:
        node = todo.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                todo.append(value)
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in first:
                        yield Problem(f"given twice, first in line {first[key.value]}", field=key.value, line=line)
                    first.setdefault(key.value, line)


def _from_toml(text: str) -> Document:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        raise _FormatError(f"not TOML: {error or 'nested too deeply'}", int(found[1]) if found else None) from error
    rows = text.splitlines()
    keys: dict[Keys, int] = {(key,): _toml_line(rows, 0, len(rows), key) or 1 for key in document}
    problems: list[Problem] = []
    rules = _rules(document, keys, problems)
    starts = [at for at, row in enumerate(rows) if re.match(r"\s*\[\[\s*[\"']?rules[\"']?\s*\]\]", row)]
    if len(starts) != len(rules):  # not written as [[rules]], or a text that holds such a line
        return Document([Entry(rule, number, keys.get(("rules",))) for number, rule in enumerate(rules, 1)], problems)
    entries = []
    for number, (rule, at, end) in enumerate(zip(rules, starts, [*starts, len(rows)][1:], strict=True), 1):
        lines = {}
        for path in _paths(rule, (), _DEPTH):
            line = _toml_line(rows, at, end, path[-1])
            if line is not None:
                lines[path] = line
        entries.append(Entry(rule, number, at + 1, lines))
    return Document(entries, problems)


def _paths(value: object, path: Keys, depth: int) -> Iterator[Keys]:
    if depth and isinstance(value, dict):
        for key, below in value.items():
            yield (*path, key)
            yield from _paths(below, (*path, key), depth - 1)


def _toml_line(rows: list[str], start: int, end: int, key: str) -> int | None:
    name = rf"[\"']?{re.escape(key)}[\"']?"
    for pattern in (rf"(?:^|[\s.{{,]){name}\s*[.=]", rf"^\s*\[.*(?:^|[\s.\[]){name}\s*\]"):
        for at in range(start, end):
            if re.search(pattern, rows[at].partition("#")[0]):
                return at + 1
    return None


def _rules(document: object, lines: dict[Keys, int], problems: list[Problem]) -> list[object]:
    if isinstance(document, dict):
        for key in document:
            if key != "rules":
                said = f"unknown key {shown(key)}{nearest(str(key), ['rules'])}"
                problems.append(Problem(said, line=lines.get((str(key),))))
        document = document.get("rules")
    if document is None:
        return []
    if not isinstance(document, list):
        problems.append(Problem("expected a list of rules", line=lines.get(("rules",))))
        return []
    return document

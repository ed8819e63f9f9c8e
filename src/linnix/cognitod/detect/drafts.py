"""A rule as far as files have told of it: the fields that were given, by whom, and on which line.

Owns the names of the fields that every rule has, their second names, and what it means that one file overrides
another. Refuses to judge values: ``checks`` does, once every file has spoken. Invariant: each field remembers the file
and the name it was given by, so that a mistake is told where it was made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from linnix.cognitod.detect.documents import Entry, Keys, Problem

#: Second name of a field → the first.
ALIASES = {"for": "hold", "keep_firing_for": "keep_firing"}
COMMON = (
    "name",
    "detector",
    "severity",
    "cooldown",
    "hold",
    "for",
    "keep_firing",
    "keep_firing_for",
    "scope",
    "labels",
    "runbook",
    "enabled",
)


@dataclass(frozen=True, slots=True)
class Field:
    """A value, the name it was given by, and where."""

    value: object
    written: str
    line: int | None
    file: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule as far as files have told of it: fields by their first names, those of its detector apart.

    ``inner`` has the lines of what is inside a field, by the keys that lead there.
    """

    name: str
    line: int | None
    file: str = ""
    common: dict[str, Field] = field(default_factory=dict)
    settings: dict[str, Field] = field(default_factory=dict)
    inner: dict[Keys, int] = field(default_factory=dict)

    def problem(self, message: str, name: str = "", below: Keys = ()) -> Problem:
        """Something that is wrong with the field of this name, or with what it holds."""
        given = self.common.get(name) or self.settings.get(name)
        if given is None:
            return Problem(message, self.name, name, self.line, self.file)
        line = self.inner.get((given.written, *below), given.line) if below else given.line
        return Problem(message, self.name, ".".join((given.written, *below)), line, given.file)

    def over(self, base: Draft) -> Draft:
        """These fields, and for the rest those of ``base``. Parameters of another detector mean nothing to this one."""
        before, now = base.common.get("detector"), self.common.get("detector")
        other = now is not None and before is not None and now.value != before.value
        settings = self.settings if other else base.settings | self.settings
        replaced = {given.written for given in self.common.values()}
        inner = {path: line for path, line in base.inner.items() if path[0] not in replaced}
        return replace(self, common=base.common | self.common, settings=settings, inner=inner | self.inner)


def draft(entry: Entry, file: str = "") -> tuple[Draft | None, list[Problem]]:
    """What an entry says, and what is wrong with how it says it. None: not even whose it is."""
    raw, at = entry.value, entry.number
    if not isinstance(raw, dict):
        return None, [Problem(f"expected keys and values, found {type(raw).__name__}", at, line=entry.line, file=file)]
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        return None, [Problem("missing or not a text", at, "name", entry.line_of(("name",)), file)]
    found = Draft(name, entry.line, file, inner=entry.lines)
    problems = []
    for key, value in raw.items():
        written = str(key)
        given = Field(value, written, entry.line_of((written,)), file)
        first = ALIASES.get(written, written)
        if written not in COMMON:
            found.settings[written] = given
        elif first in found.common:
            other = found.common[first].written
            said = f"means the same as {other}, which is given too; keep one of them"
            problems.append(Problem(said, found.name, written, given.line, file))
        else:
            found.common[first] = given
    problems += _unnest(found, entry)
    return found, problems


def _unnest(found: Draft, entry: Entry) -> list[Problem]:
    """Bring settings up that are nested, as in ``detector: {fork_burst: {threshold: 30}}``."""
    given = found.common.get("detector")
    if given is None or not isinstance(given.value, dict) or len(given.value) != 1:
        return []
    detector, nested = next(iter(given.value.items()))
    found.common["detector"] = replace(given, value=detector)
    if not isinstance(nested, dict):
        return [found.problem(f"{detector}: expected its settings", "detector")]
    for key, value in nested.items():
        line = entry.line_of(("detector", str(detector), str(key)))
        found.settings[str(key)] = Field(value, str(key), line, found.file)
    return []

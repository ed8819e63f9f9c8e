"""From a YAML file to a scenario, with errors that name file, line and the nearest valid name.

Owns positions: where in the text a field stands. Refuses to judge contents: ``scenario`` does. Invariant: a file is
read once, and ``Loaded.digest`` is of exactly those bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import msgspec
import yaml

from linnix.faultlab.checks import clashes, problems
from linnix.faultlab.errors import FormatError
from linnix.faultlab.scenario import INTERPRETERS, PARTS, Also, Command, Intensity, Needs, Scenario
from linnix.insight.classes import CLASSES

COLLECTION = Path(__file__).with_name("scenarios")
_LIMIT_BYTES = 256 * 1024
#: What YAML says of a script whose field lacks its bar, some lines later.
_TWO_COLONS = "mapping values are not allowed here"
_KEYS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_STRUCTS: Mapping[str, type[msgspec.Struct]] = {
    "": Scenario,
    "intensity": Intensity,
    "needs": Needs,
    "commands[]": Command,
    "decoys[]": Command,
    "also[]": Also,
}


@dataclass(frozen=True)
class Loaded:
    """A scenario, the file it is from, and the SHA-256 of that file."""

    path: Path
    digest: str
    scenario: Scenario
    lines: _Lines = field(repr=False, compare=False)


def files(*places: Path) -> list[Path]:
    """The scenario files that paths stand for: themselves, or those of a folder by name. Raises FormatError."""
    found: dict[Path, None] = {}
    for place in places:
        if not place.is_dir():
            found[place] = None
            continue
        within = sorted(path for path in place.iterdir() if path.suffix in (".yaml", ".yml"))
        if not within:
            raise FormatError(f"{place}: no scenario file (*.yaml) in this folder")
        found |= dict.fromkeys(within)
    return list(found)


def load_all(*places: Path) -> list[Loaded]:
    """Every scenario of files and folders. Raises FormatError for the first that is wrong, alone or beside others."""
    found = [load(path) for path in files(*places)]
    for error in disagreements(found):
        raise error
    return found


def disagreements(found: Sequence[Loaded]) -> Iterator[FormatError]:
    """What is wrong with files that are good each by itself: a name used twice, the test part's names in another."""
    seen: dict[str, Path] = {}
    for each in found:
        if (other := seen.setdefault(each.scenario.name, each.path)) != each.path:
            yield FormatError(f"{each.path}: the name {each.scenario.name!r} is that of {other}, too")
    for which, path, what in clashes([each.scenario for each in found]):
        yield found[which].lines.error(path, what)


def load(path: Path) -> Loaded:
    """One file. Raises FormatError with the first thing that is wrong."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from error
    if len(raw) > _LIMIT_BYTES:
        raise FormatError(f"{path}: larger than {_LIMIT_BYTES // 1024} KiB: this is no scenario")
    try:
        return Loaded(path, hashlib.sha256(raw).hexdigest(), *_parse(raw.decode(), str(path)))
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not UTF-8 at byte {error.start}") from error


def parse(text: str, where: str) -> Scenario:
    """A scenario from its text; ``where`` is what errors call it. Raises FormatError."""
    return _parse(text, where)[0]


def _parse(text: str, where: str) -> tuple[Scenario, _Lines]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise FormatError(f"{where}:1: a scenario is a mapping of fields")
        lines = _Lines(root, where)
        plain = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        hint = "; does a field of several lines begin with '|'?" if error.problem == _TWO_COLONS else ""
        raise FormatError(f"{where}:{mark.line + 1 if mark else 1}: {error.problem}{hint}") from error
    except RecursionError as error:  # `a: &x [*x]`
        raise FormatError(f"{where}:1: what refers to itself has no end") from error
    except (yaml.YAMLError, ValueError) as error:  # a character that YAML forbids; a date that is none
        raise FormatError(f"{where}:1: {error}") from error
    try:
        scenario = msgspec.convert(plain, type=Scenario, strict=True)
    except msgspec.ValidationError as error:
        raise lines.misshapen(str(error)) from error
    for path, what in problems(scenario):
        raise lines.error(path, what + _nearest_value(path, what))
    return scenario, lines


class _Lines:
    """Where each field stands. A key that is written twice is an error: YAML itself would keep the last."""

    def __init__(self, root: yaml.MappingNode, where: str) -> None:
        self._where = where
        self._lines = {"": 1}
        for path, node in self._walk("", root):
            self._lines[path] = node.start_mark.line + 1

    def error(self, path: str, what: str) -> FormatError:
        known = path
        while known not in self._lines:  # an absent field is told at what lacks it
            known = known.rpartition(".")[0] if "." in known else ""
        shown = "" if path == "" else f"{path}: "
        return FormatError(f"{self._where}:{self._lines[known]}: {shown}{what}")

    def misshapen(self, told: str) -> FormatError:
        """From msgspec's words: ``Object contains unknown field `x` - at `$.commands[0]```."""
        what, _, at = told.partition(" - at `")
        path = at.rstrip("`").removeprefix("$").removeprefix(".")
        unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
        if unknown is None:
            missing = re.fullmatch(r"Object missing required field `(.*)`", what)
            return self.error(path, f"field {missing[1]!r} is missing" if missing else what.lower().replace("`", "'"))
        field = unknown[1]
        struct = _STRUCTS.get(re.sub(r"\d+", "", path))
        valid = list(struct.__struct_encode_fields__) if struct else []
        near = get_close_matches(field, valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid are {', '.join(valid)}"
        return self.error(f"{path}.{field}".lstrip("."), f"unknown field, {hint}")

    def _walk(self, path: str, node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.tag not in _KEYS:
                    raise FormatError(f"{self._where}:{key.start_mark.line + 1}: the name of a field is a word")
                name: str = key.value
                if name in seen:
                    raise FormatError(f"{self._where}:{key.start_mark.line + 1}: {name!r} is written twice")
                seen.add(name)
                below = f"{path}.{name}".lstrip(".")
                yield below, key
                yield from self._walk(below, value)
        elif isinstance(node, yaml.SequenceNode):
            for at, value in enumerate(node.value):
                yield f"{path}[{at}]", value
                yield from self._walk(f"{path}[{at}]", value)


def _nearest_value(path: str, what: str) -> str:
    if not what.startswith("unknown "):
        return ""
    kind = what.split()[1]
    valid = list({"class": tuple(CLASSES), "part": PARTS, "interpreter": INTERPRETERS}[kind])
    near = get_close_matches(what.split("'")[1], valid, n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else f", valid are {', '.join(valid)}"

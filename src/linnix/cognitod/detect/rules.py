"""Rule files: from text to a list of checked rules.

Owns the format: the original's YAML list and TOML ``[[rules]]``, every detector of its in either. Refuses to guess:
an unknown severity, detector or field is an error that names the rule, the field and the nearest valid name.
Invariant: what ``load`` returns can be run as it is. Only ``load`` and ``defaults`` touch a file.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import yaml

from linnix.cognitod.detect.params import DETECTORS, MAX_COUNT, ExecRate, ForksPerSec, Params
from linnix.insight.classes import SEVERITIES

#: Seconds before the same offender is reported again, where the rule says nothing. The original's default.
DEFAULT_COOLDOWN_S = 60.0
#: The original reads a cooldown of 0 as this.
SHORTEST_COOLDOWN_S = 0.1
#: Seconds a finding stays open after its condition was last seen, where the rule says nothing.
DEFAULT_KEEP_FIRING_S = 10.0

_COMMON = ("name", "detector", "severity", "cooldown", "hold", "keep_firing")


class RuleError(ValueError):
    """A rule file that cannot be used; the message says which rule, which field and what would be valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: when it fires (``params``), how grave that is, how often it may say so.

    ``hold_s``: for how long the condition must hold for one offender before it is a finding.
    """

    name: str
    params: Params
    severity: str = "info"
    cooldown_s: float = DEFAULT_COOLDOWN_S
    hold_s: float = 0.0
    keep_firing_s: float = DEFAULT_KEEP_FIRING_S

    @property
    def detector(self) -> str:
        """Name of the detector, as in the rule file."""
        return str(self.params.__struct_config__.tag)


def load(path: Path) -> list[Rule]:
    """Read a rule file. The extension says which format is tried first; the other is tried next.

    Raises ``RuleError`` for a file that is no valid rule file, ``OSError`` for one that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}: not a text file: {error.reason} at byte {error.start}") from error
    try:
        return parse(text, yaml_first=path.suffix.lower() in (".yaml", ".yml"))
    except RuleError as error:
        raise RuleError(f"{path}: {error}") from error


def defaults() -> list[Rule]:
    """The rules that ship with the package, for a host without a rule file of its own."""
    return parse(resources.files("linnix.cognitod.detect").joinpath("default.yaml").read_text(encoding="utf-8"))


def parse(text: str, *, yaml_first: bool = True) -> list[Rule]:
    """Rules of a text. An empty one has none. Raises ``RuleError``."""
    if not text.strip():
        return []
    readers = (_from_yaml, _from_toml) if yaml_first else (_from_toml, _from_yaml)
    problems = []
    for reader in readers:
        try:
            document = reader(text)
        except RuleError as error:
            problems.append(str(error))
            continue
        return _rules(document)
    raise RuleError("; ".join(problems))


def _from_yaml(text: str) -> object:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RuleError("not YAML: " + " ".join(str(error).split())) from error
    if document is not None and not isinstance(document, list | dict):
        raise RuleError("not YAML: expected a list of rules")
    return document


def _from_toml(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"not TOML: {error}") from error


def _rules(document: object) -> list[Rule]:
    if isinstance(document, dict):
        for key in document:
            if key != "rules":
                raise RuleError(f"unknown key {key!r}{_nearest(key, ['rules'])}")
        document = document.get("rules")
    if document is None:
        return []
    if not isinstance(document, list):
        raise RuleError("expected a list of rules")
    rules: list[Rule] = []
    names: set[str] = set()
    for number, raw in enumerate(document, 1):
        rule = _rule(raw, number)
        if rule.name in names:
            raise RuleError(f"rule {rule.name!r}: the name is used twice; cooldowns are kept by name")
        names.add(rule.name)
        rules.append(rule)
    return rules


def _rule(raw: object, number: int) -> Rule:
    if not isinstance(raw, dict):
        raise RuleError(f"rule {number}: expected keys and values, found {type(raw).__name__}")
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise RuleError(f"rule {number}: name: missing or not a text")
    where = f"rule {name!r}"
    detector, settings = _detector(raw, where)
    known = DETECTORS.get(detector)
    if known is None:
        raise RuleError(f"{where}: detector: unknown {detector!r}{_nearest(detector, DETECTORS)}")
    for key in settings:
        if key not in known.__struct_fields__:
            nearest = _nearest(str(key), (*known.__struct_fields__, *_COMMON))
            raise RuleError(f"{where}: unknown field {key!r} for {detector}{nearest}")
    return Rule(
        name=name,
        params=_params(known, settings, where),
        severity=_severity(raw.get("severity", "info"), where),
        cooldown_s=max(_seconds(raw, "cooldown", DEFAULT_COOLDOWN_S, where), SHORTEST_COOLDOWN_S),
        hold_s=_seconds(raw, "hold", 0.0, where),
        keep_firing_s=_seconds(raw, "keep_firing", DEFAULT_KEEP_FIRING_S, where),
    )


def _detector(raw: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """Name and settings: flat, or nested as in ``detector: {fork_burst: {threshold: 30}}``."""
    settings = {key: value for key, value in raw.items() if key not in _COMMON}
    detector = raw.get("detector")
    if isinstance(detector, dict) and len(detector) == 1:
        detector, nested = next(iter(detector.items()))
        if not isinstance(nested, dict):
            raise RuleError(f"{where}: detector: {detector}: expected its settings")
        settings |= nested
    if not isinstance(detector, str):
        raise RuleError(f"{where}: detector: missing; one of {', '.join(DETECTORS)}")
    return detector, settings


def _params(known: type[Params], settings: Mapping[str, Any], where: str) -> Params:
    try:
        params = msgspec.convert({"detector": known.__struct_config__.tag, **settings}, known)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$.")
        field = at.rstrip("`")
        raise RuleError(f"{where}: {field}: {what}" if field else f"{where}: {what}") from error
    if isinstance(params, ExecRate):
        try:
            re.compile(params.regex)
        except re.error as error:
            raise RuleError(f"{where}: regex: {error} in {params.regex!r}") from error
    if isinstance(params, ForksPerSec) and params.threshold * params.duration > MAX_COUNT:
        raise RuleError(f"{where}: duration: threshold x duration is above {MAX_COUNT}, more than can be counted")
    return params


def _severity(value: object, where: str) -> str:
    severity = str(value).lower()
    if severity not in SEVERITIES:
        raise RuleError(f"{where}: severity: unknown {value!r}{_nearest(severity, SEVERITIES)}")
    return severity


def _seconds(raw: Mapping[str, Any], key: str, default: float, where: str) -> float:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 7 * 86_400:
        raise RuleError(f"{where}: {key}: expected seconds from 0 to a week, found {value!r}")
    return float(value)


def _nearest(word: str, valid: Iterable[str]) -> str:
    valid = list(valid)
    match = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else f"; one of {', '.join(valid)}"

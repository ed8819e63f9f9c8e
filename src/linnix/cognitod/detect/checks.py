"""From a draft to a rule: what each field may hold.

Owns bounds and defaults of the fields that every rule has. Refuses to stop at the first mistake: everything that is
wrong with a rule is told at once. Invariant: a ``Rule`` that was made here can be run as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from linnix.cognitod.detect import scope as scopes
from linnix.cognitod.detect.documents import Keys, Problem, guess, nearest, shown
from linnix.cognitod.detect.drafts import COMMON, Draft
from linnix.cognitod.detect.params import DETECTORS, MAX_COUNT, ExecRate, ForksPerSec, Params
from linnix.cognitod.detect.scope import EVERYBODY, Scope
from linnix.cognitod.detect.signs import ShortJobLoop
from linnix.insight.classes import SEVERITIES

#: Seconds before the same offender is reported again, where the rule says nothing. The original's default.
DEFAULT_COOLDOWN_S = 60.0
#: The original reads a cooldown of 0 as this.
SHORTEST_COOLDOWN_S = 0.1
#: Seconds a finding stays open after its condition was last seen, where the rule says nothing.
DEFAULT_KEEP_FIRING_S = 10.0
LONGEST_S = 7 * 86_400

MAX_LABELS = 16
MAX_LABEL_LEN = 256
MAX_RUNBOOK_LEN = 2000

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: when it fires (``params``), of whom it speaks, how grave that is, how often it may say so.

    ``hold_s``: for how long the condition must hold for one offender before it is a finding.
    """

    name: str
    params: Params
    severity: str = "info"
    cooldown_s: float = DEFAULT_COOLDOWN_S
    hold_s: float = 0.0
    keep_firing_s: float = DEFAULT_KEEP_FIRING_S
    scope: Scope = EVERYBODY
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str | None = None

    @property
    def detector(self) -> str:
        """Name of the detector, as in the rule file."""
        return str(self.params.__struct_config__.tag)


def make(drafted: Draft) -> tuple[Rule | None, list[Problem]]:
    """The rule; None with everything that is wrong with it, and None without where it is switched off."""
    problems: list[Problem] = []
    make_ = _Maker(drafted, problems)
    enabled = make_.value("enabled", True)
    if not isinstance(enabled, bool):
        problems.append(drafted.problem(f"expected true or false, found {shown(enabled)}", "enabled"))
    params = make_.params()
    severity = make_.severity()
    cooldown_s = make_.seconds("cooldown", DEFAULT_COOLDOWN_S)
    hold_s = make_.seconds("hold", 0.0)
    keep_firing_s = make_.seconds("keep_firing", DEFAULT_KEEP_FIRING_S)
    scope = scopes.parse(
        make_.value("scope", None), lambda below, said: problems.append(drafted.problem(said, "scope", below))
    )
    labels, runbook = make_.labels(), make_.runbook()
    if problems or params is None or not enabled:
        return None, problems
    return Rule(
        name=drafted.name,
        params=params,
        severity=severity,
        cooldown_s=max(cooldown_s, SHORTEST_COOLDOWN_S),
        hold_s=hold_s,
        keep_firing_s=keep_firing_s,
        scope=scope,
        labels=labels,
        runbook=runbook,
    ), []


@dataclass(frozen=True, slots=True)
class _Maker:
    drafted: Draft
    problems: list[Problem]

    def tell(self, message: str, name: str = "", below: Keys = ()) -> None:
        self.problems.append(self.drafted.problem(message, name, below))

    def value(self, name: str, default: object) -> Any:
        given = self.drafted.common.get(name)
        return default if given is None else given.value

    def params(self) -> Params | None:
        detector = self.value("detector", None)
        if not isinstance(detector, str):
            self.tell(f"missing; one of {', '.join(DETECTORS)}", "detector")
            return None
        known = DETECTORS.get(detector)
        if known is None:
            self.tell(f"unknown {shown(detector)}{nearest(detector, DETECTORS)}", "detector")
            return None
        settings = self.drafted.settings
        unknown = [key for key in settings if key not in known.__struct_fields__]
        for key in unknown:
            self.tell(f"unknown field {key!r} for {detector}{nearest(key, (*known.__struct_fields__, *COMMON))}", key)
        for key, given in settings.items():
            if isinstance(given.value, float) and not math.isfinite(given.value):
                self.tell(f"expected a number that ends, found {shown(given.value)}", key)
                return None
        meant = {guess(key, known.__struct_fields__) for key in unknown}
        return self._convert(known, {key: given.value for key, given in settings.items() if key not in unknown}, meant)

    def _convert(self, known: type[Params], settings: dict[str, Any], meant: set[str | None]) -> Params | None:
        """The parameters, or what is wrong with them; that one is missing is not told twice of one misspelled."""
        for name in (each.name for each in msgspec.structs.fields(known) if each.required):
            if name not in settings and name not in meant:
                self.tell(f"Object missing required field `{name}`")
        params, wrong = None, set[str]()
        # One mistake at a time is told by msgspec, so what is wrong is put aside until nothing is.
        while params is None:
            rest = {key: value for key, value in settings.items() if key not in wrong}
            try:
                params = msgspec.convert({"detector": known.__struct_config__.tag, **rest}, known)
            except msgspec.ValidationError as error:
                what, _, at = str(error).partition(" - at `$.")
                name = at.rstrip("`").partition("[")[0]
                if name not in rest:  # one is missing, which was told
                    if not self.problems:
                        self.tell(what)
                    return None
                self.tell(what, name)
                wrong.add(name)
        if wrong:
            return None
        if isinstance(params, ExecRate):
            try:
                re.compile(params.regex)
            except re.error as error:
                self.tell(f"{error} in {params.regex!r}", "regex")
        if isinstance(params, ForksPerSec | ShortJobLoop) and params.threshold * params.duration > MAX_COUNT:
            self.tell(f"threshold x duration is above {MAX_COUNT}, more than can be counted", "duration")
        return params

    def severity(self) -> str:
        value = self.value("severity", "info")
        severity = value.lower() if isinstance(value, str) else ""
        if severity not in SEVERITIES:
            self.tell(f"unknown {shown(value)}{nearest(severity, SEVERITIES)}", "severity")
        return severity

    def seconds(self, name: str, default: float) -> float:
        value = self.value(name, default)
        if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
            parts = re.findall(r"([\d.]+)([a-z]+)", value)
            value = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S:
            given = self.value(name, default)
            self.tell(f"expected seconds from 0 to a week, found {shown(given)}; or as 90s, 5m or 1h", name)
            return default
        return float(value)

    def labels(self) -> dict[str, str]:
        value = self.value("labels", None)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.tell(f"expected names and texts, found {shown(value)}", "labels")
            return {}
        if len(value) > MAX_LABELS:
            self.tell(f"expected at most {MAX_LABELS}, found {len(value)}", "labels")
        for key, label in value.items():
            if not isinstance(key, str) or not _LABEL.fullmatch(key):
                self.tell("a name has letters, digits and _ . / -, at most 63", "labels", (str(key),))
            elif not isinstance(label, str):
                self.tell(f"expected a text, found {shown(label)}; put it in quotes", "labels", (key,))
            elif len(label) > MAX_LABEL_LEN or not (label.isprintable()):
                self.tell(f"expected one line of at most {MAX_LABEL_LEN} characters", "labels", (key,))
        return dict(value)

    def runbook(self) -> str | None:
        value = self.value("runbook", None)
        if value is None:
            return None
        if not isinstance(value, str):
            self.tell(f"expected a text, found {shown(value)}", "runbook")
            return None
        if len(value) > MAX_RUNBOOK_LEN:
            self.tell(f"expected at most {MAX_RUNBOOK_LEN} characters, found {len(value)}", "runbook")
        if not all(char.isprintable() or char in "\n\t" for char in value):
            self.tell("has control characters", "runbook")
        return value.strip() or None

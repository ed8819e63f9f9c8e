"""Whom a rule is about: globs on the name, the unit, the control group and the pod of an offender, and its user.

Owns the comparison. Refuses to look anything up by itself: where a process lives is asked of a function that is handed
in, and only when name and user fit already. Invariant: a finding about no process in particular is in no scope, and
what is not known about a process matches nothing, not even ``*``.

Globs are those of a shell (``*``, ``?``, ``[abc]``), compared with the whole text, upper and lower case apart; ``*``
matches slashes too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from linnix.cognitod.detect.documents import Keys, nearest, shown
from linnix.cognitod.model import Finding, Home

#: Says where a process lives, by its pid and start_ns.
HomeOf = Callable[[int, int], Home]
#: Tells what is wrong with a field.
Tell = Callable[[Keys, str], None]

KEYS = ("comm", "unit", "cgroup", "uid", "pod")
MAX_GLOBS = 64
MAX_GLOB_LEN = 256
_MAX_UID = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Every key that is given must match, and of a list any element. Without any it covers everything."""

    comm: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    cgroup: tuple[str, ...] = ()
    uid: tuple[int, ...] = ()
    pod: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, key) for key in KEYS)

    def __str__(self) -> str:
        given = [(key, getattr(self, key)) for key in KEYS if getattr(self, key)]
        return " ".join(f"{key}={','.join(map(str, wanted))}" for key, wanted in given)

    def covers(self, finding: Finding, uid: int | None, home_of: HomeOf) -> bool:
        """Whether the offender of a finding is one of those. ``uid``: the user it runs as."""
        if not self:
            return True
        if finding.pid is None or finding.start_ns is None:
            return False
        if (self.comm and not _any(self.comm, finding.comm)) or (self.uid and uid not in self.uid):
            return False
        if not (self.unit or self.cgroup or self.pod):
            return True
        home = home_of(finding.pid, finding.start_ns)
        return (
            (not self.unit or _any(self.unit, home.unit))
            and (not self.cgroup or _any(self.cgroup, home.cgroup))
            and (not self.pod or self._in_pod(home))
        )

    def _in_pod(self, home: Home) -> bool:
        """A glob with a slash is held against ``namespace/pod``, one without against the pod's name."""
        if home.pod is None:
            return False
        full = f"{home.namespace}/{home.pod}"
        return any(_any((glob,), full if "/" in glob else home.pod) for glob in self.pod)


EVERYBODY = Scope()


def _any(globs: tuple[str, ...], known: str | None) -> bool:
    return known is not None and any(_compiled(glob).match(known) for glob in globs)


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


def parse(value: object, tell: Tell) -> Scope:
    """The scope of a rule; what is wrong with it is told."""
    if value is None:
        return EVERYBODY
    if not isinstance(value, dict):
        tell((), f"expected any of {', '.join(KEYS)}, found {shown(value)}")
        return EVERYBODY
    found: dict[str, tuple[str, ...] | tuple[int, ...]] = {}
    for key, wanted in value.items():
        if key not in KEYS:
            tell((str(key),), f"unknown field{nearest(str(key), KEYS)}")
            continue
        each = wanted if isinstance(wanted, list) else [wanted]
        wrong = _wrong_uids(each) if key == "uid" else _wrong_globs(each)
        if wrong:
            tell((key,), wrong)
        else:
            found[key] = tuple(each)
    return Scope(**found)  # type: ignore[arg-type]


def _wrong_uids(each: list[object]) -> str:
    if not 0 < len(each) <= MAX_GLOBS:
        return f"expected 1 to {MAX_GLOBS} users, found {len(each)}"
    for uid in each:
        if isinstance(uid, bool) or not isinstance(uid, int) or not 0 <= uid <= _MAX_UID:
            return f"expected the number of a user, or a list of them, found {shown(uid)}"
    return ""


def _wrong_globs(each: list[object]) -> str:
    if not 0 < len(each) <= MAX_GLOBS:
        return f"expected 1 to {MAX_GLOBS} globs, found {len(each)}"
    for glob in each:
        if not isinstance(glob, str) or not 0 < len(glob) <= MAX_GLOB_LEN:
            return f"expected a glob of 1 to {MAX_GLOB_LEN} characters, or a list of them, found {shown(glob)}"
    return ""

"""What a data set does not tell of the host that it was recorded on.

Owns what is left out or renamed when runs are packed. Refuses to change what the laboratory itself started, and every
figure. Invariants: command lines of others are numbered, so that equal ones stay equal; groups, mounts and paths that
are not the laboratory's or every host's have no name left; the same run gives the same bytes.

A host has other things to do while it records, and whoever shares a recording need not share those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from linnix.faultlab import proc
from linnix.faultlab.cgroups import SLICE
from linnix.faultlab.truth import Truth

_HOSTNAME = "lab"
#: Where a scenario's programs and its data lie while it runs, and any other place that not every host has.
_LABORATORY = re.compile(r"[^\s\"'=]*/\.app-[0-9a-f]+/")
_ELSEWHERE = re.compile(
    r"(?<![\w.…/-])/(?!(?:usr|bin|sbin|lib\w*|etc|dev|proc|sys|tmp|var|run|app)(?:/|\s|$))[^\s\"'=/…]+/[^\s\"'=]*/"
)
_HERE = "/app/"
#: What else tells where a process lives.
_HOMES = {"unit", "container", "container_name", "pod"}
#: What ``/status`` says of the daemon itself.
_STATUS = (
    "version", "uptime_s", "offline", "cpu_pct", "rss_mb", "events_per_sec", "rb_overflows", "rate_limited",
    "kernel_version", "transport", "active_rules", "dropped_events_total",
)  # fmt: skip


class Private:
    """The files of one run without what is the host's own affair."""

    def __init__(self, truth: Truth) -> None:
        self._ours = {(pid, start // proc.TICK_NS) for ran in truth.commands for pid, start in ran.processes}
        self._groups: dict[str, str] = {}
        self._mounts: dict[str, str] = {"/": "/"}
        self._commands: dict[str, int] = {}

    def file(self, name: str, content: bytes) -> bytes:
        """One of them; ``content`` is JSON, of ``facts.jsonl`` one line each."""
        match name:
            case "facts.jsonl":
                return b"".join(_rewritten(line, self._line) + b"\n" for line in content.split(b"\n") if line)
            case "meta.json":
                return msgspec.json.format(_rewritten(content, _mend_meta), indent=1)
            case _:
                return content

    def _line(self, line: dict[str, Any]) -> None:
        facts = line.get("facts")
        if facts:
            facts["host"]["hostname"] = _HOSTNAME
            ours = {p["id"] for p in facts["processes"] if (p["pid"], p["start_ns"] // proc.TICK_NS) in self._ours}
            self._hide_groups([*facts["processes"], *facts.get("oom_kills", ())])
            for space in facts.get("filesystems", ()):
                space["mount"] = self._mounts.setdefault(space["mount"], self._mount(space["mount"]))
            for job in facts.get("jobs", ()):
                job["command"] = self._command(job, job["parent"] in ours)
        for finding in line.get("findings") or ():
            self._hide_groups(filter(None, [finding.get("process"), *finding.get("victims", ())]))

    def _command(self, job: dict[str, Any], ours: bool) -> str:
        command: str = job["command"]
        if ours:
            return _ELSEWHERE.sub(_HERE, _LABORATORY.sub(_HERE, command))
        return f"{job['comm']} {self._commands.setdefault(command, len(self._commands) + 1)}" if command else ""

    def _mount(self, mount: str) -> str:
        laboratory = _LABORATORY.sub(_HERE, mount)
        return laboratory if laboratory != mount else f"/mnt/{len(self._mounts)}"

    def _hide_groups(self, of: Iterable[dict[str, Any]]) -> None:
        for each in of:
            cgroup = each.get("cgroup")
            if cgroup and cgroup != "/" and not cgroup.startswith(f"/{SLICE}/"):
                each["cgroup"] = self._groups.setdefault(cgroup, f"/host/{len(self._groups) + 1}")
                each.update(dict.fromkeys(_HOMES & each.keys()))


def _rewritten(content: bytes, mend: Callable[[dict[str, Any]], None]) -> bytes:
    document = msgspec.json.decode(content)
    mend(document)
    return msgspec.json.encode(document)


def _mend_meta(meta: dict[str, Any]) -> None:
    if "hostname" in meta.get("host", {}):
        meta["host"]["hostname"] = _HOSTNAME
    daemon = meta.get("daemon", {})
    if daemon.get("status"):
        daemon["status"] = {name: value for name, value in daemon["status"].items() if name in _STATUS}

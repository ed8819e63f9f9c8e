"""What a data set does not tell of the host that it was recorded on.

Owns what is left out when runs are packed. Refuses to change what the laboratory itself started, and every figure.
Invariants: command lines are those of the laboratory's processes only; no path of the host is left, and no group but
the laboratory's keeps its name; the same run gives the same bytes.

A host has other things to do while it records, and whoever shares a recording need not share those.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from linnix.faultlab import proc
from linnix.faultlab.cgroups import SLICE
from linnix.faultlab.truth import Truth

#: Where a scenario's programs lie while it runs: below the folder of the recordings, which is the host's own affair.
_PROGRAMS = re.compile(r"[^\s\"']*/\.app-[0-9a-f]+/")
_HERE = "/app/"
#: What else tells where a process lives.
_HOMES = {"unit", "container", "container_name", "pod"}
#: What ``/status`` says of others.
_OTHERS = ("top_rss", "top_cpu")


class Private:
    """The files of one run without what is the host's own affair."""

    def __init__(self, truth: Truth) -> None:
        self._ours = {(pid, start // proc.TICK_NS) for ran in truth.commands for pid, start in ran.processes}
        self._groups: dict[str, str] = {}

    def file(self, name: str, content: bytes) -> bytes:
        """One of them; ``content`` is JSON, of ``facts.jsonl`` one line each."""
        match name:
            case "facts.jsonl":
                return b"".join(self._rewritten(line, self._line) + b"\n" for line in content.split(b"\n") if line)
            case "meta.json":
                return msgspec.json.format(self._rewritten(content, self._meta), indent=1)
            case _:
                return content

    def _rewritten(self, content: bytes, mend: Callable[[dict[str, Any]], None]) -> bytes:
        document = msgspec.json.decode(content)
        mend(document)
        return msgspec.json.encode(document)

    def _line(self, line: dict[str, Any]) -> None:
        facts = line.get("facts")
        if facts:
            ours = {p["id"] for p in facts["processes"] if (p["pid"], p["start_ns"] // proc.TICK_NS) in self._ours}
            for process in [*facts["processes"], *facts["oom_kills"]]:
                self._hide_group(process)
            for job in facts["jobs"]:
                job["command"] = _PROGRAMS.sub(_HERE, job["command"]) if job["parent"] in ours else ""
        for finding in line.get("findings") or ():
            if finding.get("process"):
                self._hide_group(finding["process"])

    def _hide_group(self, of: dict[str, Any]) -> None:
        cgroup = of.get("cgroup")
        if cgroup and cgroup != "/" and not cgroup.startswith(f"/{SLICE}/"):
            of["cgroup"] = self._groups.setdefault(cgroup, f"/host/{len(self._groups) + 1}")
            of |= dict.fromkeys(_HOMES & of.keys())

    def _meta(self, meta: dict[str, Any]) -> None:
        status = meta.get("daemon", {}).get("status") or {}
        for name in _OTHERS:
            status.pop(name, None)

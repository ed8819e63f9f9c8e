"""`linnix doctor`: what this host offers and lacks, and how to mend it.

Owns the verdicts. Refuses to change anything. Invariant: `fail` stands only for what keeps Linnix from working at all;
a host without eBPF is usable (the daemon then reads /proc and says so), so that is `warn`.
"""

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from linnix.cli._errors import ExitCode

Verdict = Literal["ok", "warn", "fail"]

_DISK_FAIL_BYTES = 50_000_000
# The converted bundled model takes 145 MB; the rest is room for what the daemon writes.
_DISK_WARN_BYTES = 500_000_000


@dataclass(frozen=True)
class Check:
    """One line of the report: `detail` is what was found, `mend` what to do unless it is ok."""

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""


def doctor(
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="cognitod's configuration.")] = None,
    model_port: Annotated[
        int, typer.Option(min=1, max=65535, envvar="LLAMA_PORT", help="The model server's port.")
    ] = 8090,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR and a pipe do the same.")] = False,
) -> None:
    """Check what Linnix needs on this host, and say how to mend what is missing.

    Exit code 0 when it can run here, if need be without eBPF; 1 when something it cannot do without is missing.
    """
    checks = [*_python(), *_kernel(), *_pressure(), *_cgroup2(), *_model(), *_disk(), *_ports(config, model_port)]
    checks += _probes(config, model_port)
    usable = all(check.verdict != "fail" for check in checks)
    if as_json:
        print(json.dumps({"usable": usable, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _show(checks, colour=not no_color and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    raise typer.Exit(ExitCode.DONE if usable else ExitCode.FAILED)


def _show(checks: list[Check], colour: bool) -> None:
    from linnix.insight.render import clean

    paint = {"ok": "32", "warn": "33", "fail": "31"}
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = f"\x1b[{paint[check.verdict]}m{check.verdict:<4}\x1b[0m" if colour else f"{check.verdict:<4}"
        print(f"{mark}  {check.name:<{width}} {clean(check.detail)}")
        if check.mend and check.verdict != "ok":
            print(f"      {'':<{width}} → {clean(check.mend)}")
    count = {verdict: sum(check.verdict == verdict for check in checks) for verdict in paint}
    if count["fail"]:
        print(f"\nLinnix cannot run here yet: {count['fail']} of {len(checks)} checks failed.")
    elif count["warn"]:
        print(f"\nLinnix runs here, with less than it could: {count['warn']} of {len(checks)} checks warn.")
    else:
        print(f"\nAll {len(checks)} checks passed.")


def _python() -> Iterator[Check]:
    # Too old a Python cannot have installed us; what is worth a line is which one it is.
    yield Check("python", "ok", f"{platform.python_version()}, {sys.executable}")


def _kernel() -> Iterator[Check]:
    """The requirements of eBPF, as the daemon itself checks them; each missing one costs sight, not service."""
    from linnix.cognitod.kernel import preflight

    for check in preflight.checks():
        if check.ok:
            yield Check(check.name, "ok", check.detail)
        else:
            yield Check(check.name, "warn", f"{check.detail}: the daemon would read /proc instead", check.mend)


def _pressure(proc: Path = Path("/proc")) -> Iterator[Check]:
    missing = [name for name in ("cpu", "memory", "io") if not _readable(proc / "pressure" / name)]
    if missing:
        yield Check(
            "pressure",
            "warn",
            f"no pressure stall information for {', '.join(missing)}: who waits stays unknown",
            "boot with psi=1, on a kernel with CONFIG_PSI=y",
        )
    else:
        yield Check("pressure", "ok", str(proc / "pressure"))


def _readable(path: Path) -> bool:
    # Opening is not enough: a kernel booted with psi=0 has the files and answers the read with EOPNOTSUPP.
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def _cgroup2(mounts: Path = Path("/proc/self/mounts")) -> Iterator[Check]:
    for line in mounts.read_text().splitlines():
        _device, where, kind, *_rest = line.split(" ")
        if kind == "cgroup2":
            controllers = (Path(where) / "cgroup.controllers").read_text().split()
            if {"cpu", "memory"} <= set(controllers):
                yield Check("cgroup2", "ok", f"{where}: {' '.join(controllers)}")
            else:
                yield Check(
                    "cgroup2",
                    "warn",
                    f"{where} has no cpu and memory controllers: no figures of units and containers",
                    "boot with systemd.unified_cgroup_hierarchy=1",
                )
            return
    yield Check(
        "cgroup2", "warn", "not mounted: units and containers are read process by process", "mount -t cgroup2 none DIR"
    )


def _model() -> Iterator[Check]:
    from linnix.modelserver import artifacts
    from linnix.modelserver.header import ModelError, read_header
    from linnix.modelserver.server import choose_runtime

    runtime, _binary = choose_runtime("auto")
    if runtime == "xllamacpp" and not _can_load("libgomp.so.1"):
        yield Check(
            "runtime",
            "warn",
            "libgomp.so.1 is not here: no model, the rules explain",
            "apt install libgomp1 or the like",
        )
    else:
        yield Check("runtime", "ok", f"the model runs in {runtime}")
    try:
        found = artifacts.locate(os.environ.get("LINNIX_MODEL"))
        if found is not None:
            header = read_header(found[0])
            yield Check("model", "ok", f"{found[0]} ({found[1]}, {header.name or header.architecture or 'unnamed'})")
            return
        target = artifacts.bundled_target()
        if target.is_file():
            yield Check("model", "ok", f"{target} (bundled)")
            return
        yield Check("model", "ok", f"{artifacts.bundled_source()} (bundled; converted at the first start)")
    except ModelError as error:
        what, _, mend = str(error).partition("\n")
        yield Check("model", "warn", f"{what}: the rules explain without one", " ".join(mend.split()))


def _can_load(library: str) -> bool:
    import ctypes

    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _disk() -> Iterator[Check]:
    from linnix.modelserver.artifacts import data_dir

    place = data_dir()
    mend = "name another directory in LINNIX_DATA_DIR"
    existing = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK) or not existing.is_dir():
        yield Check("disk", "fail", f"{place} cannot be written by this user", mend)
        return
    free = shutil.disk_usage(existing).free
    verdict: Verdict = "fail" if free < _DISK_FAIL_BYTES else "warn" if free < _DISK_WARN_BYTES else "ok"
    yield Check("disk", verdict, f"{free / 1e9:.1f} GB free in {place}", f"free some space there, or {mend}")


def _ports(config: Path | None, model_port: int) -> Iterator[Check]:
    from linnix.cli import _stack
    from linnix.cli._errors import CommandError

    try:
        services = _stack.services(config, None, None, model_port, None)
    except CommandError as error:
        yield Check("config", "fail", str(error), error.advice)
        return
    for service in services:
        running = service.health() != "absent"
        for address, obstacle in service.obstacles().items():
            if not obstacle:
                yield Check("port", "ok", f"{address} is free for {service.name}")
            elif running:
                yield Check("port", "ok", f"{address} is served by a running {service.name}")
            else:
                yield Check(
                    "port",
                    "fail",
                    f"{service.name} cannot listen on {address}: {obstacle}",
                    "stop that process, or give another port (linnix up --help)",
                )


def _probes(config: Path | None, model_port: int) -> Iterator[Check]:
    """The table of probes: of the daemon that runs, else what one would have, tried and taken back."""
    from linnix.cli import _stack
    from linnix.cli._errors import CommandError
    from linnix.cli._service import fetch

    try:
        daemon = _stack.services(config, None, None, model_port, None)[0]
    except CommandError:  # told by _ports
        return
    for url in (daemon.address.url, *(other.url for other in daemon.others)):  # the second one asks for no token
        told = fetch(url + "/readyz")[1].get("probes")
        if isinstance(told, dict):
            for name, words in told.items():
                state, _, reason = str(words).partition(": ")
                yield _probe(str(name), state, reason, True)
            return
    from linnix.cognitod import blaming, instruments
    from linnix.cognitod.config import load
    from linnix.cognitod.host.cgroup import find_mount

    settings, _warnings = load(config)
    meters = blaming.choose(settings, find_mount())
    for line in instruments.trial(settings, meters.engagements):
        yield _probe(line.name, line.state, line.reason, False)


def _probe(name: str, state: str, reason: str, running: bool) -> Check:
    told = state if running else {"failed": "would fail"}.get(state, f"would be {state}")
    detail = f"{told}: {reason}" if reason else told
    return Check(f"probe {name}", "warn" if state == "failed" else "ok", detail, "docs/probes.md says what it needs")

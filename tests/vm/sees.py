"""Runs in the virtual machine, with the daemon's own Python: makes trouble between real units and asks who did it.

The last line is one JSON object, `{"seen": {...}}`. Standard library only, and every wait has a limit. What is compared
with the daemon's answers is read here from the kernel's own files: `cpu.pressure`, `cpu.stat` and `memory.events`.
"""

import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from inside import count_forks, get, wait_for

SPIN = "while True: pass"
GROW = "held = []\nwhile True: held.append(bytearray(1 << 20))"
CGROUPS = Path("/sys/fs/cgroup/system.slice")
#: How long two units fight over one core.
CONTEND_S = 20.0
API = 3000


def start(unit: str, program: str, **properties: str) -> None:
    """A transient service of that name which runs a Python program."""
    given = [f"--property={name}={value}" for name, value in properties.items()]
    command = ["systemd-run", "--quiet", f"--unit={unit}", *given, "/usr/bin/python3", "-c", program]
    subprocess.run(command, check=True)


def stop(*units: str) -> None:
    subprocess.run(["systemctl", "stop", *units], check=False)
    subprocess.run(["systemctl", "reset-failed", *units], check=False, stderr=subprocess.DEVNULL)


def stalled_ms(unit: str) -> float:
    """`some total` of a service's cpu.pressure."""
    line = (CGROUPS / f"{unit}.service/cpu.pressure").read_text().splitlines()[0]
    return int(line.rpartition("=")[2]) / 1000


def stat(path: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.split()[0] == name)


def blame(unit: str, since: float, until: float) -> dict[str, Any]:
    """Who made this unit wait, asked while its control group is there: what it waited is read from that."""
    victim = quote(f"{unit}.service")
    status, body = get(API, f"/blame?resource=cpu&by=unit&victim={victim}&from={since:.3f}&to={until:.3f}")
    return {"status": status, **body}


def contention() -> dict[str, Any]:
    """A victim and an offender of equal rights on one core."""
    since = time.time()
    start("offender", SPIN, CPUAffinity="1")
    start("victim", SPIN, CPUAffinity="1")
    time.sleep(CONTEND_S)
    processes = get_list("/processes?filter=unit=victim.service")
    pressure_ms, until = stalled_ms("victim"), time.time()
    time.sleep(4)  # the reading that holds this moment is in by then
    found = blame("victim", since, until)
    stop("victim", "offender")
    return {"blame": found, "pressure_ms": pressure_ms, "units": [process.get("unit") for process in processes]}


def quota() -> dict[str, Any]:
    """A unit that may use a fifth of a core and wants all of it, with nobody beside it."""
    since = time.time()
    start("limited", SPIN, CPUQuota="20%", CPUAffinity="1")
    time.sleep(CONTEND_S)
    throttled_ms, until = stat(CGROUPS / "limited.service/cpu.stat", "throttled_usec") / 1000, time.time()
    time.sleep(4)
    found = blame("limited", since, until)
    stop("limited")
    return {"blame": found, "throttled_ms": throttled_ms}


def oom() -> dict[str, Any]:
    """A unit that outgrows its memory."""
    start("grower", GROW, MemoryMax="64M", MemorySwapMax="0")
    deadline = time.monotonic() + 60
    kills: list[Any] = []
    while not kills and time.monotonic() < deadline:
        time.sleep(1)
        kills = [kill for kill in get_list("/oom") if "grower.service" in json.dumps(kill)]
    stop("grower")
    return {"kills": kills}


def get_list(path: str) -> list[Any]:
    _status, body = get(API, path)
    found: Any = body
    if isinstance(found, dict):
        found = next((value for value in found.values() if isinstance(value, list)), [])
    return list(found)


def main() -> None:
    ready_status, ready = wait_for(API, "/readyz", 90)
    probes_status, probes = get(API, "/probes")
    seen = {
        "kernel": platform.release(),
        "readyz": (ready_status, ready),
        "probes": (probes_status, probes),
        "forks": count_forks(60),
    }
    for step in (contention, quota, oom):
        print(f"{step.__name__} …", flush=True)
        seen[step.__name__] = step()
        print(json.dumps(seen[step.__name__])[:3000], flush=True)
    status = get(API, "/status")[1]
    seen["status"] = {name: status.get(name) for name in ("coverage", "fork_books", "conservation", "degraded")}
    subprocess.run(["journalctl", "--no-pager", "--unit", "linnix-cognitod", "--lines", "40"], check=False)
    print(json.dumps({"seen": seen}))


if __name__ == "__main__":
    main()

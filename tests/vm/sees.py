"""Runs in the virtual machine, with the daemon's own Python: makes trouble between real units and asks who did it.

The last line is one JSON object, `{"seen": {...}}`. Standard library only, and every wait has a limit. What is compared
with the daemon's answers is read here from the kernel's own files: `cpu.pressure`, `cpu.stat` and `memory.events`.
"""

import json
import platform
import subprocess
import threading
import time
from collections.abc import Callable
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


class Book:
    """What a book of the kernel's showed, second by second, so that it can be asked for the moment at which an answer
    ends: that is a reading of the daemon's, some seconds to either side of the moment that was asked for."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._seen: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._over.is_set():
            before, amount = time.time(), self._read()
            self._seen.append(((before + time.time()) / 2, amount))
            self._over.wait(1.0)

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def at(self, moment: float) -> float:
        """Between two readings, in proportion; `moment` lies between the first and the last."""
        (begin, low), (end, high) = next(
            pair for pair in zip(self._seen, self._seen[1:], strict=False) if pair[0][0] <= moment <= pair[1][0]
        )
        return low + (high - low) * (moment - begin) / (end - begin)


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


def ask(book: Book, unit: str, since: float) -> dict[str, Any]:
    """The blame of a unit until now, and the book kept until after the answer's end."""
    until = time.time()
    time.sleep(4)  # the reading that holds this moment is in by then
    found = blame(unit, since, until)
    time.sleep(max(0.0, found.get("to", until) - time.time()) + 1.5)
    book.close()
    return found


def contention() -> dict[str, Any]:
    """A victim and an offender of equal rights on one core."""
    since = time.time()
    start("offender", SPIN, CPUAffinity="1")
    start("victim", SPIN, CPUAffinity="1")
    book = Book(lambda: stalled_ms("victim"))
    time.sleep(CONTEND_S)
    processes = get_list("/processes?filter=unit=victim.service")
    found = ask(book, "victim", since)
    stop("victim", "offender")
    pressure_ms = book.at(found["to"])
    return {"blame": found, "pressure_ms": pressure_ms, "units": [process.get("unit") for process in processes]}


def quota() -> dict[str, Any]:
    """A unit that may use a fifth of a core and wants all of it, with nobody beside it."""
    since = time.time()
    start("limited", SPIN, CPUQuota="20%", CPUAffinity="1")
    book = Book(lambda: stat(CGROUPS / "limited.service/cpu.stat", "throttled_usec") / 1000)
    time.sleep(CONTEND_S)
    found = ask(book, "limited", since)
    stop("limited")
    return {"blame": found, "throttled_ms": book.at(found["to"])}


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

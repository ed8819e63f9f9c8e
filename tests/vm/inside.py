"""Runs in the virtual machine, with its own Python: asks the services that systemd started, and prints what it saw.

The last line is one JSON object, `{"seen": {...}}`. Standard library only; every wait has a limit, because a virtual
machine that hangs tells nobody why.
"""

import http.client
import json
import os
import subprocess
import threading
import time
from typing import Any

FORKS = 1009  # a prime: no rounding, batch or retry produces it by accident
SERVICES = ("linnix-cognitod", "linnix-model-server")


def get(port: int, path: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        connection.close()


def wait_for(port: int, path: str, limit_s: float) -> tuple[int, dict[str, Any]]:
    deadline = time.monotonic() + limit_s
    while True:
        status, body = get(port, path)
        if status == 200 or time.monotonic() > deadline:
            return status, body
        time.sleep(0.5)


def count_forks(limit_s: float) -> list[int]:
    """How many forks of ours the stream tells for FORKS made, twice in a row; `limit_s` without any ends the wait."""
    connection = http.client.HTTPConnection("127.0.0.1", 3000, timeout=2 * limit_s)
    connection.request("GET", "/stream?type=fork")
    response = connection.getresponse()
    told: list[tuple[int, int]] = []  # (ppid, pid)
    finished = threading.Event()

    def read() -> None:
        try:
            for line in response:
                if line.startswith(b"event: ") and b"lost" in line:
                    print(f"the stream told of loss: {line!r}", flush=True)
                if line.startswith(b"data: "):
                    frame = json.loads(line[6:])
                    if frame.get("ppid") == os.getpid():
                        told.append((frame["ppid"], frame["pid"]))
                if finished.is_set():
                    return
            print("the stream ended", flush=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            print(f"the stream broke: {error!r}", flush=True)

    threading.Thread(target=read, daemon=True).start()
    counts = []
    for _ in range(2):
        before = len(told)
        pids = set()
        for _ in range(FORKS):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            pids.add(pid)
            os.waitpid(pid, 0)
        made = latest = time.monotonic()
        seen = len(told)
        # On an emulated core that others starve the daemon may lag: give up when nothing comes, not while it comes.
        while len(told) - before < FORKS and time.monotonic() - latest < limit_s:
            if len(told) > seen:
                seen, latest = len(told), time.monotonic()
            time.sleep(0.1)
        print(f"{len(told) - before} forks told {time.monotonic() - made:.1f} s after the last", flush=True)
        time.sleep(2.0)  # one too many would come now
        counts.append(sum(pid in pids for _ppid, pid in told[before:]))
    finished.set()
    return counts


def show(service: str, *names: str) -> dict[str, str]:
    command = ["systemctl", "show", service, *(f"--property={name}" for name in names)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def stop_all() -> dict[str, Any]:
    subprocess.run(["systemctl", "stop", *SERVICES], check=True)
    return {name: show(name, "ActiveState", "Result", "ExecMainStatus", "NRestarts") for name in SERVICES}


def main() -> None:
    ready_status, ready = wait_for(3000, "/readyz", 90)
    models_status, models = wait_for(8090, "/v1/models", 400)
    forks = count_forks(60)
    books = get(3000, "/status")[1].get("coverage")
    seen = {
        "readyz": ready_status,
        "kernel_instrumentation": ready.get("kernel_instrumentation"),
        "models": (models_status, [model.get("id") for model in models.get("data", [])]),
        "forks": forks,
        "processes_of_the_model_server": show("linnix-model-server", "User", "ActiveState"),
        "stopped": stop_all(),
        "left_listening": sorted(port for port in (3000, 8090, 9464) if get(port, "/")[0] != 0),
    }
    print(f"the daemon's books: {books}", flush=True)
    for name in SERVICES:
        subprocess.run(["journalctl", "--no-pager", "--unit", name, "--lines", "40"], check=False)
    print(json.dumps({"seen": seen}))


if __name__ == "__main__":
    main()

"""Whether /stream loses or reorders anything: at the machine's full fork rate, and to a hundred clients at once.

Owns the clients and the pace of events. Refuses to trust the daemon's own counters alone: what arrived is counted here,
and held against the sequence numbers, against the notices of loss and against what the daemon says it produced.

A stalled client reads nothing until the others are done. Then it must be told how many it lost, and what it reads, what
it is told and what it never saw must add up.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from common import BIN, Daemon, bpf_stats, cognitod, last_line, need, running, table

STORM = ["stress-ng", "-q", "--fork", "4", "--fork-ops"]
#: Forks at an even pace, from a process so small that a fork costs little: two events each.
PACED = """
import gc, os, sys, time
pace, gap = float(sys.argv[1]) / 2, 0.01
gc.freeze(); gc.disable()
began, made = time.monotonic(), 0
while True:
    while made < (time.monotonic() - began) * pace:
        if not os.fork(): os._exit(0)
        os.wait()
        made += 1
    time.sleep(gap)
"""
_SEQ = re.compile(rb'"seq":(\d+)')
_LOST = re.compile(rb'event: lost\ndata: \{"lost":(\d+)\}')


@dataclass
class Client:
    """One listener. Of what it reads, only the numbers are kept, unless it ``keeps`` everything."""

    connection: socket.socket
    keeps: bool = False
    rest: bytes = b""
    frames: int = 0
    first: int = 0
    last: int = 0
    jumps: int = 0
    told_lost: int = 0
    text: list[bytes] = field(default_factory=list)

    def read(self) -> bool:
        """Take in what is there; False when it was closed."""
        got = self.connection.recv(1 << 18)
        if self.keeps:
            self.text.append(got)
            return bool(got)
        whole, _, self.rest = (self.rest + got).rpartition(b"\n\n")
        numbers = _SEQ.findall(whole)
        numbers = [number for number in numbers if number != b"0"]  # tag changes have none
        if numbers:
            self.first = self.first or int(numbers[0])
            # What is missing inside is seen from the count; only the ends have to be read.
            self.frames += len(numbers)
            self.last = int(numbers[-1])
        if b"event: lost" in whole:
            self.told_lost += sum(map(int, _LOST.findall(whole)))
        return bool(got)

    @property
    def missing(self) -> int:
        """Events between the first and the last that did not arrive."""
        return self.last - self.first + 1 - self.frames if self.frames else 0


def connect(daemon: Daemon, keeps: bool = False) -> Client:
    """Subscribed when it returns."""
    host, port = daemon.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(b"GET /stream?type=fork,exec,exit HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = b""
    while b": keep-alive" not in head:
        head += connection.recv(4096)
    return Client(connection, keeps)


def listen(clients: Sequence[Client], seconds: float, until_s: float | None = None) -> None:
    """Read whatever comes, for a while."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.connection, selectors.EVENT_READ, client)
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            ready = selector.select(min(left_s, 0.5))
            for key, _ in ready:
                if not key.data.read():
                    selector.unregister(key.fileobj)
            time.sleep(0.005 if ready else 0)  # as a client that has other things to do


def full_rate(daemon: Daemon, ops: int) -> dict[str, Any]:
    """One client at the machine's full fork rate: what is lost, and what comes out of order for one process."""
    client = connect(daemon, keeps=True)
    with client.connection, subprocess.Popen([*STORM, str(ops)]) as storm:
        began_s, produced = time.monotonic(), daemon.events()
        while storm.poll() is None:
            listen([client], 0.5)
        took_s = time.monotonic() - began_s
        listen([client], 2)
        produced = daemon.events() - produced
    told = [json.loads(line) for line in re.findall(rb"^data: (.*)$", b"".join(client.text), re.MULTILINE)]
    lost = sum(each["lost"] for each in told if "lost" in each)
    events = [each for each in told if each.get("seq")]
    inversions = 0
    last: dict[tuple[int, int], int] = {}
    for each in events:
        process = each["pid"], each["start_ns"]
        inversions += each["ts_ns"] < last.get(process, 0)
        last[process] = each["ts_ns"]
    gaps = sum(after["seq"] - before["seq"] - 1 for before, after in pairwise(events))
    return {
        "events": len(events),
        "events_per_s": round(produced / took_s),
        "missing": gaps,
        "told_lost": lost,
        "inversions": inversions,
        "daemon_lost": daemon.lost(),
    }


def many(daemon: Daemon, clients: int, rate: int, seconds: float) -> dict[str, Any]:
    """Many fast clients and a stalled one at an even rate; then a storm, if that did not overflow the stalled one."""
    with ExitStack() as stack:
        fast = [connect(daemon) for _ in range(clients)]
        stalled = connect(daemon)
        for client in (*fast, stalled):
            stack.enter_context(client.connection)
        produced, cpu_s, began_s = daemon.events(), daemon.cpu_s(), time.monotonic()
        with running([str(BIN / "python"), "-I", "-S", "-c", PACED, str(rate)]):
            listen(fast, seconds)
        took_s = time.monotonic() - began_s
        cpu_s, produced = daemon.cpu_s() - cpu_s, daemon.events() - produced
        listen(fast, 1.5)
        counted = [client.frames for client in fast]
        fast_missing, fast_told = sum(c.missing for c in fast), sum(c.told_lost for c in fast)
        for client in fast[1:]:
            client.connection.close()
        # 65,536 events are kept for a client that does not read, and its socket holds as many again.
        subprocess.run([*STORM, "80000"], check=True)
        time.sleep(1)
        listen([stalled], 5)
    return {
        "clients": clients,
        "seconds": round(took_s, 1),
        "events_per_s": round(produced / took_s),
        "daemon_cpu_pct": round(100 * cpu_s / took_s, 1),
        "fast_received_least": min(counted),
        "fast_received_most": max(counted),
        "fast_missing": fast_missing,
        "fast_told_lost": fast_told,
        "stalled_received": stalled.frames,
        "stalled_missing": stalled.missing,
        "stalled_told_lost": stalled.told_lost,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=int, default=2000, help="events a second for many clients (2000)")
    parser.add_argument("--seconds", type=float, default=30, help="how long many clients listen (30)")
    parser.add_argument("--clients", default="100,300", help="how many clients, one run each (100,300)")
    parser.add_argument("--quick", action="store_true", help="10 s of 100 clients, half the storm")
    args = parser.parse_args()
    need("stress-ng")
    ops = 50_000
    if args.quick:
        args.seconds, args.clients, ops = 10, "100", 25_000
    with cognitod() as daemon, bpf_stats():
        time.sleep(3)
        rate = full_rate(daemon, ops)
        table(
            f"One client at the machine's full fork rate, {rate['events_per_s']} events a second",
            ["events read", "missing", "told lost", "order inversions", "daemon's losses"],
            [[*(rate[k] for k in ("events", "missing", "told_lost", "inversions")), rate["daemon_lost"] or "none"]],
        )
    rows = []
    for clients in map(int, args.clients.split(",")):
        with cognitod() as daemon:
            time.sleep(3)
            rows.append(many(daemon, clients, args.rate, args.seconds))
    table(
        f"Many clients of /stream for {args.seconds:g} s; one of them stalls",
        [
            "fast clients",
            "events/s",
            "daemon CPU %",
            "read by each",
            "missing",
            "told lost",
            "stalled: read",
            "missing, told",
        ],
        [
            [
                row["clients"],
                row["events_per_s"],
                row["daemon_cpu_pct"],
                f"{row['fast_received_least']} to {row['fast_received_most']}",
                row["fast_missing"],
                row["fast_told_lost"],
                row["stalled_received"],
                f"{row['stalled_missing']}, {row['stalled_told_lost']}",
            ]
            for row in rows
        ],
    )
    last_line(full_rate=rate, many=rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())

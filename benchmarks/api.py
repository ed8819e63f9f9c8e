"""How long answers take: /system at 200 requests a second, /processes on a host with 2,000 processes.

Owns the pace. Requests are due at even times whether or not the last was answered, and the time of each is counted from
when it was due: a server that stalls makes all that wait behind it late, as it would real clients.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from dataclasses import dataclass

from common import Daemon, cognitod, last_line, percentile, sleepers, table

CONNECTIONS = 4


@dataclass(frozen=True)
class Latency:
    """Of all requests of one kind, in milliseconds."""

    requests: int
    median_ms: float
    p99_ms: float
    worst_ms: float
    bytes: int


class Connection:
    """A kept connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._free = asyncio.Lock()

    async def get(self, path: str) -> int:
        """Bytes of the body."""
        async with self._free:
            self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise SystemExit(f"{path}: {head.splitlines()[0].decode()}")
            if b"content-length:" in head:
                length = int(head.partition(b"content-length:")[2].split()[0])
                await self._reader.readexactly(length)
                return length
            length = 0
            while size := int(await self._reader.readline(), 16):
                await self._reader.readexactly(size + 2)
                length += size
            await self._reader.readexactly(2)
            return length

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def measure(daemon: Daemon, path: str, rate: float, seconds: float) -> Latency:
    """Ask for ``path`` at an even rate for a while."""
    host, port = daemon.url.removeprefix("http://").split(":")
    pool = [Connection(*await asyncio.open_connection(host, int(port))) for _ in range(CONNECTIONS)]
    took: list[float] = []
    sizes: list[int] = []

    async def one(connection: Connection, due_s: float) -> None:
        sizes.append(await connection.get(path))
        took.append(1000 * (time.perf_counter() - due_s))

    for connection in pool:
        await connection.get(path)
    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            due_s = began_s + number / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            group.create_task(one(pool[number % CONNECTIONS], due_s))
    for connection in pool:
        connection.close()
    return Latency(
        len(took),
        round(statistics.median(took), 2),
        round(percentile(took, 99), 2),
        round(max(took), 2),
        round(statistics.mean(sizes)),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=2000, help="processes on the host (2000)")
    parser.add_argument("--seconds", type=float, default=20, help="length of each measurement (20)")
    parser.add_argument("--quick", action="store_true", help="4 s each")
    args = parser.parse_args()
    seconds = 4 if args.quick else args.seconds
    results: dict[str, Latency] = {}
    with cognitod() as daemon:
        time.sleep(3)
        results["/system, 200 a second"] = asyncio.run(measure(daemon, "/system", 200, seconds))
        with sleepers(args.processes):
            time.sleep(3)
            crowd = f"beside {args.processes} processes"
            for path, rate in (("/processes", 2.0), ("/system", 200.0), ("/facts", 5.0)):
                result = asyncio.run(measure(daemon, path, rate, seconds))
                results[f"{path}, {rate:g} a second, {crowd}"] = result
    table(
        f"Answers over {seconds:g} s each, from when a request was due to its last byte",
        ["request", "requests", "median ms", "p99 ms", "worst ms", "bytes"],
        [[name, r.requests, r.median_ms, r.p99_ms, r.worst_ms, r.bytes] for name, r in results.items()],
    )
    last_line(latency={name: vars(result) for name, result in results.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An hour of honest heavy work beside the daemon: nothing that it raises here is right.

``python benchmarks/honest.py [MINUTES]`` (60 where nothing is said) cycles through a package build, a test suite, a
backup, pgbench and redis-benchmark, two of them at a time, under a daemon of its own with the default rules, and looks
once a second at what it finds. It prints everything above ``info`` with its evidence, and how loaded the host was; it
ends with 1 if there was anything, or if nothing can be said: at least 80 % of all cores must be busy on average, CPU
pressure be above 30 % for half of the time, and of the seconds nine in ten be answered.

It wants gcc, make, tar, xz, PostgreSQL and Redis. Work whose programs are missing is left out, and told with Debian's
package; two kinds there must be. All it writes is in one temporary folder, gone at the end; PostgreSQL and Redis are
its own, on sockets there, and whatever it started is stopped by its pid, also on Ctrl-C and on SIGTERM; then it prints
what was seen until then. As root PostgreSQL runs as ``nobody``, since it refuses root.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import cognitod, free_port, get, last_line, table

ROOT = Path(__file__).resolve().parents[1]
#: Seconds that each kind of work gets at a time, at most.
TURN_S = 120.0
BUSY_PCT, PRESSURE_PCT = 80.0, 30.0
#: Of the seconds this share must be answered, and of these so many must be under pressure.
ANSWERED_PCT, PRESSED_PCT = 90.0, 50.0
#: For so long whatever is told to stop may clear up after itself.
_GRACE_S = 5.0
_PACKAGES = {
    "gcc": "gcc",
    "make": "make",
    "tar": "tar",
    "xz": "xz-utils",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "pgbench": "postgresql",
    "redis-server": "redis-server",
    "redis-benchmark": "redis-tools",
    "pytest": "python3-pytest",
}

#: What each kind of work runs.
_NEEDS = {
    "package build": ("gcc", "make"),
    "pgbench": ("initdb", "postgres", "pgbench"),
    "test suite": ("pytest",),
    "redis-benchmark": ("redis-server", "redis-benchmark"),
    "backup": ("tar", "xz"),
}

_SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node_{n} {{ struct node_{n} *left, *right; long key; double weight[8]; }};
static struct node_{n} *insert_{n}(struct node_{n} *at, long key) {{
    if (!at) {{ at = calloc(1, sizeof *at); at->key = key; return at; }}
    if (key < at->key) at->left = insert_{n}(at->left, key); else at->right = insert_{n}(at->right, key);
    return at;
}}
"""
_FUNCTION = """
double work_{n}_{f}(const double *a, const double *b, int n) {{
    double s = 0; struct node_{n} *root = 0;
    for (int i = 0; i < n; i++) for (int j = 0; j < {f} + 3; j++) {{
        s += a[(i * {f} + j) % n] * b[(j * 7 + i) % n];
        if (s > 1e9) s /= (double)(i + j + 1);
        switch ((i ^ j) & 7) {{ case 0: s += 1; break; case 3: s -= a[j % n]; break; case 5: s *= 1.0001; break;
            case 6: root = insert_{n}(root, (long)s ^ i); break; default: s += (double)strlen("work {f}"); }}
    }}
    return root ? s + root->weight[{f} & 7] : s;
}}
"""
#: Files of the package, and how many of them are large: each of these keeps a compiler at work for ten seconds.
_PARTS, _LARGE = 30, 4


class Work:
    """The kinds of work, their folder, and the services that some of them need."""

    def __init__(self, folder: Path, programs: Mapping[str, str]) -> None:
        self.folder = folder
        self.programs = programs
        every: dict[str, Callable[[threading.Event], bool]] = {
            "package build": self.build,
            "pgbench": self.pgbench,
            "test suite": self.tests,
            "redis-benchmark": self.redis,
            "backup": self.backup,
        }
        self.kinds = {kind: does for kind, does in every.items() if set(_NEEDS[kind]) <= programs.keys()}
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        if "package build" in self.kinds:
            self._write_sources()

    def build(self, stop: threading.Event) -> bool:
        """``make`` with as many jobs as cores, from scratch each time."""
        return self._run([self.programs["make"], "-s", "-B", f"-j{os.cpu_count()}"], stop, self.folder / "source")

    def tests(self, stop: threading.Event) -> bool:
        """The unit tests of this repository, but for those of the laboratory, which break things on purpose."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"]
        return self._run([*command, "--ignore=tests/unit/faultlab"], stop, ROOT)

    def backup(self, stop: threading.Event) -> bool:
        """A large folder, packed and compressed."""
        what = f"{self.programs['tar']} cf - /usr/share 2>/dev/null | {self.programs['xz']} -2 > backup.tar.xz"
        went_well = self._run(["sh", "-c", what], stop, self.folder)
        (self.folder / "backup.tar.xz").unlink(missing_ok=True)
        return went_well

    def pgbench(self, stop: threading.Event) -> bool:
        """TPC-B with eight clients for half a minute."""
        host = ["-h", str(self.folder / "pg"), "-p", "5432", "-U", "bench"]
        command = [self.programs["pgbench"], *host, "-c", "8", "-j", f"{os.cpu_count()}", "-T", "30", "postgres"]
        return self._run(command, stop, self.folder)

    def redis(self, stop: threading.Event) -> bool:
        """All of its tests, 50 clients."""
        command = [self.programs["redis-benchmark"], "-q", "-s", str(self.folder / "redis.sock"), "-n", "200000"]
        return self._run(command, stop, self.folder)

    def turn(self, kind: str, stop: threading.Event) -> None:
        """Over and over, until it is told to stop."""
        while not stop.is_set():
            began = time.monotonic()
            went_well = self.kinds[kind](stop)
            if not stop.is_set():  # what was cut short has neither been done nor failed
                (self.done if went_well else self.failed)[kind] += 1
            if time.monotonic() - began < 0.5:
                stop.wait(1)  # it fails at once, which the count tells

    @contextmanager
    def services(self) -> Iterator[None]:
        """PostgreSQL with some data, and Redis, as far as there is work for them, for as long as the block lasts."""
        with ExitStack() as stack:
            if "redis-benchmark" in self.kinds:
                stack.enter_context(self._service([self.programs["redis-server"], *self._redis_settings()], None))
            if "pgbench" in self.kinds:
                stack.enter_context(self._postgres())
            yield

    @contextmanager
    def _postgres(self) -> Iterator[None]:
        user = "nobody" if os.geteuid() == 0 else None
        (self.folder / "pg").mkdir()
        if user:
            shutil.chown(self.folder / "pg", user)
        data = str(self.folder / "pg" / "data")
        base: dict[str, Any] = {"cwd": str(self.folder / "pg"), "user": user, "stdout": subprocess.DEVNULL}
        subprocess.run([self.programs["initdb"], "-D", data, "-U", "bench", "-A", "trust", "-N"], check=True, **base)
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder / 'pg'}"]
        where = ["-h", str(self.folder / "pg"), "-U", "bench"]
        with self._service([self.programs["postgres"], "-D", data, *settings], user):
            fill = [self.programs["pgbench"], *where, "-i", "-q", "-s", "10", "postgres"]
            deadline = time.monotonic() + 60
            while subprocess.run(fill, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
                if time.monotonic() > deadline:
                    raise SystemExit("PostgreSQL does not come up")
                time.sleep(1)
            yield

    def _redis_settings(self) -> list[str]:
        socket = ["--unixsocket", str(self.folder / "redis.sock")]
        return ["--port", f"{free_port()}", "--bind", "127.0.0.1", *socket, "--save", "", "--dir", str(self.folder)]

    @contextmanager
    def _service(self, command: list[str], user: str | None) -> Iterator[None]:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, user=user, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)  # of PostgreSQL: disconnect everybody and leave
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            end(process)

    def _run(self, command: list[str], stop: threading.Event, cwd: Path) -> bool:
        """Whether it went well; it is ended when it is to stop."""
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            command, cwd=cwd, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, env=self._environ()
        )
        while process.poll() is None and not stop.wait(0.2):
            pass
        if process.returncode is None:
            # As Ctrl-C would: a test suite then ends what it has started, which may be of other sessions.
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
        end(process)
        return process.returncode == 0

    def _environ(self) -> dict[str, str]:
        return os.environ | {"TMPDIR": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def _write_sources(self) -> None:
        source = self.folder / "source"
        source.mkdir()
        for n in range(_PARTS):
            functions = "".join(_FUNCTION.format(n=n, f=f) for f in range(60 if n < _PARTS - _LARGE else 800))
            (source / f"part{n}.c").write_text(_SOURCE.format(n=n) + functions)
        objects = " ".join(f"part{n}.o" for n in range(_PARTS))
        rules = f"all: libwork.a\nlibwork.a: {objects}\n\tar rcs $@ $^\n%.o: %.c\n\t{self.programs['gcc']} -O2 -c $<\n"
        (source / "Makefile").write_text(rules)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever is of its session."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass
class Seen:
    """What the daemon said and how loaded the host was, second by second."""

    url: str
    unanswered: int = 0
    cpu_pct: list[float] = field(default_factory=list)
    pressure_pct: list[float] = field(default_factory=list)
    found: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    informed: Counter[str] = field(default_factory=Counter)

    def look(self) -> None:
        """Once. A daemon that is held up by all this work is no reason to end it, but a reason to say so."""
        try:
            facts, findings = get(self.url + "/facts"), self._findings()
        except OSError:
            self.unanswered += 1
            return
        self.cpu_pct.append(facts["host"]["cpu_pct"])
        self.pressure_pct.append(facts["pressure"]["cpu_some_pct"] or 0.0)
        names = {each["id"]: each for each in facts["processes"]}
        for each in findings:
            who = each["process"]
            who = names.get(who) if isinstance(who, str) else who
            name = f"{who['comm']} ({who['pid']})" if who else "the host"
            if each["severity"] == "info":
                self.informed[each["rule"]] += 1
                continue
            told = self.found.setdefault((each["rule"], name), each | {"seconds": 0, "at": len(self.cpu_pct)})
            told["seconds"] += 1

    def _findings(self) -> list[dict[str, Any]]:
        """Ranked causes where this daemon tells them, else what its facts hold to be wrong."""
        try:
            with urllib.request.urlopen(self.url + "/findings", timeout=10) as response:
                return list(json.load(response))
        except urllib.error.HTTPError:
            return list(get(self.url + "/facts")["findings"])


def find_programs() -> dict[str, str]:
    """Where what there is is; tells which work is left out and why, and ends where too little is left."""
    path = os.pathsep.join(
        [os.environ.get("PATH", ""), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    )
    found = {name: where for name in _PACKAGES if (where := shutil.which(name, path=path)) is not None}
    if importlib.util.find_spec("pytest") is not None:  # it is run as a module of this interpreter
        found["pytest"] = sys.executable
    left = 0
    for kind, needs in _NEEDS.items():
        missing = [name for name in needs if name not in found]
        left += not missing
        if missing:
            packages = shlex.join(sorted({_PACKAGES[name] for name in missing}))
            print(f"left out: {kind}: no {', '.join(missing)}; on Debian: apt-get install {packages}", file=sys.stderr)
    if left < 2:
        raise SystemExit("that leaves no two kinds of work that could meet")
    return found


def work(work_: Work, seen: Seen, seconds: float) -> None:
    """Two kinds at a time, each of them for two turns, so that every kind meets its neighbours."""
    kinds = list(work_.kinds)
    turn_s = min(TURN_S, seconds / len(kinds))
    deadline, at = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        stop = threading.Event()
        pair = kinds[at % len(kinds)], kinds[(at + 1) % len(kinds)]
        threads = [threading.Thread(target=work_.turn, args=(kind, stop)) for kind in pair]
        print(f"{len(seen.cpu_pct):5} s: {' and '.join(pair)}", file=sys.stderr, flush=True)
        try:
            for thread in threads:
                thread.start()
            until = min(time.monotonic() + turn_s, deadline)
            while (now := time.monotonic()) < until:
                seen.look()
                time.sleep(max(0.0, min(now + 1, until) - time.monotonic()))
        finally:
            stop.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        at += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="?", type=float, default=60.0)
    minutes: float = parser.parse_args().minutes
    programs = find_programs()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is in sessions of its own
    seen, interrupted = Seen(""), False
    with tempfile.TemporaryDirectory(prefix="honest-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # for nobody
        work_ = Work(Path(folder), programs)
        settings = Path(folder) / "linnix.toml"  # instead of what is set up on this host
        settings.touch()
        try:
            with work_.services(), cognitod(LINNIX_CONFIG=str(settings)) as daemon:
                seen.url = daemon.url
                work(work_, seen, minutes * 60)
        except KeyboardInterrupt:
            interrupted = True
    code = report(work_, seen)
    return 130 if interrupted else code


def report(work_: Work, seen: Seen) -> int:
    """Print what was seen; 1 if anything was raised, or too little was going on to say."""
    number = max(len(seen.cpu_pct), 1)
    answered = 100 * len(seen.cpu_pct) / max(len(seen.cpu_pct) + seen.unanswered, 1)
    mean_pct = sum(seen.cpu_pct) / number
    busy = 100 * sum(pct >= BUSY_PCT for pct in seen.cpu_pct) / number
    pressed = 100 * sum(pct > PRESSURE_PCT for pct in seen.pressure_pct) / number
    left_out = [(kind, "left out", "-") for kind in _NEEDS if kind not in work_.kinds]
    done = [(kind, str(work_.done[kind]), str(work_.failed[kind])) for kind in work_.kinds]
    table("Work that was finished", ("work", "times", "failed"), done + left_out)
    rows = [
        ("CPU, mean", f"{mean_pct:.0f} %", f"{BUSY_PCT:g} %"),
        (f"time with CPU at {BUSY_PCT:g} % or more", f"{busy:.0f} %", "-"),
        (f"time with CPU pressure above {PRESSURE_PCT:g} %", f"{pressed:.0f} %", f"{PRESSED_PCT:g} %"),
        ("seconds that the daemon answered", f"{answered:.0f} %", f"{ANSWERED_PCT:g} %"),
        ("findings above info", str(len(seen.found)), "0"),
    ]
    table(f"{len(seen.cpu_pct)} seconds of honest work", ("what", "seen", "must be"), rows)
    for (rule, name), told in seen.found.items():
        when = f"from second {told['at']}, {told['seconds']} s"
        print(f"\n{told['severity']}: {told['class']} by {name!r} (rule {rule}), {when}")
        print(f"  {told.get('message', '')}\n  {json.dumps(told['evidence'])}")
    if seen.informed:
        print(f"\ninfo, in seconds: {dict(seen.informed)}")
    heavy = mean_pct >= BUSY_PCT and pressed >= PRESSED_PCT
    if not heavy:
        print("\nthe load was too low to say anything")
    if answered < ANSWERED_PCT:
        print("\nthe daemon answered too seldom to say anything")
    last_line(
        seconds=len(seen.cpu_pct),
        unanswered=seen.unanswered,
        left_out=[kind for kind, *_ in left_out],
        cpu_pct=round(mean_pct, 1),
        busy_share_pct=round(busy, 1),
        pressure_share_pct=round(pressed, 1),
        raised=[{"rule": rule, "who": name, "severity": told["severity"]} for (rule, name), told in seen.found.items()],
    )
    return 1 if seen.found or not heavy or answered < ANSWERED_PCT else 0


if __name__ == "__main__":
    sys.exit(main())

"""What `linnix up` and `linnix run` share: which services, at which addresses, brought up and waited for.

Owns the deadlines of starting and stopping, and how SIGINT and SIGTERM become a clean end. Refuses to wait in silence:
every wait says what for, for how long, and what the child said last.
"""

import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from linnix.cli._child import Child, stop_all
from linnix.cli._errors import CommandError, ExitCode
from linnix.cli._report import Report
from linnix.cli._service import Address, Service, daemon, fetch, model_server, program
from linnix.insight.render import clean

# Both children stop within 2 s of SIGTERM; what has not by then is killed, so that Ctrl-C takes less than 3 s.
STOP_WITHIN_S = 2.5
# The daemon answers in about a second. A model of some gigabytes on a cold disk may take minutes, and the bundled one
# is converted at its first start.
DAEMON_START_S = 45.0
MODEL_START_S = 300.0
_POLL_S = 0.1


class StopRequested(Exception):  # noqa: N818 - no error: somebody asked
    """SIGINT or SIGTERM came while we waited."""


class StartError(CommandError):
    """A service ended, or gave no answer, before it was ready."""

    def __init__(self, service: Service, child: Child, why: str) -> None:
        said = [line for line in child.lines if line.strip()]
        # From its own error on, where it told one: a banner before it explains nothing.
        first = next((at for at, line in enumerate(said) if line.startswith("error")), 0)
        super().__init__(f"{service.name} {why}", "\n".join(f"  {clean(line)}" for line in said[first:]))
        self.service = service


class Stop:
    """Set by the first signal; the second one is not caught any more and ends us at once.

    A handler may run in the middle of `pause`, so the two share nothing that has a lock: a `threading.Event` set
    while its own thread is about to wait for it never returns. A descriptor that becomes readable ends any wait.
    """

    def __init__(self) -> None:
        self._came = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.signal = 0

    def __bool__(self) -> bool:
        return self.signal != 0

    def pause(self, seconds: float) -> None:
        """Wait, and raise `StopRequested` as soon as a signal has come."""
        if self or select.select([self._came], [], [], seconds)[0]:
            raise StopRequested

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        os.eventfd_write(self._came, 1)
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)

    @classmethod
    @contextmanager
    def on_signals(cls) -> Iterator["Stop"]:
        """Catch SIGINT and SIGTERM for the block."""
        stop = cls()
        before = {each: signal.signal(each, stop._on_signal) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield stop
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            os.close(stop._came)


def services(
    config: Path | None, port: int | None, metrics_port: int | None, model_port: int, model: Path | None
) -> tuple[Service, Service]:
    """The daemon and the model server as the options and the configuration have them. Raises CommandError."""
    from linnix.cognitod.config import ConfigError, load

    try:
        found, _warnings = load(config)  # the daemon tells the warnings itself
    except ConfigError as error:
        raise CommandError(str(error), "Try: cognitod --check-config") from error
    address = Address("127.0.0.1", port) if port else Address.parse(found.api.listen_addr)
    metrics = Address("127.0.0.1", metrics_port) if metrics_port else Address.parse(found.outputs.metrics_listen_addr)
    return daemon(address, metrics, config), model_server(model_port, model)


def wait_ready(waited: Mapping[str, tuple[Service, Child, float]], report: Report, stop: Stop) -> Iterator[Service]:
    """Yield each service as it becomes ready. Raises StartError for one that ends or misses its deadline (seconds)."""
    left = dict(waited)
    while left:
        for name, (service, child, deadline_s) in list(left.items()):
            waited_s = time.monotonic() - child.started_at
            if service.health() == "ready":
                report.done_waiting()
                del left[name]
                yield service
            elif child.returncode is not None:
                report.done_waiting()
                child.drain()
                raise StartError(service, child, f"{child.describe_end()} before it was ready")
            elif waited_s > deadline_s:
                report.done_waiting()
                raise StartError(service, child, f"gave no answer at {service.address} within {deadline_s:.0f} s")
        if left:
            report.waiting(" · ".join(_progress(child) for _service, child, _deadline in left.values()))
            stop.pause(_POLL_S)


def already_serving(service: Service, report: Report, stop: Stop) -> bool:
    """Whether somebody else's instance of it answers; one that is still loading is waited for."""
    until = time.monotonic() + MODEL_START_S
    while (health := service.health()) == "starting" and time.monotonic() < until:
        report.waiting(f"waiting for the {service.name} that loads at {service.address}")
        stop.pause(_POLL_S)
    report.done_waiting()
    return health == "ready"


def _progress(child: Child) -> str:
    seconds = time.monotonic() - child.started_at
    said = clean(child.last_line, 60).strip()
    return f"waiting for {child.name} · {seconds:.0f} s" + (f" · {said}" if said else "")


def wait_for_samples(service: Service, seconds: float, report: Report, stop: Stop) -> None:
    """Let a daemon that has just started watch the host: rates and CPU need two samples, detectors want more."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        report.waiting(f"watching this host · {left:.0f} s left")
        stop.pause(min(_POLL_S, left))
    report.done_waiting()


def blindness(service: Service) -> str:
    """Why the daemon does not see everything, in its own words; empty where it does."""
    _status, body = fetch(service.address.url + "/readyz")
    if body.get("ready", False):
        return ""
    return clean(str(body.get("reason") or "the daemon does not say why"))


def reasoner(
    daemon_service: Service, model_service: Service | None, *flags: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command that explains this host through these two, and what to add to its environment."""
    command = [*program("linnix-reasoner", "linnix.reasoner"), "--host", daemon_service.address.url, *flags]
    environment = {}
    if model_service is not None:
        command += ["--endpoint", f"{model_service.address.url}/v1/chat/completions"]
        if key := os.environ.get("LLAMA_API_KEY"):
            environment["OPENAI_API_KEY"] = key
    return tuple(command), environment


def explain(command: tuple[str, ...], environment: Mapping[str, str], stop: Stop) -> int:
    """Run the reasoner with our standard output; its exit code."""
    child = Child("linnix-reasoner", command, environment, shares_output=True)
    try:
        while (code := child.returncode) is None:
            stop.pause(0.02)
    finally:
        stop_all([child], timeout_s=0.5)
    return code if code >= 0 else ExitCode.FAILED

"""What holds for every test: an environment that nobody's shell has coloured, and a kernel tier that cannot slip away.

Where eBPF can be used, scripts/test.sh sets LINNIX_REQUIRE_KERNEL: a test of the kernel tier that skips is then a
failure, because a tier that quietly skips looks just like one that passes.
"""

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

_KERNEL_TIER = Path(__file__).parent / "kernel"
# A developer's own settings would change what the commands under test do.
for _name in ("LINNIX_API_TOKEN", "LINNIX_CONFIG", "LINNIX_MODEL", "LLM_ENDPOINT", "LLM_MODEL", "OPENAI_API_KEY"):
    os.environ.pop(_name, None)
for _name in [name for name in os.environ if name.startswith("LLAMA_")]:
    del os.environ[_name]

# Started in the background by a shell without job control, we ignore SIGINT, and so would every command under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _must_not_skip(path: Path, marked: bool) -> bool:
    return bool(os.environ.get("LINNIX_REQUIRE_KERNEL")) and (marked or _KERNEL_TIER in path.parents)


def _turn_skip_into_failure(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"eBPF can be used here, so the kernel tier must run, but this skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marked = item.get_closest_marker("kernel") is not None
    if report.skipped and not hasattr(report, "wasxfail") and _must_not_skip(item.path, marked):
        _turn_skip_into_failure(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, pytest.CollectReport]:
    report: pytest.CollectReport = yield
    if report.skipped and _must_not_skip(collector.path, marked=False):
        _turn_skip_into_failure(report)
    return report

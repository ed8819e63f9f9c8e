"""For tests that hold a measurement to a percentage: whether anybody else used the CPUs meanwhile.

A failure is a failure, unless others ran beside the test: then what was measured was not what was set up. That is
read from the kernel's own counts and not from the result, and a run that nobody disturbed is never repeated.
"""

from __future__ import annotations

import functools
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

P = ParamSpec("P")

#: Others may take this part of one core.
MAX_FOREIGN = 0.03
RUNS = 4
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _busy_s() -> float:
    """user, nice, system, irq, softirq and steal of all CPUs."""
    fields = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    return sum(int(fields[at]) for at in (0, 1, 2, 5, 6, 7)) * _TICK_S


def _own_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Company:
    """What others used since this was made, in parts of one core; children count once they have been waited for."""

    def __init__(self) -> None:
        self._began = time.monotonic(), _busy_s(), _own_s()

    def foreign(self) -> float:
        began_s, busy_s, own_s = self._began
        return ((_busy_s() - busy_s) - (_own_s() - own_s)) / (time.monotonic() - began_s)


def wait_until_alone(foreign: float = MAX_FOREIGN, limit_s: float = 30.0) -> None:
    """Return after a second in which others took less than that part of a core, or after the limit."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        company = Company()
        time.sleep(1)
        if company.foreign() < foreign:
            return


def when_alone(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test again that failed while others ran beside it."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        for left in reversed(range(RUNS)):
            company = Company()
            try:
                test(*args, **kwargs)
                return
            except AssertionError:
                foreign = company.foreign()
                if not left or foreign < MAX_FOREIGN:
                    raise
                print(f"others used {100 * foreign:.0f} % of a core beside this run: measuring again")
                wait_until_alone()

    return run

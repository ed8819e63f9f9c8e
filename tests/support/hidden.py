"""For tests that count what the kernel tells when it frees a task: a sandbox may not tell all of it.

Tasks are freed in softirqs, in the time of whoever runs. A kernel that hides some tasks from BPF seems to run no
program in their time either: once twenty accounts in a row never came. That cause is inferred, unlike that of hidden
switches, which the kernel's own count shows (test_latency). What is missing is tried again, and nothing else is: an
account too many, or a wrong one, fails at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")

TRIES = 5
#: Grace periods of RCU on a busy host, and more: with lazy callbacks (CONFIG_RCU_LAZY) one may take ten seconds.
LIMIT_S = 15.0


class NeverCameError(AssertionError):
    """An account did not come within LIMIT_S."""


def tried_again(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test again for which an account never came."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        for left in reversed(range(TRIES)):
            try:
                test(*args, **kwargs)
                return
            except NeverCameError as error:
                if not left:
                    raise
                print(f"{error}: trying again")

    return run

"""Children of `linnix up` and `linnix run`: heard, told apart from their ends, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from linnix.cli._child import Child, stop_all


def eventually(true: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def shell(script: str, **options: bool) -> Child:
    return Child("sh", ["sh", "-c", script], {}, **options)


def test_its_output_is_kept_and_its_status_told() -> None:
    child = shell("echo one; echo; echo two >&2; exit 7")
    eventually(lambda: child.returncode is not None)
    said = child.drain()
    child.finish(0.0)

    assert (said, child.returncode, child.describe_end()) == (["one", "two"], 7, "ended with exit code 7")


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    child = shell(r"printf '10 %%\r50 %%\r100 %%\n'")
    eventually(lambda: child.returncode is not None)
    said = child.drain()
    child.finish(0.0)

    assert said == ["100 %"]


def test_bytes_that_are_no_text_do_not_stop_the_reading() -> None:
    child = shell(r"printf '\377\376\n'; echo after")
    eventually(lambda: child.returncode is not None)
    said = child.drain()
    child.finish(0.0)

    assert said == ["��", "after"]


def test_a_signal_that_ended_it_is_named() -> None:
    child = shell("kill -KILL $$")
    eventually(lambda: child.returncode is not None)
    child.finish(0.0)

    assert child.describe_end() == "was killed by SIGKILL; the kernel does so when memory runs out"


def test_one_that_obeys_is_not_killed() -> None:
    child = shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    eventually(lambda: child.last_line == "up")

    child.ask_to_stop()

    assert (child.finish(5.0), child.returncode) == (True, 0)


def test_one_that_ignores_the_request_is_killed_with_all_its_children() -> None:
    child = shell("trap '' TERM; sleep 300 & echo $!; while :; do sleep 0.05; done")
    eventually(lambda: child.last_line != "")
    grandchild = int(child.last_line)

    stop_all([child], timeout_s=0.3)

    assert child.returncode == -signal.SIGKILL
    eventually(lambda: is_gone(grandchild))


def test_what_a_dead_child_left_in_its_group_goes_when_it_is_finished() -> None:
    child = shell("sleep 300 >/dev/null 2>&1 & echo $!")
    eventually(lambda: child.returncode is not None)
    left_behind = int(child.drain()[-1])

    child.finish(0.0)

    eventually(lambda: is_gone(left_behind))


def test_asking_and_finishing_twice_does_no_harm() -> None:
    child = shell("exit 0")
    eventually(lambda: child.returncode is not None)
    stop_all([child], timeout_s=1.0)

    stop_all([child], timeout_s=1.0)

    assert child.returncode == 0


def test_it_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal, time\n"
        "from linnix.cli._child import Child\n"
        "child = Child('sleep', ['sleep', '300'], {})\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False, env={**os.environ})

    eventually(lambda: is_gone(int((tmp_path / "pid").read_text())))


def test_a_command_that_is_not_there_is_an_error_of_the_caller() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-command"):
        Child("none", ["./no-such-command"], {})

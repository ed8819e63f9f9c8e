"""What a sleeping thread waits for, by the line that the kernel has of its system call."""

from __future__ import annotations

import pytest

from linnix.cognitod.host.syscalls import NUMBERS, UNKNOWN, Kind, Wait, numbers, parse_wait

X86, ARM = NUMBERS["x86_64"], NUMBERS["aarch64"]
LOCK = 0x55CA6A375180


def line(number: int, *arguments: int) -> bytes:
    given = [*arguments, *[0] * (6 - len(arguments))]
    return f"{number} {' '.join(map(hex, given))} 0x7ffe2cfa9e98 0x7faaed716897\n".encode()


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        pytest.param(line(202, LOCK, 0x80, 2), Wait(Kind.MUTEX, 7, LOCK), id="glibc mutex"),
        pytest.param(line(202, LOCK, 0x89, 2), Wait(Kind.MUTEX, 7, LOCK), id="rust mutex"),
        pytest.param(line(202, LOCK, 0x189, 3), Wait(Kind.MUTEX, 7, LOCK), id="glibc read-write lock"),
        pytest.param(line(202, LOCK, 0x80, 0x80001388), Wait(Kind.MUTEX, 7, LOCK), id="musl mutex"),
        pytest.param(line(202, LOCK, 0x86, 0), Wait(Kind.MUTEX, 7, LOCK), id="priority inheritance"),
        pytest.param(line(202, LOCK, 0x189, 0xFFFFFFFF00000000), Wait(Kind.SEMAPHORE, 7, LOCK), id="python lock"),
        pytest.param(line(202, LOCK + 4, 0x89, 0, 0x7F00), Wait(Kind.TIMED, 7, LOCK), id="interpreter lock"),
        pytest.param(line(202, LOCK, 0x109, 0), Wait(Kind.SEMAPHORE, 0, LOCK), id="python lock between processes"),
        pytest.param(line(202, LOCK, 0x81, 1), None, id="wakes others"),
        pytest.param(line(74, 3), Wait(Kind.SYNC, 7, 0), id="fsync"),
        pytest.param(line(306, 3), Wait(Kind.SYNC, 7, 0), id="syncfs"),
        pytest.param(line(26, LOCK, 4096, 4), Wait(Kind.SYNC, 7, 0), id="msync"),
        pytest.param(line(26, LOCK, 4096, 1), None, id="msync that does not wait"),
        pytest.param(line(18, 5, LOCK, 4096), Wait(Kind.WRITE, 7, 5), id="pwrite64"),
        pytest.param(line(73, 3, 2), Wait(Kind.FILE, 7, 3), id="flock"),
        pytest.param(line(72, 3, 7, LOCK), Wait(Kind.FILE, 7, 3), id="lock of a range"),
        pytest.param(line(72, 3, 38, LOCK), Wait(Kind.FILE, 7, 3), id="lock of an open file description"),
        pytest.param(line(72, 3, 6, LOCK), None, id="a lock that is not waited for"),
        pytest.param(line(65, 9, LOCK, 1), Wait(Kind.SEMAPHORE, 0, 9 << 3), id="semop"),
        pytest.param(line(230, 0, 0, LOCK), None, id="sleeps"),
        pytest.param(b"running\n", None, id="runs"),
        pytest.param(b"-1 0x7ffe2cfa9e98 0x7faaed716897\n", None, id="page fault"),
        pytest.param(b"", None, id="gone"),
    ],
)
def test_of_a_thread_of_process_7(told: bytes, wait: Wait | None) -> None:
    assert parse_wait(told, 7, X86) == wait


def test_an_architecture_has_numbers_of_its_own() -> None:
    waits = [parse_wait(line(number, 3, 7, LOCK), 7, ARM) for number in (82, 25, 32, 64, 74)]

    kinds = [None if wait is None else wait.kind for wait in waits]
    assert kinds == [Kind.SYNC, Kind.FILE, Kind.FILE, Kind.WRITE, None]


def test_where_numbers_are_not_known_nobody_waits() -> None:
    assert numbers("pdp11") is UNKNOWN
    assert parse_wait(line(202, LOCK, 0x80, 2), 7, UNKNOWN) is None

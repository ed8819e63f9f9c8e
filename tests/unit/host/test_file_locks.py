"""Who holds a lock of a file, and who waits for it."""

from __future__ import annotations

from linnix.cognitod.host.locks import Contended, LockLook, look, parse_locks

TOLD = """\
1: FLOCK  ADVISORY  WRITE 5012 fe:00:2146474 0 EOF
1: -> FLOCK  ADVISORY  WRITE 5010 fe:00:2146474 0 EOF
1:  -> FLOCK  ADVISORY  WRITE 5011 fe:00:2146474 0 EOF
2: POSIX  ADVISORY  READ 4645 00:26:25466 0 EOF
3: OFDLCK ADVISORY  WRITE -1 fe:00:77 128 128
3: -> POSIX  ADVISORY  WRITE 5010 fe:00:77 0 EOF
4: FLOCK  ADVISORY  WRITE 5010 fe:00:78 0 EOF
4: -> FLOCK  ADVISORY  WRITE 5012 fe:00:78 0 EOF
4: -> FLOCK  ADVISORY  WRITE 5012 fe:00:78 0 EOF
4: -> FLOCK  ADVISORY  WRITE 5012 fe:00:78 0 EOF
5: LEASE
"""


def test_locks_that_nobody_waits_for_are_left_out() -> None:
    assert parse_locks(TOLD) == [
        Contended(5012, (5010, 5011)),
        Contended(-1, (5010,)),
        Contended(5010, (5012, 5012, 5012)),
    ]
    assert parse_locks("") == []


def test_holders_and_waiters_have_the_longest_queue_that_they_are_part_of() -> None:
    told = look(TOLD, 9)

    assert told == LockLook(9, waiting=told.waiting, queue={5012: 3, 5010: 3, 5011: 2})
    assert dict(told.waiting) == {5010: 2, 5011: 1, 5012: 3}

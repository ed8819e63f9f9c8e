"""What the table concludes. Its agreement with a simple one is in test_table_oracle."""

from __future__ import annotations

import numpy as np
import pytest
from cognitod_make import SECOND, batch, event, process, text

from linnix.cognitod.events import Kind
from linnix.cognitod.model import ROW
from linnix.cognitod.processes import Table

MEMORY = 1 << 30


def sample(table: Table, now_ns: int, *rows: np.ndarray, **more: object) -> None:
    table.sample(np.concatenate(rows), now_ns, MEMORY, **more)


def row(table: Table, pid: int) -> np.void:
    found = table.find(pid)
    assert found is not None
    return found


def told(row: np.void, *names: str) -> tuple:
    return tuple(row[name].item() for name in names)


def argv(table: Table, pid: int) -> list[str]:
    _, (words,) = table.started_with(np.array([row(table, pid)["slot"]], np.intp))
    return words


def fork(pid: int, ts_ns: int, ppid: int = 1, parent_start_ns: int = 1, **more: object) -> np.ndarray:
    return event(Kind.FORK, pid, ts_ns, ppid=ppid, parent_start_ns=parent_start_ns, **more)


INIT = process(1, 1, comm=b"init")


def test_cpu_is_the_difference_of_two_samples_over_the_time_that_really_passed() -> None:
    table = Table()
    sample(table, 10 * SECOND, process(5, 1, cpu_ns=100 * SECOND))
    first = row(table, 5)["cpu_pct"]
    sample(table, 12 * SECOND, process(5, 1, cpu_ns=105 * SECOND))

    assert (first, row(table, 5)["cpu_pct"]) == (0.0, 250.0)


def test_cpu_of_one_born_between_two_samples_counts_from_its_birth() -> None:
    table = Table()
    sample(table, 10 * SECOND, INIT)
    table.update(batch(fork(5, 10 * SECOND + SECOND // 2)))
    sample(table, 11 * SECOND, INIT, process(5, 10 * SECOND + SECOND // 2, cpu_ns=SECOND // 4))

    assert row(table, 5)["cpu_pct"] == 50.0


def test_cpu_time_that_steps_back_because_a_thread_died_is_not_a_negative_percentage() -> None:
    table = Table()
    for second, cpu_s in ((10, 50), (11, 49), (12, 51)):
        sample(table, second * SECOND, process(5, 1, cpu_ns=cpu_s * SECOND))
        assert row(table, 5)["cpu_pct"] >= 0

    assert told(row(table, 5), "cpu_pct", "cpu_ns") == (100.0, 51 * SECOND)


def test_memory_is_told_in_bytes_percent_and_growth_over_the_last_minute() -> None:
    table = Table()
    for second in range(120):
        sample(table, (100 + second) * SECOND, process(5, 1, rss_bytes=(100 + second) << 20))

    grown, window_ns = told(row(table, 5), "rss_growth_bytes", "rss_window_ns")
    assert grown / 2**20 == window_ns / SECOND  # one MiB a second
    assert 60 <= window_ns / SECOND < 66
    assert told(row(table, 5), "rss_bytes", "max_rss_bytes") == (219 << 20, 219 << 20)
    assert row(table, 5)["mem_pct"] == pytest.approx(100 * 219 / 1024)
    times, values = table.rss_history(int(row(table, 5)["slot"]))
    assert len(times) == 13
    assert (np.diff(values) == 5 << 20).all()


def test_a_process_that_has_exited_uses_nothing_and_keeps_its_totals() -> None:
    table = Table(page_size=4096)
    sample(table, 10 * SECOND, process(5, 1, cpu_ns=SECOND, rss_bytes=1 << 20))
    table.update(
        batch(event(Kind.EXIT, 5, 11 * SECOND, start_ns=1, cpu_ns=2 * SECOND, max_rss_pages=512, exit_signal=9))
    )

    names = ("alive", "state", "cpu_pct", "rss_bytes", "threads", "cpu_ns", "max_rss_bytes", "exit_signal", "exit_ns")
    expected = (False, b"X", 0.0, 0, 0, 2 * SECOND, 2 << 20, 9, 11 * SECOND)
    assert told(row(table, 5), *names) == expected


def test_who_ran_before_the_daemon_is_there_and_marked() -> None:
    table = Table()
    sample(table, 10 * SECOND, INIT, process(7, 5, ppid=1), boot_offset_ns=3)
    table.update(batch(fork(8, 11 * SECOND, ppid=7, parent_start_ns=5)))

    assert told(row(table, 7), "preexisting", "parent_start_ns", "first_ns", "forks") == (True, 1, 2, 1)
    assert told(row(table, 8), "preexisting", "first_ns") == (False, 11 * SECOND)


def test_forks_and_short_children_are_those_of_the_last_ten_seconds() -> None:
    table = Table()
    sample(table, SECOND, INIT)
    for second in (2, 3, 4):
        child = second + 100
        table.update(
            batch(fork(child, second * SECOND), event(Kind.EXIT, child, second * SECOND + 5, start_ns=second * SECOND))
        )
    seen = [told(row(table, 1), "forks", "short_children")]
    for now_s in (11, 12, 14, 40):
        sample(table, now_s * SECOND, INIT)
        seen.append(told(row(table, 1), "forks", "short_children"))

    assert seen == [(3, 3), (3, 3), (2, 2), (0, 0), (0, 0)]


def test_what_children_ran_and_how_they_ended_is_counted_for_who_forked_them() -> None:
    table = Table()
    sample(table, SECOND, INIT)
    for child, ended in ((100, {"exit_code": 1}), (101, {"exit_signal": 9}), (102, {})):
        born_ns = 2 * SECOND + child
        table.update(
            batch(
                fork(child, born_ns),
                event(Kind.EXEC, child, born_ns + 1, start_ns=born_ns, ppid=1, parent_start_ns=1),
                event(Kind.EXIT, child, 4 * SECOND, start_ns=born_ns, ppid=1, parent_start_ns=1, **ended),
            )
        )
    counted = ("forks", "child_execs", "child_exits", "failed_children", "short_children")
    seen = [told(row(table, 1), *counted)]
    for now_s in (12, 14):
        sample(table, now_s * SECOND, INIT)
        seen.append(told(row(table, 1), *counted))

    assert seen == [(3, 3, 3, 2, 0), (0, 0, 3, 2, 0), (0, 0, 0, 0, 0)]


def test_a_child_that_dies_after_its_parent_is_still_the_parents_short_job() -> None:
    table = Table()
    sample(table, SECOND, INIT, process(7, 5, ppid=1))
    table.update(batch(fork(8, 2 * SECOND, ppid=7, parent_start_ns=5), event(Kind.EXIT, 7, 2 * SECOND + 1, start_ns=5)))
    table.update(batch(event(Kind.EXIT, 8, 2 * SECOND + 2, start_ns=2 * SECOND, ppid=1, parent_start_ns=1)))

    assert (row(table, 7)["short_children"], row(table, 1)["short_children"]) == (1, 0)


def test_one_that_vanished_is_gone_after_two_samples_without_it() -> None:
    table = Table()
    sample(table, 10 * SECOND, INIT, process(5, 1))
    sample(table, 11 * SECOND, INIT)
    still = row(table, 5)["alive"]
    sample(table, 12 * SECOND, INIT)

    assert (still, row(table, 5)["alive"], table.totals.missed_exits) == (True, False, 1)


def test_the_exit_event_of_one_that_vanished_corrects_the_books() -> None:
    table = Table()
    sample(table, 10 * SECOND, INIT, process(5, 1))
    sample(table, 11 * SECOND, INIT)
    sample(table, 12 * SECOND, INIT)
    table.update(batch(event(Kind.EXIT, 5, 10 * SECOND + 7, start_ns=1, exit_code=3)))

    assert told(row(table, 5), "exit_ns", "exit_code") == (10 * SECOND + 7, 3)
    assert (table.totals.missed_exits, table.totals.exits) == (0, 1)


def test_a_zombie_is_dead_shown_as_one_and_stays_until_it_is_reaped() -> None:
    table = Table(retention_ns=SECOND)
    sample(table, 10 * SECOND, INIT, process(5, 1))
    table.update(batch(event(Kind.EXIT, 5, 11 * SECOND, start_ns=1)))
    for second in range(12, 20):
        sample(table, second * SECOND, INIT, process(5, 1, state=b"Z"))
        table.expire(second * SECOND)
    zombie = told(row(table, 5), "alive", "state")
    for second in (20, 21, 22):
        sample(table, second * SECOND, INIT)
        table.expire(second * SECOND)

    assert zombie == (False, b"Z")
    assert table.find(5) is None


def test_exited_processes_are_kept_for_the_retention_and_then_forgotten() -> None:
    table = Table(retention_ns=60 * SECOND)
    table.update(batch(fork(5, SECOND), event(Kind.EXIT, 5, 2 * SECOND, start_ns=SECOND)))

    assert (table.expire(62 * SECOND), table.expire(62 * SECOND + 1), len(table)) == (0, 1, 0)
    assert table.rows().dtype == ROW
    assert table.find(5) is None


def test_no_more_exited_processes_are_kept_than_allowed_and_the_oldest_go() -> None:
    table = Table(max_exited=160)
    sample(table, SECOND, INIT)
    for number in range(1000):
        pid, ts_ns = 100 + number, SECOND * 2 + number
        table.update(batch(fork(pid, ts_ns), event(Kind.EXIT, pid, ts_ns + 1, start_ns=ts_ns)))
        assert np.count_nonzero(~table.rows()["alive"]) <= 160

    kept = np.sort(table.rows()["pid"])
    assert kept[0] == 1
    assert (kept[1:] == np.arange(1100 - (len(kept) - 1), 1100)).all()
    assert table.totals.evicted == 1000 - (len(kept) - 1)


def test_a_text_finds_its_exec_even_when_the_process_execs_again_in_the_same_batch() -> None:
    table = Table()
    execs = [event(Kind.EXEC, 5, SECOND + seq, start_ns=SECOND, text_seq=seq) for seq in (1, 2)]
    texts = np.concatenate([text(5, SECOND, 1, "env", "x"), text(5, SECOND, 2, "x", "-v", filename="/bin/x")])
    update = table.update(batch(fork(5, SECOND), *execs, texts=texts))

    slot = int(row(table, 5)["slot"])
    assert table.started_with(np.array([slot])) == (["/bin/x"], [["x", "-v"]])
    assert update.text_at.tolist() == [-1, 0, 1]


def test_a_text_that_comes_before_its_exec_waits_for_it() -> None:
    table = Table()
    table.update(batch(fork(5, SECOND), texts=text(5, SECOND, 9, "late")))
    table.update(batch(event(Kind.EXEC, 5, SECOND + 1, start_ns=SECOND, text_seq=9)))

    assert argv(table, 5) == ["late"]


def test_a_child_that_has_not_execed_runs_what_its_parent_ran_when_it_forked() -> None:
    table = Table()
    table.update(
        batch(
            fork(5, SECOND),
            event(Kind.EXEC, 5, SECOND + 1, start_ns=SECOND, text_seq=1),
            fork(6, SECOND + 2, ppid=5, parent_start_ns=SECOND),
            texts=text(5, SECOND, 1, "server"),
        )
    )
    before = argv(table, 6)
    table.update(batch(event(Kind.EXEC, 5, SECOND + 3, start_ns=SECOND, text_seq=2), texts=text(5, SECOND, 2, "other")))

    assert (before, argv(table, 6)) == (["server"], [])


def test_texts_of_forgotten_processes_are_forgotten_too() -> None:
    table = Table(retention_ns=SECOND, max_exited=16)
    for number in range(500):
        start_ns = SECOND * (number + 1)
        table.update(
            batch(
                fork(5, start_ns),
                event(Kind.EXEC, 5, start_ns + 1, start_ns=start_ns, text_seq=number + 1),
                event(Kind.EXIT, 5, start_ns + 2, start_ns=start_ns),
                texts=text(5, start_ns, number + 1, "job"),
            )
        )
        table.expire(start_ns + 3)

    assert len(table._texts) == len(table) <= 3
    assert table._texts._handles.top <= 64


@pytest.mark.parametrize(
    ("comm", "words", "own"),
    [
        (b"cognitod", ("cognitod",), True),
        (b"linnix-reasoner", ("linnix-reasoner",), True),
        (b"python3", ("python3", "-m", "linnix.modelserver.child"), True),
        (b"python3", ("python3", "-m", "http.server", "linnix."), False),
        (b"llama-server", ("llama-server",), False),
    ],
)
def test_linnixs_own_processes_are_known_by_name_or_module(comm: bytes, words: tuple[str, ...], own: bool) -> None:
    table = Table()
    table.update(
        batch(
            fork(5, SECOND),
            event(Kind.EXEC, 5, SECOND + 1, start_ns=SECOND, text_seq=1, comm=comm),
            texts=text(5, SECOND, 1, *words),
        )
    )
    seeded = Table()
    sample(seeded, SECOND, process(5, 1, comm=comm), texts=text(5, 1, 0, *words))

    assert (bool(row(table, 5)["own"]), bool(row(seeded, 5)["own"])) == (own, own)


def test_what_linnix_starts_is_its_own_until_it_execs_something_else() -> None:
    table = Table()
    sample(table, SECOND, process(5, 1, comm=b"linnix"))
    seen = []
    for number, comm in enumerate((b"linnix", b"llama-server", b"stress")):
        start_ns = (2 + number) * SECOND
        table.update(batch(fork(6, start_ns, ppid=5, parent_start_ns=1)))
        table.update(batch(event(Kind.EXEC, 6, start_ns + 1, start_ns=start_ns, comm=comm)))
        seen.append(bool(row(table, 6)["own"]))

    assert seen == [True, True, False]


def test_a_sight_that_cannot_name_the_parents_start_means_whoever_has_the_pid() -> None:
    table = Table()
    sample(table, SECOND, INIT)
    table.update(batch(fork(5, 2 * SECOND, ppid=1, parent_start_ns=0)))

    assert row(table, 1)["forks"] == 1


def test_rows_that_were_handed_out_do_not_change_later() -> None:
    table = Table()
    sample(table, SECOND, INIT)
    before = table.rows()
    table.update(batch(event(Kind.EXIT, 1, 2 * SECOND, start_ns=1)))

    assert before["alive"].tolist() == [True]
    with pytest.raises(ValueError, match="read-only"):
        before["pid"] = 7

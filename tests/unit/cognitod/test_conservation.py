"""CPU time and births are held against the kernel's totals, over windows that can tell."""

from dataclasses import replace

from linnix.cognitod.books import Books
from linnix.cognitod.conservation import Balance, Births, Ledger, Traffic

S = 10**9
ZERO = Books(
    at_ns=0,
    cores=2,
    run_ns=0,
    idle_task_ns=0,
    idle_ns=0,
    steal_ns=0,
    irq_ns=0,
    processes=0,
    forks=0,
    threads=0,
    workers=0,
    together=True,
)
#: Ten seconds of two cores: 8 s of tasks, 11 s idle, half a second of interrupts meanwhile, half a second stolen.
LATER = replace(
    ZERO, at_ns=10 * S, run_ns=8 * S, idle_task_ns=11 * S + S // 2, idle_ns=11 * S, steal_ns=S // 2, irq_ns=S
)


def balance(*readings: Books) -> Balance | None:
    ledger = Ledger()
    for books in readings:
        ledger.add(books)
    return ledger.balance()


def test_tasks_and_interrupts_are_what_was_not_idle() -> None:
    found = balance(ZERO, LATER)

    assert found == Balance(
        window_ns=10 * S, busy_pct=42.5, accounted_ns=8 * S + S // 2, interrupts_ns=S // 2, expected_ns=8 * S + S // 2
    )
    assert (found.error_pct, found.holds) == (0.0, True)


def test_what_is_missing_is_told_in_percent() -> None:
    found = balance(ZERO, replace(LATER, run_ns=LATER.run_ns - 17 * S // 100))

    assert found is not None
    assert (found.error_pct, found.holds) == (-2.0, True)
    more = balance(ZERO, replace(LATER, run_ns=LATER.run_ns + 18 * S // 100))
    assert more is not None
    assert more.holds is False


def test_an_idle_host_is_not_judged() -> None:
    found = balance(ZERO, replace(LATER, idle_ns=15 * S, idle_task_ns=15 * S))

    assert found is not None
    assert (found.busy_pct, found.holds) == (22.5, None)


def test_less_than_ten_seconds_are_no_window_and_more_than_needed_are_left_out() -> None:
    assert balance(ZERO, replace(LATER, at_ns=9 * S)) is None
    found = balance(*(replace(ZERO, at_ns=at * S) for at in range(-7, 0)), ZERO, LATER)
    assert found is not None
    assert found.window_ns == 10 * S


def test_without_the_kernels_programs_nothing_is_accounted() -> None:
    found = balance(replace(ZERO, run_ns=None), replace(LATER, run_ns=None))

    assert found is not None
    assert (found.accounted_ns, found.error_pct, found.holds) == (None, None, None)


def test_where_nobody_watches_the_idle_task_interrupts_are_unknown() -> None:
    found = balance(replace(ZERO, idle_task_ns=None), replace(LATER, idle_task_ns=None))

    assert found is not None
    assert (found.accounted_ns, found.interrupts_ns) == (8 * S, None)


def test_where_interrupts_are_timed_those_that_hit_tasks_count_as_well() -> None:
    found = balance(ZERO, replace(LATER, irq_timed=True, idle_irq_ns=S // 4))

    assert found is not None
    assert found.interrupts_ns == S // 2 + S - S // 4


def test_a_window_in_which_cores_came_or_went_says_nothing() -> None:
    assert balance(ZERO, replace(LATER, cores=4)) is None


def test_births_are_counted_between_readings_that_belong_together() -> None:
    ledger = Ledger()
    assert ledger.births() is None
    read = [(90, 3, False), (100, 10, True), (130, 31, True), (140, 38, False)]
    for at, (processes, forks, together) in enumerate(read):
        ledger.add(
            replace(ZERO, at_ns=at * S, processes=processes, forks=forks, threads=at, workers=at, together=together)
        )

    found = ledger.births()
    assert found == Births(kernel_processes=30, forks=21, threads=1, workers=1)
    assert found.unexplained == 7


def test_bytes_are_held_against_the_disks_since_the_first_reading() -> None:
    ledger = Ledger()
    assert ledger.traffic() is None
    ledger.add(replace(ZERO, read_bytes=100, write_bytes=50, disk_read_bytes=1000, disk_write_bytes=2000))
    ledger.add(replace(ZERO, at_ns=99 * S, read_bytes=107, write_bytes=63, disk_read_bytes=1007, disk_write_bytes=2011))

    assert ledger.traffic() == Traffic(read_bytes=7, disk_read_bytes=7, write_bytes=13, disk_write_bytes=11)


def test_without_the_kernels_programs_no_bytes_are_known() -> None:
    ledger = Ledger()
    ledger.add(ZERO)

    assert ledger.traffic() is None

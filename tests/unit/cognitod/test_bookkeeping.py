"""The kernel's books and ours are read as of one moment, or it is said that they are not."""

from pathlib import Path

from linnix.cognitod.bookkeeping import ATTEMPTS, Bookkeeper
from linnix.cognitod.books import IdleTime
from linnix.cognitod.events import Clocks, Counters

STAT = """\
cpu  100 10 50 800 40 2 5 3 60 0
cpu0 50 5 25 400 20 1 2 2 30 0
cpu1 50 5 25 400 20 1 3 1 30 0
intr 12345 0 0
processes 4242
"""


class Births:
    """Counters of a host on which something is born at each of the first readings."""

    def __init__(self, busy: int) -> None:
        self.busy = busy
        self.readings = 0

    def read(self) -> Counters:
        self.readings += 1
        forks = min(self.readings, self.busy)
        return Counters({"fork": forks}, {"fork": 7}, threads=5, workers=3, buried_run_ns=40, clocks=Clocks(2, True))


def keeper(root: Path, births: Births) -> Bookkeeper:
    (root / "stat").write_text(STAT)
    return Bookkeeper(births.read, lambda now_ns: IdleTime(900, 30), root)


def test_counters_that_move_are_read_again_until_they_rest(tmp_path: Path) -> None:
    births = Births(busy=4)
    books = keeper(tmp_path, births).read()

    assert (books.together, births.readings) == (True, 5)
    assert (books.processes, books.forks, books.threads, books.workers) == (4242, 4 + 7, 5, 3)
    assert (books.run_ns, books.irq_timed, books.idle_task_ns, books.idle_irq_ns) == (42, True, 900, 30)
    assert (books.cores, books.idle_ns, books.steal_ns, books.irq_ns) == (2, 8_400_000_000, 30_000_000, 70_000_000)


def test_counters_that_never_rest_are_said_to_be_apart(tmp_path: Path) -> None:
    births = Births(busy=1000)

    assert keeper(tmp_path, births).read().together is False
    assert births.readings == ATTEMPTS + 1


def test_without_the_kernels_programs_only_its_files_tell(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(STAT)
    books = Bookkeeper(Counters, root=tmp_path).read()

    assert (books.run_ns, books.idle_task_ns, books.processes, books.together) == (None, None, 4242, True)

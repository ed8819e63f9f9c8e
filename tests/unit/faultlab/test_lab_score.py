"""Many runs added up: figures that can be checked by hand, and intervals that are the same every time."""

from __future__ import annotations

import math

import msgspec
import pytest
from lab_recorded import run

from linnix.faultlab import report
from linnix.faultlab.coverage import Coverage
from linnix.faultlab.grade import Graded, Said, grade
from linnix.faultlab.intervals import Measure, wilson
from linnix.faultlab.score import OfClass, score


def graded(
    name: str, cls: str, said: str = "", hit: bool = True, delay_s: float | None = 1.0, who: str = "renderd"
) -> Graded:
    """A run that was taken for this; for what it is where nothing is given."""
    fault = cls != "normal"
    return Graded(
        run=name,
        scenario=name.rpartition("-")[0],
        part="test",
        cls=cls,
        culprit=who if fault else None,
        faults=int(fault),
        busier_decoy=False,
        said=Said(said or cls, who if fault else "nobody", "worker" if fault and hit else None, "rule"),
        hit=hit,
        first_hit_s=delay_s if fault and hit else None,
        delay_s=delay_s if fault and hit else None,
        quiet_ticks=2 if hit or fault else 0,
        calm_ticks=2,
    )


RUNS = [
    graded("a-1", "cpu_spin", delay_s=1.0),
    graded("a-2", "cpu_spin", delay_s=3.0),
    graded("b-1", "mem_leak", delay_s=2.0),
    graded("b-2", "mem_leak", said="cpu_spin", hit=False),
    graded("c-1", "normal"),
    graded("c-2", "normal", said="mem_leak", hit=False),
]


EVERYTHING = Coverage(planned=4, recorded=4, graded=4, failed=(), absent=())


def values(*measures: Measure) -> list[tuple[float | None, int]]:
    return [(measure.value, measure.count) for measure in measures]


def test_the_figures_are_those_that_one_counts_by_hand() -> None:
    found = score(RUNS)

    assert (found.runs, found.scenarios) == (6, 3)
    assert values(found.hit, found.hit_plain, found.hit_busier, found.both) == [
        (0.75, 4),
        (0.75, 4),
        (None, 0),
        (None, 0),
    ]
    assert values(found.quiet_runs, found.quiet_normal, found.quiet_warm_up) == [(0.5, 2), (0.5, 4), (1.0, 8)]
    assert values(found.found, found.delay_s) == [(0.75, 4), (2.5, 4)]  # of 1, 2, 3 and never
    # Of cpu_spin 2 TP, 1 FP: 4/5. Of mem_leak 1 TP, 1 FP, 1 FN: 1/2. Of normal 1 TP, 1 FN: 2/3.
    assert found.macro_f1.value == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert found.confusion == {
        "cpu_spin": {"cpu_spin": 2},
        "mem_leak": {"mem_leak": 1, "cpu_spin": 1},
        "normal": {"normal": 1, "mem_leak": 1},
    }
    assert [run.run for run in found.misses] == ["b-2", "c-2"]


def test_a_run_in_which_the_culprit_is_never_first_is_not_left_out_of_the_median() -> None:
    runs = [graded(f"s{at}-1", "cpu_spin", hit=at < 2, delay_s=1.0) for at in range(5)]

    found = score(runs)

    assert (found.found, found.delay_s) == (Measure(0.4, 5, *wilson(0.4, 5), "wilson"), Measure(math.inf, 5))
    [told] = [line for line in report.plain(found, EVERYTHING) if line.startswith("median")]
    assert told.split()[-4:] == ["never", "-", "5", "runs"]
    assert msgspec.json.decode(msgspec.json.encode(found))["delay_s"]["value"] is None


def test_the_interval_of_a_median_may_reach_to_never() -> None:
    runs = [graded(f"s{at}-1", "cpu_spin", hit=at % 3 > 0, delay_s=float(at)) for at in range(12)]

    found = score(runs).delay_s

    assert (found.value, found.count, found.high, found.interval) == (9.0, 12, math.inf, "bootstrap")
    assert found.low is not None and found.low < 9


def test_a_class_of_few_scenarios_has_wilson_s_intervals_and_none_of_its_median() -> None:
    assert score(RUNS).classes[0] == OfClass(
        cls="cpu_spin",
        runs=2,
        hit=Measure(1.0, 2, *wilson(1.0, 1), "wilson"),
        precision=Measure(2 / 3, 3, *wilson(2 / 3, 2), "wilson"),  # that is of two scenarios
        recall=Measure(1.0, 2, *wilson(1.0, 1), "wilson"),
        f1=Measure(0.8, 2, *wilson(0.8, 1), "wilson"),
        found=Measure(1.0, 2, *wilson(1.0, 1), "wilson"),
        delay_s=Measure(2.0, 2),
    )


def test_where_all_scenarios_agree_the_interval_is_wilson_s() -> None:
    right = score([graded(f"s{at}-{seed}", "cpu_spin") for at in range(20) for seed in range(3)])
    wrong = score([graded(f"s{at}-1", "cpu_spin", hit=False) for at in range(20)])

    # 20 of 20: z^2 / (20 + z^2) may be wrong.
    assert right.hit == Measure(1.0, 60, pytest.approx(0.83887, abs=1e-5), 1.0, "wilson")
    assert wrong.hit == Measure(0.0, 20, 0.0, pytest.approx(0.16113, abs=1e-5), "wilson")


def test_the_wilson_interval_is_that_of_the_books() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    found = [tuple(round(end, 4) for end in wilson(k / n, n)) for k, n in ((81, 263), (15, 148), (0, 20), (1, 29))]

    assert found == [(0.2553, 0.3662), (0.0624, 0.1605), (0.0, 0.1611), (0.0061, 0.1718)]


def test_a_run_whose_daemon_failed_is_in_every_figure() -> None:
    failed = msgspec.structs.replace(
        graded("d-1", "normal", said="no answer", hit=False), failed="gone", cause="the daemon failed: gone"
    )
    found = score([*RUNS, failed])

    assert (found.runs, found.failed) == (7, 1)
    assert found.confusion["normal"] == {"normal": 1, "mem_leak": 1, "no answer": 1}
    assert values(found.quiet_runs, found.quiet_normal) == [(1 / 3, 3), (1 / 3, 6)]
    assert [run.run for run in found.misses] == ["b-2", "c-2", "d-1"]


def test_intervals_hold_the_figure_and_are_the_same_every_time() -> None:
    runs = [graded(f"s{at}-1", "cpu_spin", hit=at % 4 > 0, delay_s=float(at)) for at in range(40)]

    first, again = score(runs), score(runs)

    assert first == again
    assert (first.hit.value, first.hit.count) == (0.75, 40)
    # The binomial one would be 0.75 +- 1.96 sqrt(0.75 0.25 / 40), which is 0.616 to 0.884.
    assert (first.hit.low, first.hit.high) == (pytest.approx(0.616, abs=0.03), pytest.approx(0.884, abs=0.03))


def test_runs_of_one_scenario_are_drawn_together() -> None:
    alike = [graded(f"s{at}-{seed}", "cpu_spin", hit=at % 4 > 0) for at in range(10) for seed in range(4)]
    apart = [graded(f"s{at}-1", "cpu_spin", hit=at % 40 >= 12) for at in range(40)]

    def width(measure: Measure) -> float:
        assert measure.high is not None and measure.low is not None
        return measure.high - measure.low

    assert score(alike).hit.value == score(apart).hit.value == 0.7
    assert width(score(alike).hit) > 1.5 * width(score(apart).hit)


def test_a_class_that_nobody_has_words_for_is_counted() -> None:
    assert score([graded("a-1", "cpu_spin", said="weird")]).confusion == {"cpu_spin": {"weird": 1}}


def test_the_tables_name_every_miss_and_obey_no_name() -> None:
    hostile = msgspec.structs.replace(
        RUNS[3], said=Said("cpu_spin", "\x1b[2J<b>|x", None, "cpu_full"), cause="cpu_spin of \x1b[2J<b>|x"
    )
    found = score([*RUNS[:3], hostile])

    plain, document = report.plain(found, EVERYTHING), report.markdown(found, EVERYTHING, "How.")

    assert plain[:5] == [
        "Runs planned: 4; recorded: 4; graded: 4",
        "",
        "4 runs of 2 scenarios",
        "measure                                            value    95 % interval      of",
        "culprit named first, one fault                     75.0 %   19.8 to 97.3 % w   4 runs",
    ]
    assert plain[-4:-2] == [
        "run  expected  of       said      about      why",
        "b-2  mem_leak  renderd  cpu_spin  ␛[2J<b>|x  cpu_spin of ␛[2J<b>|x",
    ]
    assert document[:3] == ["How.", "", "- Runs planned: 4; recorded: 4; graded: 4"]
    assert document[-1] == (r"| b-2 | mem\_leak | renderd | cpu\_spin | ␛\[2J\<b\>\|x | cpu\_spin of ␛\[2J\<b\>\|x |")


def test_what_is_not_there_and_what_failed_is_named() -> None:
    covered = Coverage(planned=9, recorded=6, graded=6, failed=("a-2",), absent=("x-1", "y_z-2"))

    assert report.plain(score(RUNS), covered)[:3] == [
        "Runs planned: 9; recorded: 6; graded: 6",
        "Daemon failed, which is a miss: 1: a-2",
        "Absent, in no figure: 2: x-1, y_z-2",
    ]
    assert report.markdown(score(RUNS), covered, "How.")[4] == r"- Absent, in no figure: 2: x-1, y\_z-2"
    unknown = Coverage(planned=None, recorded=6, graded=6, failed=(), absent=())
    assert report.plain(score(RUNS), unknown)[0] == "Runs planned: not known; recorded: 6; graded: 6"


def test_recorded_runs_can_be_scored() -> None:
    found = score([grade(run([("cpu_spin", "renderd")], name=f"s{at}-1")) for at in range(3)])

    assert (found.hit, found.misses) == (Measure(1.0, 3, *wilson(1.0, 3), "wilson"), ())

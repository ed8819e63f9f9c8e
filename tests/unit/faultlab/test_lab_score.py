"""Many runs added up: figures that can be checked by hand, and intervals that are the same every time."""

from __future__ import annotations

import msgspec
import pytest
from lab_recorded import run

from linnix.faultlab import report
from linnix.faultlab.grade import Graded, Said, grade
from linnix.faultlab.score import Measure, OfClass, score


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
    assert values(found.quiet_normal, found.quiet_warm_up, found.delay_s) == [(0.5, 4), (1.0, 8), (2.0, 3)]
    # Of cpu_spin 2 TP, 1 FP: 4/5. Of mem_leak 1 TP, 1 FP, 1 FN: 1/2. Of normal 1 TP, 1 FN: 2/3.
    assert found.macro_f1.value == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert found.confusion == {
        "cpu_spin": {"cpu_spin": 2},
        "mem_leak": {"mem_leak": 1, "cpu_spin": 1},
        "normal": {"normal": 1, "mem_leak": 1},
    }
    assert [run.run for run in found.misses] == ["b-2", "c-2"]


def test_a_class_of_one_scenario_has_figures_and_no_interval() -> None:
    spin = score(RUNS).classes[0]

    assert spin == OfClass(
        cls="cpu_spin",
        runs=2,
        hit=Measure(1.0, 2),
        precision=Measure(2 / 3, 3, spin.precision.low, spin.precision.high),  # that is of two scenarios
        recall=Measure(1.0, 2),
        f1=Measure(0.8, 2),
        delay_s=Measure(2.0, 2),
    )


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
    hostile = msgspec.structs.replace(RUNS[3], said=Said("cpu_spin", "\x1b[2J<b>|x", None, "cpu_full"))
    found = score([*RUNS[:3], hostile])

    plain, document = report.plain(found), report.markdown(found)

    assert plain[:3] == [
        "4 runs of 2 scenarios",
        "measure                                                  value    95 % interval     of",
        "culprit named first, one fault                           75.0 %   50.0 to 100.0 %   4 runs",
    ]
    assert plain[-2:] == [
        "run  class     culprit  said      about      rule",
        "b-2  mem_leak  renderd  cpu_spin  ␛[2J<b>|x  cpu_full",
    ]
    assert document[-1] == r"| b-2 | mem\_leak | renderd | cpu\_spin | ␛\[2J\<b\>\|x | cpu\_full |"


def test_recorded_runs_can_be_scored() -> None:
    found = score([grade(run([("cpu_spin", "renderd")], name=f"s{at}-1")) for at in range(3)])

    assert (found.hit, found.misses) == (Measure(1.0, 3, 1.0, 1.0), ())

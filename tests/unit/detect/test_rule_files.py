"""Rule files: the original's are accepted as they are, and a mistake is told with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnix.cognitod.detect.params import DETECTORS, CpuPct, ForkBurst, ForksPerSec, ShortJobFlood
from linnix.cognitod.detect.rules import Rule, RuleError, load, parse

#: Every detector of the original with its own parameters.
ORIGINAL = """
- {name: a, detector: forks_per_sec, threshold: 10, duration: 2, severity: high, cooldown: 30}
- {name: b, detector: fork_burst, threshold: 30, window_seconds: 5, severity: Medium}
- {name: c, detector: short_job_flood, threshold: 40, window_seconds: 30}
- {name: d, detector: runaway_tree, threshold: 25, window_seconds: 15}
- {name: e, detector: exec_rate, regex: "^sh$", rate_per_min: 10, median_lifetime: 2}
- {name: f, detector: subtree_cpu_pct, threshold: 50, duration: 5}
- {name: g, detector: subtree_rss_mb, threshold: 50, duration: 2}
- {name: h, detector: zombie_count, threshold: 5, duration: 5}
- {name: i, detector: system_psi_cpu, threshold_pct: 40, duration: 15}
- {name: j, detector: system_psi_memory, threshold_pct: 10.5, duration: 15}
- {name: k, detector: system_psi_io, threshold_pct: 30, duration: 15}
"""

STORM = Rule(name="storm", severity="high", cooldown_s=30, params=ForksPerSec(threshold=10, duration=2))


def test_every_detector_of_the_original_is_accepted_with_its_own_parameters() -> None:
    rules = parse(ORIGINAL)
    ours = {"cpu_pct", "system_cpu_pct", "rss_growth"}
    assert [rule.detector for rule in rules] == [name for name in _in_original_order() if name not in ours]
    assert rules[0] == Rule(name="a", severity="high", cooldown_s=30, params=ForksPerSec(threshold=10, duration=2))
    assert rules[1] == Rule(name="b", severity="medium", params=ForkBurst(threshold=30, window_seconds=5))
    assert rules[2] == Rule(name="c", params=ShortJobFlood(threshold=40, window_seconds=30, max_exec_duration_ms=1000))


def _in_original_order() -> list[str]:
    named = [line.split("detector: ")[1].split(",")[0] for line in ORIGINAL.splitlines() if line]
    assert set(named) <= set(DETECTORS)
    return named


YAML = "- {name: storm, detector: forks_per_sec, threshold: 10, duration: 2, severity: high, cooldown: 30}"
TOML = """
[[rules]]
name = "storm"
detector = "forks_per_sec"
threshold = 10
duration = 2
severity = "high"
cooldown = 30
"""
NESTED = """
- name: storm
  detector:
    forks_per_sec: {threshold: 10, duration: 2}
  severity: high
  cooldown: 30
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.yaml", YAML),
        ("r.yml", YAML),
        ("r.toml", TOML),
        ("r.conf", TOML),
        ("r.conf", YAML),
        ("toml-in.yaml", TOML),
        ("yaml-in.toml", YAML),
        ("nested.yaml", NESTED),
        ("wrapped.yaml", "rules:\n" + YAML),
    ],
)
def test_the_extension_says_which_format_is_tried_first_and_the_other_is_tried_next(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert load(tmp_path / name) == [STORM]


@pytest.mark.parametrize("text", ["", "  \n", "# nothing\n", "[]", "rules: []"])
def test_a_file_without_rules_has_none(text: str) -> None:
    assert parse(text) == []


def test_a_cooldown_of_zero_is_a_tenth_of_a_second() -> None:
    rule = parse("- {name: r, detector: cpu_pct, threshold: 80, duration: 5, cooldown: 0, hold: 2, keep_firing: 3}")[0]
    assert rule == Rule(name="r", cooldown_s=0.1, hold_s=2, keep_firing_s=3, params=CpuPct(threshold=80, duration=5))


def _with(**changes: str) -> str:
    fields = {"name": "storm", "detector": "fork_burst", "threshold": "30", "window_seconds": "5"} | changes
    return "- {" + ", ".join(f"{key}: {value}" for key, value in fields.items() if value) + "}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_with(detector="fork_brust"), "rule 'storm': detector: unknown 'fork_brust'; did you mean 'fork_burst'?"),
        (_with(detector=""), "rule 'storm': detector: missing; one of forks_per_sec, fork_burst,"),
        (_with(severity="hihg"), "rule 'storm': severity: unknown 'hihg'; did you mean 'high'?"),
        (_with(severity="9"), "rule 'storm': severity: unknown 9; one of info, low, medium, high"),
        (_with(window_secs="5"), "unknown field 'window_secs' for fork_burst; did you mean 'window_seconds'?"),
        (_with(window_seconds=""), "rule 'storm': Object missing required field `window_seconds`"),
        (_with(threshold="many"), "rule 'storm': threshold: Expected `int`, got `str`"),
        *(
            (f"- {{name: r, severity: low, {fields}}}", f"rule 'r': {said}")
            for fields, said in (
                # No more than so much is kept, or told, of what these look at.
                ("detector: crash_loop, threshold: 257, duration: 5", "threshold: Expected `int` <= 256"),
                (
                    "detector: exec_rate, regex: x, rate_per_min: 8193, median_lifetime: 1",
                    "rate_per_min: Expected `int` <= 8192",
                ),
                (
                    "detector: disk_full, threshold_pct: 79, full_within_seconds: 60",
                    "threshold_pct: Expected `float` >= 80.0",
                ),
                ("detector: mem_leak, threshold: 2, duration: 601", "duration: Expected `float` <= 600.0"),
                ("detector: fd_leak, threshold: 2, duration: 601", "duration: Expected `float` <= 600.0"),
                ("detector: cpu_spin, threshold: 80, duration: 601", "duration: Expected `float` <= 600.0"),
                ("detector: cpu_saturation, threshold_pct: 80, duration: 601", "duration: Expected `float` <= 600.0"),
                ("detector: net_flood, threshold: 80, duration: 601", "duration: Expected `float` <= 600.0"),
            )
        ),
        (_with(threshold="-1"), "rule 'storm': threshold: Expected `int` >= 1"),
        (_with(window_seconds="0"), "rule 'storm': window_seconds: Expected `float` > 0"),
        (_with(cooldown="soon"), "rule 'storm': cooldown: expected seconds from 0 to a week, found 'soon'"),
        (_with(name=""), "rule 1: name: missing or not a text"),
        (_with() + "\n" + _with(), "rule 'storm': the name is used twice"),
        ("- just text", "rule 1: expected keys and values, found str"),
        ("rulez: []", "unknown key 'rulez'; did you mean 'rules'?"),
        ("rules: 3", "expected a list of rules"),
        ("- {name: r, detector: {fork_burst: 3}}", "rule 'r': detector: fork_burst: expected its settings"),
        (
            "- {name: r, detector: exec_rate, regex: '(', rate_per_min: 1, median_lifetime: 1}",
            "rule 'r': regex: missing ), unterminated subpattern at position 0 in '('",
        ),
        (
            "- {name: r, detector: forks_per_sec, threshold: 1000, duration: 600}",
            "rule 'r': duration: threshold x duration is above 100000, more than can be counted",
        ),
        ("{{{", "not YAML: "),
    ],
)
def test_a_mistake_names_the_rule_the_field_and_what_is_valid(text: str, message: str) -> None:
    with pytest.raises(RuleError) as error:
        parse(text)
    assert message in str(error.value)


def test_the_error_of_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(b"- name: \xff")
    with pytest.raises(RuleError, match=r"rules\.yaml: not a text file"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.yaml")


def test_a_rule_file_cannot_run_code() -> None:
    with pytest.raises(RuleError, match="not YAML"):
        parse("- !!python/object/apply:os.system ['true']")

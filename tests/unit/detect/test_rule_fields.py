"""The fields that every rule has: what they may hold, and on which line a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.detect.drafts import COMMON
from linnix.cognitod.detect.rules import Rule, RuleError, load, parse
from linnix.cognitod.detect.scope import KEYS, Scope


def rule(fields: str) -> Rule:
    (made,) = parse(f"- {{name: r, detector: cpu_pct, threshold: 80, duration: 5, {fields}}}")
    return made


def told(text: str, *, yaml_first: bool = True) -> list[str]:
    with pytest.raises(RuleError) as error:
        parse(text, yaml_first=yaml_first)
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("1.5", 1.5), ("90s", 90), ("'90s'", 90), ("500ms", 0.5), ("5m", 300), ("1h", 3600), ("1h30m", 5400),
     ("7d", 604_800), ("0", 0)],
)  # fmt: skip
def test_times_are_seconds_or_a_text_with_units(written: str, seconds: float) -> None:
    made = rule(f"for: {written}, keep_firing_for: {written}, cooldown: {written}")
    assert (made.hold_s, made.keep_firing_s, made.cooldown_s) == (seconds, seconds, max(seconds, 0.1))


@pytest.mark.parametrize("field", ["for", "hold", "keep_firing", "keep_firing_for", "cooldown"])
@pytest.mark.parametrize("written", ["soon", "-1", "'5 m'", "5x", "m", "8d", ".nan", ".inf", "true", "null", "[5]"])
def test_any_other_time_is_a_mistake(field: str, written: str) -> None:
    (problem,) = told(f"- {{name: r, detector: cpu_pct, threshold: 80, duration: 5, {field}: {written}}}")
    assert problem.startswith(f"1: rule 'r': {field}: expected seconds from 0 to a week, found ")


def test_both_names_of_a_field_mean_the_same_and_one_is_enough() -> None:
    assert rule("for: 3, keep_firing_for: 4") == rule("hold: 3, keep_firing: 4")
    assert told("- {name: r, detector: cpu_pct, threshold: 1, duration: 1, hold: 3,\n   for: 3}") == [
        "2: rule 'r': for: means the same as hold, which is given too; keep one of them"
    ]


def test_labels_runbook_and_scope_are_what_was_written() -> None:
    made = rule("labels: {team: db, app.kubernetes.io/name: x}, runbook: ' Call us ', scope: {uid: 5, comm: [a, b]}")
    assert made.labels == {"team": "db", "app.kubernetes.io/name": "x"}
    assert (made.runbook, made.scope) == ("Call us", Scope(uid=(5,), comm=("a", "b")))
    assert (rule("severity: low").labels, rule("severity: low").runbook) == ({}, None)
    assert rule("runbook: ''").runbook is None


def test_a_rule_that_is_switched_off_is_checked_and_left_out() -> None:
    assert parse("- {name: r, detector: cpu_pct, threshold: 80, duration: 5, enabled: false}") == []
    assert told("- {name: r, detector: cpu_pct, threshold: x, duration: 5, enabled: false}") == [
        "1: rule 'r': threshold: Expected `float`, got `str`"
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("enabled: 3", "enabled: expected true or false, found 3"),
        ("labels: x", "labels: expected names and texts, found 'x'"),
        ("labels: {a: 1}", "labels.a: expected a text, found 1; put it in quotes"),
        ("labels: {a b: x}", "labels.a b: a name has letters, digits and _ . / -, at most 63"),
        ('labels: {a: "x\\ny"}', "labels.a: expected one line of at most 256 characters"),
        (f"labels: {{a: {'x' * 257}}}", "labels.a: expected one line of at most 256 characters"),
        ("labels: {" + ", ".join(f"a{n}: x" for n in range(17)) + "}", "labels: expected at most 16, found 17"),
        ("runbook: 3", "runbook: expected a text, found 3"),
        (f"runbook: {'x' * 2001}", "runbook: expected at most 2000 characters, found 2001"),
        ('runbook: "\\e[2J"', "runbook: has control characters"),
        ("scope: web", "scope: expected any of comm, unit, cgroup, uid, pod, found 'web'"),
        ("scope: {unti: x}", "scope.unti: unknown field; did you mean 'unit'?"),
        ("scope: {comm: 3}", "scope.comm: expected a glob of 1 to 256 characters, or a list of them, found 3"),
        ("scope: {comm: ''}", "scope.comm: expected a glob of 1 to 256 characters, or a list of them, found ''"),
        ("scope: {comm: []}", "scope.comm: expected 1 to 64 globs, found 0"),
        ("scope: {uid: root}", "scope.uid: expected the number of a user, or a list of them, found 'root'"),
        ("scope: {uid: true}", "scope.uid: expected the number of a user, or a list of them, found True"),
        ("scope: {uid: -1}", "scope.uid: expected the number of a user, or a list of them, found -1"),
        ("threshhold: 3", "threshhold: unknown field 'threshhold' for cpu_pct; did you mean 'threshold'?"),
        ("keep_firing_fro: 3", "keep_firing_fro: unknown field 'keep_firing_fro' for cpu_pct; "
         "did you mean 'keep_firing_for'?"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_what_would_be_right(fields: str, problem: str) -> None:
    assert told(f"- {{name: r, detector: cpu_pct, threshold: 80, duration: 5, {fields}}}") == [
        f"1: rule 'r': {problem}"
    ]


def test_a_threshold_that_is_no_number_is_a_mistake() -> None:
    assert told("- {name: r, detector: cpu_pct, threshold: .nan, duration: 5}") == [
        "1: rule 'r': threshold: expected a number that ends, found nan"
    ]


WRONG_YAML = """\
# two rules
- name: a
  detector: fork_burst
  threshhold: 3
  threshold: 30
  window_seconds: -5
  scope:
    com: [x]
    uid: root
  labels:
    team: 5
- name: b
  detector:
    fork_burst:
      threshold: x
      window_seconds: 0
  cooldown: soon
- name: b
  detector: cpu_pct
- 3
- detector: cpu_pct
"""


def test_all_mistakes_of_a_file_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(WRONG_YAML)
    with pytest.raises(RuleError) as error:
        load(path)
    assert [str(problem).removeprefix(f"{path}:").partition(": ")[::2] for problem in error.value.problems] == [
        ("4", "rule 'a': threshhold: unknown field 'threshhold' for fork_burst; did you mean 'threshold'?"),
        ("6", "rule 'a': window_seconds: Expected `float` > 0.0"),
        ("8", "rule 'a': scope.com: unknown field; did you mean 'comm'?"),
        ("9", "rule 'a': scope.uid: expected the number of a user, or a list of them, found 'root'"),
        ("11", "rule 'a': labels.team: expected a text, found 5; put it in quotes"),
        ("15", "rule 'b': threshold: Expected `int`, got `str`"),
        ("16", "rule 'b': window_seconds: Expected `float` > 0.0"),
        ("17", "rule 'b': cooldown: expected seconds from 0 to a week, found 'soon'; or as 90s, 5m or 1h"),
        ("18", "rule 'b': the name is used twice; cooldowns are kept by name"),
        ("20", "rule 4: expected keys and values, found int"),
        ("21", "rule 5: name: missing or not a text"),
    ]


WRONG_TOML = """\
# [[rules]]
[[rules]]
name = "a"
detector = "fork_burst"
threshold = 30        # window_seconds = 5
window_seconds = -5
scope = { comm = "x", uid = "root" }

[[ rules ]]
name = "b"
labels.team = 5
[rules.detector.fork_burst]
threshold = 30
"window_seconds" = "x"
[rules.scope]
unti = "y"
"""


def test_lines_of_toml_are_found_by_the_names_of_the_fields() -> None:
    assert [problem.partition(": ")[::2] for problem in told(WRONG_TOML, yaml_first=False)] == [
        ("6", "rule 'a': window_seconds: Expected `float` > 0.0"),
        ("7", "rule 'a': scope.uid: expected the number of a user, or a list of them, found 'root'"),
        ("11", "rule 'b': labels.team: expected a text, found 5; put it in quotes"),
        ("14", "rule 'b': window_seconds: Expected `float`, got `str`"),
        ("16", "rule 'b': scope.unti: unknown field; did you mean 'unit'?"),
    ]


@pytest.mark.parametrize(
    ("text", "yaml_first", "begins"),
    [
        ("- name: a\n  detector: [", True, "2: not YAML: expected the node content"),
        ("[[rules]]\nname = \n", False, "2: not TOML: Invalid value"),
        ("- {name: r,\n   name: s, detector: cpu_pct, threshold: 1, duration: 1}", True,
         "2: name: given twice, first in line 1"),
        ("a: 1\nrulez: []", True, "1: unknown key 'a'; one of rules"),
        ("\nrules: 3", True, "2: expected a list of rules"),
        ("[" * 5000, True, "not YAML: "),
        ("- {name: !!int '', detector: x}", True, "not YAML: "),
        ("- \x07", True, "not YAML: "),
    ],
)  # fmt: skip
def test_a_text_that_is_put_together_wrongly_is_told_with_the_line(text: str, yaml_first: bool, begins: str) -> None:
    assert told(text, yaml_first=yaml_first)[0].startswith(begins)


def test_aliases_that_multiply_do_not_make_a_message_long() -> None:
    levels = "\n".join(f"  - &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12))
    text = f"rules:\n- name: r\n  detector: cpu_pct\n  threshold: 1\n  duration: 1\n  scope:\n  - &l0 [x]\n{levels}\n"
    for field in ("scope", "cooldown", "severity", "labels", "runbook", "enabled", "detector"):
        (problem,) = told(text.replace("scope:", f"{field}:") if field != "detector" else text)
        assert len(problem) < 400


def test_a_field_that_is_misspelled_is_not_missing_too_but_another_is() -> None:
    assert told("- {name: r, detector: fork_burst, treshold: 3, window_seconds: 5}") == [
        "1: rule 'r': treshold: unknown field 'treshold' for fork_burst; did you mean 'threshold'?"
    ]
    assert told("- {name: r, detector: fork_burst, treshold: 3}") == [
        "1: rule 'r': treshold: unknown field 'treshold' for fork_burst; did you mean 'threshold'?",
        "1: rule 'r': Object missing required field `window_seconds`",
    ]
    assert told("- {name: r, detector: fork_burst}") == [
        "1: rule 'r': Object missing required field `threshold`",
        "1: rule 'r': Object missing required field `window_seconds`",
    ]


def test_anchors_and_merge_keys_can_be_used() -> None:
    text = """\
rules:
- &base {name: a, detector: cpu_pct, threshold: 80, duration: 5, scope: {comm: x}}
- <<: *base
  name: b
  threshold: 90
"""
    first, second = parse(text)
    assert (second.name, second.params, second.scope) == ("b", parse(text)[1].params, first.scope)


@given(st.text(alphabet=st.sampled_from("- \n:{}[]\"'rules=name&*!<#0ab,\t"), max_size=60), st.booleans())
def test_any_text_is_rules_or_a_rule_error(text: str, yaml_first: bool) -> None:
    try:
        parse(text, yaml_first=yaml_first)
    except RuleError as error:
        assert error.problems


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
_KEYS = st.sampled_from([*COMMON, *KEYS, "threshold", "window_seconds", "fork_burst"]) | st.text(max_size=3)
_VALUES = st.recursive(
    _SCALARS | st.sampled_from(["fork_burst", "cpu_pct", "high", "5m"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_KEYS | st.integers(), below, max_size=3),
    max_leaves=8,
)
_RULES = st.dictionaries(_KEYS, _VALUES, max_size=6).map(lambda rule: {"name": "r"} | rule)


@given(st.lists(_RULES | _VALUES, max_size=3))
def test_whatever_fields_hold_it_is_rules_or_a_rule_error_of_short_problems(rules: list[object]) -> None:
    try:
        assert all(isinstance(rule, Rule) for rule in parse(yaml.safe_dump(rules)))
    except RuleError as error:
        assert error.problems
        assert all(len(str(problem)) < 1000 for problem in error.problems)

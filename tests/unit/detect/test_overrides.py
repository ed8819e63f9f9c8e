"""Files over files: what an upgrade of the shipped rules leaves alone, and what mistakes in either say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnix.cognitod.detect.params import CpuPct, ForkBurst
from linnix.cognitod.detect.rules import BUILT_IN, MAX_BYTES, Rule, RuleError, Sources, defaults

BASE = """\
- {name: storm, detector: fork_burst, threshold: 30, window_seconds: 5, severity: high, labels: {a: x, b: y}}
- {name: hog, detector: cpu_pct, threshold: 80, duration: 5, hold: 60, scope: {comm: java}}
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class Host:
    """A rule file and a directory of overrides, made when something is put into it."""

    def __init__(self, root: Path) -> None:
        self.path, self.directory = root / "rules.yaml", root / "rules.d"
        self.path.write_text(BASE)
        self.sources = Sources(self.path, self.directory)

    def put(self, name: str, text: str) -> Path:
        self.directory.mkdir(exist_ok=True)
        (self.directory / name).write_text(text)
        return self.directory / name

    def rules(self) -> dict[str, Rule]:
        return {rule.name: rule for rule in self.sources.load().rules}

    def problems(self) -> list[str]:
        with pytest.raises(RuleError) as error:
            self.sources.load()
        return [str(problem).replace(f"{self.path.parent}/", "") for problem in error.value.problems]


def test_without_a_directory_the_rule_file_stands_alone(host: Host) -> None:
    assert host.sources.load().files == (str(host.path),)
    assert list(host.rules()) == ["storm", "hog"]


def test_an_override_replaces_the_fields_it_gives_and_no_others(host: Host) -> None:
    before = host.rules()
    file = host.put("50-local.yaml", "- {name: storm, threshold: 90, labels: {c: z}}")
    storm = host.rules()["storm"]
    assert storm == Rule(
        name="storm", severity="high", params=ForkBurst(threshold=90, window_seconds=5), labels={"c": "z"}
    )
    assert host.rules()["hog"] == before["hog"]
    assert host.sources.load().files == (str(host.path), str(file))


def test_later_files_override_earlier_ones_in_the_order_of_their_names(host: Host) -> None:
    host.put("90-last.toml", '[[rules]]\nname = "storm"\nthreshold = 3\n')
    host.put("10-first.yaml", "- {name: storm, threshold: 1, window_seconds: 9}")
    host.put("50-then.yml", "rules:\n- {name: storm, threshold: 2}")
    assert host.rules()["storm"].params == ForkBurst(threshold=3, window_seconds=9)


@pytest.mark.parametrize("name", ["README.md", ".hidden.yaml", ".#50-local.yaml", "local.yaml~", "local.yaml.bak"])
def test_other_files_are_no_rules(host: Host, name: str) -> None:
    host.put(name, "- {name: storm, threshold: 90}")
    assert host.rules()["storm"].params == ForkBurst(threshold=30, window_seconds=5)


def test_a_rule_is_switched_off_and_on_again(host: Host) -> None:
    host.put("10.yaml", "- {name: storm, enabled: false}")
    assert list(host.rules()) == ["hog"]
    host.put("20.yaml", "- {name: storm, enabled: true}")
    assert list(host.rules()) == ["storm", "hog"]


def test_a_new_name_is_added_after_the_others(host: Host) -> None:
    host.put("10.yaml", "- {name: mine, detector: cpu_pct, threshold: 1, duration: 2}")
    assert list(host.rules()) == ["storm", "hog", "mine"]


def test_a_second_name_of_a_field_overrides_the_first(host: Host) -> None:
    host.put("10.yaml", "- {name: hog, for: 5m}")
    assert host.rules()["hog"].hold_s == 300
    host.put("20.yaml", "- {name: hog, hold: 7}")
    assert host.rules()["hog"].hold_s == 7


def test_a_scope_is_replaced_whole_and_taken_away(host: Host) -> None:
    host.put("10.yaml", "- {name: hog, scope: {uid: 5}}")
    assert str(host.rules()["hog"].scope) == "uid=5"
    host.put("20.yaml", "- {name: hog, scope: {}}")
    assert not host.rules()["hog"].scope


def test_settings_may_be_nested_in_one_file_and_flat_in_the_other(host: Host) -> None:
    host.put("10.yaml", "- {name: storm, detector: {fork_burst: {threshold: 7}}}")
    assert host.rules()["storm"].params == ForkBurst(threshold=7, window_seconds=5)


def test_the_parameters_of_another_detector_go_with_it(host: Host) -> None:
    host.put("10.yaml", "- {name: storm, detector: cpu_pct, threshold: 50, duration: 1}")
    assert host.rules()["storm"].params == CpuPct(threshold=50, duration=1)
    assert host.rules()["storm"].severity == "high"


def test_an_upgrade_keeps_what_was_overridden_and_brings_what_is_new(host: Host) -> None:
    host.put("10.yaml", "- {name: storm, threshold: 90}\n- {name: hog, enabled: false}")
    host.path.write_text(
        BASE.replace("window_seconds: 5", "window_seconds: 8") + "- {name: new, detector: fork_burst, threshold: 1, "
        "window_seconds: 1}"
    )
    assert list(host.rules()) == ["storm", "new"]
    assert host.rules()["storm"].params == ForkBurst(threshold=90, window_seconds=8)


def test_the_shipped_rules_are_overridden_like_any_file(host: Host) -> None:
    host.put("10.yaml", "- {name: zombies, threshold: 5}")
    loaded = Sources(None, host.directory).load()
    assert loaded.files == (BUILT_IN, str(host.directory / "10.yaml"))
    changed = {rule.name for rule, was in zip(loaded.rules, defaults(), strict=True) if rule != was}
    assert changed == {"zombies"}


@pytest.mark.parametrize(
    ("override", "off"),
    [
        ("- {name: storm, threshold: 90}", set()),
        ("- {name: hog, enabled: false}", {"cpu_spin"}),
        ("- {name: hog, enabled: false}\n- {name: storm, enabled: false}", {"cpu_spin", "fork_storm"}),
        ("- {name: hgo, enabled: false}", set()),  # there is none of this name
        ("- {name: kills, detector: oom_kill, threshold: 1, window_seconds: 60, enabled: false}", {"oom_kill"}),
    ],
)
def test_classes_of_rules_that_are_switched_off_are_known(host: Host, override: str, off: set[str]) -> None:
    host.put("10.yaml", override)
    assert host.sources.load().off == off


def test_mistakes_of_all_files_are_told_each_with_its_own_file_and_line(host: Host) -> None:
    host.path.write_text(BASE.replace("threshold: 30", "threshold: -30"))
    host.put("10.yaml", "- name: storm\n  threshold: 9\n  severity: hihg\n- name: hgo\n  enabled: false")
    host.put("20.yaml", "- name: hog\n  scope:\n    comm: [3]\n")
    assert host.problems() == [
        "rules.d/10.yaml:3: rule 'storm': severity: unknown 'hihg'; did you mean 'high'?",
        "rules.d/10.yaml:4: rule 'hgo': no rule of this name to override, and no detector to make it a new one; "
        "did you mean 'hog'?",
        "rules.d/20.yaml:3: rule 'hog': scope.comm: expected a glob of 1 to 256 characters, or a list of them, found 3",
        "rules.yaml:1: rule 'storm': threshold: Expected `int` >= 1",
    ]


def test_an_override_of_a_rule_that_is_gone_changes_nothing_and_is_told(host: Host) -> None:
    host.put("10.yaml", "- {name: hgo, enabled: false}\n- {name: storm, threshold: 90}")
    loaded = Sources(host.path, host.directory).load()
    assert [rule.name for rule in loaded.rules] == ["storm", "hog"]
    assert [str(orphan).partition("rules.d")[2] for orphan in loaded.orphans] == [
        "/10.yaml:1: rule 'hgo': no rule of this name to override, and no detector to make it a new one; "
        "did you mean 'hog'?"
    ]


def test_a_file_that_cannot_be_read_is_told_and_so_is_another(host: Host) -> None:
    host.path.unlink()
    host.put("10.yaml", "- {")
    assert [problem.partition(":")[0] for problem in host.problems()] == [
        f"cannot read the rule file {host.path}".replace(f"{host.path.parent}/", ""),
        "rules.d/10.yaml",
    ]


def test_what_is_no_directory_of_rules_is_told(host: Host) -> None:
    host.directory.write_text("")
    assert host.problems() == ["cannot read the directory of rules rules.d: not a directory"]


def test_a_pipe_a_directory_and_a_log_are_no_rule_files(host: Host) -> None:
    host.path.unlink()
    os.mkfifo(host.path)
    assert host.problems() == ["rules.yaml: not a regular file"]
    host.path.unlink()
    host.path.mkdir()
    assert host.problems() == ["cannot read the rule file rules.yaml: is a directory"]
    host.path.rmdir()
    host.path.write_bytes(b"x" * (MAX_BYTES + 1))
    assert host.problems() == [f"rules.yaml: larger than {MAX_BYTES} bytes: not a rule file"]


def test_dev_null_is_a_rule_file_without_rules(host: Host) -> None:
    assert Sources(Path("/dev/null"), host.directory).load().rules == ()


def test_a_stamp_changes_with_content_name_and_presence_and_with_nothing_else(host: Host) -> None:
    seen = [host.sources.stamp(), host.sources.stamp()]
    assert seen[0] == seen[1]
    file = host.put("10.yaml", "")
    seen.append(host.sources.stamp())
    file.write_text("# x")
    seen.append(host.sources.stamp())
    other = host.path.with_name("other")  # as an editor saves: another file of the same name and time
    other.write_text(host.path.read_text())
    os.utime(other, ns=(host.path.stat().st_atime_ns, host.path.stat().st_mtime_ns))
    other.rename(host.path)
    seen.append(host.sources.stamp())
    host.path.unlink()
    seen.append(host.sources.stamp())
    assert len(set(seen)) == len(seen) - 1

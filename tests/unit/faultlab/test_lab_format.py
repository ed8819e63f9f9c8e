"""Scenario files: what is wrong is told with file, line and the nearest valid name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from lab_make import SMALL, text

from linnix.faultlab import loading
from linnix.faultlab.errors import FormatError
from linnix.faultlab.scenario import GIVEAWAYS, Command, Intensity, Needs
from linnix.insight.classes import CLASSES


def wrong(source: str) -> str:
    with pytest.raises(FormatError) as error:
        loading.parse(source, "x.yaml")
    return str(error.value)


def test_a_scenario_is_what_its_file_says() -> None:
    found = loading.parse(SMALL, "x.yaml")

    assert found.commands == (Command(name="worker", shown_as="renderd", argv=("sleep", "60")),)
    assert found.decoys == (Command(name="other", shown_as="maild", argv=("sleep", "60")),)
    assert (found.name, found.cls, found.culprit, found.seeds) == ("small", "cpu_spin", "worker", (1, 2))
    assert (found.intensity, found.needs) == (Intensity(10, 20, "percent"), Needs(512, 64, 200))
    assert (found.warm_up_s, found.injection_s, found.recovery_s, found.tick_s, found.seconds) == (2, 4, 2, 1, 8)
    assert [command.group for command in (*found.commands, *found.decoys)] == ["renderd.service", "maild.service"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("warm_up_s: 2", "warmup_s: 2", "x.yaml:14: warmup_s: unknown field, did you mean 'warm_up_s'?"),
        ("    as: renderd", "    sa: renderd", "x.yaml:8: commands[0].sa: unknown field, did you mean 'as'?"),
        ("{from: 10,", "{form: 10,", "x.yaml:5: intensity.form: unknown field, did you mean 'from'?"),
        ("recovery_s: 2", "zzz: 2", "x.yaml:16: zzz: unknown field, valid are name, class, description, "),
        ("class: cpu_spin", "class: cpu_spinn", "x.yaml:2: class: unknown class 'cpu_spinn', did you mean 'cpu_spin'?"),
        ("class: cpu_spin", "class: unknown", "x.yaml:2: class: a laboratory knows what it injects"),
        ("class: cpu_spin\n", "", "x.yaml:1: field 'class' is missing"),
        ("  - name: worker\n    as", "  - as", "x.yaml:7: commands[0]: field 'name' is missing"),
        ("injection_s: 4", "injection_s: soon", "x.yaml:15: injection_s: expected 'float', got 'str'"),
        ("injection_s: 4", "injection_s: 0", "x.yaml:15: injection_s: 0 is not between 1 and 3600"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "x.yaml:17: seeds: name at least one seed, each once, none negative"),
        ("culprit: worker", "culprit: wroker", "x.yaml:4: culprit: 'wroker' is none of the commands (worker)"),
        ("culprit: worker\n", "", "x.yaml:2: class: class 'cpu_spin' needs a culprit"),
        ("class: cpu_spin", "class: normal", "x.yaml:4: culprit: nothing is wrong in class 'normal'"),
        ("{from: 10,", "{from: 30,", "x.yaml:5: intensity.from: 30 is above 'to' (20)"),
        ("as: renderd", "as: cpu-spinner", "x.yaml:8: commands[0].as: 'cpu-spinner' gives the answer away ('spin')"),
        ("as: maild", "as: a/b", "x.yaml:12: decoys[0].as: a name cannot be a path"),
        (
            "as: maild",
            "as: a-name-too-long-",
            "x.yaml:12: decoys[0].as: the kernel keeps 15 bytes of a name; this has 16",
        ),
        ("as: maild", "as: renderd", "x.yaml:11: decoys[0]: decoy 'other' shares the control group 'renderd.service'"),
        ("name: other", "name: worker", "x.yaml:11: decoys[0].name: there are two commands called 'worker'"),
        (
            "as: maild",
            "as: [maild, renderd]",
            "x.yaml:11: decoys[0]: decoy 'other' shares the control group 'renderd.service' with a command",
        ),
        ("as: maild", "as: []", "x.yaml:12: decoys[0].as: a list holds at least one name, each once, none empty"),
        ("as: maild", "as: [a, a]", "x.yaml:12: decoys[0].as: a list holds at least one name"),
        ("as: maild", "as: [maild, my-leak]", "x.yaml:12: decoys[0].as: 'my-leak' gives the answer away ('leak')"),
        ("as: maild", "cgroup: linnix-x", "x.yaml:12: decoys[0].cgroup: 'linnix-x.service' gives the answer away"),
        ("as: maild", "cpu_quota_pct: 0", "x.yaml:12: decoys[0].cpu_quota_pct: 0 is not between 1 and 200"),
        ("as: maild", "memory_limit_mib: 4", "x.yaml:12: decoys[0].memory_limit_mib: 4 is not between 8 and 4096"),
        ("recovery_s: 2", "also: [{class: mem_leak, culprit: wroker}]", "x.yaml:16: also[0].culprit: 'wroker' is none"),
        ("recovery_s: 2", "also: [{class: mem_leek, culprit: worker}]", "x.yaml:16: also[0].class: unknown class 'mem"),
        ("recovery_s: 2", "also: [{class: normal, culprit: worker}]", "x.yaml:16: also[0].class: 'normal' is no fault"),
        (
            "recovery_s: 2",
            "also: [{class: mem_leak, culprit: worker}]",
            "x.yaml:16: also[0].culprit: 'worker' is the culprit of another fault: two faults are of two",
        ),
        ("recovery_s: 2", "also: [{clas: mem_leak}]", "x.yaml:16: also[0].clas: unknown field, did you mean 'class'?"),
        ("recovery_s: 2", "part: tests", "x.yaml:16: part: unknown part 'tests', did you mean 'test'?"),
        ("recovery_s: 2", "programs: [XZ]", "x.yaml:16: programs[0]: 'XZ': lower case, and not empty"),
        ("recovery_s: 2", "requires: [a/b]", "x.yaml:16: requires[0]: 'a/b': name a program on PATH, or program:deb"),
        ("recovery_s: 2", "filesystem_mib: 8", "x.yaml:16: filesystem_mib: 8 is not between 16 and 2048"),
        ("recovery_s: 2", "swap_mib: 1", "x.yaml:16: swap_mib: 1 is not between 16 and 2048"),
        ("recovery_s: 2", "swap_mib: 2048", "x.yaml:1: needs.disk_mib: 2112 MiB with 'filesystem_mib' and 'swap_mib'"),
        ("recovery_s: 2", "setup: ' '", "x.yaml:16: setup: there is nothing in it for sh to do"),
        ("as: maild", "cgroup: a/b", "x.yaml:12: decoys[0].cgroup: 'a/b': use letters, digits and . _ -"),
        (
            "as: maild\n    argv: [sleep",
            "argv: [stress-ng",
            "x.yaml:11: decoys[0].as: 'stress-ng' gives the answer",
        ),
        ("to: 20,", "to: .inf,", "x.yaml:5: intensity.to: inf is no number to draw"),
        ("to: 20, unit: percent}", "to: 20.5, unit: percent, whole: yes}", "x.yaml:5: intensity.to: 20.5 is not whole"),
        ("seeds: [1, 2]", "seeds: &x [*x]", "x.yaml:1: what refers to itself has no end"),
        ("recovery_s: 2", "1: 2", "x.yaml:16: the name of a field is a word"),
        ("recovery_s: 2", "? [a]\n: 2", "x.yaml:16: the name of a field is a word"),
        ("as: maild", "cpus: [2]", "x.yaml:12: decoys[0].cpus: a laboratory has 2 CPUs"),
        ("as: maild", "nice: 20", "x.yaml:12: decoys[0].nice: 20 is not between -20 and 19"),
        ("as: maild", "start_s: 8", "x.yaml:12: decoys[0].start_s: 8 is not between 0 and the 8 s"),
        ("as: maild", "script: ls", "x.yaml:11: decoys[0]: command 'other' needs argv or script, not both"),
        ("recovery_s: 2", "needs: {memory_mib: 4097}", "x.yaml:16: needs.memory_mib: 4097 is not between 1 and 4096"),
        ("recovery_s: 2", "needs: {disk_mib: 2049}", "x.yaml:16: needs.disk_mib: 2049 is not between 1 and 2048"),
        ("recovery_s: 2", "name: again", "x.yaml:16: 'name' is written twice"),
        ("recovery_s: 2", "a: [", "x.yaml:18: "),
        (
            "recovery_s: 2",
            "setup:\n  for each in 1 2; do\n    echo a: b\n  done",
            "x.yaml:18: mapping values are not allowed here; does a field of several lines begin with '|'?",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, told: str) -> None:
    assert wrong(text((old, new)))[: len(told)] == told


@pytest.mark.parametrize("source", ["", "- a\n- b\n", "name\n"])
def test_what_is_no_mapping_is_told(source: str) -> None:
    assert wrong(source) == "x.yaml:1: a scenario is a mapping of fields"


def test_an_unknown_interpreter_is_told_with_the_nearest() -> None:
    script = ('argv: [sleep, "60"]\ndecoys', "script: x\n    with: python\ndecoys")

    assert wrong(text(script)) == "x.yaml:10: commands[0].with: unknown interpreter 'python', did you mean 'python3'?"


def test_a_folder_must_not_use_a_name_twice(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(SMALL)

    with pytest.raises(FormatError) as error:
        loading.load_all(tmp_path)

    assert str(error.value) == f"{tmp_path}/b.yaml: the name 'small' is that of {tmp_path}/a.yaml, too"


def test_two_commands_of_a_group_have_one_limit_for_it() -> None:
    more = "commands:\n  - {name: first, argv: [ls], cgroup: docs, cpu_quota_pct: 50}"
    source = text(("commands:", more), ("as: renderd", "as: renderd\n    cgroup: docs\n    cpu_quota_pct: 60"))

    told = "x.yaml:11: commands[1].cpu_quota_pct: 'first' has another for the same control group 'docs.service'"
    assert wrong(source) == told


def test_what_the_test_part_has_to_itself_stands_in_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text(("as: renderd", "as: [renderd, paintd]"), ("seeds", "programs: [xz]\nseeds")))
    held_out = (("name: small", "name: b"), ("as: renderd", "as: [drawd, paintd]"), ("seeds", "part: test\nseeds"))
    (tmp_path / "b.yaml").write_text(text(*held_out, ("recovery_s: 2", "recovery_s: 2\nprograms: [zstd, xz]")))
    found = [loading.load(tmp_path / name) for name in ("a.yaml", "b.yaml")]

    has_it = "but 'small' of part 'train' has it, too"
    assert [str(error) for error in loading.disagreements(found)] == [  # and the decoy `maild` is in both
        f"{tmp_path}/b.yaml:8: commands[0].as: part 'test' has 'paintd' to itself, {has_it}",
        f"{tmp_path}/b.yaml:17: programs[1]: part 'test' has 'xz' to itself, {has_it}",
    ]


def test_a_file_that_is_not_there_and_one_that_is_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(b"name: \xff\n")

    for name, told in (("a.yaml", "No such file or directory"), ("b.yaml", "not UTF-8 at byte 6")):
        with pytest.raises(FormatError) as error:
            loading.load(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: {told}"


COLLECTION = loading.load_all(loading.COLLECTION)


def test_the_collection_has_all_classes_look_alikes_and_faults_at_once() -> None:
    scenarios = [each.scenario for each in COLLECTION]
    calm = [len(each.seeds) for each in scenarios if each.cls == "normal" and each.part == "test"]
    at_once = [each.part for each in scenarios if each.also]

    assert set(CLASSES) - {each.cls for each in scenarios} == {"unknown"}
    assert (sum(calm) >= 30, len(at_once) >= 8, at_once.count("test") >= 3) == (True, True, True)


@pytest.mark.parametrize("cls", sorted(set(CLASSES) - {"normal", "unknown"}))
def test_a_class_has_several_mechanisms_to_learn_from_and_others_to_be_judged_by(cls: str) -> None:
    found = [each.scenario for each in COLLECTION if each.scenario.cls == cls]
    held_out = [scenario for scenario in found if scenario.part == "test"]

    assert len(found) - len(held_out) >= 4
    assert len(held_out) >= 2
    assert sum(len(scenario.seeds) for scenario in held_out) >= 4


def test_nothing_of_the_test_part_is_in_another() -> None:
    assert list(loading.disagreements(COLLECTION)) == []


@pytest.mark.parametrize("each", COLLECTION, ids=lambda each: each.scenario.name)
def test_every_scenario_has_scripts_that_parse_and_names_of_real_programs(each: loading.Loaded) -> None:
    for command in (*each.scenario.commands, *each.scenario.decoys):
        if command.script and command.interpreter == "python3":
            compile(command.script, command.name, "exec")
        elif command.script:
            done = subprocess.run(["sh", "-n"], input=command.script, text=True, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        seen = f"{command.comm} {command.group}".lower()
        assert [word for word in GIVEAWAYS if word in seen] == []
    assert each.path.stem == each.scenario.name

"""One table of probes, required ones first, each with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnix.cognitod import instruments
from linnix.cognitod.config import Config, ConfigError, Probes, Runtime, load
from linnix.cognitod.events import Instrument, ProbeState
from linnix.cognitod.kernel import probes


class Line:
    """An instrument that is nothing but its line."""

    def __init__(self, name: str) -> None:
        self._state = ProbeState(name=name, what="")
        self.refreshed = 0

    def open(self) -> None:
        pass

    def collect(self, now_ns: int) -> None:
        pass

    def refresh(self) -> None:
        self.refreshed += 1

    def states(self) -> tuple[ProbeState, ...]:
        return (self._state,)

    def close(self) -> None:
        pass


def test_required_lines_come_first_then_the_optional_ones_in_one_order_then_what_is_new() -> None:
    eyes: list[Instrument] = [Line("novel"), Line("filesystems"), Line("oom")]
    table = probes.Table(lambda: probes.unseen(["no BTF", "no libbpf"]), eyes, [probes.off("tcp", "not wanted")])

    assert [(state.name, state.required, state.state, state.reason) for state in table.states()] == [
        ("lifecycle", True, "failed", "no BTF; no libbpf"),
        ("tasks", True, "failed", "no BTF; no libbpf"),
        ("oom", False, "on", ""),
        ("tcp", False, "off", "not wanted"),
        ("filesystems", False, "on", ""),
        ("novel", False, "on", ""),
    ]
    assert (table.stats, table.measured_s) == ("off", 0.0)


def test_every_optional_name_has_a_switch_and_every_switch_a_name() -> None:
    assert set(Probes.__struct_fields__) - {"stats"} == set(probes.OPTIONAL)


def test_what_is_switched_off_is_not_made_and_keeps_its_line() -> None:
    chosen = instruments.choose(Config(probes=Probes(tcp=False, filesystems=False)))

    assert [(state.name, state.state, state.reason) for state in chosen.unwanted] == [
        ("tcp", "off", "probes.tcp = false"),
        ("filesystems", "off", "probes.filesystems = false"),
    ]
    assert [state.name for eye in chosen.instruments for state in eye.states()] == [
        "runqueue_latency",
        "block_latency",
        "oom",
        "sockets",
        "syncs",
        "waits",
        "blocked",
    ]


def test_without_ebpf_only_what_reads_proc_is_left_and_the_rest_says_why() -> None:
    chosen = instruments.choose(Config(runtime=Runtime(bpf=False)))

    assert {state.name: state.reason for state in chosen.unwanted} == dict.fromkeys(
        ("runqueue_latency", "block_latency", "oom", "tcp", "sockets", "syncs"), instruments.NO_BPF
    )
    assert [state.name for eye in chosen.instruments for state in eye.states()] == [
        "waits",
        "blocked",
        "filesystems",
    ]


def test_the_environment_switches_off_by_name() -> None:
    config, warnings = load(None, {"LINNIX_PROBES_OFF": " tcp, oom ,"})

    assert (config.probes.tcp, config.probes.oom, config.probes.blocked, warnings) == (False, False, True, [])


@pytest.mark.parametrize(
    ("text", "environ", "problem"),
    [
        ("", {"LINNIX_PROBES_OFF": "tpc"}, "LINNIX_PROBES_OFF: no probe is called 'tpc'; did you mean tcp?"),
        ("[probes]\nblok_latency = false", {}, "probes.blok_latency: unknown key; did you mean probes.block_latency?"),
        (
            '[probes]\nstats = "onn"',
            {},
            "probes.stats: expected one of sample, on, off, found 'onn'; did you mean on?",
        ),
        ("[probes]\ntcp = 1", {}, "probes.tcp: expected true or false, found 1"),
    ],
)
def test_a_name_that_is_none_is_an_error_that_names_the_nearest(
    tmp_path: Path, text: str, environ: dict[str, str], problem: str
) -> None:
    file = tmp_path / "linnix.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(file, environ)
    assert raised.value.problems == (problem,)


def test_keys_of_the_original_are_accepted_with_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "linnix.toml"
    file.write_text('[probes]\nbtf_path = "/x"\nenable_page_faults = true\n')
    assert [warning.partition(":")[0] for warning in load(file, {})[1]] == [
        "probes.btf_path",
        "probes.enable_page_faults",
    ]


def test_nothing_is_counted_when_it_is_not_wanted() -> None:
    line = Line("oom")
    clock = probes.RunClock("off", [line])
    for second in range(100):
        clock.collect(second * 10**9)
    clock.close()
    assert (clock.measured_s, line.refreshed) == (0.0, 0)


def test_an_object_that_is_not_there_fails_alone_and_says_how_to_make_it(tmp_path: Path) -> None:
    probe = probes.Probe("oom", "oom.bpf.o", ("handle_victim",))
    environ = {"LINNIX_BPF": "off", "LINNIX_BPF_PATH": str(tmp_path)}

    assert probe.open(attach=lambda _object: None, environ=environ) is False
    assert probe.state.state == "failed"
    assert "eBPF is switched off by LINNIX_BPF=off (unset LINNIX_BPF)" in probe.state.reason
    probe.refresh()
    probe.close()
    assert probe.state.state == "failed"

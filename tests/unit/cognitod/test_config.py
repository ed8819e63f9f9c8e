from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from linnix.cognitod.config import LEGACY, SECTIONS, Config, ConfigError, check, is_loopback, load, parse_listen_addr

EXAMPLE = Path(__file__).parents[3] / "configs/linnix.toml"


def write(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "linnix.toml"
    path.write_text(content)
    return path


def problems(path: Path | None, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return caught.value.problems


def test_without_a_file_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnix.cognitod.config.DEFAULT_FILE", Path("/nonexistent/linnix.toml"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert load(None, {}) == (Config(), [])


def test_defaults_differ_from_the_originals_where_those_blind_or_surprise() -> None:
    config = Config()

    assert (config.runtime.offline, config.outputs.prometheus, config.telemetry.sample_interval_ms) == (
        False,
        True,
        1000,
    )


def test_the_example_shows_every_key_with_its_default() -> None:
    live = tomllib.loads(EXAMPLE.read_text())
    commented = re.findall(r"^# (\w+) = ", EXAMPLE.read_text(), re.MULTILINE)

    default = {section: msgspec.to_builtins(getattr(Config(), section)) for section in SECTIONS}
    expected = {
        section: {key: value for key, value in default[section].items() if value is not None} for section in SECTIONS
    }
    assert {section: live.get(section, {}) for section in SECTIONS} == expected
    unset = [key for section in SECTIONS for key, value in default[section].items() if value is None]
    assert sorted(commented) == sorted(unset)


def test_the_example_is_valid_and_earns_no_warning() -> None:
    config, warnings = load(EXAMPLE, {"LINNIX_DATA_DIR": "/d"})

    assert (config.telemetry, warnings) == (Config().telemetry, [])


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[api]\nlisten_addr = "127.0.0.1:1"\n[logging]\nlevel = "error"\nformat = "json"\n')

    config, _ = load(path, {"LINNIX_LISTEN_ADDR": "127.0.0.1:2"}, {"logging.level": "debug", "logging.format": None})

    assert (config.api.listen_addr, config.logging.level, config.logging.format) == ("127.0.0.1:2", "debug", "json")


@pytest.mark.parametrize(
    ("variable", "value", "section", "key", "expected"),
    [
        ("LINNIX_LISTEN_ADDR", "[::1]:5", "api", "listen_addr", "[::1]:5"),
        ("LINNIX_METRICS_LISTEN_ADDR", "127.0.0.1:5", "outputs", "metrics_listen_addr", "127.0.0.1:5"),
        ("LINNIX_API_TOKEN", " t ", "api", "auth_token", "t"),
        ("LINNIX_API_TOKEN", "  ", "api", "auth_token", None),
        ("LINNIX_UDS_PATH", "/s", "api", "unix_socket", "/s"),
        ("LINNIX_BPF", "off", "runtime", "bpf", False),
        ("LINNIX_BPF", "on", "runtime", "bpf", True),
        ("LLM_ENDPOINT", "http://h/v1", "reasoner", "endpoint", "http://h/v1"),
        ("LLM_MODEL", "m", "reasoner", "model", "m"),
        ("OPENAI_API_KEY", "k", "reasoner", "api_key", "k"),
    ],
)
def test_environment(variable: str, value: str, section: str, key: str, expected: object) -> None:
    config, _ = load(EXAMPLE, {variable: value})

    assert getattr(getattr(config, section), key) == expected


def test_linnix_config_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[telemetry]\nretention_seconds = 60\n")

    config, _ = load(None, {"LINNIX_CONFIG": str(path)})

    assert config.telemetry.retention_seconds == 60


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"

    assert problems(path) == (f"{path}: no such file; start without --config to use the defaults",)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [api]
        listen_addr = "0.0.0.0:3000"
        [telemetry]
        sample_intervall_ms = 5000
        retention_seconds = "long"
        [apii]
        x = 1
        [logging]
        format = "jsn"
        [outputs]
        metrics_listen_addr = "9464"
        [privacy]
        redact_patterns = ["("]
        allow_patterns = ["["]
        redact_groups = ["token"]
        """,
    )

    assert problems(path, {"LINNIX_BPF": "maybe"}) == (
        "telemetry.sample_intervall_ms: unknown key; did you mean telemetry.sample_interval_ms?",
        "[apii]: unknown section; did you mean [api]?",
        "LINNIX_BPF='maybe': expected on or off",
        "telemetry.retention_seconds: expected a whole number, found 'long'",
        "logging.format: expected one of text, json, found 'jsn'; did you mean json?",
        "api.listen_addr: 0.0.0.0:3000 can be reached from other hosts, so a token is required: set api.auth_token "
        "or LINNIX_API_TOKEN, or listen on 127.0.0.1",
        "outputs.metrics_listen_addr: expected host:port, found '9464'",
        "privacy.redact_patterns: '(': missing ), unterminated subpattern at position 0",
        "privacy.allow_patterns: '[': unterminated character set at position 0",
        "privacy.redact_groups: expected of headers, urls, names, tokens, programs, found 'token'; "
        "did you mean tokens?",
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("x = 1\n", "x: expected a section, as in [api]"),
        ("[", "not TOML: "),
        ("[rules]\nfile = 1\n", "rules.file: unknown key; [rules] has path"),
        ("[zebra]\na = 1\n", "[zebra]: unknown section; there are api, "),
        ("[api]\nauth_token = 7\n", "api.auth_token: expected a text, found 7"),
        ("[runtime]\noffline = 1\n", "runtime.offline: expected true or false, found 1"),
    ],
)
def test_a_problem_names_the_key_and_what_would_do(tmp_path: Path, content: str, expected: str) -> None:
    assert expected in problems(write(tmp_path, content))[0]


def test_what_is_out_of_bounds_is_moved_to_the_bound_with_a_warning(tmp_path: Path) -> None:
    config, warnings = load(write(tmp_path, "[telemetry]\nsample_interval_ms = 10\nretention_seconds = 99999\n"), {})

    assert (config.telemetry.sample_interval_ms, config.telemetry.retention_seconds) == (100, 3600)
    assert warnings == [
        "telemetry.sample_interval_ms: 10 is outside 100 to 60000, using 100",
        "telemetry.retention_seconds: 99999 is outside 10 to 3600, using 3600",
    ]


ORIGINAL = """
[runtime]
offline = true
cpu_target_pct = 25
rss_cap_mb = 512
events_rate_cap = 100000
[telemetry]
sample_interval_ms = 5000
retention_seconds = 300
min_eps_to_enable = 20
[logging]
alerts_file = "/var/log/linnix/alerts.ndjson"
journald = true
insights_file = "/var/log/linnix/insights.ndjson"
incident_context_file = "/tmp/x"
[rules]
path = "/etc/linnix/rules.toml"
[reasoner]
enabled = true
endpoint = "http://localhost:8090/v1/chat/completions"
model = "linnix-3b-distilled"
timeout_ms = 30000
[prometheus]
enabled = true
[outputs]
slack = false
pagerduty = false
[notifications.apprise]
urls = []
[notifications.slack]
webhook_url = "x"
[circuit_breaker]
enabled = true
cpu_psi_threshold = 40.0
mode = "monitor"
psi_threshold = 1
cpu_threshold = 1
sustained_seconds = 1
[noise_budget]
max_alerts_per_hour = 10
[privacy]
redact_sensitive_data = false
[psi]
sustained_pressure_seconds = 15
[probes]
btf_path = "/sys/kernel/btf/vmlinux"
enable_page_faults = false
"""


def test_the_originals_file_is_read_unchanged_and_its_dead_keys_are_named(tmp_path: Path) -> None:
    config, warnings = load(write(tmp_path, ORIGINAL), {})

    assert (config.runtime.offline, config.telemetry.sample_interval_ms, config.outputs.prometheus) == (
        True,
        5000,
        True,
    )
    named = {warning.partition(":")[0] for warning in warnings}
    exact = {key for key in LEGACY if not key.endswith("*")}
    assert exact <= named
    assert {key.partition(".")[0] for key in LEGACY if key.endswith("*")} <= {name.partition(".")[0] for name in named}
    assert "prometheus.enabled" in named


def test_no_legacy_key_hides_a_live_one() -> None:
    live = {f"{section}.{key}" for section, kind in SECTIONS.items() for key in kind.__struct_fields__}

    assert not live & LEGACY.keys()
    assert not set(SECTIONS) & {key.partition(".")[0] for key in LEGACY if key.endswith("*")}


def test_a_public_address_needs_a_token() -> None:
    public, local = {"LINNIX_LISTEN_ADDR": "0.0.0.0:3000"}, {"LINNIX_LISTEN_ADDR": "127.1.2.3:3000"}

    assert "a token is required" in problems(EXAMPLE, public)[0]
    assert load(EXAMPLE, {**public, "LINNIX_API_TOKEN": "t"})[0].api.auth_token == "t"
    assert check(load(EXAMPLE, local)[0]) == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)),
        *(("::", False), ("example.org", False), ("localhost.example.org", False), ("10.0.0.1", False)),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("addr", ["", "3000", ":3000", "localhost", "h:", "h:x", "h:70000", "h:-1"])
def test_an_address_without_host_and_port_is_refused(addr: str) -> None:
    with pytest.raises(ValueError, match=r"expected host:port"):
        parse_listen_addr(addr)


def test_an_ordinary_user_writes_to_the_xdg_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert load(EXAMPLE, {"HOME": "/home/u"})[0].data_dir == Path("/home/u/.local/share/linnix")
    assert load(EXAMPLE, {"HOME": "/home/u", "XDG_DATA_HOME": "/x"})[0].alerts_file == Path("/x/linnix/alerts.ndjson")
    assert load(EXAMPLE, {"LINNIX_DATA_DIR": "/d"})[0].alerts_file == Path("/d/alerts.ndjson")


def test_variables_of_the_original_are_read_or_named_as_dead() -> None:
    config, warnings = load(None, {"LINNIX_PSI_IO_PATH": "/run/io", "RUST_LOG": "debug", "K8S_TOKEN": " "})

    assert config.psi_paths == {"io": Path("/run/io")}
    assert warnings == ["RUST_LOG: has no effect: use --log-level or logging.level"]


@pytest.mark.parametrize("mode", ["auto", "always", "off"])
def test_blame_is_switched_by_the_environment(mode: str) -> None:
    config, warnings = load(None, {"LINNIX_BLAME": mode, "LINNIX_CONFIG": ""})
    assert (config.blame.mode, warnings) == (mode, [])


def test_a_mode_of_blame_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, {"LINNIX_BLAME": "sometimes"})
    assert refused.value.problems == ("blame.mode: expected one of auto, always, off, found 'sometimes'",)

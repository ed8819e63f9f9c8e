"""The sections of the configuration: every key with its default, and the original's keys that have none here.

Owns the names, the types and the defaults. Refuses to read anything: ``config`` does. Invariant: a section without a
single key set is usable.
"""

from __future__ import annotations

import msgspec

from linnix.cognitod.secret_shapes import GROUPS


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API listens and who may ask."""

    listen_addr: str = "127.0.0.1:3000"
    auth_token: str | None = None
    unix_socket: str | None = None
    require_kernel_instrumentation: bool = True
    allowed_hosts: list[str] = []


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon may do."""

    offline: bool = False
    bpf: bool = True
    data_dir: str | None = None


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """How often the host is sampled, and how long what has exited is kept."""

    sample_interval_ms: int = 1000
    retention_seconds: int = 300


class Logging(msgspec.Struct, frozen=True, kw_only=True):
    """Where it tells what happens."""

    level: str = "info"
    format: str = "text"
    alerts_file: str | None = None


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Which detectors run, and where their overrides are."""

    path: str | None = None
    dir: str | None = None


class Reasoner(msgspec.Struct, frozen=True, kw_only=True):
    """The model that words explanations."""

    enabled: bool = True
    endpoint: str = "http://localhost:8090/v1/chat/completions"
    model: str = "linnix-3b-distilled"
    timeout_ms: int = 30_000
    api_key: str | None = None


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """Who else is told."""

    prometheus: bool = True
    metrics_listen_addr: str = "127.0.0.1:9464"


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True):
    """Where owners and labels of pods are asked for; their names are known without."""

    api_url: str | None = None
    token: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    node: str | None = None


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """What is hidden in command lines: the built-in groups of ``secret_shapes`` and more, less what may be shown."""

    redact_groups: list[str] = msgspec.field(default_factory=lambda: list(GROUPS))
    redact_patterns: list[str] = []
    allow_patterns: list[str] = []


class Probes(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at beyond processes; see docs/probes.md. Those of blame are governed by its own section too."""

    stats: str = "sample"
    blame_cpu: bool = True
    blame_io: bool = True
    blame_memory: bool = True
    runqueue_latency: bool = True
    block_latency: bool = True
    oom: bool = True
    tcp: bool = True
    sockets: bool = True
    syncs: bool = True
    waits: bool = True
    blocked: bool = True
    filesystems: bool = True


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """When it is measured who makes whom wait; see docs/blame.md."""

    mode: str = "auto"
    threshold_pct: int = 5
    hold_seconds: int = 30


_LATER = "has no effect in this version"
_NO_BREAKER = f"{_LATER}: Linnix does not act on processes"

#: Keys of the original that are accepted and mean nothing here, and why. ``*``: any key of the section.
LEGACY: dict[str, str] = {
    "runtime.cpu_target_pct": "has no effect: what the daemon uses is measured, see linnix_process_cpu_percent",
    "runtime.rss_cap_mb": "has no effect: memory is bounded by design, see linnix_process_rss_bytes",
    "runtime.events_rate_cap": "has no effect: events are never sampled",
    "telemetry.min_eps_to_enable": "has no effect: nothing is gated on events per second",
    "logging.journald": "has no effect: logs go to stderr, which systemd sends to the journal",
    "logging.insights_file": _LATER,
    "logging.incident_context_file": _LATER,
    "outputs.slack": _LATER,
    "outputs.pagerduty": _LATER,
    "notifications.*": _LATER,
    "circuit_breaker.*": _NO_BREAKER,
    "noise_budget.*": _LATER,
    "privacy.redact_sensitive_data": "has no effect: command lines are redacted, see privacy.redact_groups",
    "psi.sustained_pressure_seconds": "has no effect: blame is measured as soon as pressure rises, see [blame]",
    "psi.*": _LATER,
    "probes.btf_path": "has no effect: libbpf finds the kernel's type information by itself",
    "probes.enable_page_faults": "has no effect: faults are counted without a probe",
}

#: Variables of the original that mean nothing here, and why.
LEGACY_ENVIRONMENT: dict[str, str] = {
    "LINNIX_INCIDENT_DB": _LATER,
    "LINNIX_KERNEL_BTF": "has no effect: libbpf finds the kernel's type information by itself",
    "LINNIX_RSS_TRACE_BPF_PATH": "has no effect: memory is read from the task iterator",
    "RUST_LOG": "has no effect: use --log-level or logging.level",
}

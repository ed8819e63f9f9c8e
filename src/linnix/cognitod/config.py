"""The daemon's configuration: every key, its default and its bounds.

Owns the file format, the environment and their precedence: flag over environment over file over default. Refuses to
guess: an unknown key is an error that names the nearest known one, and all problems of a file are told at once.
Invariant: a ``Config`` that exists is usable; nothing else in cognitod reads the environment.

Keys of the original's configuration that mean nothing here are accepted with a warning, from the one table ``LEGACY``.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from linnix.cognitod.sections import (
    LEGACY,
    LEGACY_ENVIRONMENT,
    Api,
    Blame,
    Kubernetes,
    Logging,
    Outputs,
    Privacy,
    Probes,
    Reasoner,
    Rules,
    Runtime,
    Telemetry,
)

__all__ = [
    "LEGACY",
    "SECTIONS",
    "Api",
    "Blame",
    "Config",
    "ConfigError",
    "Kubernetes",
    "Logging",
    "Outputs",
    "Privacy",
    "Probes",
    "Reasoner",
    "Rules",
    "Runtime",
    "Telemetry",
    "check",
    "is_loopback",
    "load",
    "parse_listen_addr",
    "read_file",
]

from linnix.cognitod.secret_shapes import GROUPS

DEFAULT_FILE = Path("/etc/linnix/linnix.toml")


class ConfigError(Exception):
    """A configuration that cannot be used; ``problems`` are sentences, one each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, resolved."""

    api: Api = Api()
    runtime: Runtime = Runtime()
    telemetry: Telemetry = Telemetry()
    logging: Logging = Logging()
    rules: Rules = Rules()
    reasoner: Reasoner = Reasoner()
    outputs: Outputs = Outputs()
    kubernetes: Kubernetes = Kubernetes()
    privacy: Privacy = Privacy()
    probes: Probes = Probes()
    blame: Blame = Blame()
    data_dir: Path = Path("/var/lib/linnix")
    psi_paths: dict[str, Path] = {}

    @property
    def alerts_file(self) -> Path:
        """Where alerts are appended, one JSON object a line."""
        return Path(self.logging.alerts_file) if self.logging.alerts_file else self.data_dir / "alerts.ndjson"


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "api": Api,
    "runtime": Runtime,
    "telemetry": Telemetry,
    "logging": Logging,
    "rules": Rules,
    "reasoner": Reasoner,
    "outputs": Outputs,
    "kubernetes": Kubernetes,
    "privacy": Privacy,
    "probes": Probes,
    "blame": Blame,
}

#: Environment variable → key. An empty variable counts as unset.
ENVIRONMENT: dict[str, str] = {
    "LINNIX_LISTEN_ADDR": "api.listen_addr",
    "LINNIX_METRICS_LISTEN_ADDR": "outputs.metrics_listen_addr",
    "LINNIX_API_TOKEN": "api.auth_token",
    "LINNIX_UDS_PATH": "api.unix_socket",
    "LINNIX_DATA_DIR": "runtime.data_dir",
    "LINNIX_BPF": "runtime.bpf",
    "LINNIX_BLAME": "blame.mode",
    "K8S_API_URL": "kubernetes.api_url",
    "K8S_TOKEN": "kubernetes.token",
    "NODE_NAME": "kubernetes.node",
    "LLM_ENDPOINT": "reasoner.endpoint",
    "LLM_MODEL": "reasoner.model",
    "OPENAI_API_KEY": "reasoner.api_key",
}

#: Pressure files elsewhere than in /proc/pressure, by resource.
PSI_ENVIRONMENT: dict[str, str] = {
    "LINNIX_PSI_CPU_PATH": "cpu",
    "LINNIX_PSI_MEMORY_PATH": "memory",
    "LINNIX_PSI_IO_PATH": "io",
}

#: What Kubernetes puts into every container that may ask its API server.
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

#: Names of optional probes, separated by commas, that are switched off.
PROBES_OFF = "LINNIX_PROBES_OFF"

#: Inclusive bounds; a value outside is moved to the nearest one with a warning, as the original does.
BOUNDS: dict[str, tuple[int, int]] = {
    "telemetry.sample_interval_ms": (100, 60_000),
    "telemetry.retention_seconds": (10, 3_600),
    "reasoner.timeout_ms": (100, 600_000),
    "blame.threshold_pct": (1, 100),
    "blame.hold_seconds": (5, 3_600),
}

CHOICES: dict[str, tuple[str, ...]] = {
    "logging.level": ("debug", "info", "warning", "error"),
    "logging.format": ("text", "json"),
    "blame.mode": ("auto", "always", "off"),
    "probes.stats": ("sample", "on", "off"),
}


def load(
    path: Path | None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, str | None] | None = None,
) -> tuple[Config, list[str]]:
    """The configuration and the warnings it deserves. ``flags`` maps ``section.key`` to a value, None for not given.

    ``path`` None: ``LINNIX_CONFIG``, else the default file if there is one. Raises ``ConfigError`` with every problem.
    """
    problems: list[str] = []
    warnings: list[str] = []
    named = path or (Path(environ["LINNIX_CONFIG"]) if environ.get("LINNIX_CONFIG") else None)
    values = _known(read_file(named), problems, warnings)
    for variable, key in ENVIRONMENT.items():
        if environ.get(variable, "").strip():
            values[key] = _from_environment(variable, environ[variable].strip(), problems)
    values |= _probes_off(environ.get(PROBES_OFF, ""), problems)
    warnings += [f"{name}: {reason}" for name, reason in LEGACY_ENVIRONMENT.items() if environ.get(name, "").strip()]
    if "kubernetes.api_url" not in values:
        values |= _in_cluster(environ)
    values |= {key: value for key, value in (flags or {}).items() if value is not None}
    document: dict[str, Any] = {}
    for key, value in values.items():
        try:
            typed = _bounded(key, _typed(key, value), warnings)
        except ValueError as error:
            problems.append(f"{key}: {error}")
            continue
        section, _, name = key.partition(".")
        document.setdefault(section, {})[name] = typed
    document["data_dir"] = _data_dir(document.get("runtime", {}).get("data_dir"), environ)
    document["psi_paths"] = {
        resource: Path(environ[name]) for name, resource in PSI_ENVIRONMENT.items() if environ.get(name, "").strip()
    }
    config = msgspec.convert(document, Config)
    problems += check(config)
    if problems:
        raise ConfigError(*problems)
    return config, warnings


def read_file(named: Path | None) -> dict[str, Any]:
    """The TOML document of a named file, or of the default file; none where that does not exist."""
    path = named or DEFAULT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if named is None:
            return {}
        raise ConfigError(f"{path}: no such file; start without --config to use the defaults") from error
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _known(document: Mapping[str, Any], problems: list[str], warnings: list[str]) -> dict[str, Any]:
    """``section.key`` → value of what means something here."""
    values: dict[str, Any] = {}
    for section, content in document.items():
        if not isinstance(content, dict):
            problems.append(f"{section}: expected a section, as in [{_nearest(section, SECTIONS) or 'api'}]")
            continue
        fields = SECTIONS[section].__struct_fields__ if section in SECTIONS else ()
        for name, value in content.items():
            key = f"{section}.{name}"
            reason = LEGACY.get(key) or LEGACY.get(f"{section}.*")
            if name in fields:
                values[key] = value
            elif key == "prometheus.enabled":
                values.setdefault("outputs.prometheus", value)
                warnings.append("prometheus.enabled: now called outputs.prometheus")
            elif reason:
                warnings.append(f"{key}: {reason}")
            elif fields:
                guess = _nearest(name, fields)
                problems.append(
                    f"{key}: unknown key; "
                    + (f"did you mean {section}.{guess}?" if guess else f"[{section}] has {', '.join(fields)}")
                )
        if not fields and section != "prometheus" and f"{section}.*" not in LEGACY:
            guess = _nearest(section, SECTIONS)
            hint = f"did you mean [{guess}]?" if guess else f"there are {', '.join(SECTIONS)}"
            problems.append(f"[{section}]: unknown section; {hint}")
    return values


def _from_environment(variable: str, value: str, problems: list[str]) -> Any:
    if variable != "LINNIX_BPF":
        return value
    switch = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}
    if value.lower() not in switch:
        problems.append(f"LINNIX_BPF={value!r}: expected on or off")
    return switch.get(value.lower(), True)


def _probes_off(names: str, problems: list[str]) -> dict[str, Any]:
    known = [name for name in Probes.__struct_fields__ if name != "stats"]
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in set(wanted) - set(known):
        hint = _did_you_mean(_nearest(name, known)) or f"; there are {', '.join(known)}"
        problems.append(f"{PROBES_OFF}: no probe is called {name!r}{hint}")
    return {f"probes.{name}": False for name in wanted if name in known}


def _in_cluster(environ: Mapping[str, str]) -> dict[str, Any]:
    """How a container with a service account reaches the API server; nothing elsewhere."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (SERVICE_ACCOUNT / "token").is_file():
        return {}
    return {
        "kubernetes.api_url": f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        "kubernetes.token_file": str(SERVICE_ACCOUNT / "token"),
        "kubernetes.ca_file": str(SERVICE_ACCOUNT / "ca.crt"),
    }


def _typed(key: str, value: Any) -> Any:
    """``value`` as its key wants it, a blank text as None where that is possible; ``ValueError`` says what is."""
    section, _, name = key.partition(".")
    wanted = next(field.type for field in msgspec.structs.fields(SECTIONS[section]) if field.name == name)
    try:
        value = msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        expected = str(error).partition(",")[0].replace("`", "").replace("Expected ", "")
        plain = {"str": "a text", "str | null": "a text", "int": "a whole number", "bool": "true or false"}
        raise ValueError(f"expected {plain.get(expected, expected)}, found {value!r}") from error
    if key in CHOICES and value not in CHOICES[key]:
        hint = _did_you_mean(_nearest(str(value), CHOICES[key]))
        raise ValueError(f"expected one of {', '.join(CHOICES[key])}, found {value!r}{hint}")
    return None if isinstance(value, str) and not value.strip() and wanted is not str else value


def _bounded(key: str, value: Any, warnings: list[str]) -> Any:
    if key not in BOUNDS:
        return value
    low, high = BOUNDS[key]
    nearest = min(max(value, low), high)
    if nearest != value:
        warnings.append(f"{key}: {value} is outside {low} to {high}, using {nearest}")
    return nearest


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)), None)


def _did_you_mean(guess: str | None) -> str:
    return f"; did you mean {guess}?" if guess else ""


def _data_dir(named: str | None, environ: Mapping[str, str]) -> Path:
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/linnix")
    home = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".local/share")
    return Path(home) / "linnix"


def check(config: Config) -> list[str]:
    """What is wrong with a configuration whose types are right."""
    problems = []
    for key, addr in (
        ("api.listen_addr", config.api.listen_addr),
        ("outputs.metrics_listen_addr", config.outputs.metrics_listen_addr),
    ):
        try:
            host, _ = parse_listen_addr(addr)
        except ValueError as error:
            problems.append(f"{key}: {error}")
            continue
        if key == "api.listen_addr" and not is_loopback(host) and not config.api.auth_token:
            problems.append(
                f"{key}: {addr} can be reached from other hosts, so a token is required: set api.auth_token "
                "or LINNIX_API_TOKEN, or listen on 127.0.0.1"
            )
    if not config.reasoner.endpoint.startswith(("http://", "https://")):
        problems.append(f"reasoner.endpoint: expected http:// or https://, found {config.reasoner.endpoint!r}")
    if config.kubernetes.api_url is not None:
        problems += _check_api_url(config.kubernetes)
    for key, patterns in (
        ("privacy.redact_patterns", config.privacy.redact_patterns),
        ("privacy.allow_patterns", config.privacy.allow_patterns),
    ):
        for pattern in patterns:
            try:
                re.compile(pattern.encode())
            except re.error as error:
                problems.append(f"{key}: {pattern!r}: {error}")
    for group in config.privacy.redact_groups:
        if group not in GROUPS:
            hint = _did_you_mean(_nearest(group, GROUPS))
            problems.append(f"privacy.redact_groups: expected of {', '.join(GROUPS)}, found {group!r}{hint}")
    return problems


def _check_api_url(kubernetes: Kubernetes) -> list[str]:
    url = kubernetes.api_url or ""
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        return [f"kubernetes.api_url: expected http:// or https:// and a host, found {url!r}"]
    secret = kubernetes.token or kubernetes.token_file
    if parts.scheme == "http" and secret and not is_loopback(parts.hostname or ""):
        return [f"kubernetes.api_url: {url} would send the token unencrypted: use https://"]
    return []


def parse_listen_addr(addr: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[v6]:port``. ``ValueError`` says what is wrong."""
    host, colon, port = addr.rpartition(":")
    host = host.strip().removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"expected host:port, found {addr!r}")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """127/8, ::1 and ``localhost``; any other name counts as public."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"

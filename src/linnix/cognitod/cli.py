"""The ``cognitod`` command: arguments, exit codes, and every message before the log begins.

Owns what is printed to a user and with which code it ends: 0 done, 1 failed, 2 usage. Refuses work: it resolves the
configuration and hands it on. Invariant: what a user did wrong is told in a sentence, never in a traceback.
"""

from __future__ import annotations

import os

# numpy's linear algebra starts a thread per core when it is imported, and nothing here does any.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from linnix import __version__
from linnix.cognitod import daemon, logs
from linnix.cognitod.config import Config, ConfigError, load
from linnix.cognitod.kernel import checks
from linnix.cognitod.listeners import ListenError

log = logging.getLogger(__name__)

_EPILOGUE = """\
files:
  /etc/linnix/linnix.toml    read if it is there; configs/linnix.toml shows every key with its default
  /etc/linnix/rules.d        overrides of rules, see docs/detectors.md; loaded anew on change and on SIGHUP
environment (over the file, under the flags):
  LINNIX_CONFIG  LINNIX_LISTEN_ADDR  LINNIX_METRICS_LISTEN_ADDR  LINNIX_API_TOKEN  LINNIX_UDS_PATH
  LINNIX_DATA_DIR  LINNIX_BPF=off  LINNIX_BPF_PATH  LINNIX_SKIP_CAP_CHECK  LINNIX_PSI_{CPU,MEMORY,IO}_PATH
  LLM_ENDPOINT  LLM_MODEL  OPENAI_API_KEY  NO_COLOR
exit codes:
  0 stopped on request or all is well    1 failed    2 wrong arguments or configuration

Without root, or where eBPF cannot be used, it reads /proc and says what it cannot see: curl localhost:3000/readyz
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="cognitod",
        description="Sees every process of this host through eBPF and serves what it knows over HTTP.",
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument("--version", action="version", version=f"cognitod {__version__}")
    p.add_argument("--config", type=Path, metavar="FILE", help="configuration in TOML")
    p.add_argument("--check-config", action="store_true", help="tell every problem of the configuration and exit")
    p.add_argument("--dry-run", action="store_true", help="attach to the kernel, say what is seen, and exit")
    p.add_argument("--probe-only", action="store_true", help="print what this kernel offers as JSON and exit")
    p.add_argument(
        "--handler",
        action="append",
        default=[],
        metavar="KIND:PATH",
        help="jsonl:PATH appends every event as a line of JSON; rules:PATH is the rule file (repeatable)",
    )
    p.add_argument("--detach", action="store_true", help="accepted for the sake of old scripts; use a service manager")
    p.add_argument("--log-format", choices=("text", "json"), help="default: text")
    p.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default: info")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parser().parse_args(argv)
    if args.probe_only:
        return _probe()
    flags = {"logging.format": args.log_format, "logging.level": args.log_level}
    try:
        handlers = _handlers(args.handler)
        config, warnings = load(args.config, os.environ, flags)
    except ConfigError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1 if args.check_config else 2
    if args.check_config:
        return _check(config, handlers, warnings)
    logs.set_up(config.logging.format, config.logging.level)
    if args.detach:
        warnings.append("--detach has no effect: run cognitod under systemd, or with setsid and &")
    for warning in warnings:
        log.warning("%s", warning)
    try:
        return _dry_run(config) if args.dry_run else daemon.run(config, handlers)
    except (daemon.StartError, ListenError) as error:
        log.error("%s", error)
        return 1
    except KeyboardInterrupt:
        return 130


def _handlers(given: Sequence[str]) -> daemon.Handlers:
    jsonl: list[Path] = []
    rules: Path | None = None
    for handler in given:
        kind, _, path = handler.partition(":")
        if kind == "jsonl" and path:
            jsonl.append(Path(path))
        elif kind == "rules" and path:
            rules = Path(path)
        else:
            raise ConfigError(f"--handler {handler}: expected jsonl:PATH or rules:PATH")
    return daemon.Handlers(tuple(jsonl), rules)


def _check(config: Config, handlers: daemon.Handlers, warnings: Sequence[str]) -> int:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    try:
        book = daemon.open_rules(config, handlers)
    except daemon.StartError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1
    print(f"configuration is valid: {len(book.rules)} rules, {len(warnings)} warnings")
    return 0


def _dry_run(config: Config) -> int:
    sight, degraded = daemon.choose_sight(config)
    sight.close()
    print(f"attached: processes are seen through {sight.name}")
    for reason in degraded:
        print(f"not seen: {reason}")
    return 1 if degraded and config.runtime.bpf else 0


def _probe() -> int:
    found = checks()
    usable = all(check.ok for check in found)
    print(
        json.dumps(
            {
                "rss_probe": "core:mm" if usable else "disabled",
                "btf": Path("/sys/kernel/btf/vmlinux").exists(),
                "checks": [
                    {"name": check.name, "ok": check.ok, "detail": check.detail, "mend": check.mend} for check in found
                ],
            },
            indent=2,
        )
    )
    return 0

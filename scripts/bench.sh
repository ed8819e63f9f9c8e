#!/usr/bin/env bash
# Runs the benchmarks and prints their tables and, as the last line, one JSON document with the results of all:
#   scripts/bench.sh [quick] [NAME]...
#     quick   short windows, cheap agents, no language model: under three minutes instead of thirty
#     NAME    only benchmarks/NAME.py
# Installs what is compared with, saying what, where that is allowed (root and apt; LINNIX_BENCH_INSTALL=no forbids it).
# What cannot be had is left out of the tables. Services of what is installed are not started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=() names=()
for argument; do
  case $argument in
    quick | --quick) quick=(--quick) ;;
    *) [ -f "benchmarks/$argument.py" ] || { echo "bench.sh: no benchmarks/$argument.py" >&2; exit 2; }
      names+=("$argument") ;;
  esac
done
if [ ${#names[@]} -eq 0 ]; then
  # What the host's own plane costs first, on a machine that is still cool; the model last.
  names=(daemon idle overhead api streams snapshot blame detectors baseline)
  [ ${#quick[@]} -gt 0 ] || names+=(model_server reasoner explanations)
fi

results=$(mktemp -d) our_policy=
clear_up() {
  rm -rf "$results"
  [ -z "$our_policy" ] || rm -f /usr/sbin/policy-rc.d
}
trap clear_up EXIT

say() { printf '==> %s\n' "$*" >&2; }

# Debian's package of each command.
packages=()
want() { command -v "$1" >/dev/null || packages+=("$2"); }
PATH=$PATH:/usr/sbin:/sbin
want stress-ng stress-ng
want perf linux-perf
want atop atop
want forkstat forkstat
want prometheus-node-exporter prometheus-node-exporter
if [ ${#quick[@]} -eq 0 ]; then
  want netdata netdata-core
  want bpftrace bpftrace
  want execsnoop-bpfcc bpfcc-tools
fi

install_packages() {
  local get=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends -y)
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null || [ "${LINNIX_BENCH_INSTALL:-}" = no ]; then
    say "Left out, not installed: ${packages[*]}"
    return
  fi
  say "Installing with apt, to compare with: ${packages[*]}"
  # Debian starts a service when its package is installed, unless this file says no.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    our_policy=1
  fi
  apt-get -qq update >/dev/null 2>&1 || true
  local package
  for package in "${packages[@]}"; do # one by one, so that one that cannot be had costs none of the others
    "${get[@]}" "$package" >/dev/null 2>&1 || say "$package cannot be had here: left out"
  done
  [ -z "$our_policy" ] || rm -f /usr/sbin/policy-rc.d
  our_policy=
}
[ ${#packages[@]} -eq 0 ] || install_packages

if [ ${#quick[@]} -eq 0 ] && [ ! -x build/bench-venv/bin/glances ] && [ "${LINNIX_BENCH_INSTALL:-}" != no ]; then
  say "Installing glances into build/bench-venv, to compare with"
  { .venv/bin/python -m venv build/bench-venv && build/bench-venv/bin/pip -q install glances; } >/dev/null 2>&1 ||
    say "glances cannot be had here: left out"
fi

failed=0
for name in "${names[@]}"; do
  [ -f "benchmarks/$name.py" ] || continue
  options=()
  ! grep -q -- '"--quick"' "benchmarks/$name.py" || options=("${quick[@]}")
  printf '\n== %s\n' "$name"
  if .venv/bin/python "benchmarks/$name.py" "${options[@]}" >"$results/$name.out"; then
    sed '$d' "$results/$name.out"
    tail -n 1 "$results/$name.out" >"$results/$name.json"
  else
    cat "$results/$name.out"
    say "$name failed"
    failed=1
  fi
done

echo
.venv/bin/python - "$results" <<'END'
import json, pathlib, sys

print(json.dumps({file.stem: json.loads(file.read_text()) for file in sorted(pathlib.Path(sys.argv[1]).glob("*.json"))}))
END
exit $failed

#!/usr/bin/env bash
# Records the fault laboratory's collection on this host:
#   scripts/lab.sh [OPTION OF linnix faultlab run]...      for instance  --part test
# Installs the programs that scenarios run, saying which, where that is allowed (root and apt; LINNIX_LAB_INSTALL=no forbids
# it). A scenario whose program cannot be had is left out and told at the end. Services of what is installed are not started.
# The recordings go to build/lab; what is complete there is not recorded again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '==> %s\n' "$*" >&2; }

PATH=$PATH:/usr/sbin:/sbin
packages=()
while read -r program package; do
  command -v "$program" >/dev/null || packages+=("$package")
done < <(
  .venv/bin/linnix faultlab list --json | .venv/bin/python -c '
import json, sys

required = {each for scenario in json.load(sys.stdin) for each in scenario["requires"]}
for program, _, package in sorted(each.partition(":") for each in required):
    print(program, package or program)'
)

our_policy=
clear_up() { [ -z "$our_policy" ] || rm -f /usr/sbin/policy-rc.d; }
trap clear_up EXIT

if [ ${#packages[@]} -gt 0 ]; then
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null || [ "${LINNIX_LAB_INSTALL:-}" = no ]; then
    say "Not installed, their scenarios are left out: ${packages[*]}"
  else
    say "Installing with apt, for scenarios to run: ${packages[*]}"
    if [ ! -e /usr/sbin/policy-rc.d ]; then # Debian starts a service when its package is installed, unless this says no
      printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
      chmod +x /usr/sbin/policy-rc.d
      our_policy=1
    fi
    apt-get -qq update >/dev/null 2>&1 || true
    for package in "${packages[@]}"; do
      DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends -y "$package" \
        >/dev/null 2>&1 || say "$package cannot be had here: left out"
    done
    clear_up
    our_policy=
  fi
fi

exec .venv/bin/linnix faultlab run src/linnix/faultlab/scenarios --out build/lab "$@"

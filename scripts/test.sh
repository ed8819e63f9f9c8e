#!/usr/bin/env bash
# Runs the tiers of tests (--only TIER for one), the quick ones first, in one pytest whose closing line is the last thing printed.
# Where eBPF can be used the kernel tier may not skip: LINNIX_REQUIRE_KERNEL turns such a skip into a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# CAP_BPF and CAP_PERFMON are bits 39 and 38 of the effective set; root in an unprivileged container lacks them.
capabilities=$((16#$(sed -n 's/^CapEff:\t//p' /proc/self/status)))
if [ "${LINNIX_BPF:-}" != off ] && [ -r /sys/kernel/btf/vmlinux ] && (((capabilities >> 38 & 3) == 3)); then
  export LINNIX_REQUIRE_KERNEL=1
fi

wanted="unit layout contract kernel e2e vm"
if [ "${1:-}" = --only ]; then
  wanted=$2
  shift 2
fi
tiers=()
for tier in $wanted; do [ ! -d "tests/$tier" ] || tiers+=("tests/$tier"); done
exec .venv/bin/python -m pytest "${tiers[@]}" "$@"

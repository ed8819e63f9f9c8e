#!/usr/bin/env bash
# Runs every benchmark, or those named (scripts/bench.sh reasoner). Each prints a table and, as its last line, one JSON document.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
names=("$@")
[ ${#names[@]} -gt 0 ] || for file in benchmarks/[a-z]*.py; do names+=("$(basename "$file" .py)"); done
for name in "${names[@]}"; do
  printf '\n== %s\n' "$name"
  .venv/bin/python "benchmarks/$name.py"
done

#!/bin/sh
# Serves the language model at http://localhost:8090/v1/chat/completions until Ctrl-C or SIGTERM.
# Settings: LLAMA_PORT, LLAMA_CTX, LLAMA_THREADS, LINNIX_MODEL, LLAMA_API_KEY; options are handed on (try --help).
# The working directory is left as it is: linnix-3b-distilled-q5_k_m.gguf is looked for there first.
set -eu

here=$(dirname -- "$(readlink -f -- "$0")")
if [ -x "$here/.venv/bin/linnix" ]; then
    exec "$here/.venv/bin/linnix" model serve "$@"
elif command -v linnix >/dev/null 2>&1; then
    exec linnix model serve "$@"
fi
echo "error: no linnix command: neither $here/.venv/bin/linnix nor on PATH" >&2
echo "  run 'make setup' in $here first" >&2
exit 1

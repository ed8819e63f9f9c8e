#!/usr/bin/env bash
# Runs the whole of Linnix on this host and holds it to the guide's own figures: load under 1 s, 12 tokens/s, 3 GB,
# answers within 3 s. Uses the daemon (port 3000) and the model server (port 8090) that already serve; where there are
# none it starts both and stops them again. Exit code 0 only if everything holds.
#
# Needs a host that is not busy otherwise. Runs as root or not: without root the daemon sees less, and says so.
set -uo pipefail

here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
host=${LINNIX_HOST:-http://127.0.0.1:3000}
export LLM_ENDPOINT=${LLM_ENDPOINT:-http://127.0.0.1:8090/v1/chat/completions}
export NO_COLOR=1

if [ -x "$here/.venv/bin/linnix-reasoner" ]; then
  PATH="$here/.venv/bin:$PATH"
elif ! command -v linnix-reasoner >/dev/null 2>&1; then
  echo "❌ no linnix-reasoner: neither $here/.venv/bin/linnix-reasoner nor on PATH; run 'make setup' in $here first" >&2
  exit 1
fi
python=$(command -v "$here/.venv/bin/python" python3 | head -n 1)

folder=$(mktemp -d)
started=()
checks=0
failures=0

finish() {
  local code=$?
  trap - EXIT INT TERM
  if [ ${#started[@]} -gt 0 ]; then
    kill "${started[@]}" 2>/dev/null
    wait "${started[@]}" 2>/dev/null
  fi
  rm -rf -- "$folder"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

passed() { checks=$((checks + 1)); echo "✅ $1"; }
failed() { checks=$((checks + 1)); failures=$((failures + 1)); echo "❌ $1"; [ $# -lt 2 ] || sed 's/^/     /' <<<"$2"; }

# below NAME VALUE LIMIT UNIT / above …: one measured figure against the guide's
below() { if awk "BEGIN { exit !($2 < $3) }"; then passed "$1: $2 $4 (guide: under $3 $4)"; else failed "$1: $2 $4 (guide: under $3 $4)"; fi; }
above() { if awk "BEGIN { exit !($2 >= $3) }"; then passed "$1: $2 $4 (guide: at least $3 $4)"; else failed "$1: $2 $4 (guide: at least $3 $4)"; fi; }

seconds() { awk "BEGIN { printf \"%.2f\", $2 - $1 }"; }

# field FILE EXPRESSION: EXPRESSION over `it`, the JSON document in FILE
field() { "$python" -c 'import json, sys; it = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }

# reasoner NAME ARGS…: runs it; its output is in $folder/NAME, its seconds in $took, its exit code in $code
reasoner() {
  local name=$1 began
  shift
  began=$EPOCHREALTIME
  linnix-reasoner --host "$host" "$@" >"$folder/$name" 2>"$folder/$name.err"
  code=$?
  took=$(seconds "$began" "$EPOCHREALTIME")
}

# serves URL: whether it answers with 200, by Python because a bare host has no curl
serves() {
  "$python" - "$1" <<'PYTHON'
import os, sys, urllib.request
token = os.environ.get("LINNIX_API_TOKEN", "")
request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {token}"} if token else {})
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2).close()
except (OSError, ValueError):
    sys.exit(1)
PYTHON
}

echo "🧪 Linnix integration test"
echo

need_daemon=1 need_model=1
serves "$host/healthz" && need_daemon=0
serves "${LLM_ENDPOINT%/v1/*}/health" && need_model=0
if [ $need_daemon = 1 ]; then
  cognitod >"$folder/cognitod.log" 2>&1 &
  started+=($!)
fi
if [ $need_model = 1 ]; then
  linnix model serve >"$folder/model.log" 2>&1 &
  started+=($!)
fi
for _ in $(seq 240); do
  serves "$host/facts" && serves "${LLM_ENDPOINT%/v1/*}/health" && break
  sleep 0.5
done
for part in "daemon $need_daemon $host/facts cognitod" "model server $need_model ${LLM_ENDPOINT%/v1/*}/health model"; do
  read -r -a words <<<"$part"
  count=${#words[@]}
  name="${words[*]:0:count-3}" new=${words[count - 3]} url=${words[count - 2]} log=${words[count - 1]}
  if serves "$url"; then
    [ "$new" = 1 ] && passed "$name started for this test" || passed "$name was already running, and is left so"
  else
    failed "$name does not answer at $url" "$(tail -n 5 "$folder/$log.log" 2>/dev/null)"
    echo "   Nothing more can be tested."
    exit 1
  fi
done
[ $need_daemon = 0 ] || sleep 6 # a daemon needs a few samples before it knows what is busy

# Something to find: a loop in the background.
sh -c 'while :; do :; done' &
loop=$!
started+=("$loop")
sleep 4

echo; echo "Test 1: system snapshot analysis"
reasoner warm --short # the first request after a start fills the model's prompt cache
reasoner full
cat "$folder/full"
if [ $code = 0 ]; then passed "connects to both and exits with 0"; else failed "exit code $code" "$(cat "$folder/full.err")"; fi
grep -q '^LLM Analysis:$' "$folder/full" && passed "prints the analysis under its heading" || failed "no heading 'LLM Analysis:'"
grep -q "^source: .* (model), " "$folder/full" && passed "the words are the model's, checked" || failed "the words are not the model's" "$(tail -n 1 "$folder/full")"
sed '/^LLM Analysis:$/q' "$folder/full" | grep -Eq "^  sh +$loop " && passed "lists the busy loop (pid $loop)" || failed "does not list the busy loop (pid $loop)"
sed '1,/^LLM Analysis:$/d' "$folder/full" | tr '\n' ' ' | grep -Eq "\(pid +[0-9]+\)" && passed "the analysis names a process" || failed "the analysis names no process"
below "response time" "$took" 3 s

echo; echo "Test 2: short summary"
reasoner short --short
cat "$folder/short"
if [ $code = 0 ] && tail -n 2 "$folder/short" | head -n 1 | grep -q '^[^[].*\.$' && tail -n 1 "$folder/short" | grep -q '^source: '; then
  passed "one line"
else
  failed "not one line (exit code $code)" "$(cat "$folder/short.err")"
fi
below "response time" "$took" 3 s

echo; echo "Test 3: insights"
reasoner insights --insights
head -n 12 "$folder/insights"
if [ $code = 0 ] && grep -q '^Insights:$' "$folder/insights"; then passed "the daemon explains"; else failed "no insight (exit code $code)" "$(cat "$folder/insights.err")"; fi
grep -Eq "^  sh +$loop " "$folder/insights" && passed "ranks the busy loop among the busiest" || failed "does not list the busy loop"
grep -q '^Risks' "$folder/insights" && passed "says which risks stand out: $(grep -c 'High .* usage' "$folder/insights")" || failed "says nothing about risks"
below "response time" "$took" 3 s
kill "$loop" 2>/dev/null

echo; echo "Test 4: event stream"
timeout -s INT 4 linnix-reasoner --host "$host" --stream --raw >"$folder/stream" 2>"$folder/stream.err" &
stream=$!
sleep 1.5
sh -c ':' & # a process of our own, to be seen
event=$!
wait "$event"
wait "$stream"
count=$(wc -l <"$folder/stream")
if grep -q "\"pid\":$event," "$folder/stream"; then passed "saw our event (pid $event) among $count"; else failed "did not see our event (pid $event) among $count" "$(cat "$folder/stream.err")"; fi

echo; echo "Test 5: model performance"
reasoner json --json
field "$folder/json" 'it["model_error"]' | grep -qx None && passed "the model answers" || failed "the model did not answer" "$(field "$folder/json" 'it["model_error"]')"
above "inference, in the analysis above" "$(field "$folder/json" 'round(it["timings"].get("predicted_per_second", 0), 2)')" 12 tokens/s
if linnix model bench --json --repeats 2 >"$folder/bench" 2>"$folder/bench.err"; then
  below "load" "$(field "$folder/bench" 'round(it["load_s"], 3)')" 1 s
  above "inference, on a server of its own" "$(field "$folder/bench" 'round(it["decode_tokens_per_s"], 2)')" 12 tokens/s
  below "memory" "$(field "$folder/bench" 'round(it["rss_bytes"] / 1e9, 2)')" 3 GB
else
  failed "linnix model bench did not work" "$(tail -n 3 "$folder/bench.err")"
fi

echo
if [ $failures = 0 ]; then
  echo "✅ all $checks checks passed"
else
  echo "❌ $failures of $checks checks failed"
  exit 1
fi

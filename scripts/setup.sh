#!/usr/bin/env bash
# setup.sh run|dev: make .venv from the locks, with uv when it is there, pip otherwise. Does nothing when all is in place.
#   SLIPWAY_TORCH_INDEX=URL   take torch and torchvision from this package index instead, such as PyTorch's CPU-only one
#   PYTHON=python3.12         the interpreter to make .venv with (3.11 or newer)
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-run}
case $profile in
  run) lock=requirements.lock ;;
  dev) lock=requirements-dev.lock ;;
  *) echo "setup: profile must be run or dev, got '$profile'" >&2; exit 2 ;;
esac
python=${PYTHON:-python3}
sum=$(cat "$lock" requirements-torch.lock pyproject.toml <(echo "${SLIPWAY_TORCH_INDEX:-}") | sha256sum | cut -c1-16)
stamp=.venv/.slipway-$profile-$sum
[ ! -e "$stamp" ] || exit 0

say() { echo "setup: $*" >&2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "$python is $("$python" -V), needed is 3.11 or newer; set PYTHON"; exit 2; }
say "1/4 .venv with $("$python" -V)"
[ -x .venv/bin/python ] || "$python" -m venv .venv
if command -v uv >/dev/null; then
  install() { uv pip install --quiet --compile-bytecode --python .venv/bin/python "$@"; } # as pip does: without, each step compiles anew
else
  install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@"; }
fi
if [ -n "${SLIPWAY_TORCH_INDEX:-}" ]; then
  say "2/4 torch from SLIPWAY_TORCH_INDEX"
  # shellcheck disable=SC2046  # two requirements, two words
  install --no-deps --index-url "$SLIPWAY_TORCH_INDEX" $(grep -oE '^(torch|torchvision)==[0-9.]+' requirements-torch.lock)
else
  say "2/4 torch with CUDA (about 3 GB; SLIPWAY_TORCH_INDEX takes a CPU-only build)"
  install --no-deps --require-hashes -r requirements-torch.lock
fi
say "3/4 $(grep -c '==' "$lock") libraries from $lock"
install --no-deps --require-hashes -r "$lock"
say "4/4 slipway"
install --no-deps --no-build-isolation --editable .
rm -f .venv/.slipway-"$profile"-*
touch "$stamp"

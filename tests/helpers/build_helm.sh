#!/usr/bin/env bash
# Builds Helm, which the chart checks use, from its public Go module: build_helm.sh DEST
# Needs Go 1.25 or newer and its module proxy; about two minutes the first time, nothing when DEST is up to date.
set -euo pipefail

module=helm.sh/helm/v3
version=v3.21.4
kubernetes=1.35  # what `helm template` and `helm lint` take a cluster for; without it, for 1.20

dest=${1:?usage: build_helm.sh DEST}
if [ -x "$dest" ] && [ "$(cat "$dest.version" 2>/dev/null)" = "$version" ]; then
  echo "helm: $dest is up to date"
  exit 0
fi
command -v go >/dev/null || { echo "build_helm.sh: no 'go' in PATH; install Go 1.25 or newer, or Helm itself" >&2; exit 1; }

mkdir -p "$(dirname "$dest")"
dest=$(cd "$(dirname "$dest")" && pwd)/$(basename "$dest")  # GOBIN must be absolute
scratch=$(mktemp -d "$(dirname "$dest")/.helm.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
echo "helm: building $version (about two minutes)"
flags="-s -w -X $module/internal/version.version=$version"
for package in chartutil lint/rules; do
  flags+=" -X $module/pkg/$package.k8sVersionMajor=${kubernetes%.*} -X $module/pkg/$package.k8sVersionMinor=${kubernetes#*.}"
done
# From nowhere in particular: no go.mod or go.work of the surroundings counts.
(cd "$scratch" && env GOWORK=off GOFLAGS=-mod=mod GOBIN="$scratch" CGO_ENABLED=0 \
  go install -trimpath -ldflags "$flags" "$module/cmd/helm@$version") >"$scratch/log" 2>&1 ||
  { cat "$scratch/log" >&2; exit 1; }
"$scratch/helm" version --short >/dev/null
mv "$scratch/helm" "$dest"
echo "$version" >"$dest.version"
echo "helm: $dest"

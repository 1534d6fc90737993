#!/usr/bin/env bash
# Builds a program from its public Go module, once: build_go_program.sh DEST PACKAGE@VERSION LDFLAGS WORD...
# The program must succeed when called with WORD... before it is put at DEST; DEST.version, beside it, then says VERSION.
# Needs Go and its module proxy; does nothing when DEST.version says so already.
set -euo pipefail

usage="usage: build_go_program.sh DEST PACKAGE@VERSION LDFLAGS WORD..."
dest=${1:?$usage} source=${2:?$usage} flags=${3?$usage}
shift 3
version=${source##*@} package=${source%@*}
name=${package##*/}
if [ -x "$dest" ] && [ "$(cat "$dest.version" 2>/dev/null)" = "$version" ]; then
  echo "$name: $dest is up to date"
  exit 0
fi
command -v go >/dev/null || { echo "build_go_program.sh: no 'go' in PATH; install Go, or $name itself" >&2; exit 1; }

mkdir -p "$(dirname "$dest")"
dest=$(cd "$(dirname "$dest")" && pwd)/$(basename "$dest")  # GOBIN must be absolute
scratch=$(mktemp -d "$(dirname "$dest")/.$name.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
echo "$name: building $version (minutes, the first time)"
# From nowhere in particular: no go.mod or go.work of the surroundings counts. `go install` of a version works where the
# module has no replace lines; its sums are checked against Go's checksum database.
(cd "$scratch" && env GOWORK=off GOFLAGS=-mod=mod GOBIN="$scratch" CGO_ENABLED=0 \
  go install -trimpath -ldflags "$flags" "$source") >"$scratch/log" 2>&1 ||
  { cat "$scratch/log" >&2; exit 1; }
"$scratch/$name" "$@" >/dev/null
mv "$scratch/$name" "$dest"
echo "$version" >"$dest.version"
echo "$name: $dest"

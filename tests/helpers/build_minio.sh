#!/usr/bin/env bash
# Builds the MinIO server, of the S3 tests and of the image slipway-minio, from its public Go module: build_minio.sh DEST
# Writes beside it DEST.version, and DEST.modules: every module inside.
# Needs Go 1.24 or newer and its module proxy; about two minutes the first time, nothing when DEST is up to date.
set -euo pipefail

# The last public source; upstream publishes neither binaries nor images any more.
module=github.com/minio/minio
version=v0.0.0-20260212201848-7aac2a2c5b7c
release=RELEASE.2025-10-15T17-29-55Z

dest=${1:?usage: build_minio.sh DEST}
if [ -x "$dest" ] && [ -f "$dest.modules" ] && [ "$(cat "$dest.version" 2>/dev/null)" = "$version" ]; then
  echo "minio: $dest is up to date"
  exit 0
fi
command -v go >/dev/null || { echo "build_minio.sh: no 'go' in PATH; install Go 1.24 or newer" >&2; exit 1; }

mkdir -p "$(dirname "$dest")"
dest=$(cd "$(dirname "$dest")" && pwd)/$(basename "$dest")  # GOBIN must be absolute
scratch=$(mktemp -d "$(dirname "$dest")/.minio.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
echo "minio: building $version (about two minutes)"
# From nowhere in particular: no go.mod or go.work of the surroundings counts. `go install` of a version works, since
# this module has no replace lines; its sums are checked against Go's checksum database.
(cd "$scratch" && env GOWORK=off GOFLAGS=-mod=mod GOBIN="$scratch" CGO_ENABLED=0 \
  go install -trimpath -ldflags "-s -w -X $module/cmd.ReleaseTag=$release" "$module@$version") >"$scratch/log" 2>&1 ||
  { cat "$scratch/log" >&2; exit 1; }
"$scratch/minio" --version >/dev/null
go version -m "$scratch/minio" | sed 1d >"$dest.modules"  # what is inside: module, version, sum
mv "$scratch/minio" "$dest"
echo "$version" >"$dest.version"
echo "minio: $dest"

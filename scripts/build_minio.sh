#!/usr/bin/env bash
# Builds the MinIO server, of the S3 tests and of the image slipway-minio, from its public Go module, once: build_minio.sh DEST
# Needs Go 1.24 or newer and its module proxy.
set -euo pipefail

# The last public source; upstream publishes neither binaries nor images any more.
module=github.com/minio/minio
version=v0.0.0-20260212201848-7aac2a2c5b7c
release=RELEASE.2025-10-15T17-29-55Z

"$(dirname "$0")/build_go_program.sh" "${1:?usage: build_minio.sh DEST}" "$module@$version" \
  "-s -w -X $module/cmd.ReleaseTag=$release" --version

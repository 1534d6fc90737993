#!/usr/bin/env bash
# Builds Helm, which the chart checks use, from its public Go module, once: build_helm.sh DEST
# Needs Go 1.25 or newer and its module proxy.
set -euo pipefail

module=helm.sh/helm/v3
version=v3.21.4
kubernetes=1.35  # what `helm template` and `helm lint` take a cluster for; without it, for 1.20

flags="-s -w -X $module/internal/version.version=$version"
for package in chartutil lint/rules; do
  flags+=" -X $module/pkg/$package.k8sVersionMajor=${kubernetes%.*} -X $module/pkg/$package.k8sVersionMinor=${kubernetes#*.}"
done
"$(dirname "$0")/build_go_program.sh" "${1:?usage: build_helm.sh DEST}" "$module/cmd/helm@$version" "$flags" version --short

#!/usr/bin/env bash
# Writes what is inside a Go program, by name, version and licence, read from the program itself: write_go_sbom.sh PROGRAM DEST
# DEST is CycloneDX JSON. Builds the tool for it beside DEST, once; needs Go and its module proxy, from which licences are read.
set -euo pipefail

usage="usage: write_go_sbom.sh PROGRAM DEST"
program=${1:?$usage} dest=${2:?$usage}
package=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
version=v1.10.0

tool=$(dirname "$dest")/cyclonedx-gomod
"$(dirname "$0")/build_go_program.sh" "$tool" "$package@$version" "-s -w" version
of=$(go version -m "$program" | awk '$1 == "mod" {print $3}')
# as the Python images' files: licences asserted, and nothing in it that the next build of the same program would change
"$tool" bin -json -output-version 1.6 -std -licenses -assert-licenses -noserial -notimestamp -version "$of" \
  -output "$dest.partial" "$program"
mv "$dest.partial" "$dest"

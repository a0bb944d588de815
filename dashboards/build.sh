#!/bin/bash
# Builds Grafana's plugin: build.sh FOLDER. Both architectures, or those that
# WEIR_ARCHITECTURES names. The same sources give the same bytes.
set -euo pipefail
folder=$(realpath -m "$1")
cd "$(dirname "$0")/.."

mkdir -p "$folder"
cp -r dashboards/plugin/plugin.json dashboards/plugin/img "$folder/"
cp dashboards/plugin/README.md LICENSE "$folder/"
cp CHANGELOG.md "$folder/CHANGELOG.md"
for arch in ${WEIR_ARCHITECTURES:-amd64 arm64}; do
	GOOS=linux GOARCH=$arch CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$folder/gpx_weir_linux_$arch" ./dashboards/plugin
done
dashboards/plugin/front/front.sh bundle "$folder"
echo "$folder: $(cd "$folder" && ls | tr '\n' ' ')"

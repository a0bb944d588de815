#!/bin/bash
# Builds Grafana's plugin twice, the second time from a copy of the sources elsewhere and with
# another time on it, and compares every byte: twice.sh. WEIR_ARCHITECTURES as for build.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dashboards/build.sh "$work/one"
mkdir "$work/elsewhere"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work/elsewhere"
find "$work/elsewhere" -exec touch -d 2001-02-03 {} +
"$work/elsewhere/dashboards/build.sh" "$work/two"
diff -r "$work/one" "$work/two"
echo "the same twice:"
(cd "$work/one" && sha256sum module.js gpx_weir_linux_*)

#!/bin/bash
# Puts weir's plugin, dashboards and alert rules into the Grafana of this machine:
#
#   install.sh PLUGIN [ROOT]
#
# PLUGIN is the folder that `make plugin` made, ROOT where Grafana's /etc and /var begin (/).
# What it has put there before it replaces; what you have changed yourself, the data source and
# the contacts, it leaves alone. Restart Grafana afterwards.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,9s/^# \?//p' "$0" >&2; exit 2; }
plugin=$(realpath "$1")
root=${2:-/}
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$plugin/plugin.json" ] && [ -f "$plugin/module.js" ] && ls "$plugin"/gpx_weir_linux_* >/dev/null 2>&1 || {
	echo "$plugin holds no plugin: give the folder that make plugin made" >&2
	exit 1
}
etc=${root%/}/etc/grafana
home=${root%/}/var/lib/grafana/plugins/weir-weir-datasource
[ -d "$etc" ] || { echo "$etc is not there: install Grafana first, or give the root of another as the second argument" >&2; exit 1; }

rm -rf "$home.new"
mkdir -p "$(dirname "$home")" "$etc/weir" "$etc/provisioning/datasources" "$etc/provisioning/dashboards" "$etc/provisioning/alerting"
cp -r "$plugin" "$home.new"
rm -rf "$home" # a moment without it: Grafana reads it when it starts
mv "$home.new" "$home"
rm -rf "$etc/weir/dashboards"
cp -r "$here/grafana/dashboards" "$etc/weir/dashboards"
cp "$here/grafana/provisioning/dashboards/weir.yaml" "$etc/provisioning/dashboards/weir.yaml"
cp "$here/grafana/provisioning/alerting/weir-rules.yaml" "$here/grafana/provisioning/alerting/weir-contacts.yaml.example" "$etc/provisioning/alerting/"
if [ ! -e "$etc/provisioning/datasources/weir.yaml" ]; then
	install -m 640 "$here/grafana/provisioning/datasources/weir.yaml" "$etc/provisioning/datasources/weir.yaml"
	if id grafana >/dev/null 2>&1; then chgrp grafana "$etc/provisioning/datasources/weir.yaml"; fi
fi
cat <<EOF
Installed. What is left:
  1. in grafana.ini, [plugins]: allow_loading_unsigned_plugins = weir-weir-datasource
  2. in Grafana's environment: WEIR_SQL_TOKEN, what stands in weir's http.sql_token_file
  3. systemctl restart grafana-server
EOF

#!/bin/bash
# Fetches libchdb, the ClickHouse engine as a library, once, into a cache outside
# the tree, and prints its path. The folder appears only when the library's sha256
# was right, by one rename, so that two at once or one cut short do no harm.
# WEIR_LIBCHDB names another library instead; that one is not checked.
set -euo pipefail

version=26.7.3
package=@chdb/lib-linux-x64-gnu@26.7.3-stable.1
sha256=36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5

fail() {
	echo "setup: libchdb: $*" >&2
	exit 1
}

if [ -n "${WEIR_LIBCHDB:-}" ]; then
	[ -f "$WEIR_LIBCHDB" ] || fail "WEIR_LIBCHDB=$WEIR_LIBCHDB is no file: unset it to have $version fetched"
	echo "$WEIR_LIBCHDB"
	exit 0
fi

cache="${XDG_CACHE_HOME:-$HOME/.cache}/weir"
home="$cache/libchdb-$version"
is_right() { [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$sha256" ]; }

if [ -f "$home/libchdb.so" ]; then
	is_right "$home/libchdb.so" || fail "$home/libchdb.so has another sha256 than $version has: remove $home and run this again"
	echo "$home/libchdb.so"
	exit 0
fi

[ "$(uname -sm)" = "Linux x86_64" ] || fail "there is none for $(uname -sm): give weir a ClickHouse server (clickhouse.dsn) instead"
command -v npm >/dev/null || fail "no npm command: install it (Debian: apt-get install npm)"

mkdir -p "$cache"
new="$(mktemp -d "$cache/.libchdb-XXXXXX")"
trap 'rm -rf "$new"' EXIT
echo "setup: fetching $package (178 MB, 566 MB on disk)" >&2
npm install --prefix "$new/npm" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
	--loglevel=error "$package" >&2 || fail "npm could not fetch $package: see above, then run this again"
mkdir "$new/home"
mv "$new/npm/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so" "$new/home/libchdb.so"
is_right "$new/home/libchdb.so" || fail "what npm fetched has not the sha256 of $version ($sha256): not used"
# Where another run was faster its folder stands already, just as good.
mv -T "$new/home" "$home" 2>/dev/null || [ -f "$home/libchdb.so" ] || fail "cannot write $home"
echo "$home/libchdb.so"

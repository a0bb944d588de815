#!/bin/bash
# Fetches what the tests drive a browser with, once, into a cache outside the tree, and
# prints its folder: axe-core, which checks a page for people who see or use it
# otherwise, and playwright-core, which drives Debian's Chromium. The folder appears only
# when the sha256 of all of their files was right, by one rename.
set -euo pipefail

axe=4.14.1
playwright=1.65.1
sha256=cfc214dfff7d480d485d307a497a3ede6fca95425c30b5307056e17e8ac3615f

fail() {
	echo "setup: browser: $*" >&2
	exit 1
}

cache="${XDG_CACHE_HOME:-$HOME/.cache}/weir"
home="$cache/browser-axe$axe-playwright$playwright"
sum() { (cd "$1" && find axe-core playwright-core -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1); }

if [ -d "$home/node_modules" ]; then
	[ "$(sum "$home/node_modules")" = "$sha256" ] || fail "$home has another sha256 than it should: remove it and run this again"
	echo "$home"
	exit 0
fi

command -v npm >/dev/null || fail "no npm command: install it (Debian: apt-get install npm)"
mkdir -p "$cache"
new="$(mktemp -d "$cache/.browser-XXXXXX")"
trap 'rm -rf "$new"' EXIT
echo "setup: fetching axe-core $axe and playwright-core $playwright (18 MB on disk)" >&2
npm install --prefix "$new" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
	--loglevel=error "axe-core@$axe" "playwright-core@$playwright" >&2 || fail "npm could not fetch them: see above, then run this again"
found="$(sum "$new/node_modules")"
[ "$found" = "$sha256" ] || fail "what npm fetched has not the sha256 that it should ($found, not $sha256): not used"
mkdir "$new/home"
mv "$new/node_modules" "$new/home/node_modules"
# Where another run was faster its folder stands already, just as good.
mv -T "$new/home" "$home" 2>/dev/null || [ -d "$home/node_modules" ] || fail "cannot write $home"
echo "$home"

#!/bin/bash
# The front end: front.sh types | test | bundle FOLDER. What npm fetches lies in the cache
# outside the tree, under the lock file's hash; the same sources give the same module.js.
set -euo pipefail
[ $# -lt 2 ] || out=$(realpath -m "$2")
cd "$(dirname "$0")"
hash=$(cat package-lock.json package.json | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir/front-$hash
if [ ! -d "$cache/node_modules" ]; then
	command -v npm >/dev/null || { echo "npm is not there: apt-get install npm" >&2; exit 1; }
	mkdir -p "$cache"
	fresh=$(mktemp -d "$cache/new-XXXXXX")
	trap 'rm -rf "$fresh"' EXIT
	cp package.json package-lock.json .npmrc "$fresh/"
	# Nothing that a package brings is run at installing.
	(cd "$fresh" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	mv -T "$fresh/node_modules" "$cache/node_modules" 2>/dev/null || [ -d "$cache/node_modules" ]
fi
work=$(mktemp -d)
trap 'rm -rf "$work" "${fresh:-$work}"' EXIT
cp -r src tsconfig.json package.json "$work/"
ln -s "$cache/node_modules" "$work/node_modules"
cd "$work"
# bundle writes module.js into a folder.
bundle() {
	# Grafana loads modules by AMD, and hands over the packages that it has itself.
	node_modules/.bin/esbuild src/module.ts --bundle --format=cjs --target=es2022 --minify --legal-comments=none --jsx=transform \
		--external:react --external:@grafana/data --external:@grafana/runtime --external:@grafana/ui --outfile=module.cjs --log-level=warning
	mkdir -p "$1"
	{
		printf 'define(["react","@grafana/data","@grafana/runtime","@grafana/ui"],function(r,d,t,u){const module={exports:{}},exports=module.exports,require=n=>({"react":r,"@grafana/data":d,"@grafana/runtime":t,"@grafana/ui":u})[n];\n'
		cat module.cjs
		printf 'return module.exports});\n'
	} >"$1/module.js"
}

case ${1:-} in
types) node_modules/.bin/tsc --noEmit ;;
test)
	node_modules/.bin/esbuild src/query.test.ts --bundle --platform=node --format=esm --outfile=test.mjs --log-level=warning
	bundle "$work"
	# The same sources elsewhere give the same bundle.
	again=$(mktemp -d)
	trap 'rm -rf "$work" "$again" "${fresh:-$work}"' EXIT
	cp -r src tsconfig.json package.json "$again/" && ln -s "$cache/node_modules" "$again/node_modules"
	(cd "$again" && bundle "$again/out")
	cmp "$work/module.js" "$again/out/module.js"
	echo "the bundle is the same twice: $(sha256sum <"$work/module.js" | cut -c1-16)"
	WEIR_MODULE=$work/module.js node --test test.mjs src/load.test.mjs src/editors.test.mjs
	;;
bundle) bundle "$out" ;;
*) echo "usage: front.sh types | test | bundle FOLDER" >&2; exit 2 ;;
esac

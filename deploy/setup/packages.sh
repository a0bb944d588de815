#!/bin/bash
# Installs the Debian packages that weir's tests and its demo use, where their
# commands are missing. Does nothing, and needs no root, where all are there.
set -euo pipefail

missing=()
need() { # need COMMAND PACKAGE
	PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || missing+=("$2")
}
need nginx nginx
need npm npm
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)

if ! command -v go >/dev/null; then
	echo "setup: no go command: install Go 1.26 or newer from https://go.dev/dl/ and put it in PATH" >&2
	exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "setup: missing: ${missing[*]}; this is not a Debian machine: install them with its own package manager" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "setup: missing: ${missing[*]}; run: sudo apt-get install ${missing[*]}" >&2
	exit 1
fi

# The packages start their services once installed; the tests start their own
# nginx on their own ports, so that nothing of the machine's is touched. Debian's
# way to say so is a policy-rc.d that answers 101 (invoke-rc.d, section "policy").
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log="$(mktemp)"
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "setup: apt-get could not install ${missing[*]}: see above; the whole log is $log" >&2
	exit 1
fi
rm -f "$log"

#!/bin/bash
# Installs the Debian packages that weir's tests and its demo use, where their
# commands are missing. Does nothing, and needs no root, where all are there.
set -euo pipefail

missing=()
need() { # need COMMAND PACKAGE
	PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || missing+=("$2")
}
need_file() { # need_file PATH PACKAGE
	[ -e "$1" ] || missing+=("$2")
}
need nginx nginx
need npm npm
# What delivers into weir in the tests of deploy/shippers.
need rsyslogd rsyslog
need caddy caddy
need_file /lib/systemd/systemd-journal-remote systemd-journal-remote
need journalctl systemd
# What looks at the status page, and where it is pushed to, in the tests of
# sinks/statuspage.
need chromium chromium
need_file /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core
need xmllint libxml2-utils
need git git
need ssh openssh-client
need sshd openssh-server
# What enforces decisions in the tests of sinks/lapi, sinks/nftables and sinks/haproxy,
# each in a network namespace of its own.
need ip iproute2
need nft nftables
need crowdsec-firewall-bouncer crowdsec-firewall-bouncer
need haproxy haproxy

# syslog-ng cannot be installed beside rsyslog. Its libraries can, and itself is unpacked
# into the cache: once, by one rename.
syslogng="${XDG_CACHE_HOME:-$HOME/.cache}/weir/syslog-ng"
if [ ! -x "$syslogng/usr/sbin/syslog-ng" ]; then
	libraries="$(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p)"
	library() { # library NAME PACKAGE
		[[ "$libraries" == *"$1 "* ]] || missing+=("$2")
	}
	library libivykis.so.0 libivykis0
	library libnet.so.1 libnet1
	library libpcre.so.3 libpcre3
	library libjson-c.so.5 libjson-c5
	library libwrap.so.0 libwrap0
	library libglib-2.0.so.0 libglib2.0-0
fi
unpack_syslogng() {
	[ ! -x "$syslogng/usr/sbin/syslog-ng" ] || return 0
	local dir
	mkdir -p "$(dirname "$syslogng")"
	dir="$(mktemp -d "$syslogng.XXXXXX")"
	fetch_syslogng() { apt-get download syslog-ng-core || { apt-get update && apt-get download syslog-ng-core; }; }
	if (cd "$dir" && fetch_syslogng >log 2>&1 && dpkg -x syslog-ng-core_*.deb . && rm -f log syslog-ng-core_*.deb); then
		mv -T "$dir" "$syslogng" 2>/dev/null || rm -rf "$dir" # another was first
	else
		tail -n 5 "$dir/log" >&2
		rm -rf "$dir"
		echo "setup: could not fetch syslog-ng: see above" >&2
		return 1
	fi
}
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)

if ! command -v go >/dev/null; then
	echo "setup: no go command: install Go 1.26 or newer from https://go.dev/dl/ and put it in PATH" >&2
	exit 1
fi
if [ ${#missing[@]} -eq 0 ]; then
	if [ ! -x "$syslogng/usr/sbin/syslog-ng" ] && command -v apt-get >/dev/null; then
		unpack_syslogng
	fi
	exit 0
fi

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
unpack_syslogng

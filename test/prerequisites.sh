#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Sees to the Debian packages that the demo and the tests need besides Go, git
# and make: the tools of other people that ours is tested against. As root it
# installs what is missing and says so; else it prints what to install, and
# fails. With --packaging, what the tests of the unit and of the .deb need too.
set -eu

# command:package
wanted="git:git ssh-keygen:openssh-client sshd:openssh-server gpg:gnupg ip:iproute2 unshare:util-linux nginx:nginx-light"
case "${1:-}" in
'') ;;
--packaging) wanted="$wanted dpkg-deb:dpkg dash:dash lintian:lintian systemd-analyze:systemd" ;;
*)
	echo "usage: $0 [--packaging]" >&2
	exit 2
	;;
esac

# ip and others live in sbin, which is not on every user's path.
PATH="$PATH:/usr/sbin:/sbin"

missing=""
for pair in $wanted; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "missing Debian packages; install them with:" >&2
	echo "  sudo apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

echo "installing missing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # one word per package
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
	cat "$log" >&2
	echo "cannot install$missing: see above, install them by hand and try again" >&2
	exit 1
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tap.sh TFTP-ROOT BOOT-FILE SOCKET COMMAND...: runs COMMAND where dnsmasq serves DHCP (with next
# server and boot file) and TFTP on a TAP device, whose frames come out of the Unix socket SOCKET.
# In a user and network namespace of its own: without root, and nothing leaves.
set -euo pipefail

if [ "${IN_NAMESPACE:-}" = '' ]; then
  IN_NAMESPACE=1 exec unshare --user --map-root-user --net --pid --fork --kill-child \
    bash "${BASH_SOURCE[0]}" "$@"
fi

root=$1 file=$2 socket=$3
shift 3
bridge=$(dirname "${BASH_SOURCE[0]}")/../../tools/links/tap-bridge.mjs
log=$(mktemp)
trap 'rm -f "$log" "$log.leases"' EXIT

# Wait until a command succeeds, while the last background job lives
until_ready() {
  for _ in $(seq 600); do
    "$@" && return
    kill -0 $! || break
    sleep 0.1
  done
  cat "$log" >&2
  exit 125
}

ip link set lo up
socat "TUN:10.8.0.1/24,tun-type=tap,tun-name=tap0,iff-no-pi,up" \
  "EXEC:node $bridge $socket,nofork" >"$log" 2>&1 &
until_ready test -S "$socket"

# --no-ping: dnsmasq would first look for three seconds whether the address is taken
dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=tap0 --bind-interfaces --user= \
  --group= --pid-file= --dhcp-leasefile="$log.leases" --dhcp-authoritative --no-ping --log-dhcp \
  --dhcp-range=10.8.0.10,10.8.0.50,1h --dhcp-boot="$file" \
  --enable-tftp --tftp-root="$root" >"$log" 2>&1 &
until_ready grep -q 'TFTP root is' "$log"

"$@"

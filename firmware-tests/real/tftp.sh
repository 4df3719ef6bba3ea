#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tftp.sh KIND TFTP-ROOT BOOT-FILE SOCKET COMMAND...: runs COMMAND where dnsmasq gives addresses on a
# TAP device, whose frames come out of the Unix socket SOCKET, and another server the file. In a user
# and network namespace of its own: without root, and nothing leaves. KIND:
#
#   atftpd     atftpd, with all its options
#   plain      ... with none of those of RFC 2348, 2349 and 7440
#   hpa        tftpd-hpa (in.tftpd), with all its options
#   hpa-plain  ... which refuses those of RFC 2348 and 2349
#   priority   dnsmasq, whose frames all get a priority tag on their way
#   trunk      dnsmasq, whose frames come in VLAN 100 as well
set -euo pipefail

if [ "${IN_NAMESPACE:-}" = '' ]; then
  IN_NAMESPACE=1 exec unshare --user --map-root-user --net --pid --fork --kill-child \
    bash "${BASH_SOURCE[0]}" "$@"
fi

kind=$1 root=$2 file=$3 socket=$4
shift 4
bridge=$(dirname "${BASH_SOURCE[0]}")/../../tools/links/tap-bridge.mjs
state=$(mktemp --directory)
trap 'rm -rf "$state"' EXIT

# Wait until a command succeeds, while the last background job lives
until_ready() {
  for _ in $(seq 600); do
    "$@" && return
    kill -0 $! || break
    sleep 0.1
  done
  cat "$state"/*.log >&2
  exit 125
}

tag=
case $kind in
  priority) tag=$((3 << 13)) ;;
  trunk) tag=100 ;;
esac
ip link set lo up
socat "TUN:10.8.0.1/24,tun-type=tap,tun-name=tap0,iff-no-pi,up" \
  "EXEC:node $bridge $socket $tag,nofork" >"$state/socat.log" 2>&1 &
until_ready test -S "$socket"

own=()
case $kind in
  atftpd | plain)
    options=()
    [ "$kind" = atftpd ] || options=(--no-blksize --no-tsize --no-windowsize --no-timeout)
    atftpd --daemon --no-fork --user root --group root --logfile - --verbose=6 --no-multicast \
      --bind-address 10.8.0.1 "${options[@]}" "$root" >"$state/atftpd.log" 2>&1 &
    until_ready grep -q ':0045 ' /proc/net/udp
    ;;
  hpa | hpa-plain)
    # It gives up its groups, which a user namespace does not allow: strace lets it believe so
    options=()
    [ "$kind" = hpa ] || options=(--refuse blksize --refuse tsize --refuse timeout)
    strace --follow-forks --quiet=all --output=/dev/null --trace=setgroups \
      --inject=setgroups:retval=0 in.tftpd --listen --foreground --user root \
      --address 10.8.0.1:69 --secure "${options[@]}" "$root" >"$state/hpa.log" 2>&1 &
    until_ready grep -q ':0045 ' /proc/net/udp
    ;;
  *) own=(--enable-tftp --tftp-root="$root") ;;
esac
dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=tap0 --bind-interfaces --user= \
  --group= --pid-file= --dhcp-leasefile="$state/leases" --dhcp-authoritative --no-ping --log-dhcp \
  --dhcp-range=10.8.0.10,10.8.0.50,1h --dhcp-boot="$file,,10.8.0.1" "${own[@]}" \
  >"$state/dnsmasq.log" 2>&1 &
until_ready grep -q 'DHCP, ' "$state/dnsmasq.log"

"$@" && status=0 || status=$?
[ "$status" -eq 0 ] || cat "$state"/*.log >&2
exit "$status"

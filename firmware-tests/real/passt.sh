#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# passt.sh TFTP-ROOT COMMAND...: runs COMMAND where dnsmasq serves TFTP-ROOT over TFTP on the
# loopback. In a user and network namespace of its own, so that port 69 is free and nothing leaves.
set -euo pipefail

if [ "${IN_NAMESPACE:-}" = '' ]; then
  IN_NAMESPACE=1 exec unshare --user --map-root-user --net --pid --fork --kill-child \
    bash "${BASH_SOURCE[0]}" "$@"
fi

root=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

ip link set lo up
# One port for all, and no --bind-interfaces: passt of 2025 drops answers from another port, and
# dnsmasq 2.90 sends nothing if it is given both options
dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=lo --user= --group= --pid-file= \
  --enable-tftp --tftp-root="$root" --tftp-single-port --tftp-no-fail >"$log" 2>&1 &
for _ in $(seq 600); do
  grep -q 'TFTP root is' "$log" && break
  kill -0 $! || { cat "$log" >&2; exit 125; }
  sleep 0.1
done

"$@"

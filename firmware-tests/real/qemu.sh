#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# qemu.sh TFTP-ROOT BOOT-FILE SOCKET COMMAND...: runs COMMAND where the user network of QEMU (DHCP
# with the boot file in the header only, and TFTP) comes out of the Unix socket SOCKET. QEMU runs no
# machine: it is a hub with two ports.
set -euo pipefail

if [ "${IN_NAMESPACE:-}" = '' ]; then
  IN_NAMESPACE=1 exec unshare --user --map-root-user --net --pid --fork --kill-child \
    bash "${BASH_SOURCE[0]}" "$@"
fi

root=$1 file=$2 socket=$3
shift 3

ip link set lo up
qemu-system-x86_64 -M none -nodefaults -display none -monitor none -serial none \
  -netdev "user,id=u,tftp=$root,bootfile=$file" -netdev hubport,id=h0,hubid=0,netdev=u \
  -netdev "stream,id=s,server=on,addr.type=unix,addr.path=$socket" \
  -netdev hubport,id=h1,hubid=0,netdev=s &
for _ in $(seq 600); do
  test -S "$socket" && break
  kill -0 $! || exit 125
  sleep 0.1
done

"$@"

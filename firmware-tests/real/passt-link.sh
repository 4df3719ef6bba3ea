#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# passt-link.sh SOCKET CAPTURE "PASST-OPTIONS" COMMAND...: runs COMMAND where passt listens on the Unix
# socket SOCKET and writes all frames to CAPTURE. To be run inside passt.sh, which
# kills passt with its namespace.
set -euo pipefail

socket=$1 capture=$2
read -ra options <<<"$3"
shift 3

passt "${options[@]}" --socket "$socket" --pcap "$capture" 2>"$capture.log" &
for _ in $(seq 600); do
  test -S "$socket" && break
  kill -0 $! || { cat "$capture.log" >&2; exit 125; }
  sleep 0.05
done

"$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# servers.sh KIND TFTP-ROOT BOOT-FILE SOCKET COMMAND...: runs COMMAND where two machines serve a TAP
# device, whose frames come out of the Unix socket SOCKET. In namespaces of their own: without root,
# and nothing leaves. KIND:
#
#   proxy      dnsmasq gives addresses, another one is ProxyDHCP and tells the file in its offer
#   menu       ... tells it as a boot server, from a menu
#   named      ISC dhcpd tells the TFTP server by name (option 66), dnsmasq is the DNS server
#   classless  ISC dhcpd tells the way to the TFTP server by classless static routes alone
#   failover   two ISC dhcpd are a failover pair, and balance their addresses; dnsmasq has the file
#   kea        Kea gives the address, a route by option 121, and names server and file
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

# The first machine is here, at a bridge
ip link set lo up
ip link add lan type bridge
ip addr add 10.8.0.1/24 dev lan
ip link set lan up
socat "TUN:10.255.0.1/32,tun-type=tap,tun-name=tap0,iff-no-pi,up" \
  "EXEC:node $bridge $socket,nofork" >"$state/socat.log" 2>&1 &
until_ready test -S "$socket"
ip addr flush dev tap0
ip link set tap0 master lan

# The second machine: runs a command in a network namespace of its own, at the same bridge
second() {
  ip link add here type veth peer name there
  ip link set here master lan up
  unshare --net bash -c '
    touch "$0"
    until ip addr add 10.8.0.2/24 dev there; do sleep 0.1; done 2>/dev/null
    ip link set lo up
    ip addr add 10.9.9.9/32 dev lo
    ip link set there up
    exec "$@"' "$state/second.up" "$@" >"$state/second.log" 2>&1 &
  until_ready test -e "$state/second.up"
  ip link set there netns $!
}

# Without --no-ping dnsmasq would first look for three seconds whether the address is taken
plain=(dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=
  --group= --pid-file=)
masq() {
  local name=$1
  shift
  "${plain[@]}" --dhcp-leasefile="$state/$name.leases" --log-dhcp --no-ping "$@" \
    >"$state/$name.log" 2>&1
}
tftp=(--port=0 --enable-tftp --tftp-root="$root")
range=--dhcp-range=10.8.0.10,10.8.0.50,1h

# ISC's dhcpd, with a configuration from standard input
isc() {
  cat >"$state/$1.conf"
  : >"$state/$1.leases"
  dhcpd=(dhcpd -4 -f -cf "$state/$1.conf" -lf "$state/$1.leases" --no-pid)
}

case $kind in
  proxy | menu)
    # Without a prompt or a service dnsmasq answers no PXE client
    boot=(--pxe-prompt=hypxe,0 --dhcp-boot="$file")
    [ "$kind" = proxy ] || boot=(--pxe-prompt=hypxe,0 --pxe-service=x86PC,hypxe,"$file")
    masq first --port=0 --interface=lan --dhcp-authoritative "$range" &
    until_ready grep -q 'DHCP, ' "$state/first.log"
    second "${plain[@]}" --interface=there --log-dhcp "${tftp[@]}" \
      --dhcp-range=10.8.0.0,proxy,255.255.255.0 "${boot[@]}"
    until_ready grep -q 'TFTP root is' "$state/second.log"
    ;;
  named)
    # dnsmasq would say that it is the next server itself
    masq dns --interface=lan --address=/tftp.hypxe.example/10.8.0.2 &
    until_ready grep -q 'started' "$state/dns.log"
    second "${plain[@]}" --interface=there "${tftp[@]}"
    until_ready grep -q 'TFTP root is' "$state/second.log"
    isc first <<CONF
authoritative;
ping-check false;
subnet 10.8.0.0 netmask 255.255.255.0 {
  range 10.8.0.10 10.8.0.50;
  option domain-name "hypxe.example";
  option domain-name-servers 10.8.0.1;
  option tftp-server-name "tftp";
  option bootfile-name "$file";
}
CONF
    "${dhcpd[@]}" lan >"$state/first.log" 2>&1 &
    until_ready grep -q fallback-net "$state/first.log"
    ;;
  classless)
    # The TFTP server has an address that only a route leads to
    second "${plain[@]}" "${tftp[@]}"
    until_ready grep -q 'TFTP root is' "$state/second.log"
    isc first <<CONF
option classless-static-routes code 121 = array of unsigned integer 8;
authoritative;
ping-check false;
subnet 10.8.0.0 netmask 255.255.255.0 {
  range 10.8.0.10 10.8.0.50;
  option routers 10.8.0.77;
  option classless-static-routes 24, 10,9,9, 10,8,0,2, 0, 10,8,0,1;
  next-server 10.9.9.9;
  filename "$file";
}
CONF
    "${dhcpd[@]}" lan >"$state/first.log" 2>&1 &
    until_ready grep -q fallback-net "$state/first.log"
    ;;
  failover)
    # One half of the pair: name, address, the other's address, role, what only the primary says
    half() {
      isc "$1" <<CONF
authoritative;
ping-check false;
failover peer "pair" {
  $4; address $2; port 647; peer address $3; peer port 647;
  max-response-delay 30; max-unacked-updates 10; load balance max seconds 3; $5
}
subnet 10.8.0.0 netmask 255.255.255.0 {
  next-server 10.8.0.1;
  filename "$file";
  pool { failover peer "pair"; range 10.8.0.10 10.8.0.50; }
}
CONF
    }
    masq files --interface=lan "${tftp[@]}" &
    until_ready grep -q 'TFTP root is' "$state/files.log"
    half other 10.8.0.2 10.8.0.1 secondary ''
    second "${dhcpd[@]}" -d there
    half first 10.8.0.1 10.8.0.2 primary 'mclt 60; split 128;'
    "${dhcpd[@]}" -d lan >"$state/first.log" 2>&1 &
    # Until then neither answers: who was never in touch with the other is in `startup`
    until_ready grep -q 'Both servers normal' "$state/first.log"
    ;;
  kea)
    second "${plain[@]}" "${tftp[@]}"
    until_ready grep -q 'TFTP root is' "$state/second.log"
    cat >"$state/kea.conf" <<CONF
{ "Dhcp4": {
  "interfaces-config": { "interfaces": [ "lan" ] },
  "lease-database": { "type": "memfile", "persist": false },
  "authoritative": true,
  "option-def": [
    { "name": "routes", "code": 121, "space": "dhcp4", "type": "binary" } ],
  "subnet4": [ {
    "subnet": "10.8.0.0/24",
    "pools": [ { "pool": "10.8.0.10 - 10.8.0.50" } ],
    "next-server": "10.9.9.9",
    "boot-file-name": "$file",
    "option-data": [
      { "name": "routers", "data": "10.8.0.77" },
      { "name": "routes", "csv-format": false, "data": "180A09090A080002000A080001" } ]
  } ],
  "loggers": [ { "name": "kea-dhcp4", "severity": "INFO",
    "output_options": [ { "output": "stdout" } ] } ]
} }
CONF
    KEA_LOCKFILE_DIR=none KEA_PIDFILE_DIR=$state kea-dhcp4 -c "$state/kea.conf" \
      >"$state/kea.log" 2>&1 &
    until_ready grep -q DHCP4_STARTED "$state/kea.log"
    ;;
esac

"$@" && status=0 || status=$?
[ "$status" -eq 0 ] || cat "$state"/*.log >&2
exit "$status"

// SPDX-License-Identifier: GPL-2.0-or-later

/** What `hypxe boot --help` prints. */

import { PROCESSORS_MAX } from '../../simulator/hypervisor/partition.ts';
import { DEFAULT_PROFILE } from '../../simulator/profiles/profiles.ts';
import { DEVICES_HELP } from './device-options.ts';
import { OWNER_HELP } from './owner-options.ts';
import { TFTP_HABITS_HELP } from './network-options.ts';
import { GUEST_MEMORY_HELP } from '../guest-options.ts';
import { EXIT_HELP } from '../usage.ts';
import { RESULT_HELP } from '../test-results.ts';

/** Most guest RAM, in MiB. */
export const MEMORY_MAX_MIB = 2048;

export const BOOT_HELP = `Usage: hypxe boot [FILE] [options]

Boot the firmware on a simulated Hyper-V host: it fetches FILE over DHCP and TFTP, hands over,
and the audit looks for anything that the host could still touch. An OS then takes over, and the
firmware boots once more. Without FILE an image is made (see --size).

Host
  --host NAME|FILE    host generation (default ${DEFAULT_PROFILE}), or FILE.json that describes one;
                      hypxe hosts lists them
  --knob NAME=VALUE   change one habit of the host; hypxe hosts NAME lists them; may be repeated
  --nics N            network adapters, 1 to 8 (default 1)
  --nic-arrives MS    the first one is only offered so long after the others
  --nic-leaves MS     it is taken away so long after it was offered
  --nic-returns MS    and comes back so long after that
  --processors N      virtual processors, 1 to ${PROCESSORS_MAX} (default 1)
  --arch NAME         x64 (default) or arm64
  --hvc FORM          how an arm64 guest makes hypercalls: smccc (default) or immediate
  --page-size KIB     pages of the guest: 4 (default), on arm64 also 16 or 64
  --memory MIB        guest RAM in MiB, 4 to ${MEMORY_MAX_MIB} (default 64)
  --seed N            decides everything that is random (default 1)

Before
  --previous-owner LIST
                      who had the machine before let go of nothing (all), or left some of
                      ${OWNER_HELP}

Network
  --serve DIR         serve the files below DIR; FILE is then the path of the boot file in it
  --size BYTES        size of the image that is made without FILE: 512K, 64M (default 1M)
  --loss P            probability that a frame is lost, 0 to 1
  --duplicate P       ... that it arrives twice
  --reorder P         ... that a later one overtakes it
  --corrupt P         ... that a bit of it is flipped
  --delay MS          time that each frame takes on the wire
  --mtu BYTES[:WAY]   MTU of the path to the servers, 68 to 1500: longer packets of theirs come in
                      fragments, in-order (default) or reversed, or are dropped
  --vlan N            the ports are a trunk: another network, VLAN N, with a DHCP server of its own,
                      reaches the NICs, too. 0: this network's frames have a priority tag
  --tftp-habit LIST   the TFTP server does what servers in the field do (see below)
  --proxy-dhcp WHERE  a ProxyDHCP server tells the boot file: in its offer, on port 4011, or by a
                      boot server, found by the offer's menu or by broadcast
  --dhcp-servers N    N DHCP servers (1 to 5), of which one knows the boot file
  --dhcp-relay        the DHCP server is behind a relay
  --dhcp-failover     a failover pair: one server offers, its partner acknowledges
  --dhcp-nak S        requests are refused for S seconds (0 to 60)
  --classless-routes  the router is told by option 121, and a wrong one by option 3
  --bootp             BOOTP instead of DHCP
  --dns NAME          the TFTP server is told by this name, and a DNS server knows it

Real network, instead of the one that is made here
  --link passt        start passt: the guest sees this machine's loopback as its gateway
  --link stream:PATH  connect to the Unix socket of QEMU's -netdev stream, or of a bridge of a TAP
  --boot-file NAME    boot NAME, whatever the network names (with passt by default FILE's name)
  --next-server IPv4  from there (with passt by default its gateway). With FILE, what lies in RAM
                      is compared with it

Utility services
  --push FILE[=NAME]  the host pushes FILE over VMBus, as NAME; may be repeated. Without a FILE to
                      boot over the network the first pushed file is booted; autoexec.ipxe is a
                      script, cmdline a command line, all others lie beside the image
  --services LIST     serve some of file-copy, heartbeat, shutdown, time-sync (default none; with
                      --push all)

Further devices
  --devices LIST      offered besides, with commas between (default none):
                      ${DEVICES_HELP}

Firmware
  --firmware FILE     bring your own: an ES module that exports boot(machine, options), or a
                      guest in WebAssembly (hypxe guest --help)
  --preset NAME       sizes and habits of hypxe's own firmware: default or ipxe
  --watchdog S        seconds without a sign of life after which the firmware hangs (default 10)
${GUEST_MEMORY_HELP}

Afterwards
  --then STEP[,STEP]  go on: chainload (firmware once more), san (it stays, the loader takes over in
                      the middle of a transfer), kexec and crash as often as you like, in any
                      order; crash@N: at exit N of the start of the kernel
  --os NAME           what comes then: linux-6.1 (default), linux-6.12, linux-6.19
  --no-os             do not let an OS take over
  --no-second-boot    do not boot the firmware a second time
  --strict            warnings of the audit are findings as well

Output
  --report FILE       write a page: shared memory over time, messages, audit, and what differs
                      from a clean boot. One file for any browser, which loads nothing
  --trace FILE        write every event as a line of JSON
  --format NAME       ... or, with perfetto, as a trace that ui.perfetto.dev opens
  --pcap FILE         write a capture (pcapng) of the NICs and of VMBus, for Wireshark
  --record FILE       write what the firmware did as a session, for hypxe replay: of the boot that
                      failed or left something behind, or else of the first one
  --json              print one JSON document instead of the log
${RESULT_HELP}
  -v, --verbose       log what is only of interest when something goes wrong
  -h, --help          this text

Habits of TFTP servers
${TFTP_HABITS_HELP}

${EXIT_HELP}

Examples
  hypxe boot vmlinuz --host server2012r2 --loss 0.05 --seed 7
  hypxe boot --firmware my-firmware.js --json
  hypxe hosts server2022 --json > host.json; hypxe boot --host host.json --knob echoVersion=false
  hypxe boot --processors 4 --then kexec,crash,kexec --os linux-6.12
  hypxe boot --previous-owner all --knob lateAnswer=offers --nic-arrives 500
  hypxe boot --link passt --boot-file pxelinux.0
  hypxe boot --push vmlinuz --push initrd.img=boot/initrd.img
  hypxe boot pxe/loader.efi --serve tftp --nics 2 --trace boot.jsonl --report boot.html
`;

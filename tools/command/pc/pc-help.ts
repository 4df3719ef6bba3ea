// SPDX-License-Identifier: GPL-2.0-or-later

/** What `hypxe pc --help` prints. */

import { PC_LIMITS, PC_WALL_SECONDS } from '../../flow/pc-limits.ts';
import { DEFAULT_PROFILE } from '../../simulator/profiles/profiles.ts';
import { TFTP_HABITS_HELP } from '../boot/network-options.ts';
import { EXIT_HELP } from '../usage.ts';
import { RESULT_HELP } from '../test-results.ts';

/** RAM of a PC, in MiB. */
export const PC_MEMORY_MIN_MIB = 32;
export const PC_MEMORY_MAX_MIB = 1024;
export const PC_MEMORY_MIB = 64;

const WALL = PC_WALL_SECONDS;
/** In millions. */
const SILENT = PC_LIMITS.silentInstructions / 1e6;

export const PC_HELP = `Usage: hypxe pc FILE [options]

Boot FILE, an unmodified program for a PC with a BIOS, on a simulated Hyper-V host: iPXE's .lkrn or
a Linux kernel for i386 (bzImage), an ISO image, or a disk image. Its console is shown, and each
handoff is audited: of a boot loader to a kernel, of a kernel to the next one, also after a crash.
Without --image the network offers a boot program of hypxe's own: it says that it runs, and that is
the end. The PC has one 32-bit processor, emulated by v86 (npm install v86), and Debian's SeaBIOS.

Program
  --initrd FILE       with a Linux kernel: its initrd
  --append TEXT       with a Linux kernel or a .lkrn: its command line
  --memory MIB        RAM, ${PC_MEMORY_MIN_MIB} to ${PC_MEMORY_MAX_MIB} (default ${PC_MEMORY_MIB})
  --bios DIR          where bios.bin and vgabios-stdvga.bin of SeaBIOS lie (default: where
                      distributions have them)

Console
  --keys TEXT         typed once the program waits: \\n is the return key, \\x02 is Ctrl-B
  --expect FILE       a script, a step a line: expect TEXT, type TEXT, send TEXT (to the serial
                      line), within SECONDS, boot (until the boot program runs), end. Its end is
                      the end of the run. A text is looked for in what has come, on the screen
                      and on the serial line, since the last one that was found: the echo of what
                      is typed counts, too
  --time S            most time of the PC, in seconds (default 3600)
  --wall S            most time here, in seconds of the wall's clock (default ${WALL}). An end by it
                      is the only one that is not deterministic, and says so. Before that a run
                      ends that shows nothing new, and asks nothing of the hypervisor, for 90 s of
                      the PC or ${SILENT} million instructions
  --resets N          go on after so many resets (default 0)

Host
  --host NAME|FILE    host generation (default ${DEFAULT_PROFILE}), or FILE.json that describes one
  --knob NAME=VALUE   change one habit of the host; hypxe hosts NAME lists them; may be repeated
  --nics N            network adapters, 1 to 8 (default 1)
  --devices LIST      further devices, as of hypxe boot
  --seed N            decides everything that is random (default 1)

Network
  --image FILE        what the network offers as boot file, instead of hypxe's own program
  --serve DIR         serve the files below DIR, too; --image is then the path of one of them
  --aoe FILE          the image of a disk, by ATA over Ethernet: sanboot aoe:e0.0 in iPXE
  --loss P, --duplicate P, --reorder P, --corrupt P, --delay MS, --mtu, --vlan, --tftp-habit,
  --proxy-dhcp, --dhcp-servers, --dhcp-relay, --dhcp-failover, --dhcp-nak, --classless-routes,
  --bootp, --dns      as of hypxe boot
  --link passt|stream:PATH
                      a real network instead, on the wall's clock: not deterministic

Output
  --strict            warnings of the audit are findings as well
  --report FILE       write a page, as of hypxe boot; after losses it has a run without them beside
  --trace FILE        write every event as a line of JSON
  --format NAME       ... or, with perfetto, as a trace that ui.perfetto.dev opens
  --pcap FILE         write a capture (pcapng) of the NICs and of VMBus, for Wireshark
  --json              print one JSON document instead of the console
${RESULT_HELP}
  -v, --verbose       of a mistake of hypxe itself, say where
  -h, --help          this text

Habits of TFTP servers
${TFTP_HABITS_HELP}

${EXIT_HELP}

Examples
  hypxe pc /boot/ipxe.lkrn
  hypxe pc /boot/ipxe.lkrn --host server2016 --nics 2 --loss 0.1 --seed 7
  hypxe pc /boot/ipxe.lkrn --report boot.html
  hypxe pc /boot/ipxe.lkrn --keys '\\x02' --trace shell.jsonl
`;

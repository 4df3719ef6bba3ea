// SPDX-License-Identifier: GPL-2.0-or-later

/** The flows of `npm run test:pc`: program, host, and what is done. Each is a row of the table. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { PROFILES } from '../../tools/simulator/profiles/profiles.ts';
import { hasLinux, initramfs, kernelFile } from './pc-linux.ts';

export const IPXE = '/boot/ipxe.lkrn';
const PXELINUX = '/usr/lib/PXELINUX/pxelinux.0';
const LDLINUX = '/usr/lib/syslinux/modules/bios/ldlinux.c32';
const SEABIOS = '/usr/share/seabios/bios.bin';

/** A flow. */
export interface PcFlowCase {
  readonly program: string;
  readonly host: string;
  readonly flow: string;
  /** What it needs, by Debian package; what is missing is told. */
  readonly needs: readonly string[];
  /** The arguments of `hypxe pc`; `directory` is empty, and its own. */
  readonly args: (directory: string) => readonly string[];
  /** Lines that the console must show. */
  readonly shows?: readonly string[];
  /** Recorded acts of the guest that these must be, of `firmware-tests/golden/real-binaries`. */
  readonly golden?: string;
}

/** Whether a package is there, by a file of it. */
const FILES: Readonly<Record<string, string>> = {
  ipxe: IPXE,
  pxelinux: PXELINUX,
  'syslinux-common': LDLINUX,
  seabios: SEABIOS,
  passt: '/usr/bin/passt',
};

/** Why a flow cannot run here, if it cannot. */
export function missing({ needs }: PcFlowCase): string | undefined {
  for (const name of needs) {
    const there = name === 'linux-image-686' ? hasLinux() : fs.existsSync(FILES[name]!);
    if (!there) return `${name} is not there (.ci/install-pc)`;
  }
  return undefined;
}

const DEBIAN_IPXE = 'iPXE 1.0.0+git-20190125';
const DEBIAN_LINUX = 'Linux 6.1 i386';

function ipxe(host: string, flow: string, ...args: readonly string[]): PcFlowCase {
  const golden = args.length === 0 && host === 'server2022';
  return {
    ...{ program: DEBIAN_IPXE, host, flow, needs: ['ipxe', 'seabios'] },
    args: () => [IPXE, '--host', host, ...args],
    ...(golden ? { golden: 'ipxe-debian-2019-boot-handoff' } : {}),
  };
}

const LINUX_NEEDS = ['seabios', 'linux-image-686'];
const LINUX_SHOWS = ['hypxe: lease', 'hypxe: ping', 'hypxe: tftp'];
const LINUX_LINE = 'console=ttyS0 quiet panic=5';
const LINUX_MEMORY = ['--memory', '256'];

export const FLOWS: readonly PcFlowCase[] = [
  ...PROFILES.map(({ name }) => ipxe(name, 'boots the boot program')),
  ipxe('server2019', 'the same with two NICs', '--nics', '2'),
  ipxe('server2016', 'the same with 10 % loss', '--loss', '0.1', '--seed', '3'),
  {
    ...{ program: 'iPXE, then pxelinux 6.04', host: 'server2022' },
    flow: 'chained over UNDI, boots the boot program',
    needs: ['ipxe', 'seabios', 'pxelinux', 'syslinux-common'],
    args: (directory) => {
      fs.copyFileSync(PXELINUX, path.join(directory, 'pxelinux.0'));
      fs.copyFileSync(LDLINUX, path.join(directory, 'ldlinux.c32'));
      fs.mkdirSync(path.join(directory, 'pxelinux.cfg'));
      const config = 'DEFAULT next\nPROMPT 0\nLABEL next\n  KERNEL hypxe.lkrn\n';
      fs.writeFileSync(path.join(directory, 'pxelinux.cfg/default'), config);
      return [IPXE, '--serve', directory, '--image', 'pxelinux.0'];
    },
  },
  {
    ...{ program: `iPXE, then ${DEBIAN_LINUX}`, host: 'server2022' },
    flow: 'DHCP, TFTP, ping, kexec into the boot program',
    needs: ['ipxe', ...LINUX_NEEDS],
    args: (directory) => {
      fs.copyFileSync(kernelFile(), path.join(directory, 'vmlinuz'));
      fs.writeFileSync(path.join(directory, 'initrd'), initramfs());
      const line = `${LINUX_LINE} hypxe=kexec initrd=initrd`;
      const script = `#!ipxe\nkernel vmlinuz ${line}\ninitrd initrd\nboot\n`;
      fs.writeFileSync(path.join(directory, 'linux.ipxe'), script);
      return [IPXE, '--serve', directory, '--image', 'linux.ipxe', ...LINUX_MEMORY];
    },
    shows: [...LINUX_SHOWS, 'hypxe: clock hyperv_clocksource_tsc_page'],
  },
  {
    ...{ program: DEBIAN_LINUX, host: 'server2022' },
    flow: 'panic: its crash kernel is the boot program',
    needs: LINUX_NEEDS,
    args: (directory) => {
      const initrd = path.join(directory, 'initrd');
      fs.writeFileSync(initrd, initramfs());
      const line = `${LINUX_LINE} crashkernel=16M hypxe=crash`;
      return [kernelFile(), '--initrd', initrd, '--append', line, ...LINUX_MEMORY];
    },
    shows: LINUX_SHOWS,
    golden: 'linux-6.1.176-686-boot-crash',
  },
];

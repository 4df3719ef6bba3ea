// SPDX-License-Identifier: GPL-2.0-or-later

/** The flows of `npm run test:pc`: program, host, and what is done. Each is a row of the table. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { bootProgram } from '../../tools/guests/pc/boot-program.ts';
import { PROFILES } from '../../tools/simulator/profiles/profiles.ts';
import { syslinuxDisk, writingDisk } from './pc-disks.ts';
import { initramfs, isUnpacked, kernelFile, LINUX, unpackedFile } from './pc-linux.ts';

export const IPXE = '/boot/ipxe.lkrn';
/** This machine's own: not every kernel runs the i386 one of the guests. */
export const BUSYBOX = '/bin/busybox';
const IPXE_ISO = '/usr/lib/ipxe/ipxe.iso';
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
  /** What Debian may have no more (`.ci/install-pc`): without it the flow is left out. */
  readonly needsOld?: string;
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
  'busybox-static': BUSYBOX,
  syslinux: '/usr/bin/syslinux',
  mtools: '/usr/bin/mformat',
};

/** Why a flow cannot run here, if it cannot. */
export function missing({ needs }: PcFlowCase): string | undefined {
  for (const name of needs) {
    const there = name === LINUX ? isUnpacked(name) : fs.existsSync(FILES[name]!);
    if (!there) return `${name} is not there (.ci/install-pc)`;
  }
  return undefined;
}

/** Why nobody can be asked to run a flow, if it is so. */
export function outOfReach({ needsOld }: PcFlowCase): string | undefined {
  if (needsOld === undefined || isUnpacked(needsOld)) return undefined;
  return `.ci/install-pc has found no ${needsOld}`;
}

const DEBIAN_IPXE = 'iPXE 1.0.0+git-20190125';
/** That of Debian 13. */
const NEWER_IPXE = 'ipxe-1.21';
const DEBIAN_LINUX = 'Linux 6.1 i386';

function ipxe(host: string, flow: string, ...args: readonly string[]): PcFlowCase {
  const golden = args.length === 0 && host === 'server2022';
  return {
    ...{ program: DEBIAN_IPXE, host, flow, needs: ['ipxe', 'seabios'] },
    args: () => [IPXE, '--host', host, ...args],
    ...(golden ? { golden: 'ipxe-debian-2019-boot-handoff' } : {}),
  };
}

const LINUX_NEEDS = ['seabios', LINUX];
const LINUX_SHOWS = ['hypxe: lease', 'hypxe: ping', 'hypxe: tftp'];
const LINUX_LINE = 'console=ttyS0 quiet panic=5';
const LINUX_MEMORY = ['--memory', '256'];
const TSC_PAGE = 'hypxe: clock hyperv_clocksource_tsc_page';

const DISK_NEEDS = ['seabios', 'syslinux', 'mtools'];
const SYSLINUX_CONFIG = 'DEFAULT next\nPROMPT 0\nLABEL next\n  KERNEL ';
const SAN_SCRIPT = '#!ipxe\nsanboot --no-describe aoe:e0.0\n';

/** Write a file; returns its path. */
function put(directory: string, name: string, contents: Uint8Array | string): string {
  const file = path.join(directory, name);
  fs.writeFileSync(file, contents);
  return file;
}

/** A kernel alone; `does` is what its initramfs does in the end. */
function linuxAlone(
  [program, kernel]: readonly [string, string],
  [host, flow, does, ...more]: LinuxFlow,
): PcFlowCase {
  return {
    ...{ program, host, flow, needs: LINUX_NEEDS, shows: LINUX_SHOWS },
    ...(kernel !== LINUX && { needsOld: kernel }),
    args: (directory) => {
      const initrd = put(directory, 'initrd', initramfs(kernel));
      fs.copyFileSync(kernelFile(kernel), path.join(directory, 'vmlinuz'));
      const line = [LINUX_LINE, ...more, `hypxe=${does}`].join(' ');
      const boots = [kernelFile(kernel), '--initrd', initrd, '--append', line];
      return [...boots, '--host', host, '--serve', directory, ...LINUX_MEMORY];
    },
  };
}

/** Host, what is done in words, what the initramfs does, and more for the command line. */
type LinuxFlow = readonly [host: string, flow: string, does: string, ...more: string[]];

/** The same of the kernel of this Debian. */
const linux = (...flow: LinuxFlow): PcFlowCase => linuxAlone([DEBIAN_LINUX, LINUX], flow);

/** Kernels of other times, and one whose interrupts are threads. */
const OLD_LINUX = [
  ['Linux 5.10 i386', 'linux-image-5.10-686'],
  ['Linux 6.5 i386', 'linux-image-6.5-686'],
  ['Linux 6.1 i386, PREEMPT_RT', 'linux-image-rt-686-pae'],
] as const;

/** iPXE boots from a disk of the network. */
function sanBoot(
  program: string,
  host: string,
  flow: string,
  more: Pick<PcFlowCase, 'needs' | 'shows'>,
  disk: (directory: string) => string,
): PcFlowCase {
  return {
    ...{ program, host, flow, ...more },
    args: (directory) => {
      const script = put(directory, 'san.ipxe', SAN_SCRIPT);
      const san = ['--image', script, '--aoe', disk(directory)];
      return [IPXE, '--host', host, ...san, ...LINUX_MEMORY];
    },
  };
}

/** As the kexec was recorded: bit 9 of CPUID 0x40000003 EAX is off. */
const WITHOUT_TSC_PAGE = { extends: 'server2022', features: '0x2c7f' };

/** The script that the manual has as an example. @throws Error */
function scriptOfManual(): string {
  const manual = fs.readFileSync(
    new URL('../../tools/guests/pc/README.md', import.meta.url),
    'utf8',
  );
  const script = /```text\n([^`]*\n *boot\n) *```/.exec(manual)?.[1];
  if (script === undefined) throw new Error('the manual has no script');
  return script;
}

const ALONE = 'DHCP, TFTP, ping, kexec into the boot program';

export const FLOWS: readonly PcFlowCase[] = [
  ...PROFILES.map(({ name }) => ipxe(name, 'boots the boot program')),
  {
    ...{ program: 'iPXE 1.21.1+git20250501', host: 'server2022', flow: 'boots the boot program' },
    ...{ needs: ['seabios'], needsOld: NEWER_IPXE },
    args: () => [unpackedFile(NEWER_IPXE, 'usr/lib/ipxe/ipxe.lkrn'), '--host', 'server2022'],
  },
  ipxe('server2019', 'the same with two NICs', '--nics', '2'),
  ipxe('server2016', 'the same with 10 % loss', '--loss', '0.1', '--seed', '3'),
  {
    ...{
      program: `${DEBIAN_IPXE}, its ISO image`,
      host: 'server2022',
      flow: 'the same from a CD-ROM',
    },
    needs: ['ipxe', 'seabios'],
    args: () => [IPXE_ISO],
  },
  {
    ...{ program: 'SYSLINUX 6.04', host: 'server2022', flow: 'boots the boot program from a disk' },
    needs: DISK_NEEDS,
    args: (directory) => {
      const files = { 'syslinux.cfg': `${SYSLINUX_CONFIG}hypxe.lkrn`, 'hypxe.lkrn': bootProgram() };
      return [syslinuxDisk(directory, 16, files)];
    },
  },
  {
    ...{ program: 'iPXE, then pxelinux 6.04', host: 'server2022' },
    flow: 'chained over UNDI, boots the boot program',
    needs: ['ipxe', 'seabios', 'pxelinux', 'syslinux-common'],
    args: (directory) => {
      fs.copyFileSync(PXELINUX, path.join(directory, 'pxelinux.0'));
      fs.copyFileSync(LDLINUX, path.join(directory, 'ldlinux.c32'));
      fs.mkdirSync(path.join(directory, 'pxelinux.cfg'));
      put(directory, 'pxelinux.cfg/default', `${SYSLINUX_CONFIG}hypxe.lkrn`);
      return [IPXE, '--serve', directory, '--image', 'pxelinux.0'];
    },
  },
  sanBoot(
    'iPXE, then a loader of 60 bytes',
    'server2016',
    'SAN boot over AoE: it writes, so iPXE quiesces, takes the host back, quiesces',
    { needs: ['ipxe', 'seabios'] },
    (directory) => put(directory, 'disk.img', writingDisk()),
  ),
  sanBoot(
    `iPXE, then SYSLINUX, then ${DEBIAN_LINUX}`,
    'server2022',
    `SAN boot over AoE; Linux takes over: ${ALONE}`,
    { needs: ['ipxe', ...DISK_NEEDS, ...LINUX_NEEDS], shows: [...LINUX_SHOWS, TSC_PAGE] },
    (directory) =>
      syslinuxDisk(directory, 32, {
        ...{ vmlinuz: fs.readFileSync(kernelFile()), initrd: initramfs() },
        'syslinux.cfg': [
          `${SYSLINUX_CONFIG}vmlinuz`,
          ...['  INITRD initrd', `  APPEND ${LINUX_LINE} hypxe=kexec`],
        ].join('\n'),
      }),
  ),
  {
    ...{ program: `iPXE, then ${DEBIAN_LINUX}`, host: 'server2022' },
    flow: ALONE,
    needs: ['ipxe', ...LINUX_NEEDS],
    args: (directory) => {
      fs.copyFileSync(kernelFile(), path.join(directory, 'vmlinuz'));
      put(directory, 'initrd', initramfs());
      const line = `${LINUX_LINE} hypxe=kexec initrd=initrd`;
      put(directory, 'linux.ipxe', `#!ipxe\nkernel vmlinuz ${line}\ninitrd initrd\nboot\n`);
      return [IPXE, '--serve', directory, '--image', 'linux.ipxe', ...LINUX_MEMORY];
    },
    shows: [...LINUX_SHOWS, TSC_PAGE],
  },
  {
    ...{ program: `iPXE, then ${DEBIAN_LINUX}`, host: 'server2019' },
    flow: `by a script: from iPXE's shell to that of the kernel, and kexec into the boot program`,
    needs: ['ipxe', ...LINUX_NEEDS],
    args: (directory) => {
      fs.copyFileSync(kernelFile(), path.join(directory, 'vmlinuz'));
      put(directory, 'initrd', initramfs());
      const script = put(directory, 'linux-kexec.txt', scriptOfManual());
      return [IPXE, '--host', 'server2019', '--serve', directory, '--expect', script].concat(
        LINUX_MEMORY,
      );
    },
    shows: LINUX_SHOWS,
  },
  ...['server2012', 'server2012r2', 'server2016', 'copper', 'qemu', 'openvmm'].map((host) =>
    linux(host, ALONE, 'kexec'),
  ),
  {
    ...linux('server2022', `without a TSC page: ${ALONE}`, 'kexec'),
    args: (directory) => {
      const host = put(directory, 'host.json', JSON.stringify(WITHOUT_TSC_PAGE));
      const { args } = linux(host, ALONE, 'kexec');
      return args(directory);
    },
    golden: 'linux-6.1.176-686-boot-kexec',
  },
  {
    ...linux('server2019', `drives a synthetic keyboard, too: ${ALONE}`, 'kexec'),
    args: (directory) => [
      ...linux('server2019', ALONE, 'kexec', 'hypxe.keyboard').args(directory),
      ...['--devices', 'keyboard'],
    ],
    shows: [...LINUX_SHOWS, 'hypxe: keyboard'],
  },
  linux('server2022', `kexec into the same kernel, and there again: ${ALONE}`, 'again'),
  ...['server2022', 'server2012r2'].map((host) => ({
    ...linux(host, 'rmmod hv_netvsc hv_utils hv_vmbus, kexec into the boot program', 'rmmod'),
    shows: [...LINUX_SHOWS, 'hypxe: removed hv_netvsc', 'hypxe: removed hv_utils'],
  })),
  {
    ...linux(
      'server2022',
      'panic: its crash kernel is the boot program',
      'crash',
      'crashkernel=16M',
    ),
    golden: 'linux-6.1.176-686-boot-crash',
  },
  ...OLD_LINUX.map((kernel) => linuxAlone(kernel, ['server2022', ALONE, 'kexec'])),
];

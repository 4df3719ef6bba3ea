// SPDX-License-Identifier: GPL-2.0-or-later

/** What a PC is made of, from the disk: v86, SeaBIOS, and the program. */

import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { PcParts } from '../../guests/pc/pc-emulator.ts';
import { isKernel, type PcKernel } from '../../guests/pc/pc-kernel.ts';
import type { V86Class } from '../../guests/pc/v86.ts';
import { readBytes } from '../files.ts';
import { EnvironmentError, UsageError } from '../usage.ts';
import type { PcRequest } from './pc-options.ts';

/** The version of v86 with which this works: where things lie in its memory is not documented. */
export const V86_VERSION = '0.5.462';

/** Where distributions have SeaBIOS: Debian and Ubuntu, Fedora and SUSE, Arch, QEMU's own. */
const BIOS_PLACES = [
  '/usr/share/seabios',
  '/usr/share/seavgabios',
  '/usr/share/qemu',
  '/usr/local/share/qemu',
  '/usr/share/kvm',
];
const BIOS = 'bios.bin';
const VGA_BIOS = 'vgabios-stdvga.bin';
/** BIOSes are small: what is larger overlaps video memory. */
const BIOS_MAX = 1 << 18;

/** Largest program, initrd or image. */
const PROGRAM_MAX = 1 << 30;

/** v86 as its package has it. @throws EnvironmentError EmulatorMissing, EmulatorVersion */
export async function loadV86(): Promise<Pick<PcParts, 'V86' | 'wasm'>> {
  const advice = `Install it: npm install v86@${V86_VERSION}.`;
  let main: string;
  try {
    main = createRequire(import.meta.url).resolve('v86');
  } catch {
    const text = 'the PC emulator v86 is not installed';
    throw new EnvironmentError('EmulatorMissing', text, advice);
  }
  const manifest = path.join(path.dirname(main), '../package.json');
  const { version } = JSON.parse(fs.readFileSync(manifest, 'utf8')) as { version: string };
  if (version.split('+')[0] !== V86_VERSION) {
    const text = `v86 is of version ${version}, and this works with ${V86_VERSION}`;
    throw new EnvironmentError('EmulatorVersion', text, advice);
  }
  const { V86 } = (await import(pathToFileURL(main).href)) as { V86: V86Class };
  return { V86, wasm: readBytes(path.join(path.dirname(main), 'v86.wasm'), PROGRAM_MAX) };
}

/** SeaBIOS. @throws EnvironmentError BiosMissing */
export function loadBios(directory: string | undefined): Pick<PcParts, 'bios' | 'vgaBios'> {
  const places = directory === undefined ? BIOS_PLACES : [directory];
  const find = (name: string): Uint8Array => {
    const file = places.map((place) => path.join(place, name)).find((each) => fs.existsSync(each));
    if (file !== undefined) return readBytes(file, BIOS_MAX);
    const text = `there is no ${name} of SeaBIOS in ${places.join(', ')}`;
    const advice = 'Install it (Debian: apt-get install seabios), or name its place: --bios DIR.';
    throw new EnvironmentError('BiosMissing', text, advice);
  };
  return { bios: find(BIOS), vgaBios: find(VGA_BIOS) };
}

/** What boots. */
export interface PcProgram {
  readonly kernel?: PcKernel;
  readonly cdrom?: Uint8Array;
  readonly disk?: Uint8Array;
}

/** The program of a request. @throws UsageError BadProgram, NotWithKernel */
export function loadProgram({ program, initrd, commandLine }: PcRequest): PcProgram {
  const image = readBytes(program, PROGRAM_MAX);
  if (isKernel(image)) {
    const disk = initrd === undefined ? undefined : readBytes(initrd, PROGRAM_MAX);
    return { kernel: { image, initrd: disk, commandLine } };
  }
  if (initrd !== undefined || commandLine !== undefined) {
    const what = initrd === undefined ? '--append' : '--initrd';
    const text = `${what} is for a Linux kernel, and ${program} is none`;
    throw new UsageError('NotWithKernel', text, 'Leave it out.');
  }
  if (textAt(image, 0x8001, 5) === 'CD001') return { cdrom: image };
  if (image[510] === 0x55 && image[511] === 0xaa && image.length % 512 === 0)
    return { disk: image };
  const other = otherForm(image);
  const text = `${program} ${other ?? 'is no program that a BIOS starts'}`;
  const advice = 'Give a .lkrn or bzImage file, an ISO image or a disk image.';
  throw new UsageError('BadProgram', text, advice);
}

/** Programs that are known, and that no BIOS starts. */
function otherForm(image: Uint8Array): string | undefined {
  if (textAt(image, 0, 4) === '\x7fELF') {
    return `is an ELF file for ${image[4] === 2 ? '64' : '32'} bits: a BIOS starts none`;
  }
  if (textAt(image, 0, 2) !== 'MZ') return undefined;
  return 'is a program for UEFI (PE): a BIOS starts none';
}

function textAt(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

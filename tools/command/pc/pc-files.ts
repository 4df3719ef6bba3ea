// SPDX-License-Identifier: GPL-2.0-or-later

/** What a PC is made of, from the disk: v86, SeaBIOS, and the program. */

import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { PcParts } from '../../guests/pc/pc-emulator.ts';
import { BadPcProgram, type PcKernel } from '../../guests/pc/pc-kernel.ts';
import { kindOfProgram, type PcProgramKind } from '../../guests/pc/pc-program.ts';
import type { V86Class } from '../../guests/pc/v86.ts';
import { readBytes, readText } from '../files.ts';
import { EnvironmentError, UsageError, quoted } from '../usage.ts';
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

/** Largest manifest of a package. */
const MANIFEST_MAX = 1 << 20;

/** Largest program, initrd or image. */
const PROGRAM_MAX = 1 << 30;

/** Files of v86. */
export interface V86Files {
  /** Its script, as a module; and as a script that needs no modules. */
  readonly module: string;
  readonly script: string;
  readonly wasm: string;
  readonly licence: string;
}

/** Where v86 is installed. @throws EnvironmentError EmulatorMissing, EmulatorVersion */
export function findV86(): V86Files {
  const advice = `Install it: npm install v86@${V86_VERSION}.`;
  let main: string;
  try {
    main = createRequire(import.meta.url).resolve('v86');
  } catch {
    const text = 'the PC emulator v86 is not installed';
    throw new EnvironmentError('EmulatorMissing', text, advice);
  }
  const folder = path.dirname(main);
  const manifest = path.join(folder, '../package.json');
  const version = readVersion(readText(manifest, MANIFEST_MAX));
  if (version?.split('+')[0] !== V86_VERSION) {
    const which = version === undefined ? 'no version' : `version ${quoted(version)}`;
    const text = `v86 is of ${which}, and this works with ${V86_VERSION}`;
    throw new EnvironmentError('EmulatorVersion', text, advice);
  }
  return {
    ...{ module: main, script: path.join(folder, 'libv86.js') },
    ...{ wasm: path.join(folder, 'v86.wasm'), licence: path.join(folder, '../LICENSE') },
  };
}

/** The version that a package's manifest says; undefined if it says none. */
export function readVersion(manifest: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(manifest);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'version')) return;
  const { version } = value as { readonly version: unknown };
  return typeof version === 'string' ? version : undefined;
}

/** v86 as its package has it. @throws EnvironmentError EmulatorMissing, EmulatorVersion */
export async function loadV86(): Promise<Pick<PcParts, 'V86' | 'wasm'>> {
  const { module, wasm } = findV86();
  const { V86 } = (await import(pathToFileURL(module).href)) as { V86: V86Class };
  return { V86, wasm: readBytes(wasm, PROGRAM_MAX) };
}

/** SeaBIOS. @throws EnvironmentError BiosMissing; UsageError BadBios */
export function loadBios(directory: string | undefined): Pick<PcParts, 'bios' | 'vgaBios'> {
  const places = directory === undefined ? BIOS_PLACES : [directory];
  const find = (name: string): Uint8Array => {
    const file = places.map((place) => path.join(place, name)).find((each) => fs.existsSync(each));
    if (file !== undefined) return readBytes(file, BIOS_MAX);
    const text = `there is no ${name} of SeaBIOS in ${places.join(', ')}`;
    const advice = 'Install it (Debian: apt-get install seabios), or name its place: --bios DIR.';
    throw new EnvironmentError('BiosMissing', text, advice);
  };
  const bios = find(BIOS);
  const vgaBios = find(VGA_BIOS);
  if (isBios(bios) && vgaBios.length > 0) return { bios, vgaBios };
  const text = `${isBios(bios) ? VGA_BIOS : BIOS} in ${places.join(', ')} is no BIOS of a PC`;
  throw new UsageError('BadBios', text, 'Take SeaBIOS (Debian: apt-get install seabios).');
}

/** A PC begins 16 bytes below the end of its BIOS, which is of whole 64 KiB, with a far jump. */
function isBios(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.length % 0x10000 === 0 && bytes.at(-16) === 0xea;
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
  const kind = kindOf(image, program);
  if (kind === 'kernel') {
    const disk = initrd === undefined ? undefined : readBytes(initrd, PROGRAM_MAX);
    return { kernel: { image, initrd: disk, commandLine } };
  }
  if (initrd !== undefined || commandLine !== undefined) {
    const what = initrd === undefined ? '--append' : '--initrd';
    const text = `${what} is for a Linux kernel, and ${program} is none`;
    throw new UsageError('NotWithKernel', text, 'Leave it out.');
  }
  return kind === 'cdrom' ? { cdrom: image } : { disk: image };
}

/** @throws UsageError BadProgram */
function kindOf(image: Uint8Array, program: string): PcProgramKind {
  try {
    return kindOfProgram(image, program);
  } catch (error) {
    if (!(error instanceof BadPcProgram)) throw error;
    throw new UsageError(error.name, error.message, error.advice);
  }
}

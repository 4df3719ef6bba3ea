// SPDX-License-Identifier: GPL-2.0-or-later

/** What a file is to a PC: a kernel, a CD-ROM, a disk, or nothing that a BIOS starts. */

import { BadPcProgram, isKernel } from './pc-kernel.ts';

/** How a program boots. A .lkrn file is a kernel. */
export type PcProgramKind = 'kernel' | 'cdrom' | 'disk';

/**
 * What a file is.
 *
 * @param name of the file, for the message
 * @throws BadPcProgram BadProgram
 */
export function kindOfProgram(image: Uint8Array, name: string): PcProgramKind {
  if (isKernel(image)) return 'kernel';
  if (textAt(image, 0x8001, 5) === 'CD001') return 'cdrom';
  if (image[510] === 0x55 && image[511] === 0xaa && image.length % 512 === 0) return 'disk';
  const text = `${name} ${otherForm(image) ?? 'is no program that a BIOS starts'}`;
  const advice = 'Give a .lkrn or bzImage file, an ISO image or a disk image.';
  throw new BadPcProgram('BadProgram', text, advice);
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

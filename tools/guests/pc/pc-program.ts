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
  if (textAt(image, ISO_DESCRIPTORS + 1, 5) === 'CD001') {
    if (hasBootRecord(image)) return 'cdrom';
    const text = `${name} is an ISO image without a boot record (El Torito): nothing boots from it`;
    throw new BadPcProgram('BadProgram', text, 'Give an image that is made to boot a PC.');
  }
  if (image[510] === 0x55 && image[511] === 0xaa && image.length % 512 === 0) return 'disk';
  const text = `${name} ${otherForm(image) ?? 'is no program that a BIOS starts'}`;
  const advice = 'Give a .lkrn or bzImage file, an ISO image or a disk image.';
  throw new BadPcProgram('BadProgram', text, advice);
}

/** Where an ISO image has its descriptors (ECMA-119, 8.1), how large and how many they are. */
const ISO_DESCRIPTORS = 0x8000;
const ISO_SECTOR = 0x800;
const ISO_DESCRIPTORS_MAX = 64;
/** A boot record, and the end of all. */
const ISO_BOOT = 0;
const ISO_LAST = 255;

/** Whether one of the descriptors is the boot record of El Torito (version 1.0, "Figure 7"). */
function hasBootRecord(image: Uint8Array): boolean {
  for (let i = 0; i < ISO_DESCRIPTORS_MAX; i++) {
    const at = ISO_DESCRIPTORS + i * ISO_SECTOR;
    const type = image[at];
    if (type === undefined || type === ISO_LAST) return false;
    if (type === ISO_BOOT && textAt(image, at + 7, 23) === 'EL TORITO SPECIFICATION') return true;
  }
  return false;
}

/** How files begin that are packed. */
const PACKED = [
  { begins: '\x1f\x8b', by: 'gzip' },
  { begins: '\xfd7zXZ\0', by: 'xz' },
  { begins: 'BZh', by: 'bzip2' },
  { begins: '(\xb5/\xfd', by: 'zstd' },
  { begins: 'PK\x03\x04', by: 'zip' },
] as const;

/** Programs that are known, and that no BIOS starts. */
function otherForm(image: Uint8Array): string | undefined {
  if (image.length === 0) return 'is empty';
  const packed = PACKED.find(({ begins }) => textAt(image, 0, begins.length) === begins);
  if (packed !== undefined) return `is packed with ${packed.by}: unpack it first`;
  if (textAt(image, 0, 4) === 'QFI\xfb') return 'is a qcow2 image: convert it to a raw one';
  if (image[0] === 0x55 && image[1] === 0xaa) {
    return 'is an option ROM: a BIOS starts it with its card, which the PC has not';
  }
  if (textAt(image, 0, 4) === '\x7fELF') {
    return `is an ELF file for ${image[4] === 2 ? '64' : '32'} bits: a BIOS starts none`;
  }
  if (textAt(image, 0, 2) !== 'MZ') return undefined;
  return 'is a program for UEFI (PE): a BIOS starts none';
}

function textAt(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

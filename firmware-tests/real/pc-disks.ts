// SPDX-License-Identifier: GPL-2.0-or-later

/** Disks for PCs: one with a loader of a few bytes, and those that SYSLINUX boots from. */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { bootProgram } from '../../tools/guests/pc/boot-program.ts';

const SECTOR = 512;
/** 16 MiB: of a smaller disk iPXE believes that it is a floppy, and knows no geometry of it. */
const SECTORS = 32_768;

/** On the disk: hypxe's boot program without its first sector, and a sector that is written. */
const PROGRAM = { lba: 1, sectors: 2, at: 0x8000 } as const;
const SCRATCH = { lba: 16, sectors: 1, at: 0x9000 } as const;

/** In the boot sector: disk address packets (EDD-3), and what is printed if the disk fails. */
const PROGRAM_PACKET = 0x7d00;
const SCRATCH_PACKET = 0x7d10;

const word = (value: number): number[] => [value & 0xff, value >> 8];

/**
 * A disk whose loader writes: it loads the boot program, writes a sector, reads it, writes it once
 * more, and starts the program. iPXE's disks quiesce the machine after each write, and take it back
 * before each command.
 */
export function writingDisk(): Uint8Array {
  const disk = new Uint8Array(SECTORS * SECTOR);
  /** mov si, packet; mov ah, command; mov al, 0; int 13h; jc to the end of the sector's code. */
  const int13 = (command: number, packet: number): number[] => [
    ...[0xbe, ...word(packet), 0xb8, 0x00, command, 0xcd, 0x13],
    ...[0x72, 0x00],
  ];
  const READ = 0x42;
  const WRITE = 0x43;
  const code = [
    ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0], // cli; xor ax, ax; mov ds, es, ss
    ...[0xbc, ...word(0x7c00), 0xfb], // mov sp, 7c00h; sti
    ...int13(READ, PROGRAM_PACKET),
    ...int13(WRITE, SCRATCH_PACKET),
    ...int13(READ, SCRATCH_PACKET),
    ...int13(WRITE, SCRATCH_PACKET),
    ...[0xea, ...word(0), ...word(PROGRAM.at >> 4)], // jmp 800h:0
  ];
  // Each jc leads to cli; hlt
  const end = code.length;
  for (let at = 0; at < end - 1; at++) {
    if (code[at] === 0x72 && code[at + 1] === 0) code[at + 1] = end - (at + 2);
  }
  disk.set([...code, 0xfa, 0xf4]);
  const packet = ({ lba, sectors, at }: typeof PROGRAM | typeof SCRATCH): number[] => [
    ...[16, 0, ...word(sectors), ...word(at), ...word(0)],
    ...[...word(lba), 0, 0, 0, 0, 0, 0],
  ];
  disk.set(packet(PROGRAM), PROGRAM_PACKET - 0x7c00);
  disk.set(packet(SCRATCH), SCRATCH_PACKET - 0x7c00);
  disk.set([0x55, 0xaa], SECTOR - 2);
  const program = bootProgram().subarray(SECTOR, SECTOR * (1 + PROGRAM.sectors));
  disk.set(program, PROGRAM.lba * SECTOR);
  return disk;
}

/** A disk of so many MiB with a FAT file system, SYSLINUX, and these files. Returns its path. */
export function syslinuxDisk(
  directory: string,
  mebibytes: number,
  files: Readonly<Record<string, Uint8Array | string>>,
): string {
  const disk = path.join(directory, 'disk.img');
  fs.writeFileSync(disk, '');
  fs.truncateSync(disk, mebibytes << 20);
  const tool = (name: string, ...args: string[]): void => {
    execFileSync(name, args, { stdio: 'pipe', env: { ...process.env, MTOOLS_SKIP_CHECK: '1' } });
  };
  tool(
    'mformat',
    '-i',
    disk,
    '-T',
    String((mebibytes << 20) / SECTOR),
    '-h',
    '16',
    '-s',
    '32',
    '::',
  );
  tool('syslinux', '--install', disk);
  for (const [name, contents] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.writeFileSync(file, contents);
    tool('mcopy', '-i', disk, file, `::${name}`);
  }
  return disk;
}

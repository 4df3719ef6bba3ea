// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The boot program that the network offers if there is no other: what a boot loader hands over to.
 * It has the form of a Linux kernel (Linux, Documentation/arch/x86/boot.rst), which every loader
 * knows. Its real-mode code prints a line, asks the BIOS for the memory map that the next owner of
 * the machine gets, says through {@link BOOT_PORT} that it runs, and halts. Its 32-bit code, which
 * is where kexec begins, says the same through {@link BOOT_PORT_32}, with its boot parameters.
 */

import type { MemoryRange } from '../../../src/machine.ts';
import { BOOT_PORT, BOOT_PORT_32 } from './pc-emulator.ts';

/** Name under which the network serves it. */
export const BOOT_PROGRAM_NAME = 'hypxe.lkrn';

/** The line that it prints. */
export const BOOT_PROGRAM_LINE = 'hypxe: the boot program runs';

/** Sectors of real-mode code behind the first. */
const SETUP_SECTORS = 2;
const SECTOR = 512;

/** Where the code begins, and what follows: the line, the report, the map. */
const CODE_AT = 0x268;
const LINE_AT = 0x2d0;
const REPORT_AT = 0x2f0;
const MAP_AT = 0x2f8;

/** The report: this word, then the offset of the map's end from the start of the setup code. */
const REPORT_MAGIC = 0x45585048;

/** An entry of the map (ACPI, "INT 15H, E820H"): base, length, type. */
const ENTRY_SIZE = 20;
const ENTRIES_MAX = 32;
const TYPE_RAM = 1;

/** Offsets in the code: its segment begins with the setup code. */
const inCode = (at: number): number => at - SECTOR;

/** The program, as it is served. */
export function bootProgram(): Uint8Array {
  const file = new Uint8Array((1 + SETUP_SECTORS) * SECTOR + 16);
  const view = new DataView(file.buffer);
  // Boot protocol 2.10, loaded high, runs anywhere
  file[0x1f1] = SETUP_SECTORS;
  view.setUint32(0x1f4, 1, true);
  view.setUint16(0x1fe, 0xaa55, true);
  file.set([0xeb, CODE_AT - 0x202], 0x200);
  view.setUint32(0x202, 0x53726448, true); // HdrS
  view.setUint16(0x206, 0x020a, true);
  file[0x211] = 1;
  view.setUint32(0x214, 0x100000, true);
  view.setUint32(0x22c, 0x37ffffff, true); // highest initrd
  view.setUint32(0x230, 0x1000, true); // alignment
  file.set([1, 12], 0x234); // relocatable, least alignment
  view.setUint32(0x238, 255, true); // command line
  view.setUint32(0x258, 0x100000, true); // preferred address
  view.setUint32(0x260, 0x1000, true); // memory that it needs
  file.set(CODE, CODE_AT);
  file.set(new TextEncoder().encode(`${BOOT_PROGRAM_LINE}\r\n\0`), LINE_AT);
  view.setUint32(REPORT_AT, REPORT_MAGIC, true);
  file.set(CODE_32, (1 + SETUP_SECTORS) * SECTOR);
  return file;
}

const low = (value: number): number => value & 0xff;
const high = (value: number): number => (value >> 8) & 0xff;
const word = (value: number): number[] => [low(value), high(value)];
const dword = (value: number): number[] => [...word(value), ...word(value >>> 16)];
const SMAP = 0x534d4150;

const CODE = [
  ...[0x0e, 0x1f, 0x0e, 0x07, 0xfc, 0xfb], // push cs; pop ds; push cs; pop es; cld; sti
  ...[0xbe, ...word(inCode(LINE_AT))], // mov si, line
  ...[0xac, 0x84, 0xc0, 0x74, 0x09], // next: lodsb; test al, al; jz printed
  ...[0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10], // mov ah, 0eh; mov bx, 7; int 10h
  ...[0xeb, 0xf2], // jmp next
  ...[0x66, 0x31, 0xdb], // printed: xor ebx, ebx
  ...[0xbf, ...word(inCode(MAP_AT))], // mov di, map
  ...[0x66, 0xb8, ...dword(0xe820)], // more: mov eax, e820h
  ...[0x66, 0xba, ...dword(SMAP)], // mov edx, SMAP
  ...[0x66, 0xb9, ...dword(ENTRY_SIZE)], // mov ecx, 20
  ...[0xcd, 0x15, 0x72, 0x16], // int 15h; jc told
  ...[0x66, 0x3d, ...dword(SMAP), 0x75, 0x0e], // cmp eax, SMAP; jne told
  ...[0x83, 0xc7, ENTRY_SIZE], // add di, 20
  ...[0x66, 0x85, 0xdb, 0x74, 0x06], // test ebx, ebx; jz told
  ...[0x81, 0xff, ...word(inCode(MAP_AT + ENTRIES_MAX * ENTRY_SIZE))], // cmp di, end
  ...[0x72, 0xd4], // jb more
  ...[0x89, 0x3e, ...word(inCode(REPORT_AT + 4))], // told: mov [report + 4], di
  ...[0x66, 0x31, 0xc0, 0x8c, 0xc8], // xor eax, eax; mov ax, cs
  ...[0x66, 0xc1, 0xe0, 0x04], // shl eax, 4
  ...[0x66, 0x05, ...dword(inCode(REPORT_AT))], // add eax, report
  ...[0xba, ...word(BOOT_PORT)], // mov dx, port
  ...[0x66, 0xef, 0xfa, 0xf4, 0xeb, 0xfd], // out dx, eax; cli; hlt; jmp to hlt
];

const CODE_32 = [
  ...[0xba, ...dword(BOOT_PORT_32)], // mov edx, port
  ...[0x89, 0xf0, 0xef], // mov eax, esi; out dx, eax
  ...[0xfa, 0xf4, 0xeb, 0xfd], // cli; hlt; jmp to hlt
];

/** What the boot program says, read from guest RAM. Undefined if there is no such report. */
export function readBootReport(
  ram: Uint8Array,
  address: number,
): readonly MemoryRange[] | undefined {
  if (address + MAP_AT - REPORT_AT > ram.length) return undefined;
  const view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
  if (view.getUint32(address, true) !== REPORT_MAGIC) return undefined;
  const map = address + MAP_AT - REPORT_AT;
  const length = view.getUint16(address + 4, true) - inCode(MAP_AT);
  const count = Math.floor(length / ENTRY_SIZE);
  if (count < 1 || count > ENTRIES_MAX || map + count * ENTRY_SIZE > ram.length) return undefined;
  return readMap(view, map, count);
}

/** Linux boot parameters ("zero page"): entries of the memory map, the map, the kernel's magic. */
const Zero = { COUNT: 0x1e8, MAP: 0x2d0, MAGIC: 0x202, SIZE: 0x1000 } as const;
const ZERO_MAGIC = 0x53726448;
const ZERO_ENTRIES_MAX = 128;

/** The memory map of Linux boot parameters. Undefined if there are none at this address. */
export function readBootParameters(
  ram: DataView,
  address: number,
): readonly MemoryRange[] | undefined {
  if (address + Zero.SIZE > ram.byteLength) return undefined;
  if (ram.getUint32(address + Zero.MAGIC, true) !== ZERO_MAGIC) return undefined;
  const count = ram.getUint8(address + Zero.COUNT);
  if (count === 0 || count > ZERO_ENTRIES_MAX) return undefined;
  return readMap(ram, address + Zero.MAP, count);
}

/** Entries of an E820 map, sorted by address; what is not RAM is reserved. */
function readMap(view: DataView, at: number, count: number): readonly MemoryRange[] {
  const ranges = Array.from({ length: count }, (_, i): MemoryRange => {
    const entry = at + i * ENTRY_SIZE;
    const quad = (offset: number): number => Number(view.getBigUint64(entry + offset, true));
    const usable = view.getUint32(entry + 16, true) === TYPE_RAM;
    return { address: quad(0), length: quad(8), type: usable ? 'usable' : 'reserved' };
  });
  return ranges.filter(({ length }) => length > 0).sort((a, b) => a.address - b.address);
}

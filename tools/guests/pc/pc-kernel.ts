// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Puts a program of the form of a Linux kernel (bzImage; iPXE's .lkrn is one) into the RAM of a PC,
 * and makes the option ROM by which the BIOS starts it, as a loader of the boot protocol does
 * (Linux, Documentation/arch/x86/boot.rst).
 */

/** Where the real-mode part lies, where its heap ends, and where the rest lies. */
const REAL_MODE = 0x80000;
const HEAP_END = 0xe000;
const PROTECTED_MODE = 0x100000;

/** The BIOS works at the end of RAM. */
const BIOS_ROOM = 8 << 20;

/** Fields of the header (boot.rst, "The Real-Mode Kernel Header"). */
const Header = {
  SETUP_SECTORS: 0x1f1,
  SYSTEM_SIZE: 0x1f4,
  VIDEO_MODE: 0x1fa,
  BOOT_FLAG: 0x1fe,
  MAGIC: 0x202,
  VERSION: 0x206,
  LOADER: 0x210,
  LOAD_FLAGS: 0x211,
  RAMDISK: 0x218,
  RAMDISK_SIZE: 0x21c,
  HEAP_END: 0x224,
  COMMAND_LINE: 0x228,
  RAMDISK_MAX: 0x22c,
  XLOAD_FLAGS: 0x236,
  COMMAND_LINE_SIZE: 0x238,
  PREFERRED_ADDRESS: 0x258,
  INIT_SIZE: 0x260,
} as const;

const PARAGRAPH = 16;
const MAGIC = 0x53726448;
const BOOT_FLAG = 0xaa55;
const LOADED_HIGH = 0x01;
const CAN_USE_HEAP = 0x80;
/** XLF_KERNEL_64. */
const KERNEL_64 = 0x01;
const RAMDISK_MAX_DEFAULT = 0x37ffffff;
const COMMAND_LINE_DEFAULT = 255;

/** What boots: the kernel, and what goes with it. */
export interface PcKernel {
  readonly image: Uint8Array;
  readonly initrd?: Uint8Array | undefined;
  readonly commandLine?: string | undefined;
}

/** The program, or what goes with it, cannot be booted: why, and what to do. */
export class BadPcProgram extends Error {
  readonly advice: string;

  constructor(name: string, message: string, advice: string) {
    super(message);
    this.name = name;
    this.advice = advice;
  }
}

/** Whether a file has the header of a Linux kernel. */
export function isKernel(image: Uint8Array): boolean {
  if (image.length < 0x260) return false;
  const view = viewOf(image);
  return (
    view.getUint32(Header.MAGIC, true) === MAGIC &&
    view.getUint16(Header.BOOT_FLAG, true) === BOOT_FLAG
  );
}

/**
 * Put a kernel into RAM.
 *
 * @returns the option ROM that starts it
 * @throws BadPcProgram if it is none, or does not fit
 */
export function loadKernel(ram: Uint8Array, kernel: PcKernel): Uint8Array {
  const { image, initrd, commandLine = '' } = kernel;
  if (!isKernel(image)) {
    const text = 'it has not the header of a Linux kernel';
    throw new BadPcProgram('BadProgram', text, 'Give a bzImage or .lkrn file.');
  }
  const view = viewOf(image);
  const version = view.getUint16(Header.VERSION, true);
  const flags = image[Header.LOAD_FLAGS]!;
  if (version < 0x0203 || (flags & LOADED_HIGH) === 0) {
    const text = `its boot protocol is ${version >> 8}.${version & 0xff}, or it is loaded low`;
    throw new BadPcProgram('BadProgram', text, 'Give a bzImage of boot protocol 2.03 or later.');
  }
  if (version >= 0x020c && (image[Header.XLOAD_FLAGS]! & KERNEL_64) !== 0) {
    const text = 'it is a kernel for 64-bit processors, and the PC has one of 32 bits';
    throw new BadPcProgram('Program64Bit', text, 'Give an i386 kernel (Debian: linux-image-686).');
  }
  const said = saidLength(view, version);
  if (image.length <= said - PARAGRAPH) {
    const text = `it is cut off: its header says ${said} bytes, and it has ${image.length}`;
    throw new BadPcProgram('BadProgram', text, 'Get the file once more.');
  }
  const lineMax =
    version >= 0x0206 ? view.getUint32(Header.COMMAND_LINE_SIZE, true) : COMMAND_LINE_DEFAULT;
  const line = new TextEncoder().encode(`${commandLine}\0`);
  if (line.length > Math.min(lineMax, 0x1000)) {
    const text = `a command line of ${line.length - 1} bytes, and it takes ${lineMax}`;
    throw new BadPcProgram('CommandLineTooLong', text, 'Give a shorter --append.');
  }

  // The kernel, and what it says that it needs
  const setup = ((image[Header.SETUP_SECTORS]! || 4) + 1) * 512;
  const rest = image.subarray(setup);
  let end = PROTECTED_MODE + rest.length;
  if (version >= 0x020a) {
    const preferred = Number(view.getBigUint64(Header.PREFERRED_ADDRESS, true));
    end = Math.max(end, preferred + view.getUint32(Header.INIT_SIZE, true));
  }
  const room = ram.length - BIOS_ROOM;
  const ramdisk = placeRamdisk(view, initrd, end, room);
  if (end > room) throw tooSmall('the kernel', end + BIOS_ROOM);

  ram.set(image.subarray(0, setup), REAL_MODE);
  ram.set(rest, PROTECTED_MODE);
  ram.set(line, REAL_MODE + HEAP_END);
  if (initrd !== undefined) ram.set(initrd, ramdisk);

  // What the loader tells it
  const header = new DataView(ram.buffer, ram.byteOffset + REAL_MODE, 0x300);
  header.setUint16(Header.VIDEO_MODE, 0xffff, true);
  header.setUint8(Header.LOADER, 0xff);
  header.setUint8(Header.LOAD_FLAGS, flags | CAN_USE_HEAP);
  header.setUint32(Header.RAMDISK, ramdisk, true);
  header.setUint32(Header.RAMDISK_SIZE, initrd?.length ?? 0, true);
  header.setUint16(Header.HEAP_END, HEAP_END - 0x200, true);
  header.setUint32(Header.COMMAND_LINE, REAL_MODE + HEAP_END, true);
  return optionRom(REAL_MODE >> 4, HEAP_END);
}

/** How long the file is by its header, in whole paragraphs. */
function saidLength(view: DataView, version: number): number {
  const setup = ((view.getUint8(Header.SETUP_SECTORS) || 4) + 1) * 512;
  // Before 2.04 half of the field was used
  const wide = version >= 0x0204;
  const size = wide ? view.getUint32(Header.SYSTEM_SIZE, true) : 0;
  return setup + size * PARAGRAPH;
}

/** As high as it may be. */
function placeRamdisk(
  view: DataView,
  initrd: Uint8Array | undefined,
  kernelEnd: number,
  room: number,
): number {
  if (initrd === undefined) return 0;
  const limit = (view.getUint32(Header.RAMDISK_MAX, true) || RAMDISK_MAX_DEFAULT) + 1;
  const at = Math.floor((Math.min(limit, room) - initrd.length) / 0x1000) * 0x1000;
  if (at < kernelEnd) throw tooSmall('the initrd', kernelEnd + initrd.length + BIOS_ROOM);
  return at;
}

function tooSmall(what: string, bytes: number): BadPcProgram {
  const enough = 2 ** Math.ceil(Math.log2(bytes / 2 ** 20));
  const text = `there is not enough RAM for ${what}`;
  return new BadPcProgram('MemoryTooSmall', text, `Give the PC more: --memory ${enough}.`);
}

/** An option ROM that sets the segments and the stack, and jumps to the real-mode code. */
function optionRom(segment: number, stack: number): Uint8Array {
  const rom = new Uint8Array(512);
  const word = (value: number): number[] => [value & 0xff, value >> 8];
  rom.set([
    ...[0x55, 0xaa, rom.length / 512],
    ...[0xfa, 0xfc, 0xb8, ...word(segment)], // cli; cld; mov ax, segment
    ...[0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xe0, 0x8e, 0xe8], // mov ds, es, fs, gs
    ...[0x8e, 0xd0, 0xbc, ...word(stack)], // mov ss, ax; mov sp, stack
    ...[0xea, ...word(0), ...word(segment + 0x20)], // jmp segment + 20h:0
  ]);
  rom[511] = -rom.reduce((sum, byte) => sum + byte, 0);
  return rom;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

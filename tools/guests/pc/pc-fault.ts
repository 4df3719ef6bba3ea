// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a processor would do where the emulator stops. v86 has no double fault: where the handler of
 * a fault cannot be reached it panics, or calls itself until the engine's stack is full. A PC's own
 * raises #GP or #PF for that, then #DF, and a third one is the end (Intel SDM volume 3, "Interrupt
 * 8: Double Fault Exception"). Whether it would come so far is seen from its interrupt table.
 */

import { Layout } from './v86.ts';

/** What is looked at of a processor: words of its state, and its RAM. */
export interface FaultedProcessor {
  /** Of the emulator's memory. */
  word(at: number): number;
  readonly ram: Uint8Array;
}

/** What has become of it. */
export interface FaultOutcome {
  /**
   * A triple fault; a fault that a processor raises and v86 does not, whose handler may be there;
   * anything else that v86 does not have.
   */
  readonly end: 'triple-fault' | 'fault' | 'emulator';
  readonly text: string;
}

/** v86's words where a processor raises #GP, #TS or #SS, for a handler or at a far return. */
const UNRAISED = /^Unimplemented: (#(GP|TS) handler|(CS|SS) )/;

/** Vectors. */
const DOUBLE_FAULT = 8;
const GENERAL_PROTECTION = 13;

const GATE_BYTES = 8;
const PRESENT = 0x80;
const TASK_GATE = 0x5;
/** Types of gates: a task, interrupts and traps of 16 and 32 bits. */
const GATES = [TASK_GATE, 0x6, 0x7, 0xe, 0xf];

/** Bits of a segment's access byte, and what they are: present code, a free task of 32 bits. */
type Kind = readonly [mask: number, kind: number];
const CODE: Kind = [0x98, 0x98];
const TASK: Kind = [0x9f, 0x89];

const CR0_PAGING = 0x80000000;
const CR4_PSE = 0x10;
const CR4_PAE = 0x20;
const PAGE_PRESENT = 1;
const PAGE_LARGE = 0x80;

/** Stack pointer and the base of its segment. */
const ESP = 4;
const SS = 2;

/**
 * Say what has happened.
 *
 * @param said the last words of the emulator; undefined if it has called itself without end
 */
export function faultOutcome(cpu: FaultedProcessor, said: string | undefined): FaultOutcome {
  const at = `at ${hex(cpu.word(Layout.previousInstructionPointer))}`;
  if (said !== undefined && !UNRAISED.test(said)) {
    return { end: 'emulator', text: `${at}: v86 says "${said}"` };
  }
  const base = cpu.word(Layout.interruptTable);
  const limit = cpu.word(Layout.interruptTableLimit);
  const table = `its interrupt table is at ${hex(base)}, of ${limit + 1} bytes`;
  const doubleFault = gate(cpu, DOUBLE_FAULT);
  const reached =
    said === undefined
      ? doubleFault === TASK_GATE || (doubleFault !== undefined && hasStack(cpu))
      : doubleFault !== undefined || gate(cpu, GENERAL_PROTECTION) !== undefined;
  if (reached) {
    const words = said ?? 'it calls itself without end';
    return { end: 'fault', text: `${at}: v86 says "${words}"; ${table}` };
  }
  const none = doubleFault === undefined ? 'has no handler either' : 'finds no stack either';
  return { end: 'triple-fault', text: `${at}: the #DF for a fault ${none}; ${table}` };
}

/** The type of a gate; undefined if a fault does not get through it. */
function gate(cpu: FaultedProcessor, vector: number): number | undefined {
  const offset = vector * GATE_BYTES;
  if (offset + GATE_BYTES - 1 > cpu.word(Layout.interruptTableLimit)) return undefined;
  const entry = cpu.word(Layout.interruptTable) + offset;
  const access = byte(cpu, entry + 5);
  const type = access & 0x1f;
  if ((access & PRESENT) === 0 || !GATES.includes(type)) return undefined;
  const selector = byte(cpu, entry + 2) | (byte(cpu, entry + 3) << 8);
  return leads(cpu, selector, type === TASK_GATE ? TASK : CODE) ? type : undefined;
}

/** Whether a segment of this kind is in the global table. */
function leads(cpu: FaultedProcessor, selector: number, [mask, kind]: Kind): boolean {
  const offset = selector & ~7;
  if (offset === 0 || offset + 7 > cpu.word(Layout.globalTableLimit)) return false;
  return (byte(cpu, cpu.word(Layout.globalTable) + offset + 5) & mask) === kind;
}

/** A byte of memory; 0 where there is none. */
function byte(cpu: FaultedProcessor, address: number): number {
  const at = physical(cpu, address);
  return at === undefined ? 0 : cpu.ram[at]!;
}

/** Whether something can be pushed. */
function hasStack(cpu: FaultedProcessor): boolean {
  const base = cpu.word(Layout.segmentOffsets + SS * 4);
  return physical(cpu, base + cpu.word(Layout.registers + ESP * 4) - 4) !== undefined;
}

/** Where an address leads, by the tables of pages; undefined: to no RAM. */
function physical(cpu: FaultedProcessor, address: number): number | undefined {
  const { ram } = cpu;
  const linear = address >>> 0;
  const inRam = (at: number): number | undefined => (at < ram.length ? at : undefined);
  const control = (number: number): number => cpu.word(Layout.controlRegisters + number * 4);
  if ((control(0) & CR0_PAGING) === 0) return inRam(linear);
  const view = new DataView(ram.buffer, ram.byteOffset, ram.length);
  const entry = (at: number): number => (at + 4 <= ram.length ? view.getUint32(at, true) : 0);
  const pae = (control(4) & CR4_PAE) !== 0;
  const bits = pae ? 9 : 10;
  const step = pae ? 8 : 4;
  let table = (control(3) & (pae ? ~31 : ~4095)) >>> 0;
  if (pae) {
    const pointer = entry(table + (linear >>> 30) * step);
    if ((pointer & PAGE_PRESENT) === 0) return undefined;
    table = (pointer & ~4095) >>> 0;
  }
  for (const shift of [12 + bits, 12]) {
    const index = (linear >>> shift) & ((1 << bits) - 1);
    const found = entry(table + index * step);
    if ((found & PAGE_PRESENT) === 0) return undefined;
    const mayBeLarge = shift > 12 && (pae || (control(4) & CR4_PSE) !== 0);
    const isLarge = mayBeLarge && (found & PAGE_LARGE) !== 0;
    const mask = (1 << (isLarge ? shift : 12)) - 1;
    if (isLarge || shift === 12) return inRam(((found & ~mask) | (linear & mask)) >>> 0);
    table = (found & ~4095) >>> 0;
  }
  return undefined;
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

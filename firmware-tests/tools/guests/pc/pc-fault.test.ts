// SPDX-License-Identifier: GPL-2.0-or-later

/** Whether a processor would have come to a triple fault where v86 stops. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { faultOutcome } from '../../../../tools/guests/pc/pc-fault.ts';
import { Layout } from '../../../../tools/guests/pc/v86.ts';

const faults = suite('faults of a PC');

const RAM = 0x10000;
const TABLE = 0x1000;
const GLOBAL = 0x2000;
const AT = 'at 0x7c00';
const UNRAISED = 'Unimplemented: #GP handler';

/** A processor in protected mode: a gate is a vector, its type and its selector. */
function processor(
  gates: readonly (readonly [vector: number, access: number, selector: number])[],
  more: Readonly<Record<number, number>> = {},
) {
  const ram = new Uint8Array(RAM);
  // The second segment is code, the third data, the fourth a task
  for (const [i, access] of [0, 0x9a, 0x92, 0x89].entries()) ram[GLOBAL + i * 8 + 5] = access;
  for (const [vector, access, selector] of gates) {
    ram[TABLE + vector * 8 + 2] = selector;
    ram[TABLE + vector * 8 + 5] = access;
  }
  const words: Record<number, number> = {
    [Layout.previousInstructionPointer]: 0x7c00,
    [Layout.interruptTable]: TABLE,
    [Layout.interruptTableLimit]: 32 * 8 - 1,
    [Layout.globalTable]: GLOBAL,
    [Layout.globalTableLimit]: 31,
    [Layout.controlRegisters]: 1,
    [Layout.registers + 16]: 0x8000,
    ...more,
  };
  return { ram, word: (at: number): number => words[at] ?? 0 };
}

faults('no gate for a #GP and for a #DF is a triple fault; so is one that leads nowhere', () => {
  const cases: [string, Parameters<typeof processor>[0], Record<number, number>?][] = [
    ['triple-fault', []],
    ['fault', [[13, 0x8e, 8]]],
    ['fault', [[8, 0x8f, 8]]],
    ['fault', [[8, 0x85, 24]]],
    // Not present, of no type, to data, to nothing, beyond the table's end
    ['triple-fault', [[13, 0x0e, 8]]],
    ['triple-fault', [[13, 0x80, 8]]],
    ['triple-fault', [[13, 0x8e, 16]]],
    ['triple-fault', [[13, 0x8e, 0]]],
    ['triple-fault', [[8, 0x8e, 32]]],
    ['triple-fault', [[8, 0x85, 8]]],
    ['triple-fault', [[13, 0x8e, 8]], { [Layout.interruptTableLimit]: 13 * 8 - 1 }],
    ['triple-fault', [[13, 0x8e, 8]], { [Layout.interruptTable]: 0x7fffff00 }],
  ];
  for (const [end, gates, more] of cases) {
    const outcome = faultOutcome(processor(gates, more), UNRAISED);
    assert.is(outcome.end, end, JSON.stringify([gates, more]));
    assert.ok(outcome.text.startsWith(`${AT}: `));
  }
});

faults('a handler that has no stack is no handler, but for a task', () => {
  const noStack = { [Layout.registers + 16]: 0x20000000 };
  const of = (...gate: [number, number, number]) =>
    faultOutcome(processor([gate], noStack), undefined);
  assert.is(of(8, 0x8e, 8).end, 'triple-fault');
  assert.match(of(8, 0x8e, 8).text, /the #DF for a fault finds no stack either/);
  assert.is(of(8, 0x85, 24).end, 'fault');
  assert.is(faultOutcome(processor([[8, 0x8e, 8]]), undefined).end, 'fault');
});

faults('addresses go through the tables of pages, of 4 bytes and of 8, small and large', () => {
  const paged = (pae: boolean, large: boolean) => {
    const control = Layout.controlRegisters;
    const more = {
      [control]: 0x80000001 | 0,
      [control + 12]: 0x4000,
      [control + 16]: pae ? 0x20 : 0x10,
    };
    const cpu = processor([[8, 0x8e, 8]], more);
    const view = new DataView(cpu.ram.buffer);
    if (pae) view.setUint32(0x4000, 0x5001, true);
    const directory = pae ? 0x5000 : 0x4000;
    view.setUint32(directory, large ? 0x83 : 0x6003, true);
    // One to one but for the stack
    const tables = [TABLE, GLOBAL].map((at) => at >>> 12);
    if (!large)
      for (const i of tables) view.setUint32(0x6000 + i * (pae ? 8 : 4), (i << 12) | 3, true);
    return faultOutcome(cpu, undefined).end;
  };
  for (const pae of [false, true]) {
    assert.is(paged(pae, true), 'fault');
    // Its stack at 7ffch is in no page
    assert.is(paged(pae, false), 'triple-fault');
  }
});

faults('what v86 does not have otherwise is told in its words, and is no triple fault', () => {
  const { end, text } = faultOutcome(processor([]), 'Unimplemented: VME');
  assert.equal([end, text], ['emulator', `${AT}: v86 says "Unimplemented: VME"`]);
  assert.is(
    faultOutcome(processor([]), 'Unimplemented: CS selector is invalid').end,
    'triple-fault',
  );
});

faults.run();

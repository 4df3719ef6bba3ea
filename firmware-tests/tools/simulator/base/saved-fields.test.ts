// SPDX-License-Identifier: GPL-2.0-or-later

/** No state of the simulator is forgotten by a snapshot: its sources say so. */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { forgottenIn } from '../../../rigs/snapshot/saved-fields.ts';

const SIMULATOR = fileURLToPath(new URL('../../../../tools/simulator', import.meta.url));

/** What is left out, and why that is right. `Class` stands for all of its fields. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  // Snapshots themselves
  Keeper: 'it writes down, and is gone',
  SnapshotKeeper: 'it remembers what RAM was last, to keep pages once: any image does for that',
  'SimulatedMachine.#snapshots': 'the same',
  // RAM: by page, and it may have moved
  ...Object.fromEntries(
    ['memory', 'contents', 'reader', 'readerWords', '#bytes', '#view', '#words', '#copier'].map(
      (field) => [`GuestRam.${field}`, 'saved by page, wherever the buffer lies by then'],
    ),
  ),
  BlockCopy: 'views of arrays, made anew for others',
  // What refuses, or lives for one call
  WallClock: "nobody takes the wall's time back: it says so",
  MemoryPattern: 'the next owner of memory, at the end of a run: no guest runs while it is there',
  DhcpReply: 'it builds one message',
  'audit/memory-pattern.ts: variable i': 'of one look at memory',
  'GuestCrash.fault': 'a word',
  // What does not change
  'CpuidLeaves.#leaves': 'filled when it is made',
  'PartitionInspection.#context': 'it looks at parts that the partition saves',
  'PassingMachine.machine': 'a seam, passed on',
  'Transfer.#data': 'the bytes of a file, which do not change while it is read',
  'Transfer.#refuse': 'a function',
};

const fields = suite('fields that a snapshot saves');

fields('all that may change is saved, or is left out for a reason', () => {
  const used = new Set<string>();
  const wrong: string[] = [];
  for (const path of readdirSync(SIMULATOR, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!path.endsWith('.ts')) continue;
    for (const { what, why } of forgottenIn(readFileSync(join(SIMULATOR, path), 'utf8'))) {
      const name = [what, what.split('.')[0]!, `${path}: ${what}`].find((each) => each in LEFT_OUT);
      if (name === undefined) wrong.push(`${path}: ${what}: ${why}`);
      else used.add(name);
    }
  }
  assert.equal(wrong, []);
  assert.equal([...used].sort(), Object.keys(LEFT_OUT).sort(), 'what is not needed any more');
});

/** What goes with a machine in an exploration, and with a PC. */
const PARTS = [
  ...['explore/injector', 'explore/counter', 'explore/host-messages', 'explore/host-packets'],
  ...['explore/pc-runner', 'flow/pc-flow', 'flow/pc-stages'],
  ...['explore/one-run', 'explore/explored-guest', 'explore/loader', 'explore/stepped-machine'],
  ...['explore/memory/page-source', 'explore/memory/read-watch'],
  ...['guests/wasm-driver', 'guests/wasm-instance', 'guests/wasm-imports'],
  ...['guests/wasm-net-device', 'guests/guest-pages', 'guests/guest-random', 'guests/guest-event'],
  ...['guests/pc/pc-board', 'guests/pc/pc-console', 'guests/pc/pc-emulator'],
];

/** What of them may change and is left out: who is told something, and what is made anew. */
const HOOKS = [
  ...['PcFlow.onSlice', 'PcConsole.onLine', 'PcEmulator.onMoved'],
  ...['Guest.atBorder', 'Guest.quiesced', 'Guest.says'],
];
const ANEW = ['PcEmulator.#views', 'PcRun.report'];

fields('all that goes with a machine puts its fields back', () => {
  const found = PARTS.flatMap((part) => {
    const text = readFileSync(join(SIMULATOR, '..', `${part}.ts`), 'utf8');
    const savers = [...text.matchAll(/class (\w+)[^]*?\n}/g)].filter(([body]) =>
      body.includes('saveTo('),
    );
    assert.ok(savers.length > 0, part);
    const names = savers.map(([, name]) => name);
    return forgottenIn(text).filter(
      ({ what, why }) => why.startsWith('it may change') && names.includes(what.split('.')[0]!),
    );
  });
  assert.equal(found.map(({ what }) => what).sort(), [...HOOKS, ...ANEW].sort());
});

/** A class with a method that saves `field`, and `more` in it. */
const source = (more: string, save = ''): string =>
  `class Part { #count = 0; ${more} saveTo(keeper: Keeper): void {
     keeper.put([this.#count], (v) => ([this.#count] = v)); ${save} } }`;

/** Why the first of what is forgotten in a source is wrong. */
const whyOf = (text: string): string => forgottenIn(text)[0]?.why ?? 'nothing is forgotten';

fields('a class that saves all it has is right', () => {
  assert.equal(forgottenIn(source('')), []);
  assert.equal(forgottenIn(source('readonly #all: Part[] = [];', 'keeper.keep(this.#all);')), []);
  assert.equal(forgottenIn(source("readonly #size: number; readonly name = 'x';")), []);
});

for (const [what, more] of [
  ['a number', '#added = 0;'],
  ['a public field', 'added: Alarm | undefined;'],
  ['a list that stays the same', 'readonly #added: Frame[] = [];'],
  ['a map', 'readonly #added = new Map<number, Part>();'],
  ['bytes', 'readonly #added = new Uint8Array(4);'],
  ['another part', 'readonly #added: Part;'],
] as const) {
  fields(`${what} that was added is found`, () => {
    const [found, ...others] = forgottenIn(source(more));
    assert.match(found!.what, /^Part\.#?added$/);
    assert.equal(others, []);
  });
}

fields('a field that is kept and not put back is found', () => {
  const [found] = forgottenIn(source('#added = 0;', 'keeper.keep(this.#added);'));
  assert.is(found?.what, 'Part.#added');
});

fields('a class without the method is found, and one that forgets what it extends', () => {
  assert.is(forgottenIn('class Part { #count = 0; }')[0]?.what, 'Part.#count');
  const part = 'class Part extends Whole { saveTo(keeper: Keeper): void { keeper.keep(1); } }';
  assert.match(whyOf(part), 'extends');
});

fields('a variable that functions share is found, and an object that nobody holds', () => {
  const shared = 'function f() { let n = 0; return () => n++; }';
  assert.match(whyOf(shared), 'functions share it');
  const lost = 'function f(server: Host) { new Server(server); }';
  assert.match(whyOf(lost), 'nobody holds');
});

fields.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Every parser of what comes from outside, with random and mutated inputs: only errors with a name
 * come out. The tables are compared with what the tree has. `SEED` chooses others,
 * `FUZZ_TIMES` so many times as many.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { directory, hypxe, write } from '../../rigs/cli-rig.ts';
import { COMMANDS } from '../../rigs/command/command-table.ts';
import { FunctionsRun } from '../../rigs/command/functions-run.ts';
import { position, seed } from '../../rigs/command/mutations.ts';
import { INPUTS, PARSERS as PARTS } from '../../rigs/command/parser-table.ts';
import { READERS, readers, readersIn } from '../../rigs/command/readers.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Words take longer than the rest: files are looked for. */
const PARSERS = [...PARTS, ...COMMANDS.map((command) => ({ inputs: 250, ...command }))];

/** How many times the inputs of the tables. */
const TIMES = Number(process.env['FUZZ_TIMES'] ?? 1);

/** Other functions of these names, and why they are not in the table. */
const OTHERS: Readonly<Record<string, string>> = {
  'replay/recording.ts: readRecording': 'runs with parseTrace',
  'command/replay/read-session.ts: readTrace': 'parseTrace',
  'simulator/profiles/profile-file.ts: parseHostProfile': 'runs with parseHostText',
  'simulator/profiles/knob-values.ts: readKnob': 'runs with parseHostText',
  'simulator/profiles/facts.ts: readNumber': 'runs with parseHostText',
  'command/boot/device-options.ts: readDevices': 'runs with parseBoot',
  'command/boot/fault-options.ts: readFaults': 'runs with parseBoot',
  'command/boot/link-options.ts: readLink': 'runs with parseBoot',
  'command/boot/push-options.ts: readPushes': 'runs with parseBoot',
  'command/boot/push-options.ts: readServices': 'runs with parseBoot',
  'command/boot/network-options.ts: readNetwork': 'runs with parseBoot',
  'command/boot/owner-options.ts: readBefore': 'runs with parseBoot',
  'command/boot/boot-options.ts: readRecord': 'runs with parseBoot',
  'command/boot/file-options.ts: readFiles': 'runs with parseBoot',
  'command/arguments.ts: parseArguments': 'runs with parseBoot',
  'command/pc/pc-options.ts: parseForPc': 'runs with parsePc',
  'command/files.ts: readText': 'reads, and parses nothing',
  'command/files.ts: readBytes': 'reads, and parses nothing',
  'guests/load-guest.ts: loadGuest': 'checkModule, or withoutDynamicImport',
  'guests/javascript-guest.ts: loadJavascript': 'withoutDynamicImport',
  'replay/hex.ts: fromHex': 'of text that parseTrace has checked',
  'guests/wasm-memory.ts: importMemory': 'runs with checkModule',
  'command/pc/pc-files.ts: loadV86': 'loads a package that has been installed',
  'command/pc/pc-files.ts: loadBios': 'reads, and parses nothing',
  'command/pc/pc-files.ts: loadProgram': 'kindOfProgram',
  'guests/wasm-file.ts: loadWasm': 'checkModule',
  'manual/books.ts: readBooks': 'reads files of this tree',
  'bench/replays.ts: readSessions': 'reads files of this tree',
};

/** What is exported, and has the name of a parser. */
const PARSES = new RegExp(
  '^export (?:async )?(?:function|const|class) (' +
    ['(?:parse|read|decode|patch|kindOf|from|load)[A-Z]\\w*', 'checkModule', 'importMemory']
      .concat('StreamFrames')
      .join('|') +
    ')\\b',
  'gm',
);

const parsers = suite('every parser');

parsers('the table has all that there are', () => {
  const files = fs.readdirSync(path.join(ROOT, 'tools'), { recursive: true }) as string[];
  const found = files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const lines = fs.readFileSync(path.join(ROOT, 'tools', file), 'utf8');
      const names = [...lines.matchAll(PARSES)];
      return names.map(([, name]) => `${file.replaceAll(path.sep, '/')}: ${name}`);
    });
  // What the simulated host reads of its guest has tests of its own, by the byte; at the door of
  // the library are the same ones once more
  const ours = found.filter((name) => !/^(?:simulator\/(?!profiles)|library\/door)/.test(name));
  const known = [...PARSERS.map(({ of }) => of), ...Object.keys(OTHERS)];
  assert.equal(
    ours.filter((name) => !known.includes(name)),
    [],
  );
  assert.equal(
    Object.keys(OTHERS).filter((name) => !ours.includes(name)),
    [],
  );
});

parsers('whatever reads is known, however it is called', () => {
  assert.equal(readers(), Object.keys(READERS).sort());
  const names = new Set(PARSERS.map(({ of }) => of.slice(of.indexOf(': ') + 2)));
  for (const [reader, by] of Object.entries(READERS))
    for (const name of parsersIn(by)) assert.ok(names.has(name), `${reader}: ${name}`);
  // What it looks for, and what it does not take for it
  const odd = [
    "import { readText } from './files.ts';",
    'export async function digest(x: string) {\n  return JSON.parse(x);\n}',
    'const odd = (x: string) => fs.readFileSync(x);',
    'export class Odd {\n  look() {\n    return readText(this.x, 1);\n  }\n}',
    'export function readText(x: string) {\n  return x;\n}',
    'function none() {\n  // JSON.parse is not called\n  return 1;\n}',
    'process.argv.slice(2);',
  ];
  assert.equal(readersIn(odd.join('\n\n')), ['digest', 'odd', 'Odd', 'module']);
});

/** Functions that each parser came to. */
const ran = new Map<string, Set<string>>();

for (const { of, run, errors, inputs = INPUTS } of PARSERS) {
  parsers(`${of}: only errors with a name`, () => {
    const functions = new FunctionsRun();
    let accepted = 0;
    let refused = 0;
    for (let i = 0; i < inputs * TIMES; i++) {
      const before = position();
      try {
        run();
        accepted++;
      } catch (error) {
        refused++;
        if (errors.some((name) => isNamed(error, name))) continue;
        const { stack } = error as Error;
        assert.unreachable(`seed ${seed}, input ${i} (state ${before}): ${stack}`);
      }
    }
    assert.is(accepted + refused, inputs * TIMES);
    ran.set(of, functions.stop());
    if (process.env['FUZZ_COUNTS']) console.log(`${of}: ${accepted} accepted, ${refused} refused`);
    // Both happen, or the inputs are no good
    if (errors.length > 0) assert.ok(refused > 0, `seed ${seed}: nothing was refused`);
    assert.ok(accepted > 0, `seed ${seed}: all ${refused} were refused`);
    assert.equal(({} as Record<string, unknown>)['kind'], undefined);
  });
}

parsers('who is said to run with a parser does', () => {
  for (const [of, by] of [...Object.entries(OTHERS), ...Object.entries(READERS)]) {
    if (!by.startsWith('runs with ')) continue;
    for (const name of parsersIn(by)) {
      const parser = PARSERS.find((each) => each.of.endsWith(`: ${name}`))!;
      assert.ok(ran.get(parser.of)?.has(of), `${of} with ${name}`);
    }
  }
});

/** The parsers that a reader's line names. */
function parsersIn(by: string): string[] {
  const [, names] =
    /^(?:runs with )?([a-z]+[A-Z]\w*(?:, [a-z]+[A-Z]\w*)*)(?: of \S+)?$/.exec(by) ?? [];
  return names?.split(', ') ?? [];
}

/** Whether an error is of a class, by the name of the class. */
function isNamed(error: unknown, name: string): boolean {
  for (let at = error; at !== null && typeof at === 'object'; at = Object.getPrototypeOf(at)) {
    if ((at as { constructor?: { name?: string } }).constructor?.name === name) return true;
  }
  return false;
}

write('x', 'x');
fs.symlinkSync('loop', path.join(directory, 'loop'));

for (const args of [
  ['boot', 'loop'],
  ['boot', 'x', '--serve', 'loop'],
  ['boot', 'loop', '--serve', '.'],
  ['boot', 'loop/x', '--serve', '.'],
  ['boot', '--firmware', 'loop'],
  ['boot', '--host', './loop'],
  ['boot', '--push', 'loop'],
  ['boot', '--size', '1', '--trace', 'loop'],
  ['boot', '--size', '1', '--pcap', 'loop/x'],
  ['explore', '--merge', 'loop'],
  ['explore', '--firmware', 'loop'],
  ['replay', './loop'],
  ['replay', '01-boot', '--firmware', 'loop'],
  ['hosts', './loop'],
]) {
  parsers(`a link that leads to itself: ${args.join(' ')}`, async () => {
    const { code, error } = await hypxe(...args);
    assert.match(error, /^hypxe: (?!InternalError)\w+: .*\n {7}\S/);
    assert.ok(code === 2 || code === 4, `${code}: ${error}`);
  });
}

parsers.run();

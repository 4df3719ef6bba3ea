// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The programming interface as others get it: the program of its manual, over the built library
 * alone, prints what `hypxe boot --json` prints.
 */

import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readBooks } from '../../../tools/manual/books.ts';
import { directory, hypxe, write, type Run } from '../../rigs/cli-rig.ts';
import { Op, call, firmware, i32, i64 } from '../../rigs/guests/wasm-builder.ts';
import { examplesOf } from '../../rigs/manual-rig.ts';

/** Most lines that the program may have. */
const LINES_MAX = 30;

const GUEST_OS_ID = 0x40000000;

const DIST = new URL('../../../dist/', import.meta.url);

const examples = readBooks()
  .filter((book) => book.path === 'tools/library/README.md')
  .flatMap(examplesOf);
const program = examples[0];

/** Run a program of the manual, in the directory of the tests, where the package has a name. */
async function inProcess(
  program: (typeof examples)[number] | undefined,
  ...args: string[]
): Promise<Run> {
  assert.ok(program !== undefined && 'file' in program);
  const bundles = ['hypxe', 'simulator'].map((name) => new URL(`${name}.js`, DIST).href);
  const text = program.text
    .replaceAll("'hypxe/simulator'", `'${bundles[1]}'`)
    .replaceAll("'hypxe'", `'${bundles[0]}'`);
  write('program.mjs', text);
  return new Promise((resolve) => {
    const options = { cwd: directory, maxBuffer: 1 << 26 };
    const all = [path.join(directory, 'program.mjs'), ...args];
    const child = execFile(process.execPath, all, options, (_, out, error) =>
      resolve({ code: child.exitCode, out, error }),
    );
  });
}

/** It says the same as the command, byte for byte, and ends the same. */
async function assertSame(code: number, file: string, steps = ''): Promise<void> {
  const command = await hypxe(
    ...['boot', '--json'],
    ...(file === '' ? [] : ['--firmware', file]),
    ...(steps === '' ? [] : ['--then', steps]),
  );
  assert.is(command.error, '');
  assert.is(command.code, code, command.out.slice(0, 400));
  const library = await inProcess(program, file, steps);
  assert.is(library.error, '');
  assert.is(library.out, command.out);
  assert.is(library.code, code);
}

const library = suite('library: boots');

library('the program is short, and takes nothing but the library', () => {
  assert.ok(program !== undefined && 'file' in program);
  assert.ok(program.text.trimEnd().split('\n').length <= LINES_MAX);
  const imported = [...program.text.matchAll(/^import .* from '(.*)';$/gm)].map(([, name]) => name);
  assert.equal(
    imported.filter((name) => !name!.startsWith('node:')),
    ['hypxe/simulator'],
  );
});

library("hypxe's own firmware", () => assertSame(0, ''));

library('kernels that take over from it', () => assertSame(0, '', 'kexec,crash'));

library('a SAN boot', () => assertSame(0, '', 'san'));

library('a bundle that leaks', async () => {
  const text = `import { createDriver } from '${fileURLToPath(new URL('hypxe.js', DIST))}';
export function boot(machine, options) {
  const driver = createDriver(machine, options);
  driver.probe();
  for (const device of driver.devices) device.open();
  return { status: 'failed', memoryMap: driver.memoryMap() };
}
`;
  await assertSame(1, write('leaky.mjs', text));
});

library('a guest in WebAssembly, clean and one that leaks', async () => {
  const clean = firmware(['pause'], (index) => [...call(index('pause')), ...i32(0)]);
  await assertSame(0, write('clean.wasm', clean));
  await assertSame(0, 'clean.wasm', 'kexec,crash');
  const leaks = firmware(['wrmsr'], (index) => [
    ...[...i32(GUEST_OS_ID), ...i64(0x8100n << 48n), ...call(index('wrmsr')), ...i32(0)],
  ]);
  await assertSame(1, write('leaks.wasm', leaks));
});

library('one that traps', async () => {
  write(
    'traps.wasm',
    firmware([], () => [Op.UNREACHABLE, ...i32(0)]),
  );
  const { out, code } = await inProcess(program, 'traps.wasm');
  assert.is(code, 3);
  const { verdict, ended } = JSON.parse(out) as { verdict: string; ended: { text: string } };
  assert.is(verdict, 'crash');
  const command = await hypxe('boot', '--json', '--firmware', 'traps.wasm');
  const told = JSON.parse(command.out) as { ended: { text: string } };
  assert.is(ended.text, told.ended.text);
});

library('a trace is that of the command, byte for byte', async () => {
  const written = examples.find((each) => 'file' in each && each.file.endsWith('written.js'));
  fs.mkdirSync(path.join(directory, 'out'), { recursive: true });
  const { error, code } = await inProcess(written);
  assert.is(error, '');
  assert.is(code, 0);
  const options = ['--host', 'server2016', '--seed', '7', '--loss', '0.02'];
  assert.is((await hypxe('boot', ...options, '--trace', 'command.jsonl')).code, 0);
  const [mine, command] = ['out/mine.jsonl', 'command.jsonl'].map((name) =>
    fs.readFileSync(path.join(directory, name), 'utf8'),
  );
  assert.ok(mine === command, 'the traces differ');
  const kinds = new Set(mine!.match(/"kind":"[a-z-]+"/g));
  for (const kind of ['run', 'stage', 'handoff', 'purpose', 'verdict']) {
    assert.ok(kinds.has(`"kind":"${kind}"`), kind);
  }
  assert.match(mine!, /"kind":"ring-packet".*"rndis":"02000000/);
});

library.run();

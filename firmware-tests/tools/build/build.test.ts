// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The bundler's part in the walls: what was really bundled is checked, and a bundle that has in it
 * what it must not have is refused. Runs on trees of a few lines in a folder of its own.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BuildError, ROOT, TARGETS, bundle } from '../../../tools/build/build.mjs';

type Target = (typeof TARGETS)[number];

const target = (outfile: string): Target => TARGETS.find((one) => one.outfile === outfile)!;
const FIRMWARE = target('dist/hypxe.js');
const MINIFIED = target('dist/hypxe.min.js');
const SIMULATOR = target('dist/simulator.js');
const CLI = target('dist/cli.js');

interface Context {
  root: string;
}

const build = suite<Context>('build', { root: '' });

build.before.each((context) => {
  context.root = mkdtempSync(join(tmpdir(), 'hypxe-build-'));
});

build.after.each((context) => {
  rmSync(context.root, { recursive: true, force: true });
});

function write(root: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

/** The message of the refusal, or '' if the bundle was accepted. */
async function refusal(root: string, which: Target): Promise<string> {
  try {
    await bundle(which, root);
    return '';
  } catch (error) {
    assert.instance(error, BuildError);
    return (error as Error).message;
  }
}

const WORDS = "export const words = ['import', 'require'];\n";

build('firmware of its own files is accepted', async ({ root }) => {
  write(root, {
    'src/index.ts': "export { words } from './net/words.ts';\n",
    'src/net/words.ts': WORDS,
  });
  assert.is(await refusal(root, FIRMWARE), '');
  assert.is(await refusal(root, MINIFIED), '');
});

/** What else src/ may hold, and what the refusal says. */
const REFUSED: readonly (readonly [name: string, source: string, message: RegExp])[] = [
  [
    'a module of Node',
    "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n",
    /src\/net\/words\.ts imports "node:fs"/,
  ],
  [
    'a module of Node in the old spelling',
    "export { readFileSync } from 'fs';\n",
    /src\/net\/words\.ts imports "fs"/,
  ],
  [
    'a package',
    "import kleur from 'kleur';\nexport const bold = kleur.bold;\n",
    /src\/net\/words\.ts imports "kleur"/,
  ],
  [
    'a file outside src/',
    "export { outside } from '../../tools/outside.ts';\n",
    /tools\/outside\.ts is bundled in \(by src\/net\/words\.ts\)/,
  ],
  [
    'a dynamic import',
    "export const lazy = () => import('./lazy.ts');\n",
    /src\/net\/words\.ts has a dynamic import/,
  ],
  [
    'a dynamic import of a name that is not known yet',
    'export const lazy = (name: string) => import(name);\n',
    /line \d+ of the bundle still has an import/,
  ],
];

for (const [name, source, message] of REFUSED) {
  build(`firmware with ${name} is refused`, async ({ root }) => {
    write(root, {
      'src/index.ts': "export * as words from './net/words.ts';\n",
      'src/net/words.ts': source,
      'src/net/lazy.ts': WORDS,
      'tools/outside.ts': 'export const outside = 1;\n',
    });
    assert.match(await refusal(root, FIRMWARE), message);
    assert.match(await refusal(root, MINIFIED), message);
  });
}

build('the simulator takes wire definitions of src/, and no driver', async ({ root }) => {
  write(root, {
    'tools/simulator/index.ts': "export { words } from '../../src/vmbus/protocol.ts';\n",
    'src/vmbus/protocol.ts': "export { words } from '../wire.ts';\n",
    'src/vmbus/ring.ts': WORDS,
    'src/wire.ts': WORDS,
  });
  assert.is(await refusal(root, SIMULATOR), '');

  write(root, { 'tools/simulator/index.ts': "export { words } from '../../src/vmbus/ring.ts';\n" });
  assert.match(await refusal(root, SIMULATOR), /simulator: src\/vmbus\/ring\.ts is bundled in/);

  write(root, { 'tools/simulator/index.ts': "export { randomBytes } from 'node:crypto';\n" });
  assert.match(await refusal(root, SIMULATOR), /imports "node:crypto"/);
});

build('the command line may use Node, but neither packages nor the firmware', async ({ root }) => {
  const files = {
    'tools/command/cli.ts': "import { argv } from 'node:process';\nexport const args = argv;\n",
    'src/index.ts': WORDS,
    'node_modules/left-pad/index.js': 'export const pad = 1;\n',
    'node_modules/left-pad/package.json': '{"type":"module","main":"index.js"}',
  };
  write(root, files);
  assert.is(await refusal(root, CLI), '');
  const text = Buffer.from((await bundle(CLI, root)).get('dist/cli.js')!).toString();
  assert.match(text, /^#!\/usr\/bin\/env node\n/);

  write(root, { 'tools/command/cli.ts': "export { words } from '../../src/index.ts';\n" });
  assert.match(await refusal(root, CLI), /load dist\/hypxe\.js at run time/);

  write(root, { 'tools/command/cli.ts': "export { pad } from 'left-pad';\n" });
  assert.match(await refusal(root, CLI), /no run-time dependencies/);
});

build('two builds of the firmware are the same bytes, wherever they run', async () => {
  const here = process.cwd();
  const first = await bundle(FIRMWARE, ROOT);
  process.chdir(tmpdir());
  const second = await bundle(FIRMWARE, ROOT).finally(() => process.chdir(here));
  assert.equal([...first.keys()], ['dist/hypxe.js.map', 'dist/hypxe.js']);
  for (const [path, bytes] of first) {
    assert.ok(Buffer.from(bytes).equals(Buffer.from(second.get(path)!)), path);
    assert.not.ok(Buffer.from(bytes).includes(ROOT), `${path} names the machine that built it`);
  }
});

build.run();

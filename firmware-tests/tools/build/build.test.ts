// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The bundler's part in the walls: what was really bundled is checked, and a bundle that has in it
 * what it must not have is refused. Runs on trees of a few lines in a folder of its own. Then the
 * build as a whole: what it leaves and prints depends on the sources only.
 */

import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BuildError, ROOT, buildAll, bundle } from '../../../tools/build/build.mjs';
import { TARGETS, TRACES } from '../../../tools/build/targets.mjs';

type Target = (typeof TARGETS)[number];

const target = (name: string): Target => TARGETS.find(({ entries }) => name in entries)!;
const FIRMWARE = target('hypxe');
const MINIFIED = target('hypxe.min');
/** The command line, with nothing that it starts. */
const CLI: Target = { ...target('cli'), entries: { cli: target('cli').entries['cli']! } };
/** The same with two of its workers. */
const PROGRAMS: Target = {
  ...CLI,
  entries: {
    ...CLI.entries,
    'boot-worker': 'tools/command/boot/boot-worker.ts',
    'explore-worker': 'tools/command/explore/explore-worker.ts',
  },
};

/** And with the library that shares its code. */
const LIBRARY: Target = {
  ...CLI,
  entries: { ...CLI.entries, simulator: target('simulator').entries['simulator']! },
};

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

/** The door of the firmware: in these trees all that it does is to be there. */
const DOOR = { 'src/doors/hypxe.ts': "export * from '../index.ts';\n" };

function write(root: string, own: Readonly<Record<string, string>>): void {
  const files = 'src/index.ts' in own ? { ...DOOR, ...own } : own;
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

/** The message of the refusal, or '' if the bundle was accepted. */
async function refusal(root: string, which: Target): Promise<string> {
  try {
    await bundle(which, { root });
    return '';
  } catch (error) {
    assert.instance(error, BuildError);
    return (error as Error).message;
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** A file as text, a folder as nothing. */
function contents(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
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
  const entry = LIBRARY.entries['simulator']!;
  write(root, {
    'tools/command/cli.ts': "export * from '../simulator/index.ts';\n",
    [entry]: "export * from '../simulator/index.ts';\nexport { words } from '../flow.ts';\n",
    'tools/flow.ts': "export { words } from '../src/vmbus/ring.ts';\n",
    'tools/simulator/index.ts': "export { words } from '../../src/vmbus/protocol.ts';\n",
    'src/vmbus/protocol.ts': "export { words } from '../wire.ts';\n",
    'src/vmbus/ring.ts': WORDS,
    'src/wire.ts': WORDS,
  });
  assert.is(await refusal(root, LIBRARY), '');

  write(root, { 'tools/simulator/index.ts': "export { words } from '../../src/vmbus/ring.ts';\n" });
  assert.match(await refusal(root, LIBRARY), /simulator: src\/vmbus\/ring\.ts is bundled in/);
});

build('the library runs without Node, whatever the command line needs', async ({ root }) => {
  const entry = LIBRARY.entries['simulator']!;
  write(root, {
    'tools/command/cli.ts': "export { read } from '../files.ts';\n",
    'tools/files.ts':
      "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n",
    [entry]: WORDS,
  });
  assert.is(await refusal(root, LIBRARY), '');

  write(root, { [entry]: "export { read } from '../files.ts';\n" });
  assert.match(await refusal(root, LIBRARY), /tools\/files\.ts imports "node:fs"/);
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
  const cli = text((await bundle(CLI, { root })).get('dist/cli.js')!);
  assert.match(cli, /^#!\/usr\/bin\/env node\n/);

  write(root, { 'tools/command/cli.ts': "export { words } from '../../src/index.ts';\n" });
  assert.match(await refusal(root, CLI), /load dist\/hypxe\.js at run time/);

  write(root, { 'tools/command/cli.ts': "export { pad } from 'left-pad';\n" });
  assert.match(await refusal(root, CLI), /no run-time dependencies/);
});

build(
  'programs share code, and their source maps still point at the right lines',
  async ({ root }) => {
    write(root, {
      'tools/shared.ts': 'export const shared = (text: string) => console.log(text);\n',
      'tools/command/cli.ts': "import { shared } from '../shared.ts';\nshared('cli');\n",
      'tools/command/boot/boot-worker.ts':
        "import { shared } from '../../shared.ts';\nshared('boot');\n",
      'tools/command/explore/explore-worker.ts':
        "import { shared } from '../../shared.ts';\nshared('explore');\nthrow new Error('here');\n",
      'package.json': '{"type":"module"}',
    });
    const files = await bundle(PROGRAMS, { root });
    write(root, Object.fromEntries([...files].map(([path, bytes]) => [path, text(bytes)])));
    const scripts = [...files.keys()].filter((path) => path.endsWith('.js')).sort();
    assert.equal(scripts.slice(0, 3), [
      'dist/boot-worker.js',
      'dist/cli.js',
      'dist/explore-worker.js',
    ]);
    assert.match(scripts.slice(3).join(' '), /^dist\/shared-[A-Z0-9]+\.js$/);

    const first = (path: string) => text(files.get(path)!).split('\n')[0];
    assert.is(first('dist/cli.js'), '#!/usr/bin/env node');
    assert.is(first('dist/boot-worker.js'), '');

    const run = (path: string) =>
      spawnSync(process.execPath, ['--enable-source-maps', join(root, path)], { encoding: 'utf8' });
    assert.is(run('dist/cli.js').stdout, 'cli\n');
    const thrown = run('dist/explore-worker.js');
    assert.is(thrown.stdout, 'explore\n');
    assert.match(thrown.stderr, /tools\/command\/explore\/explore-worker\.ts:3:7/);
  },
);

build('two builds of the firmware are the same bytes, wherever they run', async () => {
  const here = process.cwd();
  const first = await bundle(FIRMWARE);
  process.chdir(tmpdir());
  const second = await bundle(FIRMWARE).finally(() => process.chdir(here));
  assert.equal([...first.keys()], ['dist/hypxe.js.map', 'dist/hypxe.js']);
  for (const [path, bytes] of first) {
    assert.ok(Buffer.from(bytes).equals(Buffer.from(second.get(path)!)), path);
    assert.not.ok(Buffer.from(bytes).includes(ROOT), `${path} names the machine that built it`);
  }
});

/** The names in a folder and below, in order. */
function names(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).map(String).sort();
}

/** A build of what the package has, and what it prints. */
async function buildInto(root: string): Promise<string[]> {
  const printed: string[] = [];
  const log = console.log;
  console.log = (line: string) => void printed.push(line);
  try {
    await buildAll({ root, types: false, published: true });
  } finally {
    console.log = log;
  }
  return printed;
}

build('what was in dist/ does not matter, and what others left there goes', async ({ root }) => {
  const dist = join(root, 'dist');
  const files = () => new Map(names(dist).map((name) => [name, contents(join(dist, name))]));

  const printed = await buildInto(root);
  const first = files();
  const published = TARGETS.filter(({ unpublished }) => !unpublished);
  for (const name of published.flatMap(({ entries }) => Object.keys(entries))) {
    assert.ok(first.has(`${name}.js`), name);
    const line = new RegExp(`^  dist/${name}\\.js +\\d+\\.\\d KiB`);
    assert.ok(
      printed.some((text) => line.test(text)),
      `${name}: ${printed}`,
    );
  }
  assert.equal(
    readdirSync(join(dist, 'traces')).sort(),
    TRACES.map((name) => `${name}.json`),
  );

  write(dist, {
    'bench.js': 'not published',
    'shared-OLD.js': '',
    'hypxe.js.map': '{}',
    'hypxe.js': 'broken',
    'traces/old.json': '{}',
    'types/old.d.ts': '',
    'notes.txt': 'my own',
  });
  assert.equal(await buildInto(root), printed);
  const second = files();
  // Declarations were not asked for, and what no build makes is not its business
  for (const name of ['types', 'types/old.d.ts', 'notes.txt']) assert.ok(second.delete(name), name);
  assert.equal(second, first);
});

build('started in a folder of links, it does not just do nothing', ({ root }) => {
  for (const name of readdirSync(ROOT)) symlinkSync(join(ROOT, name), join(root, name));
  const { status, stderr } = spawnSync(process.execPath, ['tools/build/build.mjs', '--typs'], {
    cwd: root,
    encoding: 'utf8',
  });
  assert.is(stderr, 'build: unknown option --typs (known: --quiet, --no-types, --package)\n');
  assert.is(status, 2);
});

build.run();

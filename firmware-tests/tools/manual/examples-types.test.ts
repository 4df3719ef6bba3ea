// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The programs of the manual compile with the project's strict settings: as the JavaScript that
 * they are, and, unless their types stand in comments, as TypeScript too.
 */

import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { copyOfTree, examplesOf, writeExample, type ExampleFile } from '../../rigs/manual-rig.ts';
import { readBooks } from '../../../tools/manual/books.ts';

const TSC = join(
  dirname(createRequire(import.meta.url).resolve('typescript/package.json')),
  'bin/tsc',
);

const examples = readBooks()
  .flatMap(examplesOf)
  .flatMap((example) => ('file' in example ? [example, ...asTypeScript(example)] : []));

/** Types in comments mean nothing in TypeScript. */
function asTypeScript({ file, text }: ExampleFile): ExampleFile[] {
  if (!file.endsWith('.js') || /@param|@type/.test(text)) return [];
  return [{ file: file.replace(/\.js$/, '-typed.ts'), text }];
}

/** Compile the examples. Returns what the type checker says. */
function compile(folder: string, files: readonly ExampleFile[]): string {
  for (const example of files) writeExample(folder, example);
  const paths = {
    hypxe: ['./src/index.ts'],
    'hypxe/simulator': ['./tools/library/index.ts'],
    'hypxe/x64': ['./src/x64.ts'],
  };
  const config = {
    extends: './tsconfig.json',
    compilerOptions: { paths },
    include: [],
    files: files.map(({ file }) => file),
  };
  writeFileSync(join(folder, 'tsconfig.examples.json'), JSON.stringify(config));
  const args = [TSC, '-p', 'tsconfig.examples.json'];
  return spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' }).stdout;
}

const types = suite('manual: types');
let folder = '';
types.before(() => void (folder = copyOfTree()));
types.after(() => rmSync(folder, { recursive: true, force: true }));

types('every program of the manual compiles under strict TypeScript', () => {
  assert.ok(examples.length >= 4);
  assert.is(compile(folder, examples), '');
});

types('what strict TypeScript refuses is noticed', () => {
  const text = "import { profileNamed } from 'hypxe/simulator';\nprofileNamed('x').name;\n";
  assert.match(compile(folder, [{ file: 'out/wrong.js', text }]), /out\/wrong\.js.*undefined/);
});

types.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the manual says that something is shown by is there: test files that it names, and the tests
 * in its column *shown by*.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ROOT } from '../../../tools/build/build.mjs';

const shown = suite('manual: shown by');

const read = (file: string): string => fs.readFileSync(path.join(ROOT, file), 'utf8');

function filesBelow(folder: string, ending: string): string[] {
  const all = fs.readdirSync(path.join(ROOT, folder), { recursive: true }) as string[];
  return all
    .map((file) => `${folder}/${file.replaceAll(path.sep, '/')}`)
    .filter((file) => file.endsWith(ending));
}

const BOOKS = ['src', 'tools', 'firmware-tests'].flatMap((folder) =>
  filesBelow(folder, 'README.md'),
);
const TESTS = filesBelow('firmware-tests', '.test.ts');
const SOURCES = filesBelow('firmware-tests', '.ts').map(read);

shown('test files that are named are there', () => {
  let named = 0;
  for (const book of ['README.md', ...BOOKS]) {
    for (const [, name] of read(book).matchAll(/([\w./-]+\.test\.ts)\b/g)) {
      // How to write one
      if (/(?:NAME|example)\.test\.ts$/.test(name!)) continue;
      named++;
      const end = `/${name!.replace(/^(?:\.\.?\/)+/, '')}`;
      assert.ok(
        TESTS.some((file) => `/${file}`.endsWith(end)),
        `${book}: ${name}`,
      );
    }
  }
  assert.ok(named > 30, `${named}`);
});

/** Whether a test is called so: its name may be put together from two texts of one file. */
function isTest(name: string): boolean {
  const words = name.replace(/ …$/, '').split(' ');
  return SOURCES.some((source) =>
    words.some((_, i) => {
      const [first, rest] = [words.slice(0, i).join(' '), words.slice(i).join(' ')];
      return source.includes(first) && source.includes(rest);
    }),
  );
}

shown('tests that are named are there', () => {
  const rows = read('tools/guests/README.md')
    .split('\n')
    .filter((line) => /^\|.*(?:\.test\.ts`|\*) \|$/.test(line));
  assert.ok(rows.length >= 7, `${rows.length}`);
  for (const row of rows) {
    const by = row.split('|').at(-2)!;
    for (const [, name] of by.matchAll(/\*([^*]+)\*/g)) assert.ok(isTest(name!), name);
  }
  assert.not.ok(isTest(['written', 'has', 'nobody', 'that', 'one'].reverse().join(' ')));
});

shown.run();

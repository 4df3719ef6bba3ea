// SPDX-License-Identifier: GPL-2.0-or-later

/** The tables of the manual: each line names a test that there is. */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

/** Names of the tests of a file: what stands in a template may be anything. */
function testsOf(file: string): RegExp[] {
  const folder = file === 'receive' ? '../netvsc' : '.';
  const source = read(`${folder}/${file}.test.ts`);
  const names = [...source.matchAll(/^\s*\w+\(\s*(['"`])((?:(?!\1)[^\\]|\\.)*)\1,/gm)];
  return names.map(([, , name = '']) => {
    const parts = name
      .split(/\$\{[^}]*\}/)
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${parts.join('.+')}$`);
  });
}

const manual = suite('manual of the network client');

manual('each test that a table names is there', () => {
  const rows = [...read('../../../src/net/README.md').matchAll(/([a-z-]+): \*([^*]+)\*/g)];
  assert.ok(rows.length > 60, `${rows.length} rows`);
  const missing = rows.filter(
    ([, file = '', name = '']) => !testsOf(file).some((test) => test.test(name)),
  );
  assert.equal(
    missing.map(([text]) => text),
    [],
  );
});

manual.run();

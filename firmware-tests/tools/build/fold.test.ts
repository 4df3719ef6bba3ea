// SPDX-License-Identifier: GPL-2.0-or-later

/** The step of the bundler that makes numbers of the tables of wire definitions. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FoldError, fold, foldNumbers } from '../../../tools/build/fold-protocol.mjs';

/** What a protocol file exports. */
const EXPORTS = {
  Header: { name: 'hdr', size: 20, at: { type: 0, flags: 4 }, sizes: { type: 2, flags: 2 } },
  Kind: { NONE: 0, DATA: 6, LAST: -1 },
  Mask: { ENABLE: 1n, ALL: 0xffff_ffff_ffff_ffffn },
  TEXTS: ['no', 'yes'],
  LIMIT: 512,
  WIDE: 1n << 40n,
};

const folded = (body: string, names = 'Header, Kind, Mask, TEXTS, LIMIT, WIDE'): Promise<string> =>
  fold(`import { ${names} } from './protocol.ts';\n${body}`, () => Promise.resolve(EXPORTS));

/** The code without the import and white space. */
async function codeOf(body: string): Promise<string> {
  const code = await folded(body);
  return code
    .replace(/^import .*\n/, '')
    .replace(/\s+/g, ' ')
    .trim();
}

const test = suite('fold');

test('offsets, sizes, members, numbers and bigints become what they are', async () => {
  assert.is(await codeOf('f(Header.at.flags, Header.size);'), 'f(4, 20);');
  assert.is(await codeOf('f(Header.sizes.type + Kind.DATA);'), 'f(2 + 6);');
  assert.is(await codeOf('f(x - Kind.LAST);'), 'f(x - -1);');
  assert.is(await codeOf('f(Header.name);'), 'f("hdr");');
  assert.is(await codeOf('f(LIMIT, { LIMIT });'), 'f(512, { LIMIT: 512 });');
  assert.is(
    await codeOf('f(Mask.ENABLE | Mask.ALL, WIDE);'),
    'f(1n | 18446744073709551615n, 1099511627776n);',
  );
});

test('nothing is added to where a structure begins', async () => {
  assert.is(await codeOf('f(x + Header.at.type, Header.at.type + x);'), 'f(x, 0 + x);');
  assert.is(await codeOf('f(x + Header.at.flags);'), 'f(x + 4);');
});

test('a field that is only declared is not there before the constructor has made it', async () => {
  const body = 'class A { a: number; b = 1; constructor(a: number) { this.a = a; } }';
  assert.is(await codeOf(body), 'class A { constructor(a) { this.b = 1; this.a = a; } }');
});

test('in templates, under quoted members, and in front of others', async () => {
  assert.is(await codeOf('f(Kind["DATA"]);'), 'f(6);');
  assert.is(await codeOf('f(`${Kind.DATA} of ${LIMIT}`);'), 'f(`${6} of ${512}`);');
  assert.is(await codeOf('f(Kind.DATA.toString(16));'), 'f(6 .toString(16));');
  assert.is(await codeOf('f(2n ** Mask.ENABLE);'), 'f(2n ** 1n);');
});

test('not in strings, and not in what is a member or a key of something else', async () => {
  for (const same of [
    'f("Kind.DATA", `Kind.DATA`);',
    'f(x.Kind.DATA, x?.Kind.DATA, this.LIMIT);',
    'f({ LIMIT: 1, Kind: { DATA: 2 } });',
    'f(Kind, Header.at, TEXTS[1]);',
    'f(Kind[DATA]);',
  ])
    assert.is(await codeOf(same), same);
  assert.is(await codeOf('// Kind.DATA\nf(/* LIMIT */ Kind.DATA);'), 'f( /* LIMIT */ 6 );');
});

test('a name that means something else in its scope is left alone', async () => {
  for (const same of [
    'function f(Kind) { return Kind.DATA; }',
    'const f = ({ LIMIT }) => LIMIT;',
    'try { f(); } catch (Kind) { g(Kind.DATA); }',
    '{ const Header = f(); g(Header.at.flags); }',
    'for (const LIMIT of f()) g(LIMIT);',
    'class A { #Kind = 1; f() { return this.#Kind.DATA; } }',
  ])
    assert.is(await codeOf(same), same);
  // The outer one is still folded
  const both = 'const f = (Kind) => Kind.DATA; g(Kind.DATA);';
  assert.match(await codeOf(both), /^const f = \((Kind\d*)\) => \1\.DATA; g\(6\);$/);
});

test('what is left of a table still has its import, types have not', async () => {
  const code = await folded('f(Kind, LIMIT);', 'Kind, type Header, LIMIT');
  assert.match(code, /^import \{ Kind, LIMIT \} from '\.\/protocol\.ts';\n/);
});

test('what cannot be folded rightly is refused', async () => {
  const refused = async (names: string, exports: object = EXPORTS): Promise<void> => {
    const source = `import { ${names} } from './protocol.ts';\n`;
    try {
      await fold(source, () => Promise.resolve({ ...exports }));
    } catch (error) {
      assert.instance(error, FoldError);
      return;
    }
    assert.unreachable(names);
  };
  await refused('Kind as Sort');
  await refused('Gone');
  await refused('Debt', { Debt: { OWED: -1n } });
});

test('plain numbers of a file: replaced in it, and first in it for others', async () => {
  const code = await foldNumbers(
    [
      'import { f } from "./f.ts";',
      'const PAGES = 4;',
      'export const BYTES = 1 << 12;',
      'export const MS = 1e3 * 60;',
      'const other = f(1);',
      'f(PAGES * BYTES, { MS }, (x) => x.PAGES);',
      '',
    ].join('\n'),
  );
  assert.is(
    code.replace(/\n/g, ' ').trim(),
    'export const BYTES = 4096; export const MS = 60000; import { f } from "./f.ts"; ' +
      'const other = f(1); f(4 * 4096, { MS: 6e4 }, (x) => x.PAGES);',
  );
});

test.run();

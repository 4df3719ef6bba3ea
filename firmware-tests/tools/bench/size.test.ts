// SPDX-License-Identifier: GPL-2.0-or-later

/** How large the firmware is: a figure that grows, or shrinks, is a decision. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bundleSizes, sizeSection } from '../../../tools/bench/size.ts';
import { sectionText } from '../../../tools/bench/section.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Bytes, minified and gzipped. A change by more than the margin belongs here, with its reason. */
const FIGURES: Readonly<Record<string, number>> = {
  hypxe: 26_744,
  x64: 23_999,
  arm64: 24_257,
  os: 45_170,
  'drivers x64': 14_532,
  'drivers arm64': 14_790,
};
const MARGIN = 0.01;

/** What the firmware of one architecture, and drivers alone, may be at most, within the margin. */
const BOUNDS: Readonly<Record<string, number>> = {
  x64: 24_072,
  arm64: 24_072,
  'drivers x64': 14_524,
};

const size = suite('size');
const sizes = await bundleSizes(ROOT);

size('each form is smaller than the one before, each part than the whole', () => {
  for (const { raw, rawGzip, minified, minifiedGzip } of sizes)
    assert.ok(minifiedGzip < minified && minified < raw && rawGzip < raw);
  const gzip = Object.fromEntries(sizes.map((one) => [one.name, one.minifiedGzip]));
  for (const architecture of ['x64', 'arm64'])
    assert.ok(gzip[`drivers ${architecture}`]! < gzip[architecture]!, architecture);
  assert.ok(gzip['x64']! < gzip['os']! && gzip['hypxe']! < gzip['os']!);
});

size('the firmware of one architecture stays small', () => {
  const large = sizes.filter(
    ({ name, minifiedGzip }) => minifiedGzip > (BOUNDS[name] ?? Infinity) * (1 + MARGIN),
  );
  assert.equal(large, []);
});

size('no figure has changed', () => {
  assert.equal(
    sizes.map(({ name }) => name),
    Object.keys(FIGURES),
  );
  const changed = sizes.filter(
    ({ name, minifiedGzip }) => Math.abs(minifiedGzip / FIGURES[name]! - 1) > MARGIN,
  );
  assert.equal(
    changed.map(({ name, minifiedGzip }) => `${name}: ${FIGURES[name]} are ${minifiedGzip} now`),
    [],
  );
});

size('the manual has them', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const [, head = '', row = ''] = /^(\| `hypxe` \|.*)\n.*\n(.*)$/m.exec(readme) ?? [];
  const cells = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((one) => one.trim());
  const names = cells(head).map((name) => name.replace(/`(?:hypxe\/)?/g, ''));
  assert.equal(names, Object.keys(FIGURES));
  const wrong = cells(row).filter((text, i) => {
    const { minifiedGzip } = sizes.find(({ name }) => name === names[i])!;
    return Math.abs(Number(text.replaceAll(' ', '')) / minifiedGzip - 1) > MARGIN;
  });
  assert.equal(wrong, []);
});

size('measured is what is built: dist/NAME.min.js, but for its first line and its map', () => {
  for (const name of ['hypxe', 'x64', 'arm64', 'os']) {
    const file = new URL(`../../../dist/${name}.min.js`, import.meta.url);
    const code = readFileSync(file, 'utf8').replace(/^\/\/.*\n/, '');
    const length = Buffer.byteLength(code.replace(/\n\/\/# sourceMappingURL=.*(?=\n$)/, ''));
    assert.is(sizes.find((one) => one.name === name)?.minified, length, name);
  }
});

size("the table has iPXE's figures at its end", () => {
  const text = sectionText(sizeSection(sizes));
  assert.match(text, /\n  iPXE +4 +9 305 +5 833 *\n/);
});

size.run();

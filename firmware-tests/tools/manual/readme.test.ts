// SPDX-License-Identifier: GPL-2.0-or-later

/** The manual as texts: its generated parts, its links, its length, and the tree that it shows. */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ROOT, blocksOf, oddBlocks, readBooks, type Book } from '../../../tools/manual/books.ts';
import { examplesOf } from '../../rigs/manual-rig.ts';
import { anchorsOf, brokenLinks, linksOf } from '../../../tools/manual/links.ts';
import { ManualError, oversize, regenerate } from '../../../tools/manual/readme.ts';

const books = readBooks();
const readme = books[0]!;
const manual = suite('manual');

manual('the generated parts are up to date', () => {
  assert.equal(regenerate(books), books, 'run npm run readme');
});

const marker = (name: string): string => `<!-- generated: ${name} -->\n<!-- end -->\n`;

for (const [what, path, text, says] of [
  ['a marker that names no part', 'a.md', marker('nothing'), /a\.md: there is no part nothing/],
  ['a part that is in two files', 'a.md', marker('audit'), /audit is in a\.md already/],
] as const) {
  manual(`${what} is an error`, () => {
    const wrong = () => regenerate([{ path, text }, ...books]);
    assert.throws(
      wrong,
      (error: Error) => error instanceof ManualError && says.test(error.message),
    );
  });
}

manual('a part without a marker is an error', () => {
  const text = readme.text.replace(/<!-- generated: boot-log -->|<!-- end -->/g, '');
  const wrong = () => regenerate([{ ...readme, text }, ...books.slice(1)]);
  assert.throws(wrong, /no README\.md has a marker for the part boot-log/);
});

for (const text of [
  '<!-- generated: Boot_Log -->\n<!-- end -->\n',
  '<!--generated: audit-->\n<!-- end -->\n',
  '<!-- generated:audit -->\n<!-- end -->\n',
  '<!-- Generated: audit -->\n<!-- end -->\n',
  '<!-- end -->\n',
  '<!-- generated: help\n-->\n<!-- end -->\n',
  '<!-- a remark -->\n',
]) {
  manual(`${JSON.stringify(text)} is no marker`, () => {
    const wrong = () => regenerate([{ path: 'a.md', text: `Text.\n${text}` }, ...books]);
    assert.throws(
      wrong,
      (error: Error) =>
        error instanceof ManualError && /^a\.md:2: .* is no marker/s.test(error.message),
    );
  });
}

manual('a marker without an end is an error', () => {
  const text = '<!-- generated: help -->\n';
  const wrong = () => regenerate([{ path: 'a.md', text }, ...books]);
  assert.throws(wrong, /a\.md: the last marker has no <!-- end -->/);
});

manual('a marker in code is none', () => {
  const text = '`<!-- generated: NAME -->`\n\n```text\n<!-- x -->\n```\n';
  assert.is(regenerate([{ path: 'a.md', text }, ...books])[0]?.text, text);
});

manual('the first block is what a newcomer runs', () => {
  const first = blocksOf(readme.text).find(({ language }) => language === 'sh');
  assert.is(first?.text, 'npm ci && npm start\nnpm ci && npm test\n');
});

manual('README.md is read in one sitting, and no line but those of tables is too wide', () => {
  assert.equal(oversize(books), []);
  const wide = `${'x'.repeat(121)}\n`;
  assert.equal(oversize([{ path: 'a.md', text: `# A\n${'x'.repeat(120)}\n|${wide}${wide}` }]), [
    'a.md:4: 121 columns, at most 120',
  ]);
  assert.equal(oversize([{ path: 'a.md', text: 'x\n'.repeat(350) }]), []);
  assert.equal(oversize([{ path: 'a.md', text: 'x\n'.repeat(351) }]), [
    'a.md: 351 lines, at most 350',
  ]);
});

// --- examples ---

manual('examples are files, commands, exit codes and what is printed', () => {
  const text = `
\`\`\`js
// out/a.js
x();
\`\`\`

\`\`\`sh
one
two    # exit code 3
\`\`\`

\`\`\`text
printed
\`\`\`

Prose.

\`\`\`text
not printed
\`\`\`

\`\`\`console
$ not run
\`\`\`
`;
  assert.equal(examplesOf({ path: 'a.md', text }), [
    { file: 'out/a.js', text: '// out/a.js\nx();\n' },
    { command: 'one', exitCode: 0, prints: [] },
    { command: 'two', exitCode: 3, prints: ['printed'] },
  ]);
});

for (const opening of [
  ...['```bash', '```shell', '```sh title="x"', '```sh ', '``` sh', '```', '```javascript'],
  ...['```typescript', '```mjs', '```SH', '````sh', '~~~sh', '  ```sh', '> ```sh', '\t```js'],
]) {
  const good = ['```sh', '``` sh', '```sh '].includes(opening);
  manual(`a block ${JSON.stringify(opening)} is ${good ? 'one' : 'an error'}`, () => {
    const [, before = '', fence = ''] = /^([ \t>]*)([`~]+)/.exec(opening)!;
    const text = `${opening}\none\n${before}${fence}\n\n\`\`\`sh\ntwo\n\`\`\`\n`;
    const odd = oddBlocks({ path: 'a.md', text });
    assert.is(odd.length, good ? 0 : 1, odd.join('\n'));
    if (!good) assert.ok(odd[0]!.startsWith('a.md:1: '), odd[0]);
    // The block behind it is still seen
    assert.is(blocksOf(text).at(-1)?.text, 'two\n');
    if (!good) assert.throws(() => regenerate([{ path: 'a.md', text }, ...books]), /^a\.md:1: /);
  });
}

manual('a block without an end is an error', () => {
  assert.equal(oddBlocks({ path: 'a.md', text: '\n```sh\none\n' }), [
    'a.md:2: the block has no end',
  ]);
});

manual('the blocks of the manual are tested as what they are', () => {
  assert.equal(books.flatMap(oddBlocks), []);
});

manual('a program without a file name is an error: nobody would test it', () => {
  const text = '```js\nx();\n```\n';
  assert.throws(() => examplesOf({ path: 'a.md', text }), /a\.md:1: the example has no file name/);
});

// --- links ---

manual('every link leads to a file and a heading that are there', () => {
  assert.equal(
    brokenLinks(books, (path) => existsSync(join(ROOT, path))),
    [],
  );
});

manual('a link to nothing is found', () => {
  const text =
    '# One\n\n[a](x.md) `[b](y.md)` [c](#one) [d](#two) [e](../b.md#one) [f](https://x)\n';
  const some: Book[] = [
    { path: 'room/a.md', text },
    { path: 'b.md', text: '# Two' },
  ];
  const here = (path: string): boolean => some.some((book) => book.path === path);
  assert.equal(brokenLinks(some, here), [
    'room/a.md:3: there is no room/x.md',
    'room/a.md:3: room/a.md has no heading #two',
    'room/a.md:3: b.md has no heading #one',
  ]);
});

for (const [text, says] of [
  ['[a][b]', 'a.md:1: a link by reference: write [text](file)'],
  ['x\n[b]: x.md', 'a.md:2: a link by reference: write [text](file)'],
  ['[a](<x.md>)', 'a.md:1: a link in angle brackets: write [text](file)'],
  ['[a](a.md "title")', 'a.md:1: a link with a title or a space: write [text](file)'],
  ['[a]( a.md)', 'a.md:1: a link with a title or a space: write [text](file)'],
  ['[a]()', 'a.md:1: a link to nothing: write [text](file)'],
  ['<a href="x.md">x</a>', 'a.md:1: a link of HTML: write [text](file)'],
  ['<A\nid="x">', 'a.md:1: a link of HTML: write [text](file)'],
  ['[a](dist/cli.js)', 'a.md:1: dist/cli.js is no file of the project'],
  ['[a](out/a.js)', 'a.md:1: out/a.js is no file of the project'],
  [
    '[a](node_modules/uvu/readme.md)',
    'a.md:1: node_modules/uvu/readme.md is no file of the project',
  ],
  ['[a](../b.md)', 'a.md:1: ../b.md is no file of the project'],
  ['~~~sh\n~~~\n[a](../b.md)', 'a.md:3: ../b.md is no file of the project'],
] as const) {
  manual(`${JSON.stringify(text)} is refused`, () => {
    const found = brokenLinks([{ path: 'a.md', text }], () => true);
    assert.ok(found.includes(says), found.join('\n'));
  });
}

manual('headings have the names that GitHub gives them', () => {
  const text = '# `Machine`, the seam\n## A b-c\n## A b-c\n```sh\n# no heading\n```\n';
  assert.equal([...anchorsOf(text)], ['machine-the-seam', 'a-b-c', 'a-b-c-1']);
});

manual('README.md leads to every room that has a text', () => {
  const targets = linksOf(readme).map(({ file }) => file);
  const unreached = books.slice(1).filter(({ path }) => !targets.includes(path));
  const reached = books.filter(({ path }) => targets.includes(path)).flatMap(linksOf);
  const further = reached.map(({ file }) => file);
  const lost = unreached.filter(({ path }) => !further.includes(path)).map(({ path }) => path);
  assert.equal(lost, []);
});

// --- the tree ---

/** The folders that README.md lists, from the top. */
function listedFolders(): string[] {
  const tree = blocksOf(readme.text).find(({ text }) => text.startsWith('src/ '))!;
  const parents: string[] = [];
  return tree.text.split('\n').flatMap((line) => {
    const [, indent, name] = /^( *)(\S+\/) {2,}\S/.exec(line) ?? [];
    if (indent === undefined || name === undefined) return [];
    parents.splice(indent.length / 2, parents.length, name);
    return [parents.join('')];
  });
}

/** The folders in a folder. */
function foldersIn(path: string): string[] {
  return readdirSync(join(ROOT, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${path}${entry.name}/`);
}

manual('the tree in README.md has each folder, and none that is not there', () => {
  const houses = ['src/', 'tools/', 'firmware-tests/'];
  const folders = [...houses, ...houses.flatMap(foldersIn), ...foldersIn('tools/simulator/')];
  assert.equal(listedFolders().sort(), folders.sort());
});

manual.run();

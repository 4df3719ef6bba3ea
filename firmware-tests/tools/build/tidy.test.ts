// SPDX-License-Identifier: GPL-2.0-or-later

/** The project's own rules, on the tree as it is and on samples that break them. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RULES, checkFile } from '../../../tools/build/tidy-rules.mjs';
import { sourceFile } from '../../../tools/build/source-file.mjs';
import { unknownKinds } from '../../../tools/build/tidy-kinds.mjs';
import { FOLDER_FILES_MAX, importCircles, looseFiles } from '../../../tools/build/tidy-tree.mjs';
import { forbiddenImport } from '../../../tools/build/tidy-walls.mjs';
import { checkTree, findingText, topLevel } from '../../../tools/build/tidy.mjs';
import { tokenise } from '../../../tools/build/tokens.mjs';

const SPDX = '// SPDX-License-Identifier: GPL-2.0-or-later\n';

/** Rule, path and text of something that must be found, and on which line. */
type Sample = readonly [rule: string, path: string, text: string, line: number];

/** In a file of tools/ that is otherwise as it should be. */
const inTools = (text: string): Sample => ['walls', 'tools/flow/sample.ts', SPDX + text, 2];

/** In a file that is otherwise as it should be: the sample begins on line 2. */
const inSource = (rule: string, text: string, line = 2): Sample => [
  rule,
  'src/net/sample.ts',
  SPDX + text,
  line,
];

const body = (lines: number) => '  step();\n'.repeat(lines);
const LONG_STATEMENT = `const text = '${'word '.repeat(20)}';\n`;

const BAD: readonly Sample[] = [
  inSource('walls', "import { readFile } from 'node:fs';\n"),
  inSource('walls', "import '../../tools/simulator/clock.ts';\n"),
  inSource('walls', "import type { HyperV } from '../hyperv/hyperv.ts';\n"),
  inSource('walls', "export { HyperV } from '../hyperv/hyperv.ts';\n"),
  inSource('walls', "type Lazy = import('../vmbus/bus.ts').VmbusBus;\n"),
  inTools('const a = await import(`../os/${name}.ts`);\n'),
  inTools('const a = await import(`../os/kernel.ts`);\n'),
  inTools('const a = await import(name);\n'),
  inTools("const a = await import('../command/' + name);\n"),
  inTools("import a = require('../command/cli.ts');\n"),
  inTools('/// <reference path="../command/cli.ts" />\n'),
  inTools("import './boot-flow';\n"),
  inTools("import './boot-flow.js';\n"),
  inSource('banned', 'export async function run(): Promise<void> {}\n'),
  inSource('banned', 'const later = () => setTimeout(step, 1);\n'),
  inSource('banned', 'const seed = Math.random();\n'),
  inSource('banned', 'const now = new Date();\n'),
  inSource('banned', '\nconst now = Date.now();\n', 3),
  inSource('banned', 'const now = performance.now();\n'),
  inSource('banned', "console.log('a');\n"),
  inSource('banned', 'const text = `a ${process.argv[0]} b`;\n'),
  inSource('banned', "const fs = require('fs');\n"),
  inSource('banned', "const module = await import('./other.ts');\n"),
  inSource('banned', "const run = new Function('return 1');\n"),
  inSource('banned', "eval('1');\n"),
  inSource('banned', 'const bytes = new TextEncoder().encode(text);\n'),
  inSource('banned', 'const copy = structuredClone(value);\n'),
  inSource('banned', 'Atomics.wait(view, 0, 0);\n'),
  inSource('banned', 'const memory = new ArrayBuffer(1, { maxByteLength: 2 });\n'),
  ['banned', 'tools/simulator/sample.ts', `${SPDX}const seed = Math.random();\n`, 2],
  inSource('any', 'let value: any;\n'),
  inSource('any', 'const list = value as any[];\n'),
  inSource('any', 'const map = new Map<string, any>();\n'),
  inSource('columns', LONG_STATEMENT),
  inSource('file-length', '\n'.repeat(400), 401),
  inSource('function-length', `function long(): void {\n${body(70)}}\n`),
  inSource('function-length', `const long = (a: number) => {\n${body(70)}};\n`),
  inSource(
    'function-length',
    `class A {\n  long(a: { b: number }): Map<A, B> {\n${body(70)}}\n}\n`,
    3,
  ),
  ['spdx', 'src/net/sample.ts', '/** A file. */\n', 1],
  ['spdx', 'tools/build/sample.mjs', `\n${SPDX}`, 1],
  inSource('enum', 'export const enum Colour { RED }\n'),
  inSource('exports', 'export default function run() {}\n'),
  inSource('exports', 'export { run as default };\n'),
  inSource('exports', "export * from './other.ts';\n"),
  ['exports', 'tools/library/index.ts', `${SPDX}export * from '../flow/stage.ts';\n`, 2],
  ['only', 'firmware-tests/sample.test.ts', `${SPDX}ring.only('a', () => {});\n`, 2],
  ['only', 'firmware-tests/sample.test.ts', `${SPDX}ring.skip('a', () => {});\n`, 2],
  inSource('left-open', '// TO' + 'DO: later\n'),
  inSource('left-open', 'step(); // XX' + 'X\n'),
  inSource('build-machine', "const path = '/wo" + "rk/main';\n"),
  ['name', 'src/net/badName.ts', SPDX, 1],
  ['name', 'src/Net/good-name.ts', SPDX, 1],
  ['name', 'firmware-tests/bad_name.test.ts', SPDX, 1],
];

/** What looks like it, and is allowed. */
const GOOD: readonly (readonly [path: string, text: string])[] = [
  ['src/net/sample.ts', `${SPDX}// async, await, setTimeout, console.log, any, enum\n`],
  ['src/net/sample.ts', `${SPDX}/* Math.random()\n * new Date() */\n`],
  ['src/net/sample.ts', `${SPDX}const text = 'process.exit() ' + "require('x')";\n`],
  ['src/net/sample.ts', `${SPDX}const text = \`\${name} says await \\\` \${\`console\`}\`;\n`],
  ['src/net/sample.ts', `${SPDX}const found = /\\/\\/ ["'\`] eval/.test(text) ? a / b / c : 1;\n`],
  ['src/net/sample.ts', `${SPDX}const event = { process: 1, performance: 2 };\nring.process();\n`],
  ['src/net/sample.ts', `${SPDX}import { HypxeError } from '../error.ts';\nconst any = 1;\n`],
  ['src/net/sample.ts', `${SPDX}// https://example.org/${'a-rather-long-path/'.repeat(6)}\n`],
  ['src/net/sample.ts', `${SPDX}function good(): void {\n${body(68)}}\n`],
  ['src/net/sample.ts', `${SPDX}export const TABLE = {\n${'  a: 1,\n'.repeat(80)}};\n`],
  ['src/net/sample.ts', `${SPDX}class Good {\n${'  a = 1;\n'.repeat(80)}}\n`],
  ['src/driver.ts', `${SPDX}import { HyperV } from './hyperv/hyperv.ts';\n`],
  ['tools/simulator/sample.ts', `${SPDX}import { Msr } from '../../src/hyperv/protocol.ts';\n`],
  ['tools/library/index.ts', `${SPDX}export * from '../simulator/index.ts';\n`],
  ['tools/command/cli.ts', `${SPDX}import { readFileSync } from 'node:fs';\nawait run();\n`],
  ['tools/bench/cli.ts', `${SPDX}const firmware = await import(file.href);\n`],
  ['tools/flow/sample.ts', `${SPDX}const url = import.meta.url;\nawait import('./stage.ts');\n`],
  [
    'firmware-tests/sample.test.ts',
    `${SPDX}import { suite } from 'uvu';\nconst now = new Date();\n`,
  ],
];

const tidy = suite('tidy');

tidy('the tree keeps the rules', () => {
  const findings = checkTree().filter((finding) => !finding.warning);
  assert.equal(findings.map(findingText), []);
});

for (const [rule, path, text, line] of BAD) {
  const name = `${path}: ${text.replace(SPDX, '').trim().split('\n')[0]}`.slice(0, 80);
  tidy(`${rule} finds ${name}`, () => {
    const found = checkFile(path, text).filter((finding) => !finding.warning);
    assert.ok(
      found.some((finding) => finding.rule === rule && finding.line === line),
      `found only ${JSON.stringify(found)}`,
    );
  });
}

for (const [index, [path, text]] of GOOD.entries()) {
  tidy(`nothing is found in good sample ${index} (${path})`, () => {
    const findings = checkFile(path, text).filter((finding) => !finding.warning);
    assert.equal(findings.map(findingText), []);
  });
}

tidy('each rule has a sample that breaks it', () => {
  const names = new Set(BAD.map(([rule]) => rule));
  assert.equal([...names].sort(), RULES.map((rule) => rule.name).sort());
});

tidy('a file above 300 lines is warned of, not refused', () => {
  const [finding, ...others] = checkFile('src/net/sample.ts', SPDX + '\n'.repeat(350));
  assert.equal([finding?.rule, finding?.warning, others], ['file-length', true, []]);
});

tidy('nothing but the three houses stands at the top', () => {
  const allowed = ['src', 'tools', 'firmware-tests', 'package.json', '.ci', 'README.md'];
  assert.equal(topLevel(allowed), []);
  assert.equal(
    topLevel([...allowed, 'docs', 'index.ts']).map(({ path }) => path),
    ['docs', 'index.ts'],
  );
});

/** Files by their paths, and the circle that is found among them, if any. */
const CIRCLES: readonly (readonly [files: Readonly<Record<string, string>>, found: string[]])[] = [
  [{ 'src/a.ts': "import { b } from './b.ts';\n", 'src/b.ts': '' }, []],
  [
    { 'src/a.ts': "\nimport { b } from './b.ts';\n", 'src/b.ts': "export { a } from './a.ts';\n" },
    ['src/a.ts:2: circle: imports itself: src/a.ts -> src/b.ts -> src/a.ts'],
  ],
  [
    {
      'tools/os/b.ts': "import type { C } from '../flow/c.ts';\n",
      'tools/flow/c.ts': "type A = import('../os/a.ts').A;\n",
      'tools/os/a.ts': "import './b.ts';\n",
    },
    [
      'tools/flow/c.ts:1: circle: imports itself: ' +
        'tools/flow/c.ts -> tools/os/a.ts -> tools/os/b.ts -> tools/flow/c.ts',
    ],
  ],
  [
    {
      'tools/build/a.mjs': "/** @typedef {import('./b.mjs').B} B */\n",
      'tools/build/b.mjs': "await import('./a.mjs');\n",
    },
    [
      'tools/build/a.mjs:1: circle: imports itself: ' +
        'tools/build/a.mjs -> tools/build/b.mjs -> tools/build/a.mjs',
    ],
  ],
  [
    { 'firmware-tests/rigs/a.ts': "import './a.ts';\n" },
    [
      'firmware-tests/rigs/a.ts:1: circle: imports itself: ' +
        'firmware-tests/rigs/a.ts -> firmware-tests/rigs/a.ts',
    ],
  ],
];

for (const [index, [texts, expected]] of CIRCLES.entries()) {
  tidy(`circles of imports are found in sample ${index}`, () => {
    const files = Object.entries(texts).map(([path, text]) => sourceFile(path, text));
    assert.equal(importCircles(files).map(findingText), expected);
  });
}

tidy('two circles through one file are both found', () => {
  const files = [
    sourceFile('src/a.ts', "import './b.ts';\n"),
    sourceFile('src/b.ts', "import './a.ts';\nimport './c.ts';\n"),
    sourceFile('src/c.ts', "import './b.ts';\n"),
  ];
  assert.equal(
    importCircles(files).map(({ path, line }) => [path, line]),
    [
      ['src/a.ts', 1],
      ['src/b.ts', 2],
    ],
  );
});

/** Files that lie outside of a room, and those that may. */
const LOOSE: readonly (readonly [path: string, loose: boolean])[] = [
  ['tools/cli.ts', true],
  ['tools/README.md', false],
  ['tools/command/cli.ts', false],
  ['tools/simulator/clock.ts', true],
  ['tools/simulator/machine.ts', false],
  ['tools/simulator/base/clock.ts', false],
  ['src/ring.ts', true],
  ['src/machine.ts', false],
  ['firmware-tests/ring.test.ts', true],
  ['firmware-tests/README.md', false],
  ['firmware-tests/src/ring.test.ts', true],
  ['firmware-tests/src/vmbus/ring.test.ts', false],
];

for (const [path, loose] of LOOSE) {
  tidy(`${path} ${loose ? 'must be in a room' : 'may lie there'}`, () => {
    assert.equal(
      looseFiles([path]).map(({ rule }) => rule),
      loose ? ['loose'] : [],
    );
  });
}

tidy('a folder must not be too full; its sub-folders do not count', () => {
  const files = Array.from({ length: FOLDER_FILES_MAX }, (_, i) => `src/net/file-${i}.ts`);
  assert.equal(looseFiles([...files, 'src/net/README.md', 'src/net/dns/file.ts']), []);
  const [finding, ...others] = looseFiles([...files, 'src/net/one-more.ts']);
  assert.equal([finding?.path, finding?.rule, others], ['src/net', 'loose', []]);
});

/** Files that no rule or wall would see, and those that may lie there: with what is said. */
const KINDS: readonly (readonly [path: string, says: RegExp | undefined])[] = [
  ['src/net/dns.ts', undefined],
  ['src/README.md', undefined],
  ['src/tsconfig.json', undefined],
  ['tools/capture/hypxe.lua', undefined],
  ['firmware-tests/real/tap.sh', undefined],
  ['firmware-tests/golden/boot-default.txt', undefined],
  ['firmware-tests/golden/ipxe-traces/01-boot.json', undefined],
  ['tools/build/build.mjs', undefined],
  ['src/net/dns.mts', /^unknown kind of file/],
  ['src/net/dns.cts', /^unknown kind of file/],
  ['src/net/dns.tsx', /^unknown kind of file/],
  ['src/net/dns.mjs', /^unknown kind of file/],
  ['src/net/dns.json', /^unknown kind of file/],
  ['tools/simulator/base/clock.mjs', /^unknown kind of file/],
  ['tools/build/old.cjs', /^unknown kind of file/],
  ['tools/build/old.js', /^unknown kind of file/],
  ['tools/build/notes.txt', /^unknown kind of file/],
  ['tools/build/make.py', /^unknown kind of file/],
  ['tools/build/run.sh', /^unknown kind of file/],
  ['tools/build/Makefile', /^unknown kind of file/],
  ['tools/build/.hidden.ts', /^unknown kind of file/],
  ['firmware-tests/rigs/data.bin', /^unknown kind of file/],
  ['firmware-tests/golden/data.bin', /^unknown kind of file/],
  ['firmware-tests/src/net/dns.test.ts', undefined],
  ['firmware-tests/src/net/dns.test.mjs', /^a test that never runs/],
  ['firmware-tests/src/net/dns.spec.ts', /^a test that never runs/],
  ['tools/flow/flow.test.ts', /^a test that never runs/],
  ['tools/new-room/file.ts', /^the room new-room is not in the table/],
  ['tools/simulator/new-room/file.ts', /^the room new-room of the simulator/],
  ['src/new-layer/file.ts', /^the layer new-layer is not in the table/],
  ['firmware-tests/src/new-layer/a.test.ts', /mirrors nothing: there is no layer new-layer$/],
  ['firmware-tests/tools/new-room/a.test.ts', /mirrors nothing: there is no room new-room$/],
  ['firmware-tests/tools/simulator/new-room/a.test.ts', /mirrors nothing: there is no room new-/],
  ['firmware-tests/tools/simulator/api.test.ts', undefined],
  ['firmware-tests/src/os/a.test.ts', undefined],
  ['firmware-tests/attic/a.test.ts', /^firmware-tests\/ has no folder attic$/],
];

for (const [path, says] of KINDS) {
  tidy(`${path} ${says === undefined ? 'may lie there' : 'is refused'}`, () => {
    const found = unknownKinds([path]);
    if (says === undefined) assert.equal(found, []);
    else assert.match(found.map(({ text }) => text).join(), says);
    assert.is(found.length, says === undefined ? 0 : 1);
  });
}

/** Importing file, what it imports, and whether it may. */
const WALLS: readonly (readonly [from: string, specifier: string, allowed: boolean])[] = [
  ['src/machine.ts', './hyperv/hyperv.ts', false],
  ['src/hyperv/hyperv.ts', '../machine.ts', true],
  ['src/hyperv/hyperv.ts', '../vmbus/bus.ts', false],
  ['src/hyperv/protocol.ts', '../machine.ts', false],
  ['src/hyperv/protocol.ts', '../wire.ts', true],
  ['src/vmbus/bus.ts', '../hyperv/hyperv.ts', true],
  ['src/vmbus/bus.ts', '../netvsc/netvsc.ts', false],
  ['src/rndis/rndis.ts', '../hyperv/protocol.ts', false],
  ['src/rndis/rndis.ts', '../vmbus/channel.ts', false],
  ['src/rndis/rndis.ts', '../netvsc/protocol.ts', false],
  ['src/rndis/rndis.ts', '../net/device.ts', true],
  ['src/netvsc/netvsc.ts', '../rndis/transport.ts', true],
  ['src/net/udp.ts', '../rndis/rndis.ts', false],
  ['src/net/udp.ts', '../memory/allocator.ts', false],
  ['src/x64.ts', './services/driver.ts', true],
  ['src/driver.ts', './netvsc/netvsc.ts', true],
  ['src/driver.ts', './services/driver.ts', false],
  ['src/boot/handoff.ts', '../driver.ts', true],
  ['src/boot/handoff.ts', '../services/push-boot.ts', false],
  ['src/services/push-boot.ts', '../boot/handoff.ts', true],
  ['src/netvsc/netvsc.ts', '../boot/handoff.ts', false],
  ['src/new-layer/file.ts', '../machine.ts', false],
  ['src/index.ts', '../tools/command/cli.ts', false],
  ['src/index.ts', '../package.json', false],
  ['tools/simulator/vmbus-server/server.ts', '../../../src/vmbus/protocol.ts', true],
  ['tools/simulator/vmbus-server/server.ts', '../../../src/vmbus/ring.ts', false],
  ['tools/simulator/machine.ts', '../../src/machine.ts', true],
  ['tools/simulator/machine.ts', '../../src/error.ts', false],
  ['tools/simulator/machine.ts', '../command/cli.ts', false],
  ['tools/simulator/machine.ts', 'node:crypto', false],
  ['tools/command/cli.ts', 'node:fs', true],
  ['tools/command/cli.ts', 'fs', false],
  ['tools/command/cli.ts', 'esbuild', false],
  ['tools/command/cli.ts', '../../firmware-tests/golden.ts', false],
  ['tools/build/build.mjs', 'esbuild', true],
  ['tools/simulator/base/clock.ts', '../ledger/events.ts', false],
  ['tools/simulator/ledger/events.ts', '../base/clock.ts', true],
  ['tools/simulator/profiles/knob-values.ts', '../netvsp/transfer-pages.ts', false],
  ['tools/simulator/hypervisor/partition.ts', '../vmbus-server/server.ts', false],
  ['tools/simulator/vmbus-server/server.ts', '../hypervisor/partition.ts', true],
  ['tools/simulator/netvsp/netvsp.ts', '../services/ic-host.ts', false],
  ['tools/simulator/netvsp/netvsp.ts', '../machine.ts', false],
  ['tools/simulator/machine.ts', './netvsp/netvsp.ts', true],
  ['tools/simulator/machine.ts', './audit/audit.ts', false],
  ['tools/simulator/audit/audit.ts', '../machine.ts', true],
  ['tools/simulator/audit/audit.ts', '../index.ts', false],
  ['tools/simulator/index.ts', './audit/audit.ts', true],
  ['tools/simulator/attic/file.ts', '../base/clock.ts', false],
  ['tools/flow/boot-flow.ts', '../simulator/index.ts', true],
  ['tools/flow/boot-flow.ts', '../scenarios/rig.ts', false],
  ['tools/flow/boot-flow.ts', '../capture/capture.ts', false],
  ['tools/explore/run.ts', '../command/usage.ts', false],
  ['tools/bench/cli.ts', '../command/usage.ts', true],
  ['tools/command/cli.ts', '../explore/run.ts', true],
  ['tools/command/cli.ts', '../manual/readme.ts', false],
  ['tools/manual/readme.ts', '../command/usage.ts', true],
  ['tools/command/cli.ts', '../build/build.mjs', false],
  ['tools/build/build.mjs', '../simulator/index.ts', false],
  ['tools/attic/file.ts', '../simulator/index.ts', false],
  ['firmware-tests/rigs/rig.ts', '../src/ring.test.ts', false],
  ['firmware-tests/ring.test.ts', 'uvu/assert', true],
  ['firmware-tests/ring.test.ts', 'left-pad', false],
];

for (const [from, specifier, allowed] of WALLS) {
  tidy(`${from} ${allowed ? 'may' : 'must not'} import ${specifier}`, () => {
    assert.is(forbiddenImport(from, specifier) === undefined, allowed);
  });
}

tidy('the tokeniser tells code from comments, strings and regular expressions', () => {
  const source = "a = b / c; // x\nconst d = `e${f({ g: '}' })}h`; /* i */ j(/k['\"`]/g, 0x1fn);\n";
  const tokens = tokenise(source);
  const words = tokens.filter(({ kind }) => kind === 'word').map(({ text }) => text);
  assert.equal(words, ['a', 'b', 'c', 'const', 'd', 'f', 'g', 'j']);
  assert.equal(
    tokens.filter(({ kind }) => kind === 'regex' || kind === 'string').map(({ text }) => text),
    ["'}'", '/k[\'"`]/g'],
  );
  assert.equal(
    tokens.filter(({ kind }) => kind === 'template').map(({ text }) => text),
    ['e', 'h'],
  );
  assert.is(tokens.at(-1)?.line, 2);
});

tidy.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The test runner, on folders of a few tests: what uvu would let pass must fail, and the last line
 * must say how many.
 */

import { fork, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const RUNNER = fileURLToPath(new URL('../../../tools/build/run-tests.mjs', import.meta.url));
const WORKER = fileURLToPath(new URL('../../../tools/build/test-worker.mjs', import.meta.url));
const HOOK = new URL('../../../tools/build/ts-hook.mjs', import.meta.url).href;
const MODULES = fileURLToPath(new URL('../../../node_modules', import.meta.url));

const HEAD = "import { suite } from 'uvu';\nimport * as assert from 'uvu/assert';\n";
const PASSING = `${HEAD}const ring = suite('ring');
ring('one', () => {});
ring('two', async () => {});
ring.run();
`;

interface Run {
  readonly code: number | null;
  readonly output: string;
  readonly lastLine: string;
}

/** Run the runner on a folder with these files. */
function run(files: Readonly<Record<string, string>>, ...args: string[]): Promise<Run> {
  return inFolder(files, (folder) => spawnRunner(['--dir', folder, ...args]));
}

/** Do something where there are these files. */
async function inFolder<T>(
  files: Readonly<Record<string, string>>,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'hypxe-runner-'));
  try {
    symlinkSync(MODULES, join(folder, 'node_modules'));
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function spawnRunner(args: readonly string[]): Promise<Run> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [RUNNER, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: '0' },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('close', (code) => {
      done({ code, output, lastLine: output.trimEnd().split('\n').at(-1) ?? '' });
    });
  });
}

const runner = suite('test runner');

runner('a suite that waits for something runs once, and not beside itself', async () => {
  const { lastLine, output } = await run({
    'a.test.ts': `${HEAD}import { appendFileSync, readFileSync } from 'node:fs';
const COUNT = new URL('./count.txt', import.meta.url);
const ring = suite('ring');
ring('waits', async () => {
  appendFileSync(COUNT, 'once');
  await new Promise((done) => setTimeout(done, 50));
});
ring('was run once', () => assert.is(readFileSync(COUNT, 'utf8'), 'once'));
ring.run();
`,
  });
  assert.is(lastLine, '2 passed, 0 failed', output);
});

runner('passing tests: their number, exit code 0', async () => {
  const { code, lastLine, output } = await run({
    'a.test.ts': PASSING,
    'sub/b.test.ts': PASSING,
    'not-a-test.ts': 'throw new Error("not run");\n',
  });
  assert.is(lastLine, '4 passed, 0 failed');
  assert.is(code, 0);
  assert.match(output, /pass {2}a\.test\.ts \(2\)\npass {2}sub\/b\.test\.ts \(2\)\n/);
});

runner('a failing test: the difference and the line of the .ts file', async () => {
  const { code, lastLine, output } = await run({
    'a.test.ts': PASSING,
    'b.test.ts': `${HEAD}interface Unused {}

const ring = suite('ring');
ring('good', () => {});
ring('bad', () => assert.equal({ prod: 1 }, { prod: 2 }));
ring.run();
`,
  });
  assert.is(lastLine, '3 passed, 1 failed');
  assert.is(code, 1);
  assert.match(output, /FAIL {2}b\.test\.ts \(1 of 2\)/);
  assert.match(output, /"bad"/);
  assert.match(output, /-+··"prod":·1/);
  assert.match(output, /b\.test\.ts:7:26/);
});

/** What uvu by itself would call a success: [what, source, "passed of all", what is said]. */
const TRAPS: Readonly<Record<string, readonly [source: string, count: string, says: RegExp]>> = {
  'forgets-run': [
    PASSING.replace('ring.run();\n', ''),
    '0 of 0',
    /no test was registered[^]*suite ring is never run/,
  ],
  'forgets-one-run': [
    `${PASSING}const other = suite('other');\nother('three', () => {});\n`,
    '2 of 2',
    /suite other is never run: \.run\(\) is missing \("three"\)/,
  ],
  'run-in-comment': [
    PASSING.replace('ring.run();', '// ring.run();\n/*\nring.run();\n*/'),
    '0 of 0',
    /suite ring is never run: \.run\(\) is missing \("one", "two"\)/,
  ],
  'run-never-reached': [
    `${PASSING}const t = suite('t');\nt('three', () => {});\nif (t === undefined)\nt.run();\n`,
    '2 of 2',
    /suite t is never run/,
  ],
  'exported-suite': [
    `${PASSING}export const t = suite('t');\nt('three', () => {});\n`,
    '2 of 2',
    /suite t is never run/,
  ],
  'plain-test': [
    `${PASSING}import { test } from 'uvu';\ntest('three', () => {});\n`,
    '2 of 2',
    /test is never run: \.run\(\) is missing \("three"\)/,
  ],
  'behind-run': [
    `${PASSING}ring('three', () => {});\n`,
    '2 of 2',
    /suite ring: added behind \.run\(\), so never run: "three"/,
  ],
  'run-too-late': [
    `${PASSING}const t = suite('t');\nt('three', () => {});\nsetTimeout(() => t.run(), 20);\n`,
    '2 of 2',
    /suite t is never run/,
  ],
  'stray-assertion': [
    PASSING.replace(
      'async () => {}',
      '() => void Promise.resolve().then(() => assert.is(1, 2, "stray"))',
    ),
    '2 of 2',
    /thrown when the tests were over: Assertion: stray[^]*stray-assertion\.test\.ts:5/,
  ],
  'stray-throw': [
    PASSING.replace(
      'async () => {}',
      "() => void setTimeout(() => { throw new Error('stray'); }, 0)",
    ),
    '2 of 2',
    /thrown when the tests were over: Error: stray/,
  ],
  'stray-timer': [
    PASSING.replace(
      'async () => {}',
      "() => void setTimeout(() => { throw new Error('stray'); }, 60)",
    ),
    '2 of 2',
    /thrown when the tests were over: Error: stray/,
  ],
  'no-tests': ['export {};\n', '0 of 0', /no test was registered/],
  'empty-suite': [
    `${PASSING}const other = suite('other');\nother.run();\n`,
    '2 of 2',
    /a suite has no test/,
  ],
  only: [PASSING.replace("ring('one'", "ring.only('one'"), '1 of 1', /1 skipped/],
  skip: [PASSING.replace("ring('one'", "ring.skip('one'"), '1 of 1', /1 skipped/],
  hook: [
    PASSING.replace('ring.run', "ring.before(() => { throw new Error('no'); });\nring.run"),
    '0 of 2',
    /a hook failed/,
  ],
  broken: [`${PASSING}throw new Error('broken');\n`, '0 of 0', /broken[^]*broken\.test\.ts:7:7/],
  exit: [
    PASSING.replace('() => {}', '() => process.exit(0)'),
    '0 of 0',
    /ended the test process \(exit code 0\)/,
  ],
  rejection: [
    PASSING.replace('() => {}', "() => new Promise(() => void Promise.reject(new Error('lost')))"),
    '0 of 0',
    /lost[^]*ended the test process/,
  ],
};

runner('what uvu lets pass is a failure that names the file, and costs no other file', async () => {
  const files = Object.entries(TRAPS).map(([name, [source]]) => [`${name}.test.ts`, source]);
  const { code, lastLine, output } = await run({
    ...Object.fromEntries(files),
    'zz.test.ts': PASSING,
  });
  for (const [name, [, count, says]] of Object.entries(TRAPS)) {
    const begin = output.indexOf(`FAIL  ${name}.test.ts (${count})`);
    assert.ok(begin >= 0, `no FAIL ${name} (${count}) in ${output}`);
    const block = output.slice(begin, output.slice(begin + 1).search(/^(?:FAIL|pass)/m) + begin);
    assert.match(block, says, name);
    assert.match(block, new RegExp(`${name}\\.test\\.ts: `), name);
  }
  assert.match(output, /pass {2}zz\.test\.ts \(2\)/);
  // Three of the traps count for two: a suite that nobody runs is also a file without tests, and a
  // hook that throws costs the two tests and itself
  assert.is(lastLine, '24 passed, 23 failed');
  assert.is(code, 1);
});

runner(
  'the limit is of each test, not of all of a file: the worker tells when one begins',
  async () => {
    const told = await inFolder({ 'a.test.ts': PASSING }, async (folder) => {
      const child = fork(WORKER, [], { execArgv: ['--import', HOOK], stdio: 'ignore' });
      const messages: { test?: string; passed?: number }[] = [];
      child.on('message', (message: { test?: string; passed?: number }) => {
        messages.push(message);
        if (message.test === undefined) child.disconnect();
      });
      child.send(join(folder, 'a.test.ts'));
      await new Promise((done) => child.on('exit', done));
      return messages;
    });
    assert.equal(
      told.map(({ test, passed }) => test ?? passed),
      ['one', 'two', 2],
    );
  },
);

runner('a stray error fails its file when no other file comes behind it', async () => {
  const { code, lastLine } = await run({ 'a.test.ts': TRAPS['stray-throw']![0] });
  assert.equal([code, lastLine], [1, '2 passed, 1 failed']);
});

runner('the suite without a name is one for each file', async () => {
  const text = `${HEAD.replace('suite', 'test')}test.before.each(() => {});\n`;
  const { code, lastLine } = await run({
    'a.test.ts': `${text}test('one', () => {});\n`,
    'b.test.ts': `${text}test('two', () => {});\ntest.run();\n`,
  });
  // The first has two problems: no test that was run, and one that was not
  assert.equal([code, lastLine], [1, '1 passed, 2 failed']);
});

runner('an empty folder, and a pattern that matches nothing, are failures', async () => {
  const empty = await run({});
  assert.equal([empty.code, empty.lastLine], [1, '0 passed, 0 failed']);
  assert.match(empty.output, /no test file in/);

  const unmatched = await run({ 'a.test.ts': PASSING }, 'partition');
  assert.equal([unmatched.code, unmatched.lastLine], [1, '0 passed, 0 failed']);
  assert.match(unmatched.output, /no test file that matches partition/);
});

runner('a pattern chooses files, --times lists the slowest', async () => {
  const files = { 'ring.test.ts': PASSING, 'partition.test.ts': PASSING };
  const { code, lastLine, output } = await run(files, 'partition', '--times');
  assert.equal([code, lastLine], [0, '2 passed, 0 failed']);
  assert.not.match(output, /ring\.test\.ts/);
  assert.match(output, /slowest files:\n +\d+ ms {2}partition\.test\.ts/);
});

runner('an unknown option is refused', async () => {
  const { code, output } = await run({ 'a.test.ts': PASSING }, '--tmes');
  assert.is(code, 1);
  assert.match(output, /run-tests: Unknown option '--tmes'/);
});

runner.run();

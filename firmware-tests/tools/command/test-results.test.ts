// SPDX-License-Identifier: GPL-2.0-or-later

/** What commands write for a CI: JUnit's XML and TAP, whatever the texts are. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { junitXml, tapText, type TestSuite } from '../../../tools/command/test-results.ts';
import { hypxe, read, write } from '../../rigs/cli-rig.ts';

const results = suite('results for a CI');

const SUITE: TestSuite = {
  name: 'explore server2022 x64',
  cases: [
    { name: 'held', outcome: 'passed', lines: ['nobody reads this'] },
    { name: '<a & "b"> \x1b]0;x\x07 \ud800 #1 \\', outcome: 'failed', lines: ['1\n2', ']]>'] },
    { name: 'later', outcome: 'skipped', lines: ['no occasion'] },
  ],
};

results('JUnit: counts, reasons, and nothing that XML cannot have', () => {
  assert.equal(junitXml(SUITE).split('\n'), [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites name="hypxe" tests="3" failures="1" skipped="1">',
    '  <testsuite name="explore server2022 x64" tests="3" failures="1" skipped="1">',
    '    <testcase classname="explore server2022 x64" name="held"/>',
    '    <testcase classname="explore server2022 x64" ' +
      'name="&lt;a &amp; &quot;b&quot;&gt; \\u001b]0;x\\u0007 \\ud800 #1 \\">' +
      '<failure message="1&#10;2">1&#10;2&#10;]]&gt;</failure></testcase>',
    '    <testcase classname="explore server2022 x64" name="later">' +
      '<skipped message="no occasion"/></testcase>',
    '  </testsuite>',
    '</testsuites>',
    '',
  ]);
});

results('TAP: a plan, a line for each, and no directive of a guest', () => {
  assert.equal(tapText(SUITE).split('\n'), [
    'TAP version 14',
    '# explore server2022 x64',
    '1..3',
    'ok 1 - held',
    'not ok 2 - <a & "b"> \\\\u001b]0;x\\\\u0007 \\\\ud800 \\#1 \\\\',
    '  # 1\\n2',
    '  # ]]>',
    'ok 3 - later # SKIP no occasion',
    '',
  ]);
});

results('replay and explore: in step with the exit code', async () => {
  const good = await hypxe('replay', '01-boot', '14-monitored', '--tap', '--junit', 'good.xml');
  assert.is(good.code, 0, good.error);
  assert.match(
    good.out,
    /^TAP version 14\n# replay\n1\.\.2\nok 1 - 01-boot\nok 2 - 14-monitored\n$/,
  );
  assert.match(read('good.xml'), /tests="2" failures="0" skipped="0"/);

  write(
    'does-nothing.mjs',
    'export const createDriver = () => ({ probe() {}, remove() {}, devices: [] });',
  );
  const bad = await hypxe(
    'replay',
    '01-boot',
    '--firmware',
    'does-nothing.mjs',
    '--junit',
    'bad.xml',
  );
  assert.is(bad.code, 1, bad.error);
  assert.match(bad.out, /traces replay without failure\n$/);
  assert.match(read('bad.xml'), /tests="1" failures="1" .*<failure message="/s);

  // A driver without what each driver has is the guest's mistake, not hypxe's
  write('no-driver.mjs', 'export const createDriver = () => ({ probe() {} });');
  const none = await hypxe('replay', '01-boot', '--firmware', 'no-driver.mjs', '--junit', 'no.xml');
  assert.is(none.code, 3, none.error);
  assert.match(none.error, /^hypxe: GuestThrew: the guest threw Error: the driver has no list of/);
  assert.match(read('no.xml'), /name="01-boot"><failure message="the guest threw Error: /);

  const run = await hypxe('explore', '--only', 'message.0/drop', '--tap');
  assert.is(run.code, 0, run.error);
  assert.is(run.out, 'TAP version 14\n# explore server2022\n1..1\nok 1 - message.0/drop\n');
});

results('boot: the verdict and each check', async () => {
  const words = ['--size', '4K', '--memory', '16', '--tap', '--junit', 'boot.xml'];
  const good = await hypxe('boot', ...words);
  assert.is(good.code, 0, good.error);
  const lines = good.out.split('\n');
  assert.equal(lines.slice(0, 4), [
    'TAP version 14',
    '# boot server2022',
    '1..19',
    'ok 1 - the verdict is clean',
  ]);
  assert.is(lines.filter((line) => /^ok \d+ - /.test(line)).length, 19);

  write(
    'leaks.mjs',
    'export const boot = (m) => (m.wrmsr(0x40000083, 0x200001n), { status: "failed" });',
  );
  const bad = await hypxe('boot', '--firmware', 'leaks.mjs', ...words);
  assert.is(bad.code, 1, bad.error);
  assert.match(bad.out, /^not ok 1 - the verdict is clean\n {2}# findings: nothing was booted/m);
  assert.match(bad.out, /^not ok \d+ - 4 message and event page .*\n {2}# error: SIMP of VP 0/m);
  const xml = read('boot.xml');
  const failures = Number(/failures="(\d+)"/.exec(xml)![1]);
  assert.is(xml.match(/<failure /g)!.length, failures);
  assert.ok(failures >= 2);
});

results('scenarios: a case for each', async () => {
  const run = await hypxe('scenarios', 'kexec-without', '--tap', '--junit', 'scenarios.xml');
  assert.is(run.code, 0, run.error);
  assert.match(run.out, /^TAP version 14\n# scenarios\n1\.\.\d+\nok 1 - kexec-without-unload\n/);
  assert.match(read('scenarios.xml'), /classname="scenarios" name="kexec-without-unload"\/>/);
});

results('two things on one output are refused, and so is an input as output', async () => {
  const both = await hypxe('replay', '01-boot', '--tap', '--json');
  assert.is(both.code, 2);
  assert.match(both.error, /^hypxe: BadOption: --tap and --json print two different things\n/);
  write('mine.json', '{}');
  const over = await hypxe('replay', './mine.json', '--junit', 'mine.json');
  assert.is(over.code, 2);
  assert.match(over.error, /^hypxe: OutputIsInput: /);
});

results.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** The example in C: compiled, it boots clean everywhere; with a step left out it is caught. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/os.ts';
import { ROOT } from '../../../tools/build/build.mjs';
import { compileExample } from '../../../tools/bench/example-guest.ts';
import { measureExploration } from '../../../tools/bench/exploration.ts';
import { GUESTS_QUICK, measureGuests } from '../../../tools/bench/guests.ts';
import { directory, hypxe } from '../../rigs/cli-rig.ts';
import { boot } from '../../rigs/guests/compiled-guest.ts';
import { exampleSuite } from '../../rigs/guests/example-guest.ts';

const example = exampleSuite('c');

example('a host that is too old is refused by name', () => {
  const guest = example.guest();
  if (guest === undefined) return;
  const report = boot(guest, { host: 'server2012' });
  assert.is(report.verdict, 'refused');
  assert.is(report.boot?.error?.name, 'GuestNotSupported');
});

example('kernels take over from it, one after the other', async () => {
  const guest = example.guest();
  if (guest === undefined) return;
  const run = await hypxe('boot', guest, '--then', 'kexec,crash', '--size', '20000');
  assert.is(run.code, 0, run.out);
  assert.match(run.out, /stages {3}firmware handed over/);
});

example('a trace and a capture have what it did', async () => {
  const guest = example.guest();
  if (guest === undefined) return;
  const files = ['--trace', 'c.jsonl', '--pcap', 'c.pcapng'];
  const run = await hypxe('boot', '--firmware', guest, '--size', '20000', ...files);
  assert.is(run.code, 0);
  const trace = fs.readFileSync(path.join(directory, 'c.jsonl'), 'utf8');
  assert.match(trace, /"kind":"wrmsr","msr":1073741824,"value":"0x8d00000000000000"/);
  assert.ok(fs.statSync(path.join(directory, 'c.pcapng')).size > 10_000);
});

example('the bench compiles it, boots it beside ours, and explores it', () => {
  if (example.guest() === undefined) return;
  const compiled = compileExample(ROOT);
  assert.ok('bytes' in compiled);
  const { boots, instances } = measureGuests(firmware, compiled.bytes, GUESTS_QUICK);
  for (const { run, leastMs, ratio } of [...boots, ...instances]) {
    assert.ok(leastMs > 0 && ratio > 0, run);
  }
  assert.equal(
    boots.map(({ run }) => run),
    ["hypxe's own", 'example in C'],
  );
  const { steps, faults, runs, findings } = measureExploration(compiled.bytes, { runs: 3 });
  assert.is(runs, 3);
  assert.is(findings, 0);
  assert.ok(faults > 1000 && steps['message']! > 5, `${faults} faults`);
});

example.run();

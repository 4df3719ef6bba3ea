// SPDX-License-Identifier: GPL-2.0-or-later

/** How findings of an audit are told: each once, and no line that reads as its opposite. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findingLines } from '../../../tools/library/finding-lines.ts';
import type { Finding } from '../../../tools/simulator/audit/audit-findings.ts';
import { hypxe } from '../../rigs/cli-rig.ts';

const told = suite('findings as lines');

/** What one processor has left. */
function simp(vp: number): Finding {
  return {
    check: 'synic-pages',
    severity: 'warning',
    vp,
    text: `SIMP of VP ${vp} is enabled: 0x${(0x10001 + vp * 0x1000).toString(16)}`,
    pages: {
      purpose: `message page of VP ${vp}`,
      pages: [0x10000 + vp * 0x1000],
      length: 4096,
      sharedBy: `wrmsr SIMP on VP ${vp}`,
      sharedAt: 12_345,
      revokedWith: 'wrmsr SIMP with bit 0 clear',
      reserved: true,
    },
  };
}

told('the same on many processors is told once, with their number', () => {
  const lines = findingLines([0, 1, 2, 5, 7, 8].map(simp));
  assert.equal(
    lines.map((line) => line.trim()),
    [
      'warning: SIMP of VP 0 is enabled: 0x10001',
      '1 page: [0x10000,0x11000)',
      'what for: message page of VP 0',
      'shared by wrmsr SIMP on VP 0 at 1.234 ms',
      'would have been revoked by wrmsr SIMP with bit 0 clear',
      'reserved in the memory map: lost, but safe',
      'the same on 5 more VPs: 1 to 2, 5, 7 to 8, 5 pages',
    ],
  );
});

told('what differs in severity, in its words or in what is safe is told by itself', () => {
  const [first, second] = [simp(0), simp(1)];
  const others: Finding[] = [
    { ...second, severity: 'error' },
    { ...second, text: 'SIMP of VP 1 is enabled twice' },
    { ...second, pages: { ...second.pages!, reserved: false } },
  ];
  for (const other of others) {
    const lines = findingLines([first, other]).join('\n');
    assert.is(lines.match(/what for: message page of VP [01]/g)!.length, 2, lines);
    assert.not.match(lines, /the same on/);
  }
});

told('findings that are about no processor stay apart, however alike', () => {
  const finding: Finding = { check: 'channels', severity: 'error', text: 'channel 3 is open' };
  assert.is(findingLines([finding, finding]).length, 2);
});

told('a chain of kernels on 40 processors fits on a screen or two', async () => {
  const run = await hypxe(
    ...'boot --then kexec,crash --processors 40 --size 4K --memory 16'.split(' '),
  );
  assert.is(run.code, 0);
  const lines = run.out.split('\n');
  assert.ok(lines.length < 120, `${lines.length} lines`);
  assert.match(run.out, /^ +the same on 38 more VPs: 1 to 38, 38 pages$/m);
  assert.match(run.out, /^ {2}WARNING +5 not so: every SINT is masked$/m);
  assert.match(run.out, /^ {2}ok +1 no connection is left/m);
});

told.run();

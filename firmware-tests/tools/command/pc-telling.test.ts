// SPDX-License-Identifier: GPL-2.0-or-later

/** The lines in which the run of a PC is told. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PROGRESS_MS, PcTelling } from '../../../tools/command/pc/pc-telling.ts';

const TICKS_PER_S = 10_000_000;

const PROGRESS = {
  now: 64.5 * TICKS_PER_S,
  newAt: 64 * TICKS_PER_S,
  instructions: 6_414_000_000,
  touches: 1,
  last: 'Probing EDD',
};

const telling = suite('pc telling');

telling('how far it is, if there was no line for long', () => {
  const lines: string[] = [];
  let wall = 1000;
  const told = new PcTelling(
    (line) => lines.push(line),
    () => wall,
  );
  wall += PROGRESS_MS - 1;
  told.progress(PROGRESS);
  assert.equal(lines, [], 'not before');
  wall++;
  told.progress(PROGRESS);
  assert.equal(lines, [
    '   ... 10.0 s here: 64.5 s of the PC, 6414 million instructions, ' +
      '1 access to the hypervisor, nothing new for 0.5 s of the PC; at: Probing EDD',
  ]);
  told.progress(PROGRESS);
  told.line('List of all partitions:', PROGRESS.now);
  wall += PROGRESS_MS - 1;
  told.progress(PROGRESS);
  assert.equal(lines.slice(1), ['    64.500 s  List of all partitions:'], 'a line counts');
});

// The emulator puts the PC's time into Date while an instruction runs, and a line comes then
telling("the time of a line is not taken from a Date that is the PC's", () => {
  const lines: string[] = [];
  const told = new PcTelling((line) => lines.push(line));
  const wallNow = Date.now;
  Date.now = () => 0;
  try {
    told.line('one', 0);
  } finally {
    Date.now = wallNow;
  }
  told.progress(PROGRESS);
  assert.equal(lines, ['     0.000 s  one']);
});

telling.run();

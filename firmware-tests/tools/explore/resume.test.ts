// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe explore --resume`: what was stopped goes on, and comes to the same. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hypxe, lastLine, read, write, type Run } from '../../rigs/cli-rig.ts';

const WORK = ['explore', '--only', 'owner/left', '--workers', '2'];

interface Result {
  complete: boolean;
  lanes?: number[];
  seconds: number;
  total: number;
  tally: { runs: number; outcomes: Record<string, number> };
}

const result = (name: string): Result => JSON.parse(read(name)) as Result;

/** Refused by name before anything runs. */
function assertRefusedLike({ code, out, error }: Run, name: string, text: RegExp): void {
  const [first = ''] = error.split('\n');
  assert.ok(first.startsWith(`hypxe: ${name}: `), error);
  assert.match(first, text);
  assert.is(out, '');
  assert.is(code, 2);
}

const resume = suite('explore: resume');

resume('in pieces it comes to the same as in one', async () => {
  const whole = await hypxe(...WORK, '-o', 'whole.json');
  assert.is(whole.code, 0, whole.error);
  const first = await hypxe(...WORK, '--time', '.2', '-o', 'pieces.json');
  assert.is(first.code, 0, first.error);
  const [{ seconds: _, ...all }, piece] = [result('whole.json'), result('pieces.json')];
  assert.is(all.complete, true);
  assert.is(all.lanes, undefined);
  // On a fast machine there may be nothing left
  if (!piece.complete) {
    assert.is(piece.lanes!.length, 2);
    assert.ok(piece.tally.runs < all.tally.runs);
    const wanted = ['explore', '--only', 'owner/left', '--resume', 'pieces.json'];
    const rest = await hypxe(...wanted);
    assert.is(rest.code, 0, rest.error);
    assert.is(lastLine(rest), 'verdict: clean');
  }
  const { seconds: __, ...joined } = result('pieces.json');
  assert.equal(joined, all);
});

resume('what is done, or of something else, is refused by name', async () => {
  const part = result('whole.json');
  write('half.json', JSON.stringify({ ...part, complete: false, lanes: [2, 3] }));
  for (const [file, more, name, text] of [
    ['whole.json', [], 'NothingToResume', /whole\.json is complete$/],
    ['half.json', ['--walks', '5'], 'BadParts', /differ in the number of walks: 0 and 5$/],
    ['half.json', ['--shard', '1/2'], 'BadParts', /half\.json is shard 1\/1, not 1\/2$/],
    ['half.json', ['--workers', '1'], 'BadOption', /--resume does not go with --workers$/],
    ['half.json', ['--merge', 'half.json'], 'BadOption', /--resume does not go with --merge$/],
  ] as const) {
    const run = await hypxe('explore', '--only', 'owner/left', '--resume', file, ...more);
    assertRefusedLike(run, name, text);
  }
  for (const lanes of [[], [-1], ['1'], {}, null, [0, 0], [1, 2], new Array(65).fill(0)]) {
    write('bad.json', JSON.stringify({ ...part, complete: false, lanes }));
    const run = await hypxe('explore', '--only', 'owner/left', '--resume', 'bad.json');
    assertRefusedLike(run, 'BadParts', /bad\.json is damaged: its lanes$/);
  }
});

resume.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** How commands end that do not come to their end: Ctrl-C, and mistakes of hypxe itself. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CLI, interrupted, shell, write } from '../../rigs/cli-rig.ts';

const TRACES = new URL('../../golden/ipxe-traces/', import.meta.url).pathname;
const TRACE = path.join(TRACES, '10a-no-hypervisor.json');

/** A firmware that says that it begins, where anybody hears it, and never ends. */
const HANGS = write(
  'hangs.mjs',
  `export function boot(machine, { events }) {
    events?.({ kind: 'log', level: 'info', layer: 'BOOT', object: '', text: 'begins' });
    for (;;);
  }
  export const createDriver = boot;`,
);

const internal = suite('exit codes: mistakes of hypxe itself');

/** Breaks what commands need: one thing in the main thread, another in workers. */
const BREAKS = write(
  'breaks.mjs',
  `import { isMainThread } from 'node:worker_threads';
  const isBroken = () => { throw new TypeError('broken here'); };
  if (!isMainThread) globalThis.DataView = class { constructor() { isBroken(); } };
  else if (process.send === undefined) Array.prototype.at = isBroken;`,
);

for (const [what, args] of [
  ['in the command', 'hosts'],
  ['in a worker', `replay ${TRACE}`],
] as const) {
  const command = `"${process.execPath}" --import ./${BREAKS} "${CLI}" ${args}`;

  internal(`5: ${what}: whose mistake it is, and no stack`, async () => {
    const { error, code } = await shell(command);
    assert.is(
      error,
      'hypxe: InternalError: this is a mistake of hypxe itself, not yours: ' +
        'TypeError: broken here\n       ' +
        'Please report it, with the command that you gave and what it prints with -v.\n',
    );
    assert.is(code, 5);
  });

  internal(`5: ${what}: where, with -v`, async () => {
    const { error, code } = await shell(`${command} -v`);
    assert.match(error, /\n +at .*isBroken \(.*breaks\.mjs:\d+:\d+\)\n/);
    assert.is(code, 5);
  });
}

internal('5: with --json as a document', async () => {
  const { out, code } = await shell(
    `"${process.execPath}" --import ./${BREAKS} "${CLI}" replay ${TRACE} --json`,
  );
  assert.is((JSON.parse(out) as { exitCode: number }).exitCode, 5);
  assert.is(code, 5);
});

internal.run();

const presses = suite('exit codes: Ctrl-C');

presses('130: explore says what was done, and that it is not all', async () => {
  const args = ['explore', '--only', 'message', '--walks', '100000', '--workers', '1'];
  const { code, out, error } = await interrupted(args, / runs\/s, /);
  assert.is(code, 130, error);
  assert.match(out, /^made +[1-9]\d* runs in .* runs\/s, stopped early$/m);
  assert.match(out, /^sample +\d+\.\d\d % of them, spread evenly over the list$/m);
  assert.match(out, /^verdict: clean so far, in a sample of \d+\.\d\d %$/m);
  assert.not.match(out, /Infinity|NaN|undefined/);
});

presses('130: explore before there is a list', async () => {
  // One worker: a second may say that it begins before it is ended
  const args = ['explore', '--firmware', HANGS, '--watchdog', '600', '--workers', '1', '--json'];
  const { code, out, error } = await interrupted(args, 'at the firmware');
  assert.match(error, /^hypxe: Interrupted: the list of runs was not made\n/);
  assert.is((JSON.parse(out) as { exitCode: number }).exitCode, 130);
  assert.is(code, 130);
});

presses('130: boot', async () => {
  const args = [
    'boot',
    '--size',
    '1',
    '--firmware',
    HANGS,
    '--watchdog',
    '600',
    '--trace',
    'cut.jsonl',
  ];
  const { code, out } = await interrupted(args, /begins/);
  assert.match(
    out,
    /^verdict: interrupted: after \d+\.\d s, nothing received; what there is of it is in cut/m,
  );
  assert.is(code, 130);
});

presses('130: replay tells what was replayed', async () => {
  const all = fs.readdirSync(TRACES).filter((name) => name.endsWith('.json'));
  const traces = all.map((name) => path.join(TRACES, name));
  const { code, out, error } = await interrupted(['replay', ...traces, ...traces, ...traces], /ok/);
  assert.match(out, /^\d+ of \d+ traces replay without failure$/m);
  assert.match(error, /^hypxe: Interrupted: \d+ of \d+ traces? (?:was|were) replayed\n/);
  assert.is(code, 130);
});

presses('130: scenarios tell what was run', async () => {
  const { code, out, error } = await interrupted(['scenarios', '--all'], /^ok /m);
  assert.match(out, /^\d+ scenarios?: every bug is caught, and its absence passes$/m);
  assert.match(error, /^hypxe: Interrupted: \d+ of \d+ scenarios (?:was|were) run\n/);
  assert.is(code, 130);
});

presses('a firmware in replay that does not stop is left at once', async () => {
  const args = ['replay', TRACE, '--firmware', HANGS, '--watchdog', '600'];
  const { code, error } = await interrupted(args, 'at the firmware');
  assert.match(error, /^hypxe: Interrupted: 0 of 1 trace were replayed\n/);
  assert.is(code, 130);
});

presses.run();

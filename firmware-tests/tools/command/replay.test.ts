// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe replay` on the command line: results of any length come out of the guest's process. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hypxe, write } from '../../rigs/cli-rig.ts';

/** Each is a failure, of some 600 characters as JSON. */
const POSTS = 8000;

const DRIVER = `export function createDriver(machine) {
  return { devices: [], probe() {
    const view = new DataView(machine.memory);
    const page = machine.memoryMap.find(({ type }) => type === 'usable').address;
    const input = page + 4096;
    machine.wrmsr(0x40000000, 1n);
    machine.wrmsr(0x40000001, BigInt(page) | 1n);
    [1, 0, 1, 240, 999].forEach((word, i) => view.setUint32(input + 4 * i, word, true));
    for (let i = 0; i < ${POSTS}; i++) machine.callHypercallPage(page, 0x5cn, BigInt(input), 0n);
  } };
}`;

const replay = suite('hypxe replay');

replay('a guest with thousands of failures is told of as any other', async () => {
  const firmware = write('posts-on.mjs', DRIVER);
  const args = ['01-boot', '--firmware', firmware, '--watchdog', '60', '--json'];
  const json = await hypxe('replay', ...args);
  assert.is(json.code, 1, json.error);
  const [{ ok, counts, failures }] = JSON.parse(json.out) as [
    { ok: boolean; counts: { message: { guest: number } }; failures: object[] },
  ];
  assert.not.ok(ok);
  assert.is(counts.message.guest, POSTS);
  assert.ok(failures.length >= POSTS);
  assert.ok(JSON.stringify(failures).length > 1 << 22);
});

replay.run();

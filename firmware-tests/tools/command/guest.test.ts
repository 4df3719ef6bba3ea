// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe guest`, and guests in WebAssembly wherever a firmware is named. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ABI_EXPORTS, ABI_IMPORTS } from '../../../tools/guests/abi/abi.ts';
import { assertRefused, directory, hypxe, lastLine, write } from '../../rigs/cli-rig.ts';
import { Op, call, firmware, i32, i64 } from '../../rigs/guests/wasm-builder.ts';

const guest = suite('command line: guests');

const file = (name: string): string => path.join(directory, name);

guest('header prints the whole interface, under a permissive licence', async () => {
  const [c, rust] = await Promise.all([
    hypxe('guest', 'header', 'c'),
    hypxe('guest', 'header', 'rust'),
  ]);
  for (const { code, out } of [c, rust]) {
    assert.is(code, 0);
    assert.match(out, /^(?:\/\*|\/\/) SPDX-License-Identifier: BSD-2-Clause/);
    for (const { name } of ABI_EXPORTS) assert.match(out, new RegExp(`\\b${name}\\(`));
  }
  for (const { name } of ABI_IMPORTS) {
    assert.match(c.out, new RegExp(`HYPXE_IMPORT\\(${name}\\)\\n.*\\bhypxe_${name}\\(`));
    assert.match(rust.out, new RegExp(`pub fn ${name}\\(`));
  }
});

guest('new makes a project, and never into another one', async () => {
  for (const [language, files] of [
    ['c', ['Makefile', 'guest.c', 'hypxe.h', 'vmbus.c']],
    ['rust', ['Makefile', 'lib.rs', 'hypxe.rs', 'vmbus.rs']],
  ] as const) {
    const run = await hypxe('guest', 'new', language, `new-${language}`);
    assert.is(run.code, 0);
    assert.match(run.out, new RegExp(`hypxe boot --firmware new-${language}/guest\\.wasm`));
    const made = fs.readdirSync(file(`new-${language}`));
    for (const name of files) assert.ok(made.includes(name), name);
    for (const name of made) {
      const text = fs.readFileSync(file(`new-${language}/${name}`), 'utf8');
      assert.match(text, /SPDX-License-Identifier: BSD-2-Clause/, name);
    }
  }
  const again = await hypxe('guest', 'new', 'c', 'new-c');
  const advice = 'Name a directory that is not there yet.';
  assertRefused(again, 'DirectoryNotEmpty', 'new-c is not empty', advice);
});

guest('what it cannot do is said by name', async () => {
  const see = 'See hypxe guest --help.';
  assertRefused(
    await hypxe('guest', 'header', 'rist'),
    'UnknownLanguage',
    'there is no interface for rist',
    'Did you mean rust?',
  );
  assertRefused(await hypxe('guest'), 'UnknownAction', 'nothing to do', see);
  assertRefused(
    await hypxe('guest', 'new', 'c'),
    'BadArguments',
    'guest new takes two words, not 1',
    see,
  );
});

guest(
  'a whole firmware boots, by --firmware or as FILE, and is judged by its handoff',
  async () => {
    write(
      'idle.wasm',
      firmware([], () => i32(0)),
    );
    for (const args of [['--firmware', 'idle.wasm'], ['idle.wasm']]) {
      const run = await hypxe('boot', ...args, '--then', 'kexec');
      assert.is(run.code, 0, run.out + run.error);
      assert.match(lastLine(run), /^verdict: clean/);
    }
    const leaves = firmware(['wrmsr'], (index) => [
      ...[...i32(0x4000_0000), ...i64(0x8100n << 48n), ...call(index('wrmsr')), ...i32(0)],
    ]);
    write('leaves.wasm', leaves);
    const run = await hypxe('boot', 'leaves.wasm', '--json');
    assert.is(run.code, 1);
    const document = JSON.parse(run.out) as { verdict: string };
    assert.is(document.verdict, 'findings');
    assert.match(run.out, /GUEST_OS_ID is 0x8100000000000000/);
  },
);

guest('a trap is a crash, a refused module is not', async () => {
  const trap = firmware([], () => [Op.UNREACHABLE]);
  write('trap.wasm', trap);
  const run = await hypxe('boot', 'trap.wasm');
  assert.is(run.code, 3);
  assert.is(lastLine(run), 'verdict: crash: the firmware threw RuntimeError: unreachable');
  const whole = firmware([], () => i32(0));
  write('cut.wasm', whole.subarray(0, 60));
  for (const command of ['boot', 'explore', 'replay']) {
    const traces = command === 'replay' ? ['01-boot'] : [];
    const refused = await hypxe(command, ...traces, '--firmware', 'cut.wasm');
    const says = /cut\.wasm: the module ends too early, at byte \d+ of 60: it is cut/;
    assert.match(refused.error, says);
    assert.is(refused.code, 2, command);
  }
});

guest('a whole firmware cannot be replayed, and says so', async () => {
  write(
    'whole.wasm',
    firmware([], () => i32(0)),
  );
  assertRefused(
    await hypxe('replay', '01-boot', '--firmware', 'whole.wasm'),
    'BadFirmware',
    `${file('whole.wasm')} is a whole firmware: it cannot be driven step by step`,
    'Replay a driver, which exports hypxe_probe, or a session of `boot --record`.',
  );
});

guest('a module with 64-bit memory boots: nobody needs to set a flag', async () => {
  // What it returns is what page_alloc gives: an address of 64 bits, made a status of 0
  const wide = firmware(
    ['page_alloc', 'page_free'],
    (index) => [
      ...[...i64(4096n), ...i64(0n), ...i64(0n), ...call(index('page_alloc'))],
      ...[...i64(4096n), ...call(index('page_free')), ...i32(0)],
    ],
    { memory64: true },
  );
  write('wide.wasm', wide);
  const run = await hypxe('boot', 'wide.wasm');
  assert.is(run.code, 0, run.out + run.error);
  assert.match(lastLine(run), /^verdict: clean/);
});

guest('a guest that needs more memory than it is given is told how much', async () => {
  write(
    'large.wasm',
    firmware([], () => i32(0), { pages: 200 }),
  );
  const run = await hypxe('boot', 'large.wasm', '--memory', '8');
  assert.is(run.code, 2);
  assert.match(run.error, /large\.wasm needs 13107200 bytes of memory, and has 8388608/);
});

guest.run();

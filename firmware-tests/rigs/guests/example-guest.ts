// SPDX-License-Identifier: GPL-2.0-or-later

/** What holds of both examples, in C and in Rust. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite, type Test } from 'uvu';
import * as assert from 'uvu/assert';
import { directory, hypxe } from '../cli-rig.ts';
import {
  HOSTS,
  assertCaught,
  assertClean,
  compile,
  missingCompiler,
  project,
} from './compiled-guest.ts';

/** Each step of the clean-up, with what the audit says without it. */
const STEPS: readonly (readonly [name: string, says: RegExp, host?: string])[] = [
  ['NO_UNLOAD', /error: no UNLOAD was sent/],
  ['NO_CLOSE', /warning: CLOSE_CHANNEL was left out/],
  ['NO_RING_TEARDOWN', /warning: GPADL_TEARDOWN was left out for the rings/],
  ['NO_BUFFER_TEARDOWN', /warning: GPADL_TEARDOWN was left out for the receive buffer/],
  ['NO_REVOKE', /warning: REVOKE_RECEIVE_BUFFER was left out/],
  ['NO_HALT', /warning: RNDIS HALT was left out/],
  ['NO_FILTER_OFF', /warning: packet filter 0 was left out/],
  ['NO_COMPLETION', /error: NIC 0: \d+ received packets not completed/],
  ['NO_SINT_OFF', /error: SINT2 of VP 0 is 0x20075: not masked/],
  ['NO_EVENT_PAGE_OFF', /error: event page was freed while the host could write/],
  ['NO_MESSAGE_PAGE_OFF', /error: message page was freed while the host could write/],
  ['NO_HYPERCALL_PAGE_OFF', /error: HYPERCALL is enabled/, 'openvmm'],
  ['NO_OS_ID_OFF', /error: GUEST_OS_ID is/],
];

/** Those of them that it does, too, when it leaves the machine to a loader for a while. */
const QUIESCED: Readonly<Record<string, RegExp>> = {
  NO_SINT_OFF: /error: SINT2 of VP 0 is 0x20075: not masked/,
  NO_EVENT_PAGE_OFF: /error: SIEFP of VP 0 is enabled/,
  NO_MESSAGE_PAGE_OFF: /error: SIMP of VP 0 is enabled/,
  NO_HYPERCALL_PAGE_OFF: /error: HYPERCALL is enabled/,
  NO_OS_ID_OFF: /error: GUEST_OS_ID is/,
};

const SAN = ['takeover-mid-transfer', 'quiesce-without-scontrol', 'two-owners'];

/** How a language leaves a step out. */
interface Dialect {
  /** For its Makefile. */
  readonly define: (step: string) => string;
  /** What its sources say of a step: the first group is its name. */
  readonly named: RegExp;
}

const DIALECTS: Readonly<Record<'c' | 'rust', Dialect>> = {
  c: { define: (step) => `DEFINES=-D${step}`, named: /^#ifn?def (NO_\w+)/gm },
  rust: {
    define: (step) => `CFG=--cfg ${step.toLowerCase()}`,
    named: /cfg!\((?:not\()?(no_\w+)\)/g,
  },
};

/** An example's tests. `guest()`: its module, as it is; undefined without a compiler. */
export function exampleSuite(
  language: 'c' | 'rust',
): Test & { readonly guest: () => string | undefined } {
  const example = suite(`guest in ${language}`);
  const folder = `example-${language}`;
  const { define, named } = DIALECTS[language];
  let guest: string | undefined;

  example.before(async () => {
    if (missingCompiler(language)) return;
    guest = compile(await project(language, folder));
    // Without the names of its functions nothing says where it has crashed
    assert.match(fs.readFileSync(path.join(directory, guest), 'latin1'), /netvsc/);
  });

  example('it boots clean on each host that it supports', () => {
    if (guest === undefined) return;
    for (const host of HOSTS) assertClean(guest, { host });
    assertClean(guest, { nics: 3 });
    assertClean(guest, { faults: { loss: 0.05, reordering: 0.1 } });
  });

  example(
    'a network device that comes late is waited for, and one that never comes is not',
    async () => {
      if (guest === undefined) return;
      const late = await hypxe('boot', guest, '--nic-arrives', '9000', '--size', '20000');
      assert.is(late.code, 0, late.out);
      assert.match(late.out, /^verdict: clean/m);
      const never = await hypxe('boot', guest, '--nic-arrives', '60000', '--size', '20000');
      assert.is(never.code, 1, never.out);
      assert.match(never.out, /nothing was booted \(NoNetworkDevice\); the audit has 0 errors$/m);
    },
  );

  example(
    'a loader takes the machine from it in the middle of a transfer, and it back',
    async () => {
      if (guest === undefined) return;
      const boot = await hypxe('boot', guest, '--then', 'san', '--size', '90000');
      assert.is(boot.code, 0, boot.out);
      assert.match(boot.out, /^ +firmware, once more quiesced at .*: 0 errors$/m);
      assert.match(boot.out, /^verdict: clean/m);
      const run = await hypxe('scenarios', ...SAN, '--firmware', guest);
      assert.is(run.code, 0, run.out);
      assert.match(run.out, /^3 scenarios, 0 failed$/m);
    },
  );

  example('a session with it is recorded, and it does the same again', async () => {
    if (guest === undefined) return;
    const session = `${folder}.json`;
    const recorded = await hypxe('record', '--seed', '3', '--firmware', guest, '-o', session);
    assert.is(recorded.code, 0, recorded.error);
    const again = await hypxe('replay', session, '--firmware', guest);
    assert.is(again.code, 0, again.out);
    assert.match(again.out, /^ +frame +(\d+) +\1 +\1$/m);
  });

  example('each step of the clean-up that is left out is caught', () => {
    if (guest === undefined) return;
    for (const [step, says, host = 'server2022'] of STEPS) {
      const without = compile(folder, define(step));
      assertCaught(without, says, { host });
      const quiesced = QUIESCED[step];
      if (quiesced !== undefined) assertCaught(without, quiesced, { host, steps: ['san'] });
    }
    const steps = new Set<string>();
    for (const file of fs.readdirSync(path.join(directory, folder))) {
      if (!/\.(?:c|rs)$/.test(file)) continue;
      const text = fs.readFileSync(path.join(directory, folder, file), 'utf8');
      for (const [, name] of text.matchAll(named)) steps.add(name!.toUpperCase());
    }
    assert.equal([...steps].sort(), STEPS.map(([step]) => step).sort());
    guest = compile(folder);
  });

  return Object.assign(example, { guest: () => guest });
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** The example in C: compiled, it boots clean everywhere; with a step left out it is caught. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { directory, hypxe } from '../../rigs/cli-rig.ts';
import {
  HOSTS,
  assertCaught,
  assertClean,
  boot,
  compile,
  missingCompiler,
  project,
} from '../../rigs/guests/compiled-guest.ts';

const example = suite('guest in C');

/** Each step of the clean-up, with what the audit says without it. */
const STEPS: readonly (readonly [macro: string, says: RegExp, host?: string])[] = [
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

let guest: string | undefined;

example.before(async () => {
  if (missingCompiler('c')) return;
  guest = compile(await project('c', 'example-c'));
});

example('it boots clean on each host that it supports', () => {
  if (guest === undefined) return;
  for (const host of HOSTS) assertClean(guest, { host });
  assertClean(guest, { nics: 3 });
  assertClean(guest, { faults: { loss: 0.05, reordering: 0.1 } });
});

example('a host that is too old is refused by name', () => {
  if (guest === undefined) return;
  const report = boot(guest, { host: 'server2012' });
  assert.is(report.verdict, 'refused');
  assert.is(report.boot?.error?.name, 'GuestNotSupported');
});

example('kernels take over from it, one after the other', async () => {
  if (guest === undefined) return;
  const run = await hypxe('boot', guest, '--then', 'kexec,crash', '--size', '20000');
  assert.is(run.code, 0, run.out);
  assert.match(run.out, /stages {3}firmware handed over/);
});

example('each step of the clean-up that is left out is caught', () => {
  if (guest === undefined) return;
  for (const [macro, says, host = 'server2022'] of STEPS) {
    const leaky = compile('example-c', `DEFINES=-D${macro}`);
    assertCaught(leaky, says, host);
  }
  const sources = fs.readdirSync(path.join(directory, 'example-c'));
  const macros = new Set<string>();
  for (const file of sources.filter((name) => name.endsWith('.c'))) {
    const text = fs.readFileSync(path.join(directory, 'example-c', file), 'utf8');
    for (const [, macro] of text.matchAll(/^#ifn?def (NO_\w+)/gm)) macros.add(macro!);
  }
  assert.equal([...macros].sort(), STEPS.map(([macro]) => macro).sort());
  guest = compile('example-c');
});

example('a trace and a capture have what it did', async () => {
  if (guest === undefined) return;
  const files = ['--trace', 'c.jsonl', '--pcap', 'c.pcapng'];
  const run = await hypxe('boot', '--firmware', guest, '--size', '20000', ...files);
  assert.is(run.code, 0);
  const trace = fs.readFileSync(path.join(directory, 'c.jsonl'), 'utf8');
  assert.match(trace, /"kind":"wrmsr","msr":1073741824,"value":"0x8d00000000000000"/);
  assert.ok(fs.statSync(path.join(directory, 'c.pcapng')).size > 10_000);
});

example.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** The example in Rust: compiled, it boots clean everywhere; with a step left out it is caught. */

import { suite } from 'uvu';
import {
  HOSTS,
  assertCaught,
  assertClean,
  compile,
  missingCompiler,
  project,
} from '../../rigs/guests/compiled-guest.ts';

const example = suite('guest in Rust');

/** Each step of the clean-up, with what the audit says without it. */
const STEPS: readonly (readonly [flag: string, says: RegExp, host?: string])[] = [
  ['no_unload', /error: no UNLOAD was sent/],
  ['no_close', /warning: CLOSE_CHANNEL was left out/],
  ['no_ring_teardown', /warning: GPADL_TEARDOWN was left out for the rings/],
  ['no_buffer_teardown', /warning: GPADL_TEARDOWN was left out for the receive buffer/],
  ['no_revoke', /warning: REVOKE_RECEIVE_BUFFER was left out/],
  ['no_halt', /warning: RNDIS HALT was left out/],
  ['no_filter_off', /warning: packet filter 0 was left out/],
  ['no_completion', /error: NIC 0: \d+ received packets not completed/],
  ['no_sint_off', /error: SINT2 of VP 0 is 0x20075: not masked/],
  ['no_event_page_off', /error: event page was freed while the host could write/],
  ['no_message_page_off', /error: message page was freed while the host could write/],
  ['no_hypercall_page_off', /error: HYPERCALL is enabled/, 'openvmm'],
  ['no_os_id_off', /error: GUEST_OS_ID is/],
];

let guest: string | undefined;

example.before(async () => {
  if (missingCompiler('rust')) return;
  guest = compile(await project('rust', 'example-rust'));
});

example('it boots clean on each host that it supports', () => {
  if (guest === undefined) return;
  for (const host of HOSTS) assertClean(guest, { host });
  assertClean(guest, { nics: 3 });
});

example('each step of the clean-up that is left out is caught', () => {
  if (guest === undefined) return;
  for (const [flag, says, host = 'server2022'] of STEPS) {
    const leaky = compile('example-rust', `CFG=--cfg ${flag}`);
    assertCaught(leaky, says, host);
  }
  guest = compile('example-rust');
});

example.run();

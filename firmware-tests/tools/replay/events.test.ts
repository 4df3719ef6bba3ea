// SPDX-License-Identifier: GPL-2.0-or-later

/** The stream of events of a replay: whatever a guest or a recorded host leaves in memory. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { GuestChannels } from '../../../tools/replay/guest-channels.ts';
import { GuestRing } from '../../../tools/replay/host/guest-ring.ts';
import { ReplayEvents } from '../../../tools/replay/replay-events.ts';
import type { ReplayRegisters } from '../../../tools/replay/replay-registers.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';

const events = suite('replay: the stream of events');

/** What one look tells of these contact pages and of a packet with this length in the header. */
function look(contactPages: readonly number[], qlen: number): HostEvent[] {
  const memory = new Uint8Array(0x2000);
  const ring = new GuestRing(memory, [0, 0x1000]);
  ring.producer = 32;
  ring.data.writeU32(4, qlen);
  const channel = { channel: 1, gpadl: 1, out: ring, in: ring };
  const channels = { connected: true, contactPages, gpadls: new Map() };
  const registers = { hypercallPage: undefined, page: () => undefined };
  const told: HostEvent[] = [];
  const stream = new ReplayEvents(
    ...[(event: HostEvent) => void told.push(event), () => 0],
    registers as unknown as ReplayRegisters,
    { ...channels, channels: new Map([[1, channel]]) } as unknown as GuestChannels,
  );
  stream.look();
  return told;
}

events('a packet without a length is none', () => {
  assert.equal(look([], 0), []);
  assert.equal(look([], 1), []);
  assert.equal(
    look([], 3).map(({ kind }) => kind),
    ['ring-packet'],
  );
});

events('a contact page in the middle of a page is that page', () => {
  const [grant] = look([0x5010, 0, 0], 0);
  assert.equal(grant?.kind === 'grant' && grant.grant.pfns, [5]);
});

events.run();

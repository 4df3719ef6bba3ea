// SPDX-License-Identifier: GPL-2.0-or-later

/** A packet's header is read once: what the host writes there later is nothing to the guest. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Log } from '../../../src/events.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { VmbusChannel, type ChannelOwner } from '../../../src/vmbus/channel.ts';
import type { VmbusConnection } from '../../../src/vmbus/connection.ts';
import type { Offer } from '../../../src/vmbus/offer.ts';
import { InboundRing, OutboundRing } from '../../../src/vmbus/ring.ts';
import { WatchedMemory } from '../../../tools/guests/watch/watched-memory.ts';

const header = suite('headers in the ring');

/** Control pages of the two rings; the data follow, a page each. */
const OUT = 0x2000;
const IN = 0x4000;
const PAGE = 0x1000;

/** In-band, 16 bytes of header and 16 of payload, asks for a completion; ID 7 (vmbuspacket). */
const PACKET = [(2 << 16) | 6, (1 << 16) | 4, 7, 0, 0x11111111, 0x22222222, 3, 4, 0, 0];

/** What the host makes of the header: another type, no payload, no completion, ID 9. */
const CHANGED = [(4 << 16) | 7, 4, 9, 9];

header('type, lengths, flags and ID are those that were checked', () => {
  const buffer = new ArrayBuffer(1 << 16);
  const host = new DataView(buffer);
  const write = (words: readonly number[]): void =>
    words.forEach((word, i) => host.setUint32(IN + PAGE + 4 * i, word, true));
  write(PACKET);
  host.setUint32(IN, 4 * PACKET.length, true);
  // The host writes over the header as soon as the guest looks at what is behind it, or looks again
  const looks = new Set<number>();
  const watched = new WatchedMemory(buffer, {
    load(address) {
      const behind = address >= IN + PAGE + 16 && address < IN + 2 * PAGE;
      if (behind || looks.has(address)) write(CHANGED);
      if (address >= IN + PAGE) looks.add(address);
    },
  });
  watched.install();
  const heard: unknown[] = [];
  try {
    const memory = new GuestMemory(buffer);
    const owner: ChannelOwner = {
      offer: { channel: 1 } as Offer,
      name: '',
      log: new Log(undefined),
      connection: { signal: () => 0 } as unknown as VmbusConnection,
    };
    const handler = {
      completed: () => heard.push('completed'),
      receivedInband: (packet: { payload: number; payloadLength: number; view: DataView }) => {
        const { payload, payloadLength, view } = packet;
        heard.push(payload, payloadLength, view.getUint32(payload, true));
      },
      receivedPages: () => heard.push('pages'),
      cancelled: () => heard.push('cancelled'),
      malformed: (kind: string) => heard.push(kind),
    };
    const out = new OutboundRing(memory, OUT, PAGE);
    const into = new InboundRing(memory, IN, PAGE);
    assert.ok(new VmbusChannel(owner, handler, out, into, 256).poll());
  } finally {
    watched.release();
  }
  assert.equal(heard, [16, 16, 0x11111111]);
  // All of it is given back, and what asked for it is completed: type 11, ID 7
  assert.is(host.getUint32(IN + 4, true), 4 * PACKET.length);
  assert.equal([host.getUint16(OUT + PAGE, true), host.getUint32(OUT + PAGE + 8, true)], [11, 7]);
});

header.run();

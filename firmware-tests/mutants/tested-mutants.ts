// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Mutants of the firmware that no run of an exploration can show, or hardly one: a test of the
 * behaviour finds each of them, at the bytes.
 */

import type { Patch } from './bundle.ts';

export interface TestedMutant extends Patch {
  readonly name: string;
  /** The test that finds it: its file below `firmware-tests/src/`, and its name. */
  readonly path: string;
  readonly test: string;
}

/** A change that is no mistake: the same test passes. */
export interface Equivalent extends Omit<TestedMutant, 'test'> {
  readonly reason: string;
}

const CHANNEL = 'src/vmbus/channel.ts';
const COPY = 'this.in.copy(PacketHeader.size, packet.view, length - PacketHeader.size);';
const COPY_ALL = 'this.in.copy(0, packet.view, length);';
const UNPOSTED = {
  path: 'vmbus/unposted.test.ts',
  file: 'src/vmbus/connection.ts',
  search: 'if (!this.mustUnload && contacts === 1) this.#revoke',
};

export const TESTED_MUTANTS: readonly TestedMutant[] = [
  {
    name: 'bytes beyond the end of a short message are those of the message before',
    file: 'src/hyperv/message.ts',
    search: '    bytes.fill(0, length);\n',
    replace: '',
    path: 'hyperv/message.test.ts',
    test: 'a short message leaves no stale bytes behind: not of the one before, not of the slot',
  },
  {
    name: 'a header is copied and read again with its body',
    file: CHANNEL,
    search: COPY,
    replace: `${COPY_ALL}\n    readHeader(packet);`,
    path: 'vmbus/header.test.ts',
    test: 'type, lengths, flags and ID are those that were checked',
  },
  {
    name: 'the queue of completions is shifted by half',
    file: CHANNEL,
    search: 'pending.splice(0, 2)',
    replace: 'pending.splice(0, 1)',
    path: 'netvsc/completion.test.ts',
    test: 'every-packet-completed: as soon as the ring has room, in order, and none is lost',
  },
  {
    name: 'completions overtake those that wait',
    file: CHANNEL,
    search: 'pending.length === 0 && this.#sendCompletion',
    replace: 'this.#sendCompletion',
    path: 'netvsc/completion.test.ts',
    test: 'a ring that empties while a packet is handled: what waits goes first',
  },
  {
    name: 'pages are revoked though an older contact is out',
    ...UNPOSTED,
    replace: 'this.#revoke',
    test: 'a second one, while the first is not answered',
  },
  {
    name: 'pages are revoked though the connection of before a reset lives',
    ...UNPOSTED,
    replace: 'if (contacts === 1) this.#revoke',
    test: 'the first of a reset: the connection of before lives',
  },
  {
    name: 'pages are revoked behind the answer to an UNLOAD that was not ours',
    ...UNPOSTED,
    replace: 'if (!this.mustUnload) this.#revoke',
    test: 'a second one, behind the answer to an UNLOAD of somebody else',
  },
  {
    name: 'DHCP replies for another MAC address are taken',
    file: 'src/net/dhcp-message.ts',
    search: ' || !matches(bytes, DhcpHeader.at.chaddr, mac)',
    replace: '',
    path: 'net/dhcp.test.ts',
    test: 'messages that are not for us, and broken ones, are ignored',
  },
  {
    name: 'the clock goes back with its counter',
    file: 'src/hyperv/clock.ts',
    search: 'passed > 0 && passed <=',
    replace: 'passed <=',
    path: 'hyperv/clock.test.ts',
    test: 'a counter that goes back: time stands, and goes on from there',
  },
];

export const EQUIVALENT: readonly Equivalent[] = [
  {
    name: 'a header is copied again with its body',
    file: CHANNEL,
    search: COPY,
    replace: COPY_ALL,
    path: 'vmbus/header.test.ts',
    reason: 'its fields were read from the first copy, and nobody reads the second one',
  },
];

// SPDX-License-Identifier: GPL-2.0-or-later

/** Faults in words: at what, and what is done to it. */

import { RndisType } from '../../src/rndis/protocol.ts';
import { MessageType, PacketType } from '../../src/vmbus/protocol.ts';
import { nameOf } from '../replay/decode.ts';
import type { PlaceDetail } from './counter.ts';
import type { Fault, FaultTexts, Place } from './plan.ts';

/** What each kind does; `$` is its argument. */
const DONE: FaultTexts = {
  step: {
    handoff: 'the boot is cut here: it must clean up and hand over',
    'give-up': 'the loader gives up here',
    rescind: 'the host takes the devices away',
    renumber: 'the host takes the devices away, and offers them anew under other numbers',
  },
  call: {
    status: 'the host refuses it with status $',
    'status-ever': 'the host refuses it, and all later ones, with status $',
    lost: 'the host says that it went well, and it gets nowhere',
  },
  register: { refuse: 'the host refuses it', 'refuse-ever': 'the host refuses it for good' },
  owner: { left: 'it has left behind: $' },
  network: { is: 'it is of the kind $' },
  nic: {
    arrives: 'it comes $ ms after the enumeration',
    unplugged: 'its cable is out for a while, $ ms after the enumeration',
  },
  message: {
    drop: 'it is lost',
    mute: 'it is lost, and so are all later ones of its type',
    late: 'it comes $ ticks late',
    twice: 'it comes twice',
    field: 'the host changes a field: $',
    cut: 'it is cut to $ bytes',
    pad: 'it is filled up with bytes of value $',
    before: 'one of type $ that nobody asked for comes before it',
    after: 'one of type $ that nobody asked for comes behind it',
    'synic-type': 'it comes as a SynIC message of type $',
    slot: 'the host writes to its slot: $',
  },
  packet: {
    drop: 'it is lost',
    mute: 'it is lost, and so are all later ones',
    late: 'it comes $ ticks late',
    twice: 'it comes twice',
    field: 'the host changes a field: $',
    cut: 'it is cut to $ bytes',
    index: 'the host writes an index of the ring: $',
    inject: 'one of type $ that nobody asked for comes behind it',
    scribble: 'the host writes over it, $ exits of the guest later',
  },
  rndis: {
    drop: 'it is lost',
    late: 'it comes $ ticks late',
    twice: 'it comes twice',
    field: 'the host changes a field: $',
    cut: 'it is cut to $ bytes',
    after: 'one of type $ that nobody asked for comes behind it',
    scribble: 'the host writes over the receive buffer, $ exits of the guest later',
  },
  transmit: { withhold: 'the host never completes it' },
  alloc: { fail: 'there is no memory for it', 'fail-ever': 'there is no memory for it, nor later' },
  read: { value: 'it is another one when it is read again: $' },
  race: {
    strong: 'the host acts while the guest runs',
    'store-buffer': 'the host acts while the guest runs, and sees its stores late',
    weak: 'the host acts while the guest runs, and sees its stores late and in any order',
  },
};

/** What stands at a place, by its number. */
const AT: Readonly<Record<Place, string>> = {
  ...{ step: 'step', call: 'call', register: 'write of a register', owner: 'previous owner' },
  ...{ network: 'network', nic: 'NIC', message: 'message of the host' },
  ...{ packet: 'packet of the host', rndis: 'RNDIS message of the host' },
  ...{ transmit: 'RNDIS message of the guest', alloc: 'allocation', read: 'word', race: 'race' },
};

/** Of what there is one: its number says nothing. */
const SINGLE: readonly Place[] = ['owner', 'network', 'nic'];

/** `message of the host 4 (VERSION_RESPONSE): it is lost`. */
export function faultWords(fault: Fault, detail: PlaceDetail): string {
  const { place, index, kind, argument } = fault;
  const number = SINGLE.includes(place) ? '' : ` ${index}`;
  const what = whatWords(place, detail);
  const shown = what === '' ? '' : ` (${what})`;
  const texts: Readonly<Record<string, string>> = DONE[place];
  const done = (texts[kind] ?? kind).replace('$', argument);
  return `${AT[place]}${number}${shown}: ${done}`;
}

/** What is there, beyond what the place says already. */
function whatWords(place: Place, { what, bytes }: PlaceDetail): string {
  if (bytes !== undefined && bytes.length >= 4) {
    const type = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (place === 'message') return nameOf(MessageType, type) ?? what;
    if (place === 'rndis') return nameOf(RndisType, type) ?? what;
    if (place === 'packet') return nameOf(PacketType, type & 0xffff) ?? what;
  }
  return ['step', 'call', 'register', 'alloc', 'read'].includes(place) ? what : '';
}

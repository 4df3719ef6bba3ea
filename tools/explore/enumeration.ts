// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * All single faults of a recorded flow: at every place every kind that can occur there, with every
 * argument. The order is fixed: the same recording gives the same list.
 */

import { HvStatus, SynicMessage } from '../../src/hyperv/protocol.ts';
import { RndisType } from '../../src/rndis/protocol.ts';
import { PacketType } from '../../src/vmbus/protocol.ts';
import { NETWORK_CONDITION_NAMES } from '../simulator/network/index.ts';
import { LEFTOVER_NAMES } from '../os/previous-owner.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { PlaceDetail } from './counter.ts';
import { modelsOf } from './memory/race-policy.ts';
import { OPERATIONS, effective, mutateWord, type FieldPlace } from './mutation.ts';
import type { Fault, Place, Plan } from './plan.ts';
import type { Recording } from './recording.ts';
import { messageFields, packetFields, rndisFields } from './wire-fields.ts';

/** Statuses that a hypercall fails with: each that hosts return, and an unknown one. */
const STATUSES = [...new Set<number>([...Object.values(HvStatus), 0xffff])].filter((s) => s !== 0);

/** How late something is: after the next exits, within a time limit, beyond it. */
const LATE_TICKS = [1, 50 * TICKS_PER_MS, 1500 * TICKS_PER_MS, 12_000 * TICKS_PER_MS];

/** When a NIC is offered, and when its cable is taken out, in ms after the enumeration. */
const ARRIVES_MS = [0, 1, 20, 500, 3000, 20_000];
const UNPLUGGED_MS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 20];

/** Types of control messages that nobody has asked for: all that exist, and some that do not. */
const MESSAGE_TYPES = [...Array.from({ length: 31 }, (_, type) => type), 0x7fffffff];

/** SynIC message types: none, another driver's, the hypervisor's own for a timer. */
const SYNIC_TYPES = [2, 0x80000010];

/** What no hypervisor writes into a slot, field by field. */
const SLOT_VALUES: readonly (readonly [keyof typeof SynicMessage.at, readonly number[]])[] = [
  ['length', [0, 241, 255]],
  ['flags', [0xff]],
  ['type', [0, 0xffffffff]],
  ['origin', [0xffffffff]],
];

/** Raw values of ring indices: start, unaligned, middle, the last, just beyond, far beyond. */
const INDICES = [0, 4, 8, 0x8000, 0xfff8, 0x10000, 0x7ffffff8, 0xffffffff];

/** Ring packets that nobody has asked for: types by number. */
const PACKET_TYPES = [0, 1, ...Object.values(PacketType), 0xffff];

/** RNDIS messages that nobody has asked for. */
const RNDIS_TYPES = [...Object.values(RndisType), 0, 0x99];

/** Exits of the guest before the host writes over what it has sent. */
const SCRIBBLE_EXITS = [1, 2, 3];

type Variant = readonly [kind: string, ...args: readonly (string | number)[]];

/** The faults of each place, given what was there. */
const VARIANTS: Readonly<Record<Place, (detail: PlaceDetail) => Variant[]>> = {
  step: () => [['rescind'], ['renumber']],
  call: () => [['status', ...STATUSES], ['status-ever', ...STATUSES], ['lost']],
  register: () => [['refuse'], ['refuse-ever']],
  owner: () => [['left', 'all', ...LEFTOVER_NAMES]],
  network: () => [['is', ...NETWORK_CONDITION_NAMES]],
  nic: () => [
    ['arrives', ...ARRIVES_MS],
    ['unplugged', ...UNPLUGGED_MS],
  ],
  message: ({ bytes }) => [
    ['drop'],
    ['mute'],
    ['twice'],
    ['late', ...LATE_TICKS],
    ['field', ...fieldArguments(bytes!, messageFields(bytes!))],
    ['cut', ...lengths(bytes!, messageFields(bytes!), 1)],
    ['pad', 0, 255],
    ['before', ...MESSAGE_TYPES],
    ['after', ...MESSAGE_TYPES],
    ['synic-type', ...SYNIC_TYPES],
    ['slot', ...SLOT_VALUES.flatMap(([name, values]) => values.map((v) => `${name}=${v}`))],
  ],
  packet: ({ bytes }) => [
    ['drop'],
    ['mute'],
    ['twice'],
    ['late', ...LATE_TICKS],
    ['field', ...fieldArguments(bytes!, packetFields(bytes!))],
    ['cut', ...lengths(bytes!, packetFields(bytes!), 8)],
    ['index', ...['prod', 'cons'].flatMap((name) => INDICES.map((value) => `${name}=${value}`))],
    ['inject', ...PACKET_TYPES],
    ['scribble', ...SCRIBBLE_EXITS],
  ],
  rndis: ({ bytes }) => [
    ['drop'],
    ['twice'],
    ['late', ...LATE_TICKS],
    ['field', ...fieldArguments(bytes!, rndisFields(bytes!))],
    ['cut', ...lengths(bytes!, rndisFields(bytes!), 1)],
    ['after', ...RNDIS_TYPES],
    ['scribble', ...SCRIBBLE_EXITS],
  ],
  transmit: () => [['withhold']],
  alloc: () => [['fail'], ['fail-ever']],
  race: ({ what }) => modelsOf(what === 'arm64' ? 'arm64' : 'x64').map((model) => [model] as const),
  read: ({ value }) => [['value', ...OPERATIONS.filter((op) => mutateWord(value!, op) !== value)]],
};

/** All faults of one place. */
export function faultsAt(place: Place, index: number, detail: PlaceDetail): Fault[] {
  return VARIANTS[place](detail).flatMap(([kind, ...args]) => {
    const none = args.length === 0 && !TAKES_ARGUMENT.has(kind);
    const texts = none ? [''] : args.map(String);
    return texts.map((argument) => ({ place, index, kind, argument }));
  });
}

/** Kinds that are left out where there is no argument for them. */
const TAKES_ARGUMENT = new Set(['field', 'cut', 'value']);

/** Every plan with one fault, or one cut, in this flow. */
export function singleFaults({ flow, places }: Pick<Recording, 'flow' | 'places'>): Plan[] {
  // A boot is asked to hand over; a loader gives up by itself
  const cut = flow === 'loader' ? 'give-up' : 'handoff';
  const cuts = places.step.map((_, index): Fault => ({
    place: 'step',
    index,
    kind: cut,
    argument: '',
  }));
  const kinds = Object.keys(places) as Place[];
  const faults = kinds.flatMap((place) =>
    places[place].flatMap((detail, index) => faultsAt(place, index, detail)),
  );
  return [...cuts, ...faults].map((fault) => ({ flow, faults: [fault] }));
}

function fieldArguments(bytes: Uint8Array, fields: readonly FieldPlace[]): string[] {
  return fields.flatMap((field) => effective(bytes, field).map((op) => `${field.name}=${op}`));
}

/** Lengths to cut to: nothing, the start of each field, and all but one unit. */
function lengths(bytes: Uint8Array, fields: readonly FieldPlace[], unit: number): number[] {
  const starts = fields.map(({ offset }) => Math.floor(offset / unit) * unit);
  const cut = [...new Set([0, ...starts, bytes.length - unit])].filter((n) => n < bytes.length);
  return cut.sort((a, b) => a - b);
}

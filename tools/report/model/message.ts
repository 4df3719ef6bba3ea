// SPDX-License-Identifier: GPL-2.0-or-later

/** What an event says: who to whom, its name, its layer, its fields. The bytes are decoded here. */

import { HvCall, HvMessageType, Msr } from '../../../src/hyperv/protocol.ts';
import {
  DeviceClass,
  MessageType,
  OfferChannel,
  versionText,
} from '../../../src/vmbus/protocol.ts';
import { guidText } from '../../../src/wire.ts';
import {
  decodeMessage,
  decodePacket,
  decodePost,
  decodeRndis,
  decodeSignal,
  msrName,
  nameOf,
  type DecodedLayer,
} from '../../replay/decode.ts';
import { bytes, number, object, text, type TraceRecord } from './record.ts';

/** The layers that one can choose between, in order. */
export const LAYERS = {
  vmbus: 'VMBus messages',
  packet: 'ring packets (NVSP, RNDIS, services)',
  register: 'register writes, hypercalls',
  synic: 'interrupts, signals, end of message',
  read: 'register reads, CPUID',
  net: 'network frames',
  ledger: 'pages shared and revoked',
  guest: 'what the guest says',
  host: 'what the host makes of it',
  audit: 'handoffs, late writes, faults',
} as const;

export type LayerName = keyof typeof LAYERS;

/** Layers that are many and tell little. */
export const HIDDEN_AT_FIRST: readonly LayerName[] = ['synic', 'read', 'net', 'ledger'];

/** An event in one line. */
export interface Message {
  readonly layer: LayerName;
  /** Who did it to whom; `at-…`: something that one of them says or does alone. */
  readonly way: 'to-host' | 'to-guest' | 'at-guest' | 'at-host' | 'both';
  readonly name: string;
  /** The rest of the line. */
  readonly detail: string;
  readonly channel: number | undefined;
  /** It went wrong: lost, refused, broken. */
  readonly bad: boolean;
}

const VMBUS_SYNIC_MESSAGE = 1;

/** Names of device classes, as a channel has them. */
const DEVICE_NAMES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(DeviceClass).map(([name, id]) => [id, name.toLowerCase().replace('_', ' ')]),
);

/** The devices behind the channels, by number: as the host has offered them. */
export function channelsOf(events: readonly TraceRecord[]): Map<number, string> {
  const channels = new Map<number, string>();
  for (const event of events) {
    if (event.kind !== 'host-message' || messageType(event) !== MessageType.OFFER_CHANNEL) continue;
    const offer = bytes(event, 'payload');
    if (offer.length < OfferChannel.size) continue;
    const view = new DataView(offer.buffer);
    const interfaceId = guidText(offer, OfferChannel.at.interfaceId);
    const channel = view.getUint32(OfferChannel.at.channel, true);
    channels.set(channel, DEVICE_NAMES[interfaceId] ?? 'other device');
  }
  return channels;
}

/** Type of the VMBus message that an event carries; undefined if it carries none. */
export function messageType(event: TraceRecord): number | undefined {
  if (event.kind === 'host-message') {
    if (event.type !== VMBUS_SYNIC_MESSAGE) return undefined;
    return firstWord(text(event, 'payload'), 0);
  }
  if (event.kind !== 'hypercall' || event.code !== HvCall.POST_MESSAGE) return undefined;
  return firstWord(text(event, 'input'), 16);
}

/** A little-endian word of 32 bits in hexadecimal digits; undefined beyond their end. */
export function firstWord(digits: string, at: number): number | undefined {
  const word = digits.slice(at * 2, at * 2 + 8);
  if (!/^[\da-f]{8}$/i.test(word)) return undefined;
  return parseInt(word.replace(/(..)(..)(..)(..)/, '$4$3$2$1'), 16);
}

/** Name of the register that the guest writes with an event; undefined if it writes none. */
export function registerOf(event: TraceRecord): string | undefined {
  if (event.kind === 'wrmsr') return msrName(number(event, 'msr') ?? 0);
  return event.kind === 'register-write' ? text(event, 'name') : undefined;
}

/** The layers of an event with their fields; none for what has only its line. */
export function decode(event: TraceRecord, channels: ReadonlyMap<number, string>): DecodedLayer[] {
  switch (event.kind) {
    case 'hypercall': {
      const input = bytes(event, 'input');
      if (event.code === HvCall.POST_MESSAGE) return [...decodePost(input)];
      return event.code === HvCall.SIGNAL_EVENT ? [...decodeSignal(input)] : [];
    }
    case 'host-message':
      return event.type === VMBUS_SYNIC_MESSAGE ? [...decodeMessage(bytes(event, 'payload'))] : [];
    case 'ring-packet': {
      const layers = [...decodePacket(bytes(event, 'bytes'))];
      const network = channels.get(number(event, 'channel') ?? 0) === 'network';
      const shown = network ? layers : layers.filter(({ layer }) => layer !== 'NVSP');
      const rndis = bytes(event, 'rndis');
      return rndis.length === 0 ? shown : [...shown, ...decodeRndis(rndis)];
    }
    default:
      return [];
  }
}

const KIND_LAYERS: Readonly<Record<string, LayerName>> = {
  ...{ 'ring-packet': 'packet', wrmsr: 'register', 'register-write': 'register' },
  ...{ rdmsr: 'read', 'register-read': 'read', cpuid: 'read' },
  ...{ 'message-taken': 'synic', 'event-flag': 'synic', signal: 'synic' },
  ...{ frame: 'net', 'frame-dropped': 'net' },
  ...{ grant: 'ledger', revoke: 'ledger', purpose: 'ledger', ledger: 'ledger' },
  ...{ vmbus: 'host', violation: 'host', fault: 'host', unmodelled: 'host' },
  ...{ crash: 'host', hang: 'host', log: 'guest', 'boot-step': 'guest' },
  ...{ stage: 'audit', handoff: 'audit', 'late-write': 'audit', injected: 'audit' },
};

/** The layer of an event, without looking into it; undefined for what is shown elsewhere. */
export function layerOf(event: TraceRecord): LayerName | undefined {
  const isPost = messageType(event) !== undefined;
  if (event.kind === 'hypercall') {
    return isPost ? 'vmbus' : event.code === HvCall.SIGNAL_EVENT ? 'synic' : 'register';
  }
  if (event.kind === 'host-message') return isPost ? 'vmbus' : 'synic';
  return Object.hasOwn(KIND_LAYERS, event.kind) ? KIND_LAYERS[event.kind] : undefined;
}

/** Messages with a channel in their third word. */
const OF_CHANNEL: readonly number[] = [
  ...[MessageType.OPEN_CHANNEL, MessageType.OPEN_CHANNEL_RESULT, MessageType.CLOSE_CHANNEL],
  ...[MessageType.GPADL_HEADER, MessageType.GPADL_CREATED, MessageType.GPADL_TEARDOWN],
  ...[MessageType.RESCIND_CHANNEL_OFFER, MessageType.RELID_RELEASED, MessageType.MODIFY_CHANNEL],
];

/** The channel that an event is about, without decoding it; undefined if it is about none. */
export function channelOfEvent(event: TraceRecord): number | undefined {
  const type = messageType(event);
  if (type === undefined) return number(event, 'channel');
  if (!OF_CHANNEL.includes(type)) return undefined;
  const posted = event.kind === 'hypercall';
  return firstWord(text(event, posted ? 'input' : 'payload'), posted ? 16 + 8 : 8);
}

/** An event in one line; undefined for what is shown elsewhere. */
export function messageOf(
  event: TraceRecord,
  channels: ReadonlyMap<number, string>,
): Message | undefined {
  if (!Object.hasOwn(READERS, event.kind)) return undefined;
  const make = READERS[event.kind]!;
  const line = { detail: '', channel: undefined, bad: false, ...make(event, channels) };
  return line as Message;
}

type Line = Partial<Message> & Pick<Message, 'layer' | 'way' | 'name'>;
type Reader = (event: TraceRecord, channels: ReadonlyMap<number, string>) => Line;

const says = (layer: LayerName, way: Message['way'], name: string, detail = ''): Line => ({
  ...{ layer, way, name, detail },
});

const READERS: Readonly<Record<string, Reader>> = {
  hypercall: hypercall,
  'host-message': hostMessage,
  'ring-packet': ringPacket,
  wrmsr: (event) => says('register', 'to-host', `write ${registerName(event)}`, valueOf(event)),
  'register-write': (event) =>
    says('register', 'to-host', `write ${text(event, 'name')}`, valueOf(event)),
  rdmsr: (event) => says('read', 'to-host', `read ${registerName(event)}`, valueOf(event)),
  'register-read': (event) =>
    says('read', 'to-host', `read ${text(event, 'name')}`, valueOf(event)),
  cpuid: (event) => says('read', 'to-host', `CPUID 0x${(number(event, 'leaf') ?? 0).toString(16)}`),
  'message-taken': (event) =>
    says(
      'synic',
      'to-host',
      'message taken',
      `SINT${text(event, 'sint')} of VP ${text(event, 'vp')}`,
    ),
  'event-flag': (event) => ({
    ...says('synic', 'to-guest', `event flag ${text(event, 'flag')}`, flagDetail(event)),
    bad: event.change === 'lost',
  }),
  signal: (event) => ({
    ...says('synic', 'to-host', 'signal', `by ${text(event, 'via')}`),
    channel: number(event, 'channel'),
  }),
  frame: (event) => {
    const length = number(event, 'length') ?? text(event, 'frame').length / 2;
    const way = event.from === 'guest' ? 'to-host' : 'to-guest';
    return says('net', way, 'frame', `${length} bytes, NIC ${text(event, 'nic')}`);
  },
  'frame-dropped': (event) => ({
    ...says('net', 'to-guest', 'frame dropped', text(event, 'reason')),
    bad: true,
  }),
  grant: (event) => {
    const grant = object(event, 'grant');
    return says(
      'ledger',
      'both',
      'shared',
      `${text(grant, 'purpose')}, by ${text(grant, 'grantedBy')}`,
    );
  },
  revoke: (event) => {
    const grant = object(event, 'grant');
    return says(
      'ledger',
      'both',
      'revoked',
      `grant ${text(grant, 'id')}, by ${text(grant, 'revokedBy')}`,
    );
  },
  purpose: (event) =>
    says('ledger', 'at-host', 'named', `grant ${text(event, 'grant')}: ${text(event, 'purpose')}`),
  vmbus: vmbusState,
  violation: (event) => ({
    ...says('host', 'at-host', `${text(event, 'layer')} violation`, text(event, 'text')),
    bad: true,
  }),
  fault: (event) => ({ ...says('host', 'at-host', 'fault', text(event, 'text')), bad: true }),
  crash: (event) => ({ ...says('host', 'at-guest', 'crash', text(event, 'text')), bad: true }),
  hang: (event) => ({ ...says('host', 'at-guest', 'hang', text(event, 'text')), bad: true }),
  unmodelled: (event) => says('host', 'at-host', 'not modelled', text(event, 'what')),
  log: (event) => ({
    ...says('guest', 'at-guest', text(event, 'layer'), logDetail(event)),
    bad: event.level === 'error',
  }),
  'boot-step': (event) =>
    says('guest', 'at-guest', `step ${text(event, 'step')}`, text(event, 'phase')),
  ledger: (event) =>
    says('ledger', 'at-guest', `own ledger: ${text(event, 'change')}`, text(event, 'purpose')),
  stage: (event) => says('audit', 'both', 'owner', text(event, 'stage')),
  handoff: (event) =>
    says('audit', 'both', 'handoff', `of the ${text(event, 'stage')} (${text(event, 'end')})`),
  injected: (event) => ({
    ...says('audit', 'both', `fault ${text(event, 'fault')}`, text(event, 'what')),
    bad: true,
  }),
  'late-write': (event) => ({
    ...says(
      'audit',
      'to-guest',
      'late write',
      `${text(event, 'length')} bytes, grant ${text(event, 'grant')}`,
    ),
    bad: true,
  }),
};

function hypercall(event: TraceRecord): Line {
  const status = number(event, 'status') ?? 0;
  const failed = status === 0 ? '' : `, refused with status 0x${status.toString(16)}`;
  const type = messageType(event);
  if (type === undefined) {
    const layer = event.code === HvCall.SIGNAL_EVENT ? 'synic' : 'register';
    return { ...says(layer, 'to-host', text(event, 'name'), failed.slice(2)), bad: status !== 0 };
  }
  const message = decodeMessage(bytes(event, 'input').subarray(16))[0]!;
  return {
    ...says('vmbus', 'to-host', message.name, fieldsOf(message) + failed),
    channel: channelOf(message),
    bad: status !== 0,
  };
}

function hostMessage(event: TraceRecord): Line {
  const change = text(event, 'change');
  const reason = text(event, 'reason');
  const fate = change === 'deliver' ? '' : `, ${change === 'queue' ? 'queued' : 'dropped'}`;
  const why = reason === '' ? fate : `${fate}: ${reason}`;
  const bad = change === 'drop';
  if (messageType(event) === undefined) {
    const type = number(event, 'type') ?? 0;
    const name = nameOf(HvMessageType, type) ?? `message 0x${type.toString(16)}`;
    return { ...says('synic', 'to-guest', name, why.slice(2)), bad };
  }
  const message = decodeMessage(bytes(event, 'payload'))[0]!;
  const detail = fieldsOf(message) + why;
  return { ...says('vmbus', 'to-guest', message.name, detail), channel: channelOf(message), bad };
}

function ringPacket(event: TraceRecord, channels: ReadonlyMap<number, string>): Line {
  const layers = decode(event, channels);
  const inner = layers.filter(({ layer }) => layer !== 'RING').reverse();
  const own = text(event, 'message');
  const ring = layers[0]?.name ?? 'packet';
  const name = inner.length === 0 ? ring : inner.map((layer) => layer.name).join(' in ');
  const detail = own !== '' ? own : inner.length === 0 ? '' : `${ring}; ${fieldsOf(inner[0]!)}`;
  const way = event.from === 'guest' ? 'to-host' : 'to-guest';
  return { ...says('packet', way, name, detail), channel: number(event, 'channel') };
}

function vmbusState(event: TraceRecord): Line {
  const channel = number(event, 'channel');
  const version = number(event, 'version');
  const parts = [
    channel === undefined ? '' : `channel ${channel}`,
    version === undefined ? '' : `version ${versionText(version)}`,
  ];
  const detail = parts.filter((part) => part !== '').join(', ');
  return { ...says('host', 'at-host', text(event, 'change'), detail), channel };
}

function registerName(event: TraceRecord): string {
  return msrName(number(event, 'msr') ?? 0);
}

function valueOf(event: TraceRecord): string {
  const value = text(event, 'value');
  return event.msr === Msr.GUEST_OS_ID && value === '0x0' ? '0x0: no identity' : value;
}

function flagDetail(event: TraceRecord): string {
  const reason = text(event, 'reason');
  return text(event, 'change') + (reason === '' ? '' : `: ${reason}`);
}

function logDetail(event: TraceRecord): string {
  const what = text(event, 'object');
  return (what === '' ? '' : `${what} `) + text(event, 'text');
}

/** Most fields of a message in its line. */
const FIELDS_MAX = 5;

/** The fields of a layer that tell it from others. */
function fieldsOf({ fields }: DecodedLayer): string {
  const told = fields.filter(
    ({ name, value }) => !/^(type|reserved|padding)/i.test(name) && value !== 0 && value !== 0n,
  );
  const shown = told.slice(0, FIELDS_MAX).map(({ name, text }) => `${name} ${short(text)}`);
  return shown.join(', ') + (told.length > FIELDS_MAX ? ', …' : '');
}

function short(value: string): string {
  return value.length > 40 ? `${value.slice(0, 40)}…` : value;
}

function channelOf({ fields }: DecodedLayer): number | undefined {
  const field = fields.find(({ name }) => name === 'channel');
  return typeof field?.value === 'number' ? field.value : undefined;
}

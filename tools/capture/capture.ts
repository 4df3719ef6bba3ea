// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A run as a pcapng file: the events of machine and firmware become packets. One interface for each
 * NIC, with the frames as they were on the wire, and one for the VMBus, whose records begin with a
 * `CaptureHeader`. Knows nothing of files: blocks go to whoever made it.
 */

import type { FirmwareEvent } from '../../src/events.ts';
import { VMBUS_MESSAGE_SINT, VMBUS_MESSAGE_TYPE, versionText } from '../../src/vmbus/protocol.ts';
import type { HostEvent } from '../simulator/ledger/events.ts';
import { OfferedChannels } from './channels.ts';
import {
  LinkType,
  enhancedPacket,
  interfaceDescription,
  sectionHeader,
  type Direction,
} from './pcapng.ts';
import {
  CAPTURE_VERSION,
  CaptureChange,
  CaptureDevice,
  CaptureDirection,
  CaptureHeader,
  CaptureKind,
  VP_UNKNOWN,
} from './protocol.ts';
import { RndisMessages, type CapturedMemory } from './rndis-messages.ts';

export interface CaptureOptions {
  /** Number of NICs: the interfaces `nic0` and so on come first. */
  readonly nics: number;
  /** Guest memory, to read what packets refer to. */
  readonly memory: CapturedMemory;
  /** Who writes the file, for its header. */
  readonly application: string;
  /** Gets the blocks of the file, in order. */
  readonly write: (block: Uint8Array) => void;
}

/** Nanoseconds in a tick of the virtual time. */
const NS_PER_TICK = 100;

/** A record of the VMBus interface, without what has its usual value. */
interface VmbusRecord {
  readonly kind: number;
  readonly direction: Direction;
  readonly payload: Uint8Array;
  readonly attached?: Uint8Array;
  readonly change?: number;
  readonly channel?: number;
  readonly vp?: number;
  readonly sint?: number;
  readonly secondary?: boolean;
  readonly status?: number;
  readonly number?: number;
  readonly ringOffset?: number;
  readonly device?: number;
  readonly comment?: string;
}

const NONE = new Uint8Array(0);

const MESSAGE_CHANGES = {
  deliver: CaptureChange.DELIVER,
  queue: CaptureChange.QUEUE,
  drop: CaptureChange.DROP,
} as const;

const FLAG_CHANGES = {
  set: CaptureChange.SET,
  'already-set': CaptureChange.ALREADY_SET,
  lost: CaptureChange.LOST,
} as const;

const DIRECTIONS = {
  unknown: CaptureDirection.UNKNOWN,
  inbound: CaptureDirection.INBOUND,
  outbound: CaptureDirection.OUTBOUND,
} as const;

export class Capture {
  readonly #write: (block: Uint8Array) => void;
  readonly #vmbus: number;
  readonly #channels = new OfferedChannels();
  readonly #rndis: RndisMessages;

  /** Begins the file: its header, and the interfaces. */
  constructor({ nics, memory, application, write }: CaptureOptions) {
    this.#write = write;
    this.#vmbus = nics;
    this.#rndis = new RndisMessages(memory);
    write(sectionHeader(application));
    for (let nic = 0; nic < nics; nic++) {
      const description = `frames of network adapter ${nic}, as on the wire`;
      write(interfaceDescription({ name: `nic${nic}`, description, linkType: LinkType.ETHERNET }));
    }
    const description = 'VMBus: messages, ring packets, hypercalls, register writes (hypxe.lua)';
    write(interfaceDescription({ name: 'vmbus', description, linkType: LinkType.USER0 }));
  }

  /** An event of the machine, at `now` in ticks. */
  host(event: HostEvent, now: number): void {
    switch (event.kind) {
      case 'frame':
        this.#write(
          enhancedPacket({
            interface: event.nic,
            nanoseconds: now * NS_PER_TICK,
            direction: from(event.from),
            parts: [event.frame],
          }),
        );
        return;
      case 'ring-packet':
        this.#record(this.#ringPacket(event), now);
        return;
      case 'host-message':
        this.#record(this.#hostMessage(event), now);
        return;
      case 'grant':
      case 'revoke':
        this.#rndis.granted(event.kind, event.grant);
        return;
      case 'vmbus':
        if (event.change === 'closed' && event.client === undefined) {
          this.#rndis.closed(event.channel ?? 0);
        }
        break;
      default:
    }
    const record = plainRecord(event) ?? noteOf(event);
    if (record !== undefined) this.#record(record, now);
  }

  /** An event of a guest: the steps of its boot become comments. */
  guest(event: FirmwareEvent, guest: string, now: number): void {
    if (event.kind !== 'boot-step') return;
    this.#record(note(`${guest}: ${event.step}: ${event.phase}`), now);
  }

  #ringPacket(event: Extract<HostEvent, { kind: 'ring-packet' }>): VmbusRecord {
    // Channels of a second driver have numbers of their own, which no offer here explains
    const { device, primary } = this.#channels.get(event.client === undefined ? event.channel : 0);
    const network = device === CaptureDevice.NETWORK;
    return {
      kind: CaptureKind.RING_PACKET,
      direction: from(event.from),
      channel: event.channel,
      secondary: event.client !== undefined,
      ringOffset: event.offset,
      number: event.type,
      device,
      payload: event.bytes,
      attached: network ? this.#rndis.of(event, primary) : NONE,
      ...(event.message === undefined ? {} : { comment: event.message }),
    };
  }

  #hostMessage(event: Extract<HostEvent, { kind: 'host-message' }>): VmbusRecord {
    const { change, type, vp, sint, payload, reason } = event;
    if (type === VMBUS_MESSAGE_TYPE && sint === VMBUS_MESSAGE_SINT) this.#channels.read(payload);
    return {
      kind: CaptureKind.HOST_MESSAGE,
      direction: 'inbound',
      change: MESSAGE_CHANGES[change],
      number: type,
      ...{ vp, sint, payload },
      ...(reason === undefined ? {} : { comment: reason }),
    };
  }

  #record(record: VmbusRecord, now: number): void {
    const { payload, attached = NONE, direction, comment } = record;
    this.#write(
      enhancedPacket({
        interface: this.#vmbus,
        nanoseconds: now * NS_PER_TICK,
        direction,
        parts: [header(record), payload, attached],
        comment,
      }),
    );
  }
}

function from(who: 'guest' | 'host'): Direction {
  return who === 'guest' ? 'outbound' : 'inbound';
}

/** The record of an event that needs nothing but itself. */
function plainRecord(event: HostEvent): VmbusRecord | undefined {
  switch (event.kind) {
    case 'hypercall': {
      const { code: number, input: payload, status } = event;
      const kind = CaptureKind.HYPERCALL;
      return { kind, direction: 'outbound', number, payload, status };
    }
    case 'wrmsr': {
      const payload = registerValue(event.value);
      return { kind: CaptureKind.MSR_WRITE, direction: 'outbound', number: event.msr, payload };
    }
    case 'register-write': {
      const { register: number } = event;
      const payload = registerValue(event.value);
      return { kind: CaptureKind.REGISTER_WRITE, direction: 'outbound', number, payload };
    }
    case 'event-flag': {
      const { vp, sint, flag: number, reason } = event;
      const change = FLAG_CHANGES[event.change];
      const comment = reason === undefined ? {} : { comment: reason };
      const kind = CaptureKind.EVENT_FLAG;
      return { kind, direction: 'inbound', change, vp, sint, number, payload: NONE, ...comment };
    }
    case 'signal': {
      // The other way to signal is a hypercall, which is a record of its own
      if (event.via !== 'monitor') return undefined;
      const { channel, client } = event;
      const secondary = client !== undefined;
      const kind = CaptureKind.MONITOR_SIGNAL;
      return { kind, direction: 'outbound', channel, secondary, payload: NONE };
    }
    case 'message-taken': {
      const { vp, sint } = event;
      const kind = CaptureKind.MESSAGE_TAKEN;
      return { kind, direction: 'outbound', vp, sint, payload: NONE };
    }
    default:
      return undefined;
  }
}

/** What is worth a comment. */
function noteOf(event: HostEvent): VmbusRecord | undefined {
  switch (event.kind) {
    case 'vmbus': {
      const channel = event.channel === undefined ? '' : ` channel ${event.channel}`;
      const version = event.version === undefined ? '' : ` version ${versionText(event.version)}`;
      return note(`VMBus: ${event.change}${channel}${version}`);
    }
    case 'frame-dropped':
      return note(`NIC ${event.nic}: frame dropped: ${event.reason}`);
    case 'violation':
      return note(`${event.layer} violation: ${event.text}`);
    case 'fault':
    case 'crash':
    case 'hang':
      return note(`${event.kind}: ${event.text}`);
    default:
      return undefined;
  }
}

function note(text: string): VmbusRecord {
  const payload = new TextEncoder().encode(text);
  return { kind: CaptureKind.NOTE, direction: 'unknown', payload, comment: text };
}

function registerValue(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

function header(record: VmbusRecord): Uint8Array {
  const bytes = new Uint8Array(CaptureHeader.size);
  const view = new DataView(bytes.buffer);
  const { at } = CaptureHeader;
  bytes[at.version] = CAPTURE_VERSION;
  bytes[at.kind] = record.kind;
  bytes[at.direction] = DIRECTIONS[record.direction];
  bytes[at.change] = record.change ?? CaptureChange.NONE;
  bytes[at.sint] = record.sint ?? 0;
  bytes[at.secondary] = record.secondary === true ? 1 : 0;
  bytes[at.device] = record.device ?? CaptureDevice.UNKNOWN;
  view.setUint32(at.channel, record.channel ?? 0, true);
  view.setUint32(at.vp, record.vp ?? VP_UNKNOWN, true);
  view.setUint16(at.status, record.status ?? 0, true);
  view.setUint32(at.number, record.number ?? 0, true);
  view.setUint32(at.ringOffset, record.ringOffset ?? 0, true);
  view.setUint32(at.length, record.payload.length, true);
  view.setUint32(at.attached, record.attached?.length ?? 0, true);
  return bytes;
}

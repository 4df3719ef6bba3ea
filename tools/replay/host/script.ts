// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Builds the script of a session: what the recorded host did, anchored by meaning. Each action of
 * the recorded guest (a message, a packet, a step) is an anchor; what the host sent is an answer to
 * the anchor that asked for it, or a stimulus some time after the last one.
 */

import { HvCall } from '../../../src/hyperv/protocol.ts';
import {
  GpadlCreated,
  GpadlHeader,
  GpadlTeardown,
  GpadlTorndown,
  MessageType,
  OpenChannel,
  OpenChannelResult,
  PacketHeader,
  RingControl,
  VMBUS_MESSAGE_TYPE,
} from '../../../src/vmbus/protocol.ts';
import { messageKey, messageType, packetMeaning } from '../anchor-keys.ts';
import { fromHex } from '../hex.ts';
import { HandUps } from './hand-ups.ts';
import { Places } from '../places.ts';
import { isKnownStep } from '../recorded-step.ts';
import { Looks } from './looks.ts';
import { QueuedMessages } from './queued-messages.ts';
import { RecordedMemory } from './recorded-memory.ts';
import { findMessage, packetAskedBy } from './requests.ts';
import { emptyRing, type Anchor, type HostEvent, type MemoryWrite } from './script-types.ts';
import type { RecordedRing, Script, SentMessage } from './script-types.ts';
import { timeReads } from './waits.ts';
import type { TraceEvent, TraceEventOf } from '../trace-events.ts';

/** Hexadecimal digits of a message's type. */
const TYPE_DIGITS = 8;

class ScriptBuilder {
  readonly anchors: Anchor[] = [];
  readonly gaps: number[] = [];
  readonly stepBegins: number[] = [];
  readonly stepEnds: number[] = [];
  readonly offers: Uint8Array[] = [];
  readonly notes: string[] = [];
  cancel: Script['cancel'];
  actsInReads = false;
  readonly #memory = new RecordedMemory();
  readonly #places = new Places();
  readonly #queued = new QueuedMessages();
  readonly #rings = new Map<number, RecordedRing>();
  #time = 0;
  #step = -1;
  /** In a step that the replay drives a guest through, which lets time pass by itself. */
  #drives = false;
  #last: Anchor | undefined;
  #writes: MemoryWrite[] = [];
  #sent: HostEvent | undefined;
  #offering: Anchor | undefined;
  #offersKnown = false;
  /** The frame that was handed up last; what came while somebody above the drivers had it. */
  #handUp = '';
  #above: Anchor | undefined;
  readonly #handUps = new HandUps();
  /** Of what comes: since when it has waited, and how far the guest has come in this moment. */
  #since: number | undefined;
  readonly #looks = new Looks();

  take(event: TraceEvent, index: number): void {
    this.#since = this.#queued.take(event, this.#time);
    if (!event.op.startsWith('host-')) this.#looks.reads = timeReads(event);
    switch (event.op) {
      case 'step':
        return this.#stepEvent(event, index);
      case 'delay':
        this.#time += event.ms;
        if (event.ms > 0) this.#looks.begin();
        else this.#looks.turnOver();
        if (this.#drives && event.by === undefined) this.#last?.turns.push(this.#time);
        if (!this.#drives && this.#step >= 0) this.gaps[this.#step]! += event.ms;
        return;
      case 'page':
        return this.#places.add(event.purpose, Number(event.gpa), event.len, index);
      case 'page-free':
        return void this.#places.remove(Number(event.gpa));
      case 'hypercall':
        return this.#hypercall(event, index);
      case 'cancel':
        this.cancel ??= {
          ...{ index, time: this.#time },
          ...{ after: this.#last, last: this.#sentSince(this.#last?.index ?? 0) },
          ...{ acts: event.acts, asked: event.asked },
        };
        return;
      case 'netdev-rx':
        this.#handUp = this.#handUps.key(event.frame);
        return;
      case 'above':
        this.#above = this.#anchor(index, this.#handUp);
        return;
      case 'ring-write':
        return this.#packet(event, index);
      case 'guest-mem-write':
        if (event.purpose === 'monitor-out') this.#wake(undefined);
        return;
      default:
        return this.#hostEvent(event, index);
    }
  }

  #hostEvent(event: TraceEvent, index: number): void {
    switch (event.op) {
      case 'host-message':
        if (event.via === 'direct') this.#message(event, index);
        return;
      case 'host-message-queued':
        return this.#message(event, index);
      case 'host-mem-write':
        return this.#memoryWrite(event, index);
      case 'host-ring-write':
        return this.#hostPacket(event, index);
      case 'host-ring-read':
        return this.#consumed(event, index);
      default:
        return;
    }
  }

  #anchor(index: number, key: string, more: Partial<Anchor> = {}): Anchor {
    this.#flushWrites(index);
    const anchor: Anchor = {
      index,
      step: this.#step,
      key,
      time: this.#time,
      status: 0,
      message: undefined,
      packet: undefined,
      channel: 0,
      signals: [],
      ...{ consumed: undefined, consumedIndex: Infinity, consumedBehind: undefined },
      woken: false,
      awake: false,
      gpadlName: '',
      answers: [],
      stimuli: [],
      turns: [],
      ...more,
    };
    this.anchors.push(anchor);
    this.#last = anchor;
    this.#looks.begin();
    return anchor;
  }

  #stepEvent(event: TraceEventOf<'step'>, index: number): void {
    this.#drives = event.phase === 'begin' && isKnownStep(event.name);
    if (event.phase === 'end') {
      this.stepEnds[this.#step] = index;
      this.#anchor(index, 'step end');
      return;
    }
    this.#step++;
    this.#handUps.begin();
    this.gaps[this.#step] = 0;
    this.stepBegins[this.#step] = index;
    this.#anchor(index, 'step begin');
  }

  #hypercall(event: TraceEventOf<'hypercall'>, index: number): void {
    const input = fromHex(event.input);
    if (Number(event.code) === HvCall.SIGNAL_EVENT) return this.#wake(event.status);
    if (Number(event.code) !== HvCall.POST_MESSAGE) return;
    const message = input.subarray(16);
    const key = messageKey(message, {
      nameOf: (gpadl) => this.#memory.nameOf(gpadl),
      purposeOf: (address) => this.#places.find(address)?.purpose ?? '',
    });
    const anchor = this.#anchor(index, key, { status: event.status, message });
    const type = messageType(message);
    if (type === MessageType.REQUEST_OFFERS) this.#offering = anchor;
    if (type === MessageType.OPEN_CHANNEL && message.length >= 12) {
      const channel = new DataView(message.buffer, message.byteOffset).getUint32(8, true);
      this.#rings.set(channel, emptyRing());
    }
    if (event.status !== 0) return;
    this.#memory.posted(message, key);
    if (type !== MessageType.GPADL_HEADER || message.length < GpadlHeader.size) return;
    const view = new DataView(message.buffer, message.byteOffset);
    anchor.gpadlName = this.#memory.nameOf(view.getUint32(GpadlHeader.at.gpadl, true));
  }

  #ring(channel: number): RecordedRing {
    const ring = this.#rings.get(channel) ?? emptyRing();
    this.#rings.set(channel, ring);
    return ring;
  }

  #packet(event: TraceEventOf<'ring-write'>, index: number): void {
    const { channel, gpaData } = event;
    const data = gpaData === undefined ? undefined : fromHex(gpaData);
    const packet = packetMeaning(fromHex(event.bytes), data);
    const ring = this.#ring(channel);
    const [woken, awake] = [ring.awake, ring.awake || ring.masked];
    ring.waiting.push(this.#anchor(index, packet.key, { packet, channel, woken, awake }));
  }

  /** The guest has signalled. `status`: of the hypercall; undefined for a monitor. */
  #wake(status: number | undefined): void {
    const last = this.#last?.packet === undefined ? undefined : this.#last;
    const packets = [...this.anchors].reverse();
    const signalled = last ?? packets.find(({ packet }) => packet !== undefined);
    if (signalled === undefined) return;
    if (status !== undefined) signalled.signals.push(status);
    if (status !== undefined && status !== 0) return;
    const ring = this.#ring(signalled.channel);
    ring.awake = true;
    for (const anchor of ring.waiting) anchor.awake = anchor.woken = true;
  }

  #consumed(event: TraceEventOf<'host-ring-read'>, index: number): void {
    const ring = this.#ring(event.channel);
    const transaction = BigInt(event.xid);
    const at = ring.waiting.findIndex(
      ({ packet }) => packet!.transaction === transaction && packet!.type === event.type,
    );
    if (at < 0) return;
    for (const anchor of ring.waiting.splice(0, at + 1)) {
      anchor.consumed = this.#time;
      [anchor.consumedIndex, anchor.consumedBehind] = [index, this.#last];
    }
    if (ring.waiting.length === 0) ring.awake = false;
  }

  // --- what the host sends ---

  #sentSince(index: number): HostEvent | undefined {
    return (this.#sent?.index ?? 0) > index ? this.#sent : undefined;
  }

  #send(asked: Anchor | undefined, what: HostEvent['what'], index: number): void {
    const target = asked !== undefined && this.#isAnswered(asked, what) ? undefined : asked;
    const writes = this.#writes;
    this.#writes = [];
    const { turns, reads } = this.#looks;
    this.actsInReads ||= reads > 0;
    const [time, look] = [this.#since ?? this.#time, { turns, reads }];
    const behind = this.#above === this.#last ? this.#above : undefined;
    const event: HostEvent = { index, time, look, behind, what, asked: asked?.packet, writes };
    this.#sent = event;
    if (target !== undefined) target.answers.push(event);
    else if (this.#last !== undefined) this.#last.stimuli.push(event);
    else this.notes.push(`event ${index} of the host comes before everything`);
  }

  #flushWrites(index: number): void {
    if (this.#writes.length > 0) this.#send(undefined, { kind: 'memory' }, index);
  }

  #memoryWrite(event: TraceEventOf<'host-mem-write'>, index: number): void {
    // Flags and bits are the model's own business
    if (/flag|bit|pending/.test(event.purpose)) return;
    const place = this.#memory.locate(Number(event.gpa));
    if (place === undefined) {
      this.notes.push(`event ${index}: the host writes to memory that it was not given`);
      return;
    }
    const bytes = fromHex(event.bytes);
    this.#writes.push({ ...place, bytes });
    const channel = this.#memory.channelOf(place.gpadl);
    const mask = RingControl.at.interruptMask;
    if (channel !== undefined && place.offset === mask) this.#ring(channel).masked = bytes[0] !== 0;
    if (event.purpose !== 'receive-buffer') this.#flushWrites(index);
  }

  #message(event: SentMessage, index: number): void {
    const payload = fromHex(event.payload);
    const vmbus = Number(event.type) === VMBUS_MESSAGE_TYPE && payload.length >= 8;
    const asked = vmbus ? this.#askedBy(payload) : undefined;
    this.#send(asked, { kind: 'message', event }, index);
  }

  /** Whether what comes is said again: the guest has gone on, and it comes when it comes. */
  #isAnswered(asked: Anchor, what: HostEvent['what']): boolean {
    if (asked === this.#last) return false;
    const said = kindOf(what);
    const isSame = (other: HostEvent): boolean => kindOf(other.what) === said;
    const offers = asked.key === `message ${MessageType.REQUEST_OFFERS}`;
    return !offers && asked.answers.some(isSame);
  }

  #askedBy(payload: Uint8Array): Anchor | undefined {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const word = (offset: number): number =>
      offset + 4 <= payload.length ? view.getUint32(offset, true) : 0;
    const { GPADL_HEADER, GPADL_TEARDOWN, OPEN_CHANNEL } = MessageType;
    switch (word(0)) {
      case MessageType.VERSION_RESPONSE:
        return findMessage(this.anchors, MessageType.INITIATE_CONTACT);
      case MessageType.UNLOAD_RESPONSE:
        return findMessage(this.anchors, MessageType.UNLOAD);
      case MessageType.OFFER_CHANNEL:
      case MessageType.ALL_OFFERS_DELIVERED:
        return this.#offer(payload, word(0));
      case MessageType.GPADL_CREATED: {
        const id = word(GpadlCreated.at.gpadl);
        const { at } = GpadlHeader;
        return findMessage(
          this.anchors,
          GPADL_HEADER,
          (asked) => asked.getUint32(at.gpadl, true) === id,
        );
      }
      case MessageType.GPADL_TORNDOWN: {
        const id = word(GpadlTorndown.at.gpadl);
        const { at } = GpadlTeardown;
        this.#memory.torndown(id);
        return findMessage(
          this.anchors,
          GPADL_TEARDOWN,
          (asked) => asked.getUint32(at.gpadl, true) === id,
        );
      }
      case MessageType.OPEN_CHANNEL_RESULT: {
        const id = word(OpenChannelResult.at.openId);
        const { at } = OpenChannel;
        return findMessage(
          this.anchors,
          OPEN_CHANNEL,
          (asked) => asked.getUint32(at.openId, true) === id,
        );
      }
      default:
        return undefined;
    }
  }

  #offer(payload: Uint8Array, type: number): Anchor | undefined {
    const target = this.#offering;
    if (target === undefined) return undefined;
    if (type === MessageType.ALL_OFFERS_DELIVERED) {
      this.#offering = undefined;
      this.#offersKnown = true;
    } else if (!this.#offersKnown) {
      this.offers.push(payload);
    }
    return target;
  }

  #hostPacket(event: TraceEventOf<'host-ring-write'>, index: number): void {
    const bytes = fromHex(event.bytes);
    const whole = bytes.length >= PacketHeader.size;
    const sent = [event.channel, bytes, this.#writes] as const;
    const asked = whole ? packetAskedBy(this.anchors, ...sent) : undefined;
    const ringBytes = this.#memory.ringBytes(event.channel);
    this.#send(asked, { kind: 'packet', event, ringBytes }, index);
  }

  end(index: number): void {
    this.#flushWrites(index);
  }
}

/** What kind of answer something is: a message of a type, or a packet of a type. */
function kindOf(what: HostEvent['what']): string {
  if (what.kind === 'memory') return what.kind;
  const { event } = what;
  return `${what.kind} ${'payload' in event ? event.payload.slice(0, TYPE_DIGITS) : event.type}`;
}

/** Build the script of a session. */
export function buildScript(events: readonly TraceEvent[]): Script {
  const builder = new ScriptBuilder();
  events.forEach((event, index) => builder.take(event, index));
  builder.end(events.length);
  return builder;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The host of a replay, in a closed loop: it answers what the guest asks, as the recorded host
 * answered the same request, and what the recording does not have as any host does. What the
 * recorded host did unasked comes where it came in the recording, by meaning.
 */

import { MessageType } from '../../../src/vmbus/protocol.ts';
import { messageKey, messageType, packetMeaning } from '../anchor-keys.ts';
import { Cancelling } from './cancelling.ts';
import { DefaultAnswers } from './default-answers.ts';
import { fromHex, toHex } from '../hex.ts';
import { HandUps } from './hand-ups.ts';
import { HostMemory, placeOf, type RecordedPlace } from './host-memory.ts';
import { Looks } from './looks.ts';
import type { ModelHostContext } from './model-host-context.ts';
import { OpenAnchors } from './open-anchors.ts';
import type { GuestPacket } from '../normalise.ts';
import { OutboundRings, type TakePacket, type Waiting } from './outbound-rings.ts';
import { Renaming } from './renaming.ts';
import type { Anchor, HostEvent, Script } from './script-types.ts';
import { Waits } from './waits.ts';

/** An event that is to come. */
interface Pending {
  due: number;
  readonly event: HostEvent;
}

/** Rounds of one moment: a bound only. */
const ROUNDS_MAX = 10_000;

/** The host. */
export class ModelHost {
  readonly #context: ModelHostContext;
  readonly #script: Script;
  /** When the guest is told to give up. */
  readonly cancelling: Cancelling;
  readonly #names = new Renaming();
  readonly #memory: HostMemory;
  readonly #defaults: DefaultAnswers;
  readonly #done = new Set<Anchor>();
  readonly #rings: OutboundRings;
  readonly #open: OpenAnchors;
  readonly #handUps = new HandUps();
  #pending: Pending[] = [];
  #step = -1;
  /** Index of the recorded event up to which things may have happened by now. */
  #limit = 0;
  readonly #delivered = new Set<HostEvent>();
  /** What has come, and when. */
  readonly #came = new Map<HostEvent, number>();
  #time = 0;
  readonly #waits = new Waits();
  #settling = false;
  readonly #looks = new Looks();
  /** When the guest has done something last, in ms. */
  #actedAt = 0;

  constructor(script: Script, context: ModelHostContext) {
    this.#script = script;
    this.#context = context;
    this.cancelling = new Cancelling(script.cancel, this.#done, this.#came);
    this.#memory = new HostMemory(context);
    this.#rings = new OutboundRings(context.channels, script.anchors);
    this.#defaults = new DefaultAnswers(script, context.channels, this.#memory);
    this.#open = new OpenAnchors(script.anchors);
  }

  // --- steps and time ---

  beginStep(step: number): void {
    this.#step = step;
    this.#handUps.begin();
    const { stepEnds } = this.#script;
    this.#limit = stepEnds[step] ?? Infinity;
    this.#reach('step begin');
    this.settle();
  }

  /** The step is over: what the recording has up to its end has happened. */
  endStep(): void {
    this.#force(this.#limit);
    this.#limit = this.#script.stepBegins[this.#step + 1] ?? Infinity;
    this.#reach('step end');
    this.settle();
    for (let i = this.#script.gaps[this.#step] ?? 0; i > 0; i--) this.pause();
    this.#force(this.#limit);
  }

  /** A turn of the guest's wait begins. Returns how long it takes, in ms. */
  turn(): number {
    return this.#waits.turn(this.#time);
  }

  /** It is over, and the millisecond is not. */
  turnOver(): void {
    this.#looks.turnOver();
    this.settle();
  }

  /** A millisecond passes. */
  pause(): void {
    this.#time++;
    this.#looks.begin();
    this.settle();
  }

  /** The guest asks whether it shall give up. */
  asksToCancel(): boolean {
    return this.cancelling.asks(this.#time);
  }

  /** Whether the recorded host has done anything while its guest read the time. */
  get actsInReads(): boolean {
    return this.#script.actsInReads;
  }

  /** The guest reads the time. */
  timeRead(): void {
    this.#looks.reads++;
    if (this.#pending.some(({ event }) => event.look.reads > 0)) this.settle();
  }

  /** A frame is handed up: what came while somebody above the drivers was busy with it comes. */
  handedUp(frame: Uint8Array): void {
    const key = this.#handUps.key(toHex(frame));
    for (; this.#open.has(key, this.#step); this.settle()) this.#reach(key);
  }

  /** Let happen what is due. */
  settle(): void {
    if (this.#settling) return;
    this.#settling = true;
    try {
      for (let i = 0; i < ROUNDS_MAX && (this.#consumeDue() || this.#deliverDue()); i++);
    } finally {
      this.#settling = false;
    }
  }

  /** Let happen what has a recorded index below `index`, in that order. */
  #force(index: number): void {
    this.#catchUp(index);
    // Stimuli after something that the guest has not done
    for (const anchor of this.#open.ofStep(this.#step)) {
      if (anchor.index >= index || this.#done.has(anchor)) continue;
      for (const event of anchor.stimuli) {
        if (!this.#delivered.has(event)) this.#deliver({ due: 0, event });
        this.#delivered.add(event);
      }
    }
    this.settle();
  }

  #catchUp(index: number): void {
    for (let i = 0; i < ROUNDS_MAX; i++) {
      if (this.#consumeUpTo(index)) continue;
      const early = this.#pending.filter(({ event }) => event.index < index);
      if (early.length === 0) break;
      this.#pending = this.#pending.filter(({ event }) => event.index >= index);
      early.sort((a, b) => a.event.index - b.event.index);
      for (const pending of early) this.#deliver(pending);
    }
  }

  // --- what the guest does ---

  /**
   * The guest has come to a recorded action: what the recorded host had done by then is done, and
   * what it did later comes as long behind it. A guest waits by a clock that no replay has to the
   * millisecond: without this the two drift apart.
   */
  #isAt({ index, time }: Anchor): void {
    this.#catchUp(index);
    for (const pending of this.#pending) {
      const { event } = pending;
      if (isFinite(event.index) && event.time >= time)
        pending.due = Math.min(pending.due, this.#time + event.time - time);
    }
  }

  /** The recorded action that this one is. */
  #reach(key: string): Anchor | undefined {
    this.cancelling.reached();
    this.#looks.begin();
    this.#actedAt = this.#time;
    const anchor = this.#open.take(key, this.#step);
    if (anchor === undefined) return undefined;
    this.#isAt(anchor);
    this.#done.add(anchor);
    this.cancelling.found(anchor);
    this.#waits.found(anchor, this.#time);
    for (const event of anchor.stimuli.filter((each) => !this.#delivered.has(each)))
      this.#pending.push({ due: this.#time + event.time - anchor.time, event });
    return anchor;
  }

  /** The guest posts a message. Returns the status, and whether the recording has it. */
  posted(message: Uint8Array): number {
    const { channels, purposeOf } = this.#context;
    const nameOf = (gpadl: number): string => channels.gpadls.get(gpadl)?.name ?? 'unknown';
    const key = messageKey(message, { nameOf, purposeOf });
    const anchor = this.#reach(key);
    if (anchor !== undefined && anchor.status !== 0) return anchor.status;
    if (anchor !== undefined) this.#names.message(anchor.message!, message);
    // Whoever is not connected is not heard, unless the recorded host has answered all the same
    const contacts = messageType(message) === MessageType.INITIATE_CONTACT;
    const heard = channels.mayBeConnected && (anchor?.answers.length ?? 0) > 0;
    channels.connected ||= !contacts && heard;
    this.#context.rules.message(message);
    channels.posted(message, anchor?.gpadlName || `${key} more ${this.#step}`);
    this.#ringsChange(message);
    if (!contacts && !channels.connected) return 0;
    if (anchor === undefined) {
      const due = this.#time + this.#defaults.messageLatency;
      for (const payload of this.#defaults.message(message)) this.#pendMessage(payload, due);
    } else {
      for (const event of anchor.answers)
        this.#pending.push({ due: this.#time + event.time - anchor.time, event });
    }
    return 0;
  }

  #ringsChange(message: Uint8Array): void {
    const { channels } = this.#context;
    const number = channels.opens(message) ?? channels.closes(message);
    if (number !== undefined) this.#rings.forget(number);
  }

  #pendMessage(payload: Uint8Array, due: number): void {
    const event = this.#defaults.messageEvent(payload);
    this.#pending.push({ due, event });
  }

  /** The guest has written a packet. */
  packetWritten({ channel, start, bytes, data }: GuestPacket): void {
    const packet = packetMeaning(bytes, data);
    // It was written before whatever the host makes of it
    const awake = this.#rings.isAwake(channel);
    const anchor = this.#reach(packet.key);
    const [{ channels }, { pageSet, gpadl }] = [this.#context, packet];
    if (pageSet !== undefined) channels.receiveBuffers.set(channel, { gpadl, pageSet });
    const length = channels.channels.get(channel)!.out.data.length;
    const end = (start + bytes.length) % length;
    this.#rings.written(channel, { anchor, packet, time: this.#time, end });
    if (awake) this.#rings.wake(channel);
    this.#memory.returned?.answered(channel, packet);
    if (anchor?.packet !== undefined) this.#names.packet(anchor.packet, packet, bytes);
    this.#context.rules.packet(channel, packet);
    this.#context.books.sent(channel, packet);
  }

  /** The guest signals an event of a connection. Returns the status of the hypercall. */
  signalled(connection: number): number {
    const { channels } = this.#context;
    let status = 0;
    for (const channel of channels.signalled(this.#context.memory, connection))
      status = this.#rings.signalled(channel);
    return status;
  }

  /** The guest has set the bit of a monitor. */
  monitored(monitor: number): void {
    for (const [channel, number] of this.#context.channels.monitors)
      if (number === monitor) this.#rings.wake(channel);
    this.#context.channels.clearMonitor(this.#context.memory, monitor);
  }

  // --- taking packets ---

  #consumeDue(): boolean {
    return this.#rings.consume(this.#take, ({ anchor, time }) => {
      if (anchor === undefined) return this.#time >= time + this.#defaults.ringLatency;
      const { consumed, consumedIndex, consumedBehind } = anchor;
      if (consumed === undefined) return this.#time >= time + this.#defaults.ringLatency;
      if (this.cancelling.holds(consumedIndex)) return false;
      const late = this.#time - time - (consumed - anchor.time);
      // In the same moment the recorded guest had done more first
      const later = consumedBehind !== undefined && consumedBehind.step >= this.#step;
      const owes = later && !this.#done.has(consumedBehind);
      return late > 0 || (late === 0 && !owes);
    });
  }

  #consumeUpTo(index: number): boolean {
    const isDue = ({ anchor }: Waiting): boolean => (anchor?.consumedIndex ?? Infinity) < index;
    return this.#rings.consume(this.#take, isDue);
  }

  readonly #take: TakePacket = (number, channel, { anchor, packet, end }) => {
    channel.out.consumer = end;
    this.#context.channels.clearInterrupt(this.#context.memory, number);
    if (anchor?.consumed === undefined) {
      for (const bytes of this.#defaults.packet(number, packet)) this.#write(number, bytes);
      return;
    }
    for (const event of anchor.answers)
      this.#pending.push({ due: this.#time + event.time - anchor.consumed, event });
  };

  // --- sending ---

  #deliverDue(): boolean {
    // What the guest is not to see before it looks once more, nothing overtakes
    const early = this.#pending.filter(({ due, event }) => this.#isEarly(due, event));
    const first = early.reduce((least, { event }) => Math.min(least, event.index), Infinity);
    const due = this.#pending.filter((each) => this.#isDue(each, first));
    due.sort((a, b) => a.due - b.due || a.event.index - b.event.index);
    const full = new Set<number>();
    const sent = new Set<Pending>();
    for (const pending of due) {
      if (!this.#fits(pending, full)) continue;
      this.#deliver(pending);
      sent.add(pending);
    }
    if (sent.size > 0) this.#pending = this.#pending.filter((pending) => !sent.has(pending));
    return sent.size > 0;
  }

  /** Whether a packet has room in its ring. Packets behind one that has none wait, too. */
  #fits({ event: { what } }: Pending, full: Set<number>): boolean {
    if (what.kind !== 'packet') return true;
    const { channel: number, bytes } = what.event;
    const channel = this.#context.channels.channels.get(number);
    if (channel === undefined) return true;
    if (!this.#memory.hasRoom(channel, bytes.length / 2, placeOf(what))) full.add(number);
    return !full.has(number);
  }

  /**
   * Whether the recorded guest had looked before it came, and this one has not. Behind a wait its
   * turns say nothing: whether time is up in the last one depends on parts of a millisecond.
   */
  #isEarly(due: number, { look, behind }: HostEvent): boolean {
    if (due === this.#time && behind !== undefined && !this.#done.has(behind)) return true;
    if (due !== this.#time || (look.turns > 0 && this.#actedAt !== due)) return false;
    return this.#looks.isBefore(look);
  }

  #isDue({ due, event }: Pending, first: number): boolean {
    if (due > this.#time) return false;
    if (!isFinite(event.index)) return true;
    if (event.index >= first) return false;
    if (event.index >= this.#limit || this.cancelling.holds(event.index)) return false;
    // In the same moment the recorded host had taken packets first that wait for their signal
    return due < this.#time || !this.#rings.haveBefore(event.index);
  }

  /** Recorded events of the host that have not come out, up to an index. */
  missing(end: number): readonly HostEvent[] {
    return this.#script.anchors
      .flatMap(({ answers, stimuli }) => [...answers, ...stimuli])
      .filter((event) => event.index < end && !this.#came.has(event))
      .sort((a, b) => a.index - b.index);
  }

  #deliver({ event }: Pending): void {
    const { asked } = event;
    this.#came.set(event, this.#time);
    for (const write of event.writes) {
      const bytes = this.#names.response(write.bytes, asked);
      this.#memory.write(this.#names.gpadl(write.gpadl), write.offset, bytes);
    }
    if (event.what.kind === 'message') {
      const { sint, type, payload } = event.what.event;
      const pending = 'pending' in event.what.event && event.what.event.pending === 1;
      const bytes = this.#names.hostMessage(fromHex(payload));
      if (!this.#context.slots.post(sint, Number(type), bytes, pending))
        this.#context.note(`no room for a message for SINT${sint}`);
    } else if (event.what.kind === 'packet') {
      const recorded = event.what.event;
      const bytes = this.#names.hostPacket(fromHex(recorded.bytes), asked);
      this.#write(recorded.channel, bytes, placeOf(event.what));
    }
  }

  #write(number: number, bytes: Uint8Array, recorded?: RecordedPlace): void {
    const { channels, note } = this.#context;
    const channel = channels.channels.get(number);
    if (channel === undefined || !channels.open.has(number)) {
      note(`channel ${number} is not open for the host's packet`);
      return;
    }
    this.#context.rules.hostPacket(number, bytes);
    const isOdd = recorded && !this.#memory.tellsEnd(channel, bytes.length, recorded);
    this.#context.books.packet(number, bytes, isOdd);
    if (!this.#memory.packet(channel, bytes, recorded)) note('the ring has no room for a packet');
  }

  /** The guest loops over a packet: it is taken away. */
  withdraw(): void {
    for (const channel of this.#context.channels.channels.values()) this.#memory.withdraw(channel);
  }
}

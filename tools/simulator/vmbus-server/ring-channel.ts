// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * An open channel as its device sees it: packets both ways, signals, and the end when the guest
 * breaks the rules (silence: no completion, no rescind). OpenVMM `parse_packet`, `vmbus_ring`.
 */

import { PacketHeader, PacketType } from '../../../src/vmbus/protocol.ts';
import { BlockCopy } from '../base/block-copy.ts';
import type { ChannelDevice, DeviceChannel, GuestPacket } from './channel-interface.ts';
import type { Alarm } from '../base/clock.ts';
import type { Grant } from '../ledger/grants.ts';
import type { ServerContext } from './context.ts';
import { describeMessage } from './device-protocol.ts';
import type { RingPoke } from './faults.ts';
import { DESCRIPTOR_SIZE, FOOTER_SIZE, PACKET_MAX, PacketBuffer } from './guest-packet.ts';
import { BAD_INDEX, IncomingRing, OutgoingRing, type RingChannelRequest } from './host-ring.ts';
import type { Keeper } from '../base/snapshot.ts';

const padded = (length: number): number => (length + 7) & ~7;

/** An alarm that is not set. */
function alarm(action: () => void): Alarm {
  return { at: 0, action, next: undefined, state: 'cancelled' };
}

export class RingChannel implements DeviceChannel {
  readonly id: number;
  readonly vmbusVersion: number;
  readonly userData: Uint8Array;
  dead = false;
  unreadable = false;
  tampered = false;
  /** Why the channel died, or ''. */
  reason = '';
  /** Signals of the guest, and those of them that had nothing to say. */
  signals = 0;
  unnecessarySignals = 0;

  readonly #context: ServerContext;
  readonly #device: ChannelDevice;
  readonly #incoming: IncomingRing;
  readonly #outgoing: OutgoingRing;
  readonly #interrupt: () => void;
  readonly #gpadl: (id: number) => Grant | undefined;
  readonly #offerSubchannels: (devices: readonly ChannelDevice[]) => boolean;
  readonly #packet = new PacketBuffer();
  /** Where a packet to the guest is put together. */
  readonly #scratch = new PacketBuffer();
  readonly #copier = new BlockCopy();
  /** A packet or index that cannot be is waited for until the guest has mended it. */
  readonly #mends: boolean;
  #open = true;
  /** The last receive found the ring empty: whatever comes after deserves a new look. */
  #drained = true;
  /** The host has not stopped looking yet: signals are masked. */
  #lingering = false;
  /** Set again and again, so that a signal makes no object. */
  readonly #wake: Alarm;
  readonly #pollRoom: Alarm;
  readonly #unstick: Alarm;

  constructor(context: ServerContext, request: RingChannelRequest) {
    this.id = request.id;
    this.vmbusVersion = request.vmbusVersion;
    this.userData = request.userData;
    this.#context = context;
    this.#device = request.device;
    const { ringFaults, readSignals } = context.services.profile.knobs;
    this.#mends = ringFaults === 'waits';
    const rules = { anyIndex: this.#mends, unlessAsked: readSignals === 'unless-asked' };
    this.#incoming = new IncomingRing(request.incoming, rules);
    this.#outgoing = new OutgoingRing(request.outgoing, rules);
    this.#interrupt = request.interrupt;
    this.#gpadl = request.gpadl;
    this.#offerSubchannels = request.offerSubchannels;
    this.#wake = alarm(() => this.#look());
    this.#pollRoom = alarm(() => {
      if (!this.#open || this.dead || this.#outgoing.waitingFor === 0) return;
      if (this.#outgoing.free() >= this.#outgoing.waitingFor) this.#look();
      else this.#set(this.#pollRoom, this.#roomTicks);
    });
    this.#unstick = alarm(() => {
      if (!this.#open || this.dead) return;
      if (this.#outgoing.unread) this.#signalGuest();
      if (this.#incoming.available() > 0) this.#look();
    });
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.dead, this.unreadable], (v) => ([this.dead, this.unreadable] = v));
    keeper.put([this.tampered, this.reason], (v) => ([this.tampered, this.reason] = v));
    keeper.put([this.signals], (v) => ([this.signals] = v));
    keeper.put([this.unnecessarySignals], (v) => ([this.unnecessarySignals] = v));
    keeper.put([this.#open, this.#drained], (v) => ([this.#open, this.#drained] = v));
    keeper.put([this.#lingering, this.lies], (v) => ([this.#lingering, this.lies] = v));
    keeper.keep(this.userData, this.#context, this.#device, this.#incoming, this.#outgoing);
    keeper.keep(this.#packet, this.#scratch, this.#copier, this.#wake, this.#pollRoom);
    keeper.keep(this.#unstick, this.#poke);
  }

  /** Write the rings' start-of-day values. Returns false if the guest left bad indices. */
  start(): boolean {
    return this.#incoming.start() && this.#outgoing.start();
  }

  /** The device has opened: from now on the host waits for signals. */
  listen(): void {
    this.#incoming.mask(false);
    if (this.#incoming.available() > 0) this.#schedule();
    const { ringUnstickTicks } = this.#context.services.profile.knobs;
    if (ringUnstickTicks !== 0) this.#set(this.#unstick, ringUnstickTicks);
  }

  /** No more accesses: the device was closed. */
  close(): void {
    this.#open = false;
    for (const each of [this.#wake, this.#pollRoom, this.#unstick])
      this.#context.services.clock.cancel(each);
  }

  /** The guest signalled. Returns whether it had reason to (see {@link unnecessarySignals}). */
  guestSignal(): boolean {
    if (!this.#open || this.dead) return true;
    this.signals++;
    const needed = this.#signalNeeded();
    if (!needed) this.unnecessarySignals++;
    this.#schedule();
    return needed;
  }

  /** Read what is in the ring at this moment, signalled or not: the guest has sent it before. */
  readAll(): void {
    if (this.#open && !this.dead && this.#incoming.available() !== 0) this.#look();
  }

  /** A host that lingers reads what is there, or stops looking; what it got back it has used. */
  linger(act: 'read' | 'hear' | 'end'): void {
    if (!this.#open || this.dead) return;
    this.#outgoing.reclaim();
    if (act === 'hear' && this.#wake.state === 'waiting') {
      this.#context.services.clock.cancel(this.#wake);
      return this.#look();
    }
    if (!this.#lingering || (act !== 'end' && this.#incoming.available() === 0)) return;
    if (act !== 'end') return this.#device.signalled();
    this.#lingering = false;
    this.#incoming.mask(false);
    if (this.#incoming.available() > 0) this.#look();
  }

  /** Whether the guest learns from a page what the host sends: its ring, the other's indices. */
  lies = (pfn: number) => this.#outgoing.memory.has(pfn) || this.#incoming.memory.has(pfn, 1);
  /** The ring in which the guest's packets lie, as long as somebody reads them. */
  unread(): IncomingRing | undefined {
    return this.#open && !this.dead ? this.#incoming : undefined;
  }

  receive(atClose = false): GuestPacket | undefined {
    if (!this.#open || (this.dead && (!atClose || this.unreadable))) return undefined;
    this.unreadable = false;
    const incoming = this.#incoming;
    const packet = this.#packet;
    const available = incoming.available();
    if (available === BAD_INDEX) return this.#fail('bad write index of the guest');
    this.#drained = available === 0;
    if (this.#drained) return undefined;

    // Copy the descriptor out, then check it, then copy the rest
    if (available < DESCRIPTOR_SIZE) return this.#fail(`${available} bytes for a descriptor`);
    incoming.peek(0, packet.bytes, 0, DESCRIPTOR_SIZE);
    let bad = packet.parseDescriptor(available, this.#mends);
    if (bad !== undefined) return this.#fail(bad);
    packet.reserve(packet.length, DESCRIPTOR_SIZE);
    const { bytes, length } = packet;
    incoming.peek(DESCRIPTOR_SIZE, bytes, DESCRIPTOR_SIZE, length - DESCRIPTOR_SIZE);
    bad = this.#mends ? undefined : packet.checkRanges();
    if (bad !== undefined) return this.#fail(bad);

    // Give the room back
    const offset = incoming.position;
    if (incoming.consume(length + FOOTER_SIZE) && !this.dead) this.#signalGuest();
    const { events } = this.#context.services;
    const { cause } = events;
    if (events.on && !this.dead) this.#record('guest', offset, bytes, length);
    if (atClose) events.cause = cause; // It goes on being what closes the channel
    return packet;
  }

  get drained(): boolean {
    return this.#outgoing.drained;
  }

  get writable(): number {
    if (!this.#open || this.dead) return 0;
    return Math.max(0, this.#outgoing.free());
  }

  send(
    type: number,
    flags: number,
    transactionIdLow: number,
    transactionIdHigh: number,
    extra: Uint8Array,
    extraLength: number,
    payload: Uint8Array,
    payloadLength: number,
  ): boolean {
    if (!this.#open || this.dead) return false;
    const outgoing = this.#outgoing;
    const headerLength = DESCRIPTOR_SIZE + padded(extraLength);
    const length = headerLength + padded(payloadLength);
    const total = length + FOOTER_SIZE;

    // A packet that can never fit is the end (OpenVMM refuses what does not leave 8 bytes)
    if (total >= outgoing.size - FOOTER_SIZE || length > PACKET_MAX) {
      this.die(`ring of ${outgoing.size} bytes is too small for a packet of ${total}`);
      return false;
    }

    // Wait for room if need be
    if (!this.#room(total)) return false;

    // Put it together
    this.#scratch.reserve(total);
    const { view } = this.#scratch;
    const at = PacketHeader.at;
    view.setUint16(at.type, type, true);
    view.setUint16(at.headerQlen, headerLength / 8, true);
    view.setUint16(at.qlen, length / 8, true);
    view.setUint16(at.flags, flags, true);
    view.setUint32(at.transactionId, transactionIdLow, true);
    view.setUint32(at.transactionId + 4, transactionIdHigh, true);
    this.#copy(extra, extraLength, DESCRIPTOR_SIZE);
    this.#copy(payload, payloadLength, headerLength);
    view.setUint32(length, 0, true);
    view.setUint32(length + 4, outgoing.position, true);

    this.#publish(total);
    return true;
  }

  gpadl(id: number): Grant | undefined {
    return this.#gpadl(id);
  }

  offerSubchannels(devices: readonly ChannelDevice[]): boolean {
    return this.#open && this.#offerSubchannels(devices);
  }

  die(reason: string): void {
    if (this.dead) return;
    this.dead = true;
    this.reason = reason;
    this.#context.violation('ring', `channel ${this.id} dies: ${reason}`);
  }

  #fail(reason: string): undefined {
    this.unreadable = true;
    if (this.#mends) this.#context.violation('ring', `channel ${this.id} waits: ${reason}`);
    else this.die(reason);
    return undefined;
  }

  /** How often a full ring is looked at without a signal; 0 is never. */
  get #roomTicks(): number {
    return this.#context.services.profile.knobs.ringPollTicks;
  }

  /** Whether `total` bytes fit; if not, ask for a signal. */
  #room(total: number): boolean {
    const outgoing = this.#outgoing;
    let free = outgoing.free();
    if (free !== BAD_INDEX && free < total) {
      // Ask first and look again, so that room made meanwhile is not missed (OpenVMM: ¼ ring)
      outgoing.waitFor(Math.max(total, padded(outgoing.size >>> 2)));
      free = outgoing.free();
      if (free !== BAD_INDEX && free < total) {
        if (this.#roomTicks !== 0) this.#set(this.#pollRoom, this.#roomTicks);
        return false;
      }
    }
    if (free === BAD_INDEX) {
      if (!this.#mends) this.die('bad read index of the guest');
      return false;
    }
    if (outgoing.waitingFor !== 0) outgoing.waitFor(0);
    return true;
  }

  /** Copy into the scratch packet and pad with zeros. */
  #copy(from: Uint8Array, length: number, to: number): void {
    const { bytes } = this.#scratch;
    this.#copier.copy(from, 0, bytes, to, length);
    for (let i = length; i < padded(length); i++) bytes[to + i] = 0;
  }

  /** Write the scratch packet to the ring, publish it and signal by the rules. */
  #publish(total: number): void {
    const outgoing = this.#outgoing;
    const { faults, services } = this.#context;
    const offset = outgoing.position;
    let { bytes } = this.#scratch;
    let length = total;

    // A fault may change or lose it
    if (faults.ringPacket !== undefined) {
      const changed = faults.ringPacket(this.id, bytes.slice(0, total));
      if (changed !== undefined) {
        this.#context.fault(`channel ${this.id}: ring packet at ${offset} changed or lost`);
        this.tampered = true;
        if (changed === 'drop') return;
        if (changed.length % 8 !== 0 || changed.length > outgoing.free())
          throw new RangeError(`faulty ring packet of ${changed.length} bytes does not fit`);
        bytes = changed;
        length = changed.length;
      }
    }

    outgoing.write(bytes, length);
    const signal = outgoing.publish(length);
    if (services.events.on && length >= DESCRIPTOR_SIZE)
      this.#record('host', offset, bytes, length - FOOTER_SIZE);
    faults.published?.(this.id, this.#poke);
    if (signal) this.#signalGuest();
  }

  readonly #poke: RingPoke = (side, offset, value) => {
    const ring = side === 'guest-to-host' ? this.#incoming : this.#outgoing;
    this.#context.fault(`channel ${this.id}: ${side} control word ${offset} set to ${value}`);
    this.tampered = true;
    ring.memory.setU32(offset, value);
  };

  #signalGuest(): void {
    if (this.#context.faults.loseSignal?.(this.id)) {
      this.#context.fault(`channel ${this.id}: signal to the guest lost`);
      return;
    }
    this.#interrupt();
  }

  /**
   * Whether a signal that arrives now has something to say: the host has not been signalled since
   * it last looked, and either the ring holds something that it did not mask, or room was made
   * that the host waits for. Anything else is an excess signal (Linux vmbus.rst).
   */
  #signalNeeded(): boolean {
    const outgoing = this.#outgoing;
    if (outgoing.waitingFor !== 0 && outgoing.free() >= outgoing.waitingFor) return true;
    if (this.#wake.state === 'waiting' || this.#incoming.masked) return false;
    return this.#incoming.available() !== 0;
  }

  /** The device reads after the host's latency. */
  #schedule(): void {
    this.#set(this.#wake, this.#context.services.profile.knobs.ringLatencyTicks);
  }

  /** Set an alarm if it does not wait already. */
  #set(which: Alarm, ticks: number): void {
    if (which.state !== 'waiting') this.#context.services.clock.reschedule(which, ticks);
  }

  /** Let the device read; mask meanwhile, and look again if the guest wrote after the last look. */
  #look(): void {
    if (!this.#open || this.dead) return;
    this.#incoming.mask(true);
    this.#device.signalled();
    this.#context.services.events.end();
    if (!this.#open || this.dead) return;
    if ((this.#lingering = this.#context.faults.lingers === true)) return;
    this.#incoming.mask(false);
    if (this.#drained && this.#incoming.available() > 0) this.#schedule();
  }

  #record(from: 'guest' | 'host', offset: number, bytes: Uint8Array, length: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    this.#context.services.events.emit({
      ...(from === 'guest' ? this.#context.services.events.begin() : {}),
      ...{ kind: 'ring-packet', from, channel: this.id },
      ...this.#context.origin,
      offset,
      type: view.getUint16(PacketHeader.at.type, true),
      transactionId: view.getBigUint64(PacketHeader.at.transactionId, true),
      bytes: bytes.slice(0, length),
      ...this.#describe(view, bytes, length),
    });
  }

  /** What a packet says, in words, if its device describes itself. */
  #describe(view: DataView, bytes: Uint8Array, length: number): { message?: string } {
    const { protocol } = this.#device;
    if (protocol === undefined) return {};
    if (view.getUint16(PacketHeader.at.type, true) !== PacketType.DATA_INBAND) return {};
    const payload = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
    return { message: describeMessage(protocol, bytes.subarray(payload, length)) };
  }
}

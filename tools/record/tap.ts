// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The tap of a recorder: stands between a guest and its machine, and writes down what crosses. What
 * the host does it learns as the guest could: by looking at shared memory after each call. So it
 * works with any guest on any host.
 */

import {
  Msr,
  PostMessage,
  HvCall,
  HvControl,
  MonitorPage,
  MonitorTrigger,
  HV_ENABLE,
  HV_PAGE_REGISTER_MASK,
} from '../../src/hyperv/protocol.ts';
import {
  PacketHeader,
  PacketType,
  RingControl,
  VMBUS_MESSAGE_TYPE,
} from '../../src/vmbus/protocol.ts';
import type { CpuidRegisters, MemoryRange, X64Machine } from '../../src/machine.ts';
import { packetMeaning } from '../replay/anchor-keys.ts';
import { GuestChannels } from '../replay/guest-channels.ts';
import { GuestObserver } from '../replay/guest-observer.ts';
import { GuestRules } from '../replay/guest-rules.ts';
import { hexNumber, toHex } from '../replay/hex.ts';
import { Looks } from '../replay/host/looks.ts';
import type { TraceEvent, TraceEventOf } from '../replay/trace-events.ts';
import { InboundSlots, type InboundMessage } from './inbound-slots.ts';
import { InboundRing, transferRanges } from './inbound-ring.ts';
import type { Seen, TapSurroundings } from './tap-surroundings.ts';
import { PassingX64 } from '../simulator/base/passing-machine.ts';

/** Ticks of the reference time in a millisecond. */
const TICKS_PER_MS = 10_000;

/** Events of a session: whoever reads it holds it in memory. */
export const EVENTS_MAX = 500_000;

/** A machine that writes down what its guest and its host do. */
export class RecordingTap extends PassingX64 {
  readonly events: TraceEvent[] = [];
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #channels: GuestChannels;
  readonly #observer: GuestObserver;
  readonly #rules: GuestRules;
  readonly #seen = new Map<number, Seen>();
  readonly #slots: InboundSlots;
  #ticks: bigint | undefined;
  readonly #now: () => bigint;
  /** How far the guest has come in this moment, as far as that is told. */
  readonly #looks = new Looks();
  /** Who takes a frame is at work, and the guest's drivers wait for it. */
  #isAbove = false;
  /** What registers hold, as far as the guest has read or written them. */
  readonly #registers = new Map<number, bigint>();

  /** @param around what is known of a machine whose own calls are counted or watched */
  constructor(machine: X64Machine, around: TapSurroundings = {}) {
    super(machine);
    const { memory = machine.memory, ticks } = around;
    this.#now = ticks ?? (() => super.rdmsr(Msr.TIME_REF_COUNT));
    this.#bytes = new Uint8Array(memory);
    this.#view = new DataView(memory);
    this.#slots = new InboundSlots(this.#bytes);
    this.#channels = new GuestChannels(this.#bytes);
    this.#observer = new GuestObserver(this.#bytes, this.#channels);
    this.#rules = new GuestRules({
      channels: this.#channels,
      holdsPage: (address, length) => this.#holdsPage(address, length),
      violation: (text) => this.emit({ op: 'violation', text }),
    });
  }

  #holdsPage(address: number, length: number): boolean {
    return [Msr.HYPERCALL, Msr.SIMP, Msr.SIEFP].some((msr) => {
      const value = this.#register(msr);
      const page = Number(value & ~HV_PAGE_REGISTER_MASK);
      return (value & HV_ENABLE) !== 0n && page >= address && page < address + length;
    });
  }

  #register(msr: number): bigint {
    const known = this.#registers.get(msr) ?? super.rdmsr(msr);
    this.#registers.set(msr, known);
    return known;
  }

  /** The guest gives up memory. */
  freed(address: number, length: number, purpose: string): void {
    this.#rules.freed(address, length, purpose);
    this.#channels.forget(address, length);
  }

  handedOver(map: readonly MemoryRange[]): void {
    this.#rules.handedOver(map);
  }

  /** What is beyond the bound is left out. */
  emit(event: TraceEvent): void {
    if (event.op === 'step') this.#looks.begin();
    if (this.events.length < EVENTS_MAX) this.events.push(event);
  }

  /** Let who is above the drivers work: what it does is not the drivers' doing. */
  above(call: () => void): void {
    const before = this.#isAbove;
    this.#isAbove = true;
    try {
      call();
    } finally {
      this.#isAbove = before;
    }
  }

  // --- the seam ---

  override cpuid(leaf: number, subleaf: number): CpuidRegisters {
    const result = super.cpuid(leaf, subleaf);
    const out = [result.eax, result.ebx, result.ecx, result.edx].map((word) =>
      hexNumber(word >>> 0),
    );
    this.emit({ op: 'cpuid', leaf: hexNumber(leaf >>> 0), out });
    return result;
  }

  override rdmsr(msr: number): bigint {
    this.guestActed();
    const value = super.rdmsr(msr);
    if (msr !== Msr.TIME_REF_COUNT) {
      this.#registers.set(msr, value);
      this.emit({ op: 'rdmsr', msr: hexNumber(msr), value: hexNumber(value), reads: undefined });
    }
    // A host acts at any exit of its guest
    this.passTime(undefined);
    const before = this.events.length;
    this.hostActed();
    if (msr === Msr.TIME_REF_COUNT) this.#timeRead(value, before);
    return value;
  }

  /** The time is read very often: that is told where something came of it. */
  #timeRead(time: bigint, before: number): void {
    if (this.#isAbove) {
      if (this.#tellLook(before, { op: 'above', does: 'clock' })) this.#looks.begin();
      return;
    }
    const reads = ++this.#looks.reads;
    const [msr, value] = [hexNumber(Msr.TIME_REF_COUNT), hexNumber(time)];
    this.#tellLook(before, { op: 'rdmsr', msr, value, reads });
  }

  /** A turn is over: within a millisecond that is told, too, where something came of it. */
  #turnOver(): void {
    this.#looks.turnOver();
    this.passTime(undefined);
    const before = this.events.length;
    this.hostActed();
    this.#tellLook(before);
  }

  /** Tell of a look before what came with it, and of turns before that. Returns whether it did. */
  #tellLook(before: number, ...look: TraceEvent[]): boolean {
    if (this.events.length === before || this.events.length >= EVENTS_MAX) return false;
    const turn: TraceEvent = { op: 'delay', ms: 0, by: undefined };
    this.events.splice(before, 0, ...(this.#looks.turns > 0 ? [turn] : []), ...look);
    this.#looks.turns = 0;
    return true;
  }

  override wrmsr(msr: number, value: bigint): void {
    this.guestActed();
    const event = { op: 'wrmsr', msr: hexNumber(msr), value: hexNumber(value) } as const;
    try {
      super.wrmsr(msr, value);
    } catch (error) {
      this.emit({ ...event, refused: true });
      throw error;
    }
    this.#registers.set(msr, value);
    this.emit({ ...event, refused: undefined });
    if (msr === Msr.SIMP || msr === Msr.SCONTROL) this.#findMessagePage();
    this.hostActed();
  }

  #findMessagePage(): void {
    const simp = this.#register(Msr.SIMP);
    const on = (simp & HV_ENABLE) !== 0n && (this.#register(Msr.SCONTROL) & HV_ENABLE) !== 0n;
    this.#slots.use(on ? Number(simp & ~HV_PAGE_REGISTER_MASK) : 0);
  }

  override callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint {
    this.guestActed();
    const code = Number(control & HvControl.CODE_MASK);
    const bytes = this.#input(code, control, input);
    const before = this.events.length;
    const result = super.callHypercallPage(page, control, input, output);
    const status = Number(result & 0xffffn);
    const name = code === HvCall.POST_MESSAGE ? 'HvPostMessage' : 'HvSignalEvent';
    const call = {
      op: 'hypercall',
      code: hexNumber(code),
      name,
      inputGpa: hexNumber(input),
    } as const;
    // Before what the host did meanwhile
    if (this.events.length < EVENTS_MAX)
      this.events.splice(before, 0, {
        ...call,
        outputGpa: hexNumber(output),
        input: toHex(bytes),
        status,
      } as TraceEvent);
    if (code === HvCall.POST_MESSAGE) this.#looks.begin();
    if (code === HvCall.POST_MESSAGE && status === 0) this.#posted(bytes.subarray(16));
    this.hostActed();
    return result;
  }

  #input(code: number, control: bigint, input: bigint): Uint8Array {
    if ((control & HvControl.FAST) !== 0n) {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, input, true);
      return bytes;
    }
    const at = Number(input);
    if (at + PostMessage.size > this.#bytes.length) return new Uint8Array(8);
    if (code !== HvCall.POST_MESSAGE) return this.#bytes.slice(at, at + 8);
    const length = Math.min(this.#view.getUint32(at + PostMessage.at.length, true), 240);
    return this.#bytes.slice(at, at + PostMessage.at.data + length);
  }

  override pause(): void {
    this.guestActed();
    super.pause();
    this.#turnOver();
  }

  override delay(ticks: number): void {
    this.guestActed();
    super.delay(ticks);
    this.#turnOver();
  }

  /** Time that has passed since the last look, in whole milliseconds. */
  passTime(by: string | undefined): void {
    const now = this.#now();
    const ms = Number((now - (this.#ticks ??= now)) / BigInt(TICKS_PER_MS));
    if (ms === 0) return;
    this.#ticks += BigInt(ms * TICKS_PER_MS);
    this.#looks.begin();
    this.emit(by === undefined ? { op: 'delay', ms, by: undefined } : { op: 'delay', ms, by });
  }

  /** The guest polls one packet for ever: it is taken away. */
  livelock(): void {
    this.emit({ op: 'livelock', where: 'poll' });
    for (const { inbound } of this.#seen.values()) {
      const prod = inbound.empty();
      if (prod !== undefined) this.emit({ op: 'harness-ring-reset', prod });
    }
  }

  // --- what the guest has done ---

  #posted(message: Uint8Array): void {
    this.#rules.message(message);
    this.#channels.posted(message, '');
    const opened = this.#channels.opens(message);
    const channel = opened === undefined ? undefined : this.#channels.channels.get(opened);
    if (channel === undefined) return;
    this.#observer.channelOpened(opened!);
    const { consumer } = channel.out;
    const inbound = new InboundRing(channel.in);
    this.#seen.set(opened!, { channel, inbound, consumer, mask: 0, waiting: [] });
  }

  /** Look at what the guest has written since the last call. */
  guestActed(): void {
    this.#slots.guestActed();
    const { packets, faults, monitorBits } = this.#observer.look();
    for (const text of faults) this.emit({ op: 'violation', text });
    if (packets.length > 0) this.#looks.begin();
    for (const packet of packets) {
      const { channel: number, start, bytes, data } = packet;
      const size = this.#channels.channels.get(number)!.out.data.length;
      const end = (start + bytes.length) % size;
      const gpaData = data === undefined ? undefined : toHex(data);
      const place = { channel: number, offset: start, prod: [start, end] as const };
      const event: TraceEventOf<'ring-write'> = {
        op: 'ring-write',
        ...place,
        bytes: toHex(bytes),
        gpaData,
        stale: undefined,
      };
      this.emit(event);
      const meaning = packetMeaning(bytes, data);
      const { type, transaction, pageSet, gpadl } = meaning;
      this.#rules.packet(number, meaning);
      if (pageSet !== undefined) this.#channels.receiveBuffers.set(number, { gpadl, pageSet });
      this.#seen.get(number)?.waiting.push({ type, transaction, end });
    }
    for (const monitor of monitorBits) this.#monitor(monitor);
    this.#observer.acceptPages();
  }

  /** A signal without a hypercall. */
  #monitor(monitor: number): void {
    const group = MonitorPage.at.trigger + (monitor >>> 5) * MonitorTrigger.size;
    const offset = group + ((monitor & 31) >>> 3);
    const gpa = this.#channels.monitorOut + offset;
    const bytes = toHex(this.#bytes.subarray(gpa, gpa + 1));
    const purpose = 'monitor-out';
    this.emit({ op: 'guest-mem-write', purpose, gpa: hexNumber(gpa), offset, bytes });
  }

  // --- what the host has done ---

  /** Look at what the host has written since the last call. */
  hostActed(): void {
    for (const [number, seen] of this.#seen) {
      const there = this.#channels.channels.get(number) === seen.channel;
      if (!there || !this.#channels.open.has(number)) {
        this.#seen.delete(number);
        continue;
      }
      this.#mask(seen);
      this.#hostRead(number, seen);
      this.#hostWrote(number, seen);
    }
    for (const message of this.#slots.look()) this.#message(message);
    this.#observer.acceptPages();
  }

  #mask(seen: Seen): void {
    const { control } = seen.channel.out;
    const mask = control.readU32(RingControl.at.interruptMask);
    if (mask === seen.mask) return;
    seen.mask = mask;
    this.#ringWord(seen, RingControl.at.interruptMask, 'interrupt-mask');
  }

  #hostRead(channel: number, seen: Seen): void {
    const { consumer } = seen.channel.out;
    while (seen.consumer !== consumer && seen.waiting.length > 0) {
      const { type, transaction, end } = seen.waiting.shift()!;
      const cons = [seen.consumer, end] as const;
      seen.consumer = end;
      this.emit({ op: 'host-ring-read', channel, type, xid: hexNumber(transaction), cons });
    }
    if (seen.consumer !== consumer) this.#ringWord(seen, RingControl.at.cons, 'read-index');
    seen.consumer = consumer;
  }

  /** A word that the host has put into the control page of an outbound ring, right or wrong. */
  #ringWord({ channel: { out } }: Seen, offset: number, what: string): void {
    const gpa = hexNumber(out.control.address(offset));
    const bytes = toHex(out.control.read(offset, 4));
    this.emit({ op: 'host-mem-write', purpose: `outbound-ring-${what}`, gpa, bytes });
  }

  #hostWrote(channel: number, { inbound }: Seen): void {
    for (const { start, bytes, end } of inbound.look()) {
      const whole = bytes.length >= PacketHeader.size;
      const type = whole ? new DataView(bytes.buffer).getUint16(PacketHeader.at.type, true) : 0;
      // What lies in the receive buffer for it
      const ranges = type === PacketType.DATA_XFER_PAGES ? transferRanges(bytes) : [];
      for (const { offset, length } of ranges) this.#receiveBuffer(channel, offset, length);
      this.#rules.hostPacket(channel, bytes);
      const prod = [start, end] as const;
      this.emit({ op: 'host-ring-write', channel, type, offset: start, bytes: toHex(bytes), prod });
    }
  }

  /** A range that crosses pages is written down page by page. */
  #receiveBuffer(channel: number, offset: number, length: number): void {
    const pages = this.#channels.bufferPages(channel);
    if (offset + length > pages.length * 4096) return;
    for (let at = offset; at < offset + length;) {
      const end = Math.min(offset + length, at - (at % 4096) + 4096);
      const gpa = pages[at >>> 12]! + (at % 4096);
      const bytes = toHex(this.#bytes.subarray(gpa, gpa + end - at));
      this.emit({ op: 'host-mem-write', purpose: 'receive-buffer', gpa: hexNumber(gpa), bytes });
      at = end;
    }
  }

  #message({ sint, type, payload, pending, slot }: InboundMessage): void {
    if (type === VMBUS_MESSAGE_TYPE) this.#channels.delivered(payload);
    const message = { sint, type: hexNumber(type), payload: toHex(payload), pending };
    this.emit({ op: 'host-message', ...message, via: 'direct', gpa: hexNumber(slot) });
  }
}

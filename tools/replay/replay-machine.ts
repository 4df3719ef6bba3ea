// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The machine of a replay: it answers from a recording and writes down what the guest does. The
 * guest need not do exactly what was recorded; see the cursor.
 */

import {
  HvCall,
  HvControl,
  HvStatus,
  Msr,
  PostMessage,
  SignalEvent,
} from '../../src/hyperv/protocol.ts';
import { MessageType, VMBUS_MESSAGE_TYPE } from '../../src/vmbus/protocol.ts';
import type { CpuidRegisters, MemoryRange, X64Machine } from '../../src/machine.ts';
import type { HostEventSink } from '../simulator/ledger/events.ts';
import { messageType } from './anchor-keys.ts';
import { GuestChannels } from './guest-channels.ts';
import { GuestObserver } from './guest-observer.ts';
import { GuestRules } from './guest-rules.ts';
import { heldBlocks } from './host/held-blocks.ts';
import { hexNumber } from './hex.ts';
import { MessageSlots } from './message-slots.ts';
import { ModelHost } from './host/model-host.ts';
import { NO_PROGRESS, livelockItem, violationItem, violationSort } from './normalise.ts';
import { GuestSide } from './guest-side.ts';
import type { RecordedStep } from './recording.ts';
import { ReplayEvents } from './replay-events.ts';
import { ReplayAllocator } from './replay-allocator.ts';
import { fastInput, slowInput } from './host/hypercall-input.ts';
import { ReplayRegisters } from './replay-registers.ts';
import { RecordedRandom } from './host/recorded-random.ts';
import { ReplayClock } from './host/replay-clock.ts';
import { RegisterRefused, ReplayStop } from './host/replay-stop.ts';
import type { Script } from './host/script-types.ts';
import { buildScript } from './host/script.ts';
import type { TraceEvent } from './trace-events.ts';
import { isReference, type TraceFile } from './trace-file.ts';
import { HostBooks } from './principles/host-books.ts';

/** Calls of the machine in one step after which a guest counts as hung. */
export const STEP_CALLS_MAX = 1_000_000;

/** The same of a step that is a whole boot. */
const BOOT_CALLS_MAX = 4_000_000;

/** Memory beyond that of the recorded guest: for what the guest allocates otherwise. */
const MEMORY_MORE = 4 << 20;

/** Bytes of memory of a replay. */
export function replayMemoryBytes({ ram }: TraceFile): number {
  return ram.base + ram.size + MEMORY_MORE;
}

/** A machine whose host is the recorded one. */
export class ReplayMachine implements X64Machine {
  readonly architecture = 'x64';
  readonly memory: ArrayBufferLike;
  readonly memoryMap: readonly MemoryRange[];
  readonly allocator: ReplayAllocator;
  /** What the replay could not repeat. */
  readonly notes: string[] = [];
  /** What the guest did. */
  readonly side: GuestSide;
  /** What the host has done to it. */
  readonly books: HostBooks;
  /** Set when the machine has ended the guest. */
  stopped: ReplayStop | undefined;
  /** A mistake of the replay itself, which the guest may have caught. */
  mistake: unknown;

  readonly #bytes: Uint8Array;
  readonly #events: readonly TraceEvent[];
  readonly #registers: ReplayRegisters;
  readonly #channels: GuestChannels;
  readonly #observer: GuestObserver;
  readonly #slots: MessageSlots;
  readonly #host: ModelHost;
  readonly rules: GuestRules;
  readonly #told: ReplayEvents | undefined;
  #step: RecordedStep | undefined;
  readonly #clock = new ReplayClock();
  readonly #random: RecordedRandom;
  #calls = 0;

  /**
   * @param memory guest RAM of {@link replayMemoryBytes}
   * @param events reads all that happens, with the time since the start in ticks
   */
  constructor(
    trace: TraceFile,
    memory: ArrayBufferLike,
    script: Script = buildScript(trace.events),
    events?: HostEventSink,
  ) {
    const { base, size } = trace.ram;
    this.memory = memory;
    this.memoryMap = [{ address: base, length: size + MEMORY_MORE, type: 'usable' }];
    this.#bytes = new Uint8Array(this.memory);
    this.#events = trace.events;
    this.#random = new RecordedRandom(trace.events);
    this.#registers = new ReplayRegisters(trace.events);
    const initial = new ReplayRegisters(trace.events);
    this.#channels = new GuestChannels(this.#bytes);
    this.#observer = new GuestObserver(this.#bytes, this.#channels);
    this.books = new HostBooks(this.#bytes, this.#channels);
    const view = new DataView(this.memory);
    this.#slots = new MessageSlots(view, this.#registers, (type, payload) => {
      this.#told?.delivered(type, payload);
      this.#registers.messageCame();
      this.books.message(type, payload);
      if (type === VMBUS_MESSAGE_TYPE) this.#channels.delivered(payload);
    });
    const now = (): number => this.now;
    const told = [this.#registers, this.#channels] as const;
    this.#told = events && new ReplayEvents(events, now, ...told);
    this.allocator = new ReplayAllocator(this.#bytes, trace.events, base + size, {
      stepBegin: () => this.#step?.begin ?? 0,
      stepEnd: () => this.#step?.end ?? 0,
      changed: () => {
        this.#observe();
        this.#host.cancelling.acted();
      },
      freed: (address, length, purpose) => this.#freed(address, length, purpose),
    });
    this.side = new GuestSide(this.allocator.places, (msr) => initial.read(msr));
    this.rules = new GuestRules({
      channels: this.#channels,
      holdsPage: (address, length) => this.#registers.holdsPage(address, length),
      violation: (text) => this.#violation(text),
    });
    this.#host = new ModelHost(script, {
      memory: this.#bytes,
      channels: this.#channels,
      overwrites: isReference(trace.driver),
      slots: this.#slots,
      purposeOf: (address) => this.allocator.places.find(address)?.purpose ?? '',
      note: (text) => this.notes.push(text),
      rules: this.rules,
      books: this.books,
    });
  }

  /** Time since the start, in ticks. */
  get now(): number {
    return this.#clock.now;
  }

  /** Index of the recorded event that begins the step. */
  get position(): number {
    return this.#step?.begin ?? 0;
  }

  /** Begin a step of the recording. What the guest does from here on belongs to it. */
  beginStep(step: RecordedStep): void {
    this.#calls = 0;
    this.#step = step;
    this.side.beginStep(step);
    this.books.beginStep(step.index);
    this.#host.beginStep(step.index);
    this.#observer.acceptPages();
  }

  /** The guest hands a frame up. */
  handedUp(frame: Uint8Array): void {
    this.#observe();
    this.#guard(() => this.#host.handedUp(frame));
    this.#observer.acceptPages();
  }

  /** End the step: take what the guest has left, and let the rest of the step happen. */
  endStep(): void {
    this.#observe();
    this.side.endStep();
    this.#host.endStep();
    this.#observer.acceptPages();
  }

  /** The guest polls one packet for ever: a harness takes it away. */
  readonly livelock = (): void => {
    this.side.emit(livelockItem('endless loop over a packet', this.position));
    this.#host.withdraw();
  };

  /** The session is over. */
  end(): void {
    this.side.end(this.#channels);
  }

  /** Blocks of memory by purpose that the host may have: in GPADLs, or named in a contact. */
  get held(): ReadonlyMap<string, number> {
    return heldBlocks(this.#channels, this.allocator.places);
  }

  /** What of the recorded host did not come out, as a note; undefined if all did. */
  unaccounted(end: number): string | undefined {
    const [first, ...others] = this.#host.missing(end);
    if (first === undefined) return undefined;
    const op = this.#events[first.index]?.op ?? 'what it wrote';
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    return `self-check: the recorded guest is not answered by event ${first.index} (${op})${more}`;
  }

  /** Whether the recorded guest drew any. */
  get drawsRandom(): boolean {
    return this.#random.isThere;
  }

  /** Whether the guest shall give up now: where the recorded one was told so. */
  readonly cancel = (): boolean => this.#host.asksToCancel();

  /** The next recorded random number. The driver's source of open IDs. */
  readonly random = (): number => this.#random.draw(this.#step ?? { begin: 0, end: 0 });

  cpuid(leaf: number, _subleaf: number): CpuidRegisters {
    return this.#guard(() => {
      this.#enter();
      this.#host.cancelling.acted();
      const registers = this.#registers.cpuid(leaf >>> 0);
      this.#told?.cpuid(leaf >>> 0, registers);
      return registers;
    });
  }

  rdmsr(msr: number): bigint {
    return this.#guard(() => {
      this.#enter();
      const isTime = msr === Msr.TIME_REF_COUNT;
      if (!isTime || this.#host.actsInReads) this.#observe();
      if (isTime) {
        this.#host.timeRead();
        return BigInt(this.#clock.time);
      }
      this.#host.cancelling.acted();
      const value = this.#registers.readByGuest(msr);
      this.#told?.rdmsr(msr, value);
      return value;
    });
  }

  wrmsr(msr: number, value: bigint): void {
    return this.#guard(() => {
      this.#enter();
      this.#observe();
      this.#told?.wrmsr(msr, value);
      if (msr === Msr.EOM) {
        if (this.#registers.refusesEndOfMessage()) throw new RegisterRefused(msr);
        this.#slots.endOfMessage();
        return;
      }
      this.#host.cancelling.acted();
      if (this.#registers.refuses(msr)) throw new RegisterRefused(msr);
      this.side.register(msr, value);
      this.#registers.write(msr, value);
      // A SINT that is unmasked takes what waits for it
      this.#slots.endOfMessage();
      this.#settle();
    });
  }

  callHypercallPage(page: number, control: bigint, input: bigint, _output: bigint): bigint {
    return this.#guard(() => {
      this.#enter();
      this.#observe();
      if (page !== this.#registers.hypercallPage) {
        this.side.emit(livelockItem('call of the unmapped hypercall page', this.position));
        return this.#stop('fault', `the page at ${hexNumber(page)} is not the hypercall page`);
      }
      const code = Number(control & HvControl.CODE_MASK);
      const fast = (control & HvControl.FAST) !== 0n;
      const parameters = fast ? fastInput(input) : slowInput(this.#bytes, code, Number(input));
      if (parameters === undefined) return BigInt(HvStatus.INVALID_ALIGNMENT);
      if (code === HvCall.POST_MESSAGE) return BigInt(this.#post(parameters));
      if (code === HvCall.SIGNAL_EVENT) return BigInt(this.#signal(parameters));
      return BigInt(HvStatus.INVALID_HYPERCALL_CODE);
    });
  }

  pause(): void {
    this.#wait((each) => this.#clock.turn(this.#host.turn(), each));
  }

  delay(ticks: number): void {
    this.#wait((each) => this.#clock.delay(ticks, each));
  }

  /** Time passes. */
  #wait(pass: (each: () => void) => boolean): void {
    return this.#guard(() => {
      this.#enter();
      this.#observe();
      const msOver = pass(() => {
        this.books.pause();
        this.#host.pause();
      });
      if (!msOver) this.#host.turnOver();
      this.#observer.acceptPages();
    });
  }

  /** What is thrown here and does not end the guest is a mistake of ours, and never the guest's. */
  #guard<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      const known = error instanceof ReplayStop || error instanceof RegisterRefused;
      if (!known) this.mistake ??= error;
      throw error;
    } finally {
      this.#look();
    }
  }

  /** Tell what has changed. What is thrown here must not take the place of what ends the guest. */
  #look(): void {
    try {
      this.#told?.look();
    } catch (error) {
      this.mistake ??= error;
    }
  }

  /** Count a call; a guest that was ended stays ended. */
  #enter(): void {
    if (this.stopped !== undefined) throw this.stopped;
    const most = this.#step?.name === 'boot' ? BOOT_CALLS_MAX : STEP_CALLS_MAX;
    if (++this.#calls > most) {
      this.side.emit(livelockItem(NO_PROGRESS, this.position));
      this.#stop('hang', `more than ${most} calls of the machine in one step`);
    }
  }

  #stop(reason: ReplayStop['reason'], message: string): never {
    this.stopped = new ReplayStop(reason, message);
    throw this.stopped;
  }

  /** Let follow what follows at once. */
  #settle(): void {
    this.#host.settle();
    this.#observer.acceptPages();
  }

  /** Look at what the guest has left in shared memory since the last look. */
  #observe(): void {
    if (this.stopped !== undefined) return;
    const { packets, monitorBits, faults } = this.#observer.look();
    for (const packet of packets) {
      this.#told?.packet(packet);
      this.side.packet(packet);
      this.#host.packetWritten(packet);
    }
    for (const bit of monitorBits) this.#host.monitored(bit);
    for (const fault of faults) this.#violation(fault);
    if (packets.length > 0) this.#settle();
  }

  #violation(text: string): void {
    this.side.emit(violationItem(violationSort(text), this.position));
  }

  #freed(address: number, length: number, purpose: string): void {
    this.rules.freed(address, length, purpose);
    this.#channels.forget(address, length);
  }

  #signal(input: Uint8Array): number {
    const view = new DataView(input.buffer, input.byteOffset);
    const connection = view.getUint32(SignalEvent.at.connectionId, true);
    const status = this.#host.signalled(connection);
    this.#told?.hypercall(HvCall.SIGNAL_EVENT, input, status);
    if (status !== 0) this.books.trouble();
    this.#settle();
    return status;
  }

  #post(input: Uint8Array): number {
    const message = input.subarray(PostMessage.at.data);
    const needless = this.#channels.isNeedless(message);
    this.books.posted(message);
    const status = this.#host.posted(message);
    if (status !== HvStatus.SUCCESS) this.books.trouble();
    this.#told?.hypercall(HvCall.POST_MESSAGE, input, status);
    this.side.message(input, { needless, refused: status !== HvStatus.SUCCESS });
    if (status === HvStatus.SUCCESS) this.#posted(message);
    this.#settle();
    return status;
  }

  /** The host has the message. */
  #posted(message: Uint8Array): void {
    const opened = this.#channels.opens(message);
    if (opened !== undefined) this.#observer.channelOpened(opened);
    if (message.length >= 4 && messageType(message) === MessageType.INITIATE_CONTACT)
      this.#observer.acceptPages();
  }
}

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
import {
  CloseChannel,
  MessageHeader,
  MessageType,
  PacketHeader,
  RingControl,
  VMBUS_MESSAGE_SINT,
  VMBUS_MESSAGE_TYPE,
} from '../../src/vmbus/protocol.ts';
import type { CpuidRegisters, MemoryRange, X64Machine } from '../../src/machine.ts';
import { Cursor } from './cursor.ts';
import { GuestChannels } from './guest-channels.ts';
import { GuestObserver } from './guest-observer.ts';
import { fromHex, hexNumber } from './hex.ts';
import { HostAnswers } from './host-answers.ts';
import type { Item, SignalCause } from './item.ts';
import { MessageSlots } from './message-slots.ts';
import {
  bitItem,
  livelockItem,
  messageItem,
  packetItems,
  registerItem,
  signalItem,
  violationItem,
  violationSort,
} from './normalise.ts';
import type { GuestPacket } from './normalise.ts';
import { RecordedHost } from './recorded-host.ts';
import type { RecordedStep } from './recording.ts';
import { ReplayAllocator } from './replay-allocator.ts';
import { ReplayRegisters } from './replay-registers.ts';
import type { TraceEvent } from './trace-events.ts';
import type { TraceFile } from './trace-file.ts';

/** Calls of the machine in one step after which a guest counts as hung. */
export const STEP_CALLS_MAX = 100_000;

/** Reference time at the start, in ticks of 100 ns: one second after power-on. */
const TIME_START = 10_000_000;

const TICKS_PER_MS = 10_000;

/** Random numbers when the recording has no more. */
const RANDOM_FALLBACK = 0x18ae0000;

/** Why the machine ended the guest. Thrown by every call from then on. */
export class ReplayStop extends Error {
  readonly reason: 'fault' | 'hang' | 'end';

  constructor(reason: 'fault' | 'hang' | 'end', message: string) {
    super(message);
    this.name = 'ReplayStop';
    this.reason = reason;
  }
}

/** Bytes of RAM that the guest of a recording needs. */
export function replayMemoryBytes({ ram }: TraceFile): number {
  return ram.base + ram.size;
}

/** A machine that answers from a recording. */
export class ReplayMachine implements X64Machine {
  readonly architecture = 'x64';
  readonly memory: ArrayBufferLike;
  readonly memoryMap: readonly MemoryRange[];
  readonly allocator: ReplayAllocator;
  /** What the replay could not repeat. */
  readonly notes: string[] = [];
  /** What the guest did in the current step. */
  items: Item[] = [];
  /** Set when the machine has ended the guest. */
  stopped: ReplayStop | undefined;

  /** Which recorded packets the guest wrote, and whether it had to signal them. */
  readonly written = new Map<number, SignalCause>();

  readonly #bytes: Uint8Array;
  readonly #events: readonly TraceEvent[];
  readonly #registers: ReplayRegisters;
  readonly #channels: GuestChannels;
  readonly #observer: GuestObserver;
  readonly #slots: MessageSlots;
  readonly #host: RecordedHost;
  readonly #cursor: Cursor;
  /** Statuses of the recorded HvSignalEvents of this step, in order. */
  #signalStatuses: number[] = [];
  readonly #answers: HostAnswers;
  /** Transmit slots that went to packets the recording does not have, by channel. */
  readonly #otherSlots = new Map<number, number>();
  /** The packet that the next signal announces. */
  #cause: SignalCause | undefined;
  #time = TIME_START;
  #randomIndex = 0;
  #calls = 0;

  /** @param memory guest RAM of {@link replayMemoryBytes} */
  constructor(trace: TraceFile, memory: ArrayBufferLike) {
    const { base, size } = trace.ram;
    this.memory = memory;
    this.memoryMap = [{ address: base, length: size, type: 'usable' }];
    this.#bytes = new Uint8Array(this.memory);
    this.#events = trace.events;
    this.#registers = new ReplayRegisters(trace.events);
    this.#channels = new GuestChannels(this.#bytes);
    this.#answers = new HostAnswers(this.#channels);
    this.#observer = new GuestObserver(this.#bytes, this.#channels);
    const view = new DataView(this.memory);
    this.#slots = new MessageSlots(view, this.#registers, (payload) =>
      this.#channels.delivered(payload),
    );
    this.#cursor = new Cursor(trace.events, (event, index, left) =>
      this.#apply(event, index, left),
    );
    this.allocator = new ReplayAllocator(this.#bytes, trace.events, {
      stepBegin: () => this.#cursor.stepBegin,
      stepEnd: () => this.#cursor.stepEnd,
      observe: () => this.#observe(),
      freed: (address, length, purpose) => this.#freed(address, length, purpose),
    });
    this.#host = new RecordedHost({
      memory: this.#bytes,
      channels: this.#channels,
      slots: this.#slots,
      guestAddress: (event) => this.allocator.guestAddress(event),
      note: (text) => this.notes.push(text),
    });
  }

  /** Index of the recorded event that the replay has reached. */
  get position(): number {
    return this.#cursor.position;
  }

  /** Begin a step of the recording. What the guest does from here on belongs to it. */
  beginStep(step: RecordedStep): void {
    this.items = [];
    this.#calls = 0;
    this.#cursor.beginStep(step);
    this.#observer.acceptPages();
    this.#signalStatuses = this.#events
      .slice(step.begin, step.end)
      .flatMap((event) =>
        event.op === 'hypercall' && Number(event.code) === HvCall.SIGNAL_EVENT
          ? [event.status]
          : [],
      );
  }

  /** End the step: take what the guest has left, and let the rest of the step happen. */
  endStep(): void {
    this.#observe();
    this.#cursor.endStep();
    this.#observer.acceptPages();
  }

  /** The next recorded random number. The driver's source of open IDs. */
  readonly random = (): number => {
    for (; this.#randomIndex < this.#cursor.stepEnd; this.#randomIndex++) {
      const event = this.#events[this.#randomIndex];
      if (event?.op !== 'random' || this.#randomIndex < this.#cursor.stepBegin) continue;
      this.#randomIndex++;
      return Number(event.value);
    }
    return RANDOM_FALLBACK;
  };

  cpuid(leaf: number, _subleaf: number): CpuidRegisters {
    this.#enter();
    return this.#registers.cpuid(leaf >>> 0);
  }

  rdmsr(msr: number): bigint {
    this.#enter();
    if (msr === Msr.TIME_REF_COUNT) return BigInt(this.#time);
    this.#observe();
    return this.#registers.read(msr);
  }

  wrmsr(msr: number, value: bigint): void {
    this.#enter();
    this.#observe();
    if (msr === Msr.EOM) {
      this.#slots.endOfMessage();
      return;
    }
    const item = registerItem(msr, value, this.allocator.places, this.position);
    this.items.push(item);
    this.#cursor.reach(item);
    this.#registers.write(msr, value);
    // A SINT that is unmasked takes what waits for it
    this.#slots.endOfMessage();
    this.#settle();
  }

  callHypercallPage(page: number, control: bigint, input: bigint, _output: bigint): bigint {
    this.#enter();
    this.#observe();
    if (page !== this.#registers.hypercallPage) {
      this.items.push(livelockItem('call of the unmapped hypercall page', this.position));
      return this.#stop('fault', `the page at ${hexNumber(page)} is not the hypercall page`);
    }
    const code = Number(control & HvControl.CODE_MASK);
    const fast = (control & HvControl.FAST) !== 0n;
    const parameters = fast ? fastInput(input) : this.#slowInput(code, Number(input));
    if (parameters === undefined) return BigInt(HvStatus.INVALID_ALIGNMENT);
    if (code === HvCall.POST_MESSAGE) return BigInt(this.#post(parameters));
    if (code === HvCall.SIGNAL_EVENT) return BigInt(this.#signal(parameters));
    return BigInt(HvStatus.INVALID_HYPERCALL_CODE);
  }

  pause(): void {
    this.#enter();
    this.#observe();
    this.#time += TICKS_PER_MS;
    this.#host.drainUnrecorded();
    this.#cursor.pause();
    for (const answer of this.#answers.take())
      this.#slots.post(VMBUS_MESSAGE_SINT, VMBUS_MESSAGE_TYPE, answer);
    this.#observer.acceptPages();
    if (this.#cursor.atEnd) this.#stop('end', 'the recording ends here');
  }

  /** Count a call; a guest that was ended stays ended. */
  #enter(): void {
    if (this.stopped !== undefined) throw this.stopped;
    if (++this.#calls > STEP_CALLS_MAX) {
      this.items.push(livelockItem('the guest makes no progress', this.position));
      this.#stop('hang', `more than ${STEP_CALLS_MAX} calls of the machine in one step`);
    }
  }

  #stop(reason: ReplayStop['reason'], message: string): never {
    this.stopped = new ReplayStop(reason, message);
    throw this.stopped;
  }

  /** A recorded event happens. */
  #apply(event: TraceEvent, index: number, left: boolean): void {
    if (left && event.op === 'ring-write') this.#host.packetLeft(fromHex(event.bytes));
    if (event.op === 'delay' && event.by === 'harness') {
      this.#time += event.ms * TICKS_PER_MS;
      this.#host.drainUnrecorded();
    }
    this.#host.apply(event, index);
  }

  /** Let follow what follows at once. */
  #settle(): void {
    this.#cursor.flow();
    this.#observer.acceptPages();
  }

  /** Look at what the guest has left in shared memory since the last look. */
  #observe(): void {
    if (this.stopped !== undefined) return;
    const { packets, interruptBits, monitorBits, faults } = this.#observer.look();
    // A signal announces the packet that found the ring empty
    const causes = packets.map((packet) => this.#packet(packet));
    if (causes.length > 0) this.#cause = causes.find(({ due }) => due) ?? causes.at(-1);
    const { position } = this;
    for (const bit of interruptBits)
      this.items.push(bitItem('interrupt bit', bit, position, this.#cause));
    for (const bit of monitorBits)
      this.items.push(bitItem('monitor bit', bit, position, this.#cause));
    for (const fault of faults) this.#violation(fault);
    if (packets.length > 0) this.#settle();
  }

  #packet(packet: GuestPacket): SignalCause {
    const { places } = this.allocator;
    const [item] = packetItems(packet, places, this.position);
    // Whether it has to be signalled is settled before the host moves on
    const { out } = this.#channels.channels.get(packet.channel)!;
    const masked = out.control.readU32(RingControl.at.interruptMask) !== 0;
    const due = out.consumer === packet.start && !masked;
    const anchor = this.#cursor.reach(item!);
    const { channel } = packet;
    const others = this.#otherSlots.get(channel) ?? 0;
    if (anchor === undefined && packet.data !== undefined)
      this.#otherSlots.set(channel, others + 1);
    // Once a slot went to another packet, the slots of later ones are not those of the recording
    const recorded = anchor?.item.transaction;
    const shown = others > 0 && packet.data !== undefined ? recorded : undefined;
    const details = shown === undefined ? packet : { ...packet, transaction: shown };
    const items = packetItems(details, places, this.position);
    this.items.push(...items);
    const event = anchor?.item.event;
    const cause = { event, packet: items[0], due };
    if (event !== undefined) this.written.set(event, cause);
    const view = new DataView(packet.bytes.buffer);
    const free = this.#host.packetWritten({
      channel,
      type: view.getUint16(PacketHeader.at.type, true),
      flags: view.getUint16(PacketHeader.at.flags, true),
      transaction: view.getBigUint64(PacketHeader.at.transactionId, true),
      recorded,
      end:
        (packet.start + packet.bytes.length) %
        this.#channels.channels.get(channel)!.out.data.length,
    });
    if (!free) this.#violation('guest reuses a transaction that is not answered');
    return cause;
  }

  #violation(text: string): void {
    this.items.push(violationItem(violationSort(text), this.position));
  }

  #freed(address: number, length: number, purpose: string): void {
    const gpadl = this.#channels.gpadlOver(address, length);
    if (gpadl !== undefined)
      this.#violation(
        `guest frees ${purpose} at ${hexNumber(address)} while GPADL ${hexNumber(gpadl.id)} ` +
          'still gives the host access to it',
      );
    this.#channels.forget(address, length);
  }

  /** Parameters of a slow hypercall in guest memory. */
  #slowInput(code: number, address: number): Uint8Array | undefined {
    if (address % 8 !== 0 || address + PostMessage.size > this.#bytes.length) return undefined;
    if (code === HvCall.SIGNAL_EVENT) return this.#bytes.slice(address, address + SignalEvent.size);
    const length = new DataView(this.memory).getUint32(address + PostMessage.at.length, true);
    const data = address + PostMessage.at.data;
    return this.#bytes.slice(address, data + Math.min(length, PostMessage.sizes.data));
  }

  #signal(input: Uint8Array): number {
    this.items.push(signalItem(input, this.position, this.#cause));
    this.#settle();
    return this.#signalStatuses.shift() ?? HvStatus.SUCCESS;
  }

  #post(input: Uint8Array): number {
    const item = messageItem(input, this.allocator.places, this.position);
    this.items.push(item);
    const repeated = this.#cursor.wasDone(item);
    const anchor = this.#cursor.reach(item);
    const recorded = anchor === undefined ? undefined : this.#events[anchor.item.event];
    const status = recorded?.op === 'hypercall' ? recorded.status : HvStatus.SUCCESS;
    if (status === HvStatus.SUCCESS) {
      const message = input.subarray(PostMessage.at.data);
      if (anchor === undefined && !repeated) this.#answers.posted(message);
      this.#posted(message);
    }
    this.#settle();
    return status;
  }

  /** The host has the message. */
  #posted(message: Uint8Array): void {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const type = message.length < MessageHeader.size ? 0 : view.getUint32(0, true);
    const named = message.length >= CloseChannel.size;
    const channel = named ? view.getUint32(CloseChannel.at.channel, true) : 0;
    if (type === MessageType.CLOSE_CHANNEL && named && !this.#channels.open.has(channel))
      this.#violation(`CLOSE_CHANNEL for channel ${channel}, which is not open`);
    this.#channels.posted(message);
    if (type === MessageType.OPEN_CHANNEL && named) {
      this.#observer.channelOpened(channel);
      this.#host.channelOpened(channel);
      this.#otherSlots.delete(channel);
    }
    if (type === MessageType.INITIATE_CONTACT) this.#observer.acceptPages();
  }
}

/** Parameters of a fast hypercall: the register itself. */
function fastInput(input: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, input, true);
  return bytes;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The hypervisor: set up and torn down, messages posted and received, events signalled. Knows
 * registers and hypercalls and nothing of VMBus (iPXE arch/x86/drivers/hyperv/hyperv.c, TLFS 11).
 */

import { HypxeError, type ErrorName } from '../error.ts';
import type { Log } from '../events.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { Purpose, Region, SharedMemory } from '../memory/shared-memory.ts';
import { TICKS_PER_MS } from '../time.ts';
import { ReferenceClock, referenceTsc } from './clock.ts';
import type { ClockSource, Platform } from './platform.ts';
import {
  Cpuid,
  GuestOsId,
  HV_ENABLE,
  HV_HYPERCALL_LOCKED,
  HV_MESSAGE_PAYLOAD_MAX,
  HV_MESSAGE_PENDING,
  HV_PAGE_REGISTER_MASK,
  HvCall,
  HvFeature,
  HvMessageType,
  HvPrivilege,
  HvStatus,
  Msr,
  PostMessage,
  SINT_COUNT,
  SignalEvent,
  Sint,
  SynicMessage,
} from './protocol.ts';

/** Attempts to post a message while the host is out of buffers or throttles. */
const POST_TRIES_MAX = 12;

/** First pause between attempts, in ms; doubled each time: 12 attempts take about two seconds. */
const POST_RETRY_MS = 1;

/** Statuses that mean "later": Linux vmbus_post_msg, mu_msvm VmbusRootSendMessage. */
const POST_RETRY_STATUS: readonly number[] = [
  HvStatus.INSUFFICIENT_MEMORY,
  HvStatus.INVALID_CONNECTION_ID,
  HvStatus.INSUFFICIENT_BUFFERS,
  HvStatus.TIME_OUT,
];

const POST_MESSAGE = BigInt(HvCall.POST_MESSAGE);
const SIGNAL_EVENT = BigInt(HvCall.SIGNAL_EVENT);

/** What the partition must be allowed: word of CPUID 0x40000003, bit, what it lacks without. */
const NEEDED: readonly (readonly ['eax' | 'ebx', number, ErrorName, string])[] = [
  ['eax', HvFeature.SYNIC, 'NoSynic', 'no SynIC registers'],
  ['ebx', HvPrivilege.POST_MESSAGES, 'NoPostMessages', 'may not post messages'],
  ['ebx', HvPrivilege.SIGNAL_EVENTS, 'NoSignalEvents', 'may not signal events'],
  ['eax', HvFeature.TIME_REF_COUNT, 'NoReferenceTime', 'no reference counter'],
];

/** What may be chosen of the hypervisor layer. */
export interface HyperVOptions {
  /** Identity of the guest; by default iPXE's. */
  readonly guestOsId?: bigint | undefined;
  /** Vector and AUTO_EOI of unmasked SINTs, asked by {@link HyperV.probe}; else the platform's. */
  readonly sint?: ((platform: Platform) => bigint) | undefined;
  /** Where the time comes from: the best that the machine offers, or the reference counter. */
  readonly clock?: 'best' | 'counter' | undefined;
  /** Whether whatever is being done shall end: asked in every turn of a wait. */
  readonly cancel?: (() => boolean) | undefined;
}

/** What somebody else does with our processor, for as long as the machine is ours. */
export interface HvPart {
  /** The machine is about to be let go, and nothing is unmapped yet. @throws HypxeError */
  unmapping(): void;
}

/** A message as it was copied out of its slot. */
export interface ReceivedMessage {
  /** SynIC message type. */
  type: number;
  /** Payload, zero beyond `length`: whoever reads beyond the end of a short message reads zeros. */
  readonly payload: Uint8Array;
  readonly view: DataView;
  length: number;
}

/** A register that gives the host a page of ours. */
interface PageRegister {
  readonly name: string;
  readonly register: number;
  readonly region: Region;
  /** What it held when it was last looked at, if nobody can have written it since. */
  seen: bigint | undefined;
  /** It may be enabled. */
  mapped: boolean;
}

export class HyperV {
  readonly platform: Platform;
  readonly clock: ReferenceClock;
  readonly pages: SharedMemory;
  readonly log: Log;
  /** Parts that want to hear of it before the machine is let go. */
  readonly parts: HvPart[] = [];
  /** Identity of the guest as the host knows it, or 0. */
  identity = 0n;
  readonly #options: HyperVOptions;
  #state: 'off' | 'running' | 'quiesced' = 'off';
  #features = 0;
  #sint = 0n;
  #source: ClockSource | undefined;
  /** All memory of ours. */
  #regions: Region[] = [];
  /** In the order in which they are mapped. */
  #registers: PageRegister[] = [];
  #messages: Region | undefined;
  #events: Region | undefined;
  #scontrol = false;
  /** Input of hypercalls: read by the host during the call only, so never in the ledger. */
  #input = 0;
  #inputAddress = 0n;
  readonly #message: ReceivedMessage;

  constructor(platform: Platform, pages: SharedMemory, log: Log, options: HyperVOptions = {}) {
    const payload = new Uint8Array(HV_MESSAGE_PAYLOAD_MAX);
    this.platform = platform;
    this.clock = new ReferenceClock(platform, options.cancel);
    this.pages = pages;
    this.log = log;
    this.#options = options;
    this.#message = { type: 0, payload, view: new DataView(payload.buffer), length: 0 };
  }

  // --- set up and tear down ---

  /**
   * Find Hyper-V and make it ready: identity, hypercall page, SynIC.
   *
   * @throws HypxeError with nothing mapped and nothing allocated; a refusal has written no register
   */
  probe(): void {
    const hypercall = this.#detect();
    try {
      this.#allocateAll(hypercall);
      this.#mapAll();
    } catch (error) {
      this.#unmapAll(true);
      this.#free();
      throw error;
    }
  }

  /** Undo {@link probe}, in reverse. Nothing if it has not succeeded. */
  remove(): void {
    if (this.isRunning) this.#unmapAll(true);
    this.#free();
    this.#state = 'off';
  }

  /**
   * Leave the machine to somebody who takes over without a proper handoff (SAN boot): mask all
   * SINTs and unmap all pages, but keep SCONTROL on: clearing it under a connection makes Windows
   * Server 2016 wait for ever (iPXE b91cc983d).
   */
  quiesce(): void {
    if (!this.isRunning) return;
    this.log.attempt('error', 'HV', '', 'while undoing', () => {
      for (let sint = 0; sint < SINT_COUNT; sint++) this.#mask(sint);
    });
    this.#unmapAll(false);
    this.#state = 'quiesced';
  }

  /**
   * Take the machine back. Returns false if there was nothing to do: not quiesced, or somebody else
   * has mapped a message page and owns the SynIC now.
   */
  unquiesce(): boolean {
    if (this.#state === 'off' || this.platform.read(Msr.SIMP) & HV_ENABLE) return false;
    try {
      this.#mapAll();
    } catch (error) {
      this.#unmapAll(false);
      this.#state = 'quiesced';
      throw error;
    }
    return true;
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  /** @returns the hypercall register as it is, where there is one */
  #detect(): bigint | undefined {
    const { platform } = this;
    const hasPage = platform.hypercallPage !== undefined;
    platform.identify();

    // Check for features and privileges: touching what is missing reboots a guest (iPXE b6889eaa1)
    const facts = platform.facts(Cpuid.HV_FEATURES);
    const seen = `(features are ${hex(facts.eax)}:${hex(facts.ebx)})`;
    if (hasPage && !(facts.eax & HvFeature.HYPERCALL)) {
      throw new HypxeError('NoHypercallRegister', `no hypercall MSR ${seen}`);
    }
    for (const [word, bit, name, text] of NEEDED) {
      if (!(facts[word] & bit)) throw new HypxeError(name, `${text} ${seen}`);
    }

    // Do not steal ownership from the Gen 2 UEFI firmware: that crashes the VM (iPXE 936657832)
    const owner = platform.read(Msr.GUEST_OS_ID);
    if (owner === GuestOsId.UEFI || owner === GuestOsId.UEFI_ARM64) {
      throw new HypxeError('OwnedByUefi', 'guest is owned by the Gen 2 UEFI firmware');
    }

    // A locked hypercall page cannot be moved: writing the register would fault
    const hypercall = hasPage ? platform.read(Msr.HYPERCALL) : undefined;
    if (hypercall !== undefined && hypercall & HV_HYPERCALL_LOCKED) {
      const text = `hypercall register is locked at ${hex(hypercall)}`;
      throw new HypxeError('HypercallPageLocked', text);
    }

    this.#features = facts.eax;
    return hypercall;
  }

  /** @throws HypxeError OutOfMemory */
  #allocateAll(hypercall: bigint | undefined): void {
    const { platform, pages, log } = this;
    const registers: PageRegister[] = [];
    if (hypercall !== undefined) {
      registers.push(this.#page('HYPERCALL', Msr.HYPERCALL, 'hypercall'));
      registers[0]!.seen = hypercall;
    }
    const simp = this.#page('SIMP', Msr.SIMP, 'simp');
    const siefp = this.#page('SIEFP', Msr.SIEFP, 'siefp');
    this.#input = this.#allocate('message-buffer', PostMessage.size, PostMessage.size).address;
    this.#inputAddress = BigInt(this.#input);
    this.#sint = this.#options.sint?.(platform) ?? platform.sint;

    // Choose a clock: the architecture's own, else the reference TSC page, else the counter
    const { counter } = platform;
    const best = this.#options.clock !== 'counter';
    this.#source = best ? platform.clock?.(log) : undefined;
    const hasTscPage = counter !== undefined && (this.#features & HvFeature.REFERENCE_TSC) !== 0;
    if (best && this.#source === undefined && hasTscPage) {
      const tsc = this.#page('REFERENCE_TSC', Msr.REFERENCE_TSC, 'reference-tsc');
      this.#source = referenceTsc(pages.memory, tsc.region.address, counter, log);
      registers.push(tsc);
    }
    this.#registers = [...registers, simp, siefp];
    this.#messages = simp.region;
    this.#events = siefp.region;
  }

  #page(name: string, register: number, purpose: Purpose): PageRegister {
    const region = this.#allocate(purpose, PAGE_SIZE);
    return { name, register, region, seen: undefined, mapped: false };
  }

  #allocate(purpose: Purpose, length: number, align?: number): Region {
    const region = this.pages.allocate(purpose, length, align);
    this.#regions.push(region);
    return region;
  }

  #free(): void {
    for (const region of this.#regions) this.pages.free(region);
    this.#regions = [];
    this.#registers = [];
  }

  // --- registers ---

  #mapAll(): void {
    const { platform, log } = this;

    // Report guest OS identity: no hypercall page without one
    this.identity = this.#options.guestOsId ?? GuestOsId.IPXE;
    platform.write(Msr.GUEST_OS_ID, this.identity);
    const vendor = platform.vendor();
    const { eax: build, ebx: version } = platform.facts(Cpuid.HV_HYPERVISOR_ID);
    const text = `version ${version >>> 16}.${version & 0xffff} build ${build}`;
    log.info('HV', '', `detected "${vendor}" ${text}`);

    // Map all pages, then switch the SynIC on
    for (const page of this.#registers) this.#map(page);
    this.clock.use(this.#source);
    log.info('HV', '', `clock: ${this.clock.sourceName}`);
    this.#scontrol = true;
    platform.write(Msr.SCONTROL, platform.read(Msr.SCONTROL) | HV_ENABLE);
    this.#state = 'running';
  }

  /**
   * Undo {@link #mapAll}, in reverse, as far as the host lets us: what it refuses to unmap stays in
   * the ledger. `scontrol`: switch the SynIC off too.
   */
  #unmapAll(scontrol: boolean): void {
    if (this.identity === 0n) return;
    const { platform, log } = this;
    const attempt = (action: () => void): boolean =>
      log.attempt('error', 'HV', '', 'while undoing', action);
    for (const part of this.parts) attempt(() => part.unmapping());
    this.#state = 'off';
    if (scontrol && this.#scontrol) {
      attempt(() => platform.write(Msr.SCONTROL, platform.read(Msr.SCONTROL) & ~HV_ENABLE));
      this.#scontrol = false;
    }

    // Whoever maps a page next may find what this one held: no event of ours must reach them
    this.pages.memory.zero(this.#events!.address, PAGE_SIZE);
    this.clock.use();
    for (const page of [...this.#registers].reverse()) {
      if (page.mapped) attempt(() => this.#unmap(page));
    }
    if (attempt(() => platform.write(Msr.GUEST_OS_ID, 0n))) this.identity = 0n;
  }

  #map(page: PageRegister): void {
    const { platform, pages } = this;
    const { register, region, seen } = page;
    pages.memory.zero(region.address, region.length);
    pages.share(region, `register ${page.name}`);

    // Keep the reserved bits as they are, as iPXE does. Each read is an exit: not twice in a row
    const kept = (seen ?? platform.read(register)) & HV_PAGE_REGISTER_MASK & ~HV_ENABLE;
    const value = kept | BigInt(region.address) | HV_ENABLE;
    page.seen = undefined;
    page.mapped = true;
    platform.write(register, value);
    if (register !== Msr.HYPERCALL) return;

    // Without this one there is no call: see that it is where it should be
    const now = platform.read(register);
    if (now !== value) {
      const text = `hypercall register: wrote ${hex(value)}, read ${hex(now)}`;
      throw new HypxeError('HypercallPageRefused', text);
    }
    platform.hypercallPage = region.address;
  }

  #unmap(page: PageRegister): void {
    const { platform } = this;
    const { register } = page;
    platform.write(register, platform.read(register) & HV_PAGE_REGISTER_MASK & ~HV_ENABLE);
    page.mapped = false;
    this.pages.revoke(page.region, `register ${page.name}`);
    if (register === Msr.HYPERCALL) platform.hypercallPage = 0;
  }

  // --- SINTs ---

  /**
   * Unmask a SINT. It must really be unmasked: hosts deliver no message for a masked one, whatever
   * the documents say (iPXE hv_enable_sint).
   */
  enableSint(sint: number): void {
    const old = this.platform.read(Msr.SINT0 + sint);
    const kept = old & ~(Sint.MASKED | Sint.AUTO_EOI | Sint.VECTOR_MASK);
    this.platform.write(Msr.SINT0 + sint, kept | this.#sint);
  }

  /** Mask a SINT, if the host lets us: what it refuses is logged, like all that is undone. */
  disableSint(sint: number): void {
    if (this.isRunning)
      this.log.attempt('error', 'HV', '', 'while undoing', () => this.#mask(sint));
  }

  /** Nothing if it is masked. */
  #mask(sint: number): void {
    const old = this.platform.read(Msr.SINT0 + sint);
    if (old & Sint.MASKED) return;
    this.platform.write(Msr.SINT0 + sint, (old & ~Sint.AUTO_EOI) | Sint.MASKED);
  }

  // --- messages and events ---

  /**
   * Post a message to the host, again while the host is out of buffers.
   *
   * @param connectionId message port of the host
   * @param type SynIC message type
   * @param payload at most 240 bytes
   * @param retry whether INVALID_CONNECTION_ID is throttling (true) or means that there is no such
   * port (false)
   * @throws HypxeError PostFailed or PostThrottled with the hypercall's status, or Quiesced
   */
  postMessage(
    connectionId: number,
    type: number,
    payload: Uint8Array,
    length: number,
    retry = true,
  ): void {
    if (!this.isRunning) {
      throw new HypxeError('Quiesced', `hypervisor interface is ${this.#state}`);
    }
    this.clock.checkCancelled();
    const { memory } = this.pages;
    const input = this.#input;

    for (let attempt = 1, waitMs = POST_RETRY_MS; ; attempt++, waitMs *= 2) {
      // Construct message, afresh each time: events use the same buffer
      memory.zero(input, PostMessage.size);
      memory.set32(input + PostMessage.at.connectionId, connectionId);
      memory.set32(input + PostMessage.at.type, type);
      memory.set32(input + PostMessage.at.length, length);
      for (let i = 0; i < length; i++) memory.set8(input + PostMessage.at.data + i, payload[i]!);

      // Post message
      const status = this.platform.call(POST_MESSAGE, this.#inputAddress);
      if (status === HvStatus.SUCCESS) return;

      // Give up, or try again a little later
      const text = `posting to connection ${connectionId} failed with status ${hex(status)}`;
      const again = POST_RETRY_STATUS.includes(status);
      if (!again || (status === HvStatus.INVALID_CONNECTION_ID && !retry)) {
        throw new HypxeError('PostFailed', text, status);
      }
      if (attempt === POST_TRIES_MAX) {
        throw new HypxeError('PostThrottled', `${text} ${attempt} times`, status);
      }
      if (attempt === 1) this.log.info('HV', '', `${text}: trying again`);
      this.delay(waitMs);
    }
  }

  /**
   * Take a message of a SINT if there is one. The result is valid until the next call.
   *
   * The slot is copied once, then released: type 0 by compare-and-exchange, since the host may have
   * refilled a slot that somebody else has emptied; only then the pending flag is read, since the
   * host may set it until it sees the slot empty (TLFS 11.9, Linux vmbus_signal_eom).
   *
   * @param page message page to look into: ours, or another processor's; only our own processor can
   * be told to send the next one
   */
  receiveMessage(sint: number, page = this.messagePage): ReceivedMessage | undefined {
    if (!this.isRunning) return undefined;
    const { memory } = this.pages;
    const slot = page + sint * SynicMessage.size;
    const word = memory.words[slot / 4]!;
    if (word === HvMessageType.NONE) return undefined;

    // Copy message; a length beyond the slot is cut (iPXE trusts it: its defect 5)
    const message = this.#message;
    const length = Math.min(memory.u8(slot + SynicMessage.at.length), HV_MESSAGE_PAYLOAD_MAX);
    const data = slot + SynicMessage.at.data;
    message.type = memory.u32(slot + SynicMessage.at.type);
    message.length = length;
    for (let i = 0; i < length; i++) message.payload[i] = memory.u8(data + i);
    message.payload.fill(0, length);

    // Release slot, unless it holds another message already; ask for the next one if one waits
    Atomics.compareExchange(memory.words, slot / 4, word, HvMessageType.NONE);
    if (memory.u8(slot + SynicMessage.at.flags) & HV_MESSAGE_PENDING) {
      this.platform.write(Msr.EOM, 0n);
    }
    return message;
  }

  /** Guest physical addresses of message page and event page; only after {@link probe}. */
  get messagePage(): number {
    return this.#messages!.address;
  }

  get eventPage(): number {
    return this.#events!.address;
  }

  /** Signal an event. Returns the hypercall's status; Quiesced is INVALID_CONNECTION_ID. */
  signalEvent(connectionId: number): number {
    if (!this.isRunning) return HvStatus.INVALID_CONNECTION_ID;
    const { memory } = this.pages;
    memory.set32(this.#input + SignalEvent.at.connectionId, connectionId);
    memory.set32(this.#input + SignalEvent.at.flag, 0);
    return this.platform.call(SIGNAL_EVENT, this.#inputAddress);
  }

  /** Let time pass. */
  delay(ms: number): void {
    const end = this.clock.now() + ms * TICKS_PER_MS;
    do this.clock.pause();
    while (this.clock.now() < end);
  }
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

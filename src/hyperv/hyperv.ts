// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The hypervisor: set up and torn down, messages posted and received, events signalled. Knows
 * registers and hypercalls and nothing of VMBus (iPXE arch/x86/drivers/hyperv/hyperv.c, TLFS 11).
 */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { Purpose, Region, SharedMemory } from '../memory/shared-memory.ts';
import { waitFor } from '../time.ts';
import { hex } from '../wire.ts';
import { ReferenceClock } from './clock.ts';
import { detect, type Detected } from './detect.ts';
import type { HvPart, HyperVOptions } from './hyperv-options.ts';
import { newMessage, takeMessage, type ReceivedMessage } from './message.ts';
import { PAGE_RESERVED, SINT_RESERVED, resetRegister, takeOver } from './owner.ts';
import type { Platform } from './platform.ts';
import {
  Cpuid,
  GuestOsId,
  HV_ENABLE,
  HvCall,
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

/** Looks for a message between two ends of the one before, if one is not enough. */
const EOM_LOOKS = 64;

/** Statuses that mean "later": Linux vmbus_post_msg, mu_msvm VmbusRootSendMessage. */
const POST_RETRY_STATUS: readonly number[] = [
  HvStatus.INSUFFICIENT_MEMORY,
  HvStatus.INVALID_CONNECTION_ID,
  HvStatus.INSUFFICIENT_BUFFERS,
  HvStatus.TIME_OUT,
];

const POST_MESSAGE = BigInt(HvCall.POST_MESSAGE);
const SIGNAL_EVENT = BigInt(HvCall.SIGNAL_EVENT);

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
  /** SCONTROL as it was found: whoever comes next may rely on it. */
  #scontrol = 0n;
  /** Looks since the host has refused an end of message, or 0: it is tried again now and then. */
  eomDue = 0;
  /** Guest physical addresses of message page and event page, after {@link probe}. */
  messagePage = 0;
  eventPage = 0;
  readonly #options: HyperVOptions;
  #running = false;
  #sint = 0n;
  /** All memory of ours. */
  #regions: Region[] = [];
  /** In the order in which they are mapped. */
  #registers: PageRegister[] = [];
  /** Input of hypercalls: read by the host during the call only, so never in the ledger. */
  #input = 0;
  #inputAddress = 0n;
  readonly #message = newMessage();
  /** Looks since a flag was first seen in an empty slot. */
  #leftFlag = 0;

  constructor(platform: Platform, pages: SharedMemory, log: Log, options: HyperVOptions = {}) {
    this.platform = platform;
    this.clock = new ReferenceClock(platform, options.cancel);
    this.pages = pages;
    this.log = log;
    this.#options = options;
  }

  // --- set up and tear down ---

  /**
   * Find Hyper-V and make it ready: identity, hypercall page, SynIC.
   *
   * @throws HypxeError with nothing mapped and nothing allocated; a refusal has written no register
   */
  probe(): void {
    const detected = detect(this.platform);
    try {
      this.#scontrol = this.platform.read(Msr.SCONTROL);
      takeOver(this.platform, detected, this.log);
      this.#allocateAll(detected);
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
  }

  /**
   * Leave the machine to somebody who takes over without a proper handoff (SAN boot): mask all
   * SINTs and unmap all pages, but keep SCONTROL on: clearing it under a connection makes Windows
   * Server 2016 wait for ever (iPXE b91cc983d).
   */
  quiesce(): void {
    if (!this.isRunning) return;
    for (let sint = 0; sint < SINT_COUNT; sint++) this.disableSint(sint);
    this.#unmapAll(false);
  }

  /**
   * Take the machine back. Returns false if there was nothing to do: not quiesced, or somebody else
   * has mapped a message page and owns the SynIC now.
   *
   * @throws HypxeError as {@link probe}, quiesced
   */
  unquiesce(): boolean {
    const { platform } = this;
    if (this.#registers.length === 0 || platform.read(Msr.SIMP) & HV_ENABLE) return false;
    // Whoever had it in between may have left it as any earlier owner
    takeOver(platform, detect(platform), this.log);
    try {
      this.#mapAll();
    } catch (error) {
      this.#unmapAll(false);
      throw error;
    }
    return true;
  }

  get isRunning(): boolean {
    return this.#running;
  }

  /** @throws HypxeError OutOfMemory */
  #allocateAll({ hypercall }: Detected): void {
    const { platform } = this;
    if (hypercall !== undefined)
      this.#page('register HYPERCALL', Msr.HYPERCALL, 'hypercall', hypercall);
    this.messagePage = this.#page('register SIMP', Msr.SIMP, 'simp');
    this.eventPage = this.#page('register SIEFP', Msr.SIEFP, 'siefp');
    this.#input = this.#allocate('message-buffer', PostMessage.size, PostMessage.size).address;
    this.#inputAddress = BigInt(this.#input);
    this.#sint = this.#options.sint?.(platform) ?? platform.sint;
  }

  #page(name: string, register: number, purpose: Purpose, seen?: bigint): number {
    const region = this.#allocate(purpose, PAGE_SIZE);
    this.#registers.push({ name, register, region, seen, mapped: false });
    return region.address;
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

  #mapAll(): void {
    const { platform, log } = this;

    // Report guest OS identity: no hypercall page without one
    this.identity = this.#options.guestOsId ?? GuestOsId.IPXE;
    platform.write(Msr.GUEST_OS_ID, this.identity);
    const vendor = platform.vendor();
    const { eax: build, ebx: version } = platform.facts(Cpuid.HV_HYPERVISOR_ID);
    const text = `version ${version >>> 16}.${version & 0xffff} build ${build}`;
    log.info('HV', '', `detected "${vendor}" ${text}`);

    // Map all pages, then switch the SynIC on. The clock is there before it
    for (const page of this.#registers) this.#map(page);
    this.clock.use(platform.clock?.(log));
    for (const part of this.parts) part.mapped?.();
    log.info('HV', '', `clock: ${this.clock.source.name}`);
    platform.write(Msr.SCONTROL, platform.read(Msr.SCONTROL) | HV_ENABLE);
    this.#running = true;
  }

  /**
   * Undo {@link #mapAll}, in reverse, as far as the host lets us: what it refuses to unmap stays in
   * the ledger. `scontrol`: the SynIC too is as it was found. On Windows hosts that is on, and
   * Microsoft's firmware and the Windows loader never write it (mu_msvm EfiHvSynic.c).
   */
  #unmapAll(scontrol: boolean): void {
    const { platform } = this;
    const registers = this.#registers;
    for (const part of this.parts) this.#attempt(() => part.unmapping?.());
    this.#running = false;
    if (scontrol && registers.at(-1)?.mapped && !(this.#scontrol & HV_ENABLE)) {
      this.#attempt(() => platform.write(Msr.SCONTROL, this.#scontrol));
    }

    this.clock.use();
    for (const page of [...registers].reverse()) {
      if (page.mapped) this.#attempt(() => this.#unmap(page));
    }
    this.#attempt(() => {
      platform.write(Msr.GUEST_OS_ID, 0n);
      this.identity = 0n;
    });
  }

  #attempt(action: () => void): void {
    this.log.attempt('error', 'HV', '', 'while undoing', action);
  }

  #map(page: PageRegister): void {
    const { platform, pages } = this;
    const { register, region, seen } = page;
    pages.share(region, page.name);

    // Keep the reserved bits as they are, as iPXE does. Each read is an exit: not twice in a row
    const kept = (seen ?? platform.read(register)) & PAGE_RESERVED;
    const value = kept | BigInt(region.address) | HV_ENABLE;
    page.seen = undefined;
    page.mapped = true;
    platform.write(register, value);
    if (register === Msr.HYPERCALL) platform.useHypercallPage!(region.address, value);
    // What is in a page when it is mapped is somebody else's
    else pages.memory.zero(region.address, PAGE_SIZE);
  }

  #unmap(page: PageRegister): void {
    const { platform } = this;
    const { register, region } = page;
    // Whoever maps a page next may find what this one held: no event of ours must reach them
    if (register !== Msr.HYPERCALL) this.pages.memory.zero(region.address, PAGE_SIZE);
    resetRegister(platform, register, PAGE_RESERVED, 0n);
    page.mapped = false;
    this.pages.revoke(region, page.name);
    if (register === Msr.HYPERCALL) platform.useHypercallPage!(0);
  }

  /**
   * Unmask a SINT. It must really be unmasked: hosts deliver no message for a masked one, whatever
   * the documents say (iPXE hv_enable_sint).
   */
  enableSint(sint: number): void {
    const old = this.platform.read(Msr.SINT0 + sint);
    this.platform.write(Msr.SINT0 + sint, (old & SINT_RESERVED) | this.#sint);
    // A message may wait whose slot somebody has emptied without a word
    this.#endOfMessage();
  }

  /** Mask a SINT, if the host lets us: what it refuses is logged, like all that is undone. */
  disableSint(sint: number): void {
    if (!this.isRunning) return;
    const register = Msr.SINT0 + sint;
    this.#attempt(() => resetRegister(this.platform, register, SINT_RESERVED, Sint.MASKED));
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
      throw new HypxeError('Quiesced', 'the SynIC is off');
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
      memory.bytes.set(payload.subarray(0, length), input + PostMessage.at.data);

      // Post message
      const status = this.platform.call(POST_MESSAGE, this.#inputAddress);
      if (status === HvStatus.SUCCESS) return;

      // Give up, or try again a little later
      const text = `posting to ${connectionId}: status ${hex(status)}`;
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
   * @param page message page to look into: ours, or another processor's; only our own processor can
   * be told to send the next one
   */
  receiveMessage(sint: number, page = this.messagePage): ReceivedMessage | undefined {
    if (!this.isRunning) return undefined;
    if (this.eomDue > 0 && this.eomDue++ % EOM_LOOKS === 0) this.#endOfMessage();
    const slot = page + sint * SynicMessage.size;
    const message = this.#message;
    const taken = takeMessage(this.pages.memory, slot, message);

    // A flag in an empty slot was left by somebody else, and stays: it is heeded now and then
    if (message.pending && (taken || this.#leftFlag++ % EOM_LOOKS === 0)) this.#endOfMessage();
    if (taken || !message.pending) this.#leftFlag = 0;
    return taken ? message : undefined;
  }

  /** Ask for the next message. What the host refuses now is repeated, not lost. */
  #endOfMessage(): void {
    const level = this.eomDue > 0 ? 'debug' : 'warning';
    const error = this.log.attempt(level, 'HV', '', 'end of message', () =>
      this.platform.write(Msr.EOM, 0n),
    );
    this.eomDue = error ? this.eomDue || 1 : 0;
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
    waitFor(this.clock, ms, () => false);
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The hypervisor: set up and torn down, messages posted and received, events signalled. Knows
 * registers and hypercalls and nothing of VMBus (iPXE arch/x86/drivers/hyperv/hyperv.c).
 */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import type { Machine } from '../machine.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import { TICKS_PER_MS } from '../time.ts';
import { ReferenceClock } from './clock.ts';
import { bestSource } from './clock-source.ts';
import { reportCrash } from './crash-report.ts';
import { createPlatform } from './create-platform.ts';
import type { HyperVOptions } from './hyperv-options.ts';
import type { Platform } from './platform.ts';
import {
  GuestOsId,
  HvCall,
  HvRecommendation,
  HvStatus,
  PostMessage,
  SINT_COUNT,
  SignalEvent,
} from './protocol.ts';
import { SyntheticTimers } from './synthetic-timer.ts';
import { Synic, type ReceivedMessage } from './synic.ts';

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

const CONTROL_POST_MESSAGE = BigInt(HvCall.POST_MESSAGE);
const CONTROL_SIGNAL_EVENT = BigInt(HvCall.SIGNAL_EVENT);

export type { HyperVOptions } from './hyperv-options.ts';

export class HyperV {
  readonly clock: ReferenceClock;
  readonly pages: SharedMemory;
  readonly log: Log;
  /** The synthetic timers of our processor; all are stopped when we let go of the machine. */
  readonly timers: SyntheticTimers;
  readonly #platform: Platform;
  readonly #guestOsId: bigint;
  readonly #options: HyperVOptions;
  /** SINTs that drivers have claimed, each with the message port of its driver, or 0. */
  readonly #sints = new Map<number, number>();
  #state: 'off' | 'running' | 'quiesced' = 'off';
  /** GUEST_OS_ID is ours; the SynIC's registers may be. */
  #identified = false;
  #synicTouched = false;
  #hypercallPage: Region | undefined;
  #messagePage: Region | undefined;
  #eventPage: Region | undefined;
  /** Input of hypercalls: read by the host during the call only, so never in the ledger. */
  #input: Region | undefined;
  #inputAddress = 0n;
  #synic: Synic | undefined;

  /** @throws HypxeError ArchitectureUnsupported */
  constructor(machine: Machine, pages: SharedMemory, log: Log, options: HyperVOptions = {}) {
    this.#platform = createPlatform(machine);
    this.timers = new SyntheticTimers(this.#platform);
    this.clock = new ReferenceClock(machine, this.#platform, options.cancel);
    this.pages = pages;
    this.log = log;
    this.#guestOsId = options.guestOsId ?? GuestOsId.IPXE;
    this.#options = options;
  }

  // --- set up and tear down ---

  /**
   * Find Hyper-V and make it ready: identity, hypercall page, SynIC.
   *
   * @throws HypxeError with nothing mapped and nothing allocated; a refusal has written no register
   */
  probe(): void {
    this.#platform.detect();
    try {
      if (this.#platform.hasHypercallPage) {
        this.#hypercallPage = this.pages.allocate('hypercall', 4096);
      }
      this.#messagePage = this.pages.allocate('simp', 4096);
      this.#eventPage = this.pages.allocate('siefp', 4096);
      this.#input = this.pages.allocate('message-buffer', PostMessage.size, PostMessage.size);
      this.#inputAddress = BigInt(this.#input.address);
      const { pages } = this;
      this.#synic = new Synic(this.#platform, pages, this.#messagePage, this.#eventPage, {
        vector: this.#options.sintVector ?? this.#platform.sintPolicy.vector,
        autoEoi: this.#usesAutoEoi(),
      });
      this.#mapAll();
    } catch (error) {
      this.#unmapAll(true);
      this.#free();
      throw error;
    }
    this.#state = 'running';
  }

  /** Undo {@link probe}, in reverse. Nothing if it has not succeeded. */
  remove(): void {
    if (this.#state === 'off') return;
    if (this.#state === 'running') this.#unmapAll(true);
    this.#free();
    this.#sints.clear();
    this.#state = 'off';
  }

  /**
   * Leave the machine to somebody who takes over without a proper handoff (SAN boot): mask all
   * SINTs and unmap all pages, but keep SCONTROL on (iPXE b91cc983d).
   */
  quiesce(): void {
    if (this.#state !== 'running') return;
    this.#attempt(() => this.#synic!.disableAllSints());
    this.#unmapAll(false);
    this.#state = 'quiesced';
  }

  /**
   * Take the machine back. Returns false if there was nothing to do: not quiesced, or somebody else
   * has mapped a message page and owns the SynIC now.
   */
  unquiesce(): boolean {
    if (this.#state === 'off') return false;
    if (this.#synic!.isMapped) return false;
    try {
      this.#mapAll();
    } catch (error) {
      this.#unmapAll(false);
      throw error;
    }
    this.#state = 'running';
    return true;
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  #mapAll(): void {
    this.#mapHypercall();
    this.#mapClock();
    this.#synicTouched = true;
    this.#synic!.map();
  }

  /**
   * Undo {@link #mapAll}, in reverse, as far as the host lets us: what it refuses to unmap stays in
   * the ledger. `scontrol`: switch the SynIC off too.
   */
  #unmapAll(scontrol: boolean): void {
    if (!this.#identified) return;
    const synic = this.#synic!;
    this.#attempt(() => this.timers.stopAll());
    if (this.#synicTouched) this.#attempt(() => (scontrol ? synic.unmap() : synic.unmapPages()));
    this.#synicTouched = false;
    this.#attempt(() => this.clock.release());
    this.#attempt(() => this.#unmapHypercall());
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof HypxeError)) throw error;
      this.log.error('HV', '', error.message);
    }
  }

  #mapHypercall(): void {
    // Report guest OS identity: no hypercall page without one
    this.#identified = true;
    this.#platform.write('GUEST_OS_ID', this.#guestOsId);
    const { vendor, major, minor, build } = this.#platform.identify();
    this.log.info('HV', '', `detected "${vendor}" version ${major}.${minor} build ${build}`);

    // Map hypercall page, where there is one
    const page = this.#hypercallPage;
    if (page === undefined) return;
    this.pages.share(page, 'register HYPERCALL');
    this.#platform.mapHypercallPage(page.address);
  }

  #unmapHypercall(): void {
    if (this.#hypercallPage !== undefined) {
      this.#platform.unmapHypercallPage();
      this.pages.revoke(this.#hypercallPage, 'register HYPERCALL');
    }
    this.#platform.write('GUEST_OS_ID', 0n);
    this.#identified = false;
  }

  #mapClock(): void {
    if (this.#options.clock !== 'counter') {
      this.clock.use(bestSource(this.#platform, this.pages, this.log));
    }
    this.log.info('HV', '', `clock: ${this.clock.sourceName}`);
  }

  #free(): void {
    for (const region of [this.#input, this.#hypercallPage, this.#messagePage, this.#eventPage]) {
      if (region !== undefined) this.pages.free(region);
    }
    this.#input = this.#hypercallPage = this.#messagePage = this.#eventPage = undefined;
    this.#synic = undefined;
  }

  #usesAutoEoi(): boolean {
    if (!this.#platform.sintPolicy.autoEoi) return false;
    if (this.#options.autoEoi !== 'as-recommended') return true;
    return (this.#platform.recommendations() & HvRecommendation.DEPRECATE_AUTO_EOI) === 0;
  }

  // --- SINTs ---

  /**
   * Take a SINT for a driver, and unmask it.
   *
   * @param exclusive whether it must be masked before: for a SINT that somebody else in the guest
   * may use, a timer or a driver of its own. VMBus's own is taken over from whoever had it
   * @throws HypxeError BadSint, SintInUse
   */
  claimSint(sint: number, exclusive: boolean): void {
    // SINT 0 is the hypervisor's
    if (!Number.isInteger(sint) || sint < 1 || sint >= SINT_COUNT) {
      throw new HypxeError('BadSint', `there is no SINT ${sint} for a driver`);
    }
    if (this.#sints.has(sint) || (exclusive && this.#synic!.isUnmasked(sint))) {
      throw new HypxeError('SintInUse', `SINT ${sint} is in use`);
    }
    this.#sints.set(sint, 0);
    this.enableSint(sint);
  }

  /** Give a SINT back: masked, its slot empty. */
  releaseSint(sint: number): void {
    this.disableSint(sint);
    this.#sints.delete(sint);
  }

  /** The driver of a SINT posts to this message port of the host from now on; 0 for none. */
  usePort(sint: number, port: number): void {
    if (this.#sints.has(sint)) this.#sints.set(sint, port);
  }

  /** Whether the driver of another SINT posts to a message port: no host tells them apart then. */
  isPortOfOther(sint: number, port: number): boolean {
    for (const [other, theirs] of this.#sints) {
      if (other !== sint && theirs === port) return true;
    }
    return false;
  }

  // --- messages and events ---

  enableSint(sint: number): void {
    this.#synic!.enableSint(sint);
  }

  /** Mask a SINT, if the host lets us: what it refuses is logged, like all that is undone. */
  disableSint(sint: number): void {
    if (this.#state !== 'running') return;
    this.#attempt(() => this.#synic!.disableSint(sint));
  }

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
    this.#requireRunning();
    this.clock.checkCancelled();
    const { memory } = this.pages;
    const input = this.#input!.address;

    for (let attempt = 1, waitMs = POST_RETRY_MS; ; attempt++, waitMs *= 2) {
      // Construct message, afresh each time: events use the same buffer
      memory.zero(input, PostMessage.size);
      memory.set32(input + PostMessage.at.connectionId, connectionId);
      memory.set32(input + PostMessage.at.type, type);
      memory.set32(input + PostMessage.at.length, length);
      for (let i = 0; i < length; i++) memory.set8(input + PostMessage.at.data + i, payload[i]!);

      // Post message
      const status = this.#platform.call(CONTROL_POST_MESSAGE, this.#inputAddress);
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

  /** Take a message of a SINT if there is one. The result is valid until the next call. */
  receiveMessage(sint: number): ReceivedMessage | undefined {
    if (this.#state !== 'running') return undefined;
    return this.#synic!.take(sint) ? this.#synic!.message : undefined;
  }

  /**
   * Take a message of a SINT out of the message page of any processor, if there is one (Linux
   * vmbus_wait_for_unload). Only our own processor can be told to send the next one.
   *
   * @param page guest physical address of a message page
   */
  receiveMessageFrom(page: number, sint: number): ReceivedMessage | undefined {
    if (this.#state !== 'running') return undefined;
    return this.#synic!.take(sint, page) ? this.#synic!.message : undefined;
  }

  /**
   * Take the event flags of a SINT: they are cleared, then listed.
   *
   * @param into filled with the numbers of the flags that were set, in order, as far as it reaches;
   * flags that it has no room for stay set
   * @returns how many
   */
  takeEventFlags(sint: number, into: Uint16Array): number {
    return this.#state === 'running' ? this.#synic!.takeFlags(sint, into) : 0;
  }

  /** Signal an event. Returns the hypercall's status; Quiesced is INVALID_CONNECTION_ID. */
  signalEvent(connectionId: number): number {
    if (this.#state !== 'running') return HvStatus.INVALID_CONNECTION_ID;
    const { memory } = this.pages;
    const input = this.#input!.address;
    memory.set32(input + SignalEvent.at.connectionId, connectionId);
    memory.set32(input + SignalEvent.at.flag, 0);
    return this.#platform.call(CONTROL_SIGNAL_EVENT, this.#inputAddress);
  }

  /** Let time pass. */
  delay(ms: number): void {
    const end = this.clock.now() + ms * TICKS_PER_MS;
    do this.clock.pause();
    while (this.clock.now() < end);
  }

  /**
   * Tell the host that the firmware itself has failed. Never throws: whoever calls has an error
   * that matters more.
   *
   * @returns whether the host was told
   */
  reportCrash(error: unknown): boolean {
    if (!this.#identified) return false;
    try {
      return reportCrash(this.#platform, this.pages, this.#guestOsId, String(error));
    } catch {
      return false;
    }
  }

  #requireRunning(): void {
    if (this.#state === 'running') return;
    throw new HypxeError('Quiesced', `hypervisor interface is ${this.#state}`);
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

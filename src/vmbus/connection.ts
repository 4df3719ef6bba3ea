// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The connection to the host's VMBus server: the pages that belong to it, posting control messages
 * and waiting for answers. Messages that nobody waits for (late offers, rescinds, late answers) go
 * to {@link UnsolicitedHandler}, whenever they come.
 */

import { HypxeError } from '../error.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import {
  HV_MESSAGE_PAYLOAD_MAX,
  HvStatus,
  MonitorPage,
  MonitorTrigger,
} from '../hyperv/protocol.ts';
import type { Region } from '../memory/shared-memory.ts';
import { TICKS_PER_MS } from '../time.ts';
import { VmbusError } from './errors.ts';
import {
  InitiateContact,
  InterruptPage,
  MessageHeader,
  MessageType,
  TargetInfo,
  VERSION_RESPONSE_MIN,
  VMBUS_EVENT_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID_4,
  VMBUS_MESSAGE_SINT,
  VMBUS_MESSAGE_TYPE,
  VersionResponse,
  VmbusVersion,
  ConnectionState,
  versionText,
} from './protocol.ts';

/** How long the host may take to answer a control message, in ms (iPXE: 1000 polls of 1 ms). */
export const MESSAGE_TIMEOUT_MS = 1000;

/** Messages that may come while one is awaited. iPXE restarts its timeout for each: no bound. */
const MESSAGES_PER_WAIT_MAX = 4096;

/** Messages handled in one poll outside of a wait. */
const MESSAGES_PER_POLL_MAX = 64;

/** Messages drained from the slot when the connection is given up. */
const MESSAGES_DRAINED_MAX = 256;

/** A control message of the host: a copy, zero beyond its length. Valid until the next one. */
export interface ControlMessage {
  readonly type: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Length with the header, in bytes. */
  readonly length: number;
}

/** Takes the messages that nobody waits for. */
export interface UnsolicitedHandler {
  unsolicited(message: ControlMessage): void;
}

/** What an awaited message must satisfy besides its type; see {@link VmbusConnection.wait}. */
export type MessageMatch = (message: ControlMessage) => boolean;

export class VmbusConnection {
  readonly hv: HyperV;
  /** Negotiated version, or 0 while not connected. */
  version = 0;
  /** Takes what nobody waits for. Set by the bus. */
  handler: UnsolicitedHandler | undefined;
  /** Whether the host may believe that we are connected: an INITIATE_CONTACT is out. */
  #contacted = false;
  #messageConnectionId = VMBUS_MESSAGE_CONNECTION_ID;
  #interrupts: Region | undefined;
  #monitorIn: Region | undefined;
  #monitorOut: Region | undefined;
  readonly #buffer = new Uint8Array(HV_MESSAGE_PAYLOAD_MAX);
  readonly #view = new DataView(this.#buffer.buffer);

  readonly #unloadTimeoutMs: number;

  /** `unloadTimeoutMs`: how long the host may take to let go; it may have caches to write first. */
  constructor(hv: HyperV, unloadTimeoutMs = MESSAGE_TIMEOUT_MS) {
    this.hv = hv;
    this.#unloadTimeoutMs = unloadTimeoutMs;
  }

  // --- set up and tear down ---

  /** Allocate the connection's pages, and let messages come. @throws HypxeError OutOfMemory */
  setUp(): void {
    const { pages } = this.hv;
    try {
      this.#interrupts = pages.allocate('interrupt-page', InterruptPage.size);
      this.#monitorIn = pages.allocate('monitor-in', MonitorPage.size);
      this.#monitorOut = pages.allocate('monitor-out', MonitorPage.size);
    } catch (error) {
      this.#freePages();
      throw error;
    }
    this.hv.enableSint(VMBUS_MESSAGE_SINT);
  }

  /** Undo {@link setUp}. Pages that the host still has stay reserved. */
  tearDown(): void {
    this.#drain();
    this.hv.disableSint(VMBUS_MESSAGE_SINT);
    this.#freePages();
  }

  /** Start again on the same pages, after somebody else has had the connection. */
  reset(): void {
    const { memory } = this.hv.pages;
    for (const page of this.#pagesOfConnection()) memory.zero(page.address, page.length);
    this.version = 0;
    this.#contacted = false;
    this.hv.enableSint(VMBUS_MESSAGE_SINT);
  }

  /**
   * Contact the host with one version.
   *
   * @returns false if the host does not support it
   * @throws HypxeError NoResponse, ContactFailed, PostFailed (INVALID_CONNECTION_ID from 5.0 on
   * means an older host)
   */
  initiateContact(version: number): boolean {
    // Construct message
    const multiClient = version >= VmbusVersion.V5_0;
    this.#messageConnectionId = multiClient
      ? VMBUS_MESSAGE_CONNECTION_ID_4
      : VMBUS_MESSAGE_CONNECTION_ID;
    const message = this.begin(MessageType.INITIATE_CONTACT, InitiateContact.size);
    message.setUint32(InitiateContact.at.version, version, true);
    if (multiClient) {
      const target = InitiateContact.at.interruptPage;
      message.setUint8(target + TargetInfo.at.sint, VMBUS_MESSAGE_SINT);
    } else {
      this.#setAddress(InitiateContact.at.interruptPage, this.#interrupts!);
    }
    this.#setAddress(InitiateContact.at.monitorIn, this.#monitorIn!);
    this.#setAddress(InitiateContact.at.monitorOut, this.#monitorOut!);

    // Post message. From here on the host may write to the pages
    const text = versionText(version);
    for (const page of this.#pagesOfConnection()) {
      const told = page !== this.#interrupts || !multiClient;
      if (told) this.hv.pages.share(page, `INITIATE_CONTACT ${text}`);
    }
    try {
      this.post(InitiateContact.size, !multiClient);
    } catch (error) {
      if (!this.#contacted) this.#revokePages('a contact that was never posted');
      throw error;
    }
    this.#contacted = true;

    // Wait for response. QEMU's has no version; another version is an answer to something older
    const response = this.wait(MessageType.VERSION_RESPONSE, VERSION_RESPONSE_MIN, (reply) => {
      const echoed = reply.view.getUint32(VersionResponse.at.version, true);
      const supported = reply.bytes[VersionResponse.at.supported] !== 0;
      return multiClient || !supported || echoed === 0 || echoed === version;
    });

    // Check response
    if (response.bytes[VersionResponse.at.supported] === 0) {
      this.#contacted = false;
      this.#revokePages(`VERSION_RESPONSE: ${text} not supported`);
      this.hv.log.info('VMBUS', '', `host does not support version ${text}`);
      return false;
    }
    this.#checkState(response, version);
    this.version = version;
    if (multiClient) {
      this.#messageConnectionId = response.view.getUint32(VersionResponse.at.version, true);
    }
    this.hv.log.info('VMBUS', '', `initiated contact using version ${text}`);
    return true;
  }

  /**
   * Disconnect, and wait for the host to say that it has let go of everything.
   *
   * @param timeoutMs how long the host may take
   * @throws HypxeError NoResponse, PostFailed: what is shared stays shared
   */
  unload(timeoutMs = this.#unloadTimeoutMs): void {
    this.begin(MessageType.UNLOAD, MessageHeader.size);
    this.post(MessageHeader.size);
    this.wait(MessageType.UNLOAD_RESPONSE, MessageHeader.size, undefined, timeoutMs);
    this.#contacted = false;
    this.version = 0;
    this.#revokePages('UNLOAD_RESPONSE');
  }

  /** Whether the host may hold anything of us that only an UNLOAD takes back. */
  get mustUnload(): boolean {
    return this.#contacted;
  }

  // --- messages ---

  /** Begin a control message: a view of `length` zeroed bytes with the type set. */
  begin(type: number, length: number): DataView {
    this.#buffer.fill(0, 0, length);
    this.#view.setUint32(MessageHeader.at.type, type, true);
    return this.#view;
  }

  /** Post the message begun by {@link begin}. @throws HypxeError PostFailed, PostThrottled */
  post(length: number, retry = true): void {
    const connection = this.#messageConnectionId;
    this.hv.postMessage(connection, VMBUS_MESSAGE_TYPE, this.#buffer, length, retry);
  }

  /**
   * Wait for a message of `type` that satisfies `match`. All others are handled as unsolicited; the
   * time limit is for the whole wait, however much else comes.
   *
   * @param minLength length below which the message is malformed
   * @param stop a reason not to wait any longer, asked after each other message
   * @throws HypxeError NoResponse, TooManyMessages, MessageTooShort, or what `stop` returns
   */
  wait(
    type: number,
    minLength: number,
    match?: MessageMatch,
    timeoutMs = MESSAGE_TIMEOUT_MS,
    stop?: () => HypxeError | undefined,
  ): ControlMessage {
    const { clock } = this.hv;
    let deadline: number | undefined;
    let expired = false;
    let others = 0;
    for (;;) {
      // Take what there is
      const message = this.#receive();
      if (message !== undefined) {
        if (message.type === type && message.length < minLength) {
          const text = `message type ${type} has ${message.length} bytes, not ${minLength}`;
          throw new HypxeError(VmbusError.MessageTooShort, text);
        }
        if (message.type === type && (match === undefined || match(message))) return message;
        this.#unsolicited(message);
        const reason = stop?.();
        if (reason !== undefined) throw reason;
        if (++others <= MESSAGES_PER_WAIT_MAX) continue;
        const text = `${others} other messages while waiting for type ${type}`;
        throw new HypxeError(VmbusError.TooManyMessages, text);
      }

      // Wait a little. What came with the last turn still counts: look once more before giving up
      if (expired) {
        const text = `no message type ${type} within ${timeoutMs} ms (${others} others came)`;
        throw new HypxeError(VmbusError.NoResponse, text);
      }
      deadline ??= clock.now() + timeoutMs * TICKS_PER_MS;
      clock.pause();
      expired = clock.now() >= deadline;
    }
  }

  /** Handle messages that have come outside of a wait: late offers, rescinds. */
  poll(): void {
    for (let i = 0; i < MESSAGES_PER_POLL_MAX; i++) {
      const message = this.#receive();
      if (message === undefined) return;
      this.#unsolicited(message);
    }
  }

  // --- signals ---

  /**
   * Tell the host that a channel has something to read.
   *
   * @param monitor the channel's monitor, or -1 for an event
   * @returns the status of the hypercall, or SUCCESS
   */
  signal(channel: number, monitor: number, eventConnectionId: number): number {
    const { memory } = this.hv.pages;

    // Set the channel's bit where the host looks for it. From 2.4 on events are dedicated
    const shared = this.version < VmbusVersion.V2_4;
    if (shared) {
      const address = this.#interrupts!.address + InterruptPage.at.out + (channel >>> 3);
      memory.set8(address, memory.u8(address) | (1 << (channel & 7)));
    }

    // Signal through the monitor page, if the channel has one: no hypercall
    if (monitor >= 0) {
      const trigger = MonitorPage.at.trigger + MonitorTrigger.size * (monitor >>> 5);
      const address = this.#monitorOut!.address + trigger + MonitorTrigger.at.pending;
      memory.set32(address, (memory.u32(address) | (1 << (monitor & 31))) >>> 0);
      return HvStatus.SUCCESS;
    }
    return this.hv.signalEvent(shared ? VMBUS_EVENT_CONNECTION_ID : eventConnectionId);
  }

  /** Take back a signal that nobody has read: the channel is being closed. */
  clearSignal(channel: number): void {
    if (this.#interrupts === undefined || this.version >= VmbusVersion.V2_4) return;
    const { memory } = this.hv.pages;
    const address = this.#interrupts.address + InterruptPage.at.out + (channel >>> 3);
    memory.set8(address, memory.u8(address) & ~(1 << (channel & 7)));
  }

  // --- helpers ---

  #receive(): ControlMessage | undefined {
    const message = this.hv.receiveMessage(VMBUS_MESSAGE_SINT);
    if (message === undefined) return undefined;

    // Anything but a VMBus message is skipped, and handled as a message of no type
    const { payload: bytes, view, length } = message;
    const valid = message.type === VMBUS_MESSAGE_TYPE && length >= MessageHeader.size;
    if (!valid) {
      const text = `ignoring SynIC message type 0x${message.type.toString(16)}, ${length} bytes`;
      this.hv.log.warning('VMBUS', '', text);
    }
    return { type: valid ? view.getUint32(MessageHeader.at.type, true) : 0, bytes, view, length };
  }

  #unsolicited(message: ControlMessage): void {
    if (message.type !== 0) this.handler?.unsolicited(message);
  }

  /** Take what is left in the slot: whoever comes next expects it empty. */
  #drain(): void {
    for (let i = 0; i < MESSAGES_DRAINED_MAX; i++) {
      const message = this.#receive();
      if (message === undefined) return;
      this.hv.log.debug('VMBUS', '', `dropping message type ${message.type} at the end`);
    }
  }

  #checkState(response: ControlMessage, version: number): void {
    // Hosts below 2.4 leave the state undefined (mu_msvm); iPXE never looks at it
    const state = response.bytes[VersionResponse.at.connectionState]!;
    if (version < VmbusVersion.V2_4 || state === ConnectionState.SUCCESSFUL) return;
    this.#contacted = false;
    this.#revokePages(`VERSION_RESPONSE: connection state ${state}`);
    const text = `host knows version ${versionText(version)} but failed with state ${state}`;
    throw new HypxeError(VmbusError.ContactFailed, text);
  }

  #setAddress(offset: number, page: Region): void {
    this.#view.setUint32(offset, page.address >>> 0, true);
    this.#view.setUint32(offset + 4, Math.floor(page.address / 2 ** 32), true);
  }

  #pagesOfConnection(): Region[] {
    const pages = [this.#interrupts, this.#monitorIn, this.#monitorOut];
    return pages.filter((page) => page !== undefined);
  }

  #revokePages(by: string): void {
    for (const page of this.#pagesOfConnection()) this.hv.pages.revoke(page, by);
  }

  #freePages(): void {
    for (const page of this.#pagesOfConnection()) this.hv.pages.free(page);
    this.#interrupts = this.#monitorIn = this.#monitorOut = undefined;
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The connection to the host's VMBus server: the pages that belong to it, contact and unload,
 * control messages, and signals (iPXE vmbus_initiate_contact, vmbus_unload; Linux
 * vmbus_negotiate_version).
 */

import { HypxeError } from '../error.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import { HvStatus, MonitorPage, MonitorTrigger } from '../hyperv/protocol.ts';
import type { Region } from '../memory/shared-memory.ts';
import { waitFor } from '../time.ts';
import { hex, wordBytes } from '../wire.ts';
import {
  ANSWER_TIMEOUT_MS,
  CONTACT_TIMEOUT_MS,
  CONTACT_TRIES,
  CONTACTS_MAX,
  MESSAGES_PER_WAIT_MAX,
  type ConnectionOptions,
  type ContactPartOf,
  type ControlMessage,
  type MessageMatch,
  type Rescindable,
} from './connection-types.ts';
import type { Offer } from './offer.ts';
import {
  ConnectionState,
  InterruptPage,
  MessageHeader,
  MessageType,
  OpenChannelResult,
  VERSION_RESPONSE_MIN,
  VMBUS_EVENT_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_SINT,
  VMBUS_MESSAGE_TYPE,
  VersionResponse,
  VmbusVersion,
  versionText,
} from './protocol.ts';

export type {
  ConnectionOptions,
  ControlMessage,
  MessageMatch,
  Rescindable,
} from './connection-types.ts';

/** Messages handled in one poll outside of a wait. */
const MESSAGES_PER_POLL_MAX = 64;

/** What a guest that knows newer versions than the firmware changes in a contact. */
export type ContactPart = ContactPartOf<VmbusConnection>;

export class VmbusConnection {
  readonly hv: HyperV;
  readonly options: ConnectionOptions;
  /** SINT of this connection's messages and events. */
  readonly sint: number;
  /** Connection ID that messages are posted to. */
  port = VMBUS_MESSAGE_CONNECTION_ID;
  /** Negotiated version, or 0 while not connected. */
  version = 0;
  /** Whether the host may hold what only an UNLOAD takes back; `sent`: one is on its way. */
  mustUnload: boolean | 'sent' = false;
  /** Whether it has said that it holds nothing, of an older connection either. */
  hasLetGo = true;
  /** Takes the messages that nobody waits for: late offers, rescinds, late answers. */
  readonly #unsolicited: (message: ControlMessage) => void;
  /** Interrupt page (of use below 2.4 only), monitor page of the host, monitor page of ours. */
  #pages: Region[] = [];
  /** Contacts of ours that were not answered yet, and refusals that may be an earlier owner's. */
  #unanswered = 0;
  #foreign = 0;

  constructor(
    hv: HyperV,
    options: ConnectionOptions = {},
    unsolicited: (message: ControlMessage) => void = () => {},
  ) {
    this.hv = hv;
    this.options = options;
    this.sint = options.sint ?? VMBUS_MESSAGE_SINT;
    this.#unsolicited = unsolicited;
  }

  // --- set up and tear down ---

  /** Allocate the connection's pages, and let messages come. @throws HypxeError OutOfMemory */
  setUp(): void {
    const { pages } = this.hv;
    for (const purpose of ['interrupt-page', 'monitor-in', 'monitor-out'] as const) {
      this.#pages.push(pages.allocate(purpose, PAGE_SIZE));
    }
    this.reset();
  }

  /** Undo what of {@link setUp} was done. Pages that the host still has stay reserved. */
  tearDown(): void {
    // Whoever comes next expects the slot empty
    this.#take(MESSAGES_PER_WAIT_MAX, () => {});
    this.hv.disableSint(this.sint);
    for (const page of this.#pages) this.hv.pages.free(page);
    this.#pages = [];
  }

  /**
   * Start on the pages, or start again after somebody else may have had the connection. Until the
   * next contact is answered the host may still have the old one, and with it the pages.
   */
  reset(): void {
    for (const { address, length } of this.#pages) this.hv.pages.memory.zero(address, length);
    this.version = 0;

    // What lies in the slot, or comes into it now, was sent to an earlier owner
    this.hv.enableSint(this.sint);
    this.#take(MESSAGES_PER_WAIT_MAX, () => {});
    this.#unanswered = 0;
    this.#foreign = CONTACTS_MAX;
  }

  /**
   * Contact the host with one version, again if there is no answer. It handles messages in their
   * order, so that a late answer to the first contact is as good as one to the second.
   *
   * @param part of a guest that knows more than the firmware: for it INVALID_CONNECTION_ID says
   * that the host is older and has no such port, and not that it throttles (Linux vmbus_post_msg)
   * @returns false if the host does not support it
   * @throws HypxeError NoResponse, ContactFailed, PostFailed, and what the part throws
   */
  initiateContact(version: number, part?: ContactPart): boolean {
    const text = versionText(version);
    const { log } = this.hv;

    // Construct message: version, processor, pages. All pages lie below 4 GiB
    const words = [version, 0, ...this.#pages.flatMap(({ address }) => [address, 0])];
    part?.contacting(this, words, version);
    const response = this.#contact(version, words, part !== undefined);
    if (!response) {
      this.disconnected('VERSION_RESPONSE');
      log.info('VMBUS', '', `host does not support version ${text}`);
      return false;
    }
    // Check response. Hosts below 2.4 leave the state undefined (mu_msvm); iPXE never looks at it
    const { bytes } = response;
    const state = bytes[VersionResponse.at.connectionState]!;
    if (version >= VmbusVersion.V2_4 && state !== ConnectionState.SUCCESSFUL) {
      this.disconnected('VERSION_RESPONSE');
      throw new HypxeError('ContactFailed', `version ${text}: connection state ${state}`);
    }
    part?.contacted(this, response, version);
    this.version = version;
    log.info('VMBUS', '', `initiated contact using version ${text}`);
    return true;
  }

  /** Post the message until it is answered. @returns the answer, or undefined if it is a refusal */
  #contact(version: number, words: readonly number[], once: boolean): ControlMessage | undefined {
    const { contactTimeoutMs = CONTACT_TIMEOUT_MS, contactTries = CONTACT_TRIES } = this.options;
    for (let contacts = 1; ; contacts++) {
      // Post message. From here on the host may write to the pages
      for (const page of this.#pages) {
        if (!words.includes(page.address, 2) || page.state !== 'private') continue;
        // Until now an earlier owner's devices may have written there
        this.hv.pages.memory.zero(page.address, page.length);
        this.hv.pages.share(page, `INITIATE_CONTACT ${versionText(version)}`);
      }
      try {
        this.post(MessageType.INITIATE_CONTACT, words, 0, !once);
      } catch (error) {
        // A contact before an UNLOAD_RESPONSE may have arrived
        if (!this.mustUnload && contacts === 1) this.#revoke('never sent');
        throw error;
      }
      this.mustUnload = true;
      this.hasLetGo = false;
      this.#unanswered = Math.max(this.#unanswered, 0) + 1;

      // Wait for response. QEMU's has no version; another version is an answer to something older,
      // but from 5.0 on it is a connection ID
      let unloaded = false;
      let refused = false;
      const isAnswer: MessageMatch = ({ type, view, bytes, length }) => {
        // An earlier owner's: the host may have dropped what came behind its UNLOAD (QEMU)
        unloaded = type === MessageType.UNLOAD_RESPONSE;
        if (unloaded || type !== MessageType.VERSION_RESPONSE) return unloaded;
        requireLength(type, length, VERSION_RESPONSE_MIN);
        const echoed = view.getUint32(VersionResponse.at.version, true);
        refused = bytes[VersionResponse.at.supported] === 0;
        return refused || echoed === 0 || echoed === version || version >= VmbusVersion.V5_0;
      };
      let message = this.#await(contactTimeoutMs, isAnswer);

      // A refusal says not of what, and frees pages: another answer that may be due is waited for
      while (message && refused && !unloaded) {
        const due = --this.#unanswered > 0;
        if (!due && (once || this.#foreign-- <= 0)) return undefined;
        message = this.#await(due ? contactTimeoutMs : ANSWER_TIMEOUT_MS, isAnswer);
        if (!message) this.#unanswered = 0;
        if (!message) return undefined;
      }
      if (unloaded) {
        this.mustUnload = false;
        this.hasLetGo = true;
      } else if (message) {
        this.#unanswered = 0;
        return message;
      }
      if (contacts >= (unloaded ? CONTACTS_MAX : contactTries)) {
        throw this.#noResponse(MessageType.VERSION_RESPONSE, contactTimeoutMs);
      }
    }
  }

  #noResponse(type: number, timeoutMs: number): HypxeError {
    this.mustUnload &&= true; // What nobody answers may be lost: it may be sent once more
    const name = this.hv.eomDue ? 'RegisterRefused' : 'NoResponse';
    return new HypxeError(name, `no message type ${type} within ${timeoutMs} ms`);
  }

  /**
   * Disconnect, and wait for the host to say that it has let go of everything. Cancelled, it is
   * called again and only waits. @throws HypxeError NoResponse, PostFailed: what is shared stays so
   */
  unload(timeoutMs = this.options.unloadTimeoutMs): void {
    if (this.mustUnload !== 'sent') this.post(MessageType.UNLOAD);
    this.mustUnload = 'sent';
    this.wait(MessageType.UNLOAD_RESPONSE, MessageHeader.size, undefined, timeoutMs);
    this.disconnected('UNLOAD_RESPONSE');
  }

  /**
   * There is no connection any more. `by`: how the host has said that it let go of the pages, or
   * undefined if it has not: then they stay shared.
   */
  disconnected(by: string | undefined): void {
    this.mustUnload = false;
    this.hasLetGo = by !== undefined;
    this.version = 0;
    if (by) this.#revoke(by);
  }

  #revoke(by: string): void {
    for (const page of this.#pages) this.hv.pages.revoke(page, by);
  }

  // --- control messages ---

  /**
   * Post a control message. All of them are 32-bit words, 64-bit fields low word first.
   *
   * @param words what follows the header
   * @param length of the message in bytes if it is longer: zeros follow
   * @param retry whether INVALID_CONNECTION_ID is throttling; see {@link HyperV.postMessage}
   * @throws HypxeError PostFailed, PostThrottled
   */
  post(type: number, words: readonly number[] = [], length = 0, retry?: boolean): void {
    const size = Math.max(length, MessageHeader.size + 4 * words.length);
    const message = wordBytes(size, type, 0, ...words);
    this.hv.postMessage(this.port, VMBUS_MESSAGE_TYPE, message, size, retry);
  }

  /**
   * Wait for a message of `type` that satisfies `match`. All others are handled as unsolicited; the
   * time limit is for the whole wait, however much else comes.
   *
   * @param minLength length below which the message is malformed
   * @param device which is not waited for any longer once it is taken away
   * @throws HypxeError NoResponse, TooManyMessages, MessageTooShort, ChannelRescinded
   */
  wait(
    type: number,
    minLength: number,
    match: MessageMatch = () => true,
    timeoutMs = this.options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
    device?: Rescindable,
  ): ControlMessage {
    const isAnswer = (message: ControlMessage): boolean => {
      if (message.type !== type) return false;
      requireLength(type, message.length, minLength);
      return match(message);
    };
    const message = this.#await(timeoutMs, isAnswer, device);
    if (message) return message;
    throw this.#noResponse(type, timeoutMs);
  }

  /** Take messages until one is the answer: undefined in the end. */
  #await(
    timeoutMs: number,
    isAnswer: (message: ControlMessage) => boolean,
    device?: Rescindable,
  ): ControlMessage | undefined {
    let others = 0;
    let message: ControlMessage | undefined;
    const look = (): boolean => {
      while ((message = this.#receive())) {
        if (isAnswer(message)) return true;
        this.#unsolicited(message);
        device?.requireOffered();
        if (++others > MESSAGES_PER_WAIT_MAX) {
          throw new HypxeError('TooManyMessages', `${others} messages`);
        }
      }
      return false;
    };

    // An answer that is there already costs no look at the clock
    return look() || waitFor(this.hv.clock, timeoutMs, look) ? message : undefined;
  }

  /**
   * Wait for what the host says of a channel and of an ID of ours: GPADL_CREATED has the layout of
   * OPEN_CHANNEL_RESULT.
   *
   * @returns the status
   * @throws HypxeError as {@link wait}
   */
  waitStatus(type: number, channel: number, id: number, device?: Rescindable): number {
    const isOurs = ({ view }: ControlMessage): boolean =>
      view.getUint32(OpenChannelResult.at.channel, true) === channel &&
      view.getUint32(OpenChannelResult.at.openId, true) === id;
    const answer = this.wait(type, OpenChannelResult.size, isOurs, undefined, device);
    return answer.view.getUint32(OpenChannelResult.at.status, true);
  }

  /** Handle messages that have come outside of a wait: late offers, rescinds. */
  poll(): void {
    this.#take(MESSAGES_PER_POLL_MAX, this.#unsolicited);
  }

  #take(max: number, action: (message: ControlMessage) => void): void {
    for (let i = 0; i < max; i++) {
      const message = this.#receive();
      if (!message) return;
      action(message);
    }
  }

  #receive(): ControlMessage | undefined {
    const message = this.hv.receiveMessage(this.sint);
    if (!message) return undefined;

    // Anything but a VMBus message is skipped, and handled as a message of no type
    const { type, view, length } = message;
    const valid = type === VMBUS_MESSAGE_TYPE && length >= MessageHeader.size;
    if (!valid) {
      const text = `ignoring SynIC message type ${hex(type)}, ${length} bytes`;
      this.hv.log.warning('VMBUS', '', text);
    }
    message.type = valid ? view.getUint32(MessageHeader.at.type, true) : 0;
    return message;
  }

  // --- signals ---

  /**
   * Tell the host that a channel has something to read.
   *
   * @returns the status of the hypercall, or SUCCESS
   */
  signal({ channel, monitor, connectionId }: Offer): number {
    // Set the channel's bit where the host looks for it. From 2.4 on events are dedicated
    this.setSignal(channel, true);

    // Signal through the monitor page, if the channel has one: no hypercall
    const page = this.#pages[2];
    if (monitor >= 0 && page?.state === 'shared') {
      const { memory } = this.hv.pages;
      const group = MonitorPage.at.trigger + MonitorTrigger.size * (monitor >>> 5);
      const address = page.address + group + MonitorTrigger.at.pending;
      memory.set32(address, memory.u32(address) | (1 << (monitor & 31)));
      return HvStatus.SUCCESS;
    }
    const shared = this.version < VmbusVersion.V2_4;
    return this.hv.signalEvent(shared ? VMBUS_EVENT_CONNECTION_ID : connectionId);
  }

  /**
   * Set the signal of a channel where old hosts look for it, or take it back: the channel is being
   * closed, and nobody has read it.
   */
  setSignal(channel: number, set: boolean): void {
    const page = this.#pages[0];
    if (this.version >= VmbusVersion.V2_4 || !page) return;
    const { memory } = this.hv.pages;
    const address = page.address + InterruptPage.at.out + (channel >>> 3);
    const bit = 1 << (channel & 7);
    memory.set8(address, set ? memory.u8(address) | bit : memory.u8(address) & ~bit);
  }
}

/** @throws HypxeError MessageTooShort */
function requireLength(type: number, length: number, minLength: number): void {
  if (length >= minLength) return;
  throw new HypxeError('MessageTooShort', `message type ${type} of ${length} bytes`);
}

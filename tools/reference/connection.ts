// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The VMBus connection of the reference guest: contact, unload, control messages, waits (iPXE
 * interface/hyperv/vmbus.c).
 */

import { HvStatus, MonitorPage, MonitorTrigger } from '../../src/hyperv/protocol.ts';
import {
  InterruptPage,
  MessageHeader,
  MessageType,
  VERSION_RESPONSE_MIN,
  VMBUS_EVENT_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_SINT,
  VMBUS_MESSAGE_TYPE,
  VersionResponse,
  VmbusVersion,
} from '../../src/vmbus/protocol.ts';
import { wordBytes } from '../../src/wire.ts';
import { GuestError, WAIT_TURNS, type Block, type GuestContext } from './guest.ts';
import type { GuestMessage, Hypervisor } from './hypervisor.ts';

/** Messages that may come while another one is awaited. */
const OTHERS_MAX = 4096;

/** How often a host is contacted that is still unloading somebody. */
const CONTACTS_MAX = 4;

/** Messages handled outside of a wait. */
const POLL_MAX = 64;

/** A control message; type 0 is anything that is no VMBus message. */
export interface ControlMessage extends GuestMessage {
  readonly type: number;
}

/** What a wait is for, and for how long. */
export interface Wait {
  readonly type: number;
  /** Shortest answer. */
  readonly min: number;
  /** Whether it answers this request: only asked where late answers are told apart. */
  readonly match?: (view: DataView) => boolean;
  /** Asked after each other message: whoever is gone is not waited for. */
  readonly check?: () => void;
}

/** Whether a version response says no. */
function isRefusal({ view }: Pick<ControlMessage, 'view'>): boolean {
  return view.getUint8(VersionResponse.at.supported) === 0;
}

export class Connection {
  readonly context: GuestContext;
  readonly hv: Hypervisor;
  /** Negotiated version, 0 while not connected. */
  version = 0;
  /** The host may hold what only an UNLOAD takes back. */
  mustUnload = false;
  /** The host has said that it holds nothing any more. */
  letGo: () => void = () => {};
  unsolicited: (message: ControlMessage) => void = () => {};
  /** Interrupt page, monitor pages. */
  #pages: Block[] = [];
  /** The host may write to the pages. */
  #shared = false;
  /** Refusals that may be of somebody else's contacts. */
  #foreign = CONTACTS_MAX;

  constructor(hv: Hypervisor) {
    this.hv = hv;
    this.context = hv.context;
  }

  // --- set up and tear down ---

  /** @throws GuestError ENOMEM */
  setUp(): void {
    try {
      for (const purpose of ['interrupt-page', 'monitor-in', 'monitor-out'])
        this.#pages.push(this.context.allocate(purpose, 4096));
    } catch (error) {
      for (const page of this.#pages.splice(0)) this.context.free(page);
      throw error;
    }
    this.#enable();
  }

  #enable(): void {
    this.hv.enableSint(VMBUS_MESSAGE_SINT);
    if (this.context.has('prompt-waits')) return;
    this.hv.endOfMessage();
    this.#drop();
  }

  /** Throw away what lies in the slot: it was somebody else's. */
  #drop(): void {
    for (let i = 0; i < OTHERS_MAX && this.receive() !== undefined; i++);
  }

  tearDown(): void {
    if (!this.context.has('prompt-waits')) this.#drop();
    if (this.hv.running || this.context.has('sints-as-at-reset'))
      this.hv.disableSint(VMBUS_MESSAGE_SINT);
    const keep = this.#shared && !this.context.has('pages-kept-without-unload');
    if (!keep) for (const page of this.#pages) this.context.free(page);
    this.#pages = [];
    this.#shared = false;
  }

  reset(): void {
    for (const { address } of this.#pages) this.context.bytes.fill(0, address, address + 4096);
    this.version = 0;
    this.#foreign = CONTACTS_MAX;
    this.#enable();
  }

  /** 3.0, unload, 0.13. @throws GuestError */
  negotiate(): void {
    this.contact(VmbusVersion.V3_0);
    this.unload();
    this.contact(VmbusVersion.V0_13);
  }

  /** @throws GuestError */
  contact(version: number): void {
    const words = [version, 0, ...this.#pages.flatMap(({ address }) => [address, 0])];
    for (let contacts = 1; ; contacts++) {
      this.post(MessageType.INITIATE_CONTACT, words);
      this.#shared = this.mustUnload = true;
      const answer = this.#awaitVersion(version);
      if (answer === undefined) {
        // The answer to an UNLOAD of somebody before us
        this.mustUnload = false;
        if (contacts < CONTACTS_MAX) continue;
        throw new GuestError('ETIMEDOUT', 'no version response');
      }
      return this.#checkVersion(answer, version);
    }
  }

  /** The answer, or undefined: the host has unloaded instead. */
  #awaitVersion(version: number): ControlMessage | undefined {
    if (this.context.has('late-answers-belong-to-their-request'))
      return this.wait({ type: MessageType.VERSION_RESPONSE, min: VERSION_RESPONSE_MIN });
    let answer = this.#nextVersion(version);
    // A refusal says not of what: another answer may be due
    while (answer !== undefined && isRefusal(answer) && this.#foreign-- > 0) {
      try {
        answer = this.#nextVersion(version);
      } catch (error) {
        if (!(error instanceof GuestError) || error.errno !== 'ETIMEDOUT') throw error;
        break;
      }
    }
    return answer;
  }

  #nextVersion(version: number): ControlMessage | undefined {
    const { VERSION_RESPONSE, UNLOAD_RESPONSE } = MessageType;
    const answer = this.waitFor((message) => {
      if (message.type === UNLOAD_RESPONSE) return true;
      if (message.type !== VERSION_RESPONSE) return false;
      this.#requireLength(message, VERSION_RESPONSE_MIN);
      const echoed = message.view.getUint32(VersionResponse.at.version, true);
      return isRefusal(message) || echoed === 0 || echoed === version;
    });
    return answer.type === UNLOAD_RESPONSE ? undefined : answer;
  }

  #checkVersion({ view }: ControlMessage, version: number): void {
    const state = view.getUint8(VersionResponse.at.connectionState);
    if (isRefusal({ view })) {
      this.#disconnected();
      throw new GuestError('ENOTSUP', 'version refused');
    }
    const told = version >= VmbusVersion.V2_4 && !this.context.has('connection-state-checked');
    if (told && state !== 0) {
      this.#disconnected();
      throw new GuestError('EIO', `connection state ${state}`);
    }
    this.letGo();
    this.version = version;
  }

  /** @throws GuestError */
  unload(): void {
    this.post(MessageType.UNLOAD);
    this.wait({ type: MessageType.UNLOAD_RESPONSE, min: MessageHeader.size });
    this.#disconnected();
  }

  #disconnected(): void {
    this.mustUnload = this.#shared = false;
    this.version = 0;
    this.letGo();
  }

  // --- control messages ---

  /** @throws GuestError */
  post(type: number, words: readonly number[] = [], length = 0): void {
    const size = Math.max(length, MessageHeader.size + 4 * words.length);
    const message = wordBytes(size, type, 0, ...words);
    this.hv.post(VMBUS_MESSAGE_CONNECTION_ID, VMBUS_MESSAGE_TYPE, message);
  }

  receive(): ControlMessage | undefined {
    const message = this.hv.receive(VMBUS_MESSAGE_SINT);
    if (message === undefined) return undefined;
    const { synicType, length, view } = message;
    const short = length < MessageHeader.size && !this.context.has('short-messages-refused');
    const valid = synicType === VMBUS_MESSAGE_TYPE && !short;
    const type = valid ? view.getUint32(MessageHeader.at.type, true) : 0;
    return { synicType, length, view, type };
  }

  /** The answer of a type. @throws GuestError */
  wait({ type, min, match, check }: Wait): ControlMessage {
    const late = this.context.has('late-answers-belong-to-their-request');
    return this.waitFor((message) => {
      if (message.type !== type) return false;
      this.#requireLength(message, min);
      return late || match === undefined || match(message.view);
    }, check);
  }

  #requireLength({ length }: ControlMessage, min: number): void {
    if (length >= min || this.context.has('short-messages-refused')) return;
    throw new GuestError('EPROTO', `message of ${length} bytes`);
  }

  /** Wait for a message that `isAnswer` takes. @throws GuestError ETIMEDOUT, EINVAL, EPROTO */
  waitFor(isAnswer: (message: ControlMessage) => boolean, check?: () => void): ControlMessage {
    const { context } = this;
    let others = 0;
    for (let turns = 0; ;) {
      if (turns >= WAIT_TURNS && context.has('prompt-waits')) break;
      const message = this.receive();
      if (message === undefined) {
        if (turns++ >= WAIT_TURNS) break;
        this.hv.endOfMessage();
        context.delay();
        continue;
      }
      if (message.synicType !== VMBUS_MESSAGE_TYPE && context.has('bus-survives'))
        throw new GuestError('EINVAL', `message type ${message.synicType}`);
      if (isAnswer(message)) return message;
      this.unsolicited(message);
      check?.();
      if (context.has('waits-are-bounded')) turns = 0;
      else if (++others > OTHERS_MAX) throw new GuestError('EPROTO', 'too many messages');
    }
    throw new GuestError('ETIMEDOUT', 'no message');
  }

  /** Handle what has come outside of a wait. */
  poll(): void {
    if (this.context.has('rescinds-are-heard')) return;
    for (let i = 0; i < POLL_MAX; i++) {
      const message = this.receive();
      if (message === undefined) return;
      this.unsolicited(message);
    }
  }

  // --- signals ---

  /** Signal a channel. Returns the status of the hypercall. */
  signal(channel: number, monitor: number): number {
    const { bytes, view } = this.context;
    const [interrupt, , out] = this.#pages;
    if (interrupt !== undefined && this.version < VmbusVersion.V2_4) {
      const at = interrupt.address + InterruptPage.at.out + (channel >>> 3);
      bytes[at] = bytes[at]! | (1 << (channel & 7));
    }
    if (monitor < 0) return this.hv.signal(VMBUS_EVENT_CONNECTION_ID);
    if (out === undefined) return HvStatus.SUCCESS;
    const at = out.address + MonitorPage.at.trigger + MonitorTrigger.size * (monitor >>> 5);
    view.setUint32(at, view.getUint32(at, true) | (1 << (monitor & 31)), true);
    return HvStatus.SUCCESS;
  }
}

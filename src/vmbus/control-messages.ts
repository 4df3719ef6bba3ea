// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Control messages of one connection: posting them, and waiting for answers. Messages that nobody
 * waits for (late offers, rescinds, late answers) go to {@link UnsolicitedHandler}, whenever they
 * come.
 */

import { HypxeError } from '../error.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import { HV_MESSAGE_PAYLOAD_MAX } from '../hyperv/protocol.ts';
import { TICKS_PER_MS } from '../time.ts';
import { MessageHeader, VMBUS_MESSAGE_CONNECTION_ID, VMBUS_MESSAGE_TYPE } from './protocol.ts';

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

export class ControlMessages {
  readonly hv: HyperV;
  /** SINT of this connection's messages and events. */
  readonly sint: number;
  /** Connection ID that messages are posted to. */
  port = VMBUS_MESSAGE_CONNECTION_ID;
  /** Takes what nobody waits for. Set by the bus. */
  handler: UnsolicitedHandler | undefined;
  readonly #buffer = new Uint8Array(HV_MESSAGE_PAYLOAD_MAX);
  readonly #view = new DataView(this.#buffer.buffer);

  constructor(hv: HyperV, sint: number) {
    this.hv = hv;
    this.sint = sint;
  }

  /** Begin a control message: a view of `length` zeroed bytes with the type set. */
  begin(type: number, length: number): DataView {
    this.#buffer.fill(0, 0, length);
    this.#view.setUint32(MessageHeader.at.type, type, true);
    return this.#view;
  }

  /** Post the message begun by {@link begin}. @throws HypxeError PostFailed, PostThrottled */
  post(length: number, retry = true): void {
    this.hv.postMessage(this.port, VMBUS_MESSAGE_TYPE, this.#buffer, length, retry);
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
          throw new HypxeError('MessageTooShort', text);
        }
        if (message.type === type && (match === undefined || match(message))) return message;
        this.#unsolicited(message);
        const reason = stop?.();
        if (reason !== undefined) throw reason;
        if (++others <= MESSAGES_PER_WAIT_MAX) continue;
        const text = `${others} other messages while waiting for type ${type}`;
        throw new HypxeError('TooManyMessages', text);
      }

      // Wait a little. What came with the last turn still counts: look once more before giving up
      if (expired) {
        const text = `no message type ${type} within ${timeoutMs} ms (${others} others came)`;
        throw new HypxeError('NoResponse', text);
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

  /** Take what is left in the slot: whoever comes next expects it empty. */
  drain(): void {
    for (let i = 0; i < MESSAGES_DRAINED_MAX; i++) {
      const message = this.#receive();
      if (message === undefined) return;
      this.hv.log.debug('VMBUS', '', `dropping message type ${message.type} at the end`);
    }
  }

  #receive(): ControlMessage | undefined {
    const message = this.hv.receiveMessage(this.sint);
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
}

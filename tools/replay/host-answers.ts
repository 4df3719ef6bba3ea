// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the recorded host answers to messages that the recorded driver never sent: a teardown of a
 * GPADL that is there, and UNLOAD, as to everybody.
 */

import {
  GpadlTeardown,
  GpadlTorndown,
  MessageHeader,
  MessageType,
} from '../../src/vmbus/protocol.ts';
import type { GuestChannels } from './guest-channels.ts';

/** Answers that wait for the guest's next pause. */
export class HostAnswers {
  readonly #channels: GuestChannels;
  #waiting: Uint8Array[] = [];

  constructor(channels: GuestChannels) {
    this.#channels = channels;
  }

  /** The guest has posted a message that the recording does not have. */
  posted(message: Uint8Array): void {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const type = message.length < MessageHeader.size ? 0 : view.getUint32(0, true);
    if (type === MessageType.GPADL_TEARDOWN && message.length >= GpadlTeardown.size) {
      const gpadl = view.getUint32(GpadlTeardown.at.gpadl, true);
      if (this.#channels.gpadls.has(gpadl)) this.#add(MessageType.GPADL_TORNDOWN, gpadl);
    }
    if (type === MessageType.UNLOAD && this.#channels.connected)
      this.#add(MessageType.UNLOAD_RESPONSE);
  }

  /** Take what waits. */
  take(): readonly Uint8Array[] {
    const answers = this.#waiting;
    this.#waiting = [];
    return answers;
  }

  #add(type: number, gpadl?: number): void {
    const answer = new Uint8Array(gpadl === undefined ? MessageHeader.size : GpadlTorndown.size);
    const view = new DataView(answer.buffer);
    view.setUint32(MessageHeader.at.type, type, true);
    if (gpadl !== undefined) view.setUint32(GpadlTorndown.at.gpadl, gpadl, true);
    this.#waiting.push(answer);
  }
}

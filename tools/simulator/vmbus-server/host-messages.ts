// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Control messages on their way to the guest: the target, the pace of offers, PAUSE, and the place
 * where faults interpose.
 */

import { MessageType, VMBUS_MESSAGE_TYPE } from '../../../src/vmbus/protocol.ts';
import { lateMessage } from '../profiles/late-answers.ts';
import type { ServerContext } from './context.ts';
import type { Keeper } from '../base/snapshot.ts';

/**
 * Messages that a host keeps for a guest that does not take them. When there are more the server
 * stops reading, also one that `backPressure` lets queue.
 */
export const HOST_MESSAGES_MAX = 4096;

export class HostMessages {
  readonly #context: ServerContext;
  /** Virtual processor that control messages go to. */
  vp = 0;
  /** Told the type of each message that the guest cannot get: it has closed its SINT or page. */
  lost: ((type: number) => void) | undefined;
  #paused = false;
  /** What waits for its turn: offers that go one by one and all behind them, or all when paused. */
  readonly #waiting: Uint8Array[] = [];

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.vp, this.lost, this.#paused], (v) => ([this.vp, this.lost, this.#paused] = v));
    keeper.keep(this.#context, this.#waiting);
  }

  /** Send a message to the guest. `paced`: an offer, by the knob only when nothing waits. */
  send(payload: Uint8Array, paced = false): void {
    const { sint } = this.#context.client;
    // A second client that has never been in contact cannot be told anything
    if (sint === undefined) return;
    const wait = paced && this.#context.services.profile.knobs.offerPacing === 'one-by-one';
    if (!wait && !this.#paused && this.#waiting.length === 0) {
      this.#post(this.vp, sint, payload);
      return;
    }
    this.#waiting.push(payload);
    this.pump();
  }

  /**
   * Send a message to a target of its own: a refused SINT, a reserved channel. It is never queued:
   * where the host would have to wait it is lost (OpenVMM `MessageSender::send_message`).
   */
  sendTo(vp: number, sint: number, payload: Uint8Array): void {
    const { services } = this.#context;
    const waits = services.queuedMessages(vp, sint) > 0;
    if (waits && services.profile.knobs.backPressure === 'stop-reading') {
      this.#context.violation('vmbus', `SINT${sint} of VP ${vp} takes no messages: answer lost`);
      return;
    }
    this.#post(vp, sint, payload);
  }

  get paused(): boolean {
    return this.#paused;
  }

  set paused(paused: boolean) {
    this.#paused = paused;
    this.pump();
  }

  /** Messages that wait here or behind the slot. */
  get queued(): number {
    return this.#waiting.length + this.#undelivered;
  }

  /**
   * Whether the guest has all that was sent since the contact at `since`, in ticks: its answer went
   * as it is and at once, nothing waits, and the slot is empty again.
   */
  wereTaken(since: number): boolean {
    const { client, services } = this.#context;
    // The answer leaves in the tick of the contact
    const sent = services.omissions.host.hasDelivered(since - 1, MessageType.VERSION_RESPONSE);
    if (!sent || client.sint === undefined || !this.#exists(this.vp)) return false;
    return this.#waiting.length === 0 && services.isDrained(this.vp, client.sint);
  }

  /** Whether the server may read the guest's messages. */
  get ready(): boolean {
    const { knobs } = this.#context.services.profile;
    // Offers that wait for their turn are the host's own choice and no reason to stop reading
    if (knobs.backPressure === 'stop-reading' && this.#undelivered > 0) return false;
    return this.queued < HOST_MESSAGES_MAX;
  }

  /**
   * Something was taken: send what waits, each when the one before has reached its slot. It goes
   * where messages go now, not where they went when it was made (OpenVMM).
   */
  pump(): void {
    const { sint } = this.#context.client;
    if (sint === undefined) return;
    while (!this.#paused && this.#waiting.length > 0) {
      if (this.#exists(this.vp) && this.#context.services.queuedMessages(this.vp, sint) > 0) return;
      this.#post(this.vp, sint, this.#waiting.shift()!);
    }
  }

  /** Forget what waits: the machine was reset. */
  reset(): void {
    this.#waiting.length = 0;
    this.#paused = false;
    this.vp = 0;
  }

  /** Messages behind the slot of the client. */
  get #undelivered(): number {
    const { client, services } = this.#context;
    if (client.sint === undefined || !this.#exists(this.vp)) return 0;
    return services.queuedMessages(this.vp, client.sint);
  }

  /** Some hosts take any VP for a target. */
  #exists(vp: number): boolean {
    return vp < this.#context.services.processorCount;
  }

  #post(vp: number, sint: number, payload: Uint8Array): void {
    const { services, faults } = this.#context;
    const type = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true);
    const post = (bytes: Uint8Array) => {
      if (!this.#exists(vp)) {
        this.#context.violation('vmbus', `message type ${type} to VP ${vp}, which is none: lost`);
        this.lost?.(type);
      } else if (!services.postMessage(vp, sint, VMBUS_MESSAGE_TYPE, bytes)) this.lost?.(type);
    };

    // Faults decide first
    const fault = faults.message?.(type, payload);
    const late = lateMessage(services.profile.knobs, type);
    const { host } = services.omissions;
    if (fault === 'drop') host.lost(type);
    else if (fault instanceof Uint8Array) host.changed(type);
    else if (fault !== undefined && 'duplicates' in fault) host.repeated(type);
    if (late > 0 || typeof fault === 'object') host.late(type);
    if (fault === undefined && late > 0) {
      services.clock.schedule(late, () => post(payload));
    } else if (fault === undefined) {
      post(payload);
    } else if (fault === 'drop') {
      this.#context.fault(`message type ${type} lost`);
    } else if (fault instanceof Uint8Array) {
      this.#context.fault(`message type ${type} changed`);
      post(fault);
    } else if ('delayTicks' in fault) {
      this.#context.fault(`message type ${type} delayed by ${fault.delayTicks} ticks`);
      services.clock.schedule(fault.delayTicks, () => post(payload));
    } else {
      this.#context.fault(`message type ${type} sent ${fault.duplicates} times more`);
      for (let i = 0; i <= fault.duplicates; i++) post(payload);
    }
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the loaded OS does at the seam (`hv.c`, `connection.c`): interrupts, posting with the tries
 * of Linux, signals as fast hypercalls. Registers and pages are those of its processors.
 */

import { HypxeError } from '../../src/error.ts';
import { HyperV } from '../../src/hyperv/hyperv.ts';
import { newMessage, takeMessage, type ReceivedMessage } from '../../src/hyperv/message.ts';
import type { Platform } from '../../src/hyperv/platform.ts';
import {
  HvCall,
  HvControl,
  HvMessageType,
  HvStatus,
  Msr,
  PostMessage,
  SynicMessage,
} from '../../src/hyperv/protocol.ts';
import type { Log } from '../../src/events.ts';
import type { Machine } from '../../src/machine.ts';
import type { SharedMemory } from '../../src/memory/shared-memory.ts';
import { MessageHeader, MessageType } from '../../src/vmbus/protocol.ts';
import { passOn, waitOn } from '../simulator/base/passing-machine.ts';

/** Tries of a message that the host has no room for, and the time before the second, in ms. */
const POST_TRIES_MAX = 100;
const POST_DELAY_MS = 0.001;
const POST_DELAY_MAX_MS = 256;

/** Statuses that mean "later" (`vmbus_post_msg`). */
export const POST_LATER: readonly number[] = [
  HvStatus.INSUFFICIENT_MEMORY,
  HvStatus.INVALID_CONNECTION_ID,
  HvStatus.INSUFFICIENT_BUFFERS,
];

const POST_MESSAGE = BigInt(HvCall.POST_MESSAGE);
const SIGNAL_EVENT = BigInt(HvCall.SIGNAL_EVENT) | HvControl.FAST;

/** HvExtCallQueryCapabilities, and the privilege for it (CPUID 0x40000003 EBX). */
const EXTENDED_CAPABILITIES = 0x8001n;
const EXTENDED_HYPERCALLS = 1 << 20;

/** Where the number of a GPADL_BODY stands. */
const BODY_NUMBER = MessageHeader.size;

/**
 * A processor whose guest takes interrupts: they come while it does nothing. The drivers poll, as
 * firmware must, so that the handler has nothing to do but what polling does not.
 */
export function interruptedMachine(machine: Machine, interrupt: () => void): Machine {
  const interrupted = passOn(machine);
  interrupted.pause = () => {
    machine.pause();
    interrupt();
  };
  interrupted.delay = (ticks) => {
    waitOn(machine, ticks);
    interrupt();
  };
  return interrupted;
}

/** How the OS posts. */
export interface PostHabits {
  /** Whether a message that the host refuses for the moment is posted again. */
  readonly retries: boolean;
  /** Told of each message that the host has taken. */
  readonly posted?: (type: number) => void;
}

/** The hypervisor layer with the habits of Linux. */
export class OsHyperV extends HyperV {
  readonly #habits: PostHabits;
  readonly #received = newMessage();
  /** Connection ID of the last message. */
  lastConnectionId = 0;
  /** Input of hypercalls: a page of the processor (`hyperv_pcpu_input_arg`, `post_msg_page`). */
  #inputPage = 0;
  #on = false;
  /** A timer's message has been taken out of the slot of the processor that connects. */
  timerExpired: (() => void) | undefined;

  constructor(platform: Platform, pages: SharedMemory, log: Log, habits: PostHabits) {
    super(platform, pages, log);
    this.#habits = habits;
  }

  /** The SynIC of the processor that connects is on: messages can come and go. */
  start(messagePage: number, eventPage: number, inputPage: number): void {
    this.messagePage = messagePage;
    this.eventPage = eventPage;
    this.#inputPage = inputPage;
    this.#on = true;
  }

  /** It is off again. */
  stop(): void {
    this.#on = false;
  }

  override get isRunning(): boolean {
    return this.#on;
  }

  /** Ask what is beyond the privileges, where it may be asked (`hv_query_ext_cap`). */
  queryExtendedCapabilities(privileges: number, output: number): void {
    if (!(privileges & EXTENDED_HYPERCALLS)) return;
    const { machine, hypercallPage } = this.platform;
    if (machine.architecture !== 'x64' || hypercallPage === undefined) return;
    machine.callHypercallPage(hypercallPage, EXTENDED_CAPABILITIES, 0n, BigInt(output));
  }

  /** SINTs are the processors' own. */
  override enableSint(): void {}
  override disableSint(): void {}

  /** @throws HypxeError PostFailed, PostThrottled, Quiesced */
  override postMessage(
    connectionId: number,
    type: number,
    payload: Uint8Array,
    length: number,
    retry = true,
  ): void {
    if (!this.#on) throw new HypxeError('Quiesced', 'the SynIC is off');
    const { memory } = this.pages;
    const input = this.#inputPage;
    this.lastConnectionId = connectionId;
    for (let attempt = 1, waitMs = POST_DELAY_MS; ; attempt++) {
      fillMessage(this.pages, input, connectionId, type, payload.subarray(0, length));
      // Linux counts no bodies
      const kind = memory.u32(input + PostMessage.at.data + MessageHeader.at.type);
      if (kind === MessageType.GPADL_BODY) {
        memory.set32(input + PostMessage.at.data + BODY_NUMBER, 0);
      }
      const status = this.platform.call(POST_MESSAGE, BigInt(input));
      if (status === HvStatus.SUCCESS) {
        this.#habits.posted?.(kind);
        return;
      }

      // INVALID_CONNECTION_ID says of a contact that the host is older (vmbus_post_msg)
      const text = `posting to ${connectionId}: status 0x${status.toString(16)}`;
      const tooNew = !retry && status === HvStatus.INVALID_CONNECTION_ID;
      if (!POST_LATER.includes(status) || tooNew || !this.#habits.retries) {
        throw new HypxeError('PostFailed', text, status);
      }
      if (attempt === POST_TRIES_MAX) {
        throw new HypxeError('PostThrottled', `${text} ${attempt} times`, status);
      }
      this.delay(waitMs);
      if (waitMs < POST_DELAY_MAX_MS) waitMs *= 2;
    }
  }

  override signalEvent(connectionId: number): number {
    if (!this.#on) return HvStatus.INVALID_CONNECTION_ID;
    return this.platform.call(SIGNAL_EVENT, BigInt(connectionId));
  }

  override receiveMessage(sint: number, page = this.messagePage): ReceivedMessage | undefined {
    if (!this.#on) return undefined;
    const slot = page + sint * SynicMessage.size;
    const message = this.#received;
    const { memory } = this.pages;
    // An empty slot is not looked at any further (vmbus_on_msg_dpc)
    while (memory.u32(slot) !== HvMessageType.NONE && takeMessage(memory, slot, message)) {
      if (message.pending) this.platform.write(Msr.EOM, 0n);
      if (message.type !== HvMessageType.TIMER_EXPIRED) return message;
      this.timerExpired?.();
    }
    return undefined;
  }
}

/** Fill the input of HvPostMessage. */
export function fillMessage(
  { memory }: Pick<SharedMemory, 'memory'>,
  input: number,
  connectionId: number,
  type: number,
  payload: Uint8Array,
): void {
  memory.zero(input, PostMessage.size);
  memory.set32(input + PostMessage.at.connectionId, connectionId);
  memory.set32(input + PostMessage.at.type, type);
  memory.set32(input + PostMessage.at.length, payload.length);
  memory.bytes.set(payload, input + PostMessage.at.data);
}

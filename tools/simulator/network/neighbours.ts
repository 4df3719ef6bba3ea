// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Neighbours of a server: MAC addresses by ARP (RFC 826). What waits for an answer is kept for a
 * few requests and then dropped (as RFC 1122, 2.3.2, asks for).
 */

import type { Alarm } from '../base/clock.ts';
import { TICKS_PER_MS } from '../base/clock.ts';
import { ipText } from './address.ts';
import type { NetworkContext } from './context.ts';
import type { Frame } from './frame.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Requests for one address, and the time between them. */
const ARP_TRIES = 3;
const ARP_INTERVAL_TICKS = 1000 * TICKS_PER_MS;

/** Frames that wait for one address, and addresses that are known or asked for. */
const WAITING_MAX = 64;
const NEIGHBOURS_MAX = 256;

/** An address that was asked for and has not answered. */
interface Question {
  readonly frames: Frame[];
  tries: number;
  alarm: Alarm;
}

export class Neighbours {
  readonly #context: NetworkContext;
  readonly #ask: (address: number) => void;
  readonly #send: (frame: Frame, mac: Uint8Array) => void;
  readonly #known = new Map<number, Uint8Array>();
  readonly #questions = new Map<number, Question>();

  /** `ask` sends an ARP request, `send` a frame to a MAC address. */
  constructor(
    context: NetworkContext,
    ask: (address: number) => void,
    send: (frame: Frame, mac: Uint8Array) => void,
  ) {
    this.#context = context;
    this.#ask = ask;
    this.#send = send;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#known, this.#questions);
  }

  /** Whether an answer for `address` is waited for. */
  asksFor(address: number): boolean {
    return this.#questions.has(address);
  }

  /** `address` is at the MAC address at `at` of `bytes`. What waited for it is sent. */
  learn(address: number, bytes: Uint8Array, at: number): void {
    let mac = this.#known.get(address);
    if (mac === undefined) {
      if (this.#known.size === NEIGHBOURS_MAX) {
        this.#known.delete(this.#known.keys().next().value!);
      }
      mac = new Uint8Array(6);
      this.#known.set(address, mac);
    }
    for (let i = 0; i < 6; i++) mac[i] = bytes[at + i]!;

    const question = this.#questions.get(address);
    if (question === undefined) return;
    this.#questions.delete(address);
    this.#context.clock.cancel(question.alarm);
    for (const frame of question.frames) this.#send(frame, mac);
  }

  /** Send a frame to `address` now, or when it has answered. */
  send(frame: Frame, address: number): void {
    const mac = this.#known.get(address);
    if (mac !== undefined) {
      this.#send(frame, mac);
      return;
    }

    // Wait with the others that wait for this address
    let question = this.#questions.get(address);
    if (question === undefined) {
      if (this.#questions.size === NEIGHBOURS_MAX) {
        this.#context.drop('no-neighbour', frame);
        return;
      }
      question = { frames: [], tries: 1, alarm: this.#wait(address) };
      this.#questions.set(address, question);
      this.#ask(address);
    }
    if (question.frames.length === WAITING_MAX) this.#context.drop('no-neighbour', frame);
    else question.frames.push(frame);
  }

  #wait(address: number): Alarm {
    return this.#context.clock.schedule(ARP_INTERVAL_TICKS, () => this.#unanswered(address));
  }

  #unanswered(address: number): void {
    const question = this.#questions.get(address)!;
    if (question.tries < ARP_TRIES) {
      question.tries++;
      question.alarm = this.#wait(address);
      this.#ask(address);
      return;
    }
    this.#questions.delete(address);
    for (const frame of question.frames) this.#context.drop('no-neighbour', frame);
    if (this.#context.logging) this.#context.log(`ARP: no answer from ${ipText(address)}`);
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** GPADLs of the reference guest: established, torn down, obsolete after a reset. */

import {
  GpaRange,
  GpadlTorndown,
  MessageType,
  OpenChannelResult,
} from '../../src/vmbus/protocol.ts';
import type { Connection, ControlMessage } from './connection.ts';
import { GuestError, type Block } from './guest.ts';

/** IDs count from here (iPXE VMBUS_GPADL_MAGIC). */
const FIRST = 0x18ae0000;

/** A GPADL. */
export interface Gpadl {
  readonly id: number;
  readonly channel: number;
  readonly block: Block;
  /** A teardown was posted. */
  asked: boolean;
}

export class Gpadls {
  readonly #connection: Connection;
  #last = FIRST;
  #obsolete = 0;
  /** What the host may hold, and what is to be freed once it has let go. */
  readonly #live = new Map<number, Gpadl>();
  readonly #kept = new Set<Block>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Every GPADL that there is belongs to a connection that is gone. */
  makeObsolete(): void {
    this.#obsolete = this.#last;
  }

  isObsolete(gpadl: Gpadl): boolean {
    return gpadl.id <= this.#obsolete;
  }

  /** @throws GuestError */
  establish(channel: number, block: Block): Gpadl {
    const connection = this.#connection;
    const { has } = connection.context;
    // Nobody would answer
    const told = connection.version !== 0 || has('reset-is-retried');
    if (!told) throw new GuestError('ETIMEDOUT', 'not connected');
    const id = ++this.#last;
    const gpadl: Gpadl = { id, channel, block, asked: false };
    const count = block.length / 4096;
    const pages = Array.from({ length: count }, (_, i) => [block.address / 4096 + i, 0]);
    const ranges = (1 << 16) | (GpaRange.size + 8 * count);
    connection.post(MessageType.GPADL_HEADER, [
      channel,
      id,
      ranges,
      block.length,
      0,
      ...pages.flat(),
    ]);
    this.#live.set(id, gpadl);
    try {
      const answer = connection.wait(this.#answer(MessageType.GPADL_CREATED, channel, id));
      const { at } = OpenChannelResult;
      const word = (offset: number): number => answer.view.getUint32(offset, true);
      if (word(at.channel) !== channel || word(at.openId) !== id)
        throw new GuestError('EPROTO', 'GPADL_CREATED of another GPADL');
      if (word(at.status) !== 0) {
        this.#live.delete(id);
        throw new GuestError('EPROTO', 'GPADL refused');
      }
    } catch (error) {
      // The host may have it all the same
      if (has('buffer-kept-without-answer')) this.#live.delete(id);
      else this.teardown(gpadl);
      throw error;
    }
    return gpadl;
  }

  #answer(type: number, channel: number, id: number) {
    const { at, size } = OpenChannelResult;
    const match = (view: DataView): boolean =>
      view.getUint32(at.channel, true) === channel && view.getUint32(at.openId, true) === id;
    return { type, min: size, match };
  }

  /** Ask the host to let go. Returns whether it did. */
  teardown(gpadl: Gpadl): boolean {
    const connection = this.#connection;
    const { id, channel } = gpadl;
    if (connection.context.has('old-channel-not-closed') && this.isObsolete(gpadl)) return true;
    if (!this.#live.has(id)) return true;
    if (connection.version === 0) return false;
    try {
      connection.post(MessageType.GPADL_TEARDOWN, [channel, id]);
      gpadl.asked = true;
      const { view } = connection.wait({
        type: MessageType.GPADL_TORNDOWN,
        min: GpadlTorndown.size,
        match: (answer) => answer.getUint32(GpadlTorndown.at.gpadl, true) === id,
      });
      if (view.getUint32(GpadlTorndown.at.gpadl, true) !== id) return false;
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      return false;
    }
    this.#forget(gpadl);
    return true;
  }

  /** Free a block, or keep it for as long as the host has it. */
  release(block: Block): void {
    const { context } = this.#connection;
    const ignored = (gpadl: Gpadl): boolean =>
      context.has('old-channel-not-closed') && this.isObsolete(gpadl);
    const held = [...this.#live.values()].some((gpadl) => gpadl.block === block && !ignored(gpadl));
    if (!held) context.free(block);
    else if (!context.has('close-leaves-nothing-behind')) this.#kept.add(block);
  }

  /** Forget a GPADL although the host has it. */
  lose(gpadl: Gpadl): void {
    this.#live.delete(gpadl.id);
  }

  /** Tear a GPADL down once more: the host may not know it. */
  teardownAgain(gpadl: Gpadl): void {
    if (this.isObsolete(gpadl)) return;
    this.#live.set(gpadl.id, gpadl);
    this.teardown(gpadl);
    this.#live.delete(gpadl.id);
  }

  /** A GPADL_TORNDOWN that nobody waits for. */
  late({ view, length }: ControlMessage): void {
    if (length < GpadlTorndown.size) return;
    const gpadl = this.#live.get(view.getUint32(GpadlTorndown.at.gpadl, true));
    if (gpadl?.asked === true) this.#forget(gpadl);
  }

  /** The host has let go of everything. */
  forgetAll(): void {
    for (const gpadl of [...this.#live.values()]) this.#forget(gpadl);
  }

  #forget({ id, block }: Gpadl): void {
    this.#live.delete(id);
    if (this.#kept.delete(block)) this.#connection.context.free(block);
  }
}

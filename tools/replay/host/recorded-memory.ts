// SPDX-License-Identifier: GPL-2.0-or-later

/** The GPADLs of the recorded guest: which bytes of which of them the host wrote. */

import {
  GpaRange,
  GpadlBody,
  GpadlHeader,
  GpadlTeardown,
  MessageType,
  OpenChannel,
} from '../../../src/vmbus/protocol.ts';

interface RecordedGpadl {
  readonly name: string;
  readonly pages: number[];
  channel: number | undefined;
  /** Where the inbound ring of that channel begins. */
  outPages: number;
}

/** Reads the recorded guest's messages. */
export class RecordedMemory {
  readonly #gpadls = new Map<number, RecordedGpadl>();
  readonly #counts = new Map<string, number>();
  /** Those that the guest has asked back. */
  readonly #tearing = new Set<number>();

  /** A message that was posted with success. `key`: what it means. */
  posted(message: Uint8Array, key: string): void {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    if (message.length < GpadlBody.size) return;
    const type = view.getUint32(0, true);
    if (type === MessageType.GPADL_HEADER && message.length >= GpadlHeader.size) {
      const count = (this.#counts.get(key) ?? 0) + 1;
      this.#counts.set(key, count);
      const gpadl = { name: `${key} ${count}`, pages: [], channel: undefined, outPages: 0 };
      const id = view.getUint32(GpadlHeader.at.gpadl, true);
      this.#gpadls.set(id, gpadl);
      this.#tearing.delete(id);
      addPages(gpadl.pages, view, GpadlHeader.size + GpaRange.size);
    } else if (type === MessageType.GPADL_BODY) {
      const gpadl = this.#gpadls.get(view.getUint32(GpadlBody.at.gpadl, true));
      if (gpadl !== undefined) addPages(gpadl.pages, view, GpadlBody.size);
    } else if (type === MessageType.GPADL_TEARDOWN && message.length >= GpadlTeardown.size) {
      this.#tearing.add(view.getUint32(GpadlTeardown.at.gpadl, true));
    } else if (type === MessageType.OPEN_CHANNEL && message.length >= OpenChannel.at.outPages + 4) {
      const gpadl = this.#gpadls.get(view.getUint32(OpenChannel.at.gpadl, true));
      if (gpadl === undefined) return;
      gpadl.channel = view.getUint32(OpenChannel.at.channel, true);
      gpadl.outPages = view.getUint32(OpenChannel.at.outPages, true);
    }
  }

  /**
   * The host says that it has let go of a GPADL: its pages may be another one's next. Of one that
   * nobody has asked back a host may say so and write on.
   */
  torndown(id: number): void {
    if (!this.#tearing.delete(id)) return;
    const gpadl = this.#gpadls.get(id);
    if (gpadl !== undefined) this.#gpadls.set(id, { ...gpadl, pages: [] });
  }

  /** What a GPADL is called. */
  nameOf(id: number): string {
    return this.#gpadls.get(id)?.name ?? 'unknown';
  }

  /** The channel whose rings lie in a GPADL. */
  channelOf(id: number): number | undefined {
    return this.#gpadls.get(id)?.channel;
  }

  /** Bytes of data of a channel's inbound ring; undefined if its pages are not known. */
  ringBytes(channel: number): number | undefined {
    const rings = [...this.#gpadls.values()].reverse().find((gpadl) => gpadl.channel === channel);
    const pages = rings === undefined ? 0 : rings.pages.length - rings.outPages - 1;
    return pages > 0 ? pages * 4096 : undefined;
  }

  /** The GPADL in which an address lies: the newest one. */
  locate(address: number): { readonly gpadl: number; readonly offset: number } | undefined {
    for (const [gpadl, { pages }] of [...this.#gpadls].reverse()) {
      const page = pages.indexOf(address - (address % 4096));
      if (page >= 0) return { gpadl, offset: page * 4096 + (address % 4096) };
    }
    return undefined;
  }
}

function addPages(pages: number[], view: DataView, from: number): void {
  for (let at = from; at + 8 <= view.byteLength; at += 8)
    pages.push(Number(view.getBigUint64(at, true)) * 4096);
}

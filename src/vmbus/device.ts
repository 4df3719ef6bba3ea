// SPDX-License-Identifier: GPL-2.0-or-later

/** A device that the host has offered: its identity, its buffers, its channel. */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import { guidText } from '../wire.ts';
import { VmbusChannel, type ChannelHandler } from './channel.ts';
import { MESSAGE_TIMEOUT_MS, type ControlMessage, type VmbusConnection } from './connection.ts';
import { VmbusError } from './errors.ts';
import type { Gpadl, GpadlTable } from './gpadl.ts';
import {
  CloseChannel,
  MessageType,
  OfferChannel,
  OpenChannel,
  OpenChannelResult,
  RelidReleased,
  RingControl,
} from './protocol.ts';

/** Most data pages of one ring. */
const RING_PAGES_MAX = 4096;

/** An offer, copied out of its message. */
export interface Offer {
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly channel: number;
  /** Monitor ID, or -1 if the channel has none. */
  readonly monitor: number;
  readonly connectionId: number;
}

/** Read an OFFER_CHANNEL. The message must be long enough. */
export function readOffer(message: ControlMessage): Offer {
  const { bytes, view } = message;
  const monitored = bytes[OfferChannel.at.monitored] !== 0;
  return {
    interfaceId: guidText(bytes, OfferChannel.at.interfaceId),
    instanceId: guidText(bytes, OfferChannel.at.instanceId),
    channel: view.getUint32(OfferChannel.at.channel, true),
    monitor: monitored ? bytes[OfferChannel.at.monitor]! & 0x7f : -1,
    connectionId: view.getUint32(OfferChannel.at.connectionId, true),
  };
}

/** Sizes of a channel. */
export interface ChannelSizes {
  /** Data pages of each ring: powers of two. */
  readonly outPages: number;
  readonly inPages: number;
  /** Longest packet accepted, in bytes, footer included. */
  readonly packetLength: number;
}

export class VmbusDevice {
  readonly interfaceId: string;
  readonly instanceId: string;
  /** `{instance GUID}`: Windows names NICs so. */
  readonly name: string;
  readonly log: Log;
  readonly pages: SharedMemory;
  readonly connection: VmbusConnection;
  #offer: Offer;
  /** The host has taken the device away. */
  rescinded = false;
  readonly #gpadls: GpadlTable;
  readonly #random: () => number;
  #ring: Region | undefined;
  #ringGpadl: Gpadl | undefined;
  #channel: VmbusChannel | undefined;

  constructor(offer: Offer, connection: VmbusConnection, gpadls: GpadlTable, random: () => number) {
    this.interfaceId = offer.interfaceId;
    this.instanceId = offer.instanceId;
    this.name = `{${offer.instanceId}}`;
    this.connection = connection;
    this.pages = connection.hv.pages;
    this.log = connection.hv.log;
    this.#offer = offer;
    this.#gpadls = gpadls;
    this.#random = random;
  }

  /** Number of the device's channel. */
  get channelId(): number {
    return this.#offer.channel;
  }

  /** The host offers the device again, perhaps on another channel. */
  reoffer(offer: Offer): void {
    if (offer.channel !== this.#offer.channel) {
      this.log.info('VMBUS', this.name, `moved to channel ${offer.channel}`);
    }
    this.#offer = offer;
    this.rescinded = false;
  }

  /** The error for everything that fails because the host has taken the device away. */
  rescindedError(): HypxeError {
    return new HypxeError(VmbusError.ChannelRescinded, `channel ${this.channelId} was rescinded`);
  }

  // --- buffers ---

  /** Let the host use a region through this device's channel. @throws as GpadlTable.establish */
  establishGpadl(region: Region): Gpadl {
    return this.#gpadls.establish(this.#offer.channel, region);
  }

  /** Ask for it back. Returns false if the host did not confirm. */
  teardownGpadl(gpadl: Gpadl): boolean {
    return this.#gpadls.teardown(gpadl);
  }

  // --- channel ---

  /**
   * Open the channel.
   *
   * @throws HypxeError BadRingSize, OutOfMemory, GpadlRefused, OpenRefused, NoResponse,
   * ChannelRescinded, PostFailed: with the channel closed, and the ring freed if the host let go
   */
  open(handler: ChannelHandler, sizes: ChannelSizes): VmbusChannel {
    // Sanity checks
    const outLength = ringBytes(sizes.outPages);
    const inLength = ringBytes(sizes.inPages);

    // Allocate rings, and tell the host of them
    const ring = this.pages.allocate('ring', 2 * RingControl.size + outLength + inLength);
    let gpadl: Gpadl | undefined;
    let posted = false;
    try {
      gpadl = this.establishGpadl(ring);

      // Open channel. The ID is random so that an old answer is not taken for this one
      const openId = this.#random() >>> 0;
      const message = this.connection.begin(MessageType.OPEN_CHANNEL, OpenChannel.size);
      message.setUint32(OpenChannel.at.channel, this.#offer.channel, true);
      message.setUint32(OpenChannel.at.openId, openId, true);
      message.setUint32(OpenChannel.at.gpadl, gpadl.id, true);
      message.setUint32(OpenChannel.at.outPages, 1 + sizes.outPages, true);
      this.connection.post(OpenChannel.size);
      posted = true;
      this.#waitOpened(openId);
    } catch (error) {
      // Undo, in reverse. The host may have opened it without our hearing of it
      if (posted && !refused(error)) this.#postClose();
      if (gpadl !== undefined) this.teardownGpadl(gpadl);
      this.pages.free(ring);
      throw error;
    }

    this.#ring = ring;
    this.#ringGpadl = gpadl;
    const { channel: id, monitor, connectionId: eventConnectionId } = this.#offer;
    const address = { id, monitor, eventConnectionId };
    this.#channel = new VmbusChannel(
      this.connection,
      address,
      handler,
      ring,
      outLength,
      inLength,
      sizes.packetLength,
      this.name,
    );
    const end = ring.address + ring.length;
    const text = `channel ${id} opened, rings at [${hex(ring.address)},${hex(end)})`;
    this.log.debug('VMBUS', this.name, text);
    return this.#channel;
  }

  /**
   * Close the channel.
   *
   * @returns whether the host confirmed that it has let go of the rings; if not they stay reserved
   */
  close(): boolean {
    if (this.#channel === undefined) return true;

    // Close channel. There is no answer to it; a rescinded channel is closed already
    if (!this.rescinded) this.#postClose();
    this.connection.clearSignal(this.channelId);

    // Tear down and free the rings
    const confirmed = this.teardownGpadl(this.#ringGpadl!);
    this.#freeRing();
    this.log.debug('VMBUS', this.name, 'closed');
    return confirmed;
  }

  /** Forget the channel: the connection that it belonged to is gone, and its GPADLs with it. */
  abandon(): void {
    if (this.#channel !== undefined) this.#freeRing();
  }

  /** Tell the host that a rescinded device may be forgotten. Only after everything is torn down. */
  release(): void {
    const message = this.connection.begin(MessageType.RELID_RELEASED, RelidReleased.size);
    message.setUint32(RelidReleased.at.channel, this.#offer.channel, true);
    try {
      this.connection.post(RelidReleased.size);
    } catch (error) {
      if (!(error instanceof HypxeError)) throw error;
      this.log.error('VMBUS', this.name, `could not release channel: ${error.message}`);
    }
  }

  #freeRing(): void {
    this.pages.free(this.#ring!);
    this.#ring = this.#ringGpadl = this.#channel = undefined;
  }

  #postClose(): void {
    const message = this.connection.begin(MessageType.CLOSE_CHANNEL, CloseChannel.size);
    message.setUint32(CloseChannel.at.channel, this.#offer.channel, true);
    try {
      this.connection.post(CloseChannel.size);
    } catch (error) {
      // Go on: our memory must be asked for in any case
      if (!(error instanceof HypxeError)) throw error;
      this.log.error('VMBUS', this.name, `could not close channel: ${error.message}`);
    }
  }

  #waitOpened(openId: number): void {
    // Wait for response to this open, or for the device to be taken away
    const channel = this.#offer.channel;
    const result = this.connection.wait(
      MessageType.OPEN_CHANNEL_RESULT,
      OpenChannelResult.size,
      (reply) =>
        reply.view.getUint32(OpenChannelResult.at.channel, true) === channel &&
        reply.view.getUint32(OpenChannelResult.at.openId, true) === openId,
      MESSAGE_TIMEOUT_MS,
      () => (this.rescinded ? this.rescindedError() : undefined),
    );

    // Check response
    const status = result.view.getUint32(OpenChannelResult.at.status, true);
    if (status === 0) return;
    const text = `opening channel ${channel} failed with status ${hex(status)}`;
    throw new HypxeError(VmbusError.OpenRefused, text);
  }
}

function refused(error: unknown): boolean {
  return error instanceof HypxeError && error.kind === VmbusError.OpenRefused;
}

/** Bytes of a ring's data. @throws HypxeError BadRingSize */
function ringBytes(pages: number): number {
  const valid = Number.isInteger(pages) && pages > 0 && pages <= RING_PAGES_MAX;
  if (!valid || pages & (pages - 1)) {
    throw new HypxeError(VmbusError.BadRingSize, `a ring cannot have ${pages} data pages`);
  }
  return pages * 4096;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

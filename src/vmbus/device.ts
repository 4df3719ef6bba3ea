// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A device that the host has offered, and its channel: opened and closed, with its rings and their
 * GPADL (iPXE vmbus_open, vmbus_close; Linux __vmbus_open).
 */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import { hex } from '../wire.ts';
import { VmbusChannel, type ChannelHandler } from './channel.ts';
import type { VmbusConnection } from './connection.ts';
import type { Gpadl, GpadlTable } from './gpadl.ts';
import type { Offer } from './offer.ts';
import { MessageType, OpenChannel } from './protocol.ts';
import { InboundRing, OutboundRing } from './ring.ts';

/** How a channel is opened. */
export interface ChannelSizes {
  /** Data pages of each ring: powers of two. */
  readonly outPages: number;
  readonly inPages: number;
  /** Longest packet accepted, in bytes, footer included. */
  readonly packetLength: number;
  /** Memory that packets of the guest point to: the host lets go of it with the rings. */
  readonly packets?: Region | undefined;
}

/** What a part of the bus adds where a channel is opened. */
export interface DevicePart {
  /**
   * An OPEN_CHANNEL has been made: change what it says.
   *
   * @param words of the message behind its header, without the user data
   * @param ring guest physical address of the control page of the outbound ring
   */
  opening?(words: number[], device: VmbusDevice, sizes: ChannelSizes, ring: number): void;
  /** The host has opened a channel. */
  opened?(channel: VmbusChannel, sizes: ChannelSizes): void;
  /**
   * A device's channel is about to be closed, or forgotten. Never throws.
   *
   * @param lost the connection that it belonged to is gone: there is nobody to be told
   */
  closing?(device: VmbusDevice, lost: boolean): void;
}

/** A driver bound to a device. */
export interface DriverInstance {
  /** The connection was lost and made anew: start again. @throws HypxeError */
  reset(): void;
  /** Let go of the device. Never throws. */
  remove(): void;
  /** The host has taken the device away: let go of it. Never throws. */
  rescinded(): void;
  /**
   * The connection is gone for good, and with it channels and GPADLs: forget the device without a
   * word to the host. Never throws.
   *
   * @param letGo whether the host has said that it let go of all memory
   */
  abandoned?(letGo: boolean): void;
}

/** What all devices of a bus have in common: the bus. */
export interface DeviceContext {
  readonly connection: VmbusConnection;
  readonly gpadls: GpadlTable;
  /** Number that an OPEN_CHANNEL and its answer are known by, for a channel. */
  readonly openId: (channel: number) => number;
  readonly part: DevicePart | undefined;
}

export class VmbusDevice {
  offer: Offer;
  readonly interfaceId: string;
  readonly instanceId: string;
  /** `{instance GUID}`: Windows names NICs so. */
  readonly name: string;
  readonly log: Log;
  readonly pages: SharedMemory;
  readonly connection: VmbusConnection;
  /** The driver that has it. */
  instance: DriverInstance | undefined;
  /** The host has taken the device away. */
  rescinded = false;
  /** The channel while it is open. */
  channel: VmbusChannel | undefined;
  readonly #context: DeviceContext;
  #ring: Region | undefined;
  #gpadl: Gpadl | undefined;
  /** The last channel, if the host could not be told that it is closed. */
  #unclosed: unknown;

  constructor(offer: Offer, context: DeviceContext) {
    const { connection } = context;
    this.offer = offer;
    this.interfaceId = offer.interfaceId;
    this.instanceId = offer.instanceId;
    this.name = `{${offer.instanceId}}`;
    this.connection = connection;
    this.pages = connection.hv.pages;
    this.log = connection.hv.log;
    this.#context = context;
  }

  /** Number of the device's channel (relid). */
  get channelId(): number {
    return this.offer.channel;
  }

  /** @throws HypxeError ChannelRescinded if the host has taken the device away */
  requireOffered(): void {
    if (!this.rescinded) return;
    throw new HypxeError('ChannelRescinded', `channel ${this.channelId} was rescinded`);
  }

  // --- buffers ---

  /**
   * Let the host use a region through this device's channel.
   *
   * @param pages as GpadlTable.establish
   * @throws HypxeError ChannelRescinded: the number may be another device's by now; and as
   * GpadlTable.establish
   */
  establishGpadl(region: Region, pages?: number[]): Gpadl {
    this.requireOffered();
    return this.#context.gpadls.establish(this.channelId, region, pages);
  }

  /**
   * Ask for it back. Returns false if the host did not confirm. What belongs to a channel that is
   * still open it uses, whatever it says of the GPADL (QEMU).
   */
  teardownGpadl(gpadl: Gpadl): boolean {
    return !this.#unclosed && this.#context.gpadls.teardown(gpadl);
  }

  // --- channel ---

  /**
   * Open the channel.
   *
   * @throws HypxeError OutOfMemory, GpadlRefused, OpenRefused, NoResponse,
   * ChannelRescinded, PostFailed: with the channel closed, and the ring freed if the host let go
   */
  open(handler: ChannelHandler, sizes: ChannelSizes): VmbusChannel {
    const { connection, pages, offer } = this;
    const { part, openId } = this.#context;
    const { memory, pageSize } = pages;
    // Of larger guest pages each ring has at least one
    const outLength = Math.max(sizes.outPages * PAGE_SIZE, pageSize);
    const inLength = Math.max(sizes.inPages * PAGE_SIZE, pageSize);
    const second = pageSize + outLength;

    // Allocate rings, one behind the other, and tell the host of them
    const ring = (this.#ring = pages.allocate('ring', second + pageSize + inLength));
    const { address } = ring;
    const out = new OutboundRing(memory, address, outLength, pageSize);
    const into = new InboundRing(memory, address + second, inLength, pageSize);
    let maybeOpen = false;
    this.#unclosed = undefined;
    try {
      this.#gpadl = this.establishGpadl(ring, [...out.pages, ...into.pages]);
      this.#gpadl.packets = sizes.packets;
      this.requireOffered();

      // Open channel: channel, ID, GPADL, processor, where the inbound ring begins
      const id = openId(offer.channel);
      const words = [offer.channel, id, this.#gpadl.id, 0, out.pages.length];
      part?.opening?.(words, this, sizes, address);
      connection.post(MessageType.OPEN_CHANNEL, words, OpenChannel.size);
      maybeOpen = true;

      // Wait for response to this open, or for the device to be taken away
      const type = MessageType.OPEN_CHANNEL_RESULT;
      const status = connection.waitStatus(type, offer.channel, id, this);
      maybeOpen = status === 0;
      if (!maybeOpen) {
        const text = `opening channel ${offer.channel}: status ${hex(status)}`;
        throw new HypxeError('OpenRefused', text);
      }
    } catch (error) {
      // Undo, in reverse. The host may have opened it without our hearing of it
      if (maybeOpen) this.#postClose();
      if (this.#gpadl) this.teardownGpadl(this.#gpadl);
      this.#freeRing();
      throw error;
    }

    this.channel = new VmbusChannel(this, handler, out, into, sizes.packetLength);
    part?.opened?.(this.channel, sizes);
    return this.channel;
  }

  /**
   * Close the channel. Rings of which the host does not confirm that it has let go stay reserved.
   * Never throws.
   */
  close(): void {
    this.#context.part?.closing?.(this, false);
    if (!this.channel) return;

    // Close channel. There is no answer to it; a rescinded channel is closed already
    if (!this.rescinded) this.#postClose();
    this.connection.setSignal(this.channelId, false);

    // Tear down and free the rings
    this.teardownGpadl(this.#gpadl!);
    this.#freeRing();
  }

  /** Forget the channel: the connection that it belonged to is gone, and its GPADLs with it. */
  abandon(): void {
    this.#context.part?.closing?.(this, true);
    this.#unclosed = undefined;
    if (!this.channel) return;
    this.channel.broken ??= 'ChannelBroken';
    this.#freeRing();
  }

  /**
   * Tell the host that a rescinded channel may be forgotten, and its number used again. Only after
   * everything is torn down.
   */
  release(): void {
    this.#tell(MessageType.RELID_RELEASED);
  }

  #freeRing(): void {
    this.pages.free(this.#ring!);
    this.#ring = this.#gpadl = this.channel = undefined;
  }

  #postClose(): void {
    this.#unclosed = this.#tell(MessageType.CLOSE_CHANNEL);
  }

  /** Say something of the channel, and go on in any case. @returns the error if it was not said */
  #tell(type: number): unknown {
    return this.log.attempt('error', 'VMBUS', this.name, `message type ${type} not sent`, () =>
      this.connection.post(type, [this.channelId]),
    );
  }
}

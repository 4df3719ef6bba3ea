// SPDX-License-Identifier: GPL-2.0-or-later

/** A device that the host has offered: its identity, its channel, and its sub-channels. */

import type { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import type { ChannelHandler, VmbusChannel } from './channel.ts';
import type { VmbusConnection } from './connection.ts';
import type { Gpadl } from './gpadl.ts';
import {
  OfferedChannel,
  type ChannelContext,
  type ChannelSizes,
  type Offer,
} from './offered-channel.ts';

/** Sub-channels of one device (OpenVMM netvsp: 64 queues). */
const SUBCHANNELS_MAX = 64;

export class VmbusDevice {
  readonly interfaceId: string;
  readonly instanceId: string;
  /** `{instance GUID}`: Windows names NICs so. */
  readonly name: string;
  readonly log: Log;
  readonly pages: SharedMemory;
  readonly connection: VmbusConnection;
  readonly #context: ChannelContext;
  readonly #primary: OfferedChannel;
  readonly #subchannels: OfferedChannel[] = [];

  constructor(offer: Offer, context: ChannelContext) {
    const { connection } = context;
    this.interfaceId = offer.interfaceId;
    this.instanceId = offer.instanceId;
    this.name = `{${offer.instanceId}}`;
    this.connection = connection;
    this.pages = connection.hv.pages;
    this.log = connection.hv.log;
    this.#context = context;
    this.#primary = new OfferedChannel(offer, this.name, context);
  }

  /** Number of the device's channel. */
  get channelId(): number {
    return this.#primary.id;
  }

  /** The host has taken the device away. */
  get rescinded(): boolean {
    return this.#primary.rescinded;
  }

  set rescinded(rescinded: boolean) {
    this.#primary.rescinded = rescinded;
  }

  /** The host offers the device again, perhaps on another channel. */
  reoffer(offer: Offer): void {
    if (offer.channel !== this.channelId) {
      this.log.info('VMBUS', this.name, `moved to channel ${offer.channel}`);
    }
    this.#primary.offer = offer;
    this.rescinded = false;
  }

  /** The error for everything that fails because the host has taken the device away. */
  rescindedError(): HypxeError {
    return this.#primary.rescindedError();
  }

  // --- buffers ---

  /** Let the host use a region through this device's channel. @throws as GpadlTable.establish */
  establishGpadl(region: Region): Gpadl {
    return this.#primary.establishGpadl(region);
  }

  /** Ask for it back. Returns false if the host did not confirm. */
  teardownGpadl(gpadl: Gpadl): boolean {
    return this.#primary.teardownGpadl(gpadl);
  }

  // --- channel ---

  /** Open the device's channel. @throws as OfferedChannel.open */
  open(handler: ChannelHandler, sizes: ChannelSizes): VmbusChannel {
    return this.#primary.open(handler, sizes);
  }

  /**
   * Close the sub-channels, then the device's own channel.
   *
   * @returns whether the host confirmed that it has let go of all rings; if not they stay reserved
   */
  close(): boolean {
    let confirmed = true;
    for (let i = this.#subchannels.length - 1; i >= 0; i--) {
      confirmed = this.#subchannels[i]!.close() && confirmed;
    }
    return this.#primary.close() && confirmed;
  }

  /**
   * Forget the channels: the connection that they belonged to is gone, and their GPADLs with it.
   *
   * @param letGo whether the host has let go of them
   */
  abandon(letGo = true): void {
    for (const subchannel of this.#subchannels) subchannel.abandon(letGo);
    this.#subchannels.length = 0;
    this.#primary.abandon(letGo);
  }

  /** Tell the host that a rescinded device may be forgotten. Only after everything is torn down. */
  release(): void {
    for (const subchannel of this.#subchannels) if (subchannel.rescinded) subchannel.release();
    this.#subchannels.length = 0;
    this.#primary.release();
  }

  /** Have the host's events go to another processor. @throws as OfferedChannel.modify */
  modifyChannel(targetVp: number): void {
    this.#primary.modify(targetVp);
  }

  // --- sub-channels ---

  /** Sub-channels that the host has offered: whoever asked for them opens them. */
  get subchannels(): readonly OfferedChannel[] {
    return this.#subchannels;
  }

  /** The device's channel or sub-channel of a number, or undefined. */
  channelById(id: number): OfferedChannel | undefined {
    if (id === this.channelId) return this.#primary;
    for (const subchannel of this.#subchannels) if (subchannel.id === id) return subchannel;
    return undefined;
  }

  /** The host offers a sub-channel. @returns false if it is no good: known already, or too many */
  addSubchannel(offer: Offer): boolean {
    const known = this.#subchannels.some(
      ({ offer: other }) =>
        other.channel === offer.channel || other.subchannel === offer.subchannel,
    );
    if (known || offer.channel === this.channelId) return false;
    if (this.#subchannels.length === SUBCHANNELS_MAX) return false;
    this.#subchannels.push(new OfferedChannel(offer, this.name, this.#context));
    return true;
  }

  /** Let go of the sub-channels that the host has taken away. */
  dropRescindedSubchannels(): void {
    for (let i = this.#subchannels.length - 1; i >= 0; i--) {
      const subchannel = this.#subchannels[i]!;
      if (!subchannel.rescinded) continue;
      subchannel.close();
      subchannel.release();
      this.#subchannels.splice(i, 1);
    }
  }
}

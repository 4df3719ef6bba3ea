// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A channel that the host has offered: a device's own, or one of its sub-channels. Opening and
 * closing it, with its rings and their GPADL (iPXE vmbus_open, vmbus_close; Linux __vmbus_open).
 */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import type { Region, SharedMemory } from '../memory/shared-memory.ts';
import { guidText } from '../wire.ts';
import { VmbusChannel, type ChannelHandler } from './channel.ts';
import type { VmbusConnection } from './connection.ts';
import { MESSAGE_TIMEOUT_MS, type ControlMessage } from './control-messages.ts';
import type { Gpadl, GpadlTable } from './gpadl.ts';
import { placeRing, ringLayout, type RegionPart } from './ring-layout.ts';
import { enableFlowControl } from './ring.ts';
import {
  CloseChannel,
  MessageType,
  ModifyChannel,
  ModifyChannelResponse,
  OfferChannel,
  OpenChannel,
  OpenChannelResult,
  RelidReleased,
  SignalParameters,
  VP_INDEX_DISABLE_INTERRUPT,
  VmbusVersion,
} from './protocol.ts';

/** An offer, copied out of its message. */
export interface Offer {
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly channel: number;
  /** 0: the device's own channel; else which of its sub-channels. */
  readonly subchannel: number;
  /** Monitor ID, or -1 if the channel has none. */
  readonly monitor: number;
  /** Connection ID of the channel's own events: never to be computed. */
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
    subchannel: view.getUint16(OfferChannel.at.subchannelIndex, true),
    monitor: monitored ? bytes[OfferChannel.at.monitor]! & 0x7f : -1,
    connectionId: view.getUint32(OfferChannel.at.connectionId, true),
  };
}

/** How a channel is opened. */
export interface ChannelSizes {
  /** Data pages of each ring: powers of two. */
  readonly outPages: number;
  readonly inPages: number;
  /** Longest packet accepted, in bytes, footer included. */
  readonly packetLength: number;
  /** Memory that packets of the guest point to: the host lets go of it with the rings. */
  readonly packets?: Region | undefined;
  /** Virtual processor whose event flags the host sets; by default 0. */
  readonly targetVp?: number | undefined;
  /**
   * Whether the guest asks the host for a signal when it waits for room in its ring, and says so
   * (Linux; by default not, as iPXE has it).
   */
  readonly flowControl?: boolean | undefined;
}

/** What all channels of a bus have in common. */
export interface ChannelContext {
  readonly connection: VmbusConnection;
  readonly gpadls: GpadlTable;
  /** Number that an OPEN_CHANNEL and its answer are known by, for a channel. */
  readonly openId: (channel: number) => number;
}

/** Tell the host that a rescinded channel may be forgotten, and its number used again. */
export function releaseChannel(connection: VmbusConnection, channel: number, name: string): void {
  const message = connection.begin(MessageType.RELID_RELEASED, RelidReleased.size);
  message.setUint32(RelidReleased.at.channel, channel, true);
  try {
    connection.post(RelidReleased.size);
  } catch (error) {
    if (!(error instanceof HypxeError)) throw error;
    connection.hv.log.error('VMBUS', name, `could not release channel: ${error.message}`);
  }
}

export class OfferedChannel {
  /** For log lines: that of the device. */
  readonly name: string;
  offer: Offer;
  /** The host has taken the channel away. */
  rescinded = false;
  readonly #context: ChannelContext;
  readonly #connection: VmbusConnection;
  readonly #pages: SharedMemory;
  readonly #log: Log;
  #ring: Region | undefined;
  #ringGpadl: Gpadl | undefined;
  #channel: VmbusChannel | undefined;
  #disabled = false;
  /** Whether the host has let go of what the channel last had. */
  #letGo = true;

  constructor(offer: Offer, name: string, context: ChannelContext) {
    this.offer = offer;
    this.name = name;
    this.#context = context;
    this.#connection = context.connection;
    this.#pages = context.connection.hv.pages;
    this.#log = context.connection.hv.log;
  }

  /** Number of the channel (relid). */
  get id(): number {
    return this.offer.channel;
  }

  /** The channel while it is open. */
  get channel(): VmbusChannel | undefined {
    return this.#channel;
  }

  /** The error for everything that fails because the host has taken the channel away. */
  rescindedError(): HypxeError {
    return new HypxeError('ChannelRescinded', `channel ${this.id} was rescinded`);
  }

  /**
   * Let the host use a region, or parts of it, through this channel.
   *
   * @throws HypxeError ChannelRescinded: the number may be another device's by now; and as
   * GpadlTable.establish
   */
  establishGpadl(region: Region, parts?: readonly RegionPart[]): Gpadl {
    if (this.rescinded) throw this.rescindedError();
    return this.#context.gpadls.establish(this.id, region, parts);
  }

  /** Ask for it back. Returns false if the host did not confirm. */
  teardownGpadl(gpadl: Gpadl): boolean {
    return this.#context.gpadls.teardown(gpadl);
  }

  /**
   * Open the channel.
   *
   * @throws HypxeError BadRingSize, OutOfMemory, GpadlRefused, OpenRefused, NoResponse,
   * ChannelRescinded, PostFailed: with the channel closed, and the ring freed if the host let go
   */
  open(handler: ChannelHandler, sizes: ChannelSizes): VmbusChannel {
    // Sanity checks
    const layout = ringLayout(sizes.outPages, sizes.inPages, this.#pages.pageSize);

    // Allocate rings, and tell the host of them
    const ring = this.#pages.allocate('ring', layout.length);
    if (sizes.flowControl) enableFlowControl(this.#pages.memory, ring.address);
    let gpadl: Gpadl | undefined;
    let posted = false;
    try {
      gpadl = this.establishGpadl(ring, layout.parts);
      gpadl.packets = sizes.packets;
      if (this.rescinded) throw this.rescindedError();

      const openId = this.#context.openId(this.id);
      this.#postOpen(gpadl.id, openId, layout.downstreamPage, sizes);
      posted = true;
      this.#waitOpened(openId);
    } catch (error) {
      // Undo, in reverse. The host may have opened it without our hearing of it
      if (posted && !refused(error)) this.#postClose();
      if (gpadl !== undefined) this.teardownGpadl(gpadl);
      this.#pages.free(ring);
      throw error;
    }

    this.#ring = ring;
    this.#ringGpadl = gpadl;
    this.#disabled = sizes.targetVp === VP_INDEX_DISABLE_INTERRUPT;
    const { channel: id, monitor, connectionId: eventConnectionId } = this.offer;
    const address = { id, monitor, eventConnectionId };
    this.#channel = new VmbusChannel(
      this.#connection,
      address,
      handler,
      placeRing(layout.out, ring.address),
      placeRing(layout.in, ring.address),
      sizes.packetLength,
      this.name,
      sizes.flowControl ?? false,
    );
    const end = ring.address + ring.length;
    const text = `channel ${id} opened, rings at [${hex(ring.address)},${hex(end)})`;
    this.#log.debug('VMBUS', this.name, text);
    return this.#channel;
  }

  /**
   * Close the channel.
   *
   * @returns whether the host confirmed that it has let go of the rings; if not they stay reserved
   */
  close(): boolean {
    if (this.#channel === undefined) return this.#letGo;

    // Close channel. There is no answer to it; a rescinded channel is closed already
    if (!this.rescinded) this.#postClose();
    this.#connection.clearSignal(this.id);

    // Tear down and free the rings
    const confirmed = this.teardownGpadl(this.#ringGpadl!);
    this.#freeRing(confirmed);
    this.#log.debug('VMBUS', this.name, 'closed');
    return confirmed;
  }

  /**
   * Forget the channel: the connection that it belonged to is gone, and its GPADLs with it.
   *
   * @param letGo whether the host has let go of them
   */
  abandon(letGo: boolean): void {
    if (this.#channel === undefined) return;
    this.#channel.broken ??= 'ChannelBroken';
    this.#freeRing(letGo);
  }

  /** Tell the host that a rescinded channel may be forgotten. Only after all is torn down. */
  release(): void {
    releaseChannel(this.#connection, this.id, this.name);
  }

  /**
   * Have the host's events for the open channel go to another virtual processor, from 4.1 on (Linux
   * vmbus_send_modifychannel). From 5.3 on the host answers, and no event goes to the old one
   * afterwards; before, nobody knows when it takes effect.
   *
   * @throws HypxeError NotSupported below 4.1 or without events; ModifyRefused, NoResponse,
   * ChannelRescinded, PostFailed
   */
  modify(targetVp: number): void {
    const { version } = this.#connection;
    const possible = version >= VmbusVersion.V4_1 && this.#channel !== undefined;
    if (!possible || this.#disabled || targetVp === VP_INDEX_DISABLE_INTERRUPT) {
      const text = `events of channel ${this.id} cannot be moved to processor ${targetVp}`;
      throw new HypxeError('NotSupported', text);
    }
    const message = this.#connection.begin(MessageType.MODIFY_CHANNEL, ModifyChannel.size);
    message.setUint32(ModifyChannel.at.channel, this.id, true);
    message.setUint32(ModifyChannel.at.targetVp, targetVp, true);
    this.#connection.post(ModifyChannel.size);
    if (version < VmbusVersion.V5_3) return;

    // Wait for response
    const { at, size } = ModifyChannelResponse;
    const channel = this.id;
    const response = this.#connection.wait(
      MessageType.MODIFY_CHANNEL_RESPONSE,
      size,
      (reply) => reply.view.getUint32(at.channel, true) === channel,
      MESSAGE_TIMEOUT_MS,
      () => (this.rescinded ? this.rescindedError() : undefined),
    );
    const status = response.view.getUint32(at.status, true);
    if (status === 0) return;
    const text = `moving channel ${channel} failed with status ${hex(status)}`;
    throw new HypxeError('ModifyRefused', text, status);
  }

  #postOpen(gpadl: number, openId: number, outPages: number, sizes: ChannelSizes): void {
    // From 6.0 on the message is longer once a feature is agreed that needs it
    const { offer } = this;
    const long = this.#connection.features !== 0;
    const length = OpenChannel.size + (long ? SignalParameters.size : 0);
    const message = this.#connection.begin(MessageType.OPEN_CHANNEL, length);
    message.setUint32(OpenChannel.at.channel, offer.channel, true);
    message.setUint32(OpenChannel.at.openId, openId, true);
    message.setUint32(OpenChannel.at.gpadl, gpadl, true);
    message.setUint32(OpenChannel.at.targetVp, sizes.targetVp ?? 0, true);
    message.setUint32(OpenChannel.at.outPages, outPages, true);
    if (long) {
      // What the host would choose
      const parameters = OpenChannel.size;
      const { at } = SignalParameters;
      message.setUint32(parameters + at.connectionId, offer.connectionId, true);
      message.setUint16(parameters + at.eventFlag, offer.channel, true);
    }
    this.#connection.post(length);
  }

  #freeRing(letGo: boolean): void {
    this.#letGo = letGo;
    this.#pages.free(this.#ring!);
    this.#ring = this.#ringGpadl = this.#channel = undefined;
  }

  #postClose(): void {
    const message = this.#connection.begin(MessageType.CLOSE_CHANNEL, CloseChannel.size);
    message.setUint32(CloseChannel.at.channel, this.offer.channel, true);
    try {
      this.#connection.post(CloseChannel.size);
    } catch (error) {
      // Go on: our memory must be asked for in any case
      if (!(error instanceof HypxeError)) throw error;
      this.#log.error('VMBUS', this.name, `could not close channel: ${error.message}`);
    }
  }

  #waitOpened(openId: number): void {
    // Wait for response to this open, or for the device to be taken away
    const channel = this.offer.channel;
    const result = this.#connection.wait(
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
    throw new HypxeError('OpenRefused', text);
  }
}

function refused(error: unknown): boolean {
  return error instanceof HypxeError && error.name === 'OpenRefused';
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

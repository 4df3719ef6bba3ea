// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where somebody plugs in who does more with a NetVSC than the firmware: later versions of NVSP, a
 * send buffer, sub-channels. A part sees {@link NetvscHost}, and is called as {@link NetvscPart}.
 */

import type { ErrorName } from '../error.ts';
import type { Log } from '../events.ts';
import type { Region } from '../memory/shared-memory.ts';
import type { RndisReceiver } from '../rndis/transport.ts';
import type { Clock } from '../time.ts';
import type { ChannelHandler, VmbusChannel } from '../vmbus/channel.ts';
import type { ChannelSizes, VmbusDevice } from '../vmbus/device.ts';
import type { Packet } from '../vmbus/packet.ts';

/** A NetVSC as its part sees it. */
export interface NetvscHost extends ChannelHandler {
  readonly device: VmbusDevice;
  readonly log: Log;
  readonly clock: Clock;
  /** The device's own channel while it is open. */
  readonly channel: VmbusChannel | undefined;
  /** Why nothing can be sent any more, or undefined. */
  readonly failure: ErrorName | undefined;
  /** The memory of the transmit buffers, which packets point to, while the device is open. */
  readonly packets: Region | undefined;
  /** Whether to handle no more packets now: an answer has come, or the device was closed. */
  readonly isStopped: boolean;
  /** Page set of the receive buffer, 16 bits: for the part to choose in its constructor. */
  pageSet: number;

  /**
   * Send an NVSP message and wait for its completion.
   *
   * @param id transaction ID, relative to iPXE's base
   * @param what for the texts of errors
   * @param words of the message, the type first; zeros follow
   * @param type that the completion must have; 0 if it may also be empty
   * @param length that the completion must have at least
   * @param timeoutMs how long the host may take, by default as the policy has it
   * @returns the completion
   * @throws HypxeError NoCompletion, BadCompletion, RingFull, or what broke the device
   */
  request(
    id: number,
    what: string,
    words: readonly number[],
    type?: number,
    length?: number,
    timeoutMs?: number,
  ): DataView;
  /**
   * Send an NVSP message that has no completion.
   *
   * @throws HypxeError RingFull, or what broke the device
   */
  tell(what: string, words: readonly number[], transactionId?: number): void;
  /**
   * Tell the host of a message that lies in a transmit buffer.
   *
   * @param id transaction ID, relative to iPXE's base
   * @param control whether it is a control message, and no frame
   * @returns false if the ring has no room
   */
  sendDirect(
    channel: VmbusChannel,
    id: number,
    address: number,
    length: number,
    control: boolean,
  ): boolean;
  /** Messages that are with the host, by their IDs. */
  forEachInFlight(action: (id: number) => void): void;
  /** Handle what has come on a channel, until {@link isStopped}, within a bound. */
  pollChannel(channel: VmbusChannel): void;
  /** Handle what has come on all channels. */
  pollPackets(): void;
  /** Who hears of it when there may be room for frames. */
  readonly receiver: RndisReceiver | undefined;
  /** Take transfer pages that came on a channel, and complete them there. */
  receivedPages(packet: Packet, channel?: VmbusChannel): void;
}

/** What a part does, in the order of a device's life. The firmware's own is the least there is. */
export interface NetvscPart {
  /** Length of all NVSP messages of the guest on the ring; by default that of NVSP 1. */
  readonly messageLength?: number;
  /** How the channel is opened besides the policy. */
  readonly sizes?: Partial<ChannelSizes>;
  /** The channel is about to be opened. @throws HypxeError */
  opening?(): void;
  /** Agree on a version and announce what must be known before the receive buffer. @throws */
  negotiate(): void;
  /** The host has the receive buffer. @throws HypxeError */
  opened?(): void;
  /** RNDIS is initialised. @throws HypxeError if the device is of no use any more */
  initialised?(): void;
  /** Send a frame that lies in a transmit buffer. Returns false if there is no room. */
  send?(id: number, buffer: number, length: number): boolean;
  /** Handle what has come on all channels; by default on the device's own. */
  poll?(channel: VmbusChannel): void;
  /** An in-band packet. Returns whether it was for the part. */
  receivedInband?(packet: Packet): boolean;
  /** Ask for the buffers back, before the channel is closed. Never throws. */
  closing(): void;
  /** The channel is closed, or was never open: let go of everything. Never throws. */
  closed?(): void;
}

/** Makes the part of a NetVSC. */
export type NetvscPlug = (netvsc: NetvscHost) => NetvscPart;

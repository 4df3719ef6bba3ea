// SPDX-License-Identifier: GPL-2.0-or-later

/** One channel of a NIC of the loaded OS: drained when its event has come (`netvsc_poll`). */

import type { ErrorName } from '../../src/error.ts';
import type { Log } from '../../src/events.ts';
import { NvspStatus, NvspType } from '../../src/netvsc/protocol.ts';
import type { ChannelHandler, VmbusChannel } from '../../src/vmbus/channel.ts';
import type { Packet } from '../../src/vmbus/packet.ts';
import { XferPageHeader, XferPageRange } from '../../src/vmbus/protocol.ts';
import { wordBytes } from '../../src/wire.ts';
import type { OsDevice } from './os-device.ts';
import type { NetvscBuffers } from './os-netvsc-buffers.ts';
import type { NetvscTransmit } from './os-netvsc-transmit.ts';
import { RequestIds } from './os-request-ids.ts';

/** Longest packet of a host, footer included: as many ranges as a ring may reasonably hold. */
const PACKET_MAX = 16_384;

/** Requests in flight on a channel. */
const REQUESTS_MAX = 512;

/** Packets handled in one poll (NAPI's weight, many times over). */
const PACKETS_PER_POLL_MAX = 4096;

/** What a completion of data says. */
const COMPLETIONS = {
  good: wordBytes(8, NvspType.SEND_RNDIS_PACKET_COMPLETE, NvspStatus.SUCCESS),
  bad: wordBytes(8, NvspType.SEND_RNDIS_PACKET_COMPLETE, NvspStatus.FAIL),
};

/** Whose queue it is. */
export interface QueueOwner {
  readonly log: Log;
  readonly buffers: NetvscBuffers;
  readonly transmit: NetvscTransmit;
  completed(queue: NetvscQueue, packet: Packet): void;
  receivedInband(packet: Packet): void;
  receivedPages(queue: NetvscQueue, packet: Packet): void;
}

export class NetvscQueue implements ChannelHandler {
  readonly device: OsDevice;
  readonly channel: VmbusChannel;
  readonly ids = new RequestIds(REQUESTS_MAX);
  readonly #owner: QueueOwner;

  /** Opens the channel. @throws HypxeError as VmbusDevice.open */
  constructor(owner: QueueOwner, device: OsDevice) {
    this.#owner = owner;
    this.device = device;
    const { ringPages } = owner.buffers;
    const packets = owner.transmit.region;
    const sizes = { outPages: ringPages, inPages: ringPages, packetLength: PACKET_MAX, packets };
    this.channel = device.open(this, sizes);
    this.channel.completionPayload = COMPLETIONS.good;
  }

  /** Drain the ring if the host has set the channel's flag, or there was too much last time. */
  poll(): void {
    const { device, channel } = this;
    if (!device.event || device.rescinded || device.channel !== channel) return;
    device.event = false;
    const count = channel.part?.drain(PACKETS_PER_POLL_MAX) ?? 0;
    if (count === PACKETS_PER_POLL_MAX) device.event = true;
  }

  /** Give the host its pages back. */
  complete(idLow: number, idHigh: number, good: boolean): void {
    this.channel.completionPayload = good ? COMPLETIONS.good : COMPLETIONS.bad;
    this.channel.complete(idLow, idHigh);
    this.channel.completionPayload = COMPLETIONS.good;
  }

  /** A range of a packet with transfer pages. */
  static range({ view }: Packet, index: number): { offset: number; length: number } {
    const at = XferPageHeader.size + index * XferPageRange.size;
    return {
      length: view.getUint32(at + XferPageRange.at.length, true),
      offset: view.getUint32(at + XferPageRange.at.offset, true),
    };
  }

  // --- ChannelHandler ---

  completed(packet: Packet): void {
    this.#owner.completed(this, packet);
  }

  receivedInband(packet: Packet): void {
    this.#owner.receivedInband(packet);
  }

  receivedPages(packet: Packet): void {
    this.#owner.receivedPages(this, packet);
  }

  cancelled(): void {}

  malformed(kind: ErrorName, text: string): void {
    this.#owner.log.error('NETVSC', this.device.name, `${kind}: ${text}`);
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A device on the bus of the loaded OS: its channel is opened and closed as Linux does it
 * (`__vmbus_open`, `vmbus_close`), with rings of Linux's sizes.
 */

import { HypxeError } from '../../src/error.ts';
import { PAGE_SIZE } from '../../src/machine.ts';
import type { Region } from '../../src/memory/shared-memory.ts';
import type { OsChannelSizes } from '../../src/os/channel.ts';
import { VmbusChannel, type ChannelHandler } from '../../src/vmbus/channel.ts';
import { VmbusDevice, type DeviceContext } from '../../src/vmbus/device.ts';
import type { Gpadl } from '../../src/vmbus/gpadl.ts';
import type { Offer } from '../../src/vmbus/offer.ts';
import { MessageType, OpenChannel } from '../../src/vmbus/protocol.ts';
import { subchannelsOf } from '../../src/os/subchannels.ts';
import { OsInboundRing, OsOutboundRing } from './os-ring.ts';

export class OsDevice extends VmbusDevice {
  /** VP index of the processor that takes its events. */
  readonly targetVp: number;
  /** The host has set its event flag since it was last looked at. */
  event = false;
  readonly #context: DeviceContext;
  #ring: Region | undefined;
  #gpadl: Gpadl | undefined;

  constructor(offer: Offer, context: DeviceContext, targetVp: number) {
    super(offer, context);
    this.targetVp = targetVp;
    this.#context = context;
  }

  /**
   * Open the channel.
   *
   * @param sizes of the rings in Hyper-V pages, control page included: at least two guest pages
   * @throws HypxeError as VmbusDevice.open
   */
  override open(handler: ChannelHandler, sizes: OsChannelSizes): VmbusChannel {
    const { connection, pages, offer, targetVp } = this;
    const { part, openId } = this.#context;
    const { memory, pageSize } = pages;
    const full: OsChannelSizes = { flowControl: true, ...sizes, targetVp };
    const bytes = (count: number): number => Math.max(count * PAGE_SIZE, 2 * pageSize);
    const out = bytes(sizes.outPages);
    const into = bytes(sizes.inPages);

    // The host sees 4 KiB of each control page (HV_GPADL_RING)
    const ring = (this.#ring = pages.allocate('ring', out + into));
    const { address } = ring;
    const numbers = [...ringPages(0, out, pageSize), ...ringPages(out, into, pageSize)];
    let posted = false;
    try {
      this.#gpadl = this.establishGpadl(
        ring,
        numbers.map((offset) => (address + offset) / PAGE_SIZE),
      );
      this.#gpadl.packets = sizes.packets;
      this.requireOffered();

      // Open channel
      const id = openId(offer.channel);
      const downstream = ringPages(0, out, pageSize).length;
      const words = [offer.channel, id, this.#gpadl.id, targetVp, downstream];
      part?.opening?.(words, this, full, address);
      connection.post(MessageType.OPEN_CHANNEL, words, OpenChannel.size);
      posted = true;
      const type = MessageType.OPEN_CHANNEL_RESULT;
      const status = connection.waitStatus(type, offer.channel, id, this);
      if (status !== 0) {
        const text = `opening channel ${offer.channel}: status 0x${status.toString(16)}`;
        throw new HypxeError('OpenRefused', text);
      }
    } catch (error) {
      // A result that never came: the host may have opened it
      if (posted && !(error instanceof HypxeError && error.name === 'OpenRefused')) {
        this.#postClose();
      }
      if (this.#gpadl) this.teardownGpadl(this.#gpadl);
      this.#freeRing();
      throw error;
    }
    const second = address + out;
    this.channel = new VmbusChannel(
      this,
      handler,
      new OsOutboundRing(memory, address, out - pageSize, pageSize),
      new OsInboundRing(memory, second, into - pageSize, pageSize),
      sizes.packetLength,
    );
    part?.opened?.(this.channel, full);
    this.event = true;
    return this.channel;
  }

  /** Close the channel, its sub-channels first (`vmbus_close`). Never throws. */
  override close(): void {
    for (const subchannel of subchannelsOf(this)) subchannel.close();
    if (!this.channel) return;
    if (!this.rescinded) this.#postClose();
    this.connection.setSignal(this.channelId, false);
    this.teardownGpadl(this.#gpadl!);
    this.#freeRing();
  }

  override abandon(): void {
    for (const subchannel of subchannelsOf(this).splice(0)) subchannel.abandon();
    if (!this.channel) return;
    this.channel.broken ??= 'ChannelBroken';
    this.#freeRing();
  }

  #freeRing(): void {
    this.pages.free(this.#ring!);
    this.#ring = this.#gpadl = this.channel = undefined;
  }

  #postClose(): void {
    this.log.attempt('error', 'VMBUS', this.name, 'could not close channel', () =>
      this.connection.post(MessageType.CLOSE_CHANNEL, [this.channelId]),
    );
  }
}

/** Offsets of the pages of a ring that the host is told of: of a large control page 4 KiB. */
function ringPages(start: number, length: number, pageSize: number): number[] {
  const pages = [start];
  for (let at = pageSize; at < length; at += PAGE_SIZE) pages.push(start + at);
  return pages;
}

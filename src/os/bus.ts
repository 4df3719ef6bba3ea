// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The bus as an OS has it: what comes and goes after the enumeration (late offers, sub-channels,
 * rescinds of both; Linux vmbus_onoffer and its likes), and channels with targets and flow control.
 */

import type { VmbusBus } from '../vmbus/bus.ts';
import type { BusPart } from '../vmbus/bus-part.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import { VmbusDevice, releaseChannel } from '../vmbus/device.ts';
import type { Offer } from '../vmbus/offer.ts';
import { OpenChannel, VMBUS_CHANNEL_MAX } from '../vmbus/protocol.ts';
import { wordOf } from './contact.ts';
import { OsChannel, enableFlowControl, type OsChannelSizes } from './channel.ts';
import { claimSint, connectionsOf } from './sints.ts';

/** Sub-channels of one device (OpenVMM netvsp: 64 queues). */
const SUBCHANNELS_MAX = 64;

/** For {@link BusOptions.part}. */
export class OsBus implements BusPart {
  readonly #bus: VmbusBus;
  #late: Offer[] = [];
  /** Channels that were offered and rescinded, and of which nobody ever knew. */
  #struck: number[] = [];

  readonly #makeDevice: (offer: Offer) => VmbusDevice;

  /** @param makeDevice makes sub-channels; by default as the bus makes its devices */
  constructor(
    bus: VmbusBus,
    makeDevice: (offer: Offer) => VmbusDevice = (offer) => new VmbusDevice(offer, bus),
  ) {
    this.#bus = bus;
    this.#makeDevice = makeDevice;
  }

  settingUp(): void {
    claimSint(this.#bus.connection);
  }

  tornDown(): void {
    connectionsOf(this.#bus.hv).delete(this.#bus.connection);
  }

  lost(): void {
    this.#late = [];
    this.#struck = [];
  }

  // --- channels ---

  /** From 6.0 on the message is longer once a feature is agreed that needs it. */
  opening(
    words: number[],
    { offer, pages }: VmbusDevice,
    { targetVp = 0, flowControl = false }: OsChannelSizes,
    ring: number,
  ): void {
    if (flowControl) enableFlowControl(pages.memory, ring);
    words[wordOf(OpenChannel.at.targetVp)] = targetVp;
    const features = connectionsOf(this.#bus.hv).get(this.#bus.connection) ?? 0;
    if (features === 0) return;

    // What the host would choose, behind the user data: connection ID, event flag
    const end = wordOf(OpenChannel.size);
    while (words.length < end) words.push(0);
    words.push(offer.connectionId, offer.channel);
  }

  opened(channel: VmbusChannel, sizes: OsChannelSizes): void {
    channel.part = new OsChannel(channel, this.#bus.hv.pages.memory, sizes);
  }

  // --- offers ---

  offered(offer: Offer): boolean {
    const { log } = this.#bus.hv;
    if (offer.subchannel !== 0) return this.#addSubchannel(offer);
    if (this.#late.some(({ channel }) => channel === offer.channel)) {
      log.error('VMBUS', '', `channel ${offer.channel} is offered twice`);
    } else {
      this.#late.push(offer);
    }
    return true;
  }

  /** @returns false if it is no good: of no device, known already, or too many */
  #addSubchannel(offer: Offer): boolean {
    const { channel, instanceId, subchannel } = offer;
    const device = this.#bus.devices.find(
      (each) => each.instanceId === instanceId && !each.rescinded,
    );
    if (device === undefined || channel === device.channelId) return false;
    const { subchannels } = device;
    const known = subchannels.some(
      ({ offer: other }) => other.channel === channel || other.subchannel === subchannel,
    );
    if (known || subchannels.length === SUBCHANNELS_MAX) return false;
    subchannels.push(this.#makeDevice(offer));
    return true;
  }

  rescinded(channel: number, struck: boolean): boolean {
    const index = this.#late.findIndex((offer) => offer.channel === channel);
    if (index >= 0) this.#late.splice(index, 1);
    if (struck || index >= 0) {
      this.#struck.push(channel);
      return true;
    }
    for (const { name, subchannels } of this.#bus.devices) {
      const found = subchannels.find(({ channelId }) => channelId === channel);
      if (found === undefined || found.rescinded) continue;
      found.rescinded = true;
      const text = `the host takes sub-channel ${found.offer.subchannel} away`;
      this.#bus.hv.log.warning('VMBUS', name, text);
      return true;
    }
    return false;
  }

  /** Sub-channels before the devices they belong to. */
  settling(): void {
    for (const { subchannels } of this.#bus.devices) {
      for (let i = subchannels.length - 1; i >= 0; i--) {
        const subchannel = subchannels[i]!;
        if (!subchannel.rescinded) continue;
        subchannel.close();
        subchannel.release();
        subchannels.splice(i, 1);
      }
    }
  }

  settled(): void {
    for (let id = this.#struck.shift(); id !== undefined; id = this.#struck.shift()) {
      releaseChannel(this.#bus.connection, id, '');
    }
    this.#probeLate();
  }

  /** Give late offers to their drivers; what comes meanwhile is for the next poll. */
  #probeLate(): void {
    for (let i = 0; i < VMBUS_CHANNEL_MAX; i++) {
      const offer = this.#late.shift();
      if (offer === undefined) return;
      const known = this.#bus.devices.find(
        (device) => device.channelId === offer.channel || device.instanceId === offer.instanceId,
      );
      if (known === undefined) {
        this.#bus.bind(this.#bus.add(offer));
        continue;
      }
      const text = `ignoring offer of channel ${offer.channel}: the device is there already`;
      this.#bus.hv.log.error('VMBUS', known.name, text);
    }
  }
}

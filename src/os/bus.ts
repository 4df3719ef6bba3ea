// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The bus as an OS has it: sub-channels that come and go (Linux vmbus_onoffer and its likes), and
 * channels with targets and flow control.
 */

import type { VmbusBus } from '../vmbus/bus.ts';
import type { BusPart } from '../vmbus/bus-part.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import { VmbusDevice } from '../vmbus/device.ts';
import type { Offer } from '../vmbus/offer.ts';
import { OpenChannel } from '../vmbus/protocol.ts';
import { wordOf } from './contact.ts';
import { OsChannel, enableFlowControl, type OsChannelSizes } from './channel.ts';
import { claimSint, connectionsOf } from './sints.ts';
import { subchannelsOf } from './subchannels.ts';

/** Sub-channels of one device (OpenVMM netvsp: 64 queues). */
const SUBCHANNELS_MAX = 64;

/** For {@link BusOptions.part}. */
export class OsBus implements BusPart {
  readonly #bus: VmbusBus;
  /** Devices that were closed since settling began. */
  readonly #closed = new Set<VmbusDevice>();

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

  /** Sub-channels are closed before the device's own channel. */
  closing(device: VmbusDevice, lost: boolean): void {
    const subchannels = subchannelsOf(device);
    if (lost) for (const subchannel of subchannels.splice(0)) subchannel.abandon();
    for (const subchannel of [...subchannels].reverse()) subchannel.close();
    this.#closed.add(device);
  }

  // --- offers ---

  /** @returns false if it is no good: of no device, known already, or too many */
  offered(offer: Offer): boolean {
    const { channel, instanceId, subchannel } = offer;
    const device = this.#bus.devices.find(
      (each) => each.instanceId === instanceId && !each.rescinded,
    );
    if (device === undefined || channel === device.channelId) return false;
    const subchannels = subchannelsOf(device);
    const known = subchannels.some(
      ({ offer: other }) => other.channel === channel || other.subchannel === subchannel,
    );
    if (known || subchannels.length === SUBCHANNELS_MAX) return false;
    subchannels.push(this.#makeDevice(offer));
    return true;
  }

  rescinded(channel: number): boolean {
    for (const device of this.#bus.devices) {
      const found = subchannelsOf(device).find(({ channelId }) => channelId === channel);
      if (found === undefined || found.rescinded) continue;
      found.rescinded = true;
      const text = `the host takes sub-channel ${found.offer.subchannel} away`;
      this.#bus.hv.log.warning('VMBUS', device.name, text);
      return true;
    }
    return false;
  }

  /** Sub-channels before the devices they belong to. */
  settling(): void {
    this.#closed.clear();
    this.#letGo(this.#bus.devices);
  }

  settled(): void {
    // While a device was closed the host may have taken its sub-channels away too
    this.#letGo([...this.#closed]);
  }

  /** Let go of the sub-channels that were taken away. */
  #letGo(devices: readonly VmbusDevice[]): void {
    for (const subchannels of devices.map(subchannelsOf)) {
      for (let i = subchannels.length - 1; i >= 0; i--) {
        const subchannel = subchannels[i]!;
        if (!subchannel.rescinded) continue;
        subchannel.close();
        subchannel.release();
        subchannels.splice(i, 1);
      }
    }
  }
}

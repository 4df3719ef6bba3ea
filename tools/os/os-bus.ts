// SPDX-License-Identifier: GPL-2.0-or-later

/** The bus of the loaded OS: devices of Linux's kind, found by the events of their channels. */

import { OsBus } from '../../src/os/bus.ts';
import { VmbusBus, type BusOptions } from '../../src/vmbus/bus.ts';
import type { Offer } from '../../src/vmbus/offer.ts';
import { subchannelsOf } from '../../src/os/subchannels.ts';
import { OsDevice } from './os-device.ts';
import type { OsHyperV } from './os-hyperv.ts';
import type { TargetCpus } from './os-target-cpu.ts';

export class OsVmbus extends VmbusBus {
  readonly #targets: TargetCpus;

  constructor(hv: OsHyperV, options: BusOptions, targets: TargetCpus) {
    super(hv, {
      ...options,
      part: (bus) => new OsBus(bus, (offer) => (bus as OsVmbus).makeDevice(offer)),
    });
    this.#targets = targets;
  }

  override add(offer: Offer): OsDevice {
    const device = this.makeDevice(offer);
    this.devices.push(device);
    return device;
  }

  /** A device or sub-channel, with its processor. */
  makeDevice(offer: Offer): OsDevice {
    return new OsDevice(offer, this, this.#targets.assign(offer));
  }

  /** The device or sub-channel with a number. */
  channelById(id: number): OsDevice | undefined {
    for (const device of this.devices) {
      if (device.channelId === id) return device as OsDevice;
      const found = subchannelsOf(device).find(({ channelId }) => channelId === id);
      if (found !== undefined) return found as OsDevice;
    }
    return undefined;
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** The driver of network devices: binds NetVSC and RNDIS to what the bus offers. */

import type { Log } from '../events.ts';
import type { NetDevice } from '../net/device.ts';
import { RndisDevice } from '../rndis/rndis.ts';
import type { DriverInstance, VmbusDriver } from '../vmbus/bus-driver.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import { DeviceClass } from '../vmbus/protocol.ts';
import { firmwareNetvsc } from './firmware-part.ts';
import { Netvsc } from './netvsc.ts';
import type { NetvscPlug } from './part.ts';
import type { NetvscPolicy } from './policy.ts';

export class NetvscDriver implements VmbusDriver {
  readonly interfaceId = DeviceClass.NETWORK;
  readonly #policy: NetvscPolicy;
  readonly #log: Log;
  readonly #plug: NetvscPlug;
  readonly #devices: RndisDevice[] = [];
  /** Number of the next device: from 0 again once none is left (iPXE unregister_netdev). */
  #registered = 0;

  /** @param plug makes what each NetVSC shall do beyond the firmware; see `src/os/` */
  constructor(policy: NetvscPolicy, log: Log, plug: NetvscPlug = firmwareNetvsc) {
    this.#policy = policy;
    this.#log = log;
    this.#plug = plug;
  }

  /** The registered devices, in order of their offers. */
  get devices(): readonly NetDevice[] {
    return this.#devices;
  }

  probe(vmbusDevice: VmbusDevice): DriverInstance {
    // Describe device
    const netvsc = new Netvsc(vmbusDevice, this.#policy, this.#plug);
    const device = new RndisDevice(`net${this.#registered}`, netvsc);
    device.describe();

    // Register it
    this.#registered++;
    this.#devices.push(device);
    this.#log.emit({ kind: 'netdev', change: 'register', name: device.name });

    // Whyever it goes: a device that nobody listens to any more is closed without a word
    const remove = (): void => {
      device.close();
      this.#devices.splice(this.#devices.indexOf(device), 1);
      if (this.#devices.length === 0) this.#registered = 0;
      this.#log.emit({ kind: 'netdev', change: 'unregister', name: device.name });
    };
    return { reset: () => device.reset(), remove, rescinded: remove, abandoned: remove };
  }
}

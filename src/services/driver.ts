// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The drivers of the utility services: one for each service that is asked for, and one for each
 * that is known and not served. A service that fails is left out; it never fails the bus.
 */

import { isNamed } from '../error.ts';
import type { DriverInstance, VmbusDriver } from '../vmbus/bus-driver.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import { DeviceClass } from '../vmbus/protocol.ts';
import { IcChannel } from './ic-channel.ts';
import { UnservedClass } from './protocol.ts';
import type { IcService } from './service.ts';

/** Classes of services, with their names for the log. */
const CLASSES: readonly (readonly [interfaceId: string, name: string])[] = [
  [DeviceClass.HEARTBEAT, 'heartbeat'],
  [DeviceClass.SHUTDOWN, 'shutdown'],
  [DeviceClass.TIME_SYNC, 'time synchronisation'],
  [DeviceClass.FILE_COPY, 'file copy'],
  [UnservedClass.KVP_EXCHANGE, 'key-value exchange'],
  [UnservedClass.VSS, 'volume snapshots'],
  [UnservedClass.RDV, 'remote desktop'],
];

/** A device that is known, but that nobody drives. */
const UNDRIVEN: DriverInstance = { reset() {}, remove() {}, rescinded() {} };

/**
 * The drivers for these services, for {@link DriverOptions.drivers}. None at all if no service is
 * asked for.
 */
export function serviceDrivers(services: readonly IcService[]): VmbusDriver[] {
  if (services.length === 0) return [];
  const refused = CLASSES.filter(([id]) => !services.some((s) => s.interfaceId === id));
  return [
    ...services.map((service) => new ServiceDriver(service)),
    ...refused.map(([interfaceId, name]) => refusingDriver(interfaceId, name)),
  ];
}

/** Drives the first device of a service's class. */
class ServiceDriver implements VmbusDriver {
  readonly interfaceId: string;
  readonly #service: IcService;
  #channel: IcChannel | undefined;

  constructor(service: IcService) {
    this.interfaceId = service.interfaceId;
    this.#service = service;
  }

  probe(device: VmbusDevice): DriverInstance {
    if (this.#channel !== undefined) {
      refuse(device, this.#service.name, 'is served already');
      return UNDRIVEN;
    }
    const channel = new IcChannel(device, this.#service);
    this.#open(channel, device);
    if (!channel.isOpen) return UNDRIVEN;
    this.#channel = channel;
    const gone = (end: () => void): void => {
      end();
      this.#channel = undefined;
    };
    return {
      reset: () => {
        channel.abandon();
        this.#open(channel, device);
      },
      remove: () => gone(() => channel.finish()),
      rescinded: () => gone(() => channel.close('the host has taken it away')),
    };
  }

  /** Open, or be left out. @throws HypxeError Cancelled: then everything ends, not only this */
  #open(channel: IcChannel, device: VmbusDevice): void {
    try {
      channel.open();
    } catch (error) {
      if (!isNamed(error) || error.name === 'Cancelled') throw error;
      const text = `left out: ${error.message}`;
      device.log.error('UTIL', this.#service.name, text);
    }
  }

  poll(): void {
    this.#channel?.poll();
  }
}

function refusingDriver(interfaceId: string, name: string): VmbusDriver {
  return {
    interfaceId,
    probe: (device) => {
      refuse(device, name, 'is not served');
      return UNDRIVEN;
    },
  };
}

function refuse(device: VmbusDevice, name: string, why: string): void {
  device.log.info('UTIL', name, `channel ${device.channelId} stays closed: this service ${why}`);
}

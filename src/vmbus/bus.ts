// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The bus: connects, collects the offers, gives each device to the driver of its class, and takes
 * everything down again (iPXE vmbus_probe, vmbus_reset, vmbus_remove).
 */

import { HypxeError } from '../error.ts';
import { HypervError } from '../hyperv/errors.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import { VmbusConnection, type ControlMessage, type UnsolicitedHandler } from './connection.ts';
import type { ContactPolicy } from './contact.ts';
import { VmbusDevice, readOffer, type Offer } from './device.ts';
import { GpadlTable } from './gpadl.ts';
import {
  MessageHeader,
  MessageType,
  OfferChannel,
  RescindChannelOffer,
  VMBUS_CHANNEL_MAX,
} from './protocol.ts';

/** A driver bound to a device. */
export interface DriverInstance {
  /** The connection was lost and made anew: start again. @throws HypxeError */
  reset(): void;
  /** Let go of the device. Never throws. */
  remove(): void;
  /** The host has taken the device away: let go of it. Never throws. */
  rescinded(): void;
}

/** A driver for a class of devices. */
export interface VmbusDriver {
  readonly interfaceId: string;
  /** Take a device. @throws HypxeError with everything undone */
  probe(device: VmbusDevice): DriverInstance;
}

/** What the bus is made with. */
export interface BusOptions {
  readonly contact: ContactPolicy;
  readonly drivers: readonly VmbusDriver[];
  readonly random: () => number;
  /** How long the host may take to answer UNLOAD at the end, in ms. */
  readonly unloadTimeoutMs?: number;
  /** First GPADL ID less one. */
  readonly firstGpadl?: number;
}

interface Bound {
  readonly device: VmbusDevice;
  readonly instance: DriverInstance;
}

export class VmbusBus implements UnsolicitedHandler {
  readonly connection: VmbusConnection;
  readonly #hv: HyperV;
  readonly #options: BusOptions;
  readonly #gpadls: GpadlTable;
  #bound: Bound[] = [];
  /** Devices being probed: known, but not yet bound. */
  #devices: VmbusDevice[] = [];
  #rescinding = false;

  constructor(hv: HyperV, options: BusOptions) {
    this.#hv = hv;
    this.#options = options;
    this.connection = new VmbusConnection(hv, options.unloadTimeoutMs);
    this.connection.handler = this;
    this.#gpadls = new GpadlTable(this.connection, options.firstGpadl);
  }

  // --- set up and tear down ---

  /**
   * Connect, enumerate, probe.
   *
   * A device that fails is left out. Only if no device of several, or not the one, could be probed
   * does the bus fail, with the first error.
   *
   * @throws HypxeError with the connection unloaded
   */
  probe(): void {
    this.connection.setUp();
    try {
      this.#options.contact(this.connection);
      this.#devices = this.#enumerate().map((offer) => this.#createDevice(offer));
      this.#probeDevices();
    } catch (error) {
      this.#disconnect();
      throw error;
    }
  }

  /** Undo {@link probe}. Never throws: what the host does not give back stays reserved. */
  remove(): void {
    for (const { instance } of [...this.#bound].reverse()) instance.remove();
    this.#bound = [];
    this.#disconnect();
  }

  /**
   * Make the connection anew after somebody else has had it, and reset every device.
   *
   * @throws HypxeError if there is no connection; it may be tried again
   */
  reset(): void {
    this.connection.reset();
    this.#options.contact(this.connection);
    // Contacting the host has disconnected whoever was connected: our old buffers are free
    this.#gpadls.revokeAll('INITIATE_CONTACT');
    this.#matchOffers(this.#enumerate());
    for (const { device, instance } of this.#bound) {
      try {
        instance.reset();
      } catch (error) {
        this.#logFailure(device, 'could not be reset', error);
      }
    }
  }

  #disconnect(): void {
    this.#devices = [];
    if (this.connection.mustUnload) {
      try {
        this.connection.unload();
        this.#gpadls.revokeAll('UNLOAD_RESPONSE');
      } catch (error) {
        if (!(error instanceof HypxeError)) throw error;
        this.#hv.log.error('VMBUS', '', `host did not disconnect: ${error.message}`);
      }
    }
    this.connection.tearDown();
  }

  // --- devices ---

  #enumerate(): Offer[] {
    this.connection.begin(MessageType.REQUEST_OFFERS, MessageHeader.size);
    this.connection.post(MessageHeader.size);

    // Offers are collected as they come, until the host says that these were all
    const offers: Offer[] = [];
    this.#collect = offers;
    try {
      this.connection.wait(MessageType.ALL_OFFERS_DELIVERED, MessageHeader.size);
    } finally {
      this.#collect = undefined;
    }
    return offers;
  }

  #collect: Offer[] | undefined;

  #createDevice(offer: Offer): VmbusDevice {
    return new VmbusDevice(offer, this.connection, this.#gpadls, this.#options.random);
  }

  #probeDevices(): void {
    let firstError: unknown;
    for (const device of this.#devices) {
      const driver = this.#options.drivers.find((d) => d.interfaceId === device.interfaceId);
      if (driver === undefined) {
        const text = `no driver for type {${device.interfaceId}}`;
        this.#hv.log.debug('VMBUS', device.name, text);
        continue;
      }
      try {
        const instance = driver.probe(device);
        this.#bound.push({ device, instance });
      } catch (error) {
        this.#logFailure(device, 'left out', error);
        if (isCancelled(error)) throw error;
        firstError ??= error;
      }
    }
    if (this.#bound.length === 0 && firstError !== undefined) throw firstError;
  }

  /** After a reset: find each device by its instance; its channel may be another one now. */
  #matchOffers(offers: readonly Offer[]): void {
    for (const bound of [...this.#bound]) {
      const { device, instance } = bound;
      const offer = offers.find((o) => o.instanceId === device.instanceId);
      device.abandon();
      if (offer !== undefined) {
        device.reoffer(offer);
        continue;
      }
      this.#hv.log.warning('VMBUS', device.name, 'is not offered any more');
      device.rescinded = true;
      instance.rescinded();
      this.#bound = this.#bound.filter((other) => other !== bound);
    }
  }

  #logFailure(device: VmbusDevice, what: string, error: unknown): void {
    if (!(error instanceof HypxeError)) throw error;
    this.#hv.log.error('VMBUS', device.name, `${what}: ${error.message}`);
  }

  // --- unsolicited messages ---

  /** Handle what has come since the last poll: rescinds, late offers, late answers. */
  poll(): void {
    this.connection.poll();
    this.#dropRescinded();
  }

  unsolicited(message: ControlMessage): void {
    switch (message.type) {
      case MessageType.OFFER_CHANNEL:
        this.#offered(message);
        return;
      case MessageType.RESCIND_CHANNEL_OFFER:
        this.#rescindedOffer(message);
        return;
      case MessageType.GPADL_TORNDOWN:
        this.#gpadls.late(message);
        return;
      default:
        this.#hv.log.debug('VMBUS', '', `ignoring message type ${message.type}`);
    }
  }

  #offered(message: ControlMessage): void {
    if (message.length < OfferChannel.size) {
      this.#hv.log.error('VMBUS', '', `ignoring offer of ${message.length} bytes`);
      return;
    }
    const offer = readOffer(message);
    if (offer.channel === 0 || offer.channel > VMBUS_CHANNEL_MAX) {
      this.#hv.log.error('VMBUS', '', `ignoring offer of channel ${offer.channel}`);
    } else if (this.#collect === undefined) {
      this.#hv.log.info('VMBUS', `{${offer.instanceId}}`, 'ignoring late offer');
    } else if (this.#collect.some((other) => other.channel === offer.channel)) {
      this.#hv.log.error('VMBUS', '', `channel ${offer.channel} is offered twice`);
    } else if (this.#collect.length < VMBUS_CHANNEL_MAX) {
      this.#collect.push(offer);
    }
  }

  #rescindedOffer(message: ControlMessage): void {
    if (message.length < RescindChannelOffer.size) return;
    const channel = message.view.getUint32(RescindChannelOffer.at.channel, true);

    // During enumeration the offer is struck out; afterwards the device is marked
    if (this.#collect !== undefined) {
      const index = this.#collect.findIndex((offer) => offer.channel === channel);
      if (index >= 0) this.#collect.splice(index, 1);
    }
    const device = this.#devices.find((d) => d.channelId === channel);
    if (device === undefined) {
      this.#hv.log.debug('VMBUS', '', `ignoring rescind of channel ${channel}`);
      return;
    }
    device.rescinded = true;
    this.#hv.log.warning('VMBUS', device.name, 'the host takes the device away');
  }

  /** Let go of devices that the host has taken away. */
  #dropRescinded(): void {
    // Letting go waits for messages, which may bring the next rescind: one at a time
    if (this.#rescinding) return;
    this.#rescinding = true;
    for (const bound of this.#bound.filter(({ device }) => device.rescinded)) {
      bound.instance.rescinded();
      bound.device.release();
      this.#bound = this.#bound.filter((other) => other !== bound);
    }
    this.#rescinding = false;
  }
}

/** Somebody wants the whole to end, not only this device. */
function isCancelled(error: unknown): boolean {
  return error instanceof HypxeError && error.kind === HypervError.Cancelled;
}

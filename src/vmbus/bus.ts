// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The bus: connects, collects the offers, gives each device to the driver of its class, and takes
 * everything down again (iPXE vmbus_probe, vmbus_reset, vmbus_remove).
 */

import type { HyperV } from '../hyperv/hyperv.ts';
import type { VmbusDriver } from './bus-driver.ts';
import type { BusPart } from './bus-part.ts';
import { VmbusConnection, type ConnectionOptions, type ControlMessage } from './connection.ts';
import type { ContactPolicy } from './contact.ts';
import { VmbusDevice, type DeviceContext } from './device.ts';
import { GpadlTable } from './gpadl.ts';
import { readOffer, type Offer } from './offer.ts';
import {
  MessageHeader,
  MessageType,
  OFFER_CHANNEL_MIN,
  RescindChannelOffer,
  VMBUS_CHANNEL_MAX,
} from './protocol.ts';

export type { DriverInstance, VmbusDriver } from './bus-driver.ts';
export type { BusPart } from './bus-part.ts';

/** What the bus is made with. What is left out is as the firmware has it. */
export interface BusOptions {
  readonly contact: ContactPolicy;
  readonly drivers: readonly VmbusDriver[];
  readonly random: () => number;
  /** SINT and time limits of the connection. */
  readonly connection?: ConnectionOptions | undefined;
  /** What is more than firmware. It may also be plugged in later, as {@link VmbusBus.part}. */
  readonly part?: ((bus: VmbusBus) => BusPart) | undefined;
  /** ID of an OPEN_CHANNEL, by the channel's number: random, if nothing is said. */
  readonly openId?: ((channel: number) => number) | undefined;
  /** First GPADL ID less one. */
  readonly firstGpadl?: number | undefined;
}

export class VmbusBus implements DeviceContext {
  readonly hv: HyperV;
  readonly connection: VmbusConnection;
  readonly gpadls: GpadlTable;
  readonly openId: (channel: number) => number;
  part: BusPart | undefined;
  /** Devices that are offered, with a driver or without. */
  devices!: VmbusDevice[];
  readonly #options: BusOptions;
  /** What has been offered in the enumeration that is going on. */
  #offers: Offer[] | undefined;
  /** What has been offered since, and who was taken away before anybody knew of it: by channel. */
  #late!: Offer[];
  #struck!: VmbusDevice[];
  #settling = false;

  constructor(hv: HyperV, options: BusOptions) {
    this.hv = hv;
    this.#options = options;
    const unsolicited = (message: ControlMessage): void => this.#unsolicited(message);
    this.connection = new VmbusConnection(hv, options.connection, unsolicited);
    this.gpadls = new GpadlTable(this.connection, options.firstGpadl);
    this.openId = options.openId ?? options.random;
    this.lost();
    this.part = options.part?.(this);
  }

  // --- set up and tear down ---

  /**
   * Connect, enumerate, probe.
   *
   * A device that fails is left out. Only if no device of several, or not the one, could be probed
   * does the bus fail, with the first error; one that the host has taken away meanwhile may return.
   *
   * @throws HypxeError with the connection unloaded
   */
  probe(): void {
    this.part?.settingUp?.();
    try {
      this.connection.setUp();
      this.#options.contact(this.connection);
      for (const offer of this.#enumerate()) this.add(offer);
      const errors = this.devices.map((device) => this.bind(device));
      // One that was taken away meanwhile may come back
      const firstError = errors.find((error, i) => error && !this.devices[i]!.rescinded);
      if (firstError && this.#bound.length === 0) throw firstError;
    } catch (error) {
      this.#disconnect();
      throw error;
    }
  }

  /** Undo {@link probe}. Never throws: what the host does not give back stays reserved. */
  remove(): void {
    for (const { instance } of this.#bound.reverse()) instance!.remove();
    this.#disconnect();
  }

  /**
   * Make the connection anew after somebody else has had it, and reset every device.
   *
   * @throws HypxeError if there is no connection; it may be tried again
   */
  reset(): void {
    // The old channels are dead, whatever becomes of the new connection
    for (const device of this.#bound) device.abandon();
    this.connection.reset();
    // Contacting the host disconnects whoever was connected: our old buffers are free, also if
    // the rest of it fails
    const answered = (): void => this.gpadls.forgetAll('INITIATE_CONTACT');
    this.#options.contact(this.connection, answered);
    answered();
    this.#matchOffers(this.#enumerate());
    for (const { name, instance } of this.#bound) {
      const text = 'could not be reset';
      this.hv.log.attempt('error', 'VMBUS', name, text, () => instance!.reset());
    }
  }

  #disconnect(): void {
    const { connection, hv } = this;
    this.lost();
    if (connection.mustUnload) {
      hv.log.attempt('error', 'VMBUS', '', 'not disconnected', () => connection.unload());
    }
    // A contact that was not answered may have ended by an UNLOAD before
    if (connection.hasLetGo) this.gpadls.forgetAll('UNLOAD_RESPONSE');
    connection.tearDown();
    this.part?.tornDown?.();
  }

  /** The connection is gone, and with it all that was offered. */
  lost(): void {
    this.devices = [];
    this.#late = [];
    this.#struck = [];
  }

  // --- devices ---

  /** Devices with a driver. */
  get #bound(): VmbusDevice[] {
    return this.devices.filter(({ instance }) => instance);
  }

  #enumerate(): Offer[] {
    const { connection } = this;
    this.#late = [];
    this.#struck = [];
    connection.post(MessageType.REQUEST_OFFERS);

    // Offers are collected as they come, until the host says that these were all
    const offers: Offer[] = (this.#offers = []);
    try {
      // What is there is there: the rest may come later
      const error = this.hv.log.attempt('warning', 'VMBUS', '', 'offers do not end', () =>
        connection.wait(MessageType.ALL_OFFERS_DELIVERED, MessageHeader.size),
      );
      if (error && (error.name !== 'NoResponse' || offers.length === 0)) throw error;
    } finally {
      this.#offers = undefined;
    }
    return offers;
  }

  /** Add an offered device. */
  add(offer: Offer): VmbusDevice {
    const device = new VmbusDevice(offer, this);
    this.devices.push(device);
    return device;
  }

  /**
   * Give a device to its driver, if it has one.
   *
   * @returns the error if it is left out
   * @throws HypxeError Cancelled: somebody wants the whole to end, not only this device
   */
  bind(device: VmbusDevice): unknown {
    const { log } = this.hv;
    const driver = this.#options.drivers.find((d) => d.interfaceId === device.interfaceId);
    if (!driver) {
      log.debug('VMBUS', device.name, `no driver for type {${device.interfaceId}}`);
      return undefined;
    }
    const error = log.attempt('error', 'VMBUS', device.name, 'left out', () => {
      device.instance = driver.probe(device);
    });
    if (error?.name === 'Cancelled') throw error;
    return error;
  }

  /** After a reset: find each device by its instance; its channel may be another one now. */
  #matchOffers(offers: readonly Offer[]): void {
    const { log } = this.hv;
    for (const device of this.#bound) {
      const { name, instanceId, channelId, instance } = device;
      const offer = offers.find((other) => other.instanceId === instanceId);
      if (!offer) {
        log.warning('VMBUS', name, 'not offered again');
        device.rescinded = true;
        instance!.rescinded();
        this.#forget(device);
        continue;
      }
      if (offer.channel !== channelId) {
        log.info('VMBUS', name, `moved to channel ${offer.channel}`);
      }
      device.offer = offer;
      device.rescinded = false;
    }
  }

  #forget(device: VmbusDevice): void {
    this.devices = this.devices.filter((other) => other !== device);
  }

  // --- what comes and goes ---

  /**
   * Handle what has come since the last poll: rescinds, late offers, late answers.
   *
   * @param busy leave devices that have come for later: to probe one that is mute takes its time
   * @throws HypxeError Cancelled; all else is logged
   */
  poll(busy?: boolean): void {
    this.connection.poll();

    // Settling waits for messages, which may bring the next rescind: one at a time
    if (this.#settling) return;
    this.#settling = true;
    try {
      this.part?.settling?.();
      for (const device of this.devices.filter(({ rescinded }) => rescinded)) this.#drop(device);
      this.part?.settled?.();
      for (const device of this.#struck.splice(0)) device.release();
      if (!busy) for (const offer of this.#late.splice(0)) this.#arrived(offer);
    } finally {
      this.#settling = false;
    }
  }

  /** Let go of what the host has taken away: it may only offer it again once it is released. */
  #drop(device: VmbusDevice): void {
    device.instance?.rescinded();
    device.release();
    this.#forget(device);
  }

  /** A device that comes after the enumeration, or comes back. @throws HypxeError Cancelled */
  #arrived(offer: Offer): void {
    const known = this.devices.find(
      ({ channelId, instanceId }) => channelId === offer.channel || instanceId === offer.instanceId,
    );
    if (!known) {
      this.bind(this.add(offer));
      return;
    }
    this.hv.log.error('VMBUS', known.name, `channel ${offer.channel} is offered twice`);
  }

  #unsolicited(message: ControlMessage): void {
    const { type } = message;
    if (type === MessageType.OFFER_CHANNEL) this.#offered(message);
    else if (type === MessageType.RESCIND_CHANNEL_OFFER) this.#rescinded(message);
    else if (type === MessageType.GPADL_TORNDOWN) this.gpadls.late(message);
  }

  #offered(message: ControlMessage): void {
    const { log } = this.hv;
    if (message.length < OFFER_CHANNEL_MIN) {
      log.error('VMBUS', '', `offer of ${message.length} bytes`);
      return;
    }
    // Before there is a connection it can only be somebody else's
    const offers = this.#offers ?? (this.connection.version ? this.#late : undefined);
    const offer = readOffer(message);
    const { channel, subchannel, instanceId } = offer;
    const object = `{${instanceId}}`;
    const text = `ignoring offer of sub-channel ${subchannel} as channel ${channel}`;
    if (channel === 0 || channel > VMBUS_CHANNEL_MAX) log.error('VMBUS', object, text);
    else if (offers && subchannel === 0) {
      if (offers.every((other) => other.channel !== channel)) offers.push(offer);
      else log.error('VMBUS', object, `channel ${channel} is offered twice`);
    } else if (subchannel === 0 || !this.part?.offered?.(offer)) {
      log.info('VMBUS', object, text);
    }
  }

  #rescinded(message: ControlMessage): void {
    if (message.length < RescindChannelOffer.size) return;
    const id = message.view.getUint32(RescindChannelOffer.at.channel, true);

    // Before anybody knows of it the offer is struck out; afterwards the channel is marked
    const offers = this.#offers ?? this.#late;
    const index = offers.findIndex((offer) => offer.channel === id);
    if (index >= 0) {
      this.#struck.push(new VmbusDevice(offers.splice(index, 1)[0]!, this));
      return;
    }
    if (this.part?.rescinded?.(id)) return;
    const device = this.devices.find(({ channelId }) => channelId === id);
    if (!device || device.rescinded) return;
    device.rescinded = true;
    this.hv.log.warning('VMBUS', device.name, 'rescinded');
  }
}

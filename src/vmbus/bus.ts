// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The bus: connects, collects the offers, gives each device to the driver of its class, and takes
 * everything down again (iPXE vmbus_probe, vmbus_reset, vmbus_remove). As an OS has it, also what
 * comes and goes later: late offers, sub-channels, rescinds (Linux vmbus_onoffer and its likes).
 */

import { HypxeError } from '../error.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import { HV_EVENT_FLAGS_COUNT } from '../hyperv/protocol.ts';
import type { DriverInstance, VmbusDriver } from './bus-driver.ts';
import { VmbusConnection, type ConnectionOptions } from './connection.ts';
import type { ContactPolicy } from './contact.ts';
import type { ControlMessage, UnsolicitedHandler } from './control-messages.ts';
import { VmbusDevice } from './device.ts';
import { GPADL_FIRST, GpadlTable } from './gpadl.ts';
import { OfferInbox } from './offer-inbox.ts';
import { releaseChannel, type ChannelContext, type Offer } from './offered-channel.ts';
import {
  MessageHeader,
  MessageType,
  RescindChannelOffer,
  VMBUS_CHANNEL_MAX,
  VMBUS_MESSAGE_SINT,
} from './protocol.ts';
import { initiateUnload, type UnloadOptions, type UnloadResult } from './unload.ts';

export type { DriverInstance, VmbusDriver } from './bus-driver.ts';

/** GPADL IDs that each of several drivers in one guest has for itself. */
const GPADLS_PER_SINT = 0x01000000;

/** What the bus is made with. What is left out is as the firmware has it. */
export interface BusOptions {
  readonly contact: ContactPolicy;
  readonly drivers: readonly VmbusDriver[];
  readonly random: () => number;
  /** SINT, processor, pages and time limits of the connection. */
  readonly connection?: ConnectionOptions | undefined;
  /**
   * Offers after the enumeration: ignored, or probed by {@link VmbusBus.poll}. Who probes them also
   * takes sub-channels, and releases the numbers of rescinded channels that no driver had.
   */
  readonly lateOffers?: 'ignore' | 'probe' | undefined;
  /** ID of an OPEN_CHANNEL: random, or the channel's number (Linux). */
  readonly openId?: 'random' | 'channel' | undefined;
  /** First GPADL ID less one; each SINT has a range of its own. */
  readonly firstGpadl?: number | undefined;
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
  readonly #context: ChannelContext;
  readonly #inbox: OfferInbox;
  readonly #probesLate: boolean;
  #bound: Bound[] = [];
  /** All devices that are offered, with a driver or without. */
  #devices: VmbusDevice[] = [];
  #settling = false;
  readonly #flags = new Uint16Array(HV_EVENT_FLAGS_COUNT);

  constructor(hv: HyperV, options: BusOptions) {
    const { random, openId } = options;
    this.#hv = hv;
    this.#options = options;
    this.#probesLate = options.lateOffers === 'probe';
    this.#inbox = new OfferInbox(hv.log, this.#probesLate);
    this.connection = new VmbusConnection(hv, options.connection);
    this.connection.handler = this;
    const { sint } = this.connection;
    const own = sint === VMBUS_MESSAGE_SINT ? 0 : sint * GPADLS_PER_SINT;
    this.#gpadls = new GpadlTable(this.connection, options.firstGpadl ?? GPADL_FIRST + own);
    this.#context = {
      connection: this.connection,
      gpadls: this.#gpadls,
      openId: openId === 'channel' ? (channel) => channel : () => random() >>> 0,
    };
  }

  /** Devices that are offered, with a driver or without. */
  get devices(): readonly VmbusDevice[] {
    return this.#devices;
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
      this.#devices = this.#enumerate().map((offer) => new VmbusDevice(offer, this.#context));
      this.#probeAll();
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
    // The old channels are dead, whatever becomes of the new connection
    for (const { device } of this.#bound) device.abandon();
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

  /**
   * Leave without closing anything: the host is asked to let go of all at once, then everything is
   * forgotten. {@link remove} afterwards only gives back SINT and pages. Never throws.
   *
   * @returns what became of it; unless it was `answered`, the ledger keeps all that was shared
   */
  initiateUnload(options: UnloadOptions = {}): UnloadResult {
    const result = initiateUnload(this.connection, options);
    if (result === 'not-connected') return result;
    const letGo = result === 'answered';
    if (letGo) this.#gpadls.revokeAll('UNLOAD_RESPONSE');
    else this.#gpadls.abandonAll();
    for (const { device, instance } of [...this.#bound].reverse()) {
      device.abandon(letGo);
      instance.abandoned?.(letGo);
    }
    this.#bound = [];
    this.#devices = [];
    this.#inbox.clear();
    return result;
  }

  #disconnect(): void {
    this.#devices = [];
    this.#inbox.clear();
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
    this.#inbox.begin();
    try {
      this.connection.wait(MessageType.ALL_OFFERS_DELIVERED, MessageHeader.size);
    } catch (error) {
      this.#inbox.clear();
      throw error;
    }
    return this.#inbox.end();
  }

  #probeAll(): void {
    let firstError: unknown;
    for (const device of this.#devices) {
      try {
        this.#probeDevice(device);
      } catch (error) {
        this.#logFailure(device, 'left out', error);
        if (isCancelled(error)) throw error;
        firstError ??= error;
      }
    }
    if (this.#bound.length === 0 && firstError !== undefined) throw firstError;
  }

  /** @throws HypxeError as the driver does */
  #probeDevice(device: VmbusDevice): void {
    const driver = this.#options.drivers.find((d) => d.interfaceId === device.interfaceId);
    if (driver === undefined) {
      this.#hv.log.debug('VMBUS', device.name, `no driver for type {${device.interfaceId}}`);
      return;
    }
    const instance = driver.probe(device);
    this.#bound.push({ device, instance });
  }

  /** After a reset: find each device by its instance; its channel may be another one now. */
  #matchOffers(offers: readonly Offer[]): void {
    for (const bound of [...this.#bound]) {
      const { device, instance } = bound;
      const offer = offers.find((o) => o.instanceId === device.instanceId);
      if (offer !== undefined) {
        device.reoffer(offer);
        continue;
      }
      this.#hv.log.warning('VMBUS', device.name, 'is not offered any more');
      device.rescinded = true;
      instance.rescinded();
      this.#forget(device);
    }
  }

  #logFailure(device: VmbusDevice, what: string, error: unknown): void {
    if (!(error instanceof HypxeError)) throw error;
    this.#hv.log.error('VMBUS', device.name, `${what}: ${error.message}`);
  }

  // --- what comes and goes ---

  /**
   * Handle what has come since the last poll: rescinds, late offers, late answers.
   *
   * @throws HypxeError Cancelled, while a late offer is probed; all else is logged
   */
  poll(): void {
    this.connection.poll();

    // Settling waits for messages, which may bring the next rescind: one at a time
    if (this.#settling) return;
    this.#settling = true;
    try {
      this.#dropRescinded();
      this.#probeLate();
    } finally {
      this.#settling = false;
    }
  }

  unsolicited(message: ControlMessage): void {
    switch (message.type) {
      case MessageType.OFFER_CHANNEL:
        this.#offered(message);
        return;
      case MessageType.RESCIND_CHANNEL_OFFER:
        this.#rescinded(message);
        return;
      case MessageType.GPADL_TORNDOWN:
        this.#gpadls.late(message);
        return;
      default:
        this.#hv.log.debug('VMBUS', '', `ignoring message type ${message.type}`);
    }
  }

  #offered(message: ControlMessage): void {
    const offer = this.#inbox.offered(message);
    if (offer === undefined) return;
    const device = this.#devices.find(
      ({ instanceId, rescinded }) => instanceId === offer.instanceId && !rescinded,
    );
    if (device?.addSubchannel(offer)) return;
    const text = `ignoring offer of sub-channel ${offer.subchannel} as channel ${offer.channel}`;
    this.#hv.log.error('VMBUS', `{${offer.instanceId}}`, text);
  }

  #rescinded(message: ControlMessage): void {
    if (message.length < RescindChannelOffer.size) return;
    const id = message.view.getUint32(RescindChannelOffer.at.channel, true);

    // Before anybody knows of it the offer is struck out; afterwards the channel is marked
    if (this.#inbox.rescinded(id)) return;
    const device = this.#devices.find((d) => d.channelById(id) !== undefined);
    const channel = device?.channelById(id);
    if (device === undefined || channel === undefined || channel.rescinded) {
      this.#hv.log.debug('VMBUS', '', `ignoring rescind of channel ${id}`);
      return;
    }
    channel.rescinded = true;
    const what = id === device.channelId ? 'the device' : `sub-channel ${channel.offer.subchannel}`;
    this.#hv.log.warning('VMBUS', device.name, `the host takes ${what} away`);
  }

  /** Let go of what the host has taken away: sub-channels before the devices they belong to. */
  #dropRescinded(): void {
    for (const device of this.#devices) device.dropRescindedSubchannels();
    for (const device of this.#devices.filter(({ rescinded }) => rescinded)) {
      const bound = this.#bound.find((other) => other.device === device);
      bound?.instance.rescinded();
      if (bound !== undefined || this.#probesLate) device.release();
      this.#forget(device);
    }
    for (let id = this.#inbox.takeStruck(); id !== undefined; id = this.#inbox.takeStruck()) {
      releaseChannel(this.connection, id, '');
    }
  }

  #forget(device: VmbusDevice): void {
    this.#bound = this.#bound.filter((bound) => bound.device !== device);
    this.#devices = this.#devices.filter((other) => other !== device);
  }

  /** Give late offers to their drivers; what comes meanwhile is for the next poll. */
  #probeLate(): void {
    for (let i = 0; i < VMBUS_CHANNEL_MAX; i++) {
      const offer = this.#inbox.takeLate();
      if (offer === undefined) return;
      const known = this.#devices.find(
        (device) => device.channelId === offer.channel || device.instanceId === offer.instanceId,
      );
      if (known !== undefined) {
        const text = `ignoring offer of channel ${offer.channel}: the device is there already`;
        this.#hv.log.error('VMBUS', known.name, text);
        continue;
      }
      const device = new VmbusDevice(offer, this.#context);
      this.#devices.push(device);
      try {
        this.#probeDevice(device);
      } catch (error) {
        this.#logFailure(device, 'left out', error);
        if (isCancelled(error)) throw error;
      }
    }
  }

  // --- events ---

  /**
   * Take the host's event flags, from 2.4 on one for each channel, and let each channel handle what
   * has come (Linux vmbus_chan_sched). Flag 0 is that of older hosts; the flag of a channel that is
   * not open is a late one, or another owner's, and means nothing.
   *
   * @returns how many channels had something to say
   */
  dispatchEvents(): number {
    const count = this.#hv.takeEventFlags(this.connection.sint, this.#flags);
    let served = 0;
    for (let i = 0; i < count; i++) {
      const id = this.#flags[i]!;
      const channel = this.#channelById(id);
      if (channel === undefined) {
        this.#hv.log.debug('VMBUS', '', `ignoring event of channel ${id}`);
        continue;
      }
      channel.interrupted();
      served++;
    }
    return served;
  }

  #channelById(id: number) {
    for (const device of this.#devices) {
      const channel = device.channelById(id)?.channel;
      if (channel !== undefined) return channel;
    }
    return undefined;
  }
}

/** Somebody wants the whole to end, not only this device. */
function isCancelled(error: unknown): boolean {
  return error instanceof HypxeError && error.name === 'Cancelled';
}

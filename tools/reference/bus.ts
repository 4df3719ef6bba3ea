// SPDX-License-Identifier: GPL-2.0-or-later

/** The bus of the reference guest: offers, devices, reset, removal (iPXE vmbus_probe). */

import {
  DeviceClass,
  MessageHeader,
  MessageType,
  OFFER_CHANNEL_MIN,
  OfferChannel,
  RescindChannelOffer,
  VMBUS_CHANNEL_MAX,
} from '../../src/vmbus/protocol.ts';
import { guidText } from '../../src/wire.ts';
import type { Connection, ControlMessage } from './connection.ts';
import { Gpadls, type Gpadl } from './gpadls.ts';
import { GuestError } from './guest.ts';
import { Netvsc, type NetvscOwner } from './netvsc.ts';
import { RndisDevice } from './rndis.ts';

/** An offer of the host. */
interface Offer {
  readonly channel: number;
  readonly monitor: number;
  readonly interfaceId: string;
  readonly instanceId: string;
}

/** A device of the bus that has a driver. */
export class BusDevice implements NetvscOwner {
  readonly connection: Connection;
  readonly gpadls: Gpadls;
  readonly name: string;
  readonly instanceId: string;
  readonly interfaceId: string;
  channel: number;
  monitor: number;
  rescinded = false;
  unclosed = false;
  lastGpadl: Gpadl | undefined;
  netvsc: Netvsc | undefined;
  device: RndisDevice | undefined;

  constructor(offer: Offer, connection: Connection, gpadls: Gpadls) {
    this.connection = connection;
    this.gpadls = gpadls;
    this.channel = offer.channel;
    this.monitor = offer.monitor;
    this.instanceId = offer.instanceId;
    this.interfaceId = offer.interfaceId;
    this.name = `{${offer.instanceId}}`;
  }

  /** @throws GuestError EPIPE */
  requireOffered(): void {
    const heard = !this.connection.context.has('rescinds-are-heard');
    if (heard && this.rescinded) throw new GuestError('EPIPE', 'rescinded');
  }
}

export class Bus {
  readonly connection: Connection;
  readonly gpadls: Gpadls;
  #devices: BusDevice[] = [];
  /** Offers of the enumeration that goes on. */
  #offers: Offer[] | undefined;
  #registered = 0;

  constructor(connection: Connection) {
    this.connection = connection;
    this.gpadls = new Gpadls(connection);
    connection.letGo = () => this.gpadls.forgetAll();
    connection.unsolicited = (message) => this.#unsolicited(message);
  }

  /** The registered network devices. */
  get devices(): readonly RndisDevice[] {
    return this.#devices.flatMap(({ device }) => (device === undefined ? [] : [device]));
  }

  #has(defect: Parameters<Connection['context']['has']>[0]): boolean {
    return this.connection.context.has(defect);
  }

  // --- probe, remove, reset ---

  /** @throws GuestError with everything undone */
  probe(): void {
    const { connection } = this;
    connection.setUp();
    let negotiated = false;
    try {
      connection.negotiate();
      negotiated = true;
      for (const offer of this.#enumerate())
        this.#devices.push(new BusDevice(offer, connection, this.gpadls));
      this.#bindAll();
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      this.#devices = [];
      this.#disconnect(negotiated);
      throw error;
    }
  }

  /** Give the devices to the driver. @throws GuestError if that makes the bus fail */
  #bindAll(): void {
    let first: GuestError | undefined;
    for (const device of this.#devices.filter((each) => each.interfaceId === DeviceClass.NETWORK)) {
      try {
        this.#bind(device);
      } catch (error) {
        if (!(error instanceof GuestError)) throw error;
        if (this.#has('bus-survives')) {
          for (const other of this.#bound.reverse()) this.#removeDevice(other);
          throw error;
        }
        if (!device.rescinded) first ??= error;
      }
    }
    if (first !== undefined && this.#bound.length === 0) throw first;
  }

  #bind(device: BusDevice): void {
    const netvsc = new Netvsc(device);
    const rndis = new RndisDevice(`net${this.#registered}`, netvsc);
    rndis.describe();
    this.#registered++;
    device.netvsc = netvsc;
    device.device = rndis;
    this.connection.context.emit({ kind: 'netdev', change: 'register', name: rndis.name });
  }

  get #bound(): BusDevice[] {
    return this.#devices.filter(({ device }) => device !== undefined);
  }

  #removeDevice(device: BusDevice): void {
    const { name } = device.device!;
    // As recorded: told first, so that it is told also of a guest that dies of the close
    this.connection.context.emit({ kind: 'netdev', change: 'unregister', name });
    device.device!.close();
    device.device = undefined;
    if (this.#bound.length === 0) this.#registered = 0;
  }

  /** `connected`: as iPXE sees it. */
  #disconnect(connected: boolean): void {
    const { connection } = this;
    const must = this.#has('pages-kept-without-unload') ? connected : connection.mustUnload;
    if (must) this.#attempt(() => connection.unload());
    if (!connection.mustUnload) this.gpadls.forgetAll();
    connection.tearDown();
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
    }
  }

  remove(): void {
    const bound = this.#bound;
    if (!this.#has('bus-survives')) bound.reverse();
    for (const device of bound) this.#removeDevice(device);
    this.#devices = [];
    this.#disconnect(true);
  }

  /** @throws GuestError */
  reset(): void {
    const { connection, gpadls } = this;
    if (this.#has('old-channel-not-closed')) gpadls.makeObsolete();
    else for (const { netvsc } of this.#bound) netvsc!.abandon();
    connection.reset();
    connection.negotiate();
    const offers = this.#enumerate();
    if (!this.#has('offers-matched-after-reset')) this.#match(offers);
    for (const { device } of this.#bound) this.#attempt(() => device!.reset());
  }

  #match(offers: readonly Offer[]): void {
    for (const device of this.#bound) {
      const offer = offers.find(({ instanceId }) => instanceId === device.instanceId);
      if (offer === undefined) {
        device.rescinded = true;
        this.#removeDevice(device);
        this.#devices = this.#devices.filter((other) => other !== device);
        continue;
      }
      device.channel = offer.channel;
      device.monitor = offer.monitor;
      device.rescinded = false;
    }
  }

  // --- offers ---

  /** @throws GuestError */
  #enumerate(): readonly Offer[] {
    const { connection } = this;
    connection.post(MessageType.REQUEST_OFFERS);
    const offers: Offer[] = (this.#offers = []);
    try {
      connection.waitFor((message) => this.#isLast(message));
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      const enough = error.errno === 'ETIMEDOUT' && offers.length > 0;
      if (!enough || this.#has('offers-may-not-end')) throw error;
    } finally {
      this.#offers = undefined;
    }
    return offers;
  }

  /** @throws GuestError EPROTO for what iPXE does not expect here */
  #isLast({ type, length, synicType }: ControlMessage): boolean {
    if (type === MessageType.ALL_OFFERS_DELIVERED) {
      if (length < MessageHeader.size && !this.#has('short-messages-refused'))
        throw new GuestError('EPROTO', 'short message');
      return true;
    }
    const odd = type !== MessageType.OFFER_CHANNEL || synicType !== 1;
    if (odd && this.#has('bus-survives')) throw new GuestError('EPROTO', `message ${type}`);
    return false;
  }

  #unsolicited(message: ControlMessage): void {
    if (message.type === MessageType.OFFER_CHANNEL) this.#offered(message);
    else if (message.type === MessageType.RESCIND_CHANNEL_OFFER) this.#rescinded(message);
    else if (message.type !== MessageType.GPADL_TORNDOWN) return;
    else if (!this.#has('late-answers-belong-to-their-request')) this.gpadls.late(message);
  }

  #offered({ view, length }: ControlMessage): void {
    const offers = this.#offers;
    if (offers === undefined) return;
    const bytes = new Uint8Array(view.buffer);
    const { at } = OfferChannel;
    const monitored = view.getUint8(at.monitored) !== 0;
    const checked = !this.#has('offers-checked');
    const monitor = view.getUint8(at.monitor) & (checked ? 0x7f : 0xff);
    const offer: Offer = {
      channel: view.getUint32(at.channel, true),
      monitor: monitored ? monitor : -1,
      interfaceId: guidText(bytes, at.interfaceId),
      instanceId: guidText(bytes, at.instanceId),
    };
    if (checked) {
      const { channel } = offer;
      if (length < OFFER_CHANNEL_MIN || channel === 0 || channel > VMBUS_CHANNEL_MAX) return;
      if (view.getUint16(at.subchannelIndex, true) !== 0) return;
      if (offers.some((other) => other.channel === channel)) return;
    }
    offers.push(offer);
  }

  #rescinded({ view, length }: ControlMessage): void {
    if (this.#has('rescinds-are-heard') || length < RescindChannelOffer.size) return;
    const channel = view.getUint32(RescindChannelOffer.at.channel, true);
    const offers = this.#offers ?? [];
    const index = offers.findIndex((offer) => offer.channel === channel);
    if (index >= 0) {
      offers.splice(index, 1);
      return;
    }
    const device = this.#devices.find((each) => each.channel === channel);
    if (device !== undefined) device.rescinded = true;
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The channels of a connection, their numbers and the offers (OpenVMM `handle_request_offers`):
 * sorted by (interface, order of the devices, instance), numbered with the lowest free number from
 * 1, so that a loaded OS sees the numbers that the firmware saw.
 */

import { MessageType, MONITOR_NONE, VMBUS_CHANNEL_MAX } from '../../../src/vmbus/protocol.ts';
import type { ChannelDevice } from './channel-interface.ts';
import { Channel } from './channel.ts';
import type { ServerContext } from './context.ts';
import { offerChannel, plainMessage } from './control-messages.ts';
import type { HostMessages } from './host-messages.ts';
import type { SharedPages } from './shared-pages.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Monitors of a connection: four groups of 32. */
export const MONITORS_MAX = 128;

/** The numbers that devices had in an answer to REQUEST_OFFERS. */
export interface Numbering {
  /** When it was asked for, in ticks; -1 if never. */
  readonly at: number;
  /** Devices that had come or gone until then ({@link ServerState.changes}). */
  readonly changes: number;
  /** Channel numbers by instance, without sub-channels. */
  readonly numbers: ReadonlyMap<string, number>;
}

export class Offers {
  readonly #context: ServerContext;
  readonly #messages: HostMessages;
  readonly #pages: SharedPages;
  readonly #absolute: boolean;
  /** Channels have their numbers from the beginning. */
  readonly #numbered: boolean;
  /** Every channel that has a device or that the guest still knows. */
  readonly #channels: Channel[] = [];
  /** Channels by number; 0 is never one. */
  readonly #byId: (Channel | undefined)[] = [];
  readonly #monitors: (Channel | undefined)[] = [];
  #next = 0;
  /** The guest has requested offers on this connection. */
  requested = false;
  /** How the devices were numbered when it first did, on the last connection on which it did. */
  numbering: Numbering = { at: -1, changes: 0, numbers: new Map() };
  /** The version is so old that offers may be short. */
  short = false;

  /** `absolute`: sort by the order of the devices first. */
  constructor(
    context: ServerContext,
    messages: HostMessages,
    pages: SharedPages,
    absolute: boolean,
  ) {
    this.#context = context;
    this.#messages = messages;
    this.#pages = pages;
    this.#numbered = context.services.profile.knobs.channelNumbers === 'at-creation';
    this.#absolute = absolute || this.#numbered;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#next, this.requested], (v) => ([this.#next, this.requested] = v));
    keeper.put([this.numbering, this.short], (v) => ([this.numbering, this.short] = v));
    keeper.keep(this.#context, this.#messages, this.#pages, this.#channels, this.#byId);
    keeper.keep(this.#monitors);
  }

  /** All channels, in order of their devices. */
  get channels(): readonly Channel[] {
    return this.#channels;
  }

  /** The channel with this number that the guest knows, or undefined. */
  byId(id: number): Channel | undefined {
    return this.#byId[id];
  }

  /**
   * The same for OPEN_CHANNEL: where channels have their numbers before they are offered, a guest
   * may know one from an earlier connection.
   */
  toOpen(id: number): Channel | undefined {
    const known = this.#byId[id];
    if (known !== undefined || !this.#numbered) return known;
    const early = this.#channels.find((each) => each.state === 'released' && each.lastId === id);
    if (early === undefined) return undefined;
    this.#number(early, id);
    early.unoffered = true;
    return early;
  }

  byMonitor(monitor: number): Channel | undefined {
    return this.#monitors[monitor];
  }

  /** The channel of a device that is there: not one that has been rescinded. */
  byDevice(device: ChannelDevice): Channel | undefined {
    return this.#channels.find(
      (channel) => channel.device === device && channel.state !== 'revoked',
    );
  }

  /** A device is there; it is offered at once if the guest has asked for offers. */
  add(device: ChannelDevice): void {
    // A device that comes back before the guest has released it gets its number again
    const former = this.#channels.find(
      (channel) =>
        channel.primary === undefined &&
        channel.device.interfaceId === device.interfaceId &&
        channel.device.instanceId === device.instanceId,
    );
    if (former !== undefined) {
      if (former.state !== 'revoked')
        throw new Error(`device ${device.instanceId} is offered already`);
      former.device = device;
      former.state = 'reoffered';
      return;
    }
    if (this.#channels.length >= VMBUS_CHANNEL_MAX)
      throw new Error(`more than ${VMBUS_CHANNEL_MAX} devices`);
    const channel = new Channel(device, this.#next++);
    if (this.#numbered) channel.lastId = this.#freeNumber();
    this.#channels.push(channel);
    if (this.requested) this.#offer(channel);
  }

  /** Sub-channels of an open channel, offered at once; false if there is no room for all. */
  addSubchannels(primary: Channel, devices: readonly ChannelDevice[]): boolean {
    if (this.#channels.length + devices.length > VMBUS_CHANNEL_MAX) return false;
    for (const device of devices) {
      const channel = new Channel(device, this.#next++, primary);
      this.#channels.push(channel);
      this.#offer(channel);
    }
    return true;
  }

  /** REQUEST_OFFERS: everything, then ALL_OFFERS_DELIVERED. */
  request(): void {
    if (this.requested) {
      this.#context.violation('vmbus', 'second REQUEST_OFFERS on a connection');
      if (this.#context.services.profile.knobs.secondRequest === 'ignored') return;
    }
    const again = this.requested;
    this.requested = true;
    const offered = this.#channels.filter(
      (channel) => channel.state === 'released' || channel.unoffered,
    );
    offered.sort((a, b) => this.#compare(a, b));
    for (const channel of offered) this.#offer(channel);
    if (!again) this.numbering = this.#numbers;
    this.#messages.send(plainMessage(MessageType.ALL_OFFERS_DELIVERED), true);
  }

  /** The guest knows the channel no more: its number and monitor are free. */
  release(channel: Channel): void {
    this.#byId[channel.id] = undefined;
    if (channel.monitor !== MONITOR_NONE) this.#monitors[channel.monitor] = undefined;
    const { state, id } = channel;
    channel.state = 'released';
    channel.closedAt = 0;
    channel.id = 0;
    channel.monitor = MONITOR_NONE;
    channel.orphan = false;
    channel.unoffered = false;

    // The device of a revoked one is gone, and a sub-channel comes back only if it is asked for;
    // the device of a reoffered one is back, with its number
    if (state === 'revoked' || channel.primary !== undefined) this.remove(channel);
    else if (state === 'reoffered' && this.requested) this.#offer(channel, id);
  }

  /** A channel that was in the way of its offer is free again. */
  offerAgain(channel: Channel): void {
    if (this.requested && channel.state === 'released') this.#offer(channel);
  }

  /** The device is gone and the guest does not know it. */
  remove(channel: Channel): void {
    this.#channels.splice(this.#channels.indexOf(channel), 1);
    const siblings = channel.primary?.subchannels;
    siblings?.splice(siblings.indexOf(channel), 1);
  }

  get #numbers(): Numbering {
    const primary = this.#channels.filter(({ id, index }) => id !== 0 && index === 0);
    const numbers = new Map(primary.map(({ device, id }) => [device.instanceId, id]));
    const { services, state } = this.#context;
    return { at: services.clock.now, changes: state.changes, numbers };
  }

  /** Number a channel and offer it. */
  #offer(channel: Channel, preferred = 0): void {
    if (!channel.unoffered) {
      const own = this.#numbered && !this.#byId[channel.lastId] ? channel.lastId : 0;
      this.#number(channel, preferred || own || this.#freeNumber());
    }
    channel.unoffered = false;
    const { id } = channel;

    // A monitor only where the guest gave pages for it
    if (channel.device.monitored && this.#pages.monitorOut !== undefined) {
      let monitor = 0;
      while (monitor < MONITORS_MAX && this.#monitors[monitor] !== undefined) monitor++;
      if (monitor < MONITORS_MAX) {
        channel.monitor = monitor;
        this.#monitors[monitor] = channel;
      }
    }
    this.#context.changed('offered', { channel: id });
    const { client, services } = this.#context;
    const short = this.short && services.profile.knobs.shortOffers;
    const { noMonitor } = services.profile.knobs;
    const connection = client.channelConnection(id);
    this.#messages.send(offerChannel(channel, connection, short, noMonitor), true);
  }

  #number(channel: Channel, id: number): void {
    channel.id = channel.lastId = id;
    channel.state = 'closed';
    this.#byId[id] = channel;
  }

  /** The lowest number that no channel has, or will have when it is offered. */
  #freeNumber(): number {
    let id = 1;
    const taken = (number: number): boolean =>
      this.#byId[number] !== undefined ||
      (this.#numbered && this.#channels.some(({ lastId }) => lastId === number));
    while (taken(id)) id++;
    return id;
  }

  #compare(a: Channel, b: Channel): number {
    const byInterface = compareText(a.device.interfaceId, b.device.interfaceId);
    const byOrder = a.order - b.order;
    if (this.#absolute) return byOrder || byInterface;
    return byInterface || byOrder || compareText(a.device.instanceId, b.device.instanceId);
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

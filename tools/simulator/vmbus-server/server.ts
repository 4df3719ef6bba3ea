// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The VMBus server of the simulated host: the ports that guests post and signal to, the devices
 * that it offers, and the way in for tests, faults and the audit. Synchronous and driven by the
 * clock's alarms: the same guest and the same clock give the same run.
 *
 * A guest has one VMBus driver, on SINT 2, or (knob `secondClient`) two: the second one names
 * another SINT in INITIATE_CONTACT on connection 4, at 5.0 or above, and has everything of its own
 * from then on: message connection ID, devices, channel numbers, GPADLs, pages, UNLOAD. Which
 * devices are whose the device says (`ChannelDevice.client`).
 */

import {
  VMBUS_EVENT_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID_4,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import { HvStatus } from '../../../src/hyperv/protocol.ts';
import type { ChannelDevice, ClientName } from './channel-interface.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { Client } from './client.ts';
import { VmbusConnection } from './connection.ts';
import { fromSecondClient } from './contact.ts';
import { ServerContext, ServerState } from './context.ts';
import type { ServerFaults } from './faults.ts';
import { GuestMessages } from './guest-messages.ts';
import { inspectConnection, inspectServer } from './inspection.ts';
import type { ClientInspection, VmbusInspection } from './inspection.ts';
import { pointsTo } from './guest-packet.ts';
import type { Keeper } from '../base/snapshot.ts';

export interface VmbusServerOptions {
  /**
   * Order of the offers: by interface, then as the devices were given (default), or as the devices
   * were given alone (OpenVMM `use_absolute_channel_order`).
   */
  readonly offerOrder?: 'interface' | 'absolute';
}

/** A client's connection and the messages that wait for it: a busy one does not delay the other. */
interface Endpoint {
  readonly connection: VmbusConnection;
  readonly inbox: GuestMessages;
}

export class VmbusServer {
  readonly #state: ServerState;
  readonly #primary: Endpoint;
  /** Where the host allows it. */
  readonly #second: Endpoint | undefined;
  readonly #endpoints: readonly Endpoint[];
  readonly #attached = new Set<ChannelDevice>();

  /**
   * Registers the ports and offers `devices`.
   *
   * @throws Error if two devices have the same interface and instance
   */
  constructor(
    services: PartitionServices,
    devices: readonly ChannelDevice[],
    options: VmbusServerOptions = {},
  ) {
    this.#state = new ServerState(services);
    const { multiClientPort, vmbusVersions, knobs } = services.profile;
    const absolute = (options.offerOrder ?? 'interface') === 'absolute';
    const multiClient = vmbusVersions.some((version) => version >= VmbusVersion.V5_0);

    // Message ports: every host has 1, later ones have 4 and the one that they return
    const ports = new Set([VMBUS_MESSAGE_CONNECTION_ID]);
    if (multiClientPort) ports.add(VMBUS_MESSAGE_CONNECTION_ID_4);
    if (multiClient) ports.add(knobs.returnedConnectionId);
    for (const port of ports) this.#open(port);
    this.#state.take(VMBUS_EVENT_CONNECTION_ID);
    this.#primary = this.#endpoint('primary', knobs.returnedConnectionId, absolute);

    // A second client is told a connection ID that nothing else has
    if (knobs.secondClient === 'allow' && multiClientPort && multiClient) {
      let port = knobs.secondConnectionId;
      while (this.#state.taken(port)) port++;
      this.#open(port);
      this.#second = this.#endpoint('secondary', port, absolute);
    }

    this.#endpoints = this.#second === undefined ? [this.#primary] : [this.#primary, this.#second];
    const { signals } = this.#primary.connection;
    const refuse = knobs.signalFlag === 'refuse';
    services.registerEventPort(VMBUS_EVENT_CONNECTION_ID, (flag) =>
      refuse && flag !== 0 ? HvStatus.INVALID_PORT_ID : signals.shared(),
    );
    services.onSlotEmptied = () => {
      for (const { connection, inbox } of this.#endpoints) {
        connection.messages.pump();
        inbox.resume();
      }
    };
    for (const device of devices) this.hotAdd(device);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#state, this.#primary, this.#second, this.#attached);
  }

  /** Hooks of tests and fault plans; replace as a whole. */
  get faults(): ServerFaults {
    return this.#state.faults;
  }

  set faults(faults: ServerFaults) {
    this.#state.faults = faults;
  }

  /**
   * Offer a device to its client: at once if that has asked for offers, else when it does. One that
   * was rescinded and that the guest has not yet released is offered again when it is. A device of
   * the second client on a host that allows none is offered to nobody.
   *
   * @throws Error if the same interface and instance are offered already
   */
  hotAdd(device: ChannelDevice): void {
    this.#state.deviceChanged(device.instanceId);
    if (!this.#attached.has(device)) {
      this.#attached.add(device);
      device.attach(this.#state.services);
    }
    this.#of(device)?.connection.offers.add(device);
  }

  /**
   * Take a device away, its sub-channels first: RESCIND_CHANNEL_OFFER if the guest knows them.
   * Unknown ones are ignored.
   */
  rescind(device: ChannelDevice): void {
    this.#state.deviceChanged(device.instanceId);
    const { connection } = this.#of(device) ?? {};
    const channel = connection?.offers.byDevice(device);
    if (channel !== undefined) connection?.channels.rescind(channel);
  }

  /** Send a client a control message that it has not asked for (at most 240 bytes). */
  postUnsolicited(payload: Uint8Array, client: ClientName = 'primary'): void {
    const endpoint = client === 'primary' ? this.#primary : this.#second;
    endpoint?.connection.messages.send(payload);
  }

  /** What hosts do that linger at rings (`faults.lingers`), on all channels; or `hear` signals. */
  linger(act: 'read' | 'hear' | 'end'): void {
    for (const { connection } of this.#endpoints) {
      if (act === 'hear') connection.signals.hear();
      for (const { opening } of connection.offers.channels) opening?.rings.linger(act);
    }
  }

  /**
   * The channel, opened later than `since`, in whose ring a packet lies that the host has not read
   * and that points to a page from `first` up to, and without, `end`.
   */
  unreadAt(first: number, end: number, since: number): number | undefined {
    for (const { connection } of this.#endpoints) {
      for (const { opening, id } of connection.offers.channels) {
        const ring = opening !== undefined && opening.openedAt > since && opening.rings.unread();
        if (ring && pointsTo(ring, first, end)) return id;
      }
    }
    return undefined;
  }

  /** A fault has written to a page of guest memory as if it were the host: whatever lies there. */
  garbled(pfn: number): void {
    for (const { connection } of this.#endpoints) {
      for (const { opening } of connection.offers.channels)
        if (opening?.rings.lies(pfn) === true) opening.rings.tampered = true;
    }
  }

  /** The machine is reset: everything ends, nothing is said; the devices stay. */
  reset(): void {
    for (const { connection, inbox } of this.#endpoints) {
      inbox.reset();
      connection.reset();
    }
  }

  /** The state of the bus, for the audit, the loaded OS and tests. */
  inspect(): VmbusInspection {
    const [primary, ...others] = this.#endpoints.map(({ connection, inbox }): ClientInspection =>
      inspectConnection(connection, inbox.length),
    );
    return inspectServer(this.#state, [primary!, ...others]);
  }

  /** Whose device it is. */
  #of(device: ChannelDevice): Endpoint | undefined {
    return device.client === 'secondary' ? this.#second : this.#primary;
  }

  /** Register a message port. */
  #open(port: number): void {
    this.#state.take(port);
    this.#state.services.registerMessagePort(port, (type, payload) =>
      this.#receiver(port, payload).inbox.post(port, type, payload),
    );
  }

  /**
   * Whom a message is for: the second client has a connection of its own, and its contact names
   * another SINT than 2. All else is the primary's: connection 4 alone says nothing.
   */
  #receiver(port: number, payload: Uint8Array): Endpoint {
    const second = this.#second;
    if (second === undefined) return this.#primary;
    const { connectionId } = second.connection.client;
    return port === connectionId || fromSecondClient(port, payload) ? second : this.#primary;
  }

  #endpoint(name: ClientName, connectionId: number, absoluteOrder: boolean): Endpoint {
    const client = new Client(name, connectionId, this.#state.services.profile);
    const context = new ServerContext(this.#state, client);
    const connection = new VmbusConnection(context, absoluteOrder);
    const { messages } = connection;
    const inbox = new GuestMessages(
      context,
      () => messages.ready,
      (port, payload) => connection.handle(port, payload),
    );
    connection.dropUnread = () => inbox.drop();
    return { connection, inbox };
  }
}

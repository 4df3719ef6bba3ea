// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The VMBus server of the simulated host: the ports that guests post and signal to, the devices
 * that it offers, and the way in for tests, faults and the audit. Synchronous and driven by the
 * clock's alarms: the same guest and the same clock give the same run.
 *
 * There is one connection, that of SINT 2; a second client would be a second `VmbusConnection`
 * with its own message target, and `#handle` would choose between them.
 */

import {
  VMBUS_EVENT_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID_4,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import type { ChannelDevice } from '../channel-interface.ts';
import type { PartitionServices } from '../partition-interface.ts';
import { VmbusConnection } from './connection.ts';
import { ServerContext } from './context.ts';
import type { ServerFaults } from './faults.ts';
import { GuestMessages } from './guest-messages.ts';
import { inspectConnection } from './inspection.ts';
import type { VmbusInspection } from './inspection.ts';

export interface VmbusServerOptions {
  /**
   * Order of the offers: by interface, then as the devices were given (default), or as the devices
   * were given alone (OpenVMM `use_absolute_channel_order`).
   */
  readonly offerOrder?: 'interface' | 'absolute';
}

export class VmbusServer {
  readonly #context: ServerContext;
  readonly #connection: VmbusConnection;
  readonly #guestMessages: GuestMessages;
  readonly #attached = new Set<ChannelDevice>();

  /** Registers the ports and offers `devices`. */
  constructor(
    services: PartitionServices,
    devices: readonly ChannelDevice[],
    options: VmbusServerOptions = {},
  ) {
    this.#context = new ServerContext(services);
    this.#connection = new VmbusConnection(this.#context, options.offerOrder === 'absolute');
    const { messages, signals } = this.#connection;
    this.#guestMessages = new GuestMessages(
      this.#context,
      () => messages.ready,
      (port, payload) => this.#connection.handle(port, payload),
    );

    // Message ports: every host has 1, later ones have 4 and the one that they return
    const { multiClientPort, vmbusVersions, knobs } = services.profile;
    const ports = new Set([VMBUS_MESSAGE_CONNECTION_ID]);
    if (multiClientPort) ports.add(VMBUS_MESSAGE_CONNECTION_ID_4);
    if (vmbusVersions.some((version) => version >= VmbusVersion.V5_0))
      ports.add(knobs.returnedConnectionId);
    for (const port of ports)
      services.registerMessagePort(port, (type, payload) =>
        this.#guestMessages.post(port, type, payload),
      );
    services.registerEventPort(VMBUS_EVENT_CONNECTION_ID, () => signals.shared());
    services.onSlotEmptied = () => {
      messages.pump();
      this.#guestMessages.resume();
    };
    for (const device of devices) this.hotAdd(device);
  }

  /** Hooks of tests and fault plans; replace as a whole. */
  get faults(): ServerFaults {
    return this.#context.faults;
  }

  set faults(faults: ServerFaults) {
    this.#context.faults = faults;
  }

  /**
   * Offer a device: at once if the guest has asked for offers, else when it does. One that was
   * rescinded and that the guest has not yet released is offered again when it is.
   *
   * @throws Error if the same interface and instance are offered already
   */
  hotAdd(device: ChannelDevice): void {
    if (!this.#attached.has(device)) {
      this.#attached.add(device);
      device.attach(this.#context.services);
    }
    this.#connection.offers.add(device);
  }

  /** Take a device away: RESCIND_CHANNEL_OFFER if the guest knows it. Unknown ones are ignored. */
  rescind(device: ChannelDevice): void {
    const channel = this.#connection.offers.byDevice(device);
    if (channel !== undefined) this.#connection.channels.rescind(channel);
  }

  /** Send the guest a control message that it has not asked for (at most 240 bytes). */
  postUnsolicited(payload: Uint8Array): void {
    this.#connection.messages.send(payload);
  }

  /** The machine is reset: everything ends, nothing is said; the devices stay. */
  reset(): void {
    this.#guestMessages.reset();
    this.#connection.reset();
  }

  /** The state of the bus, for the audit, the loaded OS and tests. */
  inspect(): VmbusInspection {
    return inspectConnection(
      this.#connection,
      this.#guestMessages.length,
      this.#context.violations,
    );
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the parts of the VMBus server share: with all of its clients the hypervisor's services, the
 * faults and the limits, and with those of one client who that is.
 */

import type { HostEvent } from '../ledger/events.ts';
import type { EventPort, PartitionServices } from '../hypervisor/partition-interface.ts';
import type { Client } from './client.ts';
import type { ServerFaults } from './faults.ts';
import { SharedMemory } from './shared-memory.ts';
import { SignalThrottle } from './signal-throttle.ts';
import type { Keeper } from '../base/snapshot.ts';

/** The changes of connections and channels that are events. */
export type VmbusChange = Extract<HostEvent, { kind: 'vmbus' }>['change'];

/** What all clients of the server share. */
export class ServerState {
  readonly services: PartitionServices;
  /** Interposition of tests and fault exploration; empty by default. */
  faults: ServerFaults = {};
  /** How often guests broke the protocol, whether or not somebody listens. */
  violations = 0;
  /** How often each device has come or gone, by instance, and all of them together. */
  readonly changesOf = new Map<string, number>();
  changes = 0;
  readonly sharedMemory: SharedMemory;
  readonly throttle: SignalThrottle;
  /** Addresses of the monitor pages that the host polls: no two clients may give the same. */
  readonly monitorPages = new Set<number>();
  /** Connection IDs that are taken, for messages and events. */
  readonly #connections = new Set<number>();

  constructor(services: PartitionServices) {
    const { clock, profile } = services;
    this.services = services;
    this.sharedMemory = new SharedMemory(profile.sharedMemoryMax);
    this.throttle = new SignalThrottle(clock, profile.knobs.throttleSignals, (limit) =>
      this.violation('vmbus', `more than ${limit} excess signals in a second: suspended`),
    );
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.faults, this.violations], (v) => ([this.faults, this.violations] = v));
    keeper.put([this.changes], (v) => ([this.changes] = v));
    keeper.keep(this.services, this.changesOf, this.sharedMemory, this.throttle, this.monitorPages);
    keeper.keep(this.#connections);
  }

  /** The host itself brings a device, or takes it away. */
  deviceChanged(instanceId: string): void {
    this.changes++;
    this.changesOf.set(instanceId, (this.changesOf.get(instanceId) ?? 0) + 1);
  }

  /** The guest broke the protocol: an event, never an exception. */
  violation(layer: 'vmbus' | 'ring', text: string): void {
    this.violations++;
    const { events } = this.services;
    if (events.on) events.emit({ kind: 'violation', layer, text });
  }

  taken(connectionId: number): boolean {
    return this.#connections.has(connectionId);
  }

  /** Note a message connection, which stays. */
  take(connectionId: number): void {
    this.#connections.add(connectionId);
  }

  registerEventPort(connectionId: number, port: EventPort): void {
    this.#connections.add(connectionId);
    this.services.registerEventPort(connectionId, port);
  }

  unregisterEventPort(connectionId: number): void {
    this.#connections.delete(connectionId);
    this.services.unregisterPort(connectionId);
  }
}

/** The same for the parts of one client's connection. */
export class ServerContext {
  readonly state: ServerState;
  readonly services: PartitionServices;
  readonly client: Client;

  constructor(state: ServerState, client: Client) {
    this.state = state;
    this.services = state.services;
    this.client = client;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.state, this.services, this.client);
  }

  get faults(): ServerFaults {
    return this.state.faults;
  }

  /** The client broke the protocol. */
  violation(layer: 'vmbus' | 'ring', text: string): void {
    this.state.violation(layer, text + this.client.suffix);
  }

  unmodelled(what: string): void {
    const { events } = this.services;
    if (events.on) events.emit({ kind: 'unmodelled', what });
  }

  fault(text: string): void {
    const { events } = this.services;
    if (events.on) events.emit({ kind: 'fault', text });
  }

  /** A connection or (with `channel`) a channel changed its state. */
  changed(change: VmbusChange, detail: { version?: number; channel?: number } = {}): void {
    const { events } = this.services;
    if (events.on) events.emit({ kind: 'vmbus', change, ...detail, ...this.origin });
  }

  /** What the events of a second client say besides; nothing for the primary one's. */
  get origin(): { readonly client?: 'secondary' } {
    return this.client.name === 'secondary' ? { client: 'secondary' } : {};
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** What all parts of the VMBus server share: the hypervisor's services, faults and events. */

import type { HostEvent } from '../events.ts';
import type { PartitionServices } from '../partition-interface.ts';
import type { ServerFaults } from './faults.ts';

/** The changes of connections and channels that are events. */
export type VmbusChange = Extract<HostEvent, { kind: 'vmbus' }>['change'];

export class ServerContext {
  readonly services: PartitionServices;
  /** Interposition of tests and fault exploration; empty by default. */
  faults: ServerFaults = {};
  /** How often guests broke the protocol, whether or not somebody listens. */
  violations = 0;

  constructor(services: PartitionServices) {
    this.services = services;
  }

  /** The guest broke the protocol: an event, never an exception. */
  violation(layer: 'vmbus' | 'ring', text: string): void {
    this.violations++;
    const { events } = this.services;
    if (events.on) events.emit({ kind: 'violation', layer, text });
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
    if (events.on) events.emit({ kind: 'vmbus', change, ...detail });
  }
}

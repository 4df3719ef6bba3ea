// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the hypervisor offers to the host's servers (VMBus and, behind it, the devices), and how it
 * calls them. The partition implements {@link PartitionServices}; the VMBus server uses it and
 * registers ports.
 */

import type { VirtualClock } from '../base/clock.ts';
import type { HostEvents } from '../ledger/events.ts';
import type { GrantLedger } from '../ledger/grants.ts';
import type { Omissions } from '../ledger/omissions.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import type { HostProfile } from '../profiles/profile.ts';
import type { Random } from '../base/random.ts';

/**
 * Takes the messages that guests post to a connection. `payload` is valid only during the call.
 * Returns the hypercall's status: SUCCESS, or INSUFFICIENT_BUFFERS when the host's queue is full.
 */
export type MessagePort = (type: number, payload: Uint8Array, vp: number) => number;

/** Takes the events that guests signal on a connection; returns the hypercall's status. */
export type EventPort = (flag: number) => number;

/** The hypervisor's services. */
export interface PartitionServices {
  readonly ram: GuestRam;
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly events: HostEvents;
  readonly grants: GrantLedger;
  /** Steps of a clean-up that guests left out. */
  readonly omissions: Omissions;
  readonly profile: HostProfile;
  /** Virtual processors, numbered from 0: a guest may name one that does not exist. */
  readonly processorCount: number;

  /**
   * Send a message to a SINT: into the slot if it is free and nothing waits, else queued. The
   * payload (at most 240 bytes) is copied. Lost, with an event, where real hosts lose it: false.
   */
  postMessage(vp: number, sint: number, type: number, payload: Uint8Array): boolean;

  /** The guest is contacted on this SINT from now on: some hosts look at SCONTROL then, once. */
  routeMessages?(vp: number, sint: number): void;

  /** Messages that wait for a slot of this SINT to be emptied (the one in the slot not counted). */
  queuedMessages(vp: number, sint: number): number;

  /** Whether the guest has taken every message of this SINT, also the one in the slot. */
  isDrained(vp: number, sint: number): boolean;

  /** Called whenever a queued message has moved into a slot or a slot was emptied. */
  onSlotEmptied: (() => void) | undefined;

  /** Set event flag `flag` of a SINT (atomic OR); an interrupt is counted on 0 to 1. */
  signalEvent(vp: number, sint: number, flag: number): void;

  /** Connect a port to a connection ID. An ID that is taken is a mistake in the simulator. */
  registerMessagePort(connectionId: number, port: MessagePort): void;
  registerEventPort(connectionId: number, port: EventPort): void;
  unregisterPort(connectionId: number): void;
}

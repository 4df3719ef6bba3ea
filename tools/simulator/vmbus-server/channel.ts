// SPDX-License-Identifier: GPL-2.0-or-later

/** A channel as the server keeps it: the device, its place on the bus, its state. */

import { MONITOR_NONE } from '../../../src/vmbus/protocol.ts';
import type { Grant } from '../ledger/grants.ts';
import type { ChannelDevice } from './channel-interface.ts';
import type { RingChannel } from './ring-channel.ts';
import type { Keeper } from '../base/snapshot.ts';

/**
 * States of a channel (OpenVMM `ChannelState`; devices answer at once here, so that `opening` and
 * `closing` are seen only from inside a device).
 *
 * - `released`: not offered to the guest
 * - `closed`: offered
 * - `opening`, `open`, `closing`
 * - `revoked`: rescinded, the guest has not released it yet
 * - `reoffered`: as revoked, and the device is back: offered anew once the guest has released it
 */
export type ChannelState =
  'released' | 'closed' | 'opening' | 'open' | 'closing' | 'revoked' | 'reoffered';

/** What belongs to a channel only while it is open. */
export interface Opening {
  readonly rings: RingChannel;
  readonly openId: number;
  /** When it was opened, in ticks. */
  readonly openedAt: number;
  readonly ringGpadl: number;
  /** Version of the connection that opened it. */
  readonly version: number;
  /** Virtual processor, SINT and event flag of interrupts from 2.4 on; no flag at all: -1. */
  targetVp: number;
  readonly sint: number;
  readonly eventFlag: number;
  /** Connection ID of the event port. */
  readonly connectionId: number;
  /** Opened by OPEN_RESERVED_CHANNEL: it outlives the connection. */
  readonly reserved: boolean;
}

/**
 * States of a GPADL.
 *
 * - `in-progress`: bodies are missing
 * - `accepted`: the host may touch the pages
 * - `tearing-down`: the guest wants it back, the device still holds it
 * - `torn-down`: the guest was told that it has it back, but the device still holds it (QEMU)
 */
export type GpadlState = 'in-progress' | 'accepted' | 'tearing-down' | 'torn-down';

/** Guest memory that a channel has. */
export interface Gpadl {
  readonly id: number;
  readonly channel: Channel;
  state: GpadlState;
  readonly rangeCount: number;
  /** The ranges as the guest sends them, and how much of them is there. */
  readonly data: Uint8Array;
  filled: number;
  /** One grant per range, once accepted. */
  readonly grants: Grant[];
  /** Open channels of others that have it for their rings. */
  lent: number;
  /** The act of the guest that has begun it, for the stream of events. */
  act: number | undefined;
}

export class Channel {
  /** What is behind it; another one once a rescinded device has come back. */
  device: ChannelDevice;
  /** Order in which the device was given to the server. */
  readonly order: number;
  state: ChannelState = 'released';
  /** Channel number (relid), 0 while released. */
  id = 0;
  /** Number of the last offer, 0 if there was none: the next owner's must be the same. */
  lastId = 0;
  /** Monitor number, or MONITOR_NONE. */
  monitor = MONITOR_NONE;
  readonly gpadls = new Map<number, Gpadl>();
  opening: Opening | undefined;
  /** The channel that this one is a sub-channel of, and the sub-channels of this one. */
  readonly primary: Channel | undefined;
  readonly subchannels: Channel[] = [];
  /** Version of the connection on which the guest closed it last; 0 while it is open. */
  closedAt = 0;
  /** The guest has opened it before it was offered. */
  unoffered = false;
  /** Connection ID and event flag of an OPEN that the device refused, where the host keeps them. */
  keptPort: Pick<Opening, 'connectionId' | 'eventFlag'> | undefined;
  /** Left over from a connection that is gone: reserved channels alone. */
  orphan = false;
  /** Counters of all opens: signals and those with nothing to say. */
  signals = 0;
  unnecessarySignals = 0;

  constructor(device: ChannelDevice, order: number, primary?: Channel) {
    this.device = device;
    this.order = order;
    this.primary = primary;
    primary?.subchannels.push(this);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.device, this.state, this.id], (v) => ([this.device, this.state, this.id] = v));
    keeper.put([this.lastId, this.monitor], (v) => ([this.lastId, this.monitor] = v));
    keeper.put([this.opening, this.closedAt], (v) => ([this.opening, this.closedAt] = v));
    keeper.put([this.unoffered, this.keptPort], (v) => ([this.unoffered, this.keptPort] = v));
    keeper.put([this.orphan, this.signals], (v) => ([this.orphan, this.signals] = v));
    keeper.put([this.unnecessarySignals], (v) => ([this.unnecessarySignals] = v));
    keeper.keep(this.gpadls, this.primary, this.subchannels);
  }

  /** Sub-channel index: 0 for the primary channel of a device. */
  get index(): number {
    return this.device.subchannelIndex ?? 0;
  }

  /** Whether the guest lost it to a rescind and has not released it. */
  get rescinded(): boolean {
    return this.state === 'revoked' || this.state === 'reoffered';
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** What a driver chooses on the bus, for those that are no firmware. */

import type { BusOptions } from '../vmbus/bus.ts';
import { GPADL_FIRST } from '../vmbus/gpadl.ts';
import { OsBus } from './bus.ts';
import {
  GUEST_FEATURES,
  contactAsOs,
  contactAsSecondary,
  type OsConnectionOptions,
} from './contact.ts';

/** First GPADL ID of Linux less one. */
const LINUX_FIRST_GPADL = 0xe1e0f;

/** GPADL IDs that each of several drivers in one guest has for itself. */
const GPADLS_PER_SINT = 0x01000000;

/**
 * How long an OS lets the host take, in ms: Linux waits for ever for the answer to its contact, and
 * for that to UNLOAD; a host may have to write its disk caches first.
 */
const OS_TIMEOUT_MS = 100_000;

/** What a preset leaves to the guest. */
export interface BusPreset extends Omit<BusOptions, 'drivers' | 'random' | 'connection'> {
  readonly connection?: OsConnectionOptions | undefined;
}

/** What both have. */
const COMMON = {
  part: (bus) => new OsBus(bus),
  /** Linux: the number of the channel. */
  openId: (channel) => channel,
} as const satisfies Partial<BusPreset>;

/** A loaded OS, as Linux has it. Of its own are processor (`connection.targetVp`) and SINT. */
export const OS_BUS = {
  ...COMMON,
  contact: contactAsOs,
  connection: {
    features: GUEST_FEATURES,
    contactTimeoutMs: OS_TIMEOUT_MS,
    unloadTimeoutMs: OS_TIMEOUT_MS,
  },
  firstGpadl: LINUX_FIRST_GPADL,
} as const satisfies BusPreset;

/**
 * A secondary driver beside another one in the same guest, on the same {@link HyperV} (Linux commit
 * "enable VMBus protocol version 5.0", notes for its developers): on another SINT that nobody uses,
 * on 5.0 or newer, over the message connection that the host returns. It has no monitor pages: the
 * primary's are the ones that hosts are known to poll. GPADL IDs are of its SINT's own range.
 */
export function secondaryBus(sint: number): BusPreset {
  return {
    ...COMMON,
    contact: contactAsSecondary,
    connection: { ...OS_BUS.connection, sint, monitors: false },
    firstGpadl: GPADL_FIRST + sint * GPADLS_PER_SINT,
  };
}

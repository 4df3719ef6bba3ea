// SPDX-License-Identifier: GPL-2.0-or-later

/** The boundary between the bus and the drivers of its devices. */

import type { VmbusDevice } from './device.ts';

/** A driver bound to a device. */
export interface DriverInstance {
  /** The connection was lost and made anew: start again. @throws HypxeError */
  reset(): void;
  /** Let go of the device. Never throws. */
  remove(): void;
  /** The host has taken the device away: let go of it. Never throws. */
  rescinded(): void;
  /**
   * The connection is gone for good, and with it channels and GPADLs: forget the device without a
   * word to the host. Never throws.
   *
   * @param letGo whether the host has said that it let go of all memory
   */
  abandoned?(letGo: boolean): void;
}

/** A driver for a class of devices. */
export interface VmbusDriver {
  readonly interfaceId: string;
  /** Take a device. @throws HypxeError with everything undone */
  probe(device: VmbusDevice): DriverInstance;
  /** Outside of any wait, after the bus: what has come for its devices. */
  poll?(): void;
}

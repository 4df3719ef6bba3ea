// SPDX-License-Identifier: GPL-2.0-or-later

/** The boundary between the bus and the drivers of its devices. */

import type { DriverInstance, VmbusDevice } from './device.ts';

export type { DriverInstance } from './device.ts';

/** A driver for a class of devices. */
export interface VmbusDriver {
  readonly interfaceId: string;
  /** Take a device. @throws HypxeError with everything undone */
  probe(device: VmbusDevice): DriverInstance;
  /** Outside of any wait, after the bus: what has come for its devices. */
  poll?(): void;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** What somebody adds to the bus who is more than firmware: asked where it plugs in. */

import type { DevicePart } from './device.ts';
import type { Offer } from './offer.ts';

/** Plugged in before the bus is probed. A part has what it wants of this. */
export interface BusPart extends DevicePart {
  /** The connection is about to be set up. @throws HypxeError with nothing touched */
  settingUp?(): void;
  /** The connection is torn down. */
  tornDown?(): void;
  /**
   * The host offers a sub-channel.
   *
   * @returns whether the part has taken it; what nobody takes is ignored, with a line of the log
   */
  offered?(offer: Offer): boolean;
  /**
   * The host takes a channel away.
   *
   * @returns whether it is one of the part's, so that nobody else needs to look for it
   */
  rescinded?(channel: number): boolean;
  /** The bus is polled: before devices that were taken away are let go of, and afterwards. */
  settling?(): void;
  settled?(): void;
}

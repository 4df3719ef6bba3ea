// SPDX-License-Identifier: GPL-2.0-or-later

/** A running guest has broken the interface: it ends as one that crashes. */
export class GuestFault extends Error {
  override readonly name = 'GuestFault';
}

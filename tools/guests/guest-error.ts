// SPDX-License-Identifier: GPL-2.0-or-later

/** What a guest can be told: that it is refused before it runs, or that it has broken the interface. */

/** A module that is no guest: nothing of it has run. */
export class GuestRefused extends Error {
  override readonly name = 'GuestRefused';
  /** What to do about it. */
  readonly advice: string;

  constructor(message: string, advice: string) {
    super(message);
    this.advice = advice;
  }
}

/** A running guest has broken the interface: it ends as one that crashes. */
export class GuestFault extends Error {
  override readonly name = 'GuestFault';
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** How a replayed guest is ended, and how it is told that it may not. */

import { hexNumber } from '../hex.ts';

/** Why the machine ended the guest. Thrown by every call from then on. */
export class ReplayStop extends Error {
  readonly reason: 'fault' | 'hang' | 'end';

  constructor(reason: 'fault' | 'hang' | 'end', message: string) {
    super(message);
    this.name = 'ReplayStop';
    this.reason = reason;
  }
}

/** #GP of a register write, as a guest sees it that has a handler for it. */
export class RegisterRefused extends Error {
  readonly status = undefined;

  constructor(msr: number) {
    super(`#GP: write of register ${hexNumber(msr)}`);
    this.name = 'RegisterRefused';
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** The kernel has crashed by a mistake of its own: what Linux calls an oops, and panics of. */
export class OsOops extends Error {
  constructor(text: string) {
    super(`kernel NULL pointer dereference: ${text}`);
    this.name = 'OsOops';
  }
}

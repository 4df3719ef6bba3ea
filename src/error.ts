// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Named errors. Only conditions from outside (host, network, configuration) are such errors; what
 * is thrown has a name, and a text that says what was seen. The POSIX class of a name and what to
 * do about it stand in `catalogue.ts`, outside of the ROM.
 */

import type { ErrorName } from './catalogue.ts';

export type { ErrorName } from './catalogue.ts';

/** An error with a name. */
export class HypxeError extends Error {
  override readonly name: ErrorName;
  /** Hypercall status or other number that belongs to the error, if any. */
  readonly status: number | undefined;

  constructor(name: ErrorName, message: string, status?: number) {
    super(message);
    this.name = name;
    this.status = status;
  }
}

/**
 * Whether something that was caught is an error with a name, also one of another bundle: a part
 * that is plugged in has a class of its own, but the same shape.
 */
export function isNamed(error: unknown): error is HypxeError {
  return error instanceof Error && Object.hasOwn(error, 'status');
}

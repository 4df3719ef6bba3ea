// SPDX-License-Identifier: GPL-2.0-or-later

/** A status that a guest returns, as an error with a name. */

import type { ErrorName } from '../../src/catalogue.ts';
import { HypxeError } from '../../src/error.ts';
import { ABI_ERRNO } from './abi/abi.ts';

/** Names of the errors of guests, by the number that they return, negative. */
const NAMES: ReadonlyMap<number, ErrorName> = new Map<number, ErrorName>([
  [ABI_ERRNO.ENODEV, 'GuestNoDevice'],
  [ABI_ERRNO.EACCES, 'GuestNoAccess'],
  [ABI_ERRNO.ENOTSUP, 'GuestNotSupported'],
  [ABI_ERRNO.ENOMEM, 'GuestNoMemory'],
  [ABI_ERRNO.ENOBUFS, 'GuestNoBuffers'],
  [ABI_ERRNO.ETIMEDOUT, 'GuestTimedOut'],
  [ABI_ERRNO.EPROTO, 'GuestProtocol'],
  [ABI_ERRNO.EPIPE, 'GuestPipe'],
  [ABI_ERRNO.ECANCELED, 'Cancelled'],
]);

const TEXTS = new Map<number, string>(
  Object.entries(ABI_ERRNO).map(([name, value]) => [value, name]),
);

/** The error for a negative status. */
export function guestError(call: string, status: number): HypxeError {
  const name = NAMES.get(-status) ?? 'GuestFailed';
  const text = TEXTS.get(-status);
  const what = text === undefined ? '' : ` (${text})`;
  return new HypxeError(name, `${call} returned ${status}${what}`, status);
}

/** Which error the status of a frame is, or undefined for 0. */
export function frameError(status: number): ErrorName | undefined {
  if (status === 0) return undefined;
  return NAMES.get(-status) ?? 'GuestFailed';
}

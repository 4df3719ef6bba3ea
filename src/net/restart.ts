// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A TFTP transfer that breaks is begun again, as a part: once with the same options if the server
 * was lost in the middle, else without any, to which every server knows an answer.
 */

import type { RestartTransfer } from './part.ts';
import { NO_OPTIONS } from './tftp-packet.ts';
import { isNamed } from '../error.ts';

/** Transfers that are tried for one file. */
export const TFTP_TRANSFERS = 4;

/** The server fell silent, or broke off. */
const LOST = /^Tftp(Stalled|ServerError)$/;

/** The same, or it does not do what was agreed: perhaps it does what needs no agreement. */
const BROKEN = /^Tftp(Stalled|ServerError|BadOptions|OversizedBlock|BeyondSize|Truncated)$/;

export const restartTransfer: RestartTransfer = (net, error, received, ask, transfers) => {
  if (!isNamed(error) || transfers === TFTP_TRANSFERS) return undefined;
  const isLost = received > 0 && LOST.test(error.name);
  if (!isLost && !(ask.size > 0 && BROKEN.test(error.name))) return undefined;
  net.log.warning('TFTP', net.name, `${error.message}: beginning again`);
  return isLost && transfers === 1 ? ask : NO_OPTIONS;
};

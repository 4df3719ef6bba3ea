// SPDX-License-Identifier: GPL-2.0-or-later

/** Errors of the TFTP client. */

import { TftpErrorCode } from './protocol.ts';
import type { ErrorName } from '../error.ts';

/** The error that a code of the server is. */
export function tftpErrorOf(code: number): ErrorName {
  if (code === TftpErrorCode.NOT_FOUND) return 'TftpFileNotFound';
  if (code === TftpErrorCode.ACCESS) return 'TftpAccessDenied';
  return 'TftpServerError';
}

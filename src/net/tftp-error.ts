// SPDX-License-Identifier: GPL-2.0-or-later

/** Errors of the TFTP client. */

import { TftpErrorCode } from './protocol.ts';
import { errorKinds } from '../error.ts';
import type { ErrorKind } from '../error.ts';

export const TftpError = errorKinds({
  BadFileName: ['EINVAL', 'Use a file name without NUL and of at most about 450 bytes.'],
  NoTftpAnswer: [
    'ETIMEDOUT',
    'Start a TFTP server on the next server; let no firewall drop answers from new ports.',
  ],
  TftpStalled: [
    'ETIMEDOUT',
    'Look into the log of the server, and try a smaller block size or a window size of 1.',
  ],
  TftpTooSlow: ['ETIMEDOUT', 'Allow more time for the download, or look for loss in the network.'],
  TftpPortUnreachable: ['EPIPE', 'Start a TFTP server on the next server, or name another one.'],
  TftpFileNotFound: [
    'ENOENT',
    'Check the name of the boot file against the root directory of the TFTP server.',
  ],
  TftpAccessDenied: ['EACCES', 'Let the TFTP server read the file: check its permissions.'],
  TftpServerError: ['EIO', 'Look into the log of the TFTP server.'],
  TftpBadOptions: [
    'EPROTO',
    'The server answers options against RFC 2347: turn them off there, or use another server.',
  ],
  TftpOversizedBlock: [
    'EPROTO',
    'The server sends blocks longer than agreed: use a smaller block size, or another server.',
  ],
  TftpBeyondSize: [
    'EPROTO',
    'The file is longer than the size that the server told: was it replaced meanwhile? Try again.',
  ],
  TftpTruncated: [
    'EPROTO',
    'The file ended before the size that the server told: was it replaced meanwhile? Try again.',
  ],
});

/** The error that a code of the server is. */
export function tftpErrorOf(code: number): ErrorKind {
  if (code === TftpErrorCode.NOT_FOUND) return TftpError.TftpFileNotFound;
  if (code === TftpErrorCode.ACCESS) return TftpError.TftpAccessDenied;
  return TftpError.TftpServerError;
}

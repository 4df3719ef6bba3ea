// SPDX-License-Identifier: GPL-2.0-or-later

/** Why the system has refused something, in words and without the call's name and numbers. */

import { getSystemErrorMap } from 'node:util';

/** What Node says of a file otherwise than as a state of it. */
const IN_WORDS: Readonly<Record<string, string>> = { EISDIR: 'it is a directory' };

/** The reason alone: `no such file or directory`, `no space left on device`. */
export function systemReason(error: unknown): string {
  const { errno, code = '', message } = error as NodeJS.ErrnoException;
  if (Object.hasOwn(IN_WORDS, code)) return IN_WORDS[code]!;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno);
  return known?.[1] ?? message;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** `1 error`, `2 errors`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`;
}

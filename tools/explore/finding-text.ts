// SPDX-License-Identifier: GPL-2.0-or-later

/** Texts of findings. */

/** Name of what a guest failed with, if it has one. */
export function nameOf(error: unknown): string | undefined {
  return error instanceof Error ? error.name : undefined;
}

/** Its message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Findings that differ in numbers only have one cause. */
export function withoutNumbers(text: string): string {
  return text
    .replace(/\{[0-9a-f-]{36}\}/g, '{…}')
    .replace(/0x[0-9a-f]+/g, '#')
    .replace(/\b[0-9]+\b/g, '#');
}

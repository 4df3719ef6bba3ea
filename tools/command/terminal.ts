// SPDX-License-Identifier: GPL-2.0-or-later

/** Where a command writes, and how it learns that whoever waits for it has had enough. */
export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  /** Aborted at Ctrl-C: finish, say what was done, and return the exit code for it. */
  readonly interrupt?: AbortSignal;
}

/** Whether whoever waits has had enough; gives Ctrl-C the time to be noticed. */
export async function interrupted({ interrupt }: Terminal): Promise<boolean> {
  if (interrupt !== undefined) await new Promise((resolve) => void setImmediate(resolve));
  return interrupt?.aborted === true;
}

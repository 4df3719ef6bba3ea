// SPDX-License-Identifier: GPL-2.0-or-later

/** Exit codes: for scripts, and in documents. One table for all commands. */
export const Exit = {
  CLEAN: 0,
  FINDINGS: 1,
  USAGE: 2,
  CRASH: 3,
  ENVIRONMENT: 4,
  INTERNAL: 5,
  REFUSED: 6,
  /** As a shell has it: 128 and the number of SIGINT. */
  INTERRUPTED: 130,
} as const;

/** One of {@link Exit}. */
export type ExitCode = (typeof Exit)[keyof typeof Exit];

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Named errors. A layer lists its errors in one table, each with the POSIX class that iPXE would
 * report and with what the reader can do about it; `throw new HypxeError(kind, text)` adds what was
 * seen. Only conditions from outside (host, network, configuration) are such errors.
 */

/** The POSIX class of an error, as iPXE's errno has it. */
export type Errno =
  | 'EACCES'
  | 'ECANCELED'
  | 'EINVAL'
  | 'EIO'
  | 'ENOBUFS'
  | 'ENODEV'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOTSUP'
  | 'EPIPE'
  | 'EPLATFORM'
  | 'EPROTO'
  | 'ERANGE'
  | 'ETIMEDOUT';

/** One named error. */
export interface ErrorKind {
  /** Stable name, for scripts and tests: `NoHypervisor`. */
  readonly name: string;
  readonly errno: Errno;
  /** What to do next, one sentence. */
  readonly advice: string;
}

/** A layer's table of errors: name to [errno, advice]. */
export function errorKinds<N extends string>(
  table: Readonly<Record<N, readonly [Errno, string]>>,
): Readonly<Record<N, ErrorKind>> {
  const kinds = {} as Record<N, ErrorKind>;
  for (const name of Object.keys(table) as N[]) {
    const [errno, advice] = table[name];
    kinds[name] = { name, errno, advice };
  }
  return kinds;
}

/** An error with a name. `message` says what was seen, `kind.advice` what to do. */
export class HypxeError extends Error {
  readonly kind: ErrorKind;
  /** Hypercall status or other number that belongs to the error, if any. */
  readonly status: number | undefined;

  constructor(kind: ErrorKind, message: string, status?: number) {
    super(message);
    this.name = kind.name;
    this.kind = kind;
    this.status = status;
  }
}

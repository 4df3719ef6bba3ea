// SPDX-License-Identifier: GPL-2.0-or-later

/** What the two threads of a cell share, and what goes over the wire between cell and tool. */

/** Words of the shared memory. */
export const Word = {
  /** Counted up with every call of the seam. */
  HEARTBEAT: 0,
  /** For the worker's own use: of an exploration, the run that it is at. */
  POSITION: 1,
  /** Not 0: finish what you are at, and report. */
  STOP: 2,
  /** {@link Phase} */
  PHASE: 3,
  /** {@link Guarded}: whether a guest runs that can be interrupted. */
  GUARDED: 4,
  /** {@link Reason}: why it was interrupted. */
  REASON: 5,
  /** For how long it had given no sign of life then, in ms. */
  SILENT_MS: 6,
  /** Messages that the worker has posted, and those that were taken. */
  SENT: 7,
  TAKEN: 8,
  /** 1 while the worker waits for its messages to be taken. */
  WAITING: 9,
  COUNT: 10,
} as const;

/** What a worker does: whose time it is. */
export const Phase = { STARTING: 0, LOADING: 1, RUNNING: 2 } as const;

/** Once it is being interrupted, the call does not end before the signal has come. */
export const Guarded = { NO: 0, YES: 1, INTERRUPTED: 2 } as const;

export const Reason = { NONE: 0, HANG: 1, MEMORY: 2 } as const;

/** Bytes for a text of the worker's: what it is at. */
export const NOTE_BYTES = 1024;

/** Bytes for the stack of a guest that is interrupted. */
export const STACK_BYTES = 8192;

/** Messages that may be on their way: a worker that has posted more waits. */
export const MESSAGES_MAX = 64;

/** What a worker is given. */
export interface CellWorkerData {
  /** What the command wants of it. */
  readonly job: unknown;
  readonly words: Int32Array;
  readonly note: Uint8Array;
  /** Where the guest was when it was interrupted: lines, ended by a 0. */
  readonly stack: Uint8Array;
  /** Of a cell with a link: see boot-worker.ts. */
  readonly link?: unknown;
}

/** What a cell is told at its start. */
export interface CellStart {
  readonly script: string;
  readonly job: unknown;
  /** Longest silence in ms, by phase. */
  readonly silenceMs: readonly number[];
  /** Bytes that its process may have. */
  readonly memoryBytes: number;
  /** The real link that it shall start. */
  readonly link?: unknown;
}

/** What the tool tells a cell. */
export type ToCell =
  | { readonly kind: 'start'; readonly start: CellStart }
  | { readonly kind: 'taken'; readonly count: number }
  | { readonly kind: 'stop' }
  /** End the worker, and tell what came of the link. */
  | { readonly kind: 'end' };

/** What a cell tells the tool. */
export type FromCell =
  /** Of the worker. */
  | { readonly kind: 'message'; readonly message: unknown }
  /** It gave no sign of life, or its process has grown too large, or was killed by somebody. */
  | {
      readonly kind: 'lost';
      readonly reason: 'hang' | 'out-of-memory' | 'killed';
      readonly silentMs: number;
      readonly phase: number;
      readonly position: number;
      readonly note: string;
      /** Where it was, if that could be seen: lines as in the stack of an error. */
      readonly stack: string;
    }
  /** The worker has ended. */
  | { readonly kind: 'ended' }
  /** A failure in the cell itself. */
  | {
      readonly kind: 'failed';
      readonly name: string;
      readonly text: string;
      readonly advice: string;
      readonly stack: string;
    }
  /** What came of the link. */
  | { readonly kind: 'link'; readonly link: unknown };

/** Put a text into memory that is shared: ASCII, ended by a 0, cut to what there is room for. */
export function writeText(to: Uint8Array, text: string): void {
  const length = Math.min(text.length, to.length - 1);
  for (let i = 0; i < length; i++) to[i] = text.charCodeAt(i);
  to[length] = 0;
}

/** What {@link writeText} has put there. */
export function readText(from: Uint8Array): string {
  const end = from.indexOf(0);
  return String.fromCharCode(...from.slice(0, end < 0 ? from.length : end));
}

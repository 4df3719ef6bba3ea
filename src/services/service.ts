// SPDX-License-Identifier: GPL-2.0-or-later

/** The boundary between the framework of the utility services and a service. */

import type { Log } from '../events.ts';
import type { Clock } from '../time.ts';

/** A request of the host: a private copy, checked as far as its headers go. */
export interface IcRequest {
  /** May be written to: the answer goes back in place. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the body begins, and its length. */
  readonly body: number;
  readonly bodyLength: number;
  /** Message version that was agreed on. */
  readonly messageVersion: number;
  /** The firmware is on its way out: nothing that takes longer can be begun. */
  readonly leaving: boolean;
}

/** Returned by {@link IcService.handle} if the service answers later. */
export const LATER = -1;

/** What a service gets from the framework while its channel is open. */
export interface IcContext {
  readonly log: Log;
  readonly clock: Clock;
  /** Answer the request that was put off with {@link LATER}: its status. */
  answer(status: number): void;
}

/** A utility service. One request at a time: the next is not read before this one is answered. */
export interface IcService {
  /** For log lines: `file copy`. */
  readonly name: string;
  /** Interface GUID of its devices. */
  readonly interfaceId: string;
  /** IcHeader.type of its messages. */
  readonly type: number;
  /** Message versions in order of preference: major in the high, minor in the low 16 bits. */
  readonly messageVersions: readonly number[];
  /** Whether requests can be taken: while it is false they wait in the ring. */
  readonly ready: boolean;
  /** The channel is open, perhaps again: nothing of what was before counts any more. */
  opened(context: IcContext): void;
  /**
   * Handle a request, and write what belongs into its body. Returns the status of the answer, or
   * {@link LATER}. Throws nothing.
   */
  handle(request: IcRequest): number;
  /** In every turn while the channel is open: time limits. */
  poll(): void;
  /** The answer to the last request is where the host can read it. */
  answered(): void;
  /** The channel is closed; `reason` is for people. An open request is not answered any more. */
  closed(reason: string): void;
}

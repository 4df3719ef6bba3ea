// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Messages that the recorded host had sent before they were seen: each waited behind another one
 * for the guest's end of message. A guest that is faster gets it as soon as it asks.
 */

import { Msr } from '../../../src/hyperv/protocol.ts';
import type { TraceEvent } from '../trace-events.ts';

/** Follows the slots of a recording. */
export class QueuedMessages {
  /** By SINT: when the message came that said that another waits. */
  readonly #waiting = new Map<number, number>();
  /** The last event was an end of message. */
  #ended = false;

  /** Take the next event. Returns since when the message that it is waited, or undefined. */
  take(event: TraceEvent, time: number): number | undefined {
    const ended = this.#ended;
    this.#ended = event.op === 'wrmsr' && Number(event.msr) === Msr.EOM;
    if (event.op !== 'host-message') return undefined;
    const since = this.#waiting.get(event.sint);
    const at = ended ? since : undefined;
    if (event.pending === 1) this.#waiting.set(event.sint, at ?? time);
    else this.#waiting.delete(event.sint);
    return at;
  }
}

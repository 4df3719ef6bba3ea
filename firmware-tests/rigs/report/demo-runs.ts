// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs of a demo page without a page: what its worker would tell. */

import { boot } from '../../../src/index.ts';
import { serve } from '../../../tools/demo/demo.ts';
import type { LiveMessage, LivePort } from '../../../tools/report/live.ts';
import type { TraceRecord } from '../../../tools/report/model/record.ts';

/** What a worker has told of a run. */
export interface Told {
  readonly messages: readonly LiveMessage[];
  readonly events: readonly TraceRecord[];
  /** Its last message. */
  readonly last: LiveMessage;
}

/** Run with these choices; the rest is as the page has it. */
export function demoRun(values: Readonly<Record<string, string>> = {}): Told {
  const messages: LiveMessage[] = [];
  const port: LivePort = {
    onmessage: null,
    // As a worker does: what is told is a copy
    postMessage: (message) => void messages.push(structuredClone(message)),
  };
  serve(port, { boot });
  port.onmessage!({ data: { values } });
  const events = messages.flatMap((each) => (each.kind === 'events' ? each.events : []));
  return { messages, events, last: messages.at(-1)! };
}

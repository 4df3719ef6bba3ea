// SPDX-License-Identifier: GPL-2.0-or-later

/** What happened in a run, as lines of its log: who had the machine, faults, what was found. */

import { STAGE_ENDS } from '../../library/boot-report.ts';
import type { StageEnd } from '../../flow/stage.ts';
import type { HostEvent } from '../../simulator/ledger/events.ts';
import { logTime } from './boot-log.ts';

/** Lines of the machine's events; those of the guests are `logLine`'s. */
export class Story {
  readonly #verbose: boolean;
  /** What each grant is for. */
  readonly #purposes = new Map<number, string>();

  /** @param verbose violations and refused calls, too */
  constructor(verbose: boolean) {
    this.#verbose = verbose;
  }

  /** The lines of an event, at `now` in ticks; none if it is not of the story. */
  lines(event: HostEvent, now: number): readonly string[] {
    const heading = stageLines(event, now);
    if (heading.length > 0) return heading;
    const text = this.#text(event);
    return text === undefined ? [] : [`${logTime(now)}   ${text}`];
  }

  #text(event: HostEvent): string | undefined {
    switch (event.kind) {
      case 'grant':
        this.#purposes.set(event.grant.id, event.grant.purpose);
        return undefined;
      case 'purpose':
        this.#purposes.set(event.grant, event.purpose);
        return undefined;
      case 'injected':
        return `FAULT ${event.what} (${event.fault})`;
      case 'late-write': {
        const purpose = this.#purposes.get(event.grant) ?? `grant ${event.grant}`;
        return `HOST writes late to what it still has: ${purpose}, ${event.length} bytes`;
      }
      case 'finding':
        return `FOUND ${event.severity}: ${event.text}`;
      case 'crash':
      case 'hang':
        return `ENDED ${event.kind}: ${event.text}`;
      case 'violation':
        return this.#verbose ? violationText(event) : undefined;
      case 'fault':
        return this.#verbose ? `HOST fault: ${event.text}` : undefined;
      default:
        return undefined;
    }
  }
}

/** What a guest did against a protocol. */
function violationText({ layer, text }: Extract<HostEvent, { kind: 'violation' }>): string {
  return `HOST ${layer} violation: ${text}`;
}

/** The same as a line of the log; undefined for any other event. */
export function violationLine(event: HostEvent, now: number): string | undefined {
  return event.kind === 'violation' ? `${logTime(now)}   ${violationText(event)}` : undefined;
}

/** Headings: from now on the machine is somebody else's; and how the one before has ended. */
export function stageLines(event: HostEvent, now: number): readonly string[] {
  if (event.kind === 'stage') return [`${logTime(now)} === ${event.stage}`];
  if (event.kind !== 'handoff') return [];
  const ended = STAGE_ENDS[event.end as StageEnd] ?? event.end;
  return [`${logTime(now)} ${event.stage} ${ended}`];
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** The trace and the capture of a replay, of the firmware or of whom it is compared with. */

import type { ReplayWatch } from '../../replay/session.ts';
import { TRACE_VERSION, type RunHeader } from '../../report/trace-line.ts';
import { AUDIT_CHECKS } from '../../simulator/audit/audit-findings.ts';
import { HostEvents } from '../../simulator/ledger/events.ts';
import { RunFiles, type WantedFiles } from '../boot/run-files.ts';

/** Who is replayed: its name in the trace. */
const GUEST = 'firmware';

/** Steps of a recording behind which the guest has given all back. */
const HANDOFFS: readonly string[] = ['remove', 'boot'];

export class ReplayFiles {
  readonly watch: ReplayWatch;
  readonly #files: RunFiles;
  readonly #events: HostEvents;
  #now = 0;
  #last = '';

  /**
   * @param session the name of what is replayed
   * @param memory the guest's RAM
   * @throws EnvironmentError TraceUnwritable, CaptureUnwritable
   */
  constructor(wanted: WantedFiles, session: string, guest: string, memory: ArrayBufferLike) {
    const events = new HostEvents(() => this.#now);
    this.#events = events;
    const machine = { events, clock: { now: 0 }, nics: [], partition: { ram: { memory } } };
    const header: RunHeader = {
      ...{ kind: 'run', trace: TRACE_VERSION, command: 'replay', session, firmware: guest },
    };
    this.#files = new RunFiles(wanted, machine, () => header);
    events.emit({ kind: 'stage', stage: GUEST });
    this.watch = {
      host: (event, now) => {
        this.#now = now;
        events.emit(event);
      },
      guest: (event, now) => this.#files.guest(event, GUEST, now),
      step: (name, now) => {
        this.#last = name;
        const text = `the recording goes on: ${name}`;
        const log = { kind: 'log', level: 'info', layer: 'REPLAY', object: '', text };
        this.#files.note({ guest: GUEST, ...log }, now);
      },
    };
  }

  /** It comes to no end: what there is stays as a part. */
  abandon(): void {
    this.#files.abandon();
  }

  /** It is over. `failures`: how it differs, where it must not. Returns what is not written. */
  end(failures: readonly string[]): RunFiles['failures'] {
    const events = this.#events;
    if (HANDOFFS.includes(this.#last))
      events.emit({ kind: 'handoff', stage: GUEST, end: 'handoff', memoryMap: [] });
    for (const text of failures)
      events.emit({ kind: 'finding', stage: GUEST, check: 'run', severity: 'error', text });
    const verdict = failures.length === 0 ? 'clean' : 'findings';
    // A replay compares effects: of the audit it makes no check
    events.emit({ kind: 'verdict', verdict, notRun: Object.keys(AUDIT_CHECKS) });
    this.#files.close();
    return this.#files.failures;
  }
}

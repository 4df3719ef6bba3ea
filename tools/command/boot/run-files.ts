// SPDX-License-Identifier: GPL-2.0-or-later

/** The trace and the capture of a run, while it goes on. */

import type { FirmwareEvent } from '../../../src/events.ts';
import type { CapturedMemory } from '../../capture/rndis-messages.ts';
import type { RunHeader } from '../../report/trace-line.ts';
import type { HostEvents } from '../../simulator/ledger/events.ts';
import { EnvironmentError } from '../usage.ts';
import type { FilesRequest } from './file-options.ts';
import { CaptureWriter } from './capture-writer.ts';
import { TraceWriter } from './trace-writer.ts';
import { systemReason } from '../system-reason.ts';

const ADVICE = 'Give a path that can be written.';

/** What is looked at of a machine: a simulated one, or that of a replay. */
export interface WatchedMachine {
  readonly events: Pick<HostEvents, 'listen'>;
  readonly clock: { readonly now: number };
  readonly nics: { readonly length: number };
  readonly partition: { readonly ram: { readonly memory: ArrayBufferLike } };
}

/** What is wanted, and where it goes. */
export type WantedFiles = Pick<FilesRequest, 'trace' | 'traceSlim' | 'pcap'>;

export class RunFiles {
  readonly #trace: TraceWriter | undefined;
  readonly #pcap: CaptureWriter | undefined;

  /**
   * Begin with a machine on which nothing has run yet.
   *
   * @param header the first line of the trace
   * @param memory guest RAM: that of an emulator can be another buffer later
   * @throws EnvironmentError TraceUnwritable, CaptureUnwritable
   */
  constructor(
    { trace, traceSlim, pcap }: WantedFiles,
    { events, clock, nics, partition }: WatchedMachine,
    header: () => RunHeader,
    memory: CapturedMemory = partition.ram.memory,
  ) {
    if (trace !== undefined) {
      const writer = opened('trace', trace, () => new TraceWriter(trace, memory, traceSlim));
      writer.write(header(), clock.now);
      events.listen((event, now) => writer.host(event, now));
      this.#trace = writer;
    }
    if (pcap !== undefined) {
      const made = { nics: nics.length, memory };
      const writer = opened('capture', pcap, () => new CaptureWriter(pcap, made));
      events.listen((event, now) => writer.capture.host(event, now));
      this.#pcap = writer;
    }
  }

  /** What a guest says; `who`: its name in the trace. */
  guest(event: FirmwareEvent, who: string, now: number): void {
    this.note({ guest: who, ...event }, now);
    this.#pcap?.capture.guest(event, who, now);
  }

  /** A line of the trace alone. */
  note(event: object, now: number): void {
    this.#trace?.write(event, now);
  }

  /** They are whole. */
  close(): void {
    this.#trace?.close();
    this.#pcap?.close();
  }

  /** They will never be whole: what there is stays as a part. */
  abandon(): void {
    this.#trace?.abandon();
    this.#pcap?.abandon();
  }

  /** Why a file is incomplete, where one is. */
  get failures(): { traceFailure: string | undefined; captureFailure: string | undefined } {
    return { traceFailure: this.#trace?.failure, captureFailure: this.#pcap?.failure };
  }
}

function opened<Writer>(what: 'trace' | 'capture', path: string, open: () => Writer): Writer {
  try {
    return open();
  } catch (error) {
    const text = `the ${what} cannot be written to ${path}: ${systemReason(error)}`;
    throw new EnvironmentError(
      what === 'trace' ? 'TraceUnwritable' : 'CaptureUnwritable',
      text,
      ADVICE,
    );
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The process of a cell: it starts the worker in which host and guest run, watches its signs of
 * life and the memory of the process, and passes on what it says. It is not the process of the
 * command: that is where verdicts are told.
 */

import { Worker, type MessagePort } from 'node:worker_threads';
import {
  Guarded,
  NOTE_BYTES,
  STACK_BYTES,
  Phase,
  Reason,
  Word,
  readText,
  writeText,
  type CellStart,
  type FromCell,
  type ToCell,
} from './cell-words.ts';
import { OwnTime, STEP_MS } from './own-time.ts';
import { guestStack } from './worker-stack.ts';

/** How long an interrupted worker may take to tell what was, in ms: the audit takes its time. */
const GRACE_MS = 5000;

/** By how much the limit of memory may be exceeded while an interrupted guest ends. */
const GRACE_PART = 1.5;

/** Heap of a worker beyond the limit, in MiB: the watch over memory comes first. */
const HEAP_MORE_MIB = 256;

/** What Node says of a worker that has used up its heap. */
const OUT_OF_MEMORY = 'ERR_WORKER_OUT_OF_MEMORY';

/** A link that the cell has. */
export interface CellLink {
  /** For the worker. */
  readonly data: unknown;
  readonly transfer: readonly MessagePort[];
  /** Close it. Returns what came of it. */
  close(): Promise<unknown>;
}

/** Starts the link that a cell is told to have. */
export type LinkStarter = (request: unknown) => Promise<CellLink>;

/** Be a cell. */
export function runCell(startLink: LinkStarter): void {
  // What interrupts a guest interrupts nothing else
  process.on('SIGINT', () => undefined);
  process.on('disconnect', () => process.exit());
  process.on('message', (message: ToCell) => {
    if (message.kind !== 'start') return;
    void new Cell(message.start, startLink).run();
  });
}

function send(message: FromCell): void {
  process.send?.(message);
}

/** Why a guest is ended. */
type Lost = 'hang' | 'out-of-memory';

class Cell {
  readonly #start: CellStart;
  readonly #startLink: LinkStarter;
  readonly #words = new Int32Array(new SharedArrayBuffer(4 * Word.COUNT));
  readonly #note = new Uint8Array(new SharedArrayBuffer(NOTE_BYTES));
  readonly #stack = new Uint8Array(new SharedArrayBuffer(STACK_BYTES));
  /** It is being looked at where the guest is. */
  #looking = false;
  #seen = -1;
  #phase: number = Phase.STARTING;
  readonly #time = new OwnTime();
  #silentSince = 0;
  /** Since when the guest is being interrupted, and why. */
  #interruptedAt: number | undefined;
  #reason: Lost = 'hang';
  /** After an interruption the audit takes its time, without a sign of life. */
  #silenceMinMs = 0;
  #over = false;

  constructor(start: CellStart, startLink: LinkStarter) {
    this.#start = start;
    this.#startLink = startLink;
  }

  async run(): Promise<void> {
    const { script, job, link: request, memoryBytes } = this.#start;
    let link: CellLink | undefined;
    try {
      link = request === undefined ? undefined : await this.#startLink(request);
    } catch (error) {
      this.#fail(error);
      return;
    }
    const [words, note, stack] = [this.#words, this.#note, this.#stack];
    const workerData = { job, words, note, stack, link: link?.data };
    const worker = new Worker(new URL(script), {
      workerData,
      transferList: [...(link?.transfer ?? [])],
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(memoryBytes / 2 ** 20) + HEAP_MORE_MIB },
    });
    process.on('message', (message: ToCell) => {
      if (message.kind === 'stop') Atomics.store(this.#words, Word.STOP, 1);
      if (message.kind === 'end') void worker.terminate();
      if (message.kind !== 'taken') return;
      Atomics.add(this.#words, Word.TAKEN, message.count);
      Atomics.notify(this.#words, Word.TAKEN);
    });
    worker.on('message', (message: unknown) => send({ kind: 'message', message }));
    worker.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === OUT_OF_MEMORY) this.#lost('out-of-memory');
      else this.#fail(error);
    });
    const timer = setInterval(() => this.#look(), STEP_MS);
    worker.on('exit', () => {
      clearInterval(timer);
      void this.#end(link);
    });
  }

  async #end(link: CellLink | undefined): Promise<void> {
    if (link !== undefined) send({ kind: 'link', link: await link.close() });
    if (!this.#over) send({ kind: 'ended' });
  }

  /** Look at the worker: does it live, and how large has the process grown? */
  #look(): void {
    if (this.#over) return;
    const now = this.#time.look();
    // It may grow while somebody looks where it is
    if (this.#looking) {
      const { memoryBytes } = this.#start;
      if (process.memoryUsage.rss() > memoryBytes * GRACE_PART) this.#lost('out-of-memory');
      return;
    }
    const words = this.#words;
    const beat = Atomics.load(words, Word.HEARTBEAT);
    const phase = Atomics.load(words, Word.PHASE);
    const alive = beat !== this.#seen || phase !== this.#phase;
    // Who waits for somebody to read cannot go on
    if (alive || Atomics.load(words, Word.WAITING) === 1) this.#silentSince = now;
    this.#seen = beat;
    this.#phase = phase;
    const silentMs = now - this.#silentSince;
    const size = process.memoryUsage.rss();
    const { memoryBytes, silenceMs } = this.#start;
    if (this.#interruptedAt !== undefined) this.#awaitEnd(now);
    else if (size > memoryBytes * GRACE_PART) this.#lost('out-of-memory');
    else if (size > memoryBytes) this.#interrupt('out-of-memory', silentMs);
    else if (silentMs >= Math.max(silenceMs[phase]!, this.#silenceMinMs)) {
      void this.#hangs(silentMs);
    }
  }

  /** Look where the guest is, then interrupt it. */
  async #hangs(silentMs: number): Promise<void> {
    if (Atomics.load(this.#words, Word.PHASE) === Phase.RUNNING) {
      this.#looking = true;
      try {
        writeText(this.#stack, await guestStack());
      } finally {
        this.#looking = false;
      }
    }
    // It may have gone on by itself meanwhile
    if (this.#over || Atomics.load(this.#words, Word.HEARTBEAT) !== this.#seen) return;
    this.#interrupt('hang', silentMs);
  }

  /** Interrupt a guest, so that the worker can tell what was; else end it. */
  #interrupt(reason: Lost, silentMs: number): void {
    const words = this.#words;
    const running = Atomics.load(words, Word.PHASE) === Phase.RUNNING;
    Atomics.store(words, Word.SILENT_MS, Math.floor(silentMs / 1000) * 1000);
    Atomics.store(words, Word.REASON, reason === 'hang' ? Reason.HANG : Reason.MEMORY);
    const { GUARDED } = Word;
    const { YES, INTERRUPTED } = Guarded;
    // Windows knows no signals
    const can = running && process.platform !== 'win32';
    if (!can || Atomics.compareExchange(words, GUARDED, YES, INTERRUPTED) !== YES) {
      this.#lost(reason);
      return;
    }
    this.#reason = reason;
    this.#interruptedAt = this.#time.now;
    process.kill(process.pid, 'SIGINT');
  }

  /** A guest is being interrupted: once it is out, the worker has time to tell. */
  #awaitEnd(now: number): void {
    if (Atomics.load(this.#words, Word.GUARDED) !== Guarded.INTERRUPTED) {
      this.#interruptedAt = undefined;
      this.#silentSince = now;
      this.#silenceMinMs = GRACE_MS;
    } else if (now - this.#interruptedAt! > GRACE_MS) this.#lost(this.#reason);
  }

  #lost(reason: Lost): void {
    if (this.#over) return;
    this.#over = true;
    const words = this.#words;
    send({
      kind: 'lost',
      reason,
      silentMs: this.#time.now - this.#silentSince,
      phase: Atomics.load(words, Word.PHASE),
      position: Atomics.load(words, Word.POSITION),
      note: readText(this.#note),
      stack: readText(this.#stack),
    });
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
    const { advice = '' } = { ...(error as { readonly advice?: string }) };
    send({ kind: 'failed', name, text: message, advice, stack });
  }
}

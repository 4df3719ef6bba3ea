// SPDX-License-Identifier: GPL-2.0-or-later

/** The worker's end of a cell: what it is to do, where its messages go, and how it runs a guest. */

import * as vm from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { GuestStopped } from '../../simulator/hypervisor/guest-end.ts';
import { freezeRealm } from './frozen-realm.ts';
import {
  Guarded,
  MESSAGES_MAX,
  Reason,
  Word,
  readText,
  writeText,
  type CellWorkerData,
} from './cell-words.ts';

const { words, note, stack } = workerData as CellWorkerData;

/** Places of an error that are kept: behind those of the tool come the guest's. */
const STACK_PLACES = 64;

Error.stackTraceLimit = STACK_PLACES;

// Before anything of a guest is there
freezeRealm();

/** One wait for messages to be taken, in ms. */
const WAIT_MS = 1000;

/** Longest time in ms in which whoever has interrupted a guest for no reason ends it. */
const ENDING_MS = 10_000;

// A promise of the guest's that nobody waits for is nothing to the tool; what the tool itself waits
// for has somebody who catches it. What was rejected is not looked at: it may be the guest's
process.on('unhandledRejection', () => undefined);

/** What the command wants of this worker. */
export function cellJob<T>(): T {
  return (workerData as CellWorkerData).job as T;
}

/** The real link of the cell, if it has one. */
export function cellLink<T>(): T | undefined {
  return (workerData as CellWorkerData).link as T | undefined;
}

/** A word that is counted up as a sign of life: the first. */
export const heartbeat: Int32Array = words;

/** Post a message. Whoever posts faster than anybody reads waits. */
export function post(message: unknown): void {
  parentPort!.postMessage(message);
  Atomics.add(words, Word.SENT, 1);
  for (;;) {
    const taken = Atomics.load(words, Word.TAKEN);
    if (Atomics.load(words, Word.SENT) - taken <= MESSAGES_MAX) break;
    Atomics.store(words, Word.WAITING, 1);
    Atomics.wait(words, Word.TAKEN, taken, WAIT_MS);
  }
  Atomics.store(words, Word.WAITING, 0);
}

/** Say what comes now: whose time it is. */
export function phase(now: number): void {
  Atomics.store(words, Word.PHASE, now);
}

/** Note what is being done, for whoever has to end it: ASCII. */
export function noteDown(position: number, text: string): void {
  writeText(note, text);
  Atomics.store(words, Word.POSITION, position);
}

/** Whether the worker shall finish. */
export function stopped(): boolean {
  return Atomics.load(words, Word.STOP) !== 0;
}

/** Runs what is in {@link run}, and can be interrupted. */
const script = new vm.Script('run()', { filename: 'hypxe:guard' });
const holder = { run: (): void => undefined };
const context = vm.createContext(holder);

/**
 * Call a guest. One that gives no sign of life, or whose process grows too large, is interrupted.
 *
 * @throws GuestStopped, and what the call throws
 */
export function guard<T>(call: () => T): T {
  if (Atomics.load(words, Word.GUARDED) !== Guarded.NO) return call();
  // What the call throws does not go through the engine's script: all that comes out of that is an
  // interruption
  let ended: { readonly value: T } | { readonly thrown: unknown } | undefined;
  holder.run = () => {
    try {
      ended = { value: call() };
    } catch (thrown) {
      ended = { thrown };
    }
    const { GUARDED } = Word;
    if (Atomics.compareExchange(words, GUARDED, Guarded.YES, Guarded.NO) === Guarded.YES) return;
    // The signal is on its way: outside of the script it would end the process
    for (;;);
  };
  Atomics.store(words, Word.GUARDED, Guarded.YES);
  try {
    script.runInContext(context, { breakOnSigint: true });
  } catch {
    ended = undefined;
  } finally {
    Atomics.store(words, Word.GUARDED, Guarded.NO);
  }
  if (ended === undefined) throw interruption();
  if ('thrown' in ended) throw ended.thrown;
  return ended.value;
}

function interruption(): GuestStopped {
  const reason = Atomics.load(words, Word.REASON);
  Atomics.store(words, Word.REASON, Reason.NONE);
  if (reason === Reason.MEMORY) return new GuestStopped('out-of-memory', 'it ran out of memory');
  // Ctrl-C goes to all processes: this one is about to be ended
  if (reason === Reason.NONE) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ENDING_MS);
  }
  const seconds = Atomics.load(words, Word.SILENT_MS) / 1000;
  const text = `no sign of life for ${seconds} s (see --watchdog)`;
  return new GuestStopped('hang', text, readText(stack));
}

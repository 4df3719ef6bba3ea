// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A guest whose state can be copied: what a real one did, written down call by call at the seam,
 * with what it wrote to its memory before each. It does the same again from any place on, as often
 * as one likes: all that there is of it is a number.
 */

import type { Machine } from '../../../src/machine.ts';
import { passOn } from '../../../tools/simulator/base/passing-machine.ts';
import type { SimulatedMachine } from '../../../tools/simulator/machine.ts';

const PAGE = 4096;

/** A call, and what the guest wrote before: words by their place. */
interface ScriptedCall {
  readonly writes: readonly (readonly [word: number, value: number])[];
  /** Make it; the answer as text. */
  readonly make: (machine: SimulatedMachine) => string;
}

export type Script = readonly ScriptedCall[];

/** Let a guest run on the seams of a machine, and write down what it does. */
export function recordScript(machine: SimulatedMachine, guest: (seams: Machine[]) => void): Script {
  const script: ScriptedCall[] = [];
  const words = new Int32Array(machine.bootSeam.memory);
  const bytes = Buffer.from(machine.bootSeam.memory as ArrayBuffer);
  const seen = Int32Array.from(words);
  const seenBytes = Buffer.from(seen.buffer);

  const written = (): [number, number][] => {
    const writes: [number, number][] = [];
    for (let at = 0; at < bytes.length; at += PAGE) {
      if (bytes.compare(seenBytes, at, at + PAGE, at, at + PAGE) === 0) continue;
      for (let i = at / 4; i < (at + PAGE) / 4; i++)
        if (words[i] !== seen[i]) writes.push([i, words[i]!]);
    }
    return writes;
  };
  const made = (writes: [number, number][], make: ScriptedCall['make']): void => {
    script.push({ writes, make });
    seen.set(words);
  };
  guest(machine.seams.map((seam, vp) => recordingSeam(seam, vp, written, made)));
  return script;
}

/** A seam that tells each call, after it was made. */
function recordingSeam(
  real: Machine,
  vp: number,
  written: () => [number, number][],
  made: (writes: [number, number][], make: ScriptedCall['make']) => void,
): Machine {
  const noted = <A extends unknown[], T>(name: string, call: (...args: A) => T) => {
    return (...args: A): T => {
      const writes = written();
      const now = args.map(copied) as A;
      try {
        return call(...args);
      } finally {
        made(writes, ({ seams }) => answer(seams[vp]!, name, now.map(copied)));
      }
    };
  };
  const seam = passOn(real) as unknown as Record<string, unknown>;
  const names = real.architecture === 'x64' ? X64_CALLS : ARM64_CALLS;
  // Of the clock it asks much, and it answers each time: all that is asked is written down
  for (const name of names) {
    const call = (real as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
    if (call !== undefined) seam[name] = noted(name, call.bind(real));
  }
  return seam as unknown as Machine;
}

const COMMON = ['pause', 'delay', 'takeInterrupt'];
const X64_CALLS = [...COMMON, 'cpuid', 'rdmsr', 'wrmsr', 'callHypercallPage'];
const ARM64_CALLS = [...COMMON, 'hvc', 'readCounter'];

/** Registers are updated in place: each call has its own. */
function copied(value: unknown): unknown {
  return value instanceof BigUint64Array ? value.slice() : value;
}

function answer(seam: Machine, name: string, args: unknown[]): string {
  try {
    const calls = seam as unknown as Record<string, (...args: unknown[]) => unknown>;
    return text([calls[name]!(...args), args]);
  } catch (error) {
    return `threw ${String(error)}`;
  }
}

/** Anything as text, 64-bit numbers and bytes too. */
export function text(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return `${part}n`;
    if (part instanceof BigUint64Array) return [...part].map(String);
    if (part instanceof Uint8Array) return Buffer.from(part).toString('hex');
    return part;
  });
}

/** Let the guest of a script do its calls `first` to `end`. Returns the answers. */
export function playScript(
  machine: SimulatedMachine,
  script: Script,
  first: number,
  end = script.length,
): string[] {
  const words = new Int32Array(machine.bootSeam.memory);
  return script.slice(first, end).map(({ writes, make }) => {
    for (const [word, value] of writes) words[word] = value;
    return make(machine);
  });
}

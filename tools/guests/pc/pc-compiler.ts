// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The second half of v86's compiler, at a counted instruction. The emulator itself compiles what it
 * has generated in the background, and so its code becomes fast when the wall's clock says so: no
 * two runs are alike. Here what was generated waits for the end of the slice, which is counted in
 * instructions, and is compiled there at once.
 */

import { engine, WASM_TABLE_OFFSET, type V86Cpu, type V86Exports } from './v86.ts';
import type { Keeper } from '../../simulator/base/snapshot.ts';

interface Generated {
  readonly index: number;
  readonly start: number;
  readonly stateFlags: number;
  readonly code: Uint8Array;
}

export class PcCompiler {
  /** Pieces of code that have been compiled. */
  compiled = 0;
  readonly #waiting: Generated[] = [];
  /** What was put into the table of functions, by its place there. */
  readonly #functions = new Map<number, unknown>();

  /** For a snapshot: all that may change. What the table has beyond it is not looked at. */
  saveFor({ wm }: V86Cpu, keeper: Keeper): void {
    keeper.put([this.compiled], (v) => ([this.compiled] = v));
    keeper.keep(this.#waiting);
    const was = new Map(this.#functions);
    keeper.also(() => {
      // All of them: the emulator itself takes some out
      for (const [place, code] of was) {
        this.#functions.set(place, code);
        wm.wasm_table.set(place, code);
      }
    });
  }

  /** The emulator has generated code: it is copied, because its place is used again. */
  generated(index: number, start: number, stateFlags: number, code: Uint8Array): void {
    this.#waiting.push({ index, start, stateFlags, code: code.slice() });
  }

  /** Compile what waits. Not from within the emulator. */
  finish(cpu: V86Cpu, exports: V86Exports): void {
    while (this.#waiting.length > 0) {
      const { index, start, stateFlags, code } = this.#waiting.shift()!;
      const instance = new engine.Instance(new engine.Module(code), { e: cpu.jit_imports });
      const place = index + WASM_TABLE_OFFSET;
      this.#functions.set(place, instance.exports['f']);
      cpu.wm.wasm_table.set(place, instance.exports['f']);
      exports.codegen_finalize_finished(index, start, stateFlags);
      this.compiled++;
    }
  }
}

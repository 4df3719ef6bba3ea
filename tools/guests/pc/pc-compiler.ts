// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The second half of v86's compiler, at a counted instruction. The emulator itself compiles what it
 * has generated in the background, and so its code becomes fast when the wall's clock says so: no
 * two runs are alike. Here what was generated waits for the end of the slice, which is counted in
 * instructions, and is compiled there at once.
 */

import { engine, WASM_TABLE_OFFSET, type V86Cpu, type V86Exports } from './v86.ts';

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

  /** The emulator has generated code: it is copied, because its place is used again. */
  generated(index: number, start: number, stateFlags: number, code: Uint8Array): void {
    this.#waiting.push({ index, start, stateFlags, code: code.slice() });
  }

  /** Compile what waits. Not from within the emulator. */
  finish(cpu: V86Cpu, exports: V86Exports): void {
    while (this.#waiting.length > 0) {
      const { index, start, stateFlags, code } = this.#waiting.shift()!;
      const instance = new engine.Instance(new engine.Module(code), { e: cpu.jit_imports });
      cpu.wm.wasm_table.set(index + WASM_TABLE_OFFSET, instance.exports['f']);
      exports.codegen_finalize_finished(index, start, stateFlags);
      this.compiled++;
    }
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The engine's WebAssembly, as far as guests need it. Declared here: it is there wherever hypxe's
 * simulator runs guests, but the type libraries for browsers are not.
 */

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

export interface WasmEngine {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (descriptor: object) => WasmMemory;
  readonly Instance: new (module: object, imports: object) => WasmInstance;
}

/** Pages of WebAssembly, in bytes. */
export const WASM_PAGE = 65536;

/** @throws Error on engines without it */
export function wasmEngine(): WasmEngine {
  const { WebAssembly } = globalThis as unknown as { WebAssembly?: WasmEngine };
  if (WebAssembly === undefined) throw new Error('this engine has no WebAssembly');
  return WebAssembly;
}

/**
 * A memory of fixed size. @throws RangeError without room, or for 64-bit memory where the engine
 * has none
 */
export function fixedMemory(bytes: number, memory64: boolean): WasmMemory {
  const { Memory } = wasmEngine();
  const pages = bytes / WASM_PAGE;
  if (!memory64) return new Memory({ initial: pages, maximum: pages });
  const wide = BigInt(pages);
  try {
    return new Memory({ address: 'i64', initial: wide, maximum: wide });
  } catch {
    // Before the proposal was finished it had another name, and numbers
    return new Memory({ index: 'i64', initial: pages, maximum: pages });
  }
}

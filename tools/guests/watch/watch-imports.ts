// SPDX-License-Identifier: GPL-2.0-or-later

/** What an instance of a rewritten module imports, and which of its pages are quiet meanwhile. */

import { QUIET_PAGE, type AccessListener } from './access-listener.ts';
import { ADDED, QUIET_GLOBALS, WATCH_MODULE } from './wasm-watch.ts';

/** What a module imports of one name, or what it exports. */
type Imports = Readonly<Record<string, unknown>>;

/**
 * What a module that tells of its accesses imports besides; `barrier` orders them. Nobody is told
 * of what has no length, nor of what ends beyond memory, which is `size` bytes: that traps.
 */
export function watchImports(
  hypxe: Imports,
  size: number,
  listener: () => AccessListener | undefined,
  quiet: QuietPages,
): Readonly<Record<string, Imports>> {
  const barrier = hypxe['barrier'] as (kind: number) => void;
  type Told = (to: AccessListener, address: number, length: number) => void;
  const hook = (tell: Told) => (base: number, offset: number, bytes: number) => {
    const to = listener();
    const length = bytes >>> 0;
    const address = (base >>> 0) + (offset >>> 0);
    if (to !== undefined && length > 0 && address + length <= size) tell(to, address, length);
  };
  return {
    hypxe: {
      ...Object.fromEntries(Object.entries(hypxe).map(([name, each]) => [name, quiet.ended(each)])),
      barrier: quiet.ended((kind: number) => {
        barrier(kind);
        const stores = listener()?.stores;
        if (kind === 2) stores?.ordered();
        else stores?.fenced?.(kind === 0 ? 'loads' : 'stores');
      }),
    },
    [WATCH_MODULE]: {
      load: hook((to, address, length) => {
        to.load(address, length);
        const page = Math.floor(address / QUIET_PAGE);
        if (to.quietLoads?.(page) === true) quiet.set(0, page);
      }),
      storing: hook((to, address, length) => {
        to.stores?.storing(address, length);
        const page = Math.floor(address / QUIET_PAGE);
        if (to.quietStores?.(page) === true) quiet.set(1, page);
      }),
      stored: hook(({ stores }, address, length) => stores?.stored(address, length)),
    },
  };
}

/** A global of a module. */
interface WasmGlobal<T = number> {
  value: T;
}

/** All variables of an instance of a rewritten module. */
export function globalsOf(exports: Imports): readonly WasmGlobal<number | bigint>[] {
  const names = Object.keys(exports).filter((name) => name.startsWith(ADDED));
  return names.map((name) => exports[name] as WasmGlobal<number | bigint>);
}

/** Pages of whose loads, and of whose stores, nobody is told: until the guest calls something. */
export class QuietPages {
  #globals: readonly WasmGlobal[] = [];

  /** The module is there: while it starts there are none. */
  begin(exports: Imports): void {
    this.#globals = QUIET_GLOBALS.map((name) => exports[name] as WasmGlobal);
  }

  set(which: number, page: number): void {
    const global = this.#globals[which];
    if (global !== undefined) global.value = page;
  }

  end(): void {
    for (const global of this.#globals) global.value = -1;
  }

  /** The same function; there are none behind it. */
  ended(called: unknown): unknown {
    if (typeof called !== 'function') return called;
    const call = called as (...values: unknown[]) => unknown;
    return (...values: unknown[]): unknown => {
      try {
        return call(...values);
      } finally {
        this.end();
      }
    };
  }
}

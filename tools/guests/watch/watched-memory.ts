// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Guest memory that sees what the guest does with it. While a firmware makes its views of guest RAM
 * it gets views that call back for each access: so reads outside of what the firmware has allocated
 * are found, and a host can be played that acts between any two accesses.
 *
 * Every way to memory that a JavaScript guest has is watched: DataView, the typed arrays (by
 * element, by method, and as views of views), Atomics, and `slice` of the buffer. Views are native
 * ones (a DataView with its methods overridden, a proxy around a typed array); all else is the
 * engine's. Only views of the guest's buffer are watched, and only those that were made while this
 * is installed: those of the host are not.
 */

import type { AccessListener } from './access-listener.ts';
import { methodAccess, type Extent } from './view-methods.ts';
import { WatchedView } from './watched-view.ts';

export type { AccessListener, StoreListener } from './access-listener.ts';

/** Names of the typed arrays. */
const ARRAYS = [
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
] as const;

type Slice = (this: ArrayBufferLike, start?: number, end?: number) => ArrayBufferLike;
type AnyArray = Int8Array | Uint8Array | Int32Array | BigUint64Array;
/** A method of a view: what it was when it was asked for, and what the guest got. */
interface Method {
  readonly of: unknown;
  readonly watched: unknown;
}

type ArrayConstructor = new (...args: unknown[]) => AnyArray;

/** Operations of Atomics on one element that store, besides `load`, which only loads. */
const ATOMIC_STORES = [
  ...(['add', 'and', 'compareExchange', 'exchange', 'or', 'store', 'sub', 'xor'] as const),
];

/** The views of one guest memory, watched. */
export class WatchedMemory {
  readonly buffer: ArrayBufferLike;
  readonly #watched: Record<string, unknown> = {};
  readonly #native: Record<string, unknown> = {};
  /** The arrays behind the proxies. */
  #targets = new WeakMap<object, AnyArray>();
  readonly #listener: AccessListener;
  readonly #nativeAtomics = Atomics;
  readonly #atomics: unknown;
  /** Where every buffer has its `slice` from: a guest may call it from there. */
  readonly #prototype: { slice: Slice };
  readonly #nativeSlice: Slice;
  readonly #slice: Slice;
  #installed = false;

  constructor(buffer: ArrayBufferLike, listener: AccessListener) {
    this.buffer = buffer;
    this.#listener = listener;
    this.#prototype = Object.getPrototypeOf(buffer) as { slice: Slice };
    this.#nativeSlice = this.#prototype.slice;
    this.#slice = this.#watchedSlice();
    const global = globalThis as unknown as Record<string, unknown>;
    for (const name of ['DataView', ...ARRAYS]) this.#native[name] = global[name];
    this.#watched['DataView'] = this.#dataView();
    for (const name of ARRAYS) this.#watched[name] = this.#array(name);
    this.#atomics = this.#watchedAtomics();
  }

  /** From now on views of the memory are watched. */
  install(): void {
    if (this.#installed) return;
    this.#installed = true;
    Object.assign(globalThis, this.#watched);
    // Atomics takes no proxies: ours stays for as long as there may be any
    Object.assign(globalThis, { Atomics: this.#atomics });
    this.#prototype.slice = this.#slice;
  }

  /** Views are plain ones again. Those that were made stay watched. */
  remove(): void {
    if (!this.#installed) return;
    this.#installed = false;
    Object.assign(globalThis, this.#native);
    this.#prototype.slice = this.#nativeSlice;
  }

  /** As {@link remove}, for a while. Returns whether there is something to install again. */
  suspend(): boolean {
    const installed = this.#installed;
    this.remove();
    return installed;
  }

  /** The guest is gone, and its views with it. */
  release(): void {
    this.remove();
    Object.assign(globalThis, { Atomics: this.#nativeAtomics });
    this.#targets = new WeakMap();
  }

  /** A constructor that makes watched views of the guest's buffer, and native ones of others. */
  #factory<T extends object>(native: new (...args: never[]) => T, watch: (view: T) => T): unknown {
    const { buffer } = this;
    const factory: unknown = new Proxy(native, {
      construct(target, args, newTarget: () => void) {
        // With a proxy as `new.target` the engine makes a new shape for each view
        const made = newTarget === factory ? target : newTarget;
        const view = Reflect.construct(target, args, made) as T;
        return args[0] === buffer ? watch(view) : view;
      },
    });
    return factory;
  }

  // --- the buffer ---

  #watchedSlice(): Slice {
    const { buffer } = this;
    const listener = this.#listener;
    const native = this.#nativeSlice;
    const { apply } = Reflect;
    return function slice(this: ArrayBufferLike, start = 0, end = this.byteLength) {
      if (this === buffer) {
        const { byteLength } = buffer;
        const first = Math.max(0, start < 0 ? byteLength + start : start);
        const last = Math.min(byteLength, end < 0 ? byteLength + end : end);
        if (last > first) listener.load(first, last - first);
      }
      return apply(native, this, [start, end]) as ArrayBufferLike;
    };
  }

  // --- DataView ---

  #dataView(): unknown {
    const { buffer } = this;
    const listener = this.#listener;
    const factory: unknown = new Proxy(DataView, {
      construct(target, args: [ArrayBufferLike, number?, number?], newTarget: () => void) {
        if (args[0] === buffer) return new WatchedView(listener, ...args);
        const made = newTarget === factory ? target : newTarget;
        return Reflect.construct(target, args, made) as DataView;
      },
    });
    return factory;
  }

  // --- typed arrays ---

  #array(name: (typeof ARRAYS)[number]): unknown {
    const native = this.#native[name] as ArrayConstructor;
    return this.#factory(native, (view) => this.#proxy(view));
  }

  #proxy(array: AnyArray): AnyArray {
    const listener = this.#listener;
    const { stores } = listener;
    const size = array.BYTES_PER_ELEMENT;
    const base = array.byteOffset;
    // Polling loops ask for the same few methods all the time: each is made once
    let methods: Map<string | symbol, Method> | undefined;
    const methodOf = (target: AnyArray, key: string | symbol, of: unknown): unknown => {
      const known = methods?.get(key);
      if (known !== undefined && known.of === of) return known.watched;
      const watched = this.#method(target, String(key), of);
      (methods ??= new Map()).set(key, { of, watched });
      return watched;
    };
    const proxy: AnyArray = new Proxy(array, {
      get: (target, key) => {
        const index = indexOf(key);
        if (index >= 0) {
          if (index < target.length) listener.load(base + index * size, size);
          return target[index];
        }
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? methodOf(target, key, value) : value;
      },
      set: (target, key, value) => {
        const index = indexOf(key);
        if (index < 0 || index >= target.length || stores === undefined)
          return Reflect.set(target, key, value, target);
        stores.storing(base + index * size, size);
        const done = Reflect.set(target, key, value, target);
        stores.stored(base + index * size, size);
        return done;
      },
    });
    this.#targets.set(proxy, array);
    return proxy;
  }

  /** A method of a typed array, told of by what it reads and writes. */
  #method(target: AnyArray, name: string, method: unknown): (...args: unknown[]) => unknown {
    const call = method as (...args: unknown[]) => unknown;
    return (...args) => {
      // Views that are arguments go in as what they are, and are read
      const source = name === 'set' ? this.#target(args[0]) : undefined;
      for (let i = 0; i < args.length; i++) args[i] = this.#target(args[i]) ?? args[i];
      const { reads, writes } = methodAccess(target, name, args);
      this.#loads(reads);
      if (source !== undefined) this.#listener.load(source.byteOffset, source.byteLength);
      const stores = writes.length === 0 ? undefined : this.#listener.stores;
      stores?.storing(writes.start, writes.length);
      const result = call.apply(target, args);
      stores?.stored(writes.start, writes.length);
      // A view of a view is watched as well
      return name === 'subarray' ? this.#proxy(result as AnyArray) : result;
    };
  }

  #loads({ start, length }: Extent): void {
    if (length > 0) this.#listener.load(start, length);
  }

  /** The array behind a proxy. */
  #target(value: unknown): AnyArray | undefined {
    return typeof value === 'object' && value !== null ? this.#targets.get(value) : undefined;
  }

  // --- Atomics ---

  #watchedAtomics(): unknown {
    const native = this.#nativeAtomics as unknown as Record<
      string,
      (...args: unknown[]) => unknown
    >;
    const watched: Record<string, unknown> = {};
    const around = (name: string, stored: boolean) => {
      const operation = native[name]!;
      watched[name] = (array: unknown, index: number, ...rest: unknown[]): unknown => {
        const target = this.#target(array);
        if (target === undefined) return operation(array, index, ...rest);
        const { stores } = this.#listener;
        const at = target.byteOffset + index * target.BYTES_PER_ELEMENT;
        stores?.ordered();
        // A barrier: nothing is looked at, nothing changes
        if (name === 'or' && rest[0] === 0) return operation(target, index, 0);
        this.#listener.load(at, target.BYTES_PER_ELEMENT);
        if (stored) stores?.storing(at, target.BYTES_PER_ELEMENT);
        const result = operation(target, index, ...rest);
        if (stored) stores?.stored(at, target.BYTES_PER_ELEMENT);
        stores?.ordered();
        return result;
      };
    };
    for (const name of Object.getOwnPropertyNames(native)) watched[name] = native[name];
    for (const name of ATOMIC_STORES) around(name, true);
    for (const name of ['wait', 'waitAsync', 'notify']) if (name in native) around(name, false);
    // Polling loops look all the time: one function of its own
    const { load } = this.#nativeAtomics;
    watched['load'] = (array: AnyArray, index: number): unknown => {
      const target = this.#target(array) as Int32Array | undefined;
      if (target === undefined) return load(array as Int32Array, index);
      const size = target.BYTES_PER_ELEMENT;
      this.#listener.load(target.byteOffset + index * size, size);
      const value = load(target, index);
      this.#listener.stores?.acquired();
      return value;
    };
    return watched;
  }
}

/** A canonical array index, or -1. */
function indexOf(key: string | symbol): number {
  if (typeof key !== 'string') return -1;
  const index = +key;
  return index >= 0 && Number.isInteger(index) ? index : -1;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Guest memory that sees what the guest reads. While a firmware makes its views of guest RAM it
 * gets views that call back for each load. So reads outside of what the firmware has allocated are
 * found, and a host can be played that changes a word between two loads of it: between the check
 * and the use.
 *
 * The views are native ones with their loads intercepted (a DataView with its own getters, a proxy
 * around a Uint8Array); all else is the engine's. Only views that are made directly of the guest's
 * buffer are watched.
 */

/** Called before each load. */
export interface LoadListener {
  /** Before `length` bytes at `address` are loaded. */
  load(address: number, length: number): void;
}

type Constructors = { DataView: typeof DataView; Uint8Array: typeof Uint8Array };

/** The views of one guest memory, watched. */
export class WatchedMemory {
  readonly #buffer: ArrayBufferLike;
  readonly #watched: Constructors;
  readonly #native: Constructors = { DataView, Uint8Array };
  #installed = false;

  constructor(buffer: ArrayBufferLike, listener: LoadListener) {
    this.#buffer = buffer;
    this.#watched = {
      DataView: watchedDataView(buffer, listener),
      Uint8Array: watchedBytes(buffer, listener),
    };
  }

  /** From now on views of the memory are watched. */
  install(): void {
    if (this.#installed) return;
    this.#installed = true;
    Object.assign(globalThis, this.#watched);
  }

  /** Views are plain ones again. Those that were made stay watched. */
  remove(): void {
    if (!this.#installed) return;
    this.#installed = false;
    Object.assign(globalThis, this.#native);
  }

  get buffer(): ArrayBufferLike {
    return this.#buffer;
  }
}

function watchedDataView(buffer: ArrayBufferLike, listener: LoadListener): typeof DataView {
  const construct = (args: ConstructorParameters<typeof DataView>): DataView => {
    const view = new native(...args);
    const watch = <T>(length: number, load: (at: number, little?: boolean) => T) => ({
      value: (at: number, little?: boolean): T => {
        listener.load(at, length);
        return load.call(view, at, little);
      },
    });
    return Object.defineProperties(view, {
      getUint8: watch(1, view.getUint8),
      getUint16: watch(2, view.getUint16),
      getUint32: watch(4, view.getUint32),
      getBigUint64: watch(8, view.getBigUint64),
    });
  };
  const native = DataView;
  return new Proxy(native, {
    construct(target, args: ConstructorParameters<typeof DataView>) {
      const whole = (args[0] as ArrayBufferLike) === buffer && args.length === 1;
      return whole ? construct(args) : new target(...args);
    },
  });
}

/** A canonical array index, or -1. */
function indexOf(key: string | symbol): number {
  if (typeof key !== 'string') return -1;
  const index = +key;
  return index >= 0 && Number.isInteger(index) ? index : -1;
}

function watchedBytes(buffer: ArrayBufferLike, listener: LoadListener): typeof Uint8Array {
  const handler: ProxyHandler<Uint8Array> = {
    get(target, key) {
      const index = indexOf(key);
      if (index >= 0) {
        listener.load(index, 1);
        return target[index];
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (target, key, value) => Reflect.set(target, key, value, target),
  };
  return new Proxy(Uint8Array, {
    construct(target, args: [ArrayBuffer]) {
      const whole = (args[0] as ArrayBufferLike) === buffer && args.length === 1;
      return whole ? new Proxy(new target(...args), handler) : new target(...args);
    },
  });
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Snapshots: what objects have is written down, and put back into the same objects. So whatever
 * refers to one of them (alarms of the clock, ports, functions) is right again afterwards. Each
 * class with a state says in its `saveTo` what that is, next to its fields; what is made of plain
 * objects, arrays, maps, sets and bytes is walked through.
 */

/** An object with a state of its own. */
export interface Saved {
  /** Tell `keeper` all that may change: see {@link Keeper.put} and {@link Keeper.keep}. */
  saveTo(keeper: Keeper): void;
}

/** A state that was written down. */
export type Restore = () => void;

/** Something that cannot be saved, or a snapshot of something else. */
export class SnapshotError extends Error {
  override readonly name = 'SnapshotError';
}

/** Writes down what objects have, each object once. */
export class Keeper {
  readonly #seen = new Set<object>();
  readonly #restores: Restore[] = [];
  readonly #checks: (() => void)[] = [];
  /** What is still to be looked at: no recursion, lists may be long. */
  readonly #open: object[] = [];

  /** @param memory buffers that are not looked into: guest RAM is saved by page */
  constructor(...memory: readonly ArrayBufferLike[]) {
    for (const buffer of memory) this.#seen.add(buffer);
  }

  /** Objects that are part of it, with all that they have: whoever holds them does not change. */
  keep(...values: readonly unknown[]): void {
    for (const value of values) if (typeof value === 'object' && value !== null) this.#meet(value);
  }

  /** What fields hold, with all that they have; and how it is put back into them. */
  put<const T extends readonly unknown[]>(values: T, put: (was: T) => void): void {
    this.#restores.push(() => put(values));
    this.keep(...values);
  }

  /** Which objects a list has, and nothing of what they have. */
  shallow<T>(list: T[]): void {
    const was = [...list];
    this.#restores.push(() => refill(list, was));
  }

  /** Something that has a way of its own to be put back. */
  also(restore: Restore): void {
    this.#restores.push(restore);
  }

  /** What throws if it cannot be put back any more: asked before anything is. */
  check(check: () => void): void {
    this.#checks.push(check);
  }

  /** Somebody who is plugged in: a part only if it says so itself. */
  plugged(...others: readonly unknown[]): void {
    for (const other of others) if (isSaved(other)) this.#meet(other);
  }

  /** Somebody who goes with the whole, and can. @throws SnapshotError, by name, if not */
  demand(what: string, other: unknown): void {
    if (!isSaved(other)) throw new SnapshotError(`${what} cannot be saved`);
    this.#meet(other);
  }

  /** Look at all that was met; then what puts everything back. */
  finish(): Restore {
    for (let next = this.#open.pop(); next !== undefined; next = this.#open.pop()) this.#look(next);
    const restores = this.#restores;
    const checks = this.#checks;
    return () => {
      for (const check of checks) check();
      for (const restore of restores) restore();
    };
  }

  #meet(value: object): void {
    if (this.#seen.has(value)) return;
    this.#seen.add(value);
    this.#open.push(value);
  }

  #look(value: object): void {
    if (isSaved(value)) value.saveTo(this);
    else if (Array.isArray(value)) this.#list(value);
    else if (ArrayBuffer.isView(value)) this.#meet(value.buffer);
    else if (value instanceof ArrayBuffer) this.#bytes(value);
    else if (value instanceof Map) this.#map(value);
    else if (value instanceof Set) this.#set(value);
    else if (isPlain(value)) this.#plain(value as Record<string, unknown>);
  }

  #list(list: unknown[]): void {
    const was = [...list];
    this.keep(...was);
    if (Object.isFrozen(list)) return;
    this.#restores.push(() => refill(list, was));
  }

  #bytes(buffer: ArrayBuffer): void {
    const was = new Uint8Array(buffer.slice(0));
    this.#restores.push(() => new Uint8Array(buffer).set(was));
  }

  #map(map: Map<unknown, unknown>): void {
    const was = [...map];
    this.keep(...map.keys(), ...map.values());
    this.#restores.push(() => {
      map.clear();
      for (const [key, value] of was) map.set(key, value);
    });
  }

  #set(set: Set<unknown>): void {
    const was = [...set];
    this.keep(...was);
    this.#restores.push(() => {
      set.clear();
      for (const value of was) set.add(value);
    });
  }

  /** Fields of an object that is no instance of a class; what is computed stays as it is. */
  #plain(object: Record<string, unknown>): void {
    const all = Object.keys(object);
    const names: string[] = [];
    const was: unknown[] = [];
    for (const name of all) {
      const property = Object.getOwnPropertyDescriptor(object, name)!;
      if (!('value' in property)) continue;
      this.keep(property.value);
      if (property.writable !== true) continue;
      names.push(name);
      was.push(property.value);
    }
    if (Object.isFrozen(object)) return;
    this.#restores.push(() => {
      for (let i = 0; i < names.length; i++) object[names[i]!] = was[i];
      const now = Object.keys(object);
      if (now.length === all.length && now.every((name, i) => name === all[i])) return;
      for (const name of now) if (!all.includes(name) && isValue(object, name)) delete object[name];
    });
  }
}

function refill<T>(list: T[], was: readonly T[]): void {
  list.length = was.length;
  for (let i = 0; i < was.length; i++) list[i] = was[i]!;
}

function isSaved(value: unknown): value is Saved {
  return typeof (value as Partial<Saved> | null | undefined)?.saveTo === 'function';
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function isValue(object: object, name: string): boolean {
  return 'value' in Object.getOwnPropertyDescriptor(object, name)!;
}

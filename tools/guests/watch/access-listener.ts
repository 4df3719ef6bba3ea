// SPDX-License-Identifier: GPL-2.0-or-later

/** Who is told of a guest's accesses to its memory. */

/** Called around each access. */
export interface AccessListener {
  /** Before `length` bytes at `address` are loaded. */
  load(address: number, length: number): void;
  /** Before and after `length` bytes at `address` are stored. Not called if it is missing. */
  readonly stores?: StoreListener;
  /**
   * Whether it needs to hear no more of loads of this page, of {@link QUIET_PAGE} bytes, until the
   * guest calls something: by its number. Not called if it is missing: it hears of all.
   */
  quietLoads?(page: number): boolean;
  /** The same of stores. */
  quietStores?(page: number): boolean;
}

/** What may be quiet at a time, in bytes: that much of memory, from a multiple of it. */
export const QUIET_PAGE = 4096;

/** The part of a listener that wants to know of stores, and of what orders them. */
export interface StoreListener {
  storing(address: number, length: number): void;
  stored(address: number, length: number): void;
  /** Around an access of Atomics: all before it is done before all after it. */
  ordered(): void;
  /** After `Atomics.load`, an acquire: no load behind it is done before it. */
  acquired(): void;
  /**
   * A barrier of one kind: all loads in front of it are done before whatever is behind it, or all
   * stores in front of it are visible before those behind it. JavaScript has none.
   */
  fenced?(what: 'loads' | 'stores'): void;
}

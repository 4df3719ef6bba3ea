// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What of the language the realm's own code uses, kept before the guest runs: the guest may replace
 * whatever it likes. Methods are called through `apply`; no iterator, no spread and no method of an
 * array is used behind this.
 */

export const { apply, ownKeys, getOwnPropertyDescriptor, defineProperty, deleteProperty } = Reflect;
export const { isArray } = Array;
export const { create, freeze } = Object;
export const { parse, stringify } = JSON;
export const { asUintN } = BigInt;
export const NativeError = Error;
export const NativeTypeError = TypeError;
export const NativePromise = Promise;
export const Bytes = Uint8Array;
export const Longs = BigUint64Array;
export const Words = Uint32Array;
export const Buffer = ArrayBuffer;
export const textOf = String;
export const isInteger = Number.isSafeInteger;
export const isFinite = Number.isFinite;

const { slice } = String.prototype;

/** The beginning of a text. */
export function head(text: string, length: number): string {
  return apply(slice, text, [0, length]);
}

/** A property of an object of the tool's own making, that no prototype can see or change. */
export function put(target: object, name: PropertyKey, value: unknown): void {
  defineProperty(target, name, {
    // Without a prototype, or the guest's would be asked for the rest
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  } as PropertyDescriptor);
}

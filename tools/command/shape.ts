// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Data that somebody else has made, checked field by field: what comes out of the process of a
 * guest. Each check makes new data of what it has looked at; whatever stands there besides is left.
 */

import { TEXT_MAX } from '../guests/cell/cell-text.ts';

/** Data is not what it should be: where, and what was expected. */
export class ShapeError extends Error {
  constructor(where: string, expected: string) {
    super(`${where === '' ? 'it' : where} is no ${expected}`);
    this.name = 'ShapeError';
  }
}

/** Checks a value. `where` is for the message. @throws ShapeError */
export type Shape<T> = (value: unknown, where: string) => T;

/** What a shape gives. */
export type Shaped<S> = S extends Shape<infer T> ? T : never;

/** Longest list. */
const LIST_MAX = 1 << 20;

export const text: Shape<string> = (value, where) => {
  if (typeof value === 'string' && value.length <= TEXT_MAX) return value;
  throw new ShapeError(where, 'text');
};

export const flag: Shape<boolean> = (value, where) => {
  if (typeof value === 'boolean') return value;
  throw new ShapeError(where, 'flag');
};

export const number: Shape<number> = (value, where) => {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new ShapeError(where, 'number');
};

/** A whole number, 0 or more. */
export const count: Shape<number> = (value, where) => {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new ShapeError(where, 'count');
};

/** One of some words. */
export function oneOf<T extends string | number>(...words: readonly T[]): Shape<T> {
  return (value, where) => {
    const word = words.find((each) => each === value);
    if (word === undefined) throw new ShapeError(where, `one of ${words.join(', ')}`);
    return word;
  };
}

/** What need not be there. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return (value, where) => (value === undefined ? undefined : shape(value, where));
}

export function list<T>(shape: Shape<T>): Shape<readonly T[]> {
  return (value, where) => {
    if (!Array.isArray(value) || value.length > LIST_MAX) throw new ShapeError(where, 'list');
    return value.map((each: unknown, i) => shape(each, `${where}[${i}]`));
  };
}

type Fields = Readonly<Record<string, Shape<unknown>>>;
type Optional<F extends Fields> = {
  [K in keyof F]: undefined extends Shaped<F[K]> ? K : never;
}[keyof F];
type Shapes<F extends Fields> = { readonly [K in Exclude<keyof F, Optional<F>>]: Shaped<F[K]> } & {
  readonly [K in Optional<F>]: Shaped<F[K]>;
};

/** An object with these fields. */
export function record<F extends Fields>(fields: F): Shape<Shapes<F>> {
  return (value, where) => {
    const data = own(value, where);
    const result: Record<string, unknown> = {};
    for (const [name, shape] of Object.entries(fields)) {
      const given = Object.hasOwn(data, name) ? data[name] : undefined;
      result[name] = shape(given, where === '' ? name : `${where}.${name}`);
    }
    return result as Shapes<F>;
  };
}

/** An object whose keys are anything, such as names of errors. */
export function table<T>(shape: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return (value, where) => {
    const data = own(value, where);
    const entries = Object.entries(data).slice(0, LIST_MAX);
    return Object.fromEntries(entries.map(([key, each]) => [key, shape(each, `${where}.${key}`)]));
  };
}

/** The same without the fields that are undefined. */
export function sparse<T extends object>(shape: Shape<T>): Shape<T> {
  return (value, where) => {
    const entries = Object.entries(shape(value, where)).filter(([, each]) => each !== undefined);
    return Object.fromEntries(entries) as T;
  };
}

function own(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new ShapeError(where, 'object');
}

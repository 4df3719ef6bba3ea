// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whatever a guest returns, throws or says, as JSON text that is made here by hand: each property
 * is read once, nothing of the guest's is asked how it wants to be written, what cannot be read is
 * named, and what is too long, too deep or too much is left out and counted.
 */

import {
  NativeError,
  apply,
  create,
  getOwnPropertyDescriptor,
  head,
  isArray,
  isFinite,
  ownKeys,
  stringify,
  textOf,
} from './intrinsics.ts';

/** Bounds of one value. */
const TEXT_MAX = 4096;
const ENTRIES_MAX = 4096;
const KEYS_MAX = 64;
const DEPTH_MAX = 6;
/** Characters of the whole. */
const TOTAL_MAX = 1 << 20;

/** What of an error is read, although it need not be enumerable. */
const ERROR_KEYS = ['name', 'message', 'stack', 'status'];

const { charCodeAt } = String.prototype;
const { toString: numberText } = BigInt.prototype;

/** How much has been written. */
interface Budget {
  left: number;
}

/** A value as JSON; '' for undefined. */
export function describe(value: unknown): string {
  return value === undefined ? '' : write(value, 0, { left: TOTAL_MAX });
}

/** Something that was thrown, as JSON: at least `name` and `message`. */
export function describeThrown(thrown: unknown): string {
  if (typeof thrown === 'object' && thrown !== null) {
    const text = write(thrown, 0, { left: TOTAL_MAX }, isError(thrown) ? undefined : ERROR_KEYS);
    if (apply(charCodeAt, text, [0]) === 0x7b) return text;
  }
  const text = typeof thrown === 'string' ? thrown : describe(thrown);
  return `{"message":${quote(text === '' ? 'undefined' : text)}}`;
}

function write(value: unknown, depth: number, budget: Budget, more?: readonly string[]): string {
  budget.left -= 8;
  if (budget.left < 0) return '"[too much]"';
  switch (typeof value) {
    case 'string':
      return quote(value, budget);
    case 'number':
      return isFinite(value) ? textOf(value) : `"[${value}]"`;
    case 'boolean':
      return value ? 'true' : 'false';
    case 'bigint':
      return quote(`0x${apply(numberText, value, [16])}`, budget);
    case 'object':
      if (value === null) return 'null';
      if (depth >= DEPTH_MAX) return '"[too deep]"';
      try {
        return isArray(value)
          ? writeArray(value, depth, budget)
          : writeObject(value, depth, budget, more ?? (isError(value) ? ERROR_KEYS : undefined));
      } catch {
        return '"[unreadable]"';
      }
    default:
      return `"[${typeof value}]"`;
  }
}

function writeArray(array: readonly unknown[], depth: number, budget: Budget): string {
  const { length } = array;
  const count = length < ENTRIES_MAX ? length : ENTRIES_MAX;
  let text = '[';
  for (let i = 0; i < count; i++) {
    text += `${i === 0 ? '' : ','}${read(array, i, depth, budget)}`;
    if (budget.left < 0) break;
  }
  return length > count ? `${text},"[${textOf(length - count)} more]"]` : `${text}]`;
}

function writeObject(
  object: object,
  depth: number,
  budget: Budget,
  more: readonly string[] | undefined,
): string {
  const keys = ownKeys(object);
  const written = create(null) as Record<string, boolean>;
  let text = '{';
  let count = 0;
  const add = (key: string): void => {
    if (written[key] === true || budget.left < 0) return;
    const value = read(object, key, depth, budget);
    if (value === '') return;
    written[key] = true;
    text += `${count === 0 ? '' : ','}${quote(key, budget)}:${value}`;
    count++;
  };
  for (let i = 0; i < (more?.length ?? 0); i++) add(more![i]!);
  for (let i = 0; i < keys.length && i < KEYS_MAX; i++) {
    const key = keys[i]!;
    if (typeof key !== 'string') continue;
    if (getOwnPropertyDescriptor(object, key)?.enumerable === true) add(key);
  }
  if (keys.length > KEYS_MAX) {
    text += `${count === 0 ? '' : ','}"[left out]":${textOf(keys.length - KEYS_MAX)}`;
  }
  return `${text}}`;
}

/** One property; '' if it is undefined. */
function read(object: object, key: string | number, depth: number, budget: Budget): string {
  let value: unknown;
  try {
    value = (object as Record<string, unknown>)[key];
  } catch {
    return '"[unreadable]"';
  }
  if (value === undefined) return typeof key === 'number' ? 'null' : '';
  return write(value, depth + 1, budget);
}

/** A text in quotes: its beginning, and how much was left out. */
function quote(text: string, budget?: Budget): string {
  const { length } = text;
  if (budget !== undefined) budget.left -= length < TEXT_MAX ? length : TEXT_MAX;
  if (length <= TEXT_MAX) return stringify(text);
  return stringify(`${head(text, TEXT_MAX)} [${textOf(length - TEXT_MAX)} more characters]`);
}

function isError(value: object): boolean {
  try {
    return value instanceof NativeError;
  } catch {
    return false;
  }
}

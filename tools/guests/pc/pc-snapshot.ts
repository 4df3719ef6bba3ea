// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the emulator has, for a snapshot: the memory of its WebAssembly module, where processor,
 * RAM and all that was compiled lie, by page; and the objects of its devices, field by field. v86
 * can save a state by itself, but begins to compile anew then, and is another run: here it is the
 * same, instruction by instruction.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import { SnapshotError, type Keeper, type Restore } from '../../simulator/base/snapshot.ts';
import {
  imageBytes,
  putImage,
  takeImage,
  type PageImage,
} from '../../simulator/base/page-image.ts';
import { sameBytes } from '../../simulator/base/same-bytes.ts';
import type { V86Screen } from './v86.ts';

/** Lists that are longer are tables of ports and of pages: their entries do not change. */
const TABLE_MIN = 4096;

/** What an object has: names or keys, and values. What is as it was before is the same object. */
interface Fields {
  readonly object: object;
  readonly names: readonly string[];
  readonly values: readonly unknown[];
}

/** Bytes; those of a disk, say, by page. */
type Bytes = { readonly object: ArrayBuffer } & (
  { readonly bytes: Uint8Array } | { readonly image: PageImage }
);

type Contents = Fields | Bytes;

/** Buffers of so many bytes are taken by page: a program changes little of them. */
const PAGED_MIN = 1 << 20;

/** Writes down objects of others, whatever their class: what they have is for all to see. */
export class ObjectKeeper {
  readonly #roots: readonly object[];
  readonly #memory: () => ArrayBufferLike;
  /** Bytes that the last {@link take} has and the one before had not. */
  fresh = 0;
  /** What each had when it was looked at last. */
  readonly #last = new WeakMap<object, Contents>();

  /** @param memory a buffer that is not looked into */
  constructor(roots: readonly object[], memory: () => ArrayBufferLike) {
    this.#roots = roots;
    this.#memory = memory;
  }

  /** What they have now, and all that they refer to. */
  take(): Restore {
    this.fresh = 0;
    const seen = new Set<object>([this.#memory()]);
    const open: object[] = [];
    const meet = (value: unknown): void => {
      if (typeof value !== 'object' || value === null || seen.has(value)) return;
      seen.add(value);
      open.push(value);
    };
    this.#roots.forEach(meet);
    const all: Contents[] = [];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (ArrayBuffer.isView(next)) meet(next.buffer);
      else if (next instanceof ArrayBuffer) all.push(this.#bytes(next));
      else {
        const fields = this.#fields(next);
        all.push(fields);
        if (!isTable(next)) fields.values.forEach(meet);
      }
    }
    return () => all.forEach(putBack);
  }

  #bytes(object: ArrayBuffer): Contents {
    const last = this.#last.get(object);
    if (object.byteLength >= PAGED_MIN && object.byteLength % PAGE_SIZE === 0) {
      const before = last !== undefined && 'image' in last ? last.image : undefined;
      const image = takeImage(object, before);
      this.fresh += imageBytes(image, before);
      return this.#kept({ object, image });
    }
    const now = new Uint8Array(object);
    if (last !== undefined && 'bytes' in last && sameBytes(now, last.bytes)) return last;
    this.fresh += now.length;
    return this.#kept({ object, bytes: now.slice() });
  }

  #kept<T extends Contents>(contents: T): T {
    this.#last.set(contents.object, contents);
    return contents;
  }

  #fields(object: object): Fields {
    const last = this.#last.get(object);
    const known = last !== undefined && 'names' in last ? last : undefined;
    if (known !== undefined && Array.isArray(object) && isSame(known.values, object)) return known;
    const { names, values } = read(object);
    if (known !== undefined && isSame(known.names, names) && isSame(known.values, values))
      return known;
    return this.#kept({ object, names, values });
  }
}

function isTable(object: object): boolean {
  return Array.isArray(object) && object.length >= TABLE_MIN;
}

/** What an object has: an entry of a map is a value for its key. */
function read(object: object): { names: string[]; values: unknown[] } {
  if (Array.isArray(object)) return { names: [], values: [...object] };
  if (object instanceof Map) return { names: [], values: [...object].flat() };
  if (object instanceof Set) return { names: [], values: [...object] };
  const names: string[] = [];
  const values: unknown[] = [];
  for (const name of Object.keys(object)) {
    const property = Object.getOwnPropertyDescriptor(object, name)!;
    if (!('value' in property)) continue;
    names.push(name);
    values.push(property.value);
  }
  return { names, values };
}

function putBack(contents: Contents): void {
  if ('bytes' in contents) {
    new Uint8Array(contents.object).set(contents.bytes);
    return;
  }
  if ('image' in contents) {
    putImage(contents.image, contents.object);
    return;
  }
  const { object, names, values } = contents;
  if (Array.isArray(object)) {
    object.length = values.length;
    for (let i = 0; i < values.length; i++) if (object[i] !== values[i]) object[i] = values[i];
  } else if (object instanceof Map) {
    object.clear();
    for (let i = 0; i < values.length; i += 2) object.set(values[i], values[i + 1]);
  } else if (object instanceof Set) {
    object.clear();
    for (const value of values) object.add(value);
  } else {
    const fields = object as Record<string, unknown>;
    for (let i = 0; i < names.length; i++)
      if (!Object.is(fields[names[i]!], values[i])) fields[names[i]!] = values[i];
    const now = read(object).names;
    if (now.length > names.length)
      for (const name of now) if (!names.includes(name)) delete fields[name];
  }
}

function isSame(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}

/** The memory of a module, by page. */
export class MemoryKeeper {
  readonly #memory: { readonly buffer: ArrayBuffer };
  #image: PageImage = [];
  /** Bytes that the last {@link take} has and the one before had not. */
  fresh = 0;

  constructor(memory: { readonly buffer: ArrayBuffer }) {
    this.#memory = memory;
  }

  /** Put back it throws SnapshotError if it has moved: before anything else is put back. */
  take(keeper: Keeper): void {
    const { buffer } = this.#memory;
    const image = takeImage(buffer, this.#image);
    this.fresh = imageBytes(image, this.#image);
    this.#image = image;
    keeper.check(() => {
      // All that has views of it has other ones now
      if (this.#memory.buffer !== buffer) throw new SnapshotError('the emulator has moved');
    });
    keeper.also(() => {
      putImage(image, buffer);
      this.#image = image;
    });
  }
}

/** What stands on a screen that keeps that to itself. */
export class ScreenKeeper {
  #columns = 80;
  #rows = 25;
  #cells = new Uint8Array(80 * 25);
  /** Few. */
  readonly fresh = 0;
  readonly #show: (columns: number, rows: number, cells: Uint8Array) => void;

  constructor(screen: V86Screen) {
    const put = screen.put_char.bind(screen);
    const resize = screen.set_size_text.bind(screen);
    screen.put_char = (row, column, character) => {
      this.#cells[row * this.#columns + column] = character;
      put(row, column, character);
    };
    screen.set_size_text = (columns, rows) => {
      if (columns !== this.#columns || rows !== this.#rows)
        this.#cells = new Uint8Array(columns * rows);
      this.#columns = columns;
      this.#rows = rows;
      resize(columns, rows);
    };
    this.#show = (columns, rows, cells) => {
      screen.set_size_text(columns, rows);
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++)
          screen.put_char(row, column, cells[row * columns + column]!);
    };
  }

  take(): Restore {
    const [columns, rows, cells] = [this.#columns, this.#rows, this.#cells.slice()];
    return () => this.#show(columns, rows, cells);
  }
}

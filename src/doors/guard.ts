// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What programs call, with a look at what they hand in: what is missing or wrong is told by name,
 * and not by whatever fails of it later. Stands at the door of the libraries alone; the ROM, which
 * is only called by a machine, is the same without.
 *
 * A signature is a line: `machine:Machine options?:BootOptions`. A type is one of {@link WORDS}, a
 * range of whole numbers (`1..240`), texts between quotes with `|` between (`'x64'|'arm64'`), a
 * list of one (`string[]`), the name of a {@link Shape}, or one of two (`string/Shape`).
 */

/**
 * The members of an object, as a signature has them. With `!` before it there are no others, and
 * with `words;` those say what it is. A function chooses the shape for a value.
 */
export type Shape = string | ((value: object) => string);
export type Shapes = Readonly<Record<string, Shape>>;

/** Makes the error that is thrown: of what was called, where in its arguments, and the text. */
export type Refusal = (path: string, text: string) => Error;

/** What a value is, other than a shape. */
const WORDS: Readonly<Record<string, readonly [words: string, is: (value: unknown) => boolean]>> = {
  any: ['anything', (value) => value !== undefined],
  number: ['a number', (value) => typeof value === 'number' && !Number.isNaN(value)],
  string: ['a text', (value) => typeof value === 'string'],
  boolean: ['true or false', (value) => typeof value === 'boolean'],
  bigint: ['a bigint', (value) => typeof value === 'bigint'],
  function: ['a function', (value) => typeof value === 'function'],
  object: ['an object', (value) => isObject(value)],
  list: ['a list', Array.isArray],
  bytes: ['a typed array', (value) => ArrayBuffer.isView(value)],
  buffer: [
    'an ArrayBuffer',
    (value) =>
      !ArrayBuffer.isView(value) &&
      typeof (value as Partial<ArrayBuffer> | null | undefined)?.byteLength === 'number',
  ],
};

/** Most characters of a text that are told. */
const TOLD_MAX = 40;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' ? value !== null : typeof value === 'function';
}

/** Says where a value is wrong and why; undefined if it is right. */
type Test = (value: unknown, path: string) => readonly [path: string, text: string] | undefined;

/** Guards functions and classes: an error says which of their arguments is not of its shape. */
export class Guard {
  readonly #shapes: Shapes;
  readonly #refuse: Refusal;
  readonly #tests = new Map<string, Test>();

  constructor(shapes: Shapes, refuse: Refusal) {
    this.#shapes = shapes;
    this.#refuse = refuse;
  }

  /** A function, or a class, that takes what its signature says. */
  of<F extends (...values: never[]) => unknown>(name: string, signature: string, bare: F): F;
  of<C extends abstract new (...values: never[]) => unknown>(
    name: string,
    signature: string,
    bare: C,
  ): C;
  of(name: string, signature: string, bare: object): object {
    const parameters = this.#members(signature);
    const check = (values: readonly unknown[]): void => {
      for (const [i, [parameter, test]] of parameters.entries()) {
        const wrong = test(values[i], parameter);
        if (wrong !== undefined) throw this.#refuse(wrong[0], `${name}: ${wrong.join(' ')}`);
      }
    };
    // A class stays one: it can be extended, and what it makes is an instance of it
    return new Proxy(bare as new (...values: unknown[]) => object, {
      construct: (target, values, made) => {
        check(values);
        return Reflect.construct(target, values, made) as object;
      },
      apply: (target, self, values) => {
        check(values);
        return Reflect.apply(target, self, values) as unknown;
      },
    });
  }

  /** The members that a line names, each with its test. */
  #members(line: string): [name: string, test: Test][] {
    return line
      .split(' ')
      .filter((word) => word !== '')
      .map((word) => {
        const [, name = '', optional, type = ''] = /^(\w+)(\?)?:(.+)$/.exec(word) ?? [];
        const test = this.#test(type);
        if (optional === undefined) return [name, test];
        return [name, (value, path) => (value === undefined ? undefined : test(value, path))];
      });
  }

  #test(type: string): Test {
    // Made when it is first needed: shapes may name each other
    return (value, path) => {
      let test = this.#tests.get(type);
      if (test === undefined) this.#tests.set(type, (test = this.#make(type)));
      return test(value, path);
    };
  }

  #make(type: string): Test {
    const [first = '', second] = type.split('/');
    if (second !== undefined) {
      const [one, other] = [this.#test(first), this.#test(second)];
      return (value, path) => one(value, path) && other(value, path);
    }
    if (type.endsWith('[]')) return this.#list(this.#test(type.slice(0, -2)));
    const range = /^(-?\d+)\.\.(\d+)$/.exec(type);
    if (range !== null) return wholeNumber(Number(range[1]), Number(range[2]));
    if (type.startsWith("'")) {
      const texts = type.split('|').map((text) => text.slice(1, -1));
      return plain(texts.join(' or '), (value) => texts.includes(value as string));
    }
    const word = WORDS[type];
    if (word !== undefined) return plain(...word);
    const shape = this.#shapes[type] ?? '';
    if (typeof shape === 'string') {
      return shape.startsWith('=') ? this.#make(shape.slice(1)) : this.#record(shape);
    }
    return (value, path) =>
      isObject(value) ? this.#test(shape(value))(value, path) : [path, isNot(value, 'an object')];
  }

  #list(test: Test): Test {
    return (value, path) => {
      if (!Array.isArray(value)) return [path, isNot(value, 'a list')];
      for (let i = 0; i < value.length; i++) {
        const wrong = test(value[i], `${path}[${i}]`);
        if (wrong !== undefined) return wrong;
      }
      return undefined;
    };
  }

  #record(shape: string): Test {
    const [, words = 'an object', no, line = ''] = /^(?:([^;]*);)?(!)?(.*)$/.exec(shape) ?? [];
    const members = this.#members(line.trim());
    return (value, path) => {
      if (!isObject(value)) return [path, isNot(value, words)];
      for (const [name, test] of members) {
        const wrong = test(value[name], `${path}.${name}`);
        if (wrong !== undefined) return wrong;
      }
      const names = members.map(([name]) => name);
      const other = no && Object.keys(value).find((name) => !names.includes(name));
      if (other === undefined) return undefined;
      return [`${path}.${other}`, `is not known; there are ${names.join(', ')}`];
    };
  }
}

function plain(words: string, is: (value: unknown) => boolean): Test {
  return (value, path) => (is(value) ? undefined : [path, isNot(value, words)]);
}

function wholeNumber(min: number, max: number): Test {
  const is = (value: unknown): boolean =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
  return plain(`a whole number from ${min} to ${max}`, is);
}

function isNot(value: unknown, words: string): string {
  return `is ${told(value)}, and not ${words}`;
}

/** A value in a few words. */
function told(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, TOLD_MAX));
  return isObject(value) ? 'an object' : String(value);
}

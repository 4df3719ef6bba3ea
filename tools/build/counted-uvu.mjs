// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * uvu, with a list of what is registered: a suite that is never run is unknown to uvu, and so are
 * tests that are added behind `.run()`.
 */

import { suite as uvuSuite } from 'uvu';

export { exec } from 'uvu';

/** @typedef {import('uvu').Test<Record<string, unknown>>} Test */

/**
 * What one suite has.
 *
 * @typedef {object} Registered
 * @property {string} name
 * @property {string[]} waiting names of its tests since its last `.run()`
 * @property {boolean} queued whether `.run()` was called
 */

/** @type {Registered[]} */
let suites = [];

/** The suite behind `test`, made anew for each file. @type {Test | undefined} */
let unnamed;

/** Told of each test that begins. @type {(test: string) => void} */
let onTest = () => {};

/** Begin a file: nothing is registered. @param {typeof onTest} listener */
export function beginFile(listener) {
  suites = [];
  unnamed = undefined;
  onTest = listener;
}

/** Suites of the file that were not run, or not with all of their tests: one line each. */
export function neverRun() {
  return suites.flatMap(({ name, waiting, queued }) => {
    if (queued && waiting.length === 0) return [];
    const what = name === '' ? 'test' : `suite ${name}`;
    const tests = waiting.map((test) => JSON.stringify(test)).join(', ');
    if (queued) return [`${what}: added behind .run(), so never run: ${tests}`];
    return [`${what} is never run: .run() is missing${tests === '' ? '' : ` (${tests})`}`];
  });
}

/**
 * @param {string} [name]
 * @param {Record<string, unknown>} [state]
 */
export function suite(name = '', state = {}) {
  return counted(uvuSuite(name, state), name);
}

/** @param {Test} inner @param {string} name @returns {Test} */
function counted(inner, name) {
  /** @type {Registered} */
  const registered = { name, waiting: [], queued: false };
  suites.push(registered);
  /** @param {(name: string, handler: Callback) => void} add */
  const counting = (add) => (/** @type {string} */ test, /** @type {Callback} */ handler) => {
    registered.waiting.push(test);
    add(test, (context) => {
      onTest(test);
      return handler(context);
    });
  };
  const run = () => {
    registered.waiting = [];
    registered.queued = true;
    inner.run();
  };
  const { skip, before, after } = inner;
  return Object.assign(counting(inner), { only: counting(inner.only), skip, before, after, run });
}

function ofFile() {
  return (unnamed ??= counted(uvuSuite(), ''));
}

/** @typedef {Parameters<Test['before']>[0]} Callback */

/** @param {'before' | 'after'} key @returns {Test['before']} */
const hook = (key) =>
  Object.assign((/** @type {Callback} */ callback) => ofFile()[key](callback), {
    each: (/** @type {Callback} */ callback) => ofFile()[key].each(callback),
  });

/** The suite without a name: uvu's own is one for all files, and keeps tests for the next. */
export const test = Object.assign(
  (/** @type {string} */ name, /** @type {never} */ handler) => ofFile()(name, handler),
  {
    only: (/** @type {string} */ name, /** @type {never} */ handler) =>
      ofFile().only(name, handler),
    skip: () => ofFile().skip(),
    before: hook('before'),
    after: hook('after'),
    run: () => ofFile().run(),
  },
);

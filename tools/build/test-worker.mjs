// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The child process of `run-tests.mjs`: takes the path of one test file at a time, runs its uvu
 * suites and answers with a {@link Report}.
 */

import module from 'node:module';
import { pathToFileURL } from 'node:url';

/**
 * What became of one file.
 *
 * @typedef {object} Report
 * @property {string} file
 * @property {number} passed
 * @property {number} failed
 * @property {string[]} problems what is wrong with the file as such, one line each
 * @property {string} output uvu's report of the failures, and whatever the tests printed
 * @property {number} durationMs
 * @property {boolean} crashed the process is gone
 */

/**
 * A suite as uvu queues it: [text of the failures or true, passed, skipped, total].
 *
 * @typedef {() => Promise<[string | true, number, number, number]>} QueuedSuite
 */

/** uvu's globals. `UVU_DEFER` keeps it from running the queue by itself. */
const uvu = /** @type {{ UVU_DEFER: number, UVU_INDEX: number, UVU_QUEUE: QueuedSuite[][] }} */ (
  /** @type {unknown} */ (globalThis)
);

// uvu looks at it once, when it is loaded: too late, and it runs each suite a second time beside us
uvu.UVU_DEFER = 1;
module.register('./uvu-hook.mjs', import.meta.url);
/** The same one that the tests get. @type {typeof import('./counted-uvu.mjs')} */
const { beginFile, neverRun } = await import('./counted-uvu.mjs');

/** Longest wait in ms for what a file has left running: timers that fire when it is over. */
const REST_MAX_MS = 250;

/** How often is looked whether any of it is left, in ms. */
const REST_STEP_MS = 10;

/** Lines of a stack trace that say nothing about the failure. */
const FRAMES_OF_THE_RUNNER = /^ *at .*(?:node_modules\/uvu\/|tools\/build\/test-worker).*\n/gm;

/**
 * @param {string} file
 * @returns {Promise<Report>}
 */
async function runFile(file) {
  /** @type {Report} */
  const report = {
    ...{ file, passed: 0, failed: 0, problems: [], output: '' },
    ...{ durationMs: 0, crashed: false },
  };
  const begin = performance.now();
  const printed = capture();
  let failures = '';

  uvu.UVU_INDEX = 0;
  uvu.UVU_QUEUE = [[]];
  beginFile((test) => void process.send?.({ test }));
  try {
    await import(pathToFileURL(file).href);
    for (const runSuite of uvu.UVU_QUEUE[0] ?? []) {
      const [errors, passed, skipped, total] = await runSuite();
      report.passed += passed;
      report.failed += total - passed;
      if (errors !== true) failures += `${errors}\n`;
      // uvu drops the error of a hook: what is left of it is a suite that ended early
      else if (passed < total) report.problems.push('a hook failed: the suite ended early');
      if (skipped > 0) report.problems.push(`${skipped} skipped (.skip or .only)`);
      if (total === 0) report.problems.push('a suite has no test');
    }
    if (report.passed + report.failed === 0) report.problems.push('no test was registered');
    report.problems.push(...neverRun());
  } catch (error) {
    report.problems.push(stackOf(error));
  }
  report.problems.push(...(await strayErrors()));

  const text = printed();
  report.output = failures === '' ? text : failures.replaceAll(FRAMES_OF_THE_RUNNER, '');
  report.durationMs = performance.now() - begin;
  return report;
}

/**
 * What is thrown behind the back of the tests: in promises that nobody awaits, in timers. Looks at
 * least one turn of the event loop, and while there are timers a little longer.
 */
async function strayErrors() {
  /** @type {string[]} */
  const errors = [];
  const note = (/** @type {unknown} */ error) =>
    void errors.push(`thrown when the tests were over: ${stackOf(error)}`);
  process.on('unhandledRejection', note).on('uncaughtException', note);
  const end = performance.now() + REST_MAX_MS;
  do {
    await new Promise((done) => void setTimeout(done, REST_STEP_MS));
    await new Promise((done) => void setImmediate(done));
  } while (performance.now() < end && process.getActiveResourcesInfo().includes('Timeout'));
  process.off('unhandledRejection', note).off('uncaughtException', note);
  return errors;
}

/** @param {unknown} error */
function stackOf(error) {
  return error instanceof Error ? String(error.stack) : String(error);
}

/** Collect what is printed from now on; the function that is returned ends that. */
function capture() {
  const write = process.stdout.write;
  let text = '';
  process.stdout.write = /** @type {typeof write} */ (
    (/** @type {string | Uint8Array} */ chunk) => {
      text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      return true;
    }
  );
  return () => {
    process.stdout.write = write;
    return text;
  };
}

process.on('message', async (file) => {
  process.send?.(await runFile(String(file)));
});

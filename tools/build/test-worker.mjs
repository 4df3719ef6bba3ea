// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The child process of `run-tests.mjs`: takes the path of one test file at a time, runs its uvu
 * suites and answers with a {@link Report}.
 */

import { readFileSync } from 'node:fs';
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

  uvu.UVU_DEFER = 1;
  uvu.UVU_INDEX = 0;
  uvu.UVU_QUEUE = [[]];
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
    report.problems.push(...forgottenSuites(file));
  } catch (error) {
    report.problems.push(error instanceof Error ? String(error.stack) : String(error));
  }

  const text = printed();
  report.output = failures === '' ? text : failures.replaceAll(FRAMES_OF_THE_RUNNER, '');
  report.durationMs = performance.now() - begin;
  return report;
}

/**
 * Suites that the file makes and never runs: uvu does not know of them.
 *
 * @param {string} file
 */
function forgottenSuites(file) {
  const source = readFileSync(file, 'utf8');
  return [...source.matchAll(/^(?:const|let|var)\s+([\w$]+)\s*=\s*suite\b/gm)]
    .filter(([, name]) => !source.includes(`\n${name}.run(`))
    .map(([, name]) => `suite ${name} is never run: ${name}.run() is missing`);
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

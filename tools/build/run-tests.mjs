// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Runs the tests: every `*.test.ts` below `firmware-tests/`, with uvu, in two child processes.
 *
 *     node tools/build/run-tests.mjs [PATTERN...] [--times] [--minified] [--dir DIRECTORY]
 *
 * A PATTERN is a part of a file's name; several mean any of them. `--times` lists the slowest
 * files. `--minified` tests the minified bundles where the tests name the entries of `src/`.
 *
 * uvu by itself calls it a success when no file matches, when a file forgets `.run()`, when a hook
 * throws, and when an `.only` or `.skip` was left in: here each of these is a failure that names
 * the file. So is a file that crashes its process, and a test that does not end. The last line is
 * `N passed, N failed`, where each such failure of a file counts as one; exit code 0 or 1.
 */

import { fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMain } from './is-main.mjs';

/** @typedef {import('./test-worker.mjs').Report} Report */

/** Longest that one test may take, in ms. Only a hang takes it, also where others are at work. */
const TEST_TIMEOUT_MS = 600_000;

/** Most child processes. */
const WORKERS_MAX = 2;

/** Most files that `--times` lists. */
const TIMES_MAX = 10;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WORKER = fileURLToPath(new URL('./test-worker.mjs', import.meta.url));
const HOOK = new URL('./ts-hook.mjs', import.meta.url).href;
const MINIFIED_HOOK = new URL('./minified-hook.mjs', import.meta.url).href;

/**
 * Tests that start programs which are not the project's own (tshark, Chromium, other engines) take
 * as long as all others together: they run when they are asked for, by `npm run test:tools` and
 * `npm run test:report`.
 */
const ON_REQUEST = /(?:capture-tshark|report-browser|engine-[a-z]+)\.test\.ts$/;

/**
 * The test files below a directory, in order of their names; without patterns those that run on
 * request only are left out.
 *
 * @param {string} directory
 * @param {readonly string[]} patterns
 */
export function testFiles(directory, patterns) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => {
      const name = relative(directory, path);
      return (
        !name.includes('node_modules') &&
        (patterns.length === 0
          ? !ON_REQUEST.test(name)
          : patterns.some((pattern) => name.includes(pattern)))
      );
    })
    .sort();
}

/**
 * Run all files, at most {@link WORKERS_MAX} at a time, and hand over each report in order of the
 * files as soon as it and all before it are there.
 *
 * @param {readonly string[]} files
 * @param {(report: Report) => void} onReport
 * @param {readonly string[]} [hooks] modules that are loaded before the tests, as URLs
 * @returns {Promise<Report[]>}
 */
export async function runFiles(files, onReport, hooks = []) {
  /** @type {Report[]} */
  const reports = new Array(files.length);
  // Files that start processes take longest: begun last, they would keep one core waiting
  const order = [...files.keys()].sort((a, b) => starts(files[b]) - starts(files[a]) || a - b);
  let next = 0;
  let shown = 0;

  const worker = async () => {
    let child = startChild(hooks);
    while (next < files.length) {
      const index = order[next++] ?? 0;
      const report = await runFile(child, files[index] ?? '');
      reports[index] = report;
      if (report.crashed) child = startChild(hooks);
      for (let ready; (ready = reports[shown]) !== undefined; shown++) onReport(ready);
    }
    child.disconnect();
  };

  const count = Math.min(WORKERS_MAX, availableParallelism(), files.length);
  await Promise.all(Array.from({ length: count }, worker));
  return reports;
}

/** Whether a test file starts processes, as 1 or 0. @param {string} [file] */
function starts(file = '') {
  return /spawn|cli-rig/.test(readFileSync(file, 'utf8')) ? 1 : 0;
}

/** @param {readonly string[]} hooks */
function startChild(hooks) {
  return fork(WORKER, [], {
    execArgv: ['--enable-source-maps', ...[HOOK, ...hooks].flatMap((hook) => ['--import', hook])],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}) },
  });
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {string} file
 * @returns {Promise<Report>}
 */
function runFile(child, file) {
  return new Promise((done) => {
    const begin = performance.now();
    let output = '';
    /** @param {Buffer} chunk */
    const collect = (chunk) => (output += chunk.toString());
    /** @param {string} problem @returns {Report} */
    const crash = (problem) => ({
      ...{ file, passed: 0, failed: 0, problems: [problem], output },
      ...{ durationMs: performance.now() - begin, crashed: true },
    });
    let timedOut = false;
    let test = '';
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, TEST_TIMEOUT_MS);

    /** @param {Report} report */
    const finish = (report) => {
      clearTimeout(timer);
      child.off('message', onMessage).off('close', onClose);
      child.stdout?.off('data', collect);
      child.stderr?.off('data', collect);
      done({ ...report, output: output + report.output });
    };
    /** A test begins, or all have ended. @param {unknown} message */
    const onMessage = (message) => {
      const said = /** @type {Report | { test: string }} */ (message);
      if (!('test' in said)) return finish(said);
      test = said.test;
      timer.refresh();
    };
    /** @param {number | null} code @param {string | null} signal */
    const onClose = (code, signal) => {
      const how = signal ?? `exit code ${code}`;
      const limit = `took longer than ${TEST_TIMEOUT_MS / 1000} s: ${JSON.stringify(test)}`;
      const report = crash(timedOut ? limit : `ended the test process (${how})`);
      finish({ ...report, output: '' });
    };
    child.on('message', onMessage).on('close', onClose);
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    child.send(file);
  });
}

/** @param {string} directory @param {Report} report */
function printReport(directory, report) {
  const name = relative(directory, report.file);
  if (report.failed === 0 && report.problems.length === 0) {
    console.log(`pass  ${name} (${report.passed})`);
    // What a test left out, because a program is missing, is worth a line each
    for (const line of new Set(report.output.match(/^ *left out: .*$/gm))) console.log(line);
    return;
  }
  console.log(`FAIL  ${name} (${report.passed} of ${report.passed + report.failed})\n`);
  if (report.output.trim() !== '') console.log(report.output.trimEnd() + '\n');
  for (const problem of report.problems) console.log(`      ${name}: ${problem}\n`);
}

/** @param {string} directory @param {readonly Report[]} reports */
function printTimes(directory, reports) {
  const slowest = [...reports].sort((a, b) => b.durationMs - a.durationMs);
  console.log('\nslowest files:');
  for (const { file, durationMs } of slowest.slice(0, TIMES_MAX)) {
    console.log(`${durationMs.toFixed(0).padStart(7)} ms  ${relative(directory, file)}`);
  }
}

/** @param {string[]} args */
async function main(args) {
  const { values, positionals } = parseArgs({
    args,
    options: { times: { type: 'boolean' }, minified: { type: 'boolean' }, dir: { type: 'string' } },
    allowPositionals: true,
  });
  const directory = resolve(values.dir ?? join(ROOT, 'firmware-tests'));

  const files = testFiles(directory, positionals);
  if (files.length === 0) {
    const which = positionals.length > 0 ? ` that matches ${positionals.join(', ')}` : '';
    console.log(`no test file${which} in ${directory}`);
  }
  const hooks = values.minified ? [MINIFIED_HOOK] : [];
  const reports = await runFiles(files, (report) => printReport(directory, report), hooks);

  if (values.times) printTimes(directory, reports);
  const passed = reports.reduce((sum, report) => sum + report.passed, 0);
  const failed = reports.reduce((sum, { failed, problems }) => sum + failed + problems.length, 0);
  console.log(`\n${passed} passed, ${failed} failed`);
  return failed > 0 || passed === 0 ? 1 : 0;
}

if (isMain(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2)).catch((error) => {
    console.error(`run-tests: ${error instanceof Error ? error.message : error}`);
    return 1;
  });
}

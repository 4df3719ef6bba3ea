// SPDX-License-Identifier: GPL-2.0-or-later

/** Runs the built command line as a user does, and compares what it prints with kept texts. */

import { execFile, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { Exit } from '../../tools/command/usage.ts';

/** The built command line. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const GOLDEN = fileURLToPath(new URL('../golden/', import.meta.url));

/** Longest that one run may take, in ms. */
const RUN_MAX_MS = 500_000;

/** What a run printed, and how it ended. */
export interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

/** A directory of the tests' own. Everything runs in it, so that paths in messages are short. */
export const directory = fs.realpathSync(
  fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-command-line-')),
);
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));

/** Put a file into the directory. Returns its name. */
export function write(name: string, contents: string | Uint8Array): string {
  const file = path.join(directory, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, contents);
  return name;
}

/** Read a file of the directory. */
export function read(name: string): string {
  return fs.readFileSync(path.join(directory, name), 'utf8');
}

/** Run `hypxe` with these arguments. */
export function hypxe(...args: string[]): Promise<Run> {
  const options = { cwd: directory, maxBuffer: 1 << 26, timeout: RUN_MAX_MS };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [CLI, ...args], options, (_, out, error) => {
      resolve({ code: child.exitCode, out, error });
    });
  });
}

/** What Linux says of a process; '' elsewhere, and of one that has ended. */
function procText(file: string): string {
  try {
    return fs.readFileSync(`/proc/${file}`, 'utf8');
  } catch {
    return '';
  }
}

/** The processes that a process has started: where Linux says it. */
export function childrenOf(pid: number): number[] {
  return procText(`${pid}/task/${pid}/children`).split(' ').map(Number).filter(Boolean);
}

/** Time of the processor that the processes have taken that a process has started, in ms. */
function childrenMs(pid: number): number {
  let ticks = 0;
  for (const child of childrenOf(pid)) {
    // In hundredths of a second, behind the name, which may be anything
    const fields = procText(`${child}/stat`)
      .replace(/^.*\) /s, '')
      .split(' ');
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks * 10;
}

/**
 * Time of the processor in ms after which a guest's process is at its firmware, if that says
 * nothing: it takes a quarter of it to begin. Without Linux it is the time of the wall.
 */
const AT_FIRMWARE_MS = 3000;

/**
 * Run `hypxe`, and press Ctrl-C: as soon as this is found in what it prints, on either output, or
 * at a firmware that says nothing and never ends. `twice`: and again so many ms later.
 */
export function interrupted(
  args: readonly string[],
  when: RegExp | 'at the firmware',
  twice?: number,
): Promise<Run> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [CLI, ...args], { cwd: directory, timeout: RUN_MAX_MS });
    const printed = { out: '', error: '' };
    let pressed = false;
    const read = (which: keyof typeof printed, text: Buffer): void => {
      printed[which] += String(text);
      if (typeof when !== 'string' && when.test(printed[which])) press();
    };
    const press = (): void => {
      if (!pressed) child.kill('SIGINT');
      if (!pressed && twice !== undefined) setTimeout(() => child.kill('SIGINT'), twice);
      pressed = true;
    };
    if (when === 'at the firmware') {
      const begin = performance.now();
      const timer = setInterval(() => {
        const linux = process.platform === 'linux';
        if ((linux ? childrenMs(child.pid!) : performance.now() - begin) >= AT_FIRMWARE_MS) press();
      }, 50);
      child.on('close', () => clearInterval(timer));
    }
    child.stdout.on('data', (text: Buffer) => read('out', text));
    child.stderr.on('data', (text: Buffer) => read('error', text));
    child.on('close', (code) => resolve({ code, ...printed }));
  });
}

/** Run a command of the shell. */
export function shell(command: string): Promise<Run> {
  const options = { cwd: directory, timeout: RUN_MAX_MS };
  return new Promise((resolve) => {
    const child = execFile('/bin/sh', ['-c', command], options, (_, out, error) => {
      resolve({ code: child.exitCode, out, error });
    });
  });
}

/** The last line that was printed. */
export function lastLine({ out }: Run): string {
  return out.trimEnd().split('\n').at(-1) ?? '';
}

/**
 * Compare a text with the one that is kept under this name. `SNAPSHOT=update` keeps the new one
 * instead: look at the difference before you commit it.
 */
export function assertKept(name: string, text: string): void {
  const file = path.join(GOLDEN, name);
  if (process.env.SNAPSHOT === 'update') fs.writeFileSync(file, text);
  const kept = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  const hint = `differs from golden/${name}: if it should, run the tests with SNAPSHOT=update`;
  assert.fixture(text, kept, undefined);
  assert.is(text, kept, hint);
}

/** Assert a refusal: exit code, nothing on standard output, and this on the other. */
export function assertRefused(
  run: Run,
  name: string,
  text: string,
  advice: string,
  code: number = Exit.USAGE,
): void {
  assert.is(run.error, `hypxe: ${name}: ${text}\n       ${advice}\n`);
  assert.is(run.out, '');
  assert.is(run.code, code);
}

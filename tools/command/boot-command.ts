// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe boot`: runs the boot in a worker, shows it, and ends it if it shows no sign of life. */

import { Worker } from 'node:worker_threads';
import type { WorkerMessage } from '../boot-worker.ts';
import { BOOT_HELP, parseBoot, type BootRequest } from './boot-options.ts';
import { bootReport } from './boot-report.ts';
import type { BootOutcome } from './boot-run.ts';
import { Exit, UsageError } from './usage.ts';

/** How often the signs of life are looked at, in ms. */
const HEARTBEAT_MS = 250;

/** What became of the worker. */
type Ending =
  | { readonly kind: 'done'; readonly outcome: BootOutcome }
  | { readonly kind: 'hang' }
  | { readonly kind: 'thrown'; readonly text: string };

/** Where the command writes. */
export interface Terminal {
  out(text: string): void;
  error(text: string): void;
}

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface Places {
  readonly firmware: string;
  readonly bootWorker: URL;
}

/** Run the command; returns the exit code. @throws UsageError */
export async function bootCommand(
  args: readonly string[],
  places: Places,
  terminal: Terminal,
): Promise<number> {
  const request = parseBoot(args, places.firmware);
  if (request === undefined) {
    terminal.out(BOOT_HELP);
    return Exit.CLEAN;
  }
  if (!request.json) terminal.out(`${heading(request)}\n`);
  const ending = await supervise(request, places, terminal);
  return finish(request, ending, terminal);
}

function heading(request: BootRequest): string {
  const { served, host, memoryMiB, nics, seed } = request;
  const made = served.kind === 'synthetic' ? ', made here' : '';
  const file = `${served.name} (${served.size} bytes${made})`;
  const whose = request.ownFirmware ? '' : ` with ${request.firmware}`;
  const what = `${nics} NIC${nics === 1 ? '' : 's'}, ${memoryMiB} MiB, seed ${seed}`;
  return `booting ${file}${whose} on ${host}: ${what}`;
}

function supervise(request: BootRequest, places: Places, terminal: Terminal): Promise<Ending> {
  const heartbeat = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(places.bootWorker, { workerData: { request, heartbeat } });
  return new Promise<Ending>((resolve, reject) => {
    let seen = -1;
    let silentMs = 0;
    const timer = setInterval(() => {
      const beat = Atomics.load(heartbeat, 0);
      silentMs = beat === seen ? silentMs + HEARTBEAT_MS : 0;
      seen = beat;
      if (silentMs < request.watchdogSeconds * 1000) return;
      clearInterval(timer);
      void worker.terminate().then(() => resolve({ kind: 'hang' }));
    }, HEARTBEAT_MS);
    worker.on('message', (message: WorkerMessage) => {
      switch (message.kind) {
        case 'line':
          if (!request.json) terminal.out(`${message.text}\n`);
          return;
        case 'progress':
          if (!request.json) terminal.out(`${progressLine(message.received, message.total)}\n`);
          return;
        case 'usage':
          reject(new UsageError(message.name, message.text, message.advice));
          break;
        case 'done':
          resolve({ kind: 'done', outcome: message.outcome });
          break;
        case 'thrown':
          resolve({ kind: 'thrown', text: message.text });
      }
      clearInterval(timer);
      void worker.terminate();
    });
    worker.on('error', (error: Error) => {
      clearInterval(timer);
      resolve({ kind: 'thrown', text: error.stack ?? error.message });
    });
    worker.on('exit', () => {
      clearInterval(timer);
      resolve({ kind: 'thrown', text: 'the firmware ended its worker' });
    });
  });
}

/** Cells of the progress bar. */
const BAR = 30;

function progressLine(received: number, total: number | undefined): string {
  if (total === undefined || total === 0) return `              ${received} bytes`;
  const full = Math.round((received / total) * BAR);
  const bar = '#'.repeat(full).padEnd(BAR, '.');
  const percent = Math.round((received / total) * 100);
  return `              [${bar}] ${String(percent).padStart(3)} %`;
}

function finish(request: BootRequest, ending: Ending, terminal: Terminal): number {
  if (ending.kind === 'done') {
    const { outcome } = ending;
    if (request.json) terminal.out(`${JSON.stringify(outcome, undefined, 2)}\n`);
    else terminal.out(`${bootReport(outcome).join('\n')}\n`);
    return exitCode(outcome.verdict);
  }
  const [verdict, text] =
    ending.kind === 'hang'
      ? ['hang', `no sign of life for ${request.watchdogSeconds} s (see --watchdog)`]
      : ['crash', `the firmware threw: ${ending.text}`];
  if (request.json) terminal.out(`${JSON.stringify({ verdict, text }, undefined, 2)}\n`);
  else terminal.out(`\nverdict: ${verdict}: ${text}\n`);
  return Exit.CRASH;
}

function exitCode(verdict: BootOutcome['verdict']): number {
  switch (verdict) {
    case 'clean':
      return Exit.CLEAN;
    case 'findings':
      return Exit.FINDINGS;
    case 'refused':
      return Exit.USAGE;
    default:
      return Exit.CRASH;
  }
}

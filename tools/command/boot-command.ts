// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe boot`: runs the boot in a worker, shows it, and ends it if it shows no sign of life. */

import { MessageChannel, Worker } from 'node:worker_threads';
import type { BootWorkerData, WorkerMessage } from './boot-worker.ts';
import type { GuestEnd } from '../flow/boot-flow.ts';
import { LinkError, startLink, type LinkRequest, type RunningLink } from '../links/link-start.ts';
import { bootJson } from './boot-json.ts';
import { BOOT_HELP, parseBoot, type BootRequest } from './boot-options.ts';
import { lostOutcome, type BootOutcome } from './boot-outcome.ts';
import { bootReport } from './boot-report.ts';
import { Exit, UsageError, plural } from './usage.ts';

/** How often the signs of life are looked at, in ms. */
const HEARTBEAT_MS = 250;

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
  const outcome = await runOverLink(request, places, terminal);

  // Report; a trace or a capture that is cut short is no success, whatever the boot was
  const { traceFailure, captureFailure } = outcome;
  const failure = traceFailure ?? captureFailure;
  const code = failure === undefined ? exitCode(outcome.verdict) : Exit.USAGE;
  if (request.json) terminal.out(`${bootJson(request, outcome, code)}\n`);
  else terminal.out(`${bootReport(outcome).join('\n')}\n`);
  if (traceFailure !== undefined) {
    const text = `the trace in ${request.trace} is incomplete: ${traceFailure}`;
    throw new UsageError('TraceUnwritable', text, 'Give a path with room for it.');
  }
  if (captureFailure !== undefined) {
    const text = `the capture in ${request.pcap} is incomplete: ${captureFailure}`;
    throw new UsageError('CaptureUnwritable', text, 'Give a path with room for it.');
  }
  return code;
}

/** Run the boot, with the real link that it asks for. @throws UsageError */
async function runOverLink(
  request: BootRequest,
  places: Places,
  terminal: Terminal,
): Promise<BootOutcome> {
  if (request.link === undefined) {
    return new BootWorker(request, places.bootWorker, terminal).run();
  }
  const link = await openLink(request.link);
  let outcome: BootOutcome;
  try {
    outcome = await new BootWorker(request, places.bootWorker, terminal, link).run();
  } finally {
    await link.close();
  }
  const { name = '', message: text = '', advice = '' } = link.failure ?? {};
  const failure = link.failure && { name, text, advice };
  return { ...outcome, link: { ...link.counts, failure } };
}

/** @throws UsageError ProgramMissing, LinkUnreachable */
async function openLink(request: LinkRequest): Promise<RunningLink> {
  try {
    return await startLink(request);
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    throw new UsageError(error.name, error.message, error.advice);
  }
}

function heading(request: BootRequest): string {
  const { served, host, memoryMiB, nics, processors, seed, steps } = request;
  const kinds: Readonly<Record<string, string>> = { synthetic: ', made here', pushed: ', pushed' };
  const made = kinds[served.kind] ?? '';
  const file =
    served.kind === 'elsewhere'
      ? served.name || 'what the network names'
      : `${served.name} (${plural(served.size, 'byte')}${made})`;
  const whose = request.ownFirmware ? '' : ` with ${request.firmware}`;
  const more = processors === 1 ? '' : `, ${processors} processors`;
  const what = `${plural(nics, 'NIC')}, ${memoryMiB} MiB${more}, seed ${seed}`;
  const then = steps.length === 0 ? '' : `, then ${steps.join(', ')}`;
  return `booting ${file}${whose} on ${host}: ${what}${linkText(request.link)}${then}`;
}

function linkText(link: LinkRequest | undefined): string {
  if (link === undefined) return '';
  return link.kind === 'passt' ? ', over passt' : `, over ${link.path}`;
}

/** The worker that a boot runs in. */
class BootWorker {
  readonly #request: BootRequest;
  readonly #terminal: Terminal;
  readonly #heartbeat = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;

  constructor(request: BootRequest, worker: URL, terminal: Terminal, link?: RunningLink) {
    this.#request = request;
    this.#terminal = terminal;
    const bell = link && new MessageChannel();
    const data: BootWorkerData = {
      request,
      heartbeat: this.#heartbeat,
      link: link && { ends: link.ends, bell: bell!.port2 },
    };
    const transferList = bell === undefined ? [] : [bell.port2];
    this.#worker = new Worker(worker, { workerData: data, transferList, stdout: true });
    bell?.port1.on('message', () => link?.drain());
    // What a firmware prints must not get into the report
    this.#worker.stdout.on('data', (text: Buffer) => terminal.error(String(text)));
  }

  /** @throws UsageError */
  async run(): Promise<BootOutcome> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<BootOutcome>((resolve, reject) => {
        const lost = (kind: GuestEnd['kind'], text: string, stack?: string): void =>
          resolve(lostOutcome(this.#request, { guest: 'firmware', kind, text, stack }));
        const { watchdogSeconds } = this.#request;
        timer = this.#watch(watchdogSeconds * 1000, () =>
          lost('hang', `no sign of life for ${watchdogSeconds} s (see --watchdog)`),
        );
        this.#worker.on('message', (message: WorkerMessage) => {
          this.#show(message);
          if (message.kind === 'done') resolve(message.outcome);
          else if (message.kind === 'thrown') reject(new Error(message.text));
          else if (message.kind === 'usage') {
            reject(new UsageError(message.name, message.text, message.advice));
          }
        });
        this.#worker.on('error', (error: Error) => lost('thrown', String(error), error.stack));
        this.#worker.on('exit', () => lost('crash', 'it ended its process (process.exit)'));
      });
    } finally {
      clearInterval(timer);
      await this.#worker.terminate();
    }
  }

  /** Call `hung` once nothing has moved for some time. */
  #watch(limitMs: number, hung: () => void): NodeJS.Timeout {
    let seen = -1;
    let silentMs = 0;
    return setInterval(() => {
      const beat = Atomics.load(this.#heartbeat, 0);
      silentMs = beat === seen ? silentMs + HEARTBEAT_MS : 0;
      seen = beat;
      if (silentMs >= limitMs) hung();
    }, HEARTBEAT_MS);
  }

  #show(message: WorkerMessage): void {
    if (this.#request.json) return;
    if (message.kind === 'line') this.#terminal.out(`${message.text}\n`);
    if (message.kind === 'progress' && message.received > 0) {
      this.#terminal.out(`${progressLine(message.received, message.total)}\n`);
    }
  }
}

/** Cells of the progress bar. */
const BAR = 30;

function progressLine(received: number, total: number | undefined): string {
  if (total === undefined || total === 0) return `${INDENT}${plural(received, 'byte')}`;
  const part = Math.min(received / total, 1);
  const bar = '#'.repeat(Math.round(part * BAR)).padEnd(BAR, '.');
  return `${INDENT}[${bar}] ${String(Math.floor(part * 100)).padStart(3)} %`;
}

/** As wide as the time of a log line. */
const INDENT = ' '.repeat(16);

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

// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe boot`: runs the boot in a worker, shows it, and ends it if it shows no sign of life. */

import { MessageChannel, Worker } from 'node:worker_threads';
import type { BootWorkerData, WorkerMessage } from './boot-worker.ts';
import type { GuestEnd } from '../../flow/boot-flow.ts';
import {
  LinkError,
  startLink,
  type LinkRequest,
  type RunningLink,
} from '../../links/link-start.ts';
import { bootJson } from './boot-json.ts';
import { BOOT_HELP, parseBoot, type BootRequest } from './boot-options.ts';
import { interruptedOutcome, lostOutcome, type BootOutcome } from './boot-outcome.ts';
import { bootReport } from './boot-report.ts';
import type { Terminal } from '../terminal.ts';
import { EnvironmentError, Exit, failureText, plural, type ExitCode } from '../usage.ts';
import { OUT_OF_MEMORY, thrownByWorker } from '../worker-failure.ts';

/** How often the signs of life are looked at, in ms. */
const HEARTBEAT_MS = 250;

/** What a worker does. */
type Phase = 'starting' | 'loading' | 'running';

/**
 * Longest silence in ms while the worker starts and while the firmware's module is loaded: neither
 * is the firmware's time, and either may be slow on a busy machine. A longer watchdog is a longer
 * limit here, too.
 */
const SILENCE_MAX_MS: Readonly<Record<Phase, number>> = {
  starting: 60_000,
  loading: 10_000,
  running: 0,
};

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface Places {
  readonly firmware: string;
  readonly bootWorker: URL;
}

/** Run the command; returns the exit code. @throws CommandError */
export async function bootCommand(
  args: readonly string[],
  places: Places,
  terminal: Terminal,
): Promise<ExitCode> {
  const request = parseBoot(args, places.firmware);
  if (request === undefined) {
    terminal.out(BOOT_HELP);
    return Exit.CLEAN;
  }
  if (!request.json) terminal.out(`${heading(request)}\n`);
  const outcome = await runOverLink(request, places, terminal);

  // Report; a trace or a capture that is cut short is no success, whatever the boot was
  const failures = unwritten(request, outcome);
  const code = failures.length === 0 ? CODES[outcome.verdict] : Exit.ENVIRONMENT;
  if (request.json) terminal.out(`${bootJson(request, outcome, code)}\n`);
  else terminal.out(`${bootReport(outcome).join('\n')}\n`);
  for (const failure of failures) terminal.error(failureText(failure));
  return code;
}

/** The files that are incomplete. */
function unwritten(
  { trace, pcap }: BootRequest,
  { traceFailure, captureFailure }: BootOutcome,
): EnvironmentError[] {
  const failures: EnvironmentError[] = [];
  const add = (name: string, text: string): void =>
    void failures.push(new EnvironmentError(name, text, 'Give a path with room for it.'));
  if (traceFailure !== undefined) {
    add('TraceUnwritable', `the trace in ${trace} is incomplete: ${traceFailure}`);
  }
  if (captureFailure !== undefined) {
    add('CaptureUnwritable', `the capture in ${pcap} is incomplete: ${captureFailure}`);
  }
  return failures;
}

/** Run the boot, with the real link that it asks for. @throws CommandError */
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

/** @throws EnvironmentError ProgramMissing, LinkUnreachable */
async function openLink(request: LinkRequest): Promise<RunningLink> {
  try {
    return await startLink(request);
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    throw new EnvironmentError(error.name, error.message, error.advice);
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
  #phase: Phase = 'starting';
  /** Bytes of the image that have come. */
  #received = 0;

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

  /** @throws CommandError */
  async run(): Promise<BootOutcome> {
    let timer: NodeJS.Timeout | undefined;
    let interrupted: (() => void) | undefined;
    const { interrupt } = this.#terminal;
    try {
      return await new Promise<BootOutcome>((resolve, reject) => {
        const lost = (kind: GuestEnd['kind'], text: string, stack?: string): void =>
          resolve(lostOutcome(this.#request, { guest: 'firmware', kind, text, stack }));
        timer = this.#watch((seconds) => {
          const loads = this.#phase === 'running' ? '' : 'while it is loaded, ';
          lost('hang', `${loads}no sign of life for ${seconds} s (see --watchdog)`);
        });
        this.#worker.on('message', (message: WorkerMessage) => {
          this.#show(message);
          if (message.kind === 'done') resolve(message.outcome);
          else if (message.kind === 'failed') reject(thrownByWorker(message));
        });
        this.#worker.on('error', (error: NodeJS.ErrnoException) => {
          if (error.code === OUT_OF_MEMORY) lost('crash', 'it ran out of memory');
          else lost('thrown', String(error), error.stack);
        });
        this.#worker.on('exit', () => lost('crash', 'it ended its process (process.exit)'));
        const since = Date.now();
        interrupted = () => {
          const ms = Date.now() - since;
          resolve(interruptedOutcome(this.#request, ms, this.#received));
        };
        interrupt?.addEventListener('abort', interrupted);
      });
    } finally {
      clearInterval(timer);
      if (interrupted !== undefined) interrupt?.removeEventListener('abort', interrupted);
      await this.#worker.terminate();
    }
  }

  /** Call `hung` once nothing has moved for some time. */
  #watch(hung: (seconds: number) => void): NodeJS.Timeout {
    const watchdogMs = this.#request.watchdogSeconds * 1000;
    let seen = -1;
    let phase = this.#phase;
    let silentMs = 0;
    return setInterval(() => {
      const beat = Atomics.load(this.#heartbeat, 0);
      const moved = beat !== seen || phase !== this.#phase;
      silentMs = moved ? 0 : silentMs + HEARTBEAT_MS;
      seen = beat;
      phase = this.#phase;
      const limitMs = Math.max(watchdogMs, SILENCE_MAX_MS[phase]);
      if (silentMs >= limitMs) hung(limitMs / 1000);
    }, HEARTBEAT_MS);
  }

  #show(message: WorkerMessage): void {
    if (message.kind === 'phase') this.#phase = message.phase;
    if (message.kind === 'progress') this.#received = message.received;
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

const CODES: Readonly<Record<BootOutcome['verdict'], ExitCode>> = {
  clean: Exit.CLEAN,
  findings: Exit.FINDINGS,
  crash: Exit.CRASH,
  hang: Exit.CRASH,
  refused: Exit.REFUSED,
  interrupted: Exit.INTERRUPTED,
};

// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe boot`: runs the boot in a process of its own, shows it, and says what came of it. */

import type { GuestEnd } from '../../flow/boot-flow.ts';
import { Cell, type CellEnd } from '../../guests/cell/cell.ts';
import { Phase, type CellStart } from '../../guests/cell/cell-words.ts';
import { bootJson, type BootRequested } from '../../library/boot-json.ts';
import { bootExit, summary, type BootOutcome } from '../../library/boot-outcome.ts';
import { bootReport } from '../../library/boot-report.ts';
import type { LinkRequest } from '../../links/link-start.ts';
import { cellFailure, memoryText, thrownByWorker } from '../worker-failure.ts';
import { linkOutcome, workerMessage } from './boot-message.ts';
import type { WorkerMessage } from './boot-worker.ts';
import { BootFiles, cleanBoot, unwritten } from './boot-files.ts';
import { BOOT_HELP, parseBoot, type BootRequest } from './boot-options.ts';
import { interruptedOutcome, lostOutcome } from './boot-lost.ts';
import { requireWritable } from '../files.ts';
import { oneLine, type Terminal } from '../terminal.ts';
import { tellSuite, type TestSuite } from '../test-results.ts';
import { auditSuite } from './boot-suite.ts';
import { Exit, failureText, plural, type CommandError, type ExitCode } from '../usage.ts';

/**
 * Longest silence in ms while the worker starts, while the firmware's module is loaded, and while
 * it runs: the first two are not the firmware's time, and may be slow on a busy machine. A longer
 * watchdog is a longer limit here, too.
 */
const SILENCE_MAX_MS: readonly number[] = [60_000, 10_000, 0];

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface Places {
  readonly firmware: string;
  readonly bootWorker: URL;
  /** The process that guests run in. */
  readonly guestCell: URL;
  /** The script of a report's page. */
  readonly reportPage: string;
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
  if (request.junit !== undefined) requireWritable(request.junit);
  if (!request.json && !request.tap) terminal.out(`${heading(request)}\n`);
  const clean = cleanBoot(request, places.firmware);
  const files = new BootFiles(request, places.reportPage, clean);
  let outcome: BootOutcome;
  let failures: CommandError[];
  try {
    const boot = (of: BootRequest) => new BootCell(of, files.outputs, places, terminal).run();
    outcome = await boot(files.request);
    failures = await files.write(boot, outcome);
  } finally {
    files.close();
  }

  // Report; a file that is cut short is no success, but hides nothing that the boot came to
  failures.push(...unwritten(request, outcome));
  const came = bootExit(outcome);
  const code = came === Exit.CLEAN ? (failures[0]?.code ?? came) : came;
  if (request.json) {
    terminal.out(`${bootJson(request, outcome, code, requestedOf(request))}\n`);
  } else if (!request.tap) terminal.out(`${bootReport(outcome).map(oneLine).join('\n')}\n`);
  for (const failure of failures) terminal.error(failureText(failure));
  tellSuite(suiteOf(request, outcome, code), request, terminal);
  return code;
}

/** The boot for a CI. */
function suiteOf({ host, strict }: BootRequest, outcome: BootOutcome, code: ExitCode): TestSuite {
  const verdict = `${outcome.verdict}: ${summary(outcome)}`;
  return auditSuite(`boot ${host}`, outcome, { verdict, code, strict });
}

/** What the document tells of the request. */
function requestedOf({ firmware, ownFirmware, pushes, link }: BootRequest): BootRequested {
  const paths = pushes.map(({ path }) => path);
  return { firmware: ownFirmware ? undefined : firmware, pushes: paths, link };
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

/** The cell that a boot runs in. */
class BootCell {
  readonly #request: BootRequest;
  readonly #outputs: readonly string[];
  readonly #places: Places;
  readonly #terminal: Terminal;
  /** Bytes of the image that have come. */
  #received = 0;

  /** @param outputs the files that were asked for, which may be cut short */
  constructor(
    request: BootRequest,
    outputs: readonly string[],
    places: Places,
    terminal: Terminal,
  ) {
    this.#request = request;
    this.#outputs = outputs;
    this.#places = places;
    this.#terminal = terminal;
  }

  /** @throws CommandError */
  async run(): Promise<BootOutcome> {
    const request = this.#request;
    const { interrupt } = this.#terminal;
    const since = Date.now();
    let interrupted: (() => void) | undefined;
    let cell: Cell | undefined;
    try {
      return await new Promise<BootOutcome>((resolve, reject) => {
        let outcome: BootOutcome | undefined;
        cell = new Cell(this.#places.guestCell, this.#start(), {
          message: (given) => {
            const message = workerMessage(given, '');
            if (message.kind === 'failed') reject(thrownByWorker(message));
            else if (message.kind !== 'done') return this.#show(message);
            else if (request.link === undefined) resolve(message.outcome);
            else {
              outcome = message.outcome;
              cell?.finish();
            }
          },
          link: (given) => {
            const link = linkOutcome(given, 'link');
            if (outcome !== undefined) resolve({ ...outcome, link });
          },
          end: (end) => {
            try {
              resolve(lostOutcome(request, this.#endOf(end)));
            } catch (error) {
              reject(error as Error);
            }
          },
          broken: reject,
        });
        interrupted = () =>
          resolve(interruptedOutcome(request, Date.now() - since, this.#received, this.#outputs));
        interrupt?.addEventListener('abort', interrupted);
        if (interrupt?.aborted === true) interrupted();
      });
    } finally {
      if (interrupted !== undefined) interrupt?.removeEventListener('abort', interrupted);
      await cell?.kill();
    }
  }

  #start(): CellStart {
    const { watchdogSeconds, memoryMiB, guestMemoryLimitMiB, link } = this.#request;
    const watchdogMs = watchdogSeconds * 1000;
    return {
      script: this.#places.bootWorker.href,
      job: this.#request,
      silenceMs: SILENCE_MAX_MS.map((ms) => Math.max(ms, watchdogMs)),
      memoryBytes: (memoryMiB + guestMemoryLimitMiB) * 2 ** 20,
      link,
    };
  }

  /** How a guest ended whose worker has not told. @throws CommandError */
  #endOf(end: CellEnd): GuestEnd {
    const guest = 'firmware';
    if (end.kind === 'failed') throw cellFailure(end);
    if (end.kind === 'ended') throw new Error('the worker has ended without a word');
    const { reason, silentMs, phase, stack } = end;
    const loads = phase === Phase.RUNNING ? '' : 'while it is loaded, ';
    const text =
      reason === 'hang'
        ? `${loads}no sign of life for ${Math.floor(silentMs / 1000)} s (see --watchdog)`
        : `${loads}${memoryText(this.#request.guestMemoryLimitMiB, reason === 'killed')}`;
    const kind = reason === 'killed' ? 'out-of-memory' : reason;
    return { guest, kind, text, stack: stack === '' ? undefined : stack };
  }

  /** Show it; whoever reads slowly is waited for. */
  #show(message: Extract<WorkerMessage, { kind: 'line' | 'progress' }>): void | Promise<void> {
    if (message.kind === 'progress') this.#received = message.received;
    if (this.#request.json || this.#request.tap) return;
    if (message.kind === 'line') this.#terminal.out(`${oneLine(message.text)}\n`);
    else if (message.received > 0) {
      this.#terminal.out(`${progressLine(message.received, message.total)}\n`);
    }
    return this.#terminal.drained?.();
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

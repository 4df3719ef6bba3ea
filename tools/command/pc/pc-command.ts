// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe pc`: runs the PC in a worker, and shows it. */

import { MessageChannel, Worker } from 'node:worker_threads';
import { LinkError, startLink, type RunningLink } from '../../links/link-start.ts';
import { pcExit, pcSummary } from '../../library/pc-outcome.ts';
import { BootFiles, unwritten } from '../boot/boot-files.ts';
import { auditSuite } from '../boot/boot-suite.ts';
import { readFaults } from '../boot/fault-options.ts';
import { requireWritable } from '../files.ts';
import type { Terminal } from '../terminal.ts';
import { tellSuite } from '../test-results.ts';
import {
  EnvironmentError,
  Exit,
  failureText,
  plural,
  type CommandError,
  type ExitCode,
} from '../usage.ts';
import { thrownByWorker } from '../worker-failure.ts';
import { PC_HELP } from './pc-help.ts';
import { parsePc, type PcRequest } from './pc-options.ts';
import { pcJson, pcReport, type PcRunOutcome } from './pc-report.ts';
import type { PcWorkerData, PcWorkerMessage } from './pc-worker.ts';

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface PcPlaces {
  readonly pcWorker: URL;
  /** The script of a report's page. */
  readonly reportPage: string;
}

/** Run the command; returns the exit code. @throws CommandError */
export async function pcCommand(
  args: readonly string[],
  { pcWorker, reportPage }: PcPlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const request = parsePc(args);
  if (request === undefined) {
    terminal.out(PC_HELP);
    return Exit.CLEAN;
  }
  if (request.junit !== undefined) requireWritable(request.junit);
  const files = new BootFiles(request, reportPage, cleanRun(request));
  let outcome: PcRunOutcome;
  let failures: CommandError[];
  try {
    const run = (of: PcRequest) => runOverLink(of, pcWorker, terminal);
    outcome = await run(files.request);
    failures = await files.write(run, outcome);
  } finally {
    files.close();
  }

  // A file that is cut short is no success, but hides nothing that the run came to
  failures.push(...unwritten(request, outcome));
  const came = pcExit(outcome);
  const code = came === Exit.CLEAN ? (failures[0]?.code ?? came) : came;
  const verdict = `${outcome.verdict}: ${pcSummary(outcome)}`;
  const { strict } = request;
  const suite = auditSuite(`pc ${request.host}`, outcome, { verdict, code, strict });
  if (request.json) terminal.out(`${pcJson(request, outcome, code)}\n`);
  else if (!request.tap) terminal.out(`${pcReport(outcome).join('\n')}\n`);
  for (const failure of failures) terminal.error(failureText(failure));
  tellSuite(suite, request, terminal);
  return code;
}

function heading({ program, host, nics, memoryMiB, seed, served, link }: PcRequest): string {
  const what = `${plural(nics, 'NIC')}, ${memoryMiB} MiB, seed ${seed}`;
  const offered =
    link === undefined
      ? `the network offers ${served.name}`
      : `over ${link.kind === 'passt' ? 'passt' : link.path}`;
  return `a PC boots ${program} on ${host}: ${what}; ${offered}`;
}

/**
 * The same run on a network that loses nothing. Undefined if it is one, and over a real network,
 * where no run is like another.
 */
function cleanRun(request: PcRequest): PcRequest | undefined {
  const faults = readFaults({});
  const same = JSON.stringify(faults) === JSON.stringify(request.faults);
  if (same || request.link !== undefined) return undefined;
  return { ...request, faults, pcap: undefined, json: true };
}

/** Run, with the real link that is asked for. @throws CommandError */
async function runOverLink(
  request: PcRequest,
  worker: URL,
  terminal: Terminal,
): Promise<PcRunOutcome> {
  if (request.link === undefined) return runInWorker(request, worker, terminal);
  let link: RunningLink;
  try {
    link = await startLink(request.link);
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    throw new EnvironmentError(error.name, error.message, error.advice);
  }
  try {
    const outcome = await runInWorker(request, worker, terminal, link);
    const { name = '', message: text = '', advice = '' } = link.failure ?? {};
    const failure = link.failure && { name, text, advice };
    return { ...outcome, link: { ...link.counts, failure } };
  } finally {
    await link.close();
  }
}

async function runInWorker(
  request: PcRequest,
  url: URL,
  terminal: Terminal,
  link?: RunningLink,
): Promise<PcRunOutcome> {
  const bell = link && new MessageChannel();
  const interrupt = new Int32Array(new SharedArrayBuffer(4));
  const data: PcWorkerData = {
    ...{ request, interrupt },
    link: link && { ends: link.ends, bell: bell!.port2 },
  };
  const transferList = bell === undefined ? [] : [bell.port2];
  const worker = new Worker(url, { workerData: data, transferList, stdout: true });
  bell?.port1.on('message', () => link?.drain());
  const end = (): void => void Atomics.store(interrupt, 0, 1);
  terminal.interrupt?.addEventListener('abort', end);
  try {
    return await new Promise<PcRunOutcome>((resolve, reject) => {
      // What is wrong with the parts shows before it runs: a refusal has no heading
      const quiet = request.json || request.tap;
      let begun = quiet;
      worker.on('message', (message: PcWorkerMessage) => {
        if (!begun && message.kind !== 'failed') {
          terminal.out(`${heading(request)}\n`);
          begun = true;
        }
        if (message.kind === 'done') resolve(message.outcome);
        else if (message.kind === 'failed') reject(thrownByWorker(message));
        else if (message.kind === 'line' && !quiet) terminal.out(`${message.text}\n`);
      });
      worker.on('error', reject);
    });
  } finally {
    terminal.interrupt?.removeEventListener('abort', end);
    bell?.port1.close();
    await worker.terminate();
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe pc`: runs the PC in a worker, and shows it. */

import { MessageChannel, Worker } from 'node:worker_threads';
import { LinkError, startLink, type RunningLink } from '../../links/link-start.ts';
import { auditSuite } from '../boot/boot-suite.ts';
import { requireWritable } from '../files.ts';
import type { Terminal } from '../terminal.ts';
import { tellSuite } from '../test-results.ts';
import { EnvironmentError, Exit, failureText, plural, type ExitCode } from '../usage.ts';
import { thrownByWorker } from '../worker-failure.ts';
import { PC_HELP } from './pc-help.ts';
import { parsePc, type PcRequest } from './pc-options.ts';
import { CODES, pcSummary, type PcOutcome } from './pc-outcome.ts';
import { pcJson, pcReport } from './pc-report.ts';
import type { PcWorkerData, PcWorkerMessage } from './pc-worker.ts';

/** Paths that depend on whether the command runs from its sources or from `dist`. */
export interface PcPlaces {
  readonly pcWorker: URL;
}

/** Run the command; returns the exit code. @throws CommandError */
export async function pcCommand(
  args: readonly string[],
  { pcWorker }: PcPlaces,
  terminal: Terminal,
): Promise<ExitCode> {
  const request = parsePc(args);
  if (request === undefined) {
    terminal.out(PC_HELP);
    return Exit.CLEAN;
  }
  if (request.junit !== undefined) requireWritable(request.junit);
  const outcome = await runOverLink(request, pcWorker, terminal);
  const failures = unwritten(request, outcome);
  const code = failures.length === 0 ? CODES[outcome.verdict] : Exit.ENVIRONMENT;
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

/** The files that are incomplete. */
function unwritten(request: PcRequest, outcome: PcOutcome): EnvironmentError[] {
  const { traceFailure, captureFailure } = outcome;
  const advice = 'Give a path with room for it.';
  const failures: EnvironmentError[] = [];
  if (traceFailure !== undefined) {
    const text = `the trace in ${request.trace} is incomplete: ${traceFailure}`;
    failures.push(new EnvironmentError('TraceUnwritable', text, advice));
  }
  if (captureFailure !== undefined) {
    const text = `the capture in ${request.pcap} is incomplete: ${captureFailure}`;
    failures.push(new EnvironmentError('CaptureUnwritable', text, advice));
  }
  return failures;
}

/** Run, with the real link that is asked for. @throws CommandError */
async function runOverLink(
  request: PcRequest,
  worker: URL,
  terminal: Terminal,
): Promise<PcOutcome> {
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
): Promise<PcOutcome> {
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
    return await new Promise<PcOutcome>((resolve, reject) => {
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
        else if (!quiet) terminal.out(`${message.text}\n`);
      });
      worker.on('error', reject);
    });
  } finally {
    terminal.interrupt?.removeEventListener('abort', end);
    bell?.port1.close();
    await worker.terminate();
  }
}

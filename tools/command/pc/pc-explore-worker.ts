// SPDX-License-Identifier: GPL-2.0-or-later

/** A worker of `hypxe explore --pc`: makes the runs that it is told, one after the other. */

import { parentPort, workerData } from 'node:worker_threads';
import { BrokenFlowError, RefusedHostError } from '../../explore/exploration.ts';
import { PcRunner } from '../../explore/pc-runner.ts';
import { samplePc, type PcSample } from '../../explore/pc-sample.ts';
import { parsePlan } from '../../explore/plan.ts';
import type { RunOutcome } from '../../explore/run.ts';
import { bootProgram, BOOT_PROGRAM_NAME } from '../../guests/pc/boot-program.ts';
import { memoryFiles } from '../../simulator/network/index.ts';
import { UsageError, CommandError, Exit } from '../usage.ts';
import { workerFailure, type WorkerFailure } from '../worker-failure.ts';
import { loadBios, loadProgram, loadV86 } from './pc-files.ts';
import type { PcExploreRequest } from './pc-explore-options.ts';
import { asCommandError, serve } from './pc-run.ts';

/** What a worker is told: to make the list, or a run of it. */
export type PcExploreTask =
  { readonly task: 'list' } | { readonly task: 'run'; readonly plan: string };

/** What it posts. */
export type PcExploreMessage =
  | { readonly kind: 'list'; readonly sample: PcSample }
  | { readonly kind: 'outcome'; readonly plan: string; readonly outcome: RunOutcome }
  | WorkerFailure;

const { request } = workerData as { readonly request: PcExploreRequest };
const { pc } = request;

function post(message: PcExploreMessage): void {
  parentPort!.postMessage(message);
}

async function makeRunner(): Promise<PcRunner> {
  const { kernel, cdrom, disk } = loadProgram(pc);
  const emulator = { ...loadBios(pc.bios), ...(await loadV86()) };
  const own = memoryFiles({ [BOOT_PROGRAM_NAME]: bootProgram() });
  const { name, files } = serve(pc);
  return new PcRunner({
    parts: { ...emulator, cdrom, disk, memoryBytes: pc.memoryMiB * 2 ** 20 },
    ...{ kernel, profile: pc.profile, bootFile: name, keys: pc.keys, script: pc.script },
    files: { read: (path) => files.read(path) ?? own.read(path) },
  });
}

/** What the program is to blame for has names of its own. */
function failure(error: unknown): unknown {
  if (error instanceof RefusedHostError) {
    const advice = 'Choose another host: hypxe hosts lists them.';
    return new CommandError(Exit.REFUSED, 'HostRefused', error.message, advice);
  }
  if (error instanceof BrokenFlowError) {
    const advice = 'See how it boots with these options: hypxe pc.';
    return new UsageError('BrokenProgram', error.message, advice);
  }
  return asCommandError(error, pc);
}

let made: Promise<PcRunner> | undefined;

async function work(task: PcExploreTask): Promise<void> {
  try {
    // What cannot be made is the answer to whoever asks
    const runner = await (made ??= makeRunner());
    if (task.task === 'list') {
      post({ kind: 'list', sample: await samplePc(runner, request) });
    } else {
      const outcome = await runner.run(parsePlan(task.plan));
      post({ kind: 'outcome', plan: task.plan, outcome });
    }
  } catch (error) {
    post(workerFailure(failure(error)));
  }
}

parentPort!.on('message', (task: PcExploreTask) => void work(task));

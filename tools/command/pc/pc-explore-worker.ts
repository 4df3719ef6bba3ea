// SPDX-License-Identifier: GPL-2.0-or-later

/** A worker of `hypxe explore --pc`: makes the runs that it is told, one after the other. */

import { basename } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { BrokenFlowError, RefusedHostError } from '../../explore/exploration.ts';
import { MOMENT_INSTRUCTIONS, PcRunner, type PcExplored } from '../../explore/pc-runner.ts';
import type { PcWatch } from '../../flow/pc-watch.ts';
import { samplePc, type PcSample } from '../../explore/pc-sample.ts';
import { parsePlan } from '../../explore/plan.ts';
import type { RunOutcome } from '../../explore/run.ts';
import { bootProgram, BOOT_PROGRAM_NAME } from '../../guests/pc/boot-program.ts';
import { pcHeader, wallClock } from '../../library/pc.ts';
import type { RunHeader } from '../../report/trace-line.ts';
import { memoryFiles } from '../../simulator/network/index.ts';
import { logTime } from '../boot/boot-log.ts';
import { RunFiles, type WantedFiles } from '../boot/run-files.ts';
import { Story } from '../boot/story.ts';
import { UsageError, CommandError, Exit } from '../usage.ts';
import { workerFailure, type WorkerFailure } from '../worker-failure.ts';
import { loadBios, loadProgram, loadV86 } from './pc-files.ts';
import type { PcExploreRequest } from './pc-explore-options.ts';
import { asCommandError, consoleEvent, serve } from './pc-run.ts';

/** What a worker is told: to make the list, or a run of it; or one run, and to tell of it. */
export type PcExploreTask =
  | { readonly task: 'list' }
  | { readonly task: 'run'; readonly plan: string }
  | { readonly task: 'story'; readonly plan: string; readonly files: WantedFiles };

/** What became of the files of a run. */
type FileFailures = RunFiles['failures'];

/** What it posts. */
export type PcExploreMessage =
  | { readonly kind: 'list'; readonly sample: PcSample }
  | { readonly kind: 'outcome'; readonly plan: string; readonly outcome: RunOutcome }
  | { readonly kind: 'line'; readonly text: string }
  | ({ readonly kind: 'story' } & PcStory)
  | WorkerFailure;

/** One run that was told: the last of its console, and what it came to. */
export interface PcStory extends FileFailures {
  readonly outcome: RunOutcome;
  readonly screen: readonly string[];
}

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
  // Nobody goes back to a moment for the sake of a story
  const between = request.plan === undefined ? MOMENT_INSTRUCTIONS : Infinity;
  const explored: PcExplored = {
    parts: { ...emulator, cdrom, disk, memoryBytes: pc.memoryMiB * 2 ** 20 },
    ...{ kernel, profile: pc.profile, bootFile: name, keys: pc.keys, script: pc.script },
    files: { read: (path) => files.read(path) ?? own.read(path) },
    patience: () => wallClock(pc.wallSeconds),
  };
  return new PcRunner(explored, between);
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

/** One run, line by line, and its files. */
async function tell(runner: PcRunner, text: string, wanted: WantedFiles): Promise<PcStory> {
  let files: RunFiles | undefined;
  let screen: readonly string[] = [];
  let clock = { now: 0 };
  const story = new Story(request.verbose);
  const say = (line: string): void => post({ kind: 'line', text: line });
  const watch: PcWatch = {
    machine(machine) {
      clock = machine.clock;
      const memory = (): Uint8Array => machine.partition.ram.bytes;
      files = new RunFiles(wanted, machine, () => headerOf(text), memory);
      machine.events.listen((event, now) => story.lines(event, now).forEach(say));
    },
    line(line, source, since) {
      files?.note(consoleEvent(line, source), clock.now);
      say(`${logTime(since)}   ${line}`);
    },
    screen: (lines) => void (screen = lines),
  };
  try {
    const outcome = await runner.run(parsePlan(text), undefined, watch);
    files?.close();
    return { outcome, screen, ...(files?.failures ?? NO_FAILURES) };
  } catch (error) {
    files?.abandon();
    throw error;
  }
}

const NO_FAILURES: FileFailures = { traceFailure: undefined, captureFailure: undefined };

/** The first line of the trace of a run. */
function headerOf(plan: string): RunHeader {
  const names = { program: basename(pc.program), image: pc.served.name };
  return { ...pcHeader(pc, names), command: 'explore', plan };
}

let made: Promise<PcRunner> | undefined;

async function work(task: PcExploreTask): Promise<void> {
  try {
    // What cannot be made is the answer to whoever asks
    const runner = await (made ??= makeRunner());
    if (task.task === 'list') {
      post({ kind: 'list', sample: await samplePc(runner, request) });
    } else if (task.task === 'story') {
      post({ kind: 'story', ...(await tell(runner, task.plan, task.files)) });
    } else {
      const outcome = await runner.run(parsePlan(task.plan));
      post({ kind: 'outcome', plan: task.plan, outcome });
    }
  } catch (error) {
    post(workerFailure(failure(error)));
  }
}

parentPort!.on('message', (task: PcExploreTask) => void work(task));

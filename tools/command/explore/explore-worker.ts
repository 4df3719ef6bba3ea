// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A worker of `hypxe explore`: makes the runs of its part of the list, one after the other. It says
 * in shared memory which run it is at and that it lives, so that whoever started it can end a
 * firmware that hangs and go on behind it.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { FirmwareEvent } from '../../../src/events.ts';
import {
  BrokenFlowError,
  Exploration,
  RefusedHostError,
  runAt,
  shardSize,
} from '../../explore/exploration.ts';
import {
  cellJob,
  heartbeat,
  noteDown,
  phase,
  post as tell,
  stopped,
} from '../../guests/cell/cell-port.ts';
import { Phase } from '../../guests/cell/cell-words.ts';
import type { ExploreJob, ExploreMessage } from './explore-job.ts';
import { parsePlan, planText, type FlowName, type Plan } from '../../explore/plan.ts';
import { RunSeries } from '../../explore/run-series.ts';
import { BadGuest } from '../../guests/guest-program.ts';
import { loadGuest } from '../../guests/load-guest.ts';
import { MEMORY, type ExploredGuests } from '../../explore/explored-guest.ts';
import { TRACE_VERSION, type RunHeader } from '../../report/trace-line.ts';
import { GuestRecorder } from '../../record/guest-recorder.ts';
import { textParts } from '../../guests/cell/cell-text.ts';
import {
  Runner,
  SECOND_BOOT,
  type RunOutcome,
  type RunRecorder,
  type RunWatch,
} from '../../explore/run.ts';
import { logLine } from '../boot/boot-log.ts';
import { RunFiles } from '../boot/run-files.ts';
import { Story } from '../boot/story.ts';
import { UsageError } from '../usage.ts';
import { workerFailure } from '../worker-failure.ts';

/** How often a worker reports, in ms. */
const REPORT_MS = 250;

const job = cellJob<ExploreJob>();

function post(message: ExploreMessage): void {
  tell(message);
}

async function loadFirmware(): Promise<ExploredGuests> {
  const program = await loadGuest(job.firmware);
  if (!program.boots) throw new BrokenFlowError(`${job.firmware} exports no function boot`);
  // Who takes what is pushed says which services it has
  const pushed = job.pushFirmware === job.firmware ? program : await loadGuest(job.pushFirmware);
  const takes = pushed.exports.includes('SERVICE_NAMES') && pushed.boots;
  return {
    boot: await program.instantiate(MEMORY),
    push: takes ? await pushed.instantiate(MEMORY) : undefined,
  };
}

function explore(runner: Runner): void {
  const alive = (): void => void heartbeat[0]!++;
  const exploration = new Exploration(runner, { ...job, alive });
  const { total, singles, places, fingerprint } = exploration;
  if (total === 0) {
    const text = `there is no run with ${job.only}`;
    const advice = 'Without --only the report counts the places that there are.';
    throw new UsageError('PlaceNotReached', text, advice);
  }
  const hash = createHash('sha256').update(readFileSync(job.firmware));
  if (job.pushFirmware !== job.firmware) hash.update(readFileSync(job.pushFirmware));
  const firmware = hash.digest('hex');
  post({ kind: 'ready', total, singles, places, fingerprint, firmware });
  const work = new RunSeries(runner, exploration);
  let reported = Date.now();
  const size = shardSize(total, job.shard);
  const end = Math.min(size, job.end ?? size);
  let next = job.first;
  while (next < end && !stopped()) {
    const run = runAt(next, total, job.shard);
    noteDown(next, planText(exploration.plan(run)));
    work.run(run);
    next += job.step;
    if (Date.now() - reported < REPORT_MS) continue;
    reported = Date.now();
    post({ kind: 'progress', next, tally: work.take() });
  }
  post({ kind: 'done', next, tally: work.take() });
}

/** What a firmware exports that has each flow. */
const FLOW_EXPORTS: Readonly<Record<FlowName, string>> = {
  boot: 'boot',
  loader: 'createDriver, a guest in WebAssembly hypxe_probe',
  push: 'SERVICE_NAMES',
};

/** @throws UsageError BadPlan for a run of a flow that the firmware has not */
function requireFlow(runner: Runner, plan: Plan): void {
  const { flow } = plan;
  if (runner.has(flow)) return;
  const text = `--only ${planText(plan)}: the firmware has no flow "${flow}"`;
  throw new UsageError('BadPlan', text, `One that has it exports ${FLOW_EXPORTS[flow]}.`);
}

/** One run, and what the guest did in it. */
function runOne(runner: Runner, text: string): void {
  const recorder = new GuestRecorder();
  const record: RunRecorder = (guest, machine) => {
    recorder.on(machine);
    return recorder.wrap(guest);
  };
  const plan = parsePlan(text);
  requireFlow(runner, plan);
  let files: RunFiles | undefined;
  const story = new Story(job.verbose);
  const say = (line: string | undefined): void =>
    void (line !== undefined && post({ kind: 'line', text: line }));
  const watch: RunWatch = {
    record: job.record ? record : undefined,
    onMachine: (machine) => {
      files = new RunFiles(job.files, machine, () => headerOf(text));
      machine.events.listen((event, now) => story.lines(event, now).forEach(say));
    },
    events: (event, guest, now) => {
      files?.guest(event, guest, now);
      // Of the boot behind it, which is the same again, what goes wrong
      const shown = job.verbose || guest !== SECOND_BOOT || isTrouble(event);
      if (shown) say(logLine(event, now, job.verbose));
    },
  };
  let outcome: RunOutcome;
  try {
    outcome = runner.run(plan, undefined, undefined, watch);
  } catch (error) {
    files?.abandon();
    throw error;
  }
  files?.close();
  // What the plan did is in the first session; another boot follows
  const second = outcome.findings[0]?.cause.startsWith('second boot') === true;
  const session = recorder.sessions.at(second ? -1 : 0);
  const { name: host } = job.host;
  const found = outcome.findings.map((finding) => finding.text).join('; ');
  const whole = session && {
    name: `explore-${host}-${text}`,
    description: `${text} on host ${host}: ${found === '' ? outcome.status : found}`,
    driver: basename(job.firmware),
    host: { profile: host, plan: text },
  };
  const parts = whole && textParts(recorder.text(session!, whole));
  post({ kind: 'outcome', outcome, session: parts, ...files?.failures });
}

function isTrouble(event: FirmwareEvent): boolean {
  return event.kind === 'log' && (event.level === 'error' || event.level === 'warning');
}

/** The first line of the trace of a run. */
function headerOf(plan: string): RunHeader {
  const { architecture, after, host, firmware } = job;
  return {
    ...{ kind: 'run', trace: TRACE_VERSION, command: 'explore', plan, host: host.name },
    ...{ architecture, firmware: basename(firmware), ...(after && { after }) },
  };
}

/** How a failure is told: what the firmware is to blame for has names of its own. */
function failureName(error: Error): string {
  if (error instanceof RefusedHostError) return 'HostRefused';
  const broken = error instanceof BrokenFlowError || error instanceof BadGuest;
  return broken ? 'BrokenFirmware' : error.name;
}

try {
  phase(Phase.LOADING);
  const firmware = await loadFirmware();
  phase(Phase.RUNNING);
  const runner = new Runner(
    firmware,
    job.host,
    heartbeat,
    job.architecture,
    job.after,
    job.network,
  );
  if (job.plan === undefined) explore(runner);
  else runOne(runner, job.plan);
} catch (error) {
  post({ ...workerFailure(error), name: failureName(error as Error) });
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Which mutants the replay alone refuses:
 * `node --import ./tools/build/ts-hook.mjs firmware-tests/mutants/replayed.ts`. First the golden
 * sessions, of which the first that refuses a mutant ends it; then sessions of the firmware as it
 * is, as `hypxe explore --only PLAN --record` writes them, and those of `made-sessions.ts`. Two
 * processes share the mutants.
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as sources from '../../src/os.ts';
import { isRecordable } from '../../tools/explore/recorded-faults.ts';
import { parsePlan } from '../../tools/explore/plan.ts';
import {
  parseTrace,
  replayTrace,
  type Firmware,
  type TraceFile,
} from '../../tools/replay/index.ts';
import { RunRecordings } from '../rigs/lab/recorded-run.ts';
import { TRACE_NAMES, readTrace } from '../rigs/replay-rig.ts';
import { mutatedFirmware, type Patch } from './bundle.ts';
import { MADE, madeSession } from './made-sessions.ts';
import { MUTANTS } from './mutants.ts';
import { OMISSION_MUTANTS } from './omission-mutants.ts';
import { RACE_MUTANTS } from './race-mutants.ts';
import { SILENT_OMISSIONS } from './silent-omissions.ts';
import { TESTED_MUTANTS } from './tested-mutants.ts';

/** Sessions that refuse most of what any refuses: they come first. */
const FIRST = ['01-boot', '12i-wrong-nvsp-type', '04c-quiesce-closed', '09g-open-refused'];

/** Plans by which a loader takes the machine back, and gives up. */
const LOADER = ['loader:none', 'loader:step.150/give-up', 'loader:step.162/give-up'];

/**
 * Plans by which the host takes the device away, in which an earlier owner has left all, and in
 * which the host lets go of another GPADL than it was asked to.
 */
const OTHERS = ['step.150/rescind', 'owner.0/left:all', 'message.15/field:gpadl=inc'];

/** Plans of recorded runs: those that find a mutant of the exploration, and a loader's. */
export const PLANS: readonly string[] = [
  ...new Set(['none', ...LOADER, ...OTHERS, ...MUTANTS.flatMap(({ found }) => found)]),
].filter((text) => !text.startsWith('push:') && parsePlan(text).faults.every(isRecordable));

const recordings = new RunRecordings(sources);
const runs = new Map<string, TraceFile | undefined>();

/** A session that is made, or that of a run; undefined if the firmware as it is is refused, too. */
function recordedRun(plan: string): TraceFile | undefined {
  if (runs.has(plan)) return runs.get(plan);
  const trace = MADE.includes(plan) ? madeSession(plan) : parseTrace(recordings.record(plan).file);
  const { ok } = replayTrace(sources as unknown as Firmware, trace);
  runs.set(plan, ok ? trace : undefined);
  return runs.get(plan);
}

/** The first session that refuses a mutant; undefined if there is none. */
export async function refusedBy(
  patches: readonly Patch[],
  names: readonly string[] = [...new Set([...FIRST, ...TRACE_NAMES])],
  plans: readonly string[] = [],
): Promise<string | undefined> {
  const firmware = (await mutatedFirmware(patches)) as unknown as Firmware;
  const refuses = (trace: TraceFile | undefined): boolean =>
    trace !== undefined && !replayTrace(firmware, trace).ok;
  return (
    names.find((name) => refuses(readTrace(name))) ??
    plans.find((plan) => refuses(recordedRun(plan)))
  );
}

/** A mutant by name: of some lists one has several patches. */
interface Named {
  readonly name: string;
}

function patchesOf(
  mutant: Named & (Patch | { readonly patches: readonly Patch[] }),
): readonly Patch[] {
  return 'patches' in mutant ? mutant.patches : [mutant];
}

const LISTS = { MUTANTS, OMISSION_MUTANTS, RACE_MUTANTS, SILENT_OMISSIONS, TESTED_MUTANTS };

/** All mutants, one after the other. */
export const ALL = Object.entries(LISTS).flatMap(([list, mutants]) =>
  mutants.map((mutant) => ({ list, name: mutant.name, patches: patchesOf(mutant) })),
);

/** Processes that share the mutants. */
const LANES = 2;

/** What refuses each mutant of a lane, as JSON. */
async function lane(number: number): Promise<void> {
  const by: (string | null)[] = [];
  for (const { patches } of ALL.filter((_, i) => i % LANES === number))
    by.push((await refusedBy(patches, undefined, [...PLANS, ...MADE])) ?? null);
  process.stdout.write(JSON.stringify(by));
}

async function main(): Promise<void> {
  const file = fileURLToPath(import.meta.url);
  const lanes = await Promise.all(
    Array.from({ length: LANES }, async (_, i) => {
      const args = [...process.execArgv, file, String(i)];
      const { stdout } = await promisify(execFile)(process.execPath, args);
      return JSON.parse(stdout) as (string | null)[];
    }),
  );
  const told = ALL.map((mutant, i) => ({
    ...mutant,
    by: lanes[i % LANES]![Math.floor(i / LANES)],
  }));
  for (const { list, name, by } of told) process.stdout.write(`${list}: ${name}: ${by ?? '-'}\n`);
  const golden = told.filter(({ by }) => by && TRACE_NAMES.includes(by)).length;
  const refused = told.filter(({ by }) => by).length;
  for (const list of Object.keys(LISTS)) {
    const own = told.filter((each) => each.list === list);
    process.stdout.write(`${list}: ${own.filter(({ by }) => by).length} of ${own.length}\n`);
  }
  process.stdout.write(`refused by the golden sessions: ${golden} of ${ALL.length}\n`);
  process.stdout.write(`refused by replay alone: ${refused} of ${ALL.length}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await (process.argv[2] === undefined ? main() : lane(Number(process.argv[2])));
}

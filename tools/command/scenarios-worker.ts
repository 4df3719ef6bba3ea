// SPDX-License-Identifier: GPL-2.0-or-later

/** The worker in which scenarios are run with a guest: one that hangs is ended from outside. */

import { BadBootResult } from '../flow/boot-flow.ts';
import { cellJob, post as tell } from '../guests/cell/cell-port.ts';
import { BadGuest, type GuestInstance, type GuestProgram } from '../guests/guest-program.ts';
import { loadGuest } from '../guests/load-guest.ts';
import { scenarioNamed } from '../scenarios/index.ts';
import { MEMORY } from '../scenarios/rig.ts';
import { firmwareEnded, notWith, runScenario, type Scenario } from '../scenarios/scenario.ts';
import { plainScenario, plainVerdict, scenarioBrief, scenarioDetails } from './scenarios-report.ts';
import { UsageError } from './usage.ts';
import { workerFailure, type WorkerFailure } from './worker-failure.ts';

/** What the worker is given. */
export interface ScenariosJob {
  readonly firmware: string;
  readonly names: readonly string[];
  /** A line for each, instead of all that is to be said. */
  readonly brief: boolean;
}

/** What the worker posts: each scenario as soon as it is over. */
export type ScenariosMessage =
  /** The firmware's module has been loaded: from now on the time is the firmware's. */
  | { readonly kind: 'loaded' }
  | {
      readonly kind: 'ran';
      /** `ended`: the guest itself crashed, hung or threw. */
      readonly state: 'passed' | 'failed' | 'ended' | 'left-out';
      /** In each may be what the guest has said, with line ends. */
      readonly lines: readonly string[];
      readonly json: string;
    }
  | { readonly kind: 'done' }
  | WorkerFailure;

const { firmware: file, names, brief } = cellJob<ScenariosJob>();

function post(message: ScenariosMessage): void {
  tell(message);
}

function run(scenario: Scenario, program: GuestProgram, guest: GuestInstance): void {
  const why = notWith(scenario, program);
  if (why !== undefined) {
    const json = JSON.stringify({ ...plainScenario(scenario), leftOut: why });
    post({ kind: 'ran', state: 'left-out', lines: [`--     ${scenario.name}: ${why}`], json });
    return;
  }
  const verdict = runScenario(scenario, guest);
  const { passed, fixed } = verdict;
  const lines = brief ? [scenarioBrief(verdict, true)] : scenarioDetails(scenario, verdict, true);
  const json = JSON.stringify(plainVerdict(scenario, verdict));
  const state = passed ? 'passed' : firmwareEnded(fixed) ? 'ended' : 'failed';
  post({ kind: 'ran', state, lines, json });
}

/** What a guest is to blame for, by name. */
function told(error: unknown): unknown {
  if (error instanceof BadGuest) return new UsageError('BadFirmware', error.message, error.advice);
  if (!(error instanceof BadBootResult)) return error;
  return new UsageError('BadFirmware', `${file}: ${error.message}`, 'See hypxe boot --help.');
}

try {
  const program = await loadGuest(file);
  const guest = await program.instantiate(MEMORY);
  post({ kind: 'loaded' });
  for (const name of names) run(scenarioNamed(name)!, program, guest);
  post({ kind: 'done' });
} catch (error) {
  post(workerFailure(told(error)));
}

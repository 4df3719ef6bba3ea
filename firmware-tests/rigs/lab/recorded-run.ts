// SPDX-License-Identifier: GPL-2.0-or-later

/** A run of an exploration as a session: what `hypxe explore --only PLAN --record` writes. */

import { trustedGuests, type ExploredFirmware } from '../../../tools/explore/explored-guest.ts';
import { singleFaults } from '../../../tools/explore/enumeration.ts';
import { parsePlan, planText, type FlowName, type Plan } from '../../../tools/explore/plan.ts';
import { isRecordable } from '../../../tools/explore/recorded-faults.ts';
import { record } from '../../../tools/explore/recording.ts';
import { Runner, type RunOutcome } from '../../../tools/explore/run.ts';
import { Walks } from '../../../tools/explore/walks.ts';
import { GuestRecorder } from '../../../tools/record/guest-recorder.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import type { HostProfile } from '../../../tools/simulator/profiles/profile.ts';
import { DEFAULT_PROFILE, profileNamed } from '../../../tools/simulator/profiles/profiles.ts';

/** A recorded run: the text of the session that shows it, and what the run came to. */
export interface RecordedRun {
  readonly file: string;
  readonly outcome: RunOutcome;
}

/** Records runs of a firmware on a host, by default the default one. */
export class RunRecordings {
  readonly runner: Runner;
  readonly #single = new Map<FlowName, readonly Plan[]>();

  constructor(firmware: ExploredFirmware, profile: HostProfile = profileNamed(DEFAULT_PROFILE)!) {
    this.runner = new Runner(trustedGuests(firmware), profile);
  }

  /** A plan that is drawn: one fault, or several. All of it is decided by the seed. */
  draw(seed: number): string {
    const random = new Random(seed, 2);
    const walk = new Walks(seed, this.#faults(random.below(3) === 0 ? 'loader' : 'boot')).plan(0);
    const one = { ...walk, faults: walk.faults.slice(0, 1) };
    return planText(random.below(2) === 0 ? walk : one);
  }

  /** All single faults of a flow that a session can show. */
  #faults(flow: FlowName): readonly Plan[] {
    const known = this.#single.get(flow);
    if (known !== undefined) return known;
    const all = singleFaults(record(this.runner, flow));
    const single = all.filter(({ faults: [fault] }) => isRecordable(fault!));
    this.#single.set(flow, single);
    return single;
  }

  record(text: string): RecordedRun {
    const recorder = new GuestRecorder();
    const outcome = this.runner.run(parsePlan(text), undefined, undefined, {
      record: (guest, machine) => {
        recorder.on(machine);
        return recorder.wrap(guest);
      },
    });
    const second = outcome.findings[0]?.cause.startsWith('second boot') === true;
    const session = recorder.sessions.at(second ? -1 : 0)!;
    const head = { name: text, description: text, driver: 'hypxe' };
    return { file: recorder.text(session, head), outcome };
  }
}

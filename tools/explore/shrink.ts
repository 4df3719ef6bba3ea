// SPDX-License-Identifier: GPL-2.0-or-later

/** Makes a plan with several faults as small as it can be while it still shows the same finding. */

import type { Plan } from './plan.ts';
import type { Runner, RunOutcome } from './run.ts';

/** A plan and what came of it. */
export interface Shrunk {
  readonly plan: Plan;
  readonly outcome: RunOutcome;
}

/**
 * Leave out one fault after the other for as long as the first finding of `outcome` stays. Takes at
 * most as many runs as the square of the number of faults.
 */
export function shrink(runner: Runner, plan: Plan, outcome: RunOutcome): Shrunk {
  const cause = outcome.findings[0]?.cause;
  let smallest: Shrunk = { plan, outcome };
  for (let i = 0; i < smallest.plan.faults.length && smallest.plan.faults.length > 1;) {
    const faults = smallest.plan.faults.filter((_, other) => other !== i);
    const candidate = { ...smallest.plan, faults };
    const result = runner.run(candidate);
    if (result.findings.some((finding) => finding.cause === cause)) {
      smallest = { plan: candidate, outcome: result };
      i = 0;
    } else {
      i++;
    }
  }
  return smallest;
}

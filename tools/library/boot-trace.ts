// SPDX-License-Identifier: GPL-2.0-or-later

import type { RunHeader } from '../report/trace-line.ts';
import type { BootPlan } from './boot-plan.ts';
import { planHeader } from './plan-host.ts';

/** What is booted, by name: hypxe unless another firmware is named. */
export interface BootedNames {
  readonly image: string;
  readonly firmware?: string | undefined;
}

/** What was asked for, as the first line of a boot's trace. */
export function bootHeader(plan: BootPlan, names: BootedNames): RunHeader {
  const { processors, architecture, steps, linux } = plan;
  const { image, firmware = 'hypxe' } = names;
  return {
    ...planHeader(plan, { command: 'boot', processors, architecture, image, firmware }),
    ...(steps.length === 0 ? {} : { then: steps.join(', ') }),
    ...(plan.os ? { os: linux } : {}),
  };
}

// SPDX-License-Identifier: GPL-2.0-or-later

import { TRACE_VERSION, type RunHeader } from '../report/trace-line.ts';
import type { BootPlan } from './boot-plan.ts';

/** What is booted, by name: hypxe unless another firmware is named. */
export interface BootedNames {
  readonly image: string;
  readonly firmware?: string | undefined;
}

/** What was asked for, as the first line of a boot's trace. */
export function bootHeader(plan: BootPlan, names: BootedNames): RunHeader {
  const { host, seed, nics, processors, architecture, memoryMiB, steps, linux } = plan;
  const changed = Object.entries(plan.knobs).map(([name, value]) => `${name}=${String(value)}`);
  return {
    ...{ kind: 'run', trace: TRACE_VERSION, command: 'boot', host, seed, nics, processors },
    ...{ architecture, memoryMiB, image: names.image, firmware: names.firmware ?? 'hypxe' },
    ...(changed.length === 0 ? {} : { knobs: changed.join(', ') }),
    ...(steps.length === 0 ? {} : { then: steps.join(', ') }),
    ...(plan.os ? { os: linux } : {}),
  };
}

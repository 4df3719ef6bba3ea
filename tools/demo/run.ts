// SPDX-License-Identifier: GPL-2.0-or-later

/** Boots the firmware for a page: what was chosen, and the same without anything wrong. */

import { TrustedGuest, type TrustedModule } from '../guests/trusted-guest.ts';
import { bootGuest, syntheticServed } from '../library/boot.ts';
import { summary } from '../library/boot-outcome.ts';
import { bootPlan, type BootPlan } from '../library/boot-plan.ts';
import { bootHeader } from '../library/boot-trace.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { bootChoices, type Values } from './fields.ts';
import { NO_FAULT, endFault, injectFault } from './host-faults.ts';
import { forgetful } from './omissions.ts';
import { Recorder, type Tell } from './recorder.ts';

/** Guest RAM in MiB, and the image that is booted, in bytes: enough for all flows, and quick. */
const MEMORY_MIB = 32;
const IMAGE_BYTES = 16_000;

/** The firmware, as its bundle exports it. */
export type DemoFirmware = Required<Pick<TrustedModule, 'boot'>>;

/**
 * Boot as was chosen, and tell of it; then the same without what was chosen to go wrong.
 *
 * @throws BadChoice for what cannot be chosen
 */
export function runDemo(firmware: DemoFirmware, values: Values, tell: Tell): void {
  const choices = { ...bootChoices(values), memoryMiB: MEMORY_MIB };
  const plan = bootPlan(choices);
  const forgets = (values['forgets'] ?? '').split(',').filter((name) => name !== '');
  const { fault = NO_FAULT, network = 'none' } = values;
  const recorder = new Recorder(tell);
  const outcome = boot(firmware, plan, { forgets, fault }, recorder);
  recorder.flush();

  const isClean = forgets.length === 0 && fault === NO_FAULT && network === 'none';
  let clean: Recorder | undefined;
  if (!isClean) {
    clean = new Recorder();
    boot(firmware, bootPlan({ ...choices, faults: {} }), { forgets: [], fault: NO_FAULT }, clean);
  }
  tell({
    kind: 'done',
    good: outcome.verdict === 'clean',
    summary: `${outcome.verdict}: ${summary(outcome)}`,
    clean: clean?.events ?? null,
    noClean: 'This is the clean run: nothing goes wrong, and nothing is forgotten.',
  });
}

/** What goes wrong in a boot. */
interface Wrong {
  readonly forgets: readonly string[];
  readonly fault: string;
}

function boot(firmware: DemoFirmware, plan: BootPlan, wrong: Wrong, recorder: Recorder) {
  const { forgets, fault } = wrong;
  let machine: SimulatedMachine | undefined;
  const forgetting = forgetful(firmware, forgets);
  const module: DemoFirmware = {
    boot: (seam, options) => {
      try {
        return forgetting.boot!(seam, options);
      } finally {
        endFault(machine!);
      }
    },
  };
  const served = syntheticServed(plan.seed, IMAGE_BYTES);
  const header = bootHeader(plan, { image: served.name });
  recorder.write({ ...header, ...told(wrong) }, 0);
  return bootGuest(new TrustedGuest(module, plan.memoryMiB * 2 ** 20), plan, {
    served,
    onMachine: (made) => {
      machine = made;
      recorder.listen(made, made.partition.ram.memory);
      injectFault(made, fault);
    },
    events: (event, guest, now) => recorder.write({ guest, ...event }, now),
  });
}

/** What goes wrong, for the heading of a page. */
function told({ forgets, fault }: Wrong): Record<string, string> {
  return {
    ...(fault === NO_FAULT ? {} : { fault }),
    ...(forgets.length === 0 ? {} : { forgets: forgets.join(', ') }),
  };
}

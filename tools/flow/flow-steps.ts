// SPDX-License-Identifier: GPL-2.0-or-later

/** The steps of a flow besides its default, and in which order they can come. */

/** The steps by name. */
export const FLOW_STEPS = {
  chainload: 'the firmware hands over to firmware once more, before any OS',
  san: 'the firmware stays, and the loader takes the machine in the middle of a transfer',
  kexec: 'the OS hands over to the next kernel',
  crash: 'the OS crashes, and the crash kernel takes over; nothing comes after that',
} as const;

export type FlowStep = keyof typeof FLOW_STEPS;

/** Most steps of a flow. */
export const FLOW_STEPS_MAX = 16;

/** Where each step stands: a step never comes after one of a later phase. */
const PHASE: Readonly<Record<FlowStep, number>> = { chainload: 0, san: 1, kexec: 2, crash: 3 };

/** What comes at most once. */
const ONCE: readonly FlowStep[] = ['san', 'crash'];

/** Why steps cannot come in this order, or undefined if they can. */
export function checkSteps(steps: readonly FlowStep[]): string | undefined {
  if (steps.length > FLOW_STEPS_MAX) return `${steps.length} steps, at most ${FLOW_STEPS_MAX}`;
  for (const [index, step] of steps.entries()) {
    const before = steps[index - 1];
    if (before === undefined) continue;
    if (before === step && ONCE.includes(step)) return `${step} comes twice`;
    if (PHASE[before] <= PHASE[step]) continue;
    if (before === 'crash') return `nothing comes after a crash but a reset, so no ${step}`;
    return `${step} cannot come after ${before}: the firmware is gone then`;
  }
  return undefined;
}

/** How often firmware boots before the first OS. */
export function firmwareBoots(steps: readonly FlowStep[]): number {
  return 1 + steps.filter((step) => step === 'chainload').length;
}

/** The steps that kernels do. */
export function kernelSteps(steps: readonly FlowStep[]): ('kexec' | 'crash')[] {
  return steps.filter((step) => step === 'kexec' || step === 'crash');
}

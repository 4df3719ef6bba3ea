// SPDX-License-Identifier: GPL-2.0-or-later

/** The steps of a flow besides its default, and in which order they can come. */

/** The steps by name. */
export const FLOW_STEPS = {
  chainload: 'the firmware hands over to firmware once more, before any OS',
  san: 'the firmware stays, and the loader takes the machine in the middle of a transfer',
  kexec: 'the OS hands over to the next kernel',
  crash: 'the OS crashes, and the crash kernel takes over',
} as const;

type StepName = keyof typeof FLOW_STEPS;

/** A step; a crash may say at which exit of the kernel's start it comes, counted from 0. */
export type FlowStep = StepName | `crash@${number}`;

/** A step that kernels do. */
export type KernelStep = 'kexec' | 'crash' | `crash@${number}`;

/** Most steps of a flow. */
export const FLOW_STEPS_MAX = 16;

/** Latest exit of a kernel's start that can be named. */
const EXIT_MAX = 1_000_000;

/** Where each step stands: a step never comes after one of a later phase. */
const PHASE: Readonly<Record<StepName, number>> = { chainload: 0, san: 1, kexec: 2, crash: 2 };

/** Whether a word is a step. */
export function isFlowStep(word: string): word is FlowStep {
  return Object.hasOwn(FLOW_STEPS, nameOf(word)) && !(word.includes('@') && !hasExit(word));
}

/** The exit at which a crash comes while the kernel starts, or undefined. */
export function crashExit(step: FlowStep): number | undefined {
  return step.startsWith('crash@') ? Number(step.slice('crash@'.length)) : undefined;
}

function hasExit(word: string): boolean {
  return /^crash@\d{1,7}$/.test(word) && crashExit(word as FlowStep)! <= EXIT_MAX;
}

function nameOf(word: string): StepName {
  return (word.startsWith('crash@') ? 'crash' : word) as StepName;
}

/** Why steps cannot come in this order, or undefined if they can. */
export function checkSteps(steps: readonly FlowStep[]): string | undefined {
  if (steps.length > FLOW_STEPS_MAX) return `${steps.length} steps, at most ${FLOW_STEPS_MAX}`;
  for (const [index, step] of steps.entries()) {
    const before = steps[index - 1];
    if (before === undefined) continue;
    if (before === step && step === 'san') return 'san comes twice';
    if (PHASE[nameOf(before)] <= PHASE[nameOf(step)]) continue;
    return `${step} cannot come after ${before}: the firmware is gone then`;
  }
  return undefined;
}

/** How often firmware boots before the first OS. */
export function firmwareBoots(steps: readonly FlowStep[]): number {
  return 1 + steps.filter((step) => step === 'chainload').length;
}

/** The steps that kernels do. */
export function kernelSteps(steps: readonly FlowStep[]): KernelStep[] {
  return steps.filter((step): step is KernelStep => PHASE[nameOf(step)] === PHASE.kexec);
}

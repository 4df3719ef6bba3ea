// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A scenario: a bug that somebody once had, with the broken behaviour switched on, which must be
 * caught, and with the fixed behaviour, which must pass.
 */

import type { GuestEnd } from '../flow/guest-run.ts';
import type { GuestInstance, GuestProgram } from '../guests/guest-program.ts';
import type { AuditCheck, Finding, Severity } from '../simulator/audit/audit-findings.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { tellFindings, tellVerdict } from '../flow/flow-events.ts';

/** By what the broken half must be caught. */
export type Caught =
  | {
      /** A finding of this check. */
      readonly check: AuditCheck;
      /** Default `error`. */
      readonly severity?: Severity;
      /** What the finding must say. */
      readonly says?: RegExp;
    }
  /** A guest that did not come back. */
  | { readonly ended: 'crash' | 'hang' };

/** What came of a half. */
export interface HalfResult {
  readonly findings: readonly Finding[];
  readonly ended: GuestEnd | undefined;
}

export type Half = 'broken' | 'fixed';

/** Who looks at the machine of a half. */
export type MachineSeen = (machine: SimulatedMachine) => void;

export interface Scenario {
  /** On the command line: `kexec-without-unload`. */
  readonly name: string;
  /** What goes wrong, in a line. */
  readonly text: string;
  /** Whose mistake it is. */
  readonly mistake: 'kernel' | 'firmware' | 'host';
  /** Public references: commits, issues, documents. */
  readonly references: readonly string[];
  readonly caughtBy: Caught;
  /**
   * What it asks of another firmware that takes the place of hypxe's own: that it boots, that its
   * drivers can be called, or that they can be quiesced. Undefined: it cannot be run with one.
   */
  readonly asks?: 'boot' | 'driver' | 'san';
  /**
   * Of a mistake of firmware that cannot be tried with another one: what it stands on that only
   * hypxe's own has, in words.
   */
  readonly onlyOwn?: string;
  /**
   * Run a half, on a machine of its own.
   *
   * @param guest in place of hypxe's own firmware, in RAM of zeros, for the fixed half
   * @param seen called with its machine before anything runs: who listens to its events begins here
   */
  readonly run: (half: Half, guest?: GuestInstance, seen?: MachineSeen) => HalfResult;
}

/** How a half was judged. */
export interface HalfVerdict extends HalfResult {
  readonly half: Half;
  /** What caught it, in words; undefined if nothing did. */
  readonly caught: string | undefined;
  /** The broken half is caught; the fixed one is not, and has no error at all. */
  readonly passed: boolean;
}

export interface ScenarioVerdict {
  readonly name: string;
  readonly broken: HalfVerdict;
  readonly fixed: HalfVerdict;
  readonly passed: boolean;
}

/** Why a scenario cannot be run with a guest; undefined if it can. */
export function notWith(
  { asks, mistake, onlyOwn }: Scenario,
  { boots, drives, exports, kind }: GuestProgram,
): string | undefined {
  if (onlyOwn !== undefined) return onlyOwn;
  if (asks === undefined) return `it is about a ${mistake}, and runs no firmware`;
  if (!boots) return 'the guest has no boot';
  if (asks === 'boot') return undefined;
  if (!drives) return 'the guest has no drivers that can be called one by one';
  const quiesces = kind !== 'wasm' || exports.includes('hypxe_quiesce');
  return asks === 'driver' || quiesces ? undefined : 'the guest has no hypxe_quiesce';
}

/**
 * Run both halves.
 *
 * @param guest in place of hypxe's own firmware: the fixed half is its. The broken one shows that
 *   the bug would be caught, and stays hypxe's
 * @throws what is a mistake in the simulator
 */
export function runScenario(scenario: Scenario, guest?: GuestInstance): ScenarioVerdict {
  const [broken, fixed] = (['broken', 'fixed'] as const).map((half) => {
    if (half === 'fixed') guest?.reset();
    const result = scenario.run(half, half === 'fixed' ? guest : undefined);
    const caught = whatCaught(scenario.caughtBy, result);
    const clean =
      result.ended === undefined && !result.findings.some(({ severity }) => severity === 'error');
    const passed = half === 'broken' ? caught !== undefined : caught === undefined && clean;
    return { half, ...result, caught, passed };
  }) as [HalfVerdict, HalfVerdict];
  return { name: scenario.name, broken, fixed, passed: broken.passed && fixed.passed };
}

/**
 * Run one half, for whoever reads its events: what is found is told at the end, as in a boot.
 *
 * @param seen as for {@link Scenario.run}
 */
export function watchHalf(scenario: Scenario, half: Half, seen: MachineSeen): HalfResult {
  let machine: SimulatedMachine | undefined;
  const result = scenario.run(half, undefined, (made) => {
    machine = made;
    seen(made);
  });
  const { findings, ended } = result;
  if (machine === undefined) return result;
  const stages = OWNERS[scenario.mistake];
  tellFindings(machine, stages, findings);
  // The bug may be no more than a warning
  const bad =
    (half === 'broken' && whatCaught(scenario.caughtBy, result) !== undefined) ||
    findings.some(({ severity }) => severity === 'error');
  const notRun = NOT_RUN[scenario.mistake === 'kernel' ? 'chain' : 'other'];
  tellVerdict(machine, ended?.kind ?? (bad ? 'findings' : 'clean'), notRun);
  return result;
}

/** Checks that no chain of kernels makes, and those that not every other scenario makes. */
const NOT_RUN: Readonly<Record<'chain' | 'other', readonly AuditCheck[]>> = {
  chain: ['second-boot', 'rescind'],
  other: ['late-writes', 'next-os', 'second-boot', 'rescind', 'freed', 'omissions'],
};

/** Whose the findings of a scenario are. */
const OWNERS = { kernel: 'kernel', firmware: 'firmware', host: 'host' } as const;

/** Whether the firmware has ended itself, and not a guest beside it or after it. */
export function firmwareEnded({ ended }: HalfResult): boolean {
  return ended !== undefined && /^firmware\b/.test(ended.guest);
}

function whatCaught(by: Caught, { findings, ended }: HalfResult): string | undefined {
  if ('ended' in by) {
    return ended?.kind === by.ended ? `${ended.guest} ended: ${ended.text}` : undefined;
  }
  const { check, severity = 'error', says = /^/ } = by;
  const finding = findings.find(
    (each) => each.check === check && each.severity === severity && says.test(each.text),
  );
  return finding && `${check}: ${finding.text}`;
}

/** What is expected, in words. */
export function caughtText(by: Caught): string {
  if ('ended' in by) return `the guest's ${by.ended}`;
  const { check, severity = 'error' } = by;
  return severity === 'error' ? `the check ${check}` : `the check ${check}, as a ${severity}`;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Runs of a program for a PC with the faults of a plan. A program of others has no list of what it
 * may do when something goes wrong: it may boot, or give up. But it must not crash or loop, and
 * whatever it does, it must not leave behind what the next owner of the machine does not know of.
 * `step.N/handoff` presses the reset button: the program must boot again.
 */

import { runPcFlow, type PcFlowOptions, type PcReport } from '../flow/pc-flow.ts';
import type { ScriptStep } from '../flow/pc-script.ts';
import type { PcParts } from '../guests/pc/pc-emulator.ts';
import type { PcKernel } from '../guests/pc/pc-kernel.ts';
import type { Pc } from '../guests/pc/pc.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { NO_BASELINE } from '../simulator/audit/audit-baseline.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import { NETWORK_CONDITIONS, Network, combined } from '../simulator/network/index.ts';
import type { FileSource } from '../simulator/network/index.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { ShutdownHost, TimeSyncHost } from '../simulator/services/index.ts';
import type { PlaceObserver } from './counter.ts';
import { excusesOf } from './excuses.ts';
import { withoutNumbers } from './finding-text.ts';
import { Injector } from './injector.ts';
import type { Fault, Plan } from './plan.ts';
import type { RunFinding, RunOutcome } from './run.ts';

/** A program, and what all its runs have in common. */
export interface PcExplored {
  readonly parts: PcParts;
  readonly kernel?: PcKernel | undefined;
  readonly profile: HostProfile;
  readonly files: FileSource;
  readonly bootFile: string;
  readonly keys: string;
  readonly script: readonly ScriptStep[];
}

/** Instructions and accesses to the hypervisor for which nothing comes of a program that loops. */
const LOOP_INSTRUCTIONS = 500_000_000;
const LOOP_TOUCHES = 20_000;
/** So many times as many as without faults it may take besides. */
const LONGER = 10;

export class PcRunner {
  readonly #explored: PcExplored;
  /** What a run without faults takes. */
  #usual: Pick<PcReport, 'instructions' | 'touches'> | undefined;

  constructor(explored: PcExplored) {
    this.#explored = explored;
  }

  /** Run a plan. @throws BadEmulator, BadPcProgram, RangeError; and what is a mistake here */
  async run(plan: Plan, observer?: PlaceObserver): Promise<RunOutcome> {
    if (plan.faults.length > 0 && this.#usual === undefined)
      await this.run({ ...plan, faults: [] });
    const { parts, kernel, profile, files, bootFile, keys, script } = this.#explored;
    const is = plan.faults.filter(({ place }) => place === 'network');
    const habits = combined(is.map(({ argument }) => NETWORK_CONDITIONS[argument]!));
    const network = new Network({ files, bootFile, ...habits });
    const findings: RunFinding[] = [];
    const report: Report = (cause, text = cause, kind = 'finding') => {
      if (!findings.some((other) => other.cause === cause)) findings.push({ kind, cause, text });
    };
    const { instructions, touches } = this.#usual ?? { instructions: Infinity, touches: Infinity };
    const cuts = plan.faults.filter(isCut).length;
    let pc: Pc;
    let injector: Injector;
    const options: PcFlowOptions = {
      ...{ parts, kernel, keys, script },
      host: {
        ...{ profile, seed: 1, links: [network.link(0)] },
        devices: [new ShutdownHost(), new TimeSyncHost()],
      },
      limits: {
        resets: cuts,
        silentInstructions: LOOP_INSTRUCTIONS,
        instructions: LOOP_INSTRUCTIONS + LONGER * instructions,
        touches: LOOP_TOUCHES + LONGER * touches,
      },
      onReady: (made) => {
        pc = made;
        injector = new Injector(pc.machine, plan, observer);
        injector.counter.begin('network', 'network');
        injector.nic(network);
        pc.board.steps = stepsOf(pc, injector);
      },
      onReset: () => {
        // Who gives up goes back to the BIOS, which knows nothing of all this
        if (injector.cut) injector.stop();
        else auditGivenUp(pc, (finding) => tell('given up', finding, { injector, plan }, report));
      },
    };
    const flow = await runPcFlow(options);
    if (plan.faults.length === 0) this.#usual = flow;
    judge(flow, report);
    if (cuts > 0 && flow.end === 'reset') report('it does not boot again after a reset');
    for (const { name, findings: found } of flow.stages) {
      for (const finding of found) tell(name, finding, { injector: injector!, plan }, report);
    }
    for (const finding of flow.findings) {
      if (finding.check === 'late-writes')
        tell('boot program', finding, { injector: injector!, plan }, report);
    }
    const refused = flow.refusedVersions.length > 0 && !flow.booted;
    return {
      findings,
      fired: injector!.counter.fired.size,
      status: STATUS[flow.end] ?? 'ended',
      error: undefined,
      ...(refused ? { refused } : {}),
      steps: injector!.counter.counts.step,
    };
  }
}

/** Whether a fault is a press of the reset button. */
function isCut({ place, kind }: Fault): boolean {
  return place === 'step' && (kind === 'handoff' || kind === 'give-up');
}

type Report = (cause: string, text?: string, kind?: RunFinding['kind']) => void;

/** How the runs end that have an end. */
const STATUS: Readonly<Partial<Record<PcReport['end'], RunOutcome['status']>>> = {
  ...{ booted: 'booted', script: 'booted', reset: 'failed', silent: 'failed', expected: 'failed' },
};

/** Who stands between the guest and the host; a cut is a press of the reset button. */
function stepsOf(pc: Pc, injector: Injector) {
  let cut = false;
  return {
    exit: () => injector.exit(),
    refuses: (register: number) => injector.refuses(register),
    step: (what: 'wrmsr' | 'hypercall'): void => {
      injector.step(what);
      if (cut || !injector.cut) return;
      cut = true;
      pc.emulator.cpu.reboot_internal();
    },
  };
}

/** What its end says of a program. */
function judge({ end, text, screen }: PcReport, report: Report): void {
  const said = `${text}; at last it said: ${screen.at(-1) ?? 'nothing'}`;
  if (end === 'triple-fault')
    report('the processor meets a fault that it cannot handle', said, 'crash');
  if (end === 'loop' || end === 'time') report('it loops', said, 'hang');
  if (end === 'halted') report('it halts with interrupts off', said, 'hang');
}

/** A program has given up: what the host still has of it. */
function auditGivenUp({ machine }: Pc, found: (finding: Finding) => void): void {
  const map = machine.bootSeam.memoryMap;
  for (const finding of auditHandoff(machine, map, { since: NO_BASELINE })) found(finding);
}

/** Report an error, unless the host has made it impossible to do better. */
function tell(who: string, finding: Finding, { injector, plan }: Told, report: Report): void {
  const { machine } = injector;
  const { memoryMap } = machine.bootSeam;
  const maps = { given: memoryMap, handedOn: memoryMap };
  const excused = excusesOf({ machine, plan, injector, inherits: false, ...maps });
  const { severity, check, text } = finding;
  if (severity !== 'error' || excused(finding)) return;
  const told = `${who}: ${check}: ${text}`;
  report(withoutNumbers(told), told);
}

/** The run that a finding is of. */
interface Told {
  readonly injector: Injector;
  readonly plan: Plan;
}

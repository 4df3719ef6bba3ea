// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Runs of a program for a PC with the faults of a plan. A program of others has no list of what it
 * may do when something goes wrong: it may boot, or give up. But it must not crash or loop, and
 * whatever it does, it must not leave behind what the next owner of the machine does not know of.
 * `step.N/handoff` presses the reset button: the program must boot again.
 */

import { makePcFlow, type PcFlow, type PcReport } from '../flow/pc-flow.ts';
import { tellFindings, tellHandoff } from '../flow/flow-events.ts';
import type { PcLimits } from '../flow/pc-limits.ts';
import type { ScriptStep } from '../flow/pc-script.ts';
import type { PcSteps } from '../guests/pc/pc-board.ts';
import type { PcParts } from '../guests/pc/pc-emulator.ts';
import type { PcKernel } from '../guests/pc/pc-kernel.ts';
import type { Pc } from '../guests/pc/pc.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { SnapshotError, type Keeper, type Saved } from '../simulator/base/snapshot.ts';
import { NO_BASELINE } from '../simulator/audit/audit-baseline.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import { NETWORK_CONDITIONS, Network, combined } from '../simulator/network/index.ts';
import type { FileSource } from '../simulator/network/index.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { ShutdownHost, TimeSyncHost } from '../simulator/services/index.ts';
import type { PcWatch } from '../flow/pc-watch.ts';
import type { PlaceObserver } from './counter.ts';
import { excusesOf } from './excuses.ts';
import { Moments } from './forks/moments.ts';
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
  /** Begins to count for the run without faults: says when it has taken too long, in words. */
  readonly patience?: () => () => string | undefined;
  /** Each machine that is made, before it runs: for who listens to its events. */
  readonly onMachine?: (machine: SimulatedMachine) => void;
}

/** Instructions and accesses to the hypervisor for which nothing comes of a program that loops. */
const LOOP_INSTRUCTIONS = 500_000_000;
const LOOP_TOUCHES = 20_000;
/** So many times as many as without faults it may take besides. */
const LONGER = 10;

export class PcRunner {
  readonly #explored: PcExplored;
  /** Instructions between two moments that runs begin at; infinitely many: with the BIOS. */
  readonly #between: number;
  /** What a run without faults takes. */
  #usual: Pick<PcReport, 'instructions' | 'touches'> | undefined;
  /** A PC that has run without faults, and moments of that. */
  #trunk: Trunk | undefined;

  /** @param between what runs come to does not depend on it */
  constructor(explored: PcExplored, between = MOMENT_INSTRUCTIONS) {
    this.#explored = explored;
    this.#between = between;
  }

  /** Run a plan. @throws BadEmulator, BadPcProgram, RangeError; and what is a mistake here */
  async run(plan: Plan, observer?: PlaceObserver, watch?: PcWatch): Promise<RunOutcome> {
    if (plan.faults.length === 0) return this.#runUsual(plan, observer, watch);
    await this.ready();
    const limits = this.#limits(plan);
    const trunk = this.#trunk;
    // Who wants to see all of it sees it from the start
    const seen = observer !== undefined || watch !== undefined;
    if (seen || trunk?.goTo(plan) !== true)
      return outcomeOf(await this.#make(plan, limits, observer, watch), watch);
    return trunk.go(plan, limits);
  }

  /** Make the run without faults, if there is none yet, or its emulator is used up. */
  async ready(): Promise<void> {
    if (this.#usual === undefined || this.#trunk?.worn === true)
      await this.#runUsual({ flow: 'boot', faults: [] });
  }

  /** A run without faults: from its moments on the others are made. */
  async #runUsual(plan: Plan, observer?: PlaceObserver, watch?: PcWatch): Promise<RunOutcome> {
    if (this.#trunk?.worn === true) this.#trunk = undefined;
    const takes = this.#between < Infinity && this.#trunk === undefined && watch === undefined;
    // Whoever looks, looks at this run alone: those that begin at its moments are others
    let seen = observer;
    const isCounted = takes || seen !== undefined;
    const counts: PlaceObserver = (...place) => seen?.(...place);
    const run = await this.#make(plan, {}, isCounted ? counts : undefined, watch);
    if (takes) this.#trunk = new Trunk(run, this.#between);
    const outcome = outcomeOf(run, watch);
    seen = undefined;
    this.#trunk?.end();
    this.#usual = run.report;
    return outcome;
  }

  #limits(plan: Plan): Partial<PcLimits> {
    const { instructions, touches } = this.#usual!;
    return {
      resets: plan.faults.filter(isCut).length,
      silentInstructions: LOOP_INSTRUCTIONS,
      instructions: LOOP_INSTRUCTIONS + LONGER * instructions,
      touches: LOOP_TOUCHES + LONGER * touches,
    };
  }

  /** A run that begins with the BIOS. */
  async #make(
    plan: Plan,
    limits: Partial<PcLimits>,
    observer?: PlaceObserver,
    watch?: PcWatch,
  ): Promise<PcRun> {
    const { parts, kernel, profile, files, bootFile, keys, script, onMachine } = this.#explored;
    const is = plan.faults.filter(({ place }) => place === 'network');
    const habits = combined(is.map(({ argument }) => NETWORK_CONDITIONS[argument]!));
    const network = new Network({ files, bootFile, ...habits });
    let run: PcRun | undefined;
    let pc: Pc | undefined;
    const overdue = plan.faults.length > 0 ? undefined : this.#explored.patience?.();
    const flow = await makePcFlow({
      ...(overdue && { overdue }),
      // What was typed before a cut is typed anew
      ...{ parts, kernel, keys, script, scriptAnew: true },
      host: {
        ...{ profile, seed: 1, links: [network.link(0)] },
        devices: [new ShutdownHost(), new TimeSyncHost()],
      },
      limits: { silentInstructions: LOOP_INSTRUCTIONS, ...limits },
      onReady: (made) => {
        pc = made;
        onMachine?.(made.machine);
        // The injector tells if somebody listens
        watch?.machine(made.machine);
      },
      onLine: (...line) => watch?.line(...line),
      onReset: () => run!.reset(),
    });
    run = new PcRun(flow, pc!, network, plan, observer);
    return run;
  }
}

/** A PC with an injector, and what it comes to. */
class PcRun implements Saved {
  readonly flow: PcFlow;
  readonly injector: Injector;
  findings: RunFinding[] = [];
  report!: PcReport;
  plan: Plan;
  readonly #pc: Pc;
  /** Whether the reset button was pressed. */
  #isCut = false;

  constructor(flow: PcFlow, pc: Pc, network: Network, plan: Plan, observer?: PlaceObserver) {
    this.flow = flow;
    this.#pc = pc;
    this.plan = plan;
    this.injector = new Injector(pc.machine, plan, observer);
    this.injector.counter.begin('network', 'network');
    this.injector.nic(network);
    pc.board.steps = this.#steps();
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.findings, this.plan], (v) => ([this.findings, this.plan] = v));
    keeper.put([this.#isCut], (v) => ([this.#isCut] = v));
    keeper.keep(this.injector);
  }

  /** Instructions that it has run. */
  get instructions(): number {
    return this.#pc.board.instructions;
  }

  /** Go on with another plan. */
  load(plan: Plan, limits: Partial<PcLimits>): void {
    this.plan = plan;
    this.injector.load(plan);
    this.flow.limit(limits);
  }

  /** What is wrong, once for each cause. */
  readonly tell: Report = (cause, text = cause, kind = 'finding') => {
    if (this.findings.some((other) => other.cause === cause)) return;
    this.findings.push({ kind, cause, text });
  };

  /** The same of what no audit has told: who listens hears it, too. */
  readonly tellOfRun: Report = (cause, text = cause, kind) => {
    const { events } = this.#pc.machine;
    const what = { kind: 'finding', stage: 'PC', check: 'run', severity: 'error' } as const;
    if (events.on) events.emit({ ...what, text });
    this.tell(cause, text, kind);
  };

  /** The PC is reset. Who gives up goes back to the BIOS, which knows nothing of all this. */
  reset(): void {
    if (this.injector.cut) return this.injector.stop();
    const { machine } = this.#pc;
    const map = machine.bootSeam.memoryMap;
    const bad = auditHandoff(machine, map, { since: NO_BASELINE }).filter((finding) =>
      tell('given up', finding, this, this.tell),
    );
    if (bad.length > 0) tellHandoff(machine, 'given up', 'power-off', map);
    tellFindings(machine, 'given up', bad);
  }

  /** Who stands between the guest and the host; a cut is a press of the reset button. */
  #steps(): PcSteps {
    const { injector } = this;
    return {
      exit: () => injector.exit(),
      refuses: (register) => injector.refuses(register),
      step: (what) => {
        injector.step(what);
        if (this.#isCut || !injector.cut) return;
        this.#isCut = true;
        this.#pc.emulator.cut();
      },
    };
  }
}

/** Most moments that are kept of a run: each has what changed since the one before. */
const MOMENTS_MAX = 24;

/** Instructions between two moments, at first: what a run costs is what it has of them. */
export const MOMENT_INSTRUCTIONS = 32_000_000;

/** Cuts on one emulator: each leaves some of the stack of its WebAssembly used, for good. */
const CUTS_MAX = 200;

/** Bytes that the moments of a run may have beyond each other, about. */
const MOMENT_BYTES_MAX = 768 * 2 ** 20;

/** A run without faults, at its moments: as dense as their number allows. */
class Trunk {
  readonly run: PcRun;
  #cuts = 0;
  /** Bytes of all moments. */
  #bytes = 0;
  /** The emulator cannot be put back any more, or not to what it was. */
  #spent = false;
  readonly #moments = new Moments();
  #between: number;
  #next = 0;

  constructor(run: PcRun, between: number) {
    this.run = run;
    this.#between = between;
    run.flow.onSlice = () => this.#look();
  }

  /** No further moments. */
  end(): void {
    this.run.flow.onSlice = undefined;
  }

  /** Whether a new emulator is to take its place. */
  get worn(): boolean {
    return this.#spent || this.#cuts >= CUTS_MAX;
  }

  /** From where {@link goTo} has gone to the end. */
  go(plan: Plan, limits: Partial<PcLimits>): RunOutcome {
    const { run } = this;
    run.load(plan, limits);
    const outcome = outcomeOf(run);
    // One that was left in the middle of an endless recursion has used up most of its stack
    if (run.flow.panicked) this.#spent = true;
    return outcome;
  }

  /** Be where nothing of a plan has happened yet, as late as possible. Whether that can be. */
  goTo(plan: Plan): boolean {
    const restore = this.#moments.before(plan);
    if (restore === undefined) return false;
    try {
      restore();
      if (plan.faults.some(isCut)) this.#cuts++;
      return true;
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      // The emulator has moved, for good
      this.#spent = true;
      return false;
    }
  }

  #look(): void {
    const { injector, flow, instructions } = this.run;
    if (instructions < this.#next) return;
    this.#next = instructions + this.#between;
    try {
      const restore = flow.saveState(this.run);
      this.#moments.add(injector.counter.counts, restore);
      this.#bytes += flow.savedBytes;
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
    }
    if (this.#moments.count < MOMENTS_MAX && this.#bytes <= MOMENT_BYTES_MAX) return;
    this.#moments.thin();
    this.#bytes /= 2;
    this.#between *= 2;
  }
}

/** Run to the end. */
function outcomeOf(run: PcRun, watch?: PcWatch): RunOutcome {
  const { flow, injector, tell: report } = run;
  const came = (run.report = flow.run());
  watch?.screen(came.screen);
  judge(came, run.tellOfRun);
  const { plan, findings } = run;
  if (plan.faults.some(isCut) && came.end === 'reset')
    run.tellOfRun('it does not boot again after a reset');
  for (const { name, findings: found } of came.stages)
    for (const finding of found) tell(name, finding, run, report);
  for (const finding of came.findings)
    if (finding.check === 'late-writes') tell('boot program', finding, run, report);
  const refused = came.refusedVersions.length > 0 && !came.booted;
  return {
    findings: [...findings],
    fired: injector.counter.fired.size,
    status: STATUS[came.end] ?? 'ended',
    error: undefined,
    ...(refused ? { refused } : {}),
    steps: injector.counter.counts.step,
  };
}

/** Whether a fault is a press of the reset button. */
function isCut({ place, kind }: Fault): boolean {
  return place === 'step' && kind === 'handoff';
}

type Report = (cause: string, text?: string, kind?: RunFinding['kind']) => void;

/** How the runs end that have an end. */
const STATUS: Readonly<Partial<Record<PcReport['end'], RunOutcome['status']>>> = {
  ...{ booted: 'booted', script: 'booted', reset: 'failed', silent: 'failed', expected: 'failed' },
};

/** What its end says of a program. */
function judge({ end, text, screen }: PcReport, report: Report): void {
  const said = `${text}; at last it said: ${screen.at(-1) ?? 'nothing'}`;
  if (end === 'triple-fault' || end === 'fault')
    report('the processor meets a fault that it cannot handle', said, 'crash');
  if (end === 'emulator') report('the emulator cannot go on', said, 'crash');
  if (['loop', 'repeats', 'time', 'wall'].includes(end)) report('it loops', said, 'hang');
  if (end === 'halted') report('it halts with interrupts off', said, 'hang');
}

/** Report an error, unless the host has made it impossible to do better. Whether it was one. */
function tell(
  who: string,
  finding: Finding,
  { injector, plan }: Pick<PcRun, 'injector' | 'plan'>,
  report: Report,
): boolean {
  const { machine } = injector;
  const { memoryMap } = machine.bootSeam;
  const maps = { given: memoryMap, handedOn: memoryMap };
  const excused = excusesOf({ machine, plan, injector, inherits: false, ...maps });
  const { severity, check, text } = finding;
  if (severity !== 'error' || excused(finding)) return false;
  const told = `${who}: ${check}: ${text}`;
  report(withoutNumbers(told), told);
  return true;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A run of a PC: from its BIOS to the end of a script, to the boot program that the network offers,
 * or to where nothing goes on. Each handoff on the way is audited; the last owner's memory is tried
 * with late writes of the host if the boot program says what it has.
 */

import type { MemoryRange } from '../../src/machine.ts';
import { Pc, type PcHost } from '../guests/pc/pc.ts';
import type { PcConsole } from '../guests/pc/pc-console.ts';
import { PcPanic, type PcParts } from '../guests/pc/pc-emulator.ts';
import type { PcKernel } from '../guests/pc/pc-kernel.ts';
import { AUDIT_CHECKS, type AuditCheck, type Finding } from '../simulator/audit/audit-findings.ts';
import { describeGrant } from '../simulator/audit/audit-pages.ts';
import { MemoryPattern, auditPattern, writeLate } from '../simulator/audit/late-writes.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { countMachine, type MachineCounts } from './counts.ts';
import { tellFindings, tellStage, tellVerdict } from './flow-events.ts';
import { PcLife, type PcEnding, type PcProgress } from './pc-life.ts';
import { PC_LIMITS, type PcLimits } from './pc-limits.ts';
import { PcStages, isAudited, type PcStage } from './pc-stages.ts';
import type { ScriptStep } from './pc-script.ts';
import { pcVerdict, type PcEnd, type PcVerdict } from './pc-verdict.ts';
import type { Keeper, Restore, Saved } from '../simulator/base/snapshot.ts';

/** Checks that this flow has no occasion for. */
const NOT_RUN: readonly AuditCheck[] = ['next-os', 'second-boot', 'rescind', 'freed', 'reserved'];

/** Seconds for which a text is waited for, if the script does not say. */
const EXPECT_SECONDS = 120;

/** Between two keys, and before the first of `keys`: the PC has been quiet for so long. */
const KEY_MS = 50;
const QUIET_MS = 500;

/** How often the console is looked at. */
const LOOK_MS = 10;

/** Who has the machine at the end of a boot, for a trace. */
const BOOT_PROGRAM = 'boot program';

/** After the handoff the host has so long to write. */
const LATE_MS = 1000;

export interface PcFlowOptions {
  readonly parts: PcParts;
  readonly kernel?: PcKernel | undefined;
  readonly host: PcHost;
  readonly limits?: Partial<PcLimits>;
  readonly script?: readonly ScriptStep[];
  /** Typed once the PC waits. */
  readonly keys?: string;
  /** After a reset both begin anew, instead of going on. */
  readonly scriptAnew?: boolean;
  /** Warnings of the audit count. */
  readonly strict?: boolean;
  readonly onLine?: PcConsole['onLine'];
  readonly onStage?: (stage: PcStage) => void;
  /** Called when the PC is there, before it runs. */
  readonly onReady?: (pc: Pc) => void;
  /** The PC has asked for a reset: called before the host sees it. */
  readonly onReset?: () => void;
  /** How far it is, for each slice; false ends the run. */
  readonly alive?: (progress: PcProgress) => boolean;
  /** Whether it has taken too long by a clock that is not the PC's: how long, in words. */
  readonly overdue?: () => string | undefined;
}

export interface PcReport {
  readonly verdict: PcVerdict;
  readonly end: PcEnd;
  /** More of it, in words. */
  readonly text: string;
  readonly booted: boolean;
  /** Nobody has used the hypervisor's interface. */
  readonly untouched: boolean;
  /** Versions of VMBus that were asked for, if the host has refused all of them; else none. */
  readonly refusedVersions: readonly number[];
  readonly vmbusVersions: readonly number[];
  readonly stages: readonly PcStage[];
  readonly findings: readonly Finding[];
  readonly notRun: readonly AuditCheck[];
  readonly memoryMap: readonly MemoryRange[];
  readonly counts: MachineCounts;
  readonly endedAt: number;
  readonly instructions: number;
  /** Accesses to registers of the hypervisor, but for its clock, and hypercalls. */
  readonly touches: number;
  /** The text screen, and the last of the serial line. */
  readonly screen: readonly string[];
}

/** Run. @throws BadEmulator, BadPcProgram, RangeError; and what is a mistake in the simulator */
export async function runPcFlow(options: PcFlowOptions): Promise<PcReport> {
  return (await makePcFlow(options)).run();
}

/** The same before anything has run. @throws BadEmulator, BadPcProgram, RangeError */
export async function makePcFlow(options: PcFlowOptions): Promise<PcFlow> {
  let pc: Pc | undefined;
  const stages = new PcStages(() => pc!.machine);
  const { parts, kernel, host } = options;
  pc = await Pc.create(parts, kernel, host, stages);
  options.onReady?.(pc);
  return new PcFlow(pc, stages, options);
}

export class PcFlow {
  /** Called before each slice: here snapshots are taken. */
  onSlice: (() => void) | undefined;
  /** The emulator could not go on, and was left in the middle. */
  panicked = false;
  readonly #pc: Pc;
  readonly #stages: PcStages;
  readonly #options: PcFlowOptions;
  #limits: PcLimits;
  readonly #life: PcLife;
  #nextLook = 0;
  /** Resets that are done. */
  #resets = 0;
  // The script
  readonly #steps: ScriptStep[];
  #patience = EXPECT_SECONDS;
  #waitsSince = 0;
  // Keys that are still to be typed
  #keys: string;
  #nextKey = 0;
  #memoryMap: readonly MemoryRange[] = [];

  constructor(pc: Pc, stages: PcStages, options: PcFlowOptions) {
    this.#pc = pc;
    this.#stages = stages;
    this.#options = options;
    this.#life = new PcLife(pc);
    this.#limits = { ...PC_LIMITS, ...options.limits };
    this.#steps = [...(options.script ?? [])];
    this.#keys = options.keys ?? '';
    pc.console.onLine = options.onLine;
    stages.onStage = options.onStage;
  }

  /** Take it down with its PC. @throws SnapshotError as {@link Pc.saveState} */
  saveState(...others: readonly Saved[]): Restore {
    return this.#pc.saveState(this, this.#stages, ...others);
  }

  /** Bytes that the last {@link saveState} has beyond the one before, about. */
  get savedBytes(): number {
    return this.#pc.emulator.savedBytes;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#nextLook], (v) => ([this.#nextLook] = v));
    keeper.put([this.#resets, this.#patience], (v) => ([this.#resets, this.#patience] = v));
    keeper.put([this.#waitsSince, this.#keys], (v) => ([this.#waitsSince, this.#keys] = v));
    keeper.put([this.#nextKey, this.#memoryMap], (v) => ([this.#nextKey, this.#memoryMap] = v));
    keeper.put([this.#limits, this.panicked], (v) => ([this.#limits, this.panicked] = v));
    keeper.keep(this.#steps, this.#life);
  }

  /** From now on it is ended elsewhere. */
  limit(limits: Partial<PcLimits>): void {
    this.#limits = { ...PC_LIMITS, ...limits };
  }

  /** Run to its end; after a state was put back, from there. */
  run(): PcReport {
    let ending = this.#ended();
    while (ending === undefined) {
      this.onSlice?.();
      const slice = this.#attempt();
      ending = typeof slice === 'string' ? this.#ended(slice === 'halted') : slice;
    }
    const ended = this.#awaiting(ending);
    this.#pc.console.finish();
    const endedAt = this.#pc.machine.clock.now;
    const counts = countMachine(this.#pc.machine);
    const late = this.#finish(ended.end);
    const report = { ...this.#report(ended, late), endedAt, counts };
    const verdict = pcVerdict(report, this.#options.strict === true);
    tellVerdict(this.#pc.machine, verdict, report.notRun);
    return { ...report, verdict };
  }

  #attempt() {
    try {
      return this.#pc.run();
    } catch (error) {
      if (!(error instanceof PcPanic)) throw error;
      this.panicked = true;
      return { end: error.end, text: error.message };
    }
  }

  /** Why the run is at its end, if it is. */
  #ended(halted = false): PcEnding | undefined {
    const { now } = this.#pc.machine.clock;
    if (this.#options.alive?.(this.#life) === false) return { end: 'interrupted', text: '' };
    const script = now >= this.#nextLook || halted ? this.#look(now, halted) : undefined;
    if (script !== undefined) return script;
    // What was to be typed is typed, if anybody can still read it
    const isSaid = this.#steps.length === 0 && (this.#keys === '' || halted);
    if (this.#stages.bootMap !== undefined && isSaid) return { end: 'booted', text: '' };
    if (this.#stages.resets > this.#resets) return this.#reset();
    if (halted) return { end: 'halted', text: 'no interrupt can wake it' };
    const overdue = this.#options.overdue?.();
    if (overdue !== undefined) return { end: 'wall', text: overdue };
    return this.#life.ended(this.#limits, this.#isWaiting ? this.#patience : 0);
  }

  /** The script waits for something, for as long as it says. */
  get #isWaiting(): boolean {
    const [step] = this.#steps;
    return step?.step === 'expect' || step?.step === 'boot';
  }

  #reset(): PcEnding | undefined {
    this.#resets = this.#stages.resets;
    this.#options.onReset?.();
    this.#stages.leave('power-off');
    this.#pc.machine.reset();
    if (this.#resets > this.#limits.resets) return { end: 'reset', text: 'it asked for it' };
    if (this.#options.scriptAnew === true) this.#rewind();
    this.#pc.reboot();
    return undefined;
  }

  /** The script and the keys from their beginning: what the console has said before is past. */
  #rewind(): void {
    const { script = [], keys = '' } = this.#options;
    this.#steps.splice(0, Infinity, ...script);
    this.#patience = EXPECT_SECONDS;
    this.#waitsSince = this.#pc.machine.clock.now;
    this.#keys = keys;
    this.#nextKey = 0;
    this.#pc.console.forget();
  }

  /** Look at the console: signs of life, steps of the script, keys. */
  #look(now: number, halted: boolean): PcEnding | undefined {
    this.#nextLook = now + LOOK_MS * TICKS_PER_MS;
    this.#life.look();
    this.#type(now);
    return this.#script(now, halted);
  }

  #type(now: number): void {
    if (this.#keys === '' || now < this.#nextKey) return;
    if (this.#nextKey === 0 && this.#life.quietTicks(now) < QUIET_MS * TICKS_PER_MS) return;
    const [key = '', ...rest] = this.#keys;
    this.#pc.console.type(key);
    this.#keys = rest.join('');
    this.#nextKey = now + KEY_MS * TICKS_PER_MS;
  }

  #script(now: number, halted: boolean): PcEnding | undefined {
    const { console } = this.#pc;
    for (let step = this.#steps[0]; step !== undefined; step = this.#steps[0]) {
      if (step.step === 'within') this.#patience = step.seconds;
      else if (step.step === 'end') this.#steps.length = 1;
      else if (step.step === 'send') console.send(step.text);
      else if (step.step === 'type') {
        if (this.#keys === '') this.#nextKey = Math.max(1, this.#nextKey);
        this.#keys += step.text;
      } else if (step.step === 'boot' ? !this.#booted : !console.find(step.text)) {
        if (now - this.#waitsSince < this.#patience * 1000 * TICKS_PER_MS) return undefined;
        return { end: 'expected', text: `${missing(step)} within ${this.#patience} s` };
      }
      this.#waitsSince = now;
      this.#steps.shift();
    }
    // What was to be typed is typed
    const done = this.#steps.length === 0 && (this.#keys === '' || halted);
    if (!done || !this.#isScripted) return undefined;
    return { end: this.#booted ? 'booted' : 'script', text: '' };
  }

  /** The boot program of the network runs. */
  get #booted(): boolean {
    return this.#stages.bootMap !== undefined;
  }

  get #isScripted(): boolean {
    return (this.#options.script?.length ?? 0) > 0;
  }

  /** The end of a run whose script still waits: it says so. */
  #awaiting(ended: PcEnding): PcEnding {
    const [step] = this.#steps;
    if (step?.step !== 'expect' && step?.step !== 'boot') return ended;
    if (ended.end === 'expected' || ended.end === 'interrupted') return ended;
    const text = missing(step);
    // Its own work is done, and what the script waits for is not there
    if (this.#booted && ended.end !== 'reset') {
      return { end: 'expected', text: `${text}, and the boot program runs` };
    }
    return { ...ended, text: `${ended.text}; of the script, ${text}` };
  }

  /** The last handoff, if there is one: to the boot program. Returns what late writes found. */
  #finish(end: PcEnd): Finding[] | undefined {
    const { machine } = this.#pc;
    const { bootMap } = this.#stages;
    if (bootMap === undefined || end === 'reset') {
      if (this.#stages.touched && end !== 'reset') this.#stages.leave('running');
      return undefined;
    }
    const { ram, grants } = machine.partition;
    this.#memoryMap = bootMap;
    this.#stages.handoff(bootMap);

    // The next owner fills its memory, and the host writes to all that it still has
    const pattern = new MemoryPattern(
      ram,
      bootMap.filter((range) => fits(range, ram.size)),
    );
    tellStage(machine, BOOT_PROGRAM);
    const held = grants.live();
    writeLate(machine);
    machine.run(LATE_MS * TICKS_PER_MS);
    const found = auditPattern(pattern, 'by late writes of the host', held, (grant) =>
      describeGrant(grant, this.#memoryMap, []),
    );
    tellFindings(machine, BOOT_PROGRAM, found);
    return found;
  }

  /** What nobody has had an occasion for; all of it, if nobody has handed over. */
  #notRun(isTried: boolean): readonly AuditCheck[] {
    if (!this.#stages.stages.some(isAudited)) return Object.keys(AUDIT_CHECKS) as AuditCheck[];
    return isTried ? NOT_RUN : [...NOT_RUN, 'late-writes'];
  }

  #report(
    { end, text }: PcEnding,
    late: Finding[] | undefined,
  ): Omit<PcReport, 'counts' | 'endedAt' | 'verdict'> {
    const { machine, board, console } = this.#pc;
    const { stages, touched, bootMap } = this.#stages;
    const first = stages.length <= 1;
    const findings = stages.flatMap(({ name, findings: own }) =>
      own.map((each) => (first ? each : { ...each, text: `${name}: ${each.text}` })),
    );
    const clients = machine.vmbus.inspect().clients;
    const history = clients.flatMap((client) => client.history);
    const accepted = history.filter(({ outcome }) => outcome === 'accepted');
    return {
      ...{ end, text, booted: bootMap !== undefined && end !== 'reset', untouched: !touched },
      refusedVersions:
        accepted.length > 0 ? [] : [...new Set(history.map(({ version }) => version))],
      vmbusVersions: [...new Set(accepted.map(({ version }) => version))],
      stages,
      findings: [...findings, ...(late ?? [])],
      notRun: this.#notRun(late !== undefined),
      memoryMap: this.#memoryMap,
      ...{ instructions: board.instructions, touches: board.touches },
      screen: [...console.screen, console.serialRest].filter((line) => line !== ''),
    };
  }
}

/** What a step waits for. */
function missing(
  step: ScriptStep & { readonly step: 'expect' | 'boot' | 'type' | 'send' },
): string {
  if (step.step === 'boot') return `line ${step.line}: the boot program does not run`;
  return `line ${step.line}: ${JSON.stringify(step.text)} has not come`;
}

/** Whether a range is RAM as a whole. */
function fits({ address, length }: MemoryRange, size: number): boolean {
  return address + length <= size;
}

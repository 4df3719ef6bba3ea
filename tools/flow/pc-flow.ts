// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A run of a PC: from its BIOS to the end of a script, to the boot program that the network offers,
 * or to where nothing goes on. Each handoff on the way is audited; the last owner's memory is tried
 * with late writes of the host if the boot program says what it has.
 */

import type { MemoryRange } from '../../src/machine.ts';
import { Pc, type PcHost } from '../guests/pc/pc.ts';
import { PcPanic, type PcParts } from '../guests/pc/pc-emulator.ts';
import type { PcKernel } from '../guests/pc/pc-kernel.ts';
import type { AuditCheck, Finding } from '../simulator/audit/audit-findings.ts';
import { describeGrant } from '../simulator/audit/audit-pages.ts';
import { MemoryPattern, auditPattern, writeLate } from '../simulator/audit/late-writes.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { countMachine, type MachineCounts } from './counts.ts';
import { tellFindings, tellStage, tellVerdict } from './flow-events.ts';
import { PcStages, type PcStage } from './pc-stages.ts';
import type { ScriptStep } from './pc-script.ts';
import { pcVerdict, type PcEnd, type PcVerdict } from './pc-verdict.ts';

/** When a run is ended. */
export interface PcLimits {
  /** Time of the PC in all, in seconds. */
  readonly seconds: number;
  /** Without any sign of life: seconds of its time, and instructions. */
  readonly silentSeconds: number;
  readonly silentInstructions: number;
  /** Instructions in all; accesses to registers and hypercalls in all. */
  readonly instructions: number;
  readonly touches: number;
  /** Resets after which it goes on. */
  readonly resets: number;
}

export const PC_LIMITS: PcLimits = {
  seconds: 3600,
  silentSeconds: 90,
  silentInstructions: 6_000_000_000,
  instructions: Infinity,
  touches: Infinity,
  resets: 0,
};

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
  /** Warnings of the audit count. */
  readonly strict?: boolean;
  readonly onLine?: (text: string, source: 'screen' | 'serial') => void;
  readonly onStage?: (stage: PcStage) => void;
  /** Called when the PC is there, before it runs. */
  readonly onReady?: (pc: Pc) => void;
  /** The PC has asked for a reset: called before the host sees it. */
  readonly onReset?: () => void;
  /** A sign of life, for each slice; false ends the run. */
  readonly alive?: () => boolean;
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
  let pc: Pc | undefined;
  const stages = new PcStages(() => pc!.machine);
  const { parts, kernel, host } = options;
  pc = await Pc.create(parts, kernel, host, stages);
  options.onReady?.(pc);
  return new PcFlow(pc, stages, options).run();
}

class PcFlow {
  readonly #pc: Pc;
  readonly #stages: PcStages;
  readonly #options: PcFlowOptions;
  readonly #limits: PcLimits;
  /** When something came last, in ticks and in instructions. */
  #lastSign = { bytes: 0, touches: 0, at: 0, instructions: 0 };
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
    this.#limits = { ...PC_LIMITS, ...options.limits };
    this.#steps = [...(options.script ?? [])];
    this.#keys = options.keys ?? '';
    pc.console.onLine = options.onLine;
    stages.onStage = options.onStage;
  }

  run(): PcReport {
    let ended = this.#ended();
    while (ended === undefined) {
      const slice = this.#attempt();
      ended = typeof slice === 'string' ? this.#ended(slice === 'halted') : slice;
    }
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
      return { end: 'triple-fault', text: `v86 has no more for it (${error.message})` } as const;
    }
  }

  /** Why the run is at its end, if it is. */
  #ended(halted = false): { end: PcEnd; text: string } | undefined {
    const { machine, board } = this.#pc;
    const { now } = machine.clock;
    if (this.#options.alive?.() === false) return { end: 'interrupted', text: '' };
    const script = now >= this.#nextLook || halted ? this.#look(now) : undefined;
    if (script !== undefined) return script;
    if (this.#stages.bootMap !== undefined && this.#steps.length === 0) {
      return { end: 'booted', text: '' };
    }
    if (this.#stages.resets > this.#resets) return this.#reset();
    if (halted) return { end: 'halted', text: 'no interrupt can wake it' };
    const { seconds, silentSeconds, silentInstructions, instructions: most } = this.#limits;
    if (now > seconds * 1000 * TICKS_PER_MS) return { end: 'time', text: `${seconds} s` };
    const { at, instructions } = this.#lastSign;
    if (board.instructions - instructions > silentInstructions) {
      return { end: 'loop', text: `${Math.round(silentInstructions / 1e6)} million instructions` };
    }
    if (board.instructions > most) {
      return { end: 'loop', text: `${Math.round(most / 1e6)} million instructions in all` };
    }
    if (board.touches > this.#limits.touches) {
      return { end: 'loop', text: `${this.#limits.touches} accesses to the hypervisor in all` };
    }
    if (now - at > silentSeconds * 1000 * TICKS_PER_MS) {
      return { end: 'silent', text: `${silentSeconds} s` };
    }
    return undefined;
  }

  #reset(): { end: PcEnd; text: string } | undefined {
    this.#resets = this.#stages.resets;
    this.#options.onReset?.();
    this.#stages.leave('power-off');
    this.#pc.machine.reset();
    if (this.#resets > this.#limits.resets) return { end: 'reset', text: 'it asked for it' };
    this.#pc.reboot();
    return undefined;
  }

  /** Look at the console: signs of life, steps of the script, keys. */
  #look(now: number): { end: PcEnd; text: string } | undefined {
    const { console, board } = this.#pc;
    this.#nextLook = now + LOOK_MS * TICKS_PER_MS;
    console.look();
    const { bytes } = console;
    const { touches } = board;
    if (bytes !== this.#lastSign.bytes || touches !== this.#lastSign.touches) {
      this.#lastSign = { bytes, touches, at: now, instructions: board.instructions };
    }
    this.#type(now);
    return this.#script(now);
  }

  #type(now: number): void {
    if (this.#keys === '' || now < this.#nextKey) return;
    if (this.#nextKey === 0 && now - this.#lastSign.at < QUIET_MS * TICKS_PER_MS) return;
    const [key = '', ...rest] = this.#keys;
    this.#pc.console.type(key);
    this.#keys = rest.join('');
    this.#nextKey = now + KEY_MS * TICKS_PER_MS;
  }

  #script(now: number): { end: PcEnd; text: string } | undefined {
    const { console } = this.#pc;
    for (let step = this.#steps[0]; step !== undefined; step = this.#steps[0]) {
      if (step.step === 'within') this.#patience = step.seconds;
      else if (step.step === 'end') return { end: 'script', text: '' };
      else if (step.step === 'send') console.send(step.text);
      else if (step.step === 'type') {
        if (this.#keys === '') this.#nextKey = Math.max(1, this.#nextKey);
        this.#keys += step.text;
      } else if (!console.find(step.text)) {
        if (now - this.#waitsSince < this.#patience * 1000 * TICKS_PER_MS) return undefined;
        const text = `line ${step.line}: ${JSON.stringify(step.text)} has not come`;
        return { end: 'expected', text: `${text} within ${this.#patience} s` };
      }
      this.#waitsSince = now;
      this.#steps.shift();
      if (this.#steps.length === 0 && this.#options.script!.length > 0) {
        return { end: 'script', text: '' };
      }
    }
    return undefined;
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

  #report(
    { end, text }: { end: PcEnd; text: string },
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
      notRun: late === undefined ? [...NOT_RUN, 'late-writes'] : NOT_RUN,
      memoryMap: this.#memoryMap,
      ...{ instructions: board.instructions, touches: board.touches },
      screen: [...console.screen, console.serialRest].filter((line) => line !== ''),
    };
  }
}

/** Whether a range is RAM as a whole. */
function fits({ address, length }: MemoryRange, size: number): boolean {
  return address + length <= size;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A chain of kernels, each of which hands the machine to the next: by kexec, or by a crash to the
 * crash kernel. Before each of them the handoff is audited, all memory that it was promised is
 * filled with a pattern, and the host writes to whatever it still holds.
 */

import type { FirmwareEvent } from '../../src/events.ts';
import type { MemoryRange } from '../../src/machine.ts';
import { bootKernel, reportOf, type BootFailure } from '../os/loaded-os.ts';
import type { OsBug } from '../os/os-bugs.ts';
import { crash, kexec, type KernelEnd, type KernelHole } from '../os/os-end.ts';
import { OsKernel } from '../os/os-kernel.ts';
import type { NetvscBuffers } from '../os/os-netvsc-buffers.ts';
import { KernelPanic, type PanicPoint } from '../os/os-panic.ts';
import type { LinuxName } from '../os/os-versions.ts';
import { OF_CONNECTION, type Finding } from '../simulator/audit/audit-findings.ts';
import { describeGrant } from '../simulator/audit/audit-pages.ts';
import { auditBaseline, inherited, NO_BASELINE } from '../simulator/audit/audit-baseline.ts';
import { auditHandoff, type AuditOptions } from '../simulator/audit/audit.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { without, type Piece } from '../simulator/base/memory-pieces.ts';
import type { Grant } from '../simulator/ledger/grants.ts';
import { MemoryPattern, auditPattern, writeLate } from '../simulator/audit/late-writes.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { contactsHeeded } from '../simulator/vmbus-server/inspection.ts';
import { crashExit, type KernelStep } from './flow-steps.ts';
import { tellHandoff, tellStage } from './flow-events.ts';
import { auditOs, osStart } from './os-findings.ts';
import { RESIDENT_PURPOSE } from './san-boot.ts';
import type { FlowStage, GuestRunner, StageEnd } from './stage.ts';
import { LivePages } from './live-pages.ts';

/** How long the host goes on after its late writes, in ms. */
const SETTLE_MS = 1000;

/** Memory that a handoff may keep and still hands on nearly all: this part of it. */
const LOST_PART = 16;

/** When memory was damaged that a kernel was promised. */
const LATE_WRITES = 'by late writes of the host';

/** A kernel of the chain. */
export interface KernelPlan {
  /** Name of the stage, if it is not the usual one. */
  readonly name?: string;
  readonly end: Exclude<StageEnd, 'handoff' | 'quiesce'>;
  /** What it gets wrong. */
  readonly bugs?: readonly OsBug[];
  /** Processors that it brings online; default all. */
  readonly online?: readonly number[];
  /** Processor that it crashes on; by default the last. */
  readonly crashVp?: number;
  /** Where it crashes while it comes up, with `end: 'crash'`; by default once it is up. */
  readonly panicAt?: PanicPoint;
  /** It crashes at the very end of a kexec, when that has unloaded. */
  readonly kexecFirst?: boolean;
  /** It cleans up in a kexec on arm64, too, where no Linux does: it is a loader. */
  readonly orderly?: boolean;
  /** How large its buffers are. */
  readonly buffers?: NetvscBuffers;
  /** Called when it is up, before it ends: to put the host into some state. */
  readonly beforeEnd?: (machine: SimulatedMachine) => void;
}

export interface ChainOptions {
  readonly machine: SimulatedMachine;
  /** What the first kernel was handed. */
  readonly memoryMap: readonly MemoryRange[];
  /** Memory that is reserved in the map but that the first kernel uses: its image. */
  readonly inUse?: AuditOptions['inUse'];
  readonly kernels: readonly KernelPlan[];
  readonly guest: GuestRunner;
  readonly events?: ((stage: string, event: FirmwareEvent) => void) | undefined;
  /** Processor that the first kernel starts on. Default 0. */
  readonly vp?: number;
  /**
   * When the one that hands over to the first kernel got the machine, in ticks: what is older is
   * an earlier owner's. By default all is its own.
   */
  readonly ownedSince?: number;
  /** Which Linux the kernels are. */
  readonly linux?: LinuxName | undefined;
  /** See {@link FlowOptions.searchesAll}. */
  readonly searchesAll?: boolean | undefined;
  /** Who was there before stays in memory, and goes on with what it shares once it is asked. */
  readonly resident?: boolean;
  /** Called with what each kernel finds in memory. */
  readonly onPattern?: (pattern: MemoryPattern) => void;
}

/** The kernels of a flow: one, and one more after each step; the last shuts down. */
export function kernelsFor(steps: readonly KernelStep[]): KernelPlan[] {
  const kernels = steps.map((step): KernelPlan => {
    if (step === 'kexec') return { end: step };
    const exit = crashExit(step);
    return { end: 'crash', ...(exit === undefined ? {} : { panicAt: { exit } }) };
  });
  // A crash kernel writes its dump, and then the VM is reset
  kernels.push({ end: kernels.at(-1)?.end === 'crash' ? 'power-off' : 'shutdown' });
  return kernels;
}

/** Run the chain. */
export function runOsChain(options: ChainOptions): FlowStage[] {
  return new OsChain(options).run();
}

/** What a kernel takes over from the one before it. */
interface Inheritance {
  readonly memoryMap: readonly MemoryRange[];
  readonly inUse: NonNullable<AuditOptions['inUse']>;
  readonly vp: number;
  /** How it got the machine. After a crash it uses the processor that it starts on alone. */
  readonly by: 'boot' | 'kexec' | 'crash' | 'reset';
  /** Why the one before could clean up only in part. */
  readonly hole?: KernelHole | undefined;
}

class OsChain {
  readonly #options: ChainOptions;
  readonly #machine: SimulatedMachine;
  #findings: Finding[] = [];
  /** The stage that runs. */
  #name = '';
  /** What the last kernel found in memory. */
  #pattern: MemoryPattern | undefined;
  /** What was there before this kernel came, and how many contacts there had been. */
  #since = NO_BASELINE;
  #contacts = 0;

  /** What is older than this is of who had the machine before all of these. */
  get #ownedSince(): number {
    return this.#options.ownedSince ?? NO_BASELINE.at;
  }

  constructor(options: ChainOptions) {
    this.#options = options;
    this.#machine = options.machine;
  }

  run(): FlowStage[] {
    try {
      return this.#run();
    } finally {
      this.#pattern?.end();
    }
  }

  #run(): FlowStage[] {
    const { memoryMap, inUse = [], vp = 0, kernels } = this.#options;
    const stages: FlowStage[] = [];
    let taken: Inheritance | undefined = { memoryMap, inUse, vp, by: 'boot' };
    let crashes = 0;
    for (const [index, plan] of kernels.entries()) {
      if (taken === undefined) break;
      if (taken.by === 'crash') crashes++;
      const name = plan.name ?? stageName(index, taken, crashes);
      this.#findings = [];
      const { os, next } = this.#runKernel(name, plan, taken);
      const endedAt = this.#machine.clock.now;
      stages.push({ name, os, end: plan.end, endedAt, findings: this.#findings });
      taken = next;
    }
    return stages;
  }

  /** Run one kernel from taking over to the end of its handing over. */
  #runKernel(name: string, plan: KernelPlan, taken: Inheritance) {
    const { guest } = this.#options;
    const start = osStart(this.#machine);
    this.#since = auditBaseline(this.#machine);
    this.#contacts = contactsHeeded(this.#machine.vmbus.inspect());
    tellStage(this.#machine, (this.#name = name));
    const live = new LivePages(this.#machine, this.#options.resident === true);
    const pattern = this.#fill(taken);
    const written = writeLate(this.#machine);
    this.#damage(pattern, taken, written, LATE_WRITES);
    live.restore();
    this.#machine.run(SETTLE_MS * TICKS_PER_MS);
    this.#damage(pattern, taken, written, LATE_WRITES);

    // Boot, and what the kernel says of it
    const kernel = this.#makeKernel(name, plan, taken, pattern);
    const booted = guest(name, () => ({ failure: bootOrPanic(kernel) }));
    const ran = `while the ${name} ran`;
    if (booted === undefined) {
      this.#damage(pattern, taken, written, ran);
      return { os: undefined, next: undefined };
    }

    // The end: a kernel that did not come up has nothing to hand over, but it can crash
    const { failure } = booted;
    const up = failure === undefined || failure === 'panic';
    if (failure !== 'panic') plan.beforeEnd?.(this.#machine);
    const ended = up ? guest(name, () => this.#end(kernel, plan, taken)) : undefined;
    this.#damage(pattern, taken, written, ran);
    if (failure === 'panic') {
      return { os: reportOf(kernel, undefined, false), next: ended?.next };
    }
    const os = reportOf(kernel, failure, plan.end === 'shutdown');
    const cramped = kernel.ram.exhausted && (taken.by !== 'boot' || this.#handsOnAll(taken));
    this.#findings.push(...auditOs(os, this.#machine, start, cramped, this.#ownedSince));
    return { os, next: ended?.next };
  }

  /** Whether a kernel was handed nearly all memory that there is: how much is nobody's fault. */
  #handsOnAll({ memoryMap, inUse }: Inheritance): boolean {
    const given = usableOf(this.#machine.bootSeam.memoryMap);
    const own = memoryMap.filter(({ purpose }) => purpose === RESIDENT_PURPOSE);
    const lost = without(given, [...usableOf(memoryMap), ...inUse, ...own]);
    return bytesOf(lost) <= bytesOf(given) / LOST_PART;
  }

  #fill({ memoryMap, inUse }: Inheritance): MemoryPattern {
    const { ram, grants } = this.#machine.partition;
    const { searchesAll, onPattern } = this.#options;
    this.#pattern?.end();
    const pattern = new MemoryPattern(ram, memoryMap, searchesAll === true ? undefined : grants);
    this.#pattern = pattern;
    onPattern?.(pattern);
    for (const { address, length } of inUse) pattern.keep(address, length);
    return pattern;
  }

  #damage(
    pattern: MemoryPattern,
    { memoryMap, inUse, hole }: Inheritance,
    written: readonly Grant[],
    when: string,
  ): void {
    const describe = (grant: Grant) => describeGrant(grant, memoryMap, inUse);
    const damage = auditPattern(pattern, when, written, describe);
    this.#findings.push(
      ...damage
        .map((finding) => withinHole(finding, hole))
        .map((finding) =>
          finding.pages !== undefined && finding.pages.sharedAt <= this.#ownedSince
            ? inherited(finding)
            : finding,
        ),
    );
  }

  #makeKernel(
    name: string,
    plan: KernelPlan,
    { memoryMap, vp, by }: Inheritance,
    pattern: MemoryPattern,
  ): OsKernel {
    const { events, linux } = this.#options;
    const online = by === 'crash' ? [vp] : plan.online;
    return new OsKernel({
      processors: this.#machine.seams,
      memoryMap,
      vp,
      crashKernel: plan.end === 'crash',
      ...(linux === undefined ? {} : { linux }),
      ...(plan.buffers === undefined ? {} : { buffers: plan.buffers }),
      ...(plan.panicAt === undefined ? {} : { panicAt: plan.panicAt }),
      onAllocate: (address, length) => pattern.exclude(address, length),
      ...(online === undefined ? {} : { online }),
      ...(plan.bugs === undefined ? {} : { bugs: plan.bugs }),
      ...(events === undefined ? {} : { events: (event) => events(name, event) }),
    });
  }

  /** End a kernel, and audit what it leaves. */
  #end(
    kernel: OsKernel,
    plan: KernelPlan,
    taken: Inheritance,
  ): { readonly next: Inheritance | undefined } {
    const vp = plan.crashVp ?? kernel.processors.at(-1)!.index;
    const handOver = (end: KernelEnd, kind: 'kexec' | 'crash', to: number) =>
      this.#handOver(kernel, end, taken, { kind, vp: to });
    switch (plan.end) {
      case 'kexec':
        return handOver(kexec(kernel, plan.orderly), 'kexec', kernel.vp);
      case 'crash': {
        if (plan.kexecFirst) kexec(kernel);
        const end = crash(kernel, vp);
        // Without memory for a crash kernel there is none: the VM is reset
        if (kernel.ram.crashKernel === undefined) return this.#reset('panic');
        return handOver(end, 'crash', vp);
      }
      case 'panic':
        crash(kernel, vp);
        return this.#reset(plan.end);
      case 'power-off':
        return this.#reset(plan.end);
      default:
        kernel.shutdown();
        tellHandoff(this.#machine, this.#name, 'shutdown', taken.memoryMap);
        return { next: undefined };
    }
  }

  /** Audit what a kernel leaves to the next one. */
  #handOver(
    { processors }: OsKernel,
    { memoryMap, hole: own }: KernelEnd,
    taken: Inheritance,
    options: AuditOptions & { readonly kind: 'kexec' | 'crash'; readonly vp: number },
  ): { readonly next: Inheritance } {
    tellHandoff(this.#machine, this.#name, options.kind, memoryMap);
    const audit = auditHandoff(this.#machine, memoryMap, { ...options, since: this.#since });
    // Who has not contacted the host has no connection but that of the one before
    const untouched = contactsHeeded(this.#machine.vmbus.inspect()) === this.#contacts;
    const hole = untouched && taken.hole?.connected === true ? taken.hole : own;
    this.#findings.push(
      ...audit.map((finding) => {
        const vp = processorOf(finding);
        const elsewhere = vp !== undefined && !processors.some(({ index }) => index === vp);
        const judged = withinHole(finding, elsewhere ? NOT_ITS_PROCESSOR : hole);
        return untouched && judged.severity === 'error' && OF_CONNECTION.includes(finding.check)
          ? inherited(judged)
          : judged;
      }),
    );
    return { next: { memoryMap, inUse: [], vp: options.vp, by: options.kind, hole } };
  }

  /** The VM is reset: the host lets go of everything, whatever the guest did. */
  #reset(end: 'panic' | 'power-off'): { readonly next: Inheritance } {
    const { memoryMap } = this.#machine.bootSeam;
    this.#machine.reset();
    tellHandoff(this.#machine, this.#name, end, memoryMap);
    // The host itself must have let go; what the guest owed it is nobody's concern any more
    const since = auditBaseline(this.#machine);
    const left = auditHandoff(this.#machine, memoryMap, { since });
    this.#findings.push(...left.filter(({ severity }) => severity === 'error'));
    return { next: { memoryMap, inUse: [], vp: 0, by: 'reset' } };
  }
}

function usableOf(map: readonly MemoryRange[]): readonly MemoryRange[] {
  return map.filter(({ type }) => type === 'usable');
}

function bytesOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

function stageName(index: number, { by }: Inheritance, crashes: number): string {
  switch (by) {
    case 'crash':
      return crashes === 1 ? 'crash kernel' : `crash kernel ${crashes}`;
    case 'kexec':
      return `kexec ${index}`;
    default:
      return index === 0 ? 'OS' : 'OS after the reset';
  }
}

/** Boot a kernel, which may panic on its way. */
function bootOrPanic(kernel: OsKernel): BootFailure | 'panic' | undefined {
  try {
    return bootKernel(kernel);
  } catch (error) {
    if (error instanceof KernelPanic) return 'panic';
    throw error;
  }
}

/** Why a kernel with one of many processors leaves the others as the crashed one left them. */
const NOT_ITS_PROCESSOR: KernelHole = {
  reason: 'a crash kernel has no other processor than its own',
  connected: true,
};

/** The processor that a finding is about. */
function processorOf({ vp, text }: Finding): number | undefined {
  const named = vp === undefined ? / of VP (\d+)/.exec(text)?.[1] : undefined;
  return named === undefined ? vp : Number(named);
}

/** A finding as it is to be judged where a kernel could not clean up: a hole that is known. */
function withinHole(finding: Finding, hole: KernelHole | undefined): Finding {
  const { severity, known } = finding;
  if (hole === undefined || severity === 'info' || known !== undefined) return finding;
  if (!hole.connected && OF_CONNECTION.includes(finding.check)) return finding;
  const text = `${finding.text} (known: ${hole.reason})`;
  return { ...finding, severity: 'warning', known: 'crash-hole', text };
}

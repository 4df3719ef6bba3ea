// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One run: the flow with the faults of a plan, then everything that must hold afterwards, whatever
 * the host did. The same plan gives the same run; a run leaves nothing behind for the next one.
 */

import type { ServedBootResult as BootResult } from '../../src/services/boot-services.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import { MapAllocator, type PageAllocator } from '../../src/memory/allocator.ts';
import { isRefusal } from '../os/loaded-os.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { GuestCrash, GuestHang } from '../simulator/hypervisor/guest-end.ts';
import { SimulatedMachine } from '../simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../simulator/network/index.ts';
import type { NetworkOptions } from '../simulator/network/index.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import type { PlaceObserver } from './counter.ts';
import { Injector } from './injector.ts';
import { isNamed, runLoader, type DriverFirmware, type LoaderResult } from './loader.ts';
import { tryLateWrites } from './memory-trial.ts';
import { PageSource } from './page-source.ts';
import { isCut, type Plan } from './plan.ts';
import { PUSH_BOOT, pushDevices, pushMayDiffer } from './push-flow.ts';
import { ReadHistory, ReadWatch } from './read-watch.ts';
import { stackFrames } from './stack-frame.ts';
import { steppedMachine, type Step } from './stepped-machine.ts';
import { WatchedMemory } from './watched-memory.ts';

/** A firmware that can be explored: of its flows those that it exports. */
export interface ExploredFirmware extends Partial<DriverFirmware> {
  boot(machine: Machine, options?: object): BootResult;
  /** Boots what the host pushes. */
  readonly bootPushed?: ExploredFirmware['boot'];
}

/** Architecture of the explored guest. */
export type Architecture = 'x64' | 'arm64';

/** Guest RAM: two boots whose memory is not given back fit beside each other. */
const MEMORY = 3 << 20;

/** Length of the image: several blocks of TFTP, the last one short. */
const IMAGE_LENGTH = 8200;
const IMAGE_NAME = 'hypxe.img';

/**
 * Bounds of one guest. What every time limit of a boot comes to is far below them: a network that
 * never answers takes 155 000 pauses.
 */
const LIMITS = {
  virtualTicks: 3600 * 1000 * TICKS_PER_MS,
  pauses: 400_000,
  seamCalls: 2_000_000,
};

/** `crash` and `hang`: the guest came to an end; `finding`: anything else that must not be. */
export type FindingKind = 'finding' | 'crash' | 'hang';

/** What is wrong, and the same in general terms: findings with one cause are one finding. */
export interface RunFinding {
  readonly kind: FindingKind;
  readonly cause: string;
  readonly text: string;
}

export interface RunOutcome {
  readonly findings: readonly RunFinding[];
  /** Faults of the plan that the run came to. */
  readonly fired: number;
  readonly status: 'booted' | 'failed' | 'ended';
  /** Name of the error with which the boot failed, if it did. */
  readonly error: string | undefined;
  /** The firmware cannot run on this host at all. */
  readonly refused?: true;
  readonly steps: number;
}

type Result = BootResult | LoaderResult;

/** What the network of all runs is like. Plain data. */
export type NetworkHabits = Partial<Omit<NetworkOptions, 'files' | 'bootFile' | 'log'>>;

/** Runs plans, one after the other, on one piece of memory. */
export class Runner {
  readonly #firmware: ExploredFirmware;
  readonly #profile: HostProfile;
  readonly #memory = new ArrayBuffer(MEMORY);
  readonly #bytes = new Uint8Array(this.#memory);
  readonly #image: Uint8Array;
  readonly #history = new ReadHistory(MEMORY);
  readonly #heartbeat: Int32Array | undefined;
  readonly #architecture: Architecture;
  readonly #network: NetworkHabits;

  constructor(
    firmware: ExploredFirmware,
    profile: HostProfile,
    heartbeat?: Int32Array,
    architecture: Architecture = 'x64',
    network: NetworkHabits = {},
  ) {
    this.#firmware = firmware;
    this.#profile = profile;
    this.#architecture = architecture;
    this.#network = network;
    this.#heartbeat = heartbeat;
    this.#image = syntheticImage(IMAGE_LENGTH, 1);
  }

  /** Whether a flow can be run at all. */
  has(flow: Plan['flow']): boolean {
    const { bootPushed, createDriver } = this.#firmware;
    return flow === 'boot' || (flow === 'push' ? bootPushed : createDriver) !== undefined;
  }

  /** Run a plan. Throws only what is a mistake in the simulator or in the exploration. */
  run(plan: Plan, observer?: PlaceObserver): RunOutcome {
    this.#bytes.fill(0);
    const files = memoryFiles({ [IMAGE_NAME]: this.#image });
    const network = new Network({ files, bootFile: IMAGE_NAME, ...this.#network });
    const machine = new SimulatedMachine({
      memory: this.#memory,
      profile: this.#profile,
      architecture: this.#architecture,
      links: plan.flow === 'push' ? [] : [network.link(0)],
      devices: plan.flow === 'push' ? pushDevices(this.#image) : [],
      seed: 1,
      ...(this.#heartbeat === undefined ? {} : { heartbeat: this.#heartbeat }),
    });
    const findings: RunFinding[] = [];
    const report = (cause: string, text = cause, kind: FindingKind = 'finding'): void => {
      if (!findings.some((other) => other.cause === cause)) findings.push({ kind, cause, text });
    };
    const injector = new Injector(machine, plan, observer);
    const guest = new Guest(this.#firmware, machine, injector, this.#history, report);
    const result = guest.run(plan.flow, machine.bootSeam.memoryMap, true);
    const steps = injector.counter.counts.step;
    const refused = result !== undefined && isRefusal(result.error) && !connected(machine);
    injector.stop();
    if (result !== undefined) {
      this.#afterwards({ plan, machine, injector, result, guest, report });
    }
    return {
      findings,
      fired: injector.counter.fired.size,
      status: result === undefined ? 'ended' : result.status,
      error: result === undefined ? undefined : nameOf(result.error),
      ...(refused ? { refused } : {}),
      steps,
    };
  }

  /** What must hold once the guest has handed over, and the second boot. */
  #afterwards(run: Handoff): void {
    const { machine, injector, result, guest, report } = run;
    this.#checkResult(run.plan, result, report, 'boot');
    const reserved = result.memoryMap.some((r) => r.type === 'reserved' && !isImage(r, result));
    const faulty = run.plan.faults.some((fault) => !isCut(fault));
    // The state of the connection is the host's word against the guest's, if messages get lost
    const excused = (finding: Finding): boolean =>
      injector.hostLied || (faulty && reserved && finding.pages === undefined);
    this.#audit(machine, result, 'handoff', excused, report);
    if (!injector.hostLied) lateWrites(machine, result.memoryMap, report);

    // The next boot gets what the first one left, and a host that does nothing wrong
    const flow = run.plan.flow === 'push' ? 'push' : 'boot';
    const again = guest.run(flow, result.memoryMap, false);
    if (again === undefined) return;
    if (again.status !== 'booted') {
      const name = nameOf(again.error);
      report(`second boot fails: ${name}`, `second boot fails: ${name}: ${messageOf(again.error)}`);
    }
    this.#checkResult({ flow, faults: [] }, again, report, 'second boot');
    this.#audit(machine, again, 'second boot', () => injector.hostLied, report);
  }

  #checkResult(plan: Plan, result: Result, report: Report, which: string): void {
    if (result.status === 'failed' && result.error !== undefined && !isNamed(result.error)) {
      report(`${which}: the error has no name`, `${which}: ${String(result.error)}`);
    }
    const image = imageOf(result);
    if (result.status !== 'booted' || image === undefined) return;
    const { address, length } = image;
    const equal =
      length === this.#image.length && this.#image.every((b, i) => this.#bytes[address + i] === b);
    if (!equal && !pushMayDiffer(plan)) report(`${which}: the image is not what was served`);
  }

  #audit(
    machine: SimulatedMachine,
    result: Result,
    which: string,
    excused: (finding: Finding) => boolean,
    report: Report,
  ): void {
    const image = imageOf(result);
    const inUse = image === undefined ? [] : [image];
    for (const finding of auditHandoff(machine, result.memoryMap, { inUse })) {
      if (finding.severity !== 'error' || excused(finding)) continue;
      const text = `${which}: ${finding.check}: ${finding.text}`;
      report(withoutNumbers(text), text);
    }
  }
}

type Report = (cause: string, text?: string, kind?: FindingKind) => void;

interface Handoff {
  readonly plan: Plan;
  readonly machine: SimulatedMachine;
  readonly injector: Injector;
  readonly result: Result;
  readonly guest: Guest;
  readonly report: Report;
}

/** The guest of one run: each call of {@link run} is a boot on the same machine. */
class Guest {
  readonly #firmware: ExploredFirmware;
  readonly #machine: SimulatedMachine;
  readonly #injector: Injector;
  readonly #history: ReadHistory;
  readonly #report: Report;

  constructor(
    firmware: ExploredFirmware,
    machine: SimulatedMachine,
    injector: Injector,
    history: ReadHistory,
    report: Report,
  ) {
    this.#firmware = firmware;
    this.#machine = machine;
    this.#injector = injector;
    this.#history = history;
    this.#report = report;
  }

  /** Boot. Undefined if the guest crashed, hung or threw: then nothing else can be said of it. */
  run(flow: Plan['flow'], map: readonly MemoryRange[], watched: boolean): Result | undefined {
    const machine = this.#machine;
    const injector = this.#injector;
    const allocated = new Uint8Array(MEMORY / PAGE_SIZE);
    const { counter } = injector;
    const watch = new ReadWatch(this.#history, machine, counter, allocated);
    const memory = new WatchedMemory(machine.partition.ram.buffer, watch);
    const listener = {
      exit: () => {
        memory.remove();
        watch.exit();
        injector.exit();
      },
      step: (what: Step) => injector.step(what),
      get activity() {
        return injector.activity;
      },
    };
    const seam = steppedMachine(machine, map, listener, () => {
      if (watched) memory.install();
      return memory.buffer;
    });
    const pages = (allocator: PageAllocator): PageAllocator =>
      new PageSource(
        allocator,
        counter,
        allocated,
        () => machine.partition.grants.live(),
        (purpose, grant) => this.#freedEarly(purpose, grant.kind),
      );
    try {
      machine.partition.recover(LIMITS);
      const result = this.#start(flow, seam, map, pages);
      const ended = machine.partition.ended;
      if (ended !== undefined) throw ended;
      if (watch.outside !== undefined)
        this.#report('read outside of any allocation', watch.outside);
      return result;
    } catch (error) {
      this.#ended(error);
      return undefined;
    } finally {
      memory.remove();
      watch.stop();
    }
  }

  #start(
    flow: Plan['flow'],
    seam: Machine,
    map: readonly MemoryRange[],
    pages: (allocator: PageAllocator) => PageAllocator,
  ): Result {
    const cancel = (): boolean => this.#injector.cut;
    const { createDriver, boot, bootPushed } = this.#firmware;
    if (flow === 'loader' && createDriver !== undefined) {
      return runLoader({ createDriver }, seam, pages(new MapAllocator(map)), cancel);
    }
    if (flow === 'push' && bootPushed !== undefined) {
      return bootPushed(seam, { pages, cancel, ...PUSH_BOOT });
    }
    return boot(seam, { pages, cancel });
  }

  #freedEarly(purpose: string, kind: string): void {
    if (this.#injector.hostLied) return;
    this.#report(`${purpose} is freed while the host holds it (${kind})`);
  }

  #ended(error: unknown): void {
    const after = `after step ${this.#injector.counter.counts.step} (${this.#injector.lastStep})`;
    if (error instanceof GuestHang) {
      this.#report(`guest hang: ${error.limit}`, `${error.message}, ${after}`, 'hang');
      return;
    }
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    const guest = error instanceof GuestCrash;
    const what = guest ? message : `${name}: ${message}`;
    const cause = `${guest ? 'guest crash' : 'exception'}: ${withoutNumbers(what)}`;
    const at = guest || !(error instanceof Error) ? '' : ` at ${stackFrames(error, 0, 2)}`;
    this.#report(cause, `${what}${at}, ${after}`, 'crash');
  }
}

/** The next owner fills its memory, the host writes to whatever it still holds. */
function lateWrites(machine: SimulatedMachine, map: readonly MemoryRange[], report: Report): void {
  const { damagedPages, written } = tryLateWrites(machine, map);
  if (damagedPages === 0) return;
  const text = `${damagedPages} usable pages written by the host after the handoff`;
  const by = written.join(', ');
  report('usable memory written by the host after the handoff', `${text} (${by})`);
}

/** Whether the host has accepted a version of VMBus. */
function connected(machine: SimulatedMachine): boolean {
  return machine.vmbus.inspect().history.some(({ outcome }) => outcome === 'accepted');
}

function imageOf(result: Result) {
  return 'image' in result ? result.image : undefined;
}

function isImage(range: MemoryRange, result: Result): boolean {
  const image = imageOf(result);
  return image !== undefined && range.address === image.address;
}

function nameOf(error: unknown): string | undefined {
  return error instanceof Error ? error.name : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Findings that differ in numbers only have one cause. */
function withoutNumbers(text: string): string {
  return text
    .replace(/\{[0-9a-f-]{36}\}/g, '{…}')
    .replace(/0x[0-9a-f]+/g, '#')
    .replace(/\b[0-9]+\b/g, '#');
}

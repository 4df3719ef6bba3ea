// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One run: the flow with the faults of a plan, then everything that must hold afterwards, whatever
 * the host did. The same plan gives the same run; a run leaves nothing behind for the next one.
 */

import type { FirmwareEvent } from '../../src/events.ts';
import type { MemoryRange } from '../../src/machine.ts';
import { tellFindings, tellHandoff, tellStage, tellVerdict } from '../flow/flow-events.ts';
import { isRefusal } from '../os/loaded-os.ts';
import type { LinuxName } from '../os/os-versions.ts';
import { LEFTOVER_NAMES, leaveBehind } from '../os/previous-owner.ts';
import type { AuditCheck, Finding, HandoffKind } from '../simulator/audit/audit-findings.ts';
import { NO_BASELINE, auditBaseline } from '../simulator/audit/audit-baseline.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import { sameBytes } from '../simulator/base/same-bytes.ts';
import { machineFor } from '../guests/guest-machine.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import {
  combined,
  memoryFiles,
  Network,
  NETWORK_CONDITIONS,
  syntheticImage,
} from '../simulator/network/index.ts';
import type { NetworkOptions } from '../simulator/network/index.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { Beginnings, OS_PROCESSORS, runOsBefore, type Beginning } from './after-os.ts';
import type { PlaceObserver } from './counter.ts';
import {
  Guest,
  LIMITS,
  MEMORY,
  canWatch,
  type ExploredGuests,
  type FindingKind,
  type Report,
  type Result,
} from './explored-guest.ts';
import { messageOf, nameOf, withoutNumbers } from './finding-text.ts';
import { excusesAfter, excusesOf, REGISTER_CHECKS } from './excuses.ts';
import { Injector } from './injector.ts';
import { isNamed } from './loader.ts';
import { tryLateWrites } from './memory/memory-trial.ts';
import { ReadHistory } from './memory/read-watch.ts';
import { isRace, type Plan } from './plan.ts';
import { pushDevices, pushMayDiffer } from './push-flow.ts';
import { judgeRace } from './race-verdict.ts';

/** Architecture of the explored guest. */
export type Architecture = 'x64' | 'arm64';

/** Length of the image: several blocks of TFTP, the last one short. */
const IMAGE_LENGTH = 8200;
const IMAGE_NAME = 'hypxe.img';

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

/** Let a previous owner leave something, or everything. */
export function leave(machine: SimulatedMachine, what: string): void {
  machine.partition.recover(LIMITS);
  const names = what === 'all' ? LEFTOVER_NAMES : LEFTOVER_NAMES.filter((name) => name === what);
  leaveBehind(machine, new Set(names));
}

/** What the network of all runs is like. Plain data. */
export type NetworkHabits = Partial<Omit<NetworkOptions, 'files' | 'bootFile' | 'log'>>;

/** Puts a guest that writes down what it does in the place of one. */
export type RunRecorder = (guest: GuestInstance, machine: SimulatedMachine) => GuestInstance;

/** Who watches a run. Without, it comes to the same if the guest does not ask who hears it. */
export interface RunWatch {
  readonly record?: RunRecorder | undefined;
  /** The machine is there, and nothing has run yet: who listens to its events begins here. */
  readonly onMachine?: (machine: SimulatedMachine) => void;
  /** What the guest says: the event, which guest, and when, in ticks. */
  readonly events?: (event: FirmwareEvent, guest: string, now: number) => void;
}

/** Who has the machine in a run: its stages, as the stream of events has them. */
const STAGES = { boot: 'firmware', push: 'firmware', loader: 'loader' } as const;
const PREVIOUS_OWNER = 'previous owner';
/** ... and of the boot behind it. */
export const SECOND_BOOT = 'second boot';

/** The check that a finding is of which is none of the audit's. */
const OF_THE_RUN = 'run';

/** Checks of the audit that no run of an exploration makes. */
const NOT_MADE: readonly AuditCheck[] = ['next-os', 'rescind', 'omissions'];

/** Runs plans, one after the other, each guest in its own piece of memory. */
export class Runner {
  readonly #guests: ExploredGuests;
  readonly #profile: HostProfile;
  readonly #image: Uint8Array;
  readonly #history = new ReadHistory(MEMORY);
  readonly #heartbeat: Int32Array | undefined;
  readonly #architecture: Architecture;
  /** What a previous owner has left is not the guest's doing. */
  #since = NO_BASELINE;
  readonly #after: LinuxName | undefined;
  readonly #network: NetworkHabits;
  /** Look for damage in all of memory, instead of where the host is known to have written. */
  searchesAll = false;
  /** Let the OS run before each run, instead of going back to where it has gone. */
  startsAnew = false;
  readonly #beginnings = new Beginnings();
  /** What each flow is like without faults, once it has run. */
  readonly #flows = new Map<Plan['flow'], Usual>();

  /** @param after an OS that has the machine before each run */
  constructor(
    guests: ExploredGuests,
    profile: HostProfile,
    heartbeat?: Int32Array,
    architecture: Architecture = 'x64',
    after?: LinuxName,
    network: NetworkHabits = {},
  ) {
    this.#guests = guests;
    this.#profile = profile;
    this.#after = after;
    this.#network = network;
    this.#architecture = architecture;
    this.#heartbeat = heartbeat;
    this.#image = syntheticImage(IMAGE_LENGTH, 1);
  }

  /** Whether a flow can be run at all. */
  has(flow: Plan['flow']): boolean {
    const { boot, push } = this.#guests;
    return flow === 'boot' || (flow === 'push' ? push : boot.createDriver) !== undefined;
  }

  /** Run a plan. Throws only what is a mistake in the simulator or in the exploration. */
  run(
    plan: Plan,
    observer?: PlaceObserver,
    handedOver?: (now: number) => void,
    watch: RunWatch = {},
  ): RunOutcome {
    // Another run in the same memory: before this one begins
    const usual = plan.faults.length > 0 ? this.#usual(plan.flow) : undefined;
    const instance = plan.flow === 'push' ? this.#guests.push! : this.#guests.boot;
    instance.reset();
    const { machine, network, before } = this.#begin(plan, instance, watch);
    const findings: RunFinding[] = [];
    let stage: string = PREVIOUS_OWNER;
    const report: Report = (cause, text = cause, kind = 'finding', finding = undefined) => {
      if (!findings.some((other) => other.cause === cause)) findings.push({ kind, cause, text });
      else if (finding === undefined) return; // Mere words are told once
      tellFinding(machine, stage, finding ?? text);
    };
    const owner = plan.faults.filter(({ place }) => place === 'owner');
    if (this.#after === undefined && owner.length > 0) tellStage(machine, stage);
    for (const { argument } of owner) leave(machine, argument);
    this.#since = owner.length > 0 ? auditBaseline(machine) : NO_BASELINE;
    const injector = new Injector(machine, plan, observer);
    injector.counter.begin('owner', 'previous owner');
    if (plan.flow !== 'push') {
      injector.counter.begin('network', 'network');
      injector.nic(network);
    }
    const recorded = watch.record?.(instance, machine) ?? instance;
    const guest = new Guest(recorded, machine, injector, this.#history, report);
    const map = before?.memoryMap ?? machine.bootSeam.memoryMap;
    const excused = (handedOn: readonly MemoryRange[]) => {
      const { inherits } = guest;
      const judge = excusesOf({ machine, plan, injector, inherits, given: map, handedOn });
      return (finding: Finding): boolean => judge(finding) && tellExcused(machine, stage, finding);
    };
    const begin = (name: string): string => {
      tellStage(machine, (stage = name));
      const { events } = watch;
      guest.says = events && ((event) => events(event, name, machine.clock.now));
      return name;
    };
    const name = begin(STAGES[plan.flow]);
    guest.quiesced = (memoryMap) => {
      tellHandoff(machine, name, 'quiesce', memoryMap);
      this.#audit(machine, { memoryMap, kind: 'quiesce' }, 'quiesced', excused(memoryMap), report);
    };
    // A race that nobody sees would be a run without a fault
    const races = canWatch(instance) ? injector.races(this.#architecture) : [];
    const result = guest.run(plan.flow, map, true, races);
    const ranFor = machine.clock.now;
    handedOver?.(ranFor);
    const { step: steps } = injector.counter.counts;
    const refused = result !== undefined && isRefusal(result.error) && !connected(machine);
    injector.stop();
    if (result !== undefined) {
      tellHandoff(machine, name, 'handoff', result.memoryMap);
      const loads = imageOf(result) !== undefined;
      if (usual === undefined) this.#flows.set(plan.flow, { ticks: ranFor, loads });
      else if (plan.faults.every(isRace)) judgeRace(result, ranFor - usual.ticks, report);
      if (usual?.loads === true && !loads && result.status === 'booted')
        report('booted without an image');
      const run = { plan, machine, injector, result, guest, report, begin };
      this.#afterwards({ ...run, excused: excused(result.memoryMap) });
    }
    tellVerdict(machine, findings.length === 0 ? 'clean' : 'findings', NOT_MADE);
    return {
      findings,
      fired: injector.counter.fired.size,
      status: result === undefined ? 'ended' : result.status,
      error: result === undefined ? undefined : nameOf(result.error),
      ...(refused ? { refused, steps } : { steps }),
    };
  }

  /** The machine of a run, once the OS before it has gone. */
  #begin(plan: Plan, instance: GuestInstance, { onMachine }: RunWatch): Beginning {
    const make = (): Beginning => {
      const { machine, network } = this.#build(plan, instance);
      onMachine?.(machine);
      machine.partition.recover(LIMITS);
      if (this.#after !== undefined) tellStage(machine, PREVIOUS_OWNER);
      return { machine, network, before: this.#after && runOsBefore(machine, this.#after) };
    };
    // Of one that is watched all is told, and a network that differs is another one
    const own = onMachine !== undefined || plan.faults.some(({ place }) => place === 'network');
    if (this.#after === undefined || own || this.startsAnew) return make();
    return this.#beginnings.begin(plan.flow === 'push' ? 'push' : 'boot', instance.memory, make);
  }

  /** The machine of a run, in the RAM of its guest, and its network. */
  #build(plan: Plan, instance: GuestInstance) {
    const files = memoryFiles({ [IMAGE_NAME]: this.#image });
    const is = plan.faults.filter(({ place }) => place === 'network');
    const conditions = is.map(({ argument }) => NETWORK_CONDITIONS[argument]!);
    const habits = combined([this.#network, ...conditions]);
    const network = new Network({ files, bootFile: IMAGE_NAME, ...habits });
    const machine = machineFor(instance, {
      profile: this.#profile,
      architecture: this.#architecture,
      links: plan.flow === 'push' ? [] : [network.link(0)],
      devices: plan.flow === 'push' ? pushDevices(this.#image) : [],
      seed: 1,
      processors: this.#after === undefined ? 1 : OS_PROCESSORS,
      ...(this.#heartbeat === undefined ? {} : { heartbeat: this.#heartbeat }),
    });
    return { machine, network };
  }

  /** What a flow is like without faults. */
  #usual(flow: Plan['flow']): Usual {
    if (!this.#flows.has(flow)) this.run({ flow, faults: [] });
    // It has come to no end: tried once, it is not tried before each run
    const usual = this.#flows.get(flow) ?? { ticks: 0, loads: false };
    this.#flows.set(flow, usual);
    return usual;
  }

  /** What must hold once the guest has handed over, and the second boot. */
  #afterwards(run: Handoff): void {
    const { machine, injector, result, guest, report, excused } = run;
    this.#checkResult(machine, run.plan, result, report, 'boot');
    const { inherits } = guest;
    this.#audit(machine, result, 'handoff', excused, report);
    this.#since = { ...this.#since, uncompleted: auditBaseline(machine).uncompleted };
    if (!injector.hostLied && !inherits) this.#lateWrites(machine, result.memoryMap, report);

    // The next boot gets what the first one left, and a host that does nothing wrong
    run.begin(SECOND_BOOT);
    const flow = run.plan.flow === 'push' ? 'push' : 'boot';
    const again = guest.run(flow, result.memoryMap, false);
    if (again === undefined) return;
    tellHandoff(machine, SECOND_BOOT, 'handoff', again.memoryMap);
    if (again.status !== 'booted') {
      const name = nameOf(again.error);
      report(`second boot fails: ${name}`, `second boot fails: ${name}: ${messageOf(again.error)}`);
    }
    this.#checkResult(machine, { flow, faults: [] }, again, report, 'second boot');
    this.#audit(machine, again, 'second boot', excusesAfter(injector), report);
  }

  #checkResult(
    machine: SimulatedMachine,
    plan: Plan,
    result: Result,
    report: Report,
    which: string,
  ): void {
    if (result.status === 'failed' && result.error !== undefined && !isNamed(result.error)) {
      report(`${which}: the error has no name`, `${which}: ${String(result.error)}`);
    }
    const image = imageOf(result);
    if (result.status !== 'booted' || image === undefined) return;
    const { address, length } = image;
    const { contents: bytes } = machine.partition.ram;
    const equal = length === this.#image.length && sameBytes(bytes, this.#image, address);
    if (!equal && !pushMayDiffer(plan)) report(`${which}: the image is not what was served`);
  }

  /** The next owner fills its memory, the host writes to whatever it still holds. */
  #lateWrites(machine: SimulatedMachine, map: readonly MemoryRange[], report: Report): void {
    const { damagedPages, written } = tryLateWrites(machine, map, this.searchesAll);
    if (damagedPages === 0) return;
    const text = `${damagedPages} usable pages written by the host after the handoff`;
    const by = written.join(', ');
    report('usable memory written by the host after the handoff', `${text} (${by})`);
  }

  #audit(
    machine: SimulatedMachine,
    left: Left,
    which: string,
    excused: (finding: Finding) => boolean,
    report: Report,
  ): void {
    const { image, memoryMap, kind } = left;
    const inUse = image ? [image] : [];
    const options = { inUse, since: this.#since, ...(kind && { kind }) };
    for (const finding of auditHandoff(machine, memoryMap, options)) {
      if (!isWrong(finding) || excused(finding)) continue;
      const text = `${which}: ${finding.check}: ${finding.text}`;
      report(withoutNumbers(text), text, 'finding', finding);
    }
  }
}

/** An error; and a page that stays mapped though it is reserved: the host has not refused it. */
function isWrong({ severity, check, pages }: Finding): boolean {
  const mapped = pages !== undefined && REGISTER_CHECKS.includes(check);
  return severity === 'error' || (severity === 'warning' && mapped);
}

/** A flow without faults. */
interface Usual {
  /** How long it takes. */
  readonly ticks: number;
  /** Whether an image comes of it. */
  readonly loads: boolean;
}

/** What a guest leaves. */
interface Left {
  readonly memoryMap: readonly MemoryRange[];
  readonly image?: Omit<MemoryRange, 'type'> | undefined;
  readonly kind?: HandoffKind;
}

interface Handoff {
  readonly plan: Plan;
  readonly machine: SimulatedMachine;
  readonly injector: Injector;
  readonly result: Result;
  readonly guest: Guest;
  readonly report: Report;
  readonly excused: (finding: Finding) => boolean;
  /** A guest gets the machine. */
  readonly begin: (stage: string) => string;
}

/** Say on the stream of events what was found: of the audit, or by the run itself, in words. */
function tellFinding(machine: SimulatedMachine, stage: string, found: Finding | string): void {
  if (typeof found !== 'string') return tellFindings(machine, stage, [found]);
  if (!machine.events.on) return;
  const what = { kind: 'finding', check: OF_THE_RUN, severity: 'error' } as const;
  machine.events.emit({ ...what, stage, text: found });
}

/** ... and what would be one if the host had not made it impossible to do better: true. */
function tellExcused(machine: SimulatedMachine, stage: string, finding: Finding): true {
  if (!machine.events.on) return true;
  const text = `excused, as the host has made it impossible to do better: ${finding.text}`;
  tellFindings(machine, stage, [{ ...finding, severity: 'info', text }]);
  return true;
}

/** Whether the host has accepted a version of VMBus. */
function connected(machine: SimulatedMachine): boolean {
  return machine.vmbus.inspect().history.some(({ outcome }) => outcome === 'accepted');
}

function imageOf(result: Result) {
  return 'image' in result ? result.image : undefined;
}

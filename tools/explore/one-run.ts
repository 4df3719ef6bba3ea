// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A run under way: the flow with the faults of a plan, then everything that must hold afterwards,
 * whatever the host did. A run of a loader goes with a snapshot of its machine, between two stages.
 */

import type { FirmwareEvent } from '../../src/events.ts';
import type { MemoryRange } from '../../src/machine.ts';
import { tellFindings, tellHandoff, tellStage, tellVerdict } from '../flow/flow-events.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import { isRefusal } from '../os/loaded-os.ts';
import { LEFTOVER_NAMES, leaveBehind } from '../os/previous-owner.ts';
import type { AuditCheck, Finding, HandoffKind } from '../simulator/audit/audit-findings.ts';
import { NO_BASELINE, auditBaseline } from '../simulator/audit/audit-baseline.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import { sameBytes } from '../simulator/base/same-bytes.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';
import type { Architecture } from '../simulator/hypervisor/architecture.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { PlaceObserver } from './counter.ts';
import { excusesAfter, excusesOf, REGISTER_CHECKS } from './excuses.ts';
import {
  Guest,
  LIMITS,
  canWatch,
  type FindingKind,
  type Report,
  type Result,
} from './explored-guest.ts';
import { messageOf, nameOf, withoutNumbers } from './finding-text.ts';
import type { Beginning } from './forks/after-os.ts';
import { Injector } from './injector.ts';
import { isNamed } from './loader.ts';
import { tryLateWrites } from './memory/memory-trial.ts';
import type { ReadHistory } from './memory/read-watch.ts';
import { isRace, type Plan } from './plan.ts';
import { pushMayDiffer } from './push-flow.ts';
import { judgeRace } from './race-verdict.ts';

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

/** A flow without faults. */
export interface Usual {
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

/** Who has the machine in a run: its stages, as the stream of events has them. */
const STAGES = { boot: 'firmware', push: 'firmware', loader: 'loader' } as const;
export const PREVIOUS_OWNER = 'previous owner';
/** ... and of the boot behind it. */
export const SECOND_BOOT = 'second boot';

/** The check that a finding is of which is none of the audit's. */
const OF_THE_RUN = 'run';

/** Checks of the audit that no run of an exploration makes. */
const NOT_MADE: readonly AuditCheck[] = ['next-os', 'rescind', 'omissions'];

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

/** What a run is made of. */
export interface RunParts {
  readonly plan: Plan;
  readonly beginning: Beginning;
  readonly instance: GuestInstance;
  readonly architecture: Architecture;
  readonly history: ReadHistory;
  /** What is served. */
  readonly image: Uint8Array;
  readonly observer?: PlaceObserver | undefined;
  readonly watch: RunWatch;
  /** An OS has had the machine: whatever else an earlier owner has left comes on top. */
  readonly afterOs: boolean;
  /** Other plans go on from its borders: all places count. */
  readonly isTrunk: boolean;
}

export class OneRun implements Saved {
  plan: Plan;
  readonly machine: SimulatedMachine;
  readonly injector: Injector;
  readonly guest: Guest;
  /** What it is like, if it comes to its end. */
  came: Usual | undefined;
  /** Look for damage in all of memory, instead of where the host is known to have written. */
  searchesAll = false;
  readonly #parts: RunParts;
  readonly #map: readonly MemoryRange[];
  #findings: RunFinding[] = [];
  #stage: string = PREVIOUS_OWNER;
  /** What a previous owner has left is not the guest's doing. */
  #since = NO_BASELINE;

  constructor(parts: RunParts) {
    const { plan, beginning, instance, observer, watch } = parts;
    const { machine, network, before } = beginning;
    this.#parts = parts;
    this.plan = plan;
    this.machine = machine;
    const owner = plan.faults.filter(({ place }) => place === 'owner');
    if (!parts.afterOs && owner.length > 0) tellStage(machine, this.#stage);
    for (const { argument } of owner) leave(machine, argument);
    if (owner.length > 0) this.#since = auditBaseline(machine);
    const injector = new Injector(machine, plan, observer, parts.isTrunk);
    this.injector = injector;
    injector.counter.begin('owner', 'previous owner');
    if (plan.flow !== 'push') {
      injector.counter.begin('network', 'network');
      injector.nic(network);
    }
    const recorded = watch.record?.(instance, machine) ?? instance;
    this.guest = new Guest(recorded, machine, injector, parts.history, this.#report);
    this.#map = before?.memoryMap ?? machine.bootSeam.memoryMap;
  }

  /** For a snapshot at a border: all that may change. @throws SnapshotError as the guest does */
  saveTo(keeper: Keeper): void {
    keeper.put([this.plan, this.#findings], (v) => ([this.plan, this.#findings] = v));
    keeper.put([this.#stage, this.#since], (v) => ([this.#stage, this.#since] = v));
    keeper.put([this.came, this.searchesAll], (v) => ([this.came, this.searchesAll] = v));
    keeper.keep(this.injector, this.guest);
  }

  /** Another plan from now on: nothing that the last one has was due yet. */
  load(plan: Plan): void {
    this.plan = plan;
    this.injector.load(plan);
  }

  /** Run the flow from the start, and judge. @param usual what it is like without faults */
  run(usual: Usual | undefined, handedOver?: (now: number) => void): RunOutcome {
    const { plan, machine, injector, guest } = this;
    const name = this.#begin(STAGES[plan.flow]);
    guest.quiesced = (memoryMap) => {
      tellHandoff(machine, name, 'quiesce', memoryMap);
      this.#audit({ memoryMap, kind: 'quiesce' }, 'quiesced', this.#excused(memoryMap));
    };
    const { instance, architecture } = this.#parts;
    // A race that nobody sees would be a run without a fault
    const races = canWatch(instance) ? injector.races(architecture) : [];
    return this.#judge(guest.run(plan.flow, this.#map, true, races), usual, handedOver);
  }

  /** The same from the border on that the machine has gone back to. */
  goOn(usual: Usual | undefined, handedOver?: (now: number) => void): RunOutcome {
    return this.#judge(this.guest.goOn(), usual, handedOver);
  }

  #judge(
    result: Result | undefined,
    usual: Usual | undefined,
    handedOver?: (now: number) => void,
  ): RunOutcome {
    const { plan, machine, injector } = this;
    const ranFor = machine.clock.now;
    handedOver?.(ranFor);
    const { step: steps } = injector.counter.counts;
    const refused = result !== undefined && isRefusal(result.error) && !connected(machine);
    injector.stop();
    if (result !== undefined) {
      tellHandoff(machine, this.#stage, 'handoff', result.memoryMap);
      const loads = imageOf(result) !== undefined;
      this.came = { ticks: ranFor, loads };
      if (usual !== undefined && plan.faults.every(isRace))
        judgeRace(result, ranFor - usual.ticks, this.#report);
      if (usual?.loads === true && !loads && result.status === 'booted')
        this.#report('booted without an image');
      this.#afterwards(result);
    }
    const findings = [...this.#findings];
    tellVerdict(machine, findings.length === 0 ? 'clean' : 'findings', NOT_MADE);
    return {
      findings,
      fired: injector.counter.fired.size,
      status: result === undefined ? 'ended' : result.status,
      error: result === undefined ? undefined : nameOf(result.error),
      ...(refused ? { refused, steps } : { steps }),
    };
  }

  readonly #report: Report = (cause, text = cause, kind = 'finding', finding = undefined) => {
    const findings = this.#findings;
    if (!findings.some((other) => other.cause === cause)) findings.push({ kind, cause, text });
    else if (finding === undefined) return; // Mere words are told once
    tellFinding(this.machine, this.#stage, finding ?? text);
  };

  /** What the host has made impossible, of a guest that hands this map on. */
  #excused(handedOn: readonly MemoryRange[]): (finding: Finding) => boolean {
    const { machine, plan, injector } = this;
    const { inherits } = this.guest;
    const judge = excusesOf({ machine, plan, injector, inherits, given: this.#map, handedOn });
    return (finding) => judge(finding) && tellExcused(machine, this.#stage, finding);
  }

  /** A guest gets the machine. */
  #begin(name: string): string {
    const { machine, guest } = this;
    tellStage(machine, (this.#stage = name));
    const { events } = this.#parts.watch;
    guest.says = events && ((event) => events(event, name, machine.clock.now));
    return name;
  }

  /** What must hold once the guest has handed over, and the second boot. */
  #afterwards(result: Result): void {
    const { machine, plan, injector, guest } = this;
    const excused = this.#excused(result.memoryMap);
    this.#checkResult(plan, result, 'boot');
    const { inherits } = guest;
    this.#audit(result, 'handoff', excused);
    this.#since = { ...this.#since, uncompleted: auditBaseline(machine).uncompleted };
    if (!injector.hostLied && !inherits) this.#lateWrites(result.memoryMap);

    // The next boot gets what the first one left, and a host that does nothing wrong
    this.#begin(SECOND_BOOT);
    const flow = plan.flow === 'push' ? 'push' : 'boot';
    const again = guest.run(flow, result.memoryMap, false);
    if (again === undefined) return;
    tellHandoff(machine, SECOND_BOOT, 'handoff', again.memoryMap);
    if (again.status !== 'booted') {
      const name = nameOf(again.error);
      this.#report(
        `second boot fails: ${name}`,
        `second boot fails: ${name}: ${messageOf(again.error)}`,
      );
    }
    this.#checkResult({ flow, faults: [] }, again, 'second boot');
    this.#audit(again, 'second boot', excusesAfter(injector));
  }

  #checkResult(plan: Plan, result: Result, which: string): void {
    if (result.status === 'failed' && result.error !== undefined && !isNamed(result.error)) {
      this.#report(`${which}: the error has no name`, `${which}: ${String(result.error)}`);
    }
    const image = imageOf(result);
    if (result.status !== 'booted' || image === undefined) return;
    const { address, length } = image;
    const { contents: bytes } = this.machine.partition.ram;
    const served = this.#parts.image;
    const equal = length === served.length && sameBytes(bytes, served, address);
    if (!equal && !pushMayDiffer(plan)) this.#report(`${which}: the image is not what was served`);
  }

  /** The next owner fills its memory, the host writes to whatever it still holds. */
  #lateWrites(map: readonly MemoryRange[]): void {
    const { damagedPages, written } = tryLateWrites(this.machine, map, this.searchesAll);
    if (damagedPages === 0) return;
    const text = `${damagedPages} usable pages written by the host after the handoff`;
    const by = written.join(', ');
    this.#report('usable memory written by the host after the handoff', `${text} (${by})`);
  }

  #audit(left: Left, which: string, excused: (finding: Finding) => boolean): void {
    const { image, memoryMap, kind } = left;
    const inUse = image ? [image] : [];
    const options = { inUse, since: this.#since, ...(kind && { kind }) };
    for (const finding of auditHandoff(this.machine, memoryMap, options)) {
      if (!isWrong(finding) || excused(finding)) continue;
      const text = `${which}: ${finding.check}: ${finding.text}`;
      this.#report(withoutNumbers(text), text, 'finding', finding);
    }
  }
}

/** An error; and a page that stays mapped though it is reserved: the host has not refused it. */
function isWrong({ severity, check, pages }: Finding): boolean {
  const mapped = pages !== undefined && REGISTER_CHECKS.includes(check);
  return severity === 'error' || (severity === 'warning' && mapped);
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

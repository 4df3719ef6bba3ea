// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One run: the flow with the faults of a plan, then everything that must hold afterwards, whatever
 * the host did. The same plan gives the same run; a run leaves nothing behind for the next one.
 */

import type { MemoryRange } from '../../src/machine.ts';
import { MessageType } from '../../src/vmbus/protocol.ts';
import { isRefusal } from '../os/loaded-os.ts';
import type { LinuxName } from '../os/os-versions.ts';
import { LEFTOVER_NAMES, leaveBehind } from '../os/previous-owner.ts';
import type { AuditCheck, Finding } from '../simulator/audit/audit-findings.ts';
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
import { OS_PROCESSORS, runOsBefore } from './after-os.ts';
import type { PlaceObserver } from './counter.ts';
import {
  Guest,
  LIMITS,
  MEMORY,
  type ExploredGuests,
  type FindingKind,
  type Report,
  type Result,
} from './explored-guest.ts';
import { messageOf, nameOf, withoutNumbers } from './finding-text.ts';
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

/** Checks of what is in registers: nobody can change one that the host refuses for good. */
const REGISTER_CHECKS: readonly Finding['check'][] = [
  ...(['synic-pages', 'sints', 'scontrol', 'hypercall', 'clock-pages', 'timers'] as const),
];

/** Let a previous owner leave something, or everything. */
function leave(machine: SimulatedMachine, what: string): void {
  machine.partition.recover(LIMITS);
  const names = what === 'all' ? LEFTOVER_NAMES : LEFTOVER_NAMES.filter((name) => name === what);
  leaveBehind(machine, new Set(names));
}

/** What the network of all runs is like. Plain data. */
export type NetworkHabits = Partial<Omit<NetworkOptions, 'files' | 'bootFile' | 'log'>>;

/** Puts a guest that writes down what it does in the place of one. */
export type RunRecorder = (guest: GuestInstance, machine: SimulatedMachine) => GuestInstance;

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
  /** By flow: how long it takes. */
  readonly #ticks = new Map<Plan['flow'], number>();

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
    record?: RunRecorder,
  ): RunOutcome {
    const instance = plan.flow === 'push' ? this.#guests.push! : this.#guests.boot;
    instance.reset();
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
    const findings: RunFinding[] = [];
    const report = (cause: string, text = cause, kind: FindingKind = 'finding'): void => {
      if (!findings.some((other) => other.cause === cause)) findings.push({ kind, cause, text });
    };
    machine.partition.recover(LIMITS);
    const before = this.#after && runOsBefore(machine, this.#after);
    const owner = plan.faults.filter(({ place }) => place === 'owner');
    for (const { argument } of owner) leave(machine, argument);
    this.#since = owner.length > 0 ? auditBaseline(machine) : NO_BASELINE;
    const injector = new Injector(machine, plan, observer);
    injector.counter.begin('owner', 'previous owner');
    if (plan.flow !== 'push') {
      injector.counter.begin('network', 'network');
      injector.nic(network);
    }
    const races = injector.races(this.#architecture);
    const recorded = record?.(instance, machine) ?? instance;
    const guest = new Guest(recorded, machine, injector, this.#history, report);
    const map = before?.memoryMap ?? machine.bootSeam.memoryMap;
    const result = guest.run(plan.flow, map, true, races);
    const ranFor = machine.clock.now;
    handedOver?.(ranFor);
    const steps = injector.counter.counts.step;
    const refused = result !== undefined && isRefusal(result.error) && !connected(machine);
    injector.stop();
    if (result !== undefined) {
      if (plan.faults.length > 0 && plan.faults.every(isRace))
        judgeRace(result, ranFor - this.#usual(plan.flow), report);
      this.#afterwards({ plan, machine, injector, result, guest, report, map });
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

  /** How long a flow takes without faults, in ticks. */
  #usual(flow: Plan['flow']): number {
    let ticks = this.#ticks.get(flow);
    if (ticks === undefined) {
      ticks = 0;
      const plain = { flow, faults: [] };
      this.run(plain, undefined, (now) => (ticks = now));
      this.#ticks.set(flow, ticks);
    }
    return ticks;
  }

  /** What must hold once the guest has handed over, and the second boot. */
  #afterwards(run: Handoff): void {
    const { machine, injector, result, guest, report, map } = run;
    this.#checkResult(machine, run.plan, result, report, 'boot');
    const reserved = result.memoryMap.some(
      (r) => r.type === 'reserved' && !isImage(r, result) && !isWithin(r, map),
    );
    const faulty = !injector.sound;
    // The state of the connection is the host's word against the guest's, if messages get lost
    // Until the host is contacted, all that it has is an earlier owner's
    const inherited = guest.inherits;
    // Nobody can take leave of a host that takes no message any more: but it must be tried
    const { host } = machine.partition.omissions;
    const deaf =
      run.plan.faults.some(({ kind }) => kind === 'status-ever') &&
      host.hasRefused(-1, MessageType.UNLOAD);
    const excused = (finding: Finding): boolean =>
      injector.hostLied ||
      (deaf && finding.check === 'unload') ||
      (inherited && OF_CONNECTION.includes(finding.check)) ||
      (injector.refused.size > 0 && REGISTER_CHECKS.includes(finding.check)) ||
      (faulty && reserved && finding.pages === undefined);
    this.#audit(machine, result, 'handoff', excused, report);
    this.#since = { ...this.#since, uncompleted: auditBaseline(machine).uncompleted };
    if (!injector.hostLied && !inherited) this.#lateWrites(machine, result.memoryMap, report);

    // The next boot gets what the first one left, and a host that does nothing wrong
    const flow = run.plan.flow === 'push' ? 'push' : 'boot';
    const again = guest.run(flow, result.memoryMap, false);
    if (again === undefined) return;
    if (again.status !== 'booted') {
      const name = nameOf(again.error);
      report(`second boot fails: ${name}`, `second boot fails: ${name}: ${messageOf(again.error)}`);
    }
    this.#checkResult(machine, { flow, faults: [] }, again, report, 'second boot');
    this.#audit(machine, again, 'second boot', () => injector.hostLied, report);
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
    result: Result,
    which: string,
    excused: (finding: Finding) => boolean,
    report: Report,
  ): void {
    const image = imageOf(result);
    const inUse = image === undefined ? [] : [image];
    const since = this.#since;
    for (const finding of auditHandoff(machine, result.memoryMap, { inUse, since })) {
      if (!isWrong(finding) || excused(finding)) continue;
      const text = `${which}: ${finding.check}: ${finding.text}`;
      report(withoutNumbers(text), text);
    }
  }
}

/** An error; and a page that stays mapped though it is reserved: the host has not refused it. */
function isWrong({ severity, check, pages }: Finding): boolean {
  const mapped = pages !== undefined && REGISTER_CHECKS.includes(check);
  return severity === 'error' || (severity === 'warning' && mapped);
}

/** Checks of what only a contact or an UNLOAD ends. */
const OF_CONNECTION: readonly AuditCheck[] = ['unload', 'channels', 'shared-pages'];

interface Handoff {
  readonly plan: Plan;
  readonly machine: SimulatedMachine;
  readonly injector: Injector;
  readonly result: Result;
  readonly guest: Guest;
  readonly report: Report;
  /** What the guest was started with. */
  readonly map: readonly MemoryRange[];
}

/** Whether the host has accepted a version of VMBus. */
function connected(machine: SimulatedMachine): boolean {
  return machine.vmbus.inspect().history.some(({ outcome }) => outcome === 'accepted');
}

function imageOf(result: Result) {
  return 'image' in result ? result.image : undefined;
}

/** Whether a range was reserved before. */
function isWithin({ address, length }: MemoryRange, map: readonly MemoryRange[]): boolean {
  return map.some(
    (range) =>
      range.type === 'reserved' &&
      range.address <= address &&
      address + length <= range.address + range.length,
  );
}

function isImage(range: MemoryRange, result: Result): boolean {
  const image = imageOf(result);
  return image !== undefined && range.address === image.address;
}

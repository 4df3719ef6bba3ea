// SPDX-License-Identifier: GPL-2.0-or-later

/** Machines for scenarios, and the run of a chain of kernels on one. */

import { boot, createDriver } from '../../src/any.ts';
import { errorEntry } from '../../src/catalogue.ts';
import { HypxeError } from '../../src/error.ts';
import type { Machine, MemoryRange } from '../../src/machine.ts';
import type { BootResult } from '../../src/boot/boot.ts';
import { tellHandoff, tellStage } from '../flow/flow-events.ts';
import { readBootResult } from '../flow/boot-result.ts';
import { GuestRuns } from '../flow/guest-run.ts';
import { runOsChain, type KernelPlan } from '../flow/os-chain.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { auditHandoff, type AuditOptions } from '../simulator/audit/audit.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { machineFor, type GuestMemory } from '../guests/guest-machine.ts';
import { GuestThrew, type GuestInstance } from '../guests/guest-program.ts';
import { guestRam } from '../guests/guest-ram.ts';
import { TrustedGuest } from '../guests/trusted-guest.ts';
import type { SimulatedMachine, SimulatedMachineOptions } from '../simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../simulator/network/index.ts';
import type { NetworkCondition } from '../simulator/network/index.ts';
import type { HostKnobs } from '../simulator/profiles/profile.ts';
import { DEFAULT_PROFILE, profileNamed, withKnobs } from '../simulator/profiles/profiles.ts';
import { LossyLink, type FrameFilter } from './lossy-link.ts';
import type { HalfResult, MachineSeen } from './scenario.ts';

/** Guest RAM: enough for a kernel, its crash kernel and resident firmware. */
export const MEMORY = 8 << 20;

/** The image that firmware loads. */
export const IMAGE_LENGTH = 100_000;
export const IMAGE_NAME = 'scenario.img';

/** A guest that takes longer than the longest wait of any kernel, 100 s, waits for ever. */
const LIMITS = { virtualTicks: 150_000 * TICKS_PER_MS, pauses: 4_000_000 };

/** The host of a scenario. */
export interface HostSetup {
  /** Profile; by default that of `hypxe boot`. */
  readonly host?: string;
  readonly knobs?: Partial<HostKnobs>;
  readonly processors?: number;
  /** What the network is like, and what does not get through to the guest or from it. */
  readonly network?: NetworkCondition;
  readonly filter?: FrameFilter | undefined;
  /** See {@link Scenario.run}. */
  readonly seen?: MachineSeen | undefined;
  /** Puts the host into some state, or gives it a fault. */
  readonly prepare?: (machine: SimulatedMachine) => void;
}

/** hypxe's own firmware, in RAM of its own: what a scenario is about if there is no other guest. */
export function ownGuest(): GuestInstance {
  return new TrustedGuest({ boot, createDriver }, MEMORY);
}

/**
 * Boot a guest. Undefined if it did not return.
 *
 * @throws BadBootResult
 */
export function bootOn(
  guests: GuestRuns,
  guest: GuestInstance,
  seam: Machine,
  options: object = {},
): BootResult | undefined {
  return guests.run('firmware', () =>
    readBootResult(
      guests.callFirmware(() => guest.boot!(seam, options)),
      seam,
    ),
  );
}

/**
 * What is refused by name is refused: that is not what a scenario is about. Returns whether it was.
 *
 * @throws what is no refusal: a mistake of the guest's, such as a TypeError
 */
export function refuses(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (error instanceof HypxeError || (error instanceof GuestThrew && isRefusal(error)))
      return true;
    throw error;
  }
}

/** An error of the catalogue, or another one that says why in a number. */
function isRefusal({ name, status }: GuestThrew): boolean {
  const native = name === 'Error' || typeof Reflect.get(globalThis, name) === 'function';
  return errorEntry(name) !== undefined || (status !== undefined && !native);
}

/** Make the machine: one NIC, on a network that serves an image; in the RAM of `guest`. */
export function makeMachine(
  setup: HostSetup,
  more: Partial<SimulatedMachineOptions> = {},
  guest: GuestMemory = { memory: more.memory ?? guestRam(MEMORY), image: [] },
): SimulatedMachine {
  const image = syntheticImage(IMAGE_LENGTH, 1);
  const network = new Network({
    files: memoryFiles({ [IMAGE_NAME]: image }),
    bootFile: IMAGE_NAME,
    ...setup.network,
  });
  const link = network.link(0);
  const machine = machineFor(guest, {
    profile: withKnobs(profileNamed(setup.host ?? DEFAULT_PROFILE)!, setup.knobs ?? {}),
    links: [setup.filter === undefined ? link : new LossyLink(link, setup.filter)],
    seed: 1,
    processors: setup.processors ?? 1,
    ...more,
  });
  setup.seen?.(machine);
  setup.prepare?.(machine);
  return machine;
}

/** Guests of a machine, with the limits of scenarios; each gets the machine when it is run. */
export function guestsOf(machine: SimulatedMachine): GuestRuns {
  return new ToldRuns(machine, LIMITS);
}

/**
 * The same for a flow that says by itself who runs.
 *
 * @param first who has the machine until it does
 */
export function flowGuestsOf(machine: SimulatedMachine, first?: string): GuestRuns {
  if (first !== undefined) tellStage(machine, first);
  return new GuestRuns(machine, LIMITS);
}

/** Says on the stream of events who runs. */
class ToldRuns extends GuestRuns {
  readonly #told: SimulatedMachine;
  #stage = '';

  constructor(machine: SimulatedMachine, limits: typeof LIMITS) {
    super(machine, limits);
    this.#told = machine;
  }

  override run<T>(guest: string, run: () => T): T | undefined {
    if (guest !== this.#stage) tellStage(this.#told, guest);
    this.#stage = guest;
    return super.run(guest, run);
  }
}

/** The owner of the machine, by its stage, has handed over: audit what it has left. */
export function auditLeft(
  machine: SimulatedMachine,
  map: readonly MemoryRange[],
  options: AuditOptions = {},
  stage = 'firmware',
): Finding[] {
  tellHandoff(machine, stage, 'handoff', map);
  return auditHandoff(machine, map, options);
}

/** Kernels one after the other on a fresh machine. */
export interface ChainSetup extends HostSetup {
  readonly kernels: readonly KernelPlan[];
}

/** Run a chain of kernels. */
export function runChain(setup: ChainSetup): HalfResult {
  const machine = makeMachine(setup);
  const guests = flowGuestsOf(machine);
  const stages = runOsChain({
    machine,
    memoryMap: machine.bootProcessor.memoryMap,
    kernels: setup.kernels,
    guest: (name, run) => guests.run(name, run),
  });
  return { findings: stages.flatMap(({ findings }) => findings), ended: guests.ended };
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Makes the runs of an exploration: each on a machine of its own, from the start or from a moment
 * before its faults. The same plan gives the same run; a run leaves nothing behind for the next.
 */

import { tellStage } from '../flow/flow-events.ts';
import { machineFor } from '../guests/guest-machine.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import type { LinuxName } from '../os/os-versions.ts';
import type { Architecture } from '../simulator/hypervisor/architecture.ts';
import {
  combined,
  memoryFiles,
  Network,
  NETWORK_CONDITIONS,
  syntheticImage,
} from '../simulator/network/index.ts';
import type { NetworkOptions } from '../simulator/network/index.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import type { PlaceObserver } from './counter.ts';
import { LIMITS, MEMORY, type ExploredGuests } from './explored-guest.ts';
import { Beginnings, OS_PROCESSORS, runOsBefore, type Beginning } from './forks/after-os.ts';
import { LoaderTrunk } from './forks/loader-trunk.ts';
import { ReadHistory } from './memory/read-watch.ts';
import { OneRun, PREVIOUS_OWNER } from './one-run.ts';
import type { RunOutcome, RunParts, RunWatch, Usual } from './one-run.ts';
import type { Plan } from './plan.ts';
import { pushDevices } from './push-flow.ts';

export type { Architecture } from '../simulator/hypervisor/architecture.ts';
export { SECOND_BOOT } from './one-run.ts';
export type { RunFinding, RunOutcome, RunRecorder, RunWatch } from './one-run.ts';

/** Length of the image: several blocks of TFTP, the last one short. */
const IMAGE_LENGTH = 8200;
const IMAGE_NAME = 'hypxe.img';

/** What the network of all runs is like. Plain data. */
export type NetworkHabits = Partial<Omit<NetworkOptions, 'files' | 'bootFile' | 'log'>>;

/** Runs plans, one after the other, each guest in its own piece of memory. */
export class Runner {
  readonly #guests: ExploredGuests;
  readonly #profile: HostProfile;
  readonly #image: Uint8Array;
  readonly #history = new ReadHistory(MEMORY);
  readonly #heartbeat: Int32Array | undefined;
  readonly #architecture: Architecture;
  readonly #after: LinuxName | undefined;
  readonly #network: NetworkHabits;
  /** Look for damage in all of memory, instead of where the host is known to have written. */
  searchesAll = false;
  /**
   * Let the OS run before each run, instead of going back to where it has gone; and each loader
   * from its start, instead of the last border before its faults.
   */
  startsAnew = false;
  readonly #beginnings = new Beginnings();
  #trunk: LoaderTrunk | undefined;
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
    // Other runs in the same memory: before this one begins
    const seen = observer ?? watch.record ?? watch.onMachine ?? watch.events;
    const trunk = seen !== undefined ? undefined : this.#trunkOf(plan);
    const usual = plan.faults.length > 0 ? this.#usual(plan.flow) : undefined;
    const forked = trunk?.goTo(plan);
    const run = forked ?? this.#make(plan, { observer, watch });
    run.searchesAll = this.searchesAll;
    const outcome = forked === undefined ? run.run(usual, handedOver) : run.goOn(usual, handedOver);
    if (usual === undefined && run.came !== undefined) this.#flows.set(plan.flow, run.came);
    return outcome;
  }

  /** A run of its flow without faults that a run may begin in. Who looks sees it from the start. */
  #trunkOf({ flow, faults }: Plan): LoaderTrunk | undefined {
    if (this.startsAnew || flow !== 'loader' || faults.length === 0) return undefined;
    if (this.#guests.boot.canCopy !== true) return undefined;
    if (this.#trunk !== undefined) return this.#trunk;
    const run = this.#make({ flow, faults: [] }, { isTrunk: true });
    const trunk = (this.#trunk = new LoaderTrunk(run));
    run.run(undefined);
    trunk.end();
    if (run.came !== undefined) this.#flows.set(flow, run.came);
    return trunk;
  }

  /** A run from the start. */
  #make(
    plan: Plan,
    { watch = {}, ...options }: Partial<Pick<RunParts, 'observer' | 'watch' | 'isTrunk'>>,
  ): OneRun {
    const instance = plan.flow === 'push' ? this.#guests.push! : this.#guests.boot;
    instance.reset();
    const { isTrunk = false } = options;
    const beginning = this.#begin(plan, instance, watch, isTrunk);
    return new OneRun({
      ...{ plan, beginning, instance, watch, isTrunk, history: this.#history, image: this.#image },
      ...{ architecture: this.#architecture, afterOs: this.#after !== undefined, ...options },
    });
  }

  /** The machine of a run, once the OS before it has gone. */
  #begin(
    plan: Plan,
    instance: GuestInstance,
    { onMachine }: RunWatch,
    isTrunk: boolean,
  ): Beginning {
    const make = (): Beginning => {
      const { machine, network } = this.#build(plan, instance);
      onMachine?.(machine);
      machine.partition.recover(LIMITS);
      if (this.#after !== undefined) tellStage(machine, PREVIOUS_OWNER);
      return { machine, network, before: this.#after && runOsBefore(machine, this.#after) };
    };
    // Of one that is watched all is told, a network that differs is another one, and others go back
    // to the middle of a trunk
    const isWatched = onMachine !== undefined || isTrunk;
    const own = isWatched || plan.faults.some(({ place }) => place === 'network');
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
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A whole simulated machine: the partition, its VMBus server and the devices on it, plugged into
 * links. Guests run on its `processors`, which are the seam and nothing else: any guest that calls
 * it runs here, whatever it is written in.
 */

import type { Machine, MemoryRange } from '../../src/machine.ts';
import { DeviceClass } from '../../src/vmbus/protocol.ts';
import type { Architecture, CounterTraits } from './hypervisor/architecture.ts';
import type { InterruptSink } from './hypervisor/interrupts.ts';
import type { ChannelDevice } from './vmbus-server/channel-interface.ts';
import type { VirtualClock } from './base/clock.ts';
import type { RamWindow } from './base/guest-ram.ts';
import type { CpuidOverride } from './hypervisor/cpuid.ts';
import type { HostEvents } from './ledger/events.ts';
import type { Link } from './network/link.ts';
import { NetVsp, type NetVspOptions } from './netvsp/netvsp.ts';
import { Partition } from './hypervisor/partition.ts';
import type { HostProfile } from './profiles/profile.ts';
import { HeartbeatHost } from './services/heartbeat-host.ts';
import type { SimulatedProcessor } from './hypervisor/simulated-processor.ts';
import { inertDevice } from './vmbus-server/inert-device.ts';
import { VmbusServer } from './vmbus-server/server.ts';
import type { PartitionLimits } from './hypervisor/watchdog.ts';
import type { Keeper, Restore, Saved } from './base/snapshot.ts';
import { SnapshotKeeper, type MachineSnapshot } from './hypervisor/machine-snapshot.ts';

/** What a machine is made of. */
export interface SimulatedMachineOptions {
  /**
   * Guest RAM, from outside: an ArrayBuffer, a SharedArrayBuffer, or the buffer of a WebAssembly
   * memory. Whole pages, at least 2 MiB, not resized while the machine exists.
   */
  readonly memory: ArrayBufferLike;
  /** Where in `memory` guest RAM lies, if there is more in it: no seam's `memory` then. */
  readonly window?: RamWindow | undefined;
  /** The host generation. */
  readonly profile: HostProfile;
  /** One NIC for each, in order. */
  readonly links: readonly Link[];
  /** Decides everything that is random. */
  readonly seed: number;
  readonly memoryMap?: readonly MemoryRange[];
  /** Default `x64`. */
  readonly architecture?: Architecture | undefined;
  /** How an arm64 guest makes hypercalls. Default `smccc`. */
  readonly hypercallConvention?: 'smccc' | 'immediate' | undefined;
  /** Size of the guest's pages: 4, 16 or 64 KiB. Default 4096. */
  readonly pageSize?: number | undefined;
  /** Virtual processors; default 1. */
  readonly processors?: number;
  /** When a guest that goes on for ever is ended. */
  readonly limits?: PartitionLimits;
  readonly cpuidOverride?: CpuidOverride;
  /** Of a processor that is emulated: its counter, the code of its hypercall page, its APIC. */
  readonly counter?: CounterTraits | undefined;
  readonly hypercallCode?: readonly number[] | undefined;
  readonly interrupts?: InterruptSink | undefined;
  /** One word of shared memory that is counted up with each call of the seam. */
  readonly heartbeat?: Int32Array;
  /** What differs from the default for each NIC. */
  readonly nics?: readonly Partial<Omit<NetVspOptions, 'nic' | 'link'>>[];
  /** Further devices, offered beside the NICs and in the place of what nobody drives. */
  readonly devices?: readonly ChannelDevice[];
}

export class SimulatedMachine {
  readonly partition: Partition;
  readonly vmbus: VmbusServer;
  readonly nics: readonly NetVsp[];
  /** The further devices that it was given. */
  readonly devices: readonly ChannelDevice[];
  readonly #snapshots: SnapshotKeeper;

  /** @throws RangeError for options that make no machine, by name */
  constructor(options: SimulatedMachineOptions) {
    const { links, nics, devices, ...partition } = options;
    // The clock is a property of the link
    const wall = links.find((link) => link.wall !== undefined)?.wall;
    this.partition = new Partition({ ...partition, wall });
    const monitored = options.profile.knobs.monitors === 'nic-and-scsi';
    this.nics = links.map((link, nic) => new NetVsp({ nic, link, monitored, ...nics?.[nic] }));

    // A heartbeat, which is served for who opens it, and a disk controller that nobody drives:
    // guests must skip what they do not know
    const usual = [
      new HeartbeatHost(),
      inertDevice(DeviceClass.SCSI, '9daf6514-5544-4d66-8f02-c33c7a102299', monitored),
    ];
    const given = (this.devices = devices ?? []);
    const taken = given.map(({ interfaceId }) => interfaceId);
    const idle = usual.filter(({ interfaceId }) => !taken.includes(interfaceId));
    const all = [...idle, ...this.nics, ...given];
    this.vmbus = new VmbusServer(this.partition.services, all);
    this.#snapshots = new SnapshotKeeper(this.partition, this);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.partition, this.vmbus, this.nics);
    keeper.plugged(...this.devices);
  }

  /** The seams of the virtual processors. */
  get seams(): readonly Machine[] {
    return this.partition.seams;
  }

  /** The seam of the processor that boots. */
  get bootSeam(): Machine {
    return this.partition.seams[0]!;
  }

  /** The seams of a machine with x64 processors. @throws RangeError on arm64 */
  get processors(): readonly SimulatedProcessor[] {
    return this.partition.processors;
  }

  /** Of those the one that boots. @throws RangeError on arm64 */
  get bootProcessor(): SimulatedProcessor {
    return this.partition.processors[0]!;
  }

  get clock(): VirtualClock {
    return this.partition.clock;
  }

  get events(): HostEvents {
    return this.partition.events;
  }

  /**
   * Take down the whole machine: host, networks that it is plugged into, guest RAM, alarms. What a
   * guest has outside of RAM (registers, a stack of calls) is the guest's: take it between calls.
   * Whoever listens or is plugged in is a part of it if it has a `saveTo`, as `others` have.
   *
   * @param others further objects that go with the machine
   * @throws SnapshotError on a real link, whose time nobody takes back
   */
  snapshot(...others: readonly Saved[]): MachineSnapshot {
    return this.#snapshots.take(others);
  }

  /** The same without the contents of guest RAM, which the caller keeps: what puts it back. */
  saveState(...others: readonly Saved[]): Restore {
    return this.#snapshots.state(others);
  }

  /**
   * Be what the machine was: as often as one likes, of all its snapshots in any order. Each goes on
   * from there as it did the first time.
   *
   * @throws SnapshotError for a snapshot of another machine
   */
  restore(snapshot: MachineSnapshot): void {
    this.#snapshots.restore(snapshot);
  }

  /** Reset the VM: the host lets go of everything, registers are as at the start. Memory stays. */
  reset(): void {
    this.vmbus.reset();
    this.partition.reset();
    this.partition.grants.forget();
  }

  /** Let the host run for some time of the machine, without any guest. */
  run(ticks: number): void {
    const { clock } = this;
    const end = clock.now + ticks;
    // A clock that goes by the wall's stops for each frame
    do clock.advanceTo(end);
    while (clock.now < end);
  }
}

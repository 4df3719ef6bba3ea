// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A boot after a real OS: Linux has run on eight processors, with sub-channels, a send buffer and
 * services, and has started the firmware without a word to the host. What it had is still open
 * when the firmware comes; the firmware has memory of its own, as a crash kernel has.
 */

import type { MemoryRange } from '../../../src/machine.ts';
import { bootKernel } from '../../os/loaded-os.ts';
import { kexec } from '../../os/os-end.ts';
import { OsKernel } from '../../os/os-kernel.ts';
import type { NetvscBuffers } from '../../os/os-netvsc-buffers.ts';
import type { LinuxName } from '../../os/os-versions.ts';
import type { MachineSnapshot } from '../../simulator/hypervisor/machine-snapshot.ts';
import type { SimulatedMachine } from '../../simulator/machine.ts';
import type { Network } from '../../simulator/network/index.ts';
import type { ChannelDevice } from '../../simulator/vmbus-server/channel-interface.ts';

/** Processors of the machine. */
export const OS_PROCESSORS = 8;

/** Buffers for a machine with very little memory. */
const BUFFERS: NetvscBuffers = { ringPages: 4, receive: 0x10000, send: 0x6000 };

/** What the firmware is started with. */
export interface AfterOs {
  readonly memoryMap: readonly MemoryRange[];
}

/** What a run begins with. */
export interface Beginning {
  readonly machine: SimulatedMachine;
  readonly network: Network;
  readonly before: AfterOs | undefined;
}

/** A beginning that runs come back to. */
interface Taken {
  readonly beginning: Beginning;
  readonly snapshot: MachineSnapshot;
  /** Devices whose opening somebody may put himself in front of, and what that was. */
  readonly opens: readonly (readonly [ChannelDevice, PropertyDescriptor | undefined])[];
}

/** Beginnings that are made once: nothing of a run is left in them when the next one begins. */
export class Beginnings {
  readonly #taken = new Map<string, Taken>();

  /** @param name of all that decides what `make` makes, in the same RAM */
  begin(name: string, memory: ArrayBufferLike, make: () => Beginning): Beginning {
    const known = this.#taken.get(name);
    if (known !== undefined && known.beginning.machine.partition.ram.memory === memory) {
      goBackTo(known);
      return known.beginning;
    }
    const beginning = make();
    const { machine } = beginning;
    const devices = [...machine.nics, ...machine.devices];
    this.#taken.set(name, {
      ...{ beginning, snapshot: machine.snapshot() },
      opens: devices.map((device) => [device, Object.getOwnPropertyDescriptor(device, 'open')]),
    });
    return beginning;
  }
}

function goBackTo({ beginning, snapshot, opens }: Taken): void {
  beginning.machine.restore(snapshot);
  for (const [device, open] of opens) {
    if (open === undefined) Reflect.deleteProperty(device, 'open');
    else Object.defineProperty(device, 'open', open);
  }
}

/** Run Linux up to the start of the firmware. Undefined if it does not run on this host. */
export function runOsBefore(machine: SimulatedMachine, linux: LinuxName): AfterOs | undefined {
  const kernel = new OsKernel({
    processors: machine.seams,
    memoryMap: machine.bootSeam.memoryMap,
    linux,
    buffers: BUFFERS,
    crashKernel: true,
    bugs: ['no-unload'],
  });
  if (bootKernel(kernel) !== undefined) return undefined;
  kexec(kernel, true);
  return { memoryMap: kernel.ram.crashMap() };
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** What a snapshot of a machine costs, and what it costs to be there without one. */

import { SimulatedMachine } from '../simulator/machine.ts';
import { Network, memoryFiles } from '../simulator/network/index.ts';
import { DEFAULT_PROFILE, profileNamed } from '../simulator/profiles/profiles.ts';
import type { BenchFirmware } from './firmware.ts';

const PROFILE = profileNamed(DEFAULT_PROFILE)!;

/** A machine with a NIC that is open, as one comes to it from the start. */
function openMachine(firmware: BenchFirmware, memory: ArrayBuffer): SimulatedMachine {
  const network = new Network({ files: memoryFiles({}), bootFile: '' });
  const links = [network.link(0)];
  const machine = new SimulatedMachine({ memory, profile: PROFILE, links, seed: 1 });
  const driver = firmware.createDriver(machine.bootSeam, {});
  driver.probe();
  driver.devices[0]!.open();
  return machine;
}

/** In RAM of a size: from the start, a snapshot, and back to it after the guest has run on. */
export function snapshotRuns(
  firmware: BenchFirmware,
  memoryMiB: number,
): (readonly [name: string, run: () => void])[] {
  const memory = new ArrayBuffer(memoryMiB << 20);
  const machine = openMachine(firmware, new ArrayBuffer(memoryMiB << 20));
  const snapshot = machine.snapshot();
  return [
    [`probe and open, ${memoryMiB} MiB`, () => void openMachine(firmware, memory)],
    ['a snapshot there', () => void machine.snapshot()],
    ['back to it', () => machine.restore(snapshot)],
  ];
}

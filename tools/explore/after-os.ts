// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A boot after a real OS: Linux has run on eight processors, with sub-channels, a send buffer and
 * services, and has started the firmware without a word to the host. What it had is still open
 * when the firmware comes; the firmware has memory of its own, as a crash kernel has.
 */

import type { MemoryRange } from '../../src/machine.ts';
import { bootKernel } from '../os/loaded-os.ts';
import { kexec } from '../os/os-end.ts';
import { OsKernel } from '../os/os-kernel.ts';
import type { NetvscBuffers } from '../os/os-netvsc-buffers.ts';
import type { LinuxName } from '../os/os-versions.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** Processors of the machine. */
export const OS_PROCESSORS = 8;

/** Buffers for a machine with very little memory. */
const BUFFERS: NetvscBuffers = { ringPages: 4, receive: 0x10000, send: 0x6000 };

/** What the firmware is started with. */
export interface AfterOs {
  readonly memoryMap: readonly MemoryRange[];
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

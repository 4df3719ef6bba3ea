// SPDX-License-Identifier: GPL-2.0-or-later

/** From a machine to the hypervisor as its architecture presents it. */

import { HypxeError } from '../error.ts';
import type { Machine } from '../machine.ts';
import { Arm64Platform } from './arm64.ts';
import type { Platform } from './platform.ts';
import { X64Platform } from './x64.ts';

/** The instructions of an architecture as a {@link Platform}. @throws ArchitectureUnsupported */
export function createPlatform(machine: Machine): Platform {
  if (machine.architecture === 'x64') return new X64Platform(machine);
  if (machine.architecture === 'arm64') return new Arm64Platform(machine);
  const { architecture } = machine as { architecture: string };
  const text = `architecture is ${architecture}`;
  throw new HypxeError('ArchitectureUnsupported', text);
}

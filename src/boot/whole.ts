// SPDX-License-Identifier: GPL-2.0-or-later

/** What a boot has where no ROM's size counts. */

import type { Machine } from '../machine.ts';
import { MapAllocator } from '../memory/allocator.ts';
import { checkMachine, soundMap } from '../memory/memory-map.ts';
import { NET_PARTS } from '../net/parts.ts';
import type { BootOptions } from './boot.ts';
import type { ImageAllocator } from './image.ts';

/**
 * With memory from a map that was checked, and all parts of the network client, but for those that
 * the options replace or leave out.
 *
 * @throws HypxeError BadMachine
 */
export function withAll<T extends BootOptions>(
  machine: Machine,
  options: T,
): T & { readonly allocator: ImageAllocator } {
  checkMachine(machine);
  const { net, allocator = new MapAllocator(soundMap(machine), machine.pageSize) } = options;
  return { ...options, allocator, net: { ...net, parts: { ...NET_PARTS, ...net?.parts } } };
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** A module that is a whole firmware: it is called once, and says what it has loaded. */

import type { BootResult } from '../../src/boot/boot.ts';
import { Log } from '../../src/events.ts';
import { PAGE_SIZE, type Machine } from '../../src/machine.ts';
import { MapAllocator } from '../../src/memory/allocator.ts';
import { carve } from '../../src/memory/shared-memory.ts';
import type { WasmMemory } from './engine.ts';
import { GuestFault } from './guest-error.ts';
import { GuestPages } from './guest-pages.ts';
import { guestRandom } from './guest-random.ts';
import type { GuestOptions } from './guest-program.ts';
import { guestError } from './guest-status.ts';
import {
  GuestInstance,
  mapWithImage,
  mapWithoutImage,
  type CompiledModule,
} from './wasm-instance.ts';

/** What came of a guest that may load nothing: then `image` is null; only its handoff counts. */
export type GuestBootResult = Omit<BootResult, 'image'> & {
  readonly image: BootResult['image'] | null;
};

/** Length of the structure that `hypxe_boot` fills in, and of the longest name in it. */
const RESULT_LENGTH = 24;
const NAME_MAX = 255;

/** @throws what the guest throws, and a GuestFault */
export function bootModule(
  module: CompiledModule,
  memory: WasmMemory,
  machine: Machine,
  options: GuestOptions,
  cut: 'asked' | 'anywhere',
): GuestBootResult {
  const log = new Log(options.events);
  const pageSize = machine.pageSize ?? PAGE_SIZE;
  const map = mapWithImage(module, machine);
  const allocator = new MapAllocator(map, pageSize);
  // The result is the tool's: its page is nobody else's meanwhile
  const result = allocator.allocate(pageSize, pageSize);
  if (result === undefined) throw new GuestFault('there is no memory for the result');
  const pages = new GuestPages(options.pages?.(allocator) ?? allocator, pageSize);
  new Uint8Array(memory.buffer).fill(0, result, result + RESULT_LENGTH);
  const instance = new GuestInstance(module, {
    ...{ machine, memory, pages, cancelled: options.cancel ?? (() => false) },
    random: options.random ?? guestRandom(),
    cutAnywhere: cut === 'anywhere',
    memoryMap: map.flatMap((range) => carve(range, result, result + pageSize, 'result')),
    log: (level, text) => log[level]('GUEST', '', text),
  });
  const status = instance.callWide('hypxe_boot', 0, result) | 0;
  instance.end('hypxe_boot has returned');
  const found = status < 0 ? undefined : readResult(memory.buffer, result);

  // Hand over: what was loaded is in use, and what was not given back is lost
  let memoryMap = mapWithoutImage(machine);
  if (found !== undefined) {
    const { address, length, name } = found;
    const end = Math.ceil((address + length) / pageSize) * pageSize;
    const start = Math.floor(address / pageSize) * pageSize;
    memoryMap = memoryMap.flatMap((range) => carve(range, start, end, `boot image ${name}`));
  }
  memoryMap = pages.memoryMap(memoryMap);
  if (status < 0) {
    const error = guestError('hypxe_boot', status);
    return { status: 'failed', image: undefined, error, attempts: [], memoryMap };
  }
  return { status: 'booted', image: found ?? null, error: undefined, attempts: [], memoryMap };
}

/** What a whole firmware has loaded. @throws GuestFault for what is not in RAM */
function readResult(memory: ArrayBuffer, at: number): NonNullable<BootResult['image']> | undefined {
  const view = new DataView(memory);
  const address = Number(view.getBigUint64(at, true));
  const length = Number(view.getBigUint64(at + 8, true));
  const name = view.getUint32(at + 16, true);
  const nameLength = view.getUint32(at + 20, true);
  if (length === 0) return undefined;
  if (address + length > memory.byteLength || name + nameLength > memory.byteLength) {
    throw new GuestFault('hypxe_boot: what it has loaded, or its name, is not in RAM');
  }
  const bytes = new Uint8Array(memory).slice(name, name + Math.min(nameLength, NAME_MAX));
  const text = new TextDecoder().decode(bytes);
  return { name: text === '' ? 'image' : text, address, length, device: 'guest' };
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The part of the tool that lives in the realm of a JavaScript guest: made into one file, loaded
 * there before the guest, and all that stands between it and the machine. See the room's README.
 */

import type { Machine } from '../../../src/machine.ts';
import type { GuestDriver } from '../guest-program.ts';
import { WatchedMemory, type AccessListener } from '../watch/watched-memory.ts';
import { describeThrown } from './describe.ts';
import { Drivers } from './drivers.ts';
import {
  EXCHANGE_BYTES,
  REGISTER_BYTES,
  type HostCalls,
  type Outcome,
  type RealmCalls,
} from './host-calls.ts';
import {
  Buffer,
  NativeError,
  NativePromise,
  getOwnPropertyDescriptor,
  defineProperty,
  ownKeys,
  parse,
} from './intrinsics.ts';
import { lockDown } from './lockdown.ts';
import { Seams, type MachineFacts, type OpenSeam } from './seam.ts';

/** What a guest's module may export. */
interface GuestModule {
  readonly boot?: (machine: Machine, options: object) => unknown;
  readonly createDriver?: (machine: Machine, options: object) => GuestDriver;
}

/**
 * Set up the realm.
 *
 * @param origin beginning of the names of the guest's modules in stacks
 */
export function createRealm(host: HostCalls, origin: string): RealmCalls {
  lockDown(origin);
  let memory: ArrayBuffer | undefined;
  let guest: GuestModule = {};
  const listener = watchListener(host);
  // Each is made once: a run in a thousand is nothing new to them
  let watchedLoads: WatchedMemory | undefined;
  let watchedWithStores: WatchedMemory | undefined;
  let watched: WatchedMemory | undefined;
  const registers = new Buffer(REGISTER_BYTES);
  const exchange = new Buffer(EXCHANGE_BYTES);
  const seams = new Seams(host, () => memory!, registers);
  const drivers = new Drivers(host, seams, exchange);
  const start = (number: number, facts: string, options: string) => {
    const seam: OpenSeam = { number, open: true };
    const machine = seams.machine(seam, parse(facts) as MachineFacts);
    return { seam, machine, options: seams.options(seam, options) };
  };
  return {
    registers,
    exchange,
    makeMemory(bytes) {
      memory = new Buffer(bytes);
      watchedLoads = watchedWithStores = undefined;
      // Whoever asks for its size gets this one, whatever becomes of the prototype
      defineProperty(memory, 'byteLength', { __proto__: null, value: bytes } as PropertyDescriptor);
      return memory;
    },
    adopt: (namespace) =>
      drivers.run(() => {
        guest = namespace as GuestModule;
        return namesOf(guest);
      }),
    describeThrown: (error): Outcome => `threw:${describeThrown(error)}`,
    boot(number, facts, options) {
      const run = start(number, facts, options);
      const outcome = drivers.run(() => {
        const result = guest.boot!(run.machine, run.options);
        return isPromise(result) ? { then: true } : result;
      });
      run.seam.open = false;
      return outcome;
    },
    createDriver(number, facts, options) {
      const run = start(number, facts, options);
      return drivers.run(() => drivers.add(guest.createDriver!(run.machine, run.options)));
    },
    driver: (driver, call) => drivers.run(() => drivers.driver(driver, call)),
    device: (device, call) => drivers.run(() => drivers.device(device, call)),
    transmit: (device, length) => drivers.run(() => drivers.transmit(device, length)),
    ...innerAllocators(seams),
    watch(stores) {
      if (stores) watched = watchedWithStores ??= new WatchedMemory(memory!, listener);
      else watched = watchedLoads ??= new WatchedMemory(memory!, { load: listener.load });
    },
    reset() {
      drivers.reset();
      seams.allocators.length = 0;
    },
    install: () => watched?.install(),
    release: () => watched?.release(),
  };
}

/** The names that a module exports: of functions only if they are functions. */
function namesOf(guest: GuestModule): string[] {
  const keys = ownKeys(guest);
  const names: string[] = [];
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    const callable = (name: 'boot' | 'createDriver'): boolean =>
      key !== name || typeof guest[name] === 'function';
    if (typeof key === 'string' && callable('boot') && callable('createDriver')) {
      names[names.length] = key;
    }
  }
  return names;
}

/** The guest's own allocators, for the tool that watches them. */
function innerAllocators(seams: Seams): Pick<RealmCalls, 'innerAllocate' | 'innerFree'> {
  return {
    innerAllocate(allocator, length, align, purpose) {
      try {
        const at = seams.allocators[allocator]!.allocate(length, align, purpose);
        return typeof at === 'number' ? at : -1;
      } catch (error) {
        seams.pending = error;
        return undefined;
      }
    },
    innerFree(allocator, address, length, purpose) {
      try {
        seams.allocators[allocator]!.free(address, length, purpose);
        return true;
      } catch (error) {
        seams.pending = error;
        return false;
      }
    },
  };
}

/** What tells the tool of accesses: often, so that nothing is made for a call. */
function watchListener(host: HostCalls): AccessListener {
  return {
    load(address, length) {
      try {
        host.load(address, length);
      } catch {
        throw noRoom();
      }
    },
    stores: {
      storing(address, length) {
        try {
          host.storing(address, length);
        } catch {
          throw noRoom();
        }
      },
      stored(address, length) {
        try {
          host.stored(address, length);
        } catch {
          throw noRoom();
        }
      },
      ordered() {
        try {
          host.ordered();
        } catch {
          throw noRoom();
        }
      },
      acquired() {
        try {
          host.acquired();
        } catch {
          throw noRoom();
        }
      },
    },
  };
}

/** The stack has ended in the tool: its error stays there. */
function noRoom(): Error {
  return new NativeError('no room on the stack');
}

/** Whether a guest wants to go on later; not what its prototypes say that everything is. */
function isPromise(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return value instanceof NativePromise || getOwnPropertyDescriptor(value, 'then') !== undefined;
}

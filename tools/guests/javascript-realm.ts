// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The tool's end of the realm of a JavaScript guest: what the realm calls, on the machines that it
 * was given. Everything that comes in is a primitive and looked at for its type; whatever goes
 * wrong in here is kept here, and the realm is told its name.
 */

import { types } from 'node:util';
import { PAGE_SIZE, type Machine } from '../../src/machine.ts';
import type { PageAllocator } from '../../src/memory/allocator.ts';
import { isOfGuest } from '../simulator/hypervisor/guest-end.ts';
import type { AccessListener } from './watch/watched-memory.ts';
import { Talk, readEvent } from './guest-event.ts';
import type { Guard, GuestDriverOptions, GuestOptions } from './guest-program.ts';
import { GuestThrew } from './guest-program.ts';
import type { HostCalls, Outcome, RealmCalls } from './realm/host-calls.ts';
import type { MachineFacts, OptionFacts } from './realm/seam.ts';

/** A call of the guest's, on the way through a call of the tool's. */
class Rethrown extends Error {}

/** What receives frames and news of a device. */
export interface DeviceSink {
  received(length: number, vlan: number): void;
  transmitted(sequence: number, error: string): void;
  receiveError(error: string, length: number): void;
  linkChanged(up: boolean): void;
}

/** A machine that a guest is on, and what it was given besides. */
interface HostSeam {
  readonly machine: Machine;
  readonly options: GuestOptions & GuestDriverOptions;
}

export class RealmHost {
  /** Set once the realm is there. */
  realm: RealmCalls | undefined;
  listener: AccessListener | undefined;
  readonly sinks: (DeviceSink | undefined)[] = [];
  readonly #guard: Guard;
  readonly #seams: (HostSeam | undefined)[] = [];
  readonly #allocators: PageAllocator[] = [];
  #failure: unknown;
  /** Calls of the realm's that have begun: one that is left without an end was cut short. */
  #depth = 0;
  #talk = new Talk();
  #registers = new BigUint64Array();
  #words = new Uint32Array();

  constructor(guard: Guard) {
    this.#guard = guard;
  }

  /** The realm is there. */
  connect(realm: RealmCalls): void {
    this.realm = realm;
    this.#registers = new BigUint64Array(realm.registers);
    this.#words = new Uint32Array(realm.registers);
  }

  /** Forget what former runs had. */
  reset(): void {
    this.sinks.length = 0;
    this.#seams.length = 0;
    this.#allocators.length = 0;
  }

  /** Let a guest onto a machine. Returns the number of its seam. */
  open(machine: Machine, options: GuestOptions & GuestDriverOptions): number {
    const number = this.#seams.length;
    this.#seams[number] = { machine, options };
    // The number of the seam is that of the allocator that it was given
    while (this.#allocators.length < number) this.#allocators.push(NO_ALLOCATOR);
    this.#allocators[number] = options.allocator ?? NO_ALLOCATOR;
    this.#talk = new Talk();
    return number;
  }

  close(seam: number): void {
    this.#seams[seam] = undefined;
  }

  /**
   * What a call of the realm came to, as plain data.
   *
   * @throws GuestThrew; what the tool had thrown into the guest; GuestStopped
   */
  outcome(call: (realm: RealmCalls) => Outcome, guarded = true): unknown {
    let text: unknown;
    const depth = this.#depth;
    try {
      text = guarded ? this.#guard(() => call(this.realm!)) : call(this.realm!);
    } catch (error) {
      this.#depth = depth;
      // What is thrown here is the tool's, or came out of the middle of the guest's realm
      throw isTools(error) ? error : new GuestThrew('Error', 'it has broken its own realm');
    }
    // Whatever a guest makes of it: what the tool was doing then is done by half
    if (this.#depth !== depth) {
      this.#depth = depth;
      throw new GuestThrew('RangeError', 'its stack was used up in a call of the tool');
    }
    if (text === 'passed') throw this.#failure;
    if (typeof text !== 'string') throw new GuestThrew('Error', 'it has broken its own realm');
    if (text.startsWith('returned:')) return dataOf(text.slice('returned:'.length));
    throw thrown(dataOf(text.slice('threw:'.length)));
  }

  /** Something that the guest's realm threw, as an error of the tool's. */
  describe(error: unknown): GuestThrew | Error {
    if (isTools(error)) return error as Error;
    try {
      this.outcome((realm) => realm.describeThrown(error));
    } catch (described) {
      return described as Error;
    }
    return new GuestThrew('Error', 'it has broken its own realm');
  }

  /** The calls that the realm makes. None throws. */
  calls(): HostCalls {
    return {
      failureName: () => textOf(this.#failure, 'name'),
      failureMessage: () => textOf(this.#failure, 'message'),
      failureStatus: () => {
        const failure = this.#failure;
        if (typeof failure !== 'object' || failure === null) return '';
        return Object.hasOwn(failure, 'status')
          ? String((failure as { status?: unknown }).status)
          : '';
      },
      memoryAsked: (seam) => void this.#ask(seam, ({ machine }) => machine.memory),
      cpuid: (seam, leaf, subleaf) =>
        this.#try(seam, ({ machine }) => {
          const { eax, ebx, ecx, edx } = x64(machine).cpuid(leaf, subleaf);
          this.#words.set([eax, ebx, ecx, edx]);
          return true;
        }),
      rdmsr: (seam, msr) => this.#try(seam, ({ machine }) => x64(machine).rdmsr(msr)),
      wrmsr: (seam, msr, value) =>
        this.#try(seam, ({ machine }) => (x64(machine).wrmsr(msr, value), true)),
      hypercall: (seam, page, control, input, output) =>
        this.#try(seam, ({ machine }) =>
          x64(machine).callHypercallPage(page, control, input, output),
        ),
      rdtsc: (seam) => this.#try(seam, ({ machine }) => x64(machine).rdtsc!()),
      hvc: (seam, immediate) =>
        this.#try(seam, ({ machine }) => (arm64(machine).hvc(immediate, this.#registers), true)),
      counter: (seam) => this.#try(seam, ({ machine }) => arm64(machine).readCounter()),
      pause: (seam) => this.#try(seam, ({ machine }) => (machine.pause(), true)),
      event: (seam, text) => this.#event(seam, text),
      cancel: (seam) => this.#ask(seam, ({ options }) => options.cancel!()),
      random: (seam) => this.#ask(seam, ({ options }) => options.random!()),
      watchAllocator: (seam, own) =>
        this.#ask(seam, ({ options }) => {
          const index = this.#allocators.length;
          this.#allocators.push(options.pages!(this.#inner(own)));
          return index;
        }),
      allocate: (allocator, length, align, purpose) =>
        this.#attempt(() => this.#allocators[allocator]!.allocate(length, align, purpose) ?? -1),
      free: (allocator, address, length, purpose) =>
        this.#attempt(() => (this.#allocators[allocator]!.free(address, length, purpose), true)),
      received: (device, length, vlan) =>
        this.#attempt(() => (this.sinks[device]?.received(length, vlan), true)),
      transmitted: (device, sequence, error) =>
        this.#attempt(() => (this.sinks[device]?.transmitted(sequence, error), true)),
      receiveError: (device, error, length) =>
        this.#attempt(() => (this.sinks[device]?.receiveError(error, length), true)),
      linkChanged: (device, up) => this.#attempt(() => (this.sinks[device]?.linkChanged(up), true)),
      ...this.#accesses(),
    };
  }

  /** What the guest does with its memory: often, so that a call more is not made. */
  #accesses(): Pick<HostCalls, 'load' | 'storing' | 'stored' | 'ordered' | 'acquired'> {
    // What is thrown leaves the depth as it is: the listener was cut short
    return {
      load: (address, length) => {
        this.#depth++;
        this.listener?.load(address, length);
        this.#depth--;
      },
      storing: (address, length) => {
        this.#depth++;
        this.listener?.stores?.storing(address, length);
        this.#depth--;
      },
      stored: (address, length) => {
        this.#depth++;
        this.listener?.stores?.stored(address, length);
        this.#depth--;
      },
      ordered: () => {
        this.#depth++;
        this.listener?.stores?.ordered();
        this.#depth--;
      },
      acquired: () => {
        this.#depth++;
        this.listener?.stores?.acquired();
        this.#depth--;
      },
    };
  }

  /** A call of the machine: it may tell of events again. */
  #try<T>(seam: number, call: (seam: HostSeam) => T): T | undefined {
    return this.#ask(seam, (open) => {
      this.#talk.called();
      return call(open);
    });
  }

  /** Do something for a seam; undefined if it fails: the realm asks why. */
  #ask<T>(seam: number, call: (seam: HostSeam) => T): T | undefined {
    return this.#attempt(() => {
      const open = this.#seams[seam];
      if (open === undefined) throw new Error('the guest has ended');
      return call(open);
    });
  }

  /** Do something; undefined if it fails. One without room on the stack has not come to its end. */
  #attempt<T>(call: () => T): T | undefined {
    this.#depth++;
    try {
      const result = call();
      this.#depth--;
      return result;
    } catch (error) {
      if (!(error instanceof Rethrown)) this.#failure = error;
      if (isOfGuest(error) !== 'stack') this.#depth--;
      return undefined;
    }
  }

  #event(seam: number, text: string): true | undefined {
    return this.#attempt(() => {
      const event = this.#talk.told(text.length, readEvent(dataOf(text)));
      if (event !== undefined) this.#seams[seam]?.options.events?.(event);
      return true;
    });
  }

  /** An allocator of the guest's, as the tool has it. */
  #inner(own: number): PageAllocator {
    return {
      allocate: (length, align, purpose) => {
        const at = this.realm!.innerAllocate(own, length, align, purpose);
        if (typeof at !== 'number') throw new Rethrown();
        return at < 0 ? undefined : at;
      },
      free: (address, length, purpose) => {
        if (!this.realm!.innerFree(own, address, length, purpose)) throw new Rethrown();
      },
    };
  }
}

const NO_ALLOCATOR: PageAllocator = { allocate: () => undefined, free: () => undefined };

/**
 * Errors of the tool's own realm: all others are not even asked what they are. `instanceof` would
 * ask: a proxy's traps are its guest's.
 */
function isTools(error: unknown): boolean {
  let at = error;
  while (typeof at === 'object' && at !== null && !types.isProxy(at)) {
    if (at === Error.prototype) return true;
    at = Object.getPrototypeOf(at) as unknown;
  }
  return false;
}

/** JSON text of the realm's as data of the tool's. */
function dataOf(text: string): unknown {
  return text === '' ? undefined : (JSON.parse(text) as unknown);
}

/** An error of the guest's from its description. */
export function thrown(data: unknown): GuestThrew {
  const fields = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  const own = (name: string): unknown => (Object.hasOwn(fields, name) ? fields[name] : undefined);
  const text = (name: string): string | undefined => {
    const value = own(name);
    return typeof value === 'string' ? value : undefined;
  };
  const status = own('status');
  return new GuestThrew(
    text('name') ?? '',
    text('message') ?? (data === undefined ? 'undefined' : JSON.stringify(data)),
    text('stack'),
    typeof status === 'number' ? status : undefined,
  );
}

function textOf(error: unknown, field: 'name' | 'message'): string {
  return error instanceof Error ? error[field] : field === 'name' ? 'Error' : String(error);
}

function x64(machine: Machine): Extract<Machine, { architecture: 'x64' }> {
  if (machine.architecture === 'x64') return machine;
  throw new TypeError('this machine has no such instruction');
}

function arm64(machine: Machine): Extract<Machine, { architecture: 'arm64' }> {
  if (machine.architecture === 'arm64') return machine;
  throw new TypeError('this machine has no such instruction');
}

/** What the realm is told of a machine. */
export function machineFacts(machine: Machine): string {
  const arm = machine.architecture === 'arm64' ? machine : undefined;
  const facts: MachineFacts = {
    architecture: machine.architecture,
    memoryMap: machine.memoryMap,
    pageSize: machine.pageSize ?? PAGE_SIZE,
    rdtsc: machine.architecture === 'x64' && machine.rdtsc !== undefined,
    uuid: machine.uuid && [...machine.uuid],
    hypercallConvention: arm?.hypercallConvention ?? 'smccc',
    counterFrequency: arm?.counterFrequency ?? 0,
  };
  return JSON.stringify(facts);
}

/** What the realm is told of options: plain choices, and which calls there are. */
export function optionFacts(options: object): string {
  const calls: OptionFacts['calls'][number][] = [];
  const choices: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const call = CALLS.find((one) => one === name);
    if (call === undefined) choices[name] = value;
    else calls.push(call);
  }
  const facts: OptionFacts = { choices, calls };
  return JSON.stringify(facts);
}

const CALLS = ['events', 'pages', 'allocator', 'random', 'cancel'] as const;

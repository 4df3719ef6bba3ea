// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A previous owner of the machine, which let go of nothing, or only of some of it: a kernel that
 * was ended in the middle, a loader that did not clean up. Its pages lie where the firmware's
 * allocator begins, so that they collide with what the firmware maps next.
 */

import { anyPlatform } from '../../src/any.ts';
import { HypervDriver } from '../../src/driver.ts';
import { isNamed } from '../../src/error.ts';
import type { Platform } from '../../src/hyperv/platform.ts';
import {
  HV_ENABLE,
  Cpuid,
  HvFeature,
  Msr,
  SINT_COUNT,
  STIMER_COUNT,
  Sint,
  StimerConfig,
} from '../../src/hyperv/protocol.ts';
import { PAGE_SIZE, type Machine } from '../../src/machine.ts';
import { OS_VERSIONS, contactNewestOf } from '../../src/os/contact.ts';
import {
  MessageType,
  VMBUS_MESSAGE_SINT,
  VMBUS_MESSAGE_TYPE,
  VmbusVersion,
} from '../../src/vmbus/protocol.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';

/** What an owner may leave, each with what it is. */
export const LEFTOVERS = {
  identity: 'a guest OS identity',
  'hypercall-page': 'an enabled hypercall page',
  'message-page': 'an enabled message page',
  'event-page': 'an enabled event page',
  'tsc-page': 'an enabled reference TSC page',
  'assist-page': 'an enabled VP assist page',
  'scontrol-off': 'SCONTROL switched off',
  sints: 'unmasked SINTs, one of them in polling mode',
  timers: 'running timers, one of them with its message due',
  messages: 'messages that nobody took, in the slot and behind it',
  'event-flags': 'event flags that nobody took',
  contact: 'a VMBus connection',
  offers: 'offers that nobody took, or a part of them',
  gpadls: 'buffers that the host may write',
  channels: 'open channels of its network devices, with a packet filter',
} as const;

export type Leftover = keyof typeof LEFTOVERS;

/** All names, in the order in which things came about. */
export const LEFTOVER_NAMES = Object.keys(LEFTOVERS) as Leftover[];

/** Identity of Linux 6.12. */
const LINUX = 0x81000006_0c000000n;

/** The newest version that the host knows, of all that there ever were. */
const CONTACT = contactNewestOf([...OS_VERSIONS, VmbusVersion.V1_1, VmbusVersion.V0_13]);

/** A SINT that VMBus does not use, with a timer's messages; and vectors that any guest may have. */
const TIMER_SINT = 4;
/** Whoever goes over all of them must come to it. */
const LAST_SINT = SINT_COUNT - 1;
const VECTOR = 0x60n;
const TIMER_TICKS = 10_000n;

/** Which page of the top of memory each register gets: another one than the firmware gives it. */
const PAGES: readonly (readonly [Leftover, number])[] = [
  ['event-page', Msr.SIEFP],
  ['tsc-page', Msr.REFERENCE_TSC],
  ['hypercall-page', Msr.HYPERCALL],
  ['message-page', Msr.SIMP],
  ['assist-page', Msr.VP_ASSIST_PAGE],
];

/** Control messages that an earlier owner was sent, with what the firmware waits for in them. */
const STALE: readonly (readonly number[])[] = [
  [MessageType.VERSION_RESPONSE, 0, 0, VmbusVersion.V3_0],
  [MessageType.VERSION_RESPONSE, 0, 1, VmbusVersion.V3_0],
  [MessageType.UNLOAD_RESPONSE, 0],
  [MessageType.ALL_OFFERS_DELIVERED, 0],
  [MessageType.GPADL_CREATED, 0, 3, 0x18ae0001, 0],
  [MessageType.GPADL_TORNDOWN, 0, 0x18ae0001],
  [MessageType.OPEN_CHANNEL_RESULT, 0, 3, 0, 0],
  [MessageType.RESCIND_CHANNEL_OFFER, 0, 3],
];

/**
 * Let an owner come and go. What the host does not have it cannot leave.
 *
 * @param shift moves its pages among each other: 3 puts the hypercall page where the firmware's is
 */
export function leaveBehind(
  machine: SimulatedMachine,
  left: ReadonlySet<Leftover>,
  shift = 0,
): void {
  new PreviousOwner(machine, left, shift).run();
}

class PreviousOwner {
  readonly #machine: SimulatedMachine;
  readonly #seam: Machine;
  readonly #platform: Platform;
  readonly #left: ReadonlySet<Leftover>;
  readonly #shift: number;
  /** Its drivers, if it has connected. */
  #driver: HypervDriver | undefined;

  constructor(machine: SimulatedMachine, left: ReadonlySet<Leftover>, shift: number) {
    this.#shift = shift;
    this.#machine = machine;
    this.#seam = machine.bootSeam;
    this.#platform = anyPlatform(this.#seam, { clock: 'counter' });
    this.#left = left;
  }

  run(): void {
    const has = (name: Leftover): boolean => this.#left.has(name);
    if (['contact', 'offers', 'gpadls', 'channels'].some((name) => has(name as Leftover))) {
      this.#connect();
    }
    this.#write(Msr.GUEST_OS_ID, LINUX);
    this.#pages();
    if (has('messages')) this.#messages();
    if (has('event-flags')) this.#eventFlags();
    if (has('timers')) this.#timers();
    this.#interrupts();

    // What is not left is let go of
    for (const [name, register] of PAGES) if (!has(name)) this.#off(register);
    if (has('scontrol-off')) this.#write(Msr.SCONTROL, 0n);
    if (!has('identity')) this.#write(Msr.GUEST_OS_ID, 0n);
  }

  // --- VMBus ---

  /** Connect, and go as far as is asked for: then nothing is undone. */
  #connect(): void {
    const driver = (this.#driver = new HypervDriver(this.#platform, this.#seam, {
      guestOsId: LINUX,
      contact: CONTACT,
    }));
    try {
      if (this.#left.has('gpadls') || this.#left.has('channels')) {
        driver.probe();
        for (const device of driver.bus.devices) {
          if (!device.instance || !this.#left.has('gpadls')) continue;
          device.establishGpadl(device.pages.allocate('rx-buffer', 4 * PAGE_SIZE));
        }
        if (this.#left.has('channels')) for (const device of driver.devices) device.open();
      } else {
        driver.hv.probe();
        driver.bus.connection.setUp();
        CONTACT(driver.bus.connection);
      }
      if (this.#left.has('offers')) driver.bus.connection.post(MessageType.REQUEST_OFFERS);
    } catch (error) {
      // A host that knows none of it: nothing is left of it
      if (!isNamed(error)) throw error;
    }
  }

  // --- registers ---

  /** The pages at the top of memory, where the firmware takes its own first. */
  #pages(): void {
    const top = this.#seam.memoryMap.filter(({ type }) => type === 'usable').at(-1)!;
    PAGES.forEach(([name, register], i) => {
      const needed =
        this.#left.has(name) ||
        (name === 'message-page' && this.#left.has('messages')) ||
        (name === 'event-page' && this.#left.has('event-flags'));
      if (!needed || !this.#hasRegister(register)) return;
      const page = 1 + ((i + this.#shift) % PAGES.length);
      if ((this.#platform.read(register) & HV_ENABLE) === 0n) {
        // One that has drivers takes no page twice
        const own = this.#driver?.hv.pages.allocate('reference-tsc', PAGE_SIZE).address;
        const address = own ?? top.address + top.length - page * PAGE_SIZE;
        this.#write(register, BigInt(address) | HV_ENABLE);
      }
    });
  }

  #hasRegister(register: number): boolean {
    if (register === Msr.HYPERCALL) return this.#platform.hypercallPage !== undefined;
    const { eax } = this.#platform.facts(Cpuid.HV_FEATURES);
    if (register === Msr.VP_ASSIST_PAGE) return (eax & HvFeature.INTR_CONTROL) !== 0;
    if (register === Msr.STIMER0_CONFIG) return (eax & HvFeature.SYNTHETIC_TIMERS) !== 0;
    return register !== Msr.REFERENCE_TSC || (eax & HvFeature.REFERENCE_TSC) !== 0;
  }

  #off(register: number): void {
    if (!this.#hasRegister(register)) return;
    if ((this.#platform.read(register) & HV_ENABLE) !== 0n) this.#write(register, 0n);
  }

  #write(register: number, value: bigint): void {
    this.#platform.write(register, value);
  }

  /** VMBus's SINT and a timer's: unmasked as long as messages are to come, or for good. */
  #interrupts(): void {
    const left = this.#left.has('sints');
    for (let sint = 0; sint < SINT_COUNT; sint++) {
      const value =
        left && (sint === VMBUS_MESSAGE_SINT || sint === LAST_SINT)
          ? VECTOR
          : left && sint === TIMER_SINT
            ? VECTOR | Sint.POLLING
            : Sint.MASKED;
      if (this.#platform.read(Msr.SINT0 + sint) !== value) this.#write(Msr.SINT0 + sint, value);
    }
  }

  #unmask(sint: number): void {
    this.#write(Msr.SCONTROL, this.#platform.read(Msr.SCONTROL) | HV_ENABLE);
    this.#write(Msr.SINT0 + sint, VECTOR);
  }

  #messages(): void {
    this.#unmask(VMBUS_MESSAGE_SINT);
    for (const words of STALE) {
      const payload = new Uint8Array(Uint32Array.from(words).buffer);
      const { partition } = this.#machine;
      partition.postMessage(0, VMBUS_MESSAGE_SINT, VMBUS_MESSAGE_TYPE, payload);
    }
  }

  #eventFlags(): void {
    const page = Number(this.#platform.read(Msr.SIEFP) & ~0xfffn);
    new Uint8Array(this.#seam.memory).fill(0xa5, page, page + PAGE_SIZE);
  }

  #timers(): void {
    if (!this.#hasRegister(Msr.STIMER0_CONFIG)) return;
    this.#unmask(TIMER_SINT);
    const sint = BigInt(TIMER_SINT) << StimerConfig.SINT_SHIFT;
    for (const timer of [0, STIMER_COUNT - 1]) {
      this.#write(Msr.STIMER0_COUNT + 2 * timer, TIMER_TICKS);
      const config = sint | StimerConfig.PERIODIC | StimerConfig.ENABLE;
      this.#write(Msr.STIMER0_CONFIG + 2 * timer, config);
    }
    this.#machine.run(2 * Number(TIMER_TICKS));
  }
}

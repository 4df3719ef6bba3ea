// SPDX-License-Identifier: GPL-2.0-or-later

/** A partition for the tests of the simulated hypervisor, and a guest that sets itself up on it. */

import * as assert from 'uvu/assert';
import { Msr } from '../../src/hyperv/protocol.ts';
import type { HostEvent } from '../../tools/simulator/ledger/events.ts';
import { GuestCrash } from '../../tools/simulator/hypervisor/guest-end.ts';
import { Partition } from '../../tools/simulator/hypervisor/partition.ts';
import type { PartitionOptions } from '../../tools/simulator/hypervisor/partition.ts';
import type { HostKnobs, HostProfile } from '../../tools/simulator/profiles/profile.ts';
import { profileNamed, withKnobs } from '../../tools/simulator/profiles/profiles.ts';
import type { SimulatedProcessor } from '../../tools/simulator/hypervisor/simulated-processor.ts';

export const MEMORY_SIZE = 0x400000;

/** Where the guest of these tests puts its pages. */
export const Page = {
  HYPERCALL: 0x100000,
  SIMP: 0x101000,
  SIEFP: 0x102000,
  INPUT: 0x103000,
  OUTPUT: 0x104000,
} as const;

export const OS_ID = 0x98ae000000000000n;

export interface Fixture {
  readonly partition: Partition;
  /** The first processor. */
  readonly cpu: SimulatedProcessor;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** All events since the partition was made. */
  readonly events: HostEvent[];
}

/** The profile of this name with some knobs turned. */
export function profile(name = 'server2019', knobs: Partial<HostKnobs> = {}): HostProfile {
  const found = profileNamed(name);
  if (found === undefined) throw new Error(`no profile ${name}`);
  return withKnobs(found, knobs);
}

/** A fresh partition. */
export function create(
  knobs: Partial<HostKnobs> = {},
  options: Partial<PartitionOptions> = {},
): Fixture {
  const memory = options.memory ?? new ArrayBuffer(MEMORY_SIZE);
  const partition = new Partition({
    memory,
    profile: profile(undefined, knobs),
    seed: 1,
    ...options,
  });
  const events: HostEvent[] = [];
  partition.events.listen((event) => events.push(event));
  return {
    partition,
    cpu: partition.processors[0]!,
    view: partition.ram.view,
    bytes: partition.ram.bytes,
    events,
  };
}

/** Identity, hypercall page, SynIC and SINT2, as iPXE sets them up. */
export function setUp(cpu: SimulatedProcessor, sint2 = 0x20075n): void {
  cpu.wrmsr(Msr.GUEST_OS_ID, OS_ID);
  cpu.wrmsr(Msr.HYPERCALL, BigInt(Page.HYPERCALL) | 1n);
  setUpSynic(cpu, sint2);
}

/** SynIC and SINT2 alone. */
export function setUpSynic(
  cpu: SimulatedProcessor,
  sint2 = 0x20075n,
  simp: number = Page.SIMP,
  siefp: number = Page.SIEFP,
): void {
  cpu.wrmsr(Msr.SIMP, BigInt(simp) | 1n);
  cpu.wrmsr(Msr.SIEFP, BigInt(siefp) | 1n);
  cpu.wrmsr(Msr.SCONTROL, 1n);
  cpu.wrmsr(Msr.SINT0 + 2, sint2);
}

/** The guest crashes with this fault, and the reason is as expected. */
export function crashes(action: () => unknown, fault: '#GP' | '#UD', reason: RegExp): GuestCrash {
  try {
    action();
  } catch (error) {
    assert.instance(error, GuestCrash);
    const crash = error as GuestCrash;
    assert.is(crash.fault, fault);
    assert.match(crash.message, reason);
    return crash;
  }
  assert.unreachable(`no ${fault}`);
  throw new Error('unreachable');
}

/** Events of one kind. */
export function ofKind<K extends HostEvent['kind']>(
  events: readonly HostEvent[],
  kind: K,
): Extract<HostEvent, { kind: K }>[] {
  return events.filter((event): event is Extract<HostEvent, { kind: K }> => event.kind === kind);
}

/** Bytes as hexadecimal. */
export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

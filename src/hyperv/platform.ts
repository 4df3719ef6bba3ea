// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What differs between architectures, and nothing else: detection, synthetic registers, the
 * hypercall instruction. Everything above works on x64 and arm64 alike.
 *
 * Registers are named by their MSR number on every architecture, and what the hypervisor says of
 * itself by its CPUID leaf: arm64 has the same under other numbers. A register that the firmware
 * has no use for goes by the architecture's own number.
 */

import type { Log } from '../events.ts';
import type { CpuidRegisters, Machine } from '../machine.ts';

/** Where the time comes from. */
export interface ClockSource {
  /** For the boot log. */
  readonly name: string;
  /** Ticks of 100 ns, or undefined if it cannot tell at the moment. */
  read(): number | undefined;
}

/** The hypervisor as an architecture presents it. */
export interface Platform {
  readonly machine: Machine;
  /** Low bits of an unmasked SINT where nobody chooses: vector, automatic end of interrupt. */
  readonly sint: bigint;
  /**
   * Guest physical address of the page that hypercalls go through, 0 while there is none. Undefined
   * if they need none (arm64).
   */
  readonly hypercallPage?: number | undefined;
  /**
   * The hypercall register as it was found. No such method if hypercalls need no page (arm64).
   *
   * @throws HypxeError HypercallPageLocked
   */
  hypercallRegister?(): bigint;
  /**
   * Hypercalls go through this page from here on, 0 for none; where `written`, the register was.
   *
   * @throws HypxeError HypercallPageRefused
   */
  useHypercallPage?(address: number, written?: bigint): void;
  /** A clock of the architecture's own, better than all others (arm64). */
  clock?(log: Log): ClockSource | undefined;
  /** Look for Hyper-V. @throws HypxeError NoHypervisor, NotHyperV */
  identify(): void;
  /** Who the host says that it is, for the log. */
  vendor(): string;
  /** What CPUID says of the hypervisor: leaves {@link Cpuid}.HV_HYPERVISOR_ID and above. */
  facts(leaf: number): CpuidRegisters;
  /** Read a synthetic register. @throws HypxeError RegisterRefused (arm64) */
  read(register: number): bigint;
  /** Write a synthetic register. @throws HypxeError RegisterRefused: arm64; x64 if it survives */
  write(register: number, value: bigint): void;
  /**
   * Issue a hypercall with its input in memory and no output. Returns the status.
   *
   * @param control control word
   * @param input guest physical address of the input, 8-byte aligned, within one page
   */
  call(control: bigint, input: bigint): number;
}

/** Accesses of a register before it counts as refused: who is short of something refuses once. */
export const ACCESS_TRIES_MAX = 4;

/** What a driver's options say of its clock. */
export interface ClockChoice {
  readonly clock?: 'best' | 'counter';
  readonly preset?: string;
}

/** Whether the best clock is wanted that there is. */
export function wantsBestClock({ clock, preset }: ClockChoice): boolean {
  return clock === 'best' || (!clock && preset !== 'ipxe');
}

/** Makes the platform of a machine. @throws HypxeError ArchitectureUnsupported */
export type PlatformFactory = (machine: Machine) => Platform;

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What differs between architectures, and nothing else: detection, synthetic registers, the
 * hypercall instruction. Everything above works on x64 and arm64 alike.
 */

import { Msr } from './protocol.ts';

/** Synthetic registers by their architecture-neutral names. */
export type RegisterName = keyof typeof Msr;

/** Who the host says that it is, for the log. */
export interface HypervisorIdentity {
  readonly vendor: string;
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

/** A free-running counter of the processor: TSC or CNTVCT. */
export interface PlatformCounter {
  read(): bigint;
  /** In Hz if the architecture tells it (arm64), or undefined (x64: the TSC page does). */
  readonly frequency: number | undefined;
  /** The hypervisor offers the reference TSC page for it. Only after {@link Platform.detect}. */
  readonly hasReferencePage: boolean;
}

/** How SINTs are unmasked. */
export interface SintPolicy {
  /** Interrupt vector; on arm64 an interrupt ID. */
  readonly vector: number;
  /** Automatic end of interrupt. */
  readonly autoEoi: boolean;
}

/** The hypervisor as an architecture presents it. */
export interface Platform {
  /** Hypercalls need a page of guest memory (x64), or none (arm64). */
  readonly hasHypercallPage: boolean;
  /** How SINTs are unmasked where nobody chooses. */
  readonly sintPolicy: SintPolicy;
  /** A counter that runs by itself, or undefined. */
  readonly counter: PlatformCounter | undefined;
  /**
   * Look for Hyper-V and everything that is needed of it. Writes no register.
   *
   * @throws HypxeError with the name of what is missing
   */
  detect(): void;
  /** Vendor and version, for the log. Only after {@link detect}. */
  identify(): HypervisorIdentity;
  /** What the hypervisor recommends: HvRecommendation. */
  recommendations(): number;
  /** What the partition may access: HvFeature. */
  features(): number;
  /** What there is besides: HvMiscFeature. */
  miscFeatures(): number;
  /** Read a synthetic register; `index` counts from the named one (SINT0 + index). */
  read(register: RegisterName, index?: number): bigint;
  /** Write a synthetic register. */
  write(register: RegisterName, value: bigint, index?: number): void;
  /** Make hypercalls possible through a page (x64), or by themselves (arm64). */
  mapHypercallPage(address: number): void;
  /** Take that back. */
  unmapHypercallPage(): void;
  /**
   * Issue a hypercall with its input in memory and no output. Returns the status.
   *
   * @param control control word
   * @param input guest physical address of the input, 8-byte aligned, within one page
   */
  call(control: bigint, input: bigint): number;
}

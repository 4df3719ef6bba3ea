// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The seam between firmware and machine: all that a guest may touch.
 *
 * Nothing else gives the firmware time, entropy or input. Whoever implements one of these
 * interfaces (the simulator, a replay, a test of a few lines) can run the firmware; whoever calls
 * them (this firmware, a WebAssembly module) can run on the simulator.
 *
 * 64-bit values are `bigint` here. Inside the firmware whatever is known to lie below 2^53
 * (addresses, lengths, times) is a `number`.
 */

/** Hyper-V's page size in bytes, on every architecture (TLFS 2.1). */
export const PAGE_SIZE = 4096;

/** Sizes that a guest's own pages may have: 4 KiB, and on arm64 16 and 64 KiB too. */
export const GUEST_PAGE_SIZES: readonly number[] = [4096, 16384, 65536];

/** log2 of {@link PAGE_SIZE}. */
export const PAGE_SHIFT = 12;

/** One range of the guest's physical memory map. Ranges do not overlap. */
export interface MemoryRange {
  /** Guest physical address of the first byte. */
  readonly address: number;
  /** Length in bytes. */
  readonly length: number;
  /** `usable`: free for whoever runs; `reserved`: must not be touched by who comes next. */
  readonly type: 'usable' | 'reserved';
  /** Why a range is reserved, or what a range holds: for people and for the audit. */
  readonly purpose?: string;
}

/** The four registers that CPUID returns, as unsigned 32-bit numbers. */
export interface CpuidRegisters {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** What every architecture has. */
export interface MachineCommon {
  /**
   * Guest RAM: byte 0 is guest physical address 0. Never resized or replaced while a guest runs.
   */
  readonly memory: ArrayBufferLike;
  /** The memory map as the platform hands it to the firmware, sorted by address. */
  readonly memoryMap: readonly MemoryRange[];
  /**
   * Size of the guest's pages in bytes, one of {@link GUEST_PAGE_SIZES}; 4096 if it does not say.
   * The host is told of pages of {@link PAGE_SIZE} whatever this is, but memory is shared and
   * reserved in whole pages of the guest: that is how whoever comes next manages it.
   */
  readonly pageSize?: number;
  /**
   * UUID of the machine, as its SMBIOS tables have it: 16 bytes, the first three fields
   * little-endian. Told to DHCP servers (RFC 4578, 2.3), if the machine has one.
   */
  readonly uuid?: Uint8Array | undefined;
  /**
   * One turn of a polling loop. Nothing else gives time to the rest of the machine: no message, no
   * ring packet and no frame arrives unless the guest pauses, writes a register or calls the host.
   */
  pause(): void;
  /**
   * Wait for `ticks` of 100 ns without an access, as a firmware does that spins for so long. Not
   * called by this firmware, and not there on every machine: one without it is paused instead.
   */
  delay?(ticks: number): void;
  /**
   * Take an interrupt that was raised and not taken yet: its vector, or undefined if there is none.
   * For guests that are interrupted; this firmware polls.
   */
  takeInterrupt?(): number | undefined;
}

/** The instructions of an x86-64 guest. */
export interface X64Machine extends MachineCommon {
  readonly architecture: 'x64';
  /** CPUID of `leaf` with ECX = `subleaf`. Both unsigned 32-bit. */
  cpuid(leaf: number, subleaf: number): CpuidRegisters;
  /** RDMSR. Faults (ends the guest) for a register that the partition does not have. */
  rdmsr(msr: number): bigint;
  /**
   * WRMSR. Faults (ends the guest) for reserved bits, read-only or missing registers. A machine
   * that survives the fault (Linux `wrmsr_safe`) throws an error with an own property `status`.
   */
  wrmsr(msr: number, value: bigint): void;
  /**
   * CALL into the hypercall page at guest physical address `page` (identity mapped) with
   * RCX = `control`, RDX = `input`, R8 = `output`; returns RAX. A call to a page that is not the
   * enabled hypercall page is an invalid-opcode crash, as it would be for real.
   */
  callHypercallPage(page: number, control: bigint, input: bigint, output: bigint): bigint;
  /** RDTSC, if the machine has it: without it there is no clock but the reference counter. */
  rdtsc?(): bigint;
}

/** The instructions of an arm64 guest. */
export interface Arm64Machine extends MachineCommon {
  readonly architecture: 'arm64';
  /**
   * How hypercalls are made: by the SMCCC (`hvc #0`, function in X0; the default, as Linux does),
   * or by the older immediate form (`hvc #1`, as mu_msvm does).
   */
  readonly hypercallConvention?: 'smccc' | 'immediate';
  /** HVC with the given immediate. `registers` holds X0 to X17 and is updated in place. */
  hvc(immediate: number, registers: BigUint64Array): void;
  /** CNTVCT_EL0, the virtual counter. */
  readCounter(): bigint;
  /** CNTFRQ_EL0, its frequency in Hz: fixed for the life of a machine. */
  readonly counterFrequency: number;
}

/** A machine that the firmware runs on. */
export type Machine = X64Machine | Arm64Machine;

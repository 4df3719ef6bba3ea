// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The synthetic registers as data: one table by names that no architecture owns, and the numbers
 * under which an architecture reaches them (MSRs of x64, names of HvGetVpRegisters). Layouts, reset
 * values and privileges are those of the TLFS ("Synthetic Registers", "Partition Privilege Flags").
 */

import {
  HvMiscFeature,
  HvRegister,
  Msr,
  SINT_COUNT,
  STIMER_COUNT,
} from '../../../src/hyperv/protocol.ts';

/** What a register does beside holding a value. */
export type RegisterRole =
  | 'plain'
  | 'guest-os-id'
  | 'hypercall'
  | 'vp-index'
  | 'time'
  | 'tsc'
  | 'tsc-frequency'
  | 'reference-tsc'
  | 'vp-assist'
  | 'scontrol'
  | 'siefp'
  | 'simp'
  | 'eom'
  | 'sint'
  | 'stimer-config'
  | 'stimer-count'
  | 'crash-control';

/** One register. */
export interface RegisterDefinition {
  /** Name as in `Msr`; of SINTs and timers with their number: `SINT2`, `STIMER0_CONFIG`. */
  readonly name: string;
  /** Dense number: where its value lies. */
  readonly index: number;
  readonly role: RegisterRole;
  /** Number of the SINT or timer; 0 otherwise. */
  readonly ordinal: number;
  readonly scope: 'partition' | 'processor';
  readonly access: 'read-write' | 'read-only';
  readonly reset: bigint;
  /** Bits that fault unless they are zero. */
  readonly mustBeZero: bigint;
  /** Reserved bits that a guest should write back as it read them (RsvdP): logged if changed. */
  readonly preserve: bigint;
  /** Bits of CPUID 0x40000003 EAX and EDX that the partition needs; 0: none. */
  readonly features: number;
  readonly miscFeatures: number;
}

/** CPUID 0x40000003 EAX: access privileges that registers need (TLFS, partition privileges). */
const Needs = {
  TIME_REF_COUNT: 1 << 1,
  SYNIC: 1 << 2,
  SYNTHETIC_TIMERS: 1 << 3,
  APIC: 1 << 4,
  HYPERCALL: 1 << 5,
  VP_INDEX: 1 << 6,
  REFERENCE_TSC: 1 << 9,
  FREQUENCY: 1 << 11,
} as const;

/** IA32_TIME_STAMP_COUNTER (Intel SDM volume 4): every x64 processor has it, privileged or not. */
export const MSR_TSC = 0x10;

/** CRASH_CTL as it reads: notification (63) and message (62) are supported. */
export const CRASH_CTL_SUPPORTED = 0xc000000000000000n;

/** Reset value of a SINT: masked. */
const SINT_RESET = 0x10000n;

/** Bits 11:1 of a page register. */
const PAGE_RESERVED = 0xffen;

/** Bits 15:13 and 63:20 of a timer's configuration. */
const STIMER_CONFIG_RESERVED = 0xfffffffffff0e000n;

/** Bits of a SINT other than vector, masked, auto-EOI, polling, intercept and proxy. */
const SINT_RESERVED = 0xffffffffffe0ff00n;

const definitions: RegisterDefinition[] = [];

/** Enter a register into the table. */
function define(
  name: string,
  role: RegisterRole,
  features: number,
  more: Partial<Omit<RegisterDefinition, 'name' | 'role' | 'index' | 'features'>> = {},
): void {
  definitions.push({
    name,
    role,
    index: definitions.length,
    ordinal: 0,
    scope: 'processor',
    access: 'read-write',
    reset: 0n,
    mustBeZero: 0n,
    preserve: 0n,
    features,
    miscFeatures: 0,
    ...more,
  });
}

// Partition-wide
define('GUEST_OS_ID', 'guest-os-id', Needs.HYPERCALL, { scope: 'partition' });
define('HYPERCALL', 'hypercall', Needs.HYPERCALL, { scope: 'partition', mustBeZero: 0xffcn });
define('TIME_REF_COUNT', 'time', Needs.TIME_REF_COUNT, { scope: 'partition', access: 'read-only' });
define('REFERENCE_TSC', 'reference-tsc', Needs.REFERENCE_TSC, {
  scope: 'partition',
  mustBeZero: PAGE_RESERVED,
});
for (const name of ['TSC_FREQUENCY', 'APIC_FREQUENCY']) {
  define(name, name === 'TSC_FREQUENCY' ? 'tsc-frequency' : 'plain', Needs.FREQUENCY, {
    scope: 'partition',
    access: 'read-only',
    miscFeatures: HvMiscFeature.FREQUENCY_MSRS,
  });
}

// Of each virtual processor
define('TSC', 'tsc', 0, { access: 'read-only' });
define('VP_INDEX', 'vp-index', Needs.VP_INDEX, { access: 'read-only' });
define('VP_ASSIST_PAGE', 'vp-assist', Needs.APIC, { preserve: PAGE_RESERVED });
define('SCONTROL', 'scontrol', Needs.SYNIC, { preserve: 0xfffffffffffffffen });
define('SVERSION', 'plain', Needs.SYNIC, { access: 'read-only', reset: 1n });
define('SIEFP', 'siefp', Needs.SYNIC, { preserve: PAGE_RESERVED });
define('SIMP', 'simp', Needs.SYNIC, { preserve: PAGE_RESERVED });
define('EOM', 'eom', Needs.SYNIC);
define('SIRBP', 'plain', Needs.SYNIC, { preserve: PAGE_RESERVED });
for (let sint = 0; sint < SINT_COUNT; sint++) {
  define(`SINT${sint}`, 'sint', Needs.SYNIC, {
    ordinal: sint,
    reset: SINT_RESET,
    preserve: SINT_RESERVED,
  });
}
for (let timer = 0; timer < STIMER_COUNT; timer++) {
  define(`STIMER${timer}_CONFIG`, 'stimer-config', Needs.SYNTHETIC_TIMERS, {
    ordinal: timer,
    mustBeZero: STIMER_CONFIG_RESERVED,
  });
  define(`STIMER${timer}_COUNT`, 'stimer-count', Needs.SYNTHETIC_TIMERS, { ordinal: timer });
}
for (let parameter = 0; parameter < 5; parameter++) {
  define(`CRASH_P${parameter}`, 'plain', 0, { miscFeatures: HvMiscFeature.GUEST_CRASH });
}
define('CRASH_CTL', 'crash-control', 0, {
  miscFeatures: HvMiscFeature.GUEST_CRASH,
  reset: CRASH_CTL_SUPPORTED,
});

/** All registers, each at its index. */
export const REGISTERS: readonly RegisterDefinition[] = definitions;

const byName = new Map(definitions.map((register) => [register.name, register]));

/** The register of this name. @throws Error if there is none: a mistake in the simulator. */
export function registerNamed(name: string): RegisterDefinition {
  const register = byName.get(name);
  if (register === undefined) throw new Error(`no register ${name}`);
  return register;
}

/** Numbers to registers; `numbers` may name the first of SINTs and timers only. */
function numbered(
  numbers: Readonly<Record<string, number>>,
): ReadonlyMap<number, RegisterDefinition> {
  const map = new Map<number, RegisterDefinition>();
  for (const [name, number] of Object.entries(numbers)) map.set(number, registerNamed(name));
  for (let sint = 1; sint < SINT_COUNT; sint++) {
    map.set(numbers['SINT0']! + sint, registerNamed(`SINT${sint}`));
  }
  for (let timer = 1; timer < STIMER_COUNT; timer++) {
    map.set(numbers['STIMER0_CONFIG']! + 2 * timer, registerNamed(`STIMER${timer}_CONFIG`));
    map.set(numbers['STIMER0_COUNT']! + 2 * timer, registerNamed(`STIMER${timer}_COUNT`));
  }
  return map;
}

/** Registers by x64 MSR number. */
export const X64_MSRS = numbered({ ...Msr, TSC: MSR_TSC });

/** Registers that have 128 bits, and are CPUID leaves on x64. */
export const CPUID_VP_REGISTERS = [
  'HYPERVISOR_VERSION',
  'FEATURES',
  'ENLIGHTENMENTS',
  'IMPLEMENTATION_LIMITS',
  'INTERFACE_VERSION',
] as const;

/** Registers by the name that HvGetVpRegisters and HvSetVpRegisters use (HV_REGISTER_NAME). */
export const VP_REGISTERS = numbered(ownRegisters());

/** The numbers without those that CPUID holds on x64, which are no registers there. */
function ownRegisters(): Record<string, number> {
  const names = new Set<string>(CPUID_VP_REGISTERS);
  return Object.fromEntries(Object.entries(HvRegister).filter(([name]) => !names.has(name)));
}

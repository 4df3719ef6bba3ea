// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The synthetic registers as data: one table by names that no architecture owns, and the numbers
 * under which an architecture reaches them (MSRs of x64, names of HvGetVpRegisters). Layouts, reset
 * values and privileges are those of the TLFS ("Synthetic Registers", "Partition Privilege Flags").
 */

import { HvRegister, Msr, SINT_COUNT, STIMER_COUNT } from '../../../src/hyperv/protocol.ts';
import { Feature, MiscFeature } from './cpuid-bits.ts';

/** What a register does beside holding a value. */
export type RegisterRole =
  | 'plain'
  | 'guest-os-id'
  | 'hypercall'
  | 'vp-index'
  | 'vp-runtime'
  | 'guest-idle'
  | 'time'
  | 'tsc'
  | 'tsc-frequency'
  | 'reference-tsc'
  | 'tsc-emulation-status'
  | 'vp-assist'
  | 'scontrol'
  | 'siefp'
  | 'simp'
  | 'eom'
  | 'eoi'
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
  readonly access: 'read-write' | 'read-only' | 'write-only';
  readonly reset: bigint;
  /** Bits that fault unless they are zero. */
  readonly mustBeZero: bigint;
  /** Reserved bits that a guest should write back as it read them (RsvdP): logged if changed. */
  readonly preserve: bigint;
  /** Bits of CPUID 0x40000003 EAX and EDX that the partition needs; 0: none. */
  readonly features: number;
  readonly miscFeatures: number;
}

/** IA32_TIME_STAMP_COUNTER (Intel SDM volume 4): every x64 processor has it, privileged or not. */
export const MSR_TSC = 0x10;

/** Synthetic MSRs that no driver here uses (TLFS, "Synthetic MSRs"). */
const RARE_MSRS = {
  VP_RUNTIME: 0x40000010,
  NPIEP_CONFIG: 0x40000040,
  EOI: 0x40000070,
  ICR: 0x40000071,
  TPR: 0x40000072,
  GUEST_IDLE: 0x400000f0,
  REENLIGHTENMENT_CONTROL: 0x40000106,
  TSC_EMULATION_CONTROL: 0x40000107,
  TSC_EMULATION_STATUS: 0x40000108,
};

/** HV_REGISTER_NAME of VP_RUNTIME, which arm64 has too. */
const HV_REGISTER_VP_RUNTIME = 0x00090000;

/** CRASH_CTL as it reads: notification (63) and message (62) are supported. */
export const CRASH_CTL_SUPPORTED = 0xc000000000000000n;

/** Reset value of a SINT: masked. */
const SINT_RESET = 0x10000n;

/** Bits 11:1 of a page register. */
const PAGE_RESERVED = 0xffen;

/** Bits of TPR above its 8, of ICR besides command and destination: reserved. */
const TPR_RESERVED = 0xffffffffffffff00n;
const ICR_RESERVED = 0x00ffffff_fff33000n;

/** REENLIGHTENMENT_CONTROL but for vector, bit 16 and target VP; TSC emulation but for bit 0. */
const REENLIGHTENMENT_RESERVED = 0xfffeff00n;
const TSC_EMULATION_RESERVED = 0xfffffffffffffffen;

/** NPIEP_CONFIG but for SGDT, SIDT, SLDT and STR. */
const NPIEP_RESERVED = 0xfffffffffffffff0n;

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
define('GUEST_OS_ID', 'guest-os-id', Feature.HYPERCALL, { scope: 'partition' });
define('HYPERCALL', 'hypercall', Feature.HYPERCALL, { scope: 'partition', mustBeZero: 0xffcn });
define('TIME_REF_COUNT', 'time', Feature.TIME_REF_COUNT, {
  scope: 'partition',
  access: 'read-only',
});
define('REFERENCE_TSC', 'reference-tsc', Feature.REFERENCE_TSC, {
  scope: 'partition',
  mustBeZero: PAGE_RESERVED,
});
for (const name of ['TSC_FREQUENCY', 'APIC_FREQUENCY']) {
  define(name, name === 'TSC_FREQUENCY' ? 'tsc-frequency' : 'plain', Feature.FREQUENCY, {
    scope: 'partition',
    access: 'read-only',
    miscFeatures: MiscFeature.FREQUENCY_MSRS,
  });
}

define('REENLIGHTENMENT_CONTROL', 'plain', Feature.REENLIGHTENMENT, {
  scope: 'partition',
  mustBeZero: REENLIGHTENMENT_RESERVED,
});
define('TSC_EMULATION_CONTROL', 'plain', Feature.REENLIGHTENMENT, {
  scope: 'partition',
  mustBeZero: TSC_EMULATION_RESERVED,
});
define('TSC_EMULATION_STATUS', 'tsc-emulation-status', Feature.REENLIGHTENMENT, {
  scope: 'partition',
  mustBeZero: TSC_EMULATION_RESERVED,
});

// Of each virtual processor
define('TSC', 'tsc', 0, { access: 'read-only' });
define('VP_INDEX', 'vp-index', Feature.VP_INDEX, { access: 'read-only' });
define('VP_RUNTIME', 'vp-runtime', Feature.VP_RUNTIME, { access: 'read-only' });
define('NPIEP_CONFIG', 'plain', 0, {
  miscFeatures: MiscFeature.NPIEP,
  mustBeZero: NPIEP_RESERVED,
});
// There are no interrupts here: EOI and ICR are taken, and nothing comes of them
define('EOI', 'eoi', Feature.APIC, { access: 'write-only' });
define('ICR', 'plain', Feature.APIC, { preserve: ICR_RESERVED });
define('TPR', 'plain', Feature.APIC, { mustBeZero: TPR_RESERVED });
define('GUEST_IDLE', 'guest-idle', Feature.GUEST_IDLE, {
  access: 'read-only',
  miscFeatures: MiscFeature.GUEST_IDLE,
});
define('VP_ASSIST_PAGE', 'vp-assist', Feature.APIC, { preserve: PAGE_RESERVED });
define('SCONTROL', 'scontrol', Feature.SYNIC, { preserve: 0xfffffffffffffffen });
define('SVERSION', 'plain', Feature.SYNIC, { access: 'read-only', reset: 1n });
define('SIEFP', 'siefp', Feature.SYNIC, { preserve: PAGE_RESERVED });
define('SIMP', 'simp', Feature.SYNIC, { preserve: PAGE_RESERVED });
define('EOM', 'eom', Feature.SYNIC);
define('SIRBP', 'plain', Feature.SYNIC, { preserve: PAGE_RESERVED });
for (let sint = 0; sint < SINT_COUNT; sint++) {
  define(`SINT${sint}`, 'sint', Feature.SYNIC, {
    ordinal: sint,
    reset: SINT_RESET,
    preserve: SINT_RESERVED,
  });
}
for (let timer = 0; timer < STIMER_COUNT; timer++) {
  define(`STIMER${timer}_CONFIG`, 'stimer-config', Feature.SYNTHETIC_TIMERS, {
    ordinal: timer,
    mustBeZero: STIMER_CONFIG_RESERVED,
  });
  define(`STIMER${timer}_COUNT`, 'stimer-count', Feature.SYNTHETIC_TIMERS, { ordinal: timer });
}
for (let parameter = 0; parameter < 5; parameter++) {
  define(`CRASH_P${parameter}`, 'plain', 0, { miscFeatures: MiscFeature.GUEST_CRASH });
}
define('CRASH_CTL', 'crash-control', 0, {
  miscFeatures: MiscFeature.GUEST_CRASH,
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
export const X64_MSRS = numbered({ ...Msr, ...RARE_MSRS, TSC: MSR_TSC });

/** Registers that have 128 bits, and are CPUID leaves on x64. */
export const CPUID_VP_REGISTERS = [
  'HYPERVISOR_VERSION',
  'FEATURES',
  'ENLIGHTENMENTS',
  'IMPLEMENTATION_LIMITS',
  'INTERFACE_VERSION',
] as const;

/** Registers by the name that HvGetVpRegisters and HvSetVpRegisters use (HV_REGISTER_NAME). */
export const VP_REGISTERS = numbered({
  ...ownRegisters(),
  VP_RUNTIME: HV_REGISTER_VP_RUNTIME,
});

/** The numbers without those that CPUID holds on x64, which are no registers there. */
function ownRegisters(): Record<string, number> {
  const names = new Set<string>(CPUID_VP_REGISTERS);
  return Object.fromEntries(Object.entries(HvRegister).filter(([name]) => !names.has(name)));
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Hyper-V on arm64: hypercalls by HVC as the SMCCC has them, and every synthetic register through
 * HvGetVpRegisters and HvSetVpRegisters. There is no hypercall page (Linux arch/arm64/hyperv).
 */

import { HypxeError } from '../error.ts';
import type { Arm64Machine, CpuidRegisters, Machine } from '../machine.ts';
import { hex } from '../wire.ts';
import { ACCESS_TRIES_MAX, type Platform } from './platform.ts';
import {
  Cpuid,
  HV_PARTITION_ID_SELF,
  HV_SMCCC_HYPERCALL,
  HV_SMCCC_UID,
  HV_VP_INDEX_SELF,
  HvControl,
  HvRegister,
  Msr,
  SMCCC_VENDOR_HYP_UID,
} from './protocol.ts';

/** Interrupt ID of VMBus's SINT: PPI 2 (mu_msvm Dsdt.asl, VMOD device). No AUTO_EOI on arm64. */
const SINT_INTERRUPT_ID = 18n;

/** Registers that an HVC takes and returns: X0 to X17. */
const REGISTER_COUNT = 18;

/** Low 16 bits of the result of a hypercall: the status. With it the repetitions completed. */
const STATUS_MASK = 0xffffn;
const DONE_MASK = HvControl.REP_COUNT_MASK | 0xffffn;

/** Register access: fast, one repetition (Linux: 0x1_0001_0050 and 0x1_0001_0051). */
const GET_REGISTER = 0x1_0001_0050n;
const SET_REGISTER = 0x1_0001_0051n;
const REP_1 = 0x1_0000_0000n;

/** Registers in a row: the first MSR, the first VP register, how many. Others go by their own. */
const REGISTERS: readonly (readonly [from: number, to: number, count: number])[] = [
  [Msr.TIME_REF_COUNT, HvRegister.TIME_REF_COUNT, 1],
  [Msr.SCONTROL, HvRegister.SCONTROL, 5],
  [Msr.SINT0, HvRegister.SINT0, 16],
  [Msr.GUEST_OS_ID, HvRegister.GUEST_OS_ID, 1],
  [Msr.REFERENCE_TSC, HvRegister.REFERENCE_TSC, 1],
  [Msr.VP_ASSIST_PAGE, HvRegister.VP_ASSIST_PAGE, 1],
  [Msr.STIMER0_CONFIG, HvRegister.STIMER0_CONFIG, 8],
];

/** In X0: nobody knows the function (SMCCC_RET_NOT_SUPPORTED). */
const SMCCC_NOBODY = 0xffffffff;

/** From a CPUID leaf, from HV_FEATURES on, to the register that has the same. */
const FIRST_FACTS = HvRegister.FEATURES - Cpuid.HV_FEATURES;

export class Arm64Platform implements Platform {
  readonly machine: Arm64Machine;
  readonly sint = SINT_INTERRUPT_ID;
  protected readonly x = new BigUint64Array(REGISTER_COUNT);

  constructor(machine: Arm64Machine) {
    this.machine = machine;
  }

  /** Where a fast register read has its output: behind the inputs. */
  protected get output(): number {
    return 6;
  }

  identify(): void {
    // Check for Hyper-V: who answers at the SMCCC's vendor range (Linux hyperv_detect_via_smccc)
    const { x } = this;
    x.fill(0n);
    x[0] = BigInt(SMCCC_VENDOR_HYP_UID);
    this.machine.hvc(0, x);
    const words = Array.from(x.subarray(0, HV_SMCCC_UID.length), low);
    if (String(words) === String(HV_SMCCC_UID)) return;
    const name = words[0] === SMCCC_NOBODY ? 'NoHypervisor' : 'NotHyperV';
    throw new HypxeError(name, `hypervisor identity is ${words.map(hex).join('-')}`);
  }

  vendor(): string {
    return 'Microsoft Hv';
  }

  facts(leaf: number): CpuidRegisters {
    const known = leaf === Cpuid.HV_HYPERVISOR_ID;
    const number = known ? HvRegister.HYPERVISOR_VERSION : FIRST_FACTS + leaf;
    const first = this.read(number);
    const second = this.x[this.output + 1]!;
    return { eax: low(first), ebx: low(first >> 32n), ecx: low(second), edx: low(second >> 32n) };
  }

  read(register: number): bigint {
    return this.#access(GET_REGISTER, register);
  }

  write(register: number, value: bigint): void {
    this.#access(SET_REGISTER, register, value);
  }

  call(control: bigint, input: bigint): number {
    // The usual answer is compared, not converted: the hot path signals through here
    const result = this.hypercall(control, input);
    return result === 0n ? 0 : Number(result & STATUS_MASK);
  }

  /** One register: partition and processor are our own, then its number, padding, its value. */
  #access(control: bigint, register: number, value?: bigint): bigint {
    let number = register;
    for (const [from, to, count] of REGISTERS)
      if (register >= from && register < from + count) number += to - from;
    const own = BigInt(HV_VP_INDEX_SELF);
    for (let tries = 1; ; tries++) {
      const result = this.hypercall(control, HV_PARTITION_ID_SELF, own, BigInt(number), value);

      // A call that succeeds without having done its one repetition has not done it
      if ((result & DONE_MASK) === REP_1) return this.x[this.output]!;
      if (tries < ACCESS_TRIES_MAX) continue;
      const text = `register ${hex(number)}: result ${hex(result)}`;
      throw new HypxeError('RegisterRefused', text, Number(result & STATUS_MASK));
    }
  }

  /** @returns X0: the status, and how many repetitions were done */
  protected hypercall(control: bigint, first: bigint, second = 0n, third = 0n, fifth = 0n): bigint {
    const { x } = this;
    x.fill(0n);
    x[0] = BigInt(HV_SMCCC_HYPERCALL);
    x[1] = control;
    x[2] = first;
    x[3] = second;
    x[4] = third;
    x[6] = fifth;
    this.machine.hvc(0, x);
    return x[0];
  }
}

/**
 * The platform of an arm64 machine. All hosts take hypercalls by the SMCCC, and have the reference
 * counter: the older form, and the machine's own counter, are in `arm64-any.ts`.
 *
 * @throws HypxeError ArchitectureUnsupported
 */
export function arm64Platform(machine: Machine): Platform {
  if (machine.architecture === 'arm64') return new Arm64Platform(machine);
  throw new HypxeError('ArchitectureUnsupported', machine.architecture);
}

function low(word: bigint): number {
  return Number(word & 0xffffffffn);
}

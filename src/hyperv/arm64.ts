// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Hyper-V on arm64: hypercalls by HVC, and every synthetic register through HvGetVpRegisters and
 * HvSetVpRegisters. There is no hypercall page (Linux arch/arm64/hyperv, mu_msvm).
 */

import { HypxeError } from '../error.ts';
import type { Arm64Machine } from '../machine.ts';
import type {
  HypervisorIdentity,
  Platform,
  PlatformCounter,
  RegisterName,
  SintPolicy,
} from './platform.ts';
import {
  GuestOsId,
  HV_PARTITION_ID_SELF,
  HV_SMCCC_HYPERCALL,
  HV_SMCCC_UID,
  HV_VP_INDEX_SELF,
  HvCall,
  HvControl,
  HvFeature,
  HvPrivilege,
  HvRegister,
  SMCCC_VENDOR_HYP_UID,
} from './protocol.ts';

/** Interrupt ID of VMBus's SINT: PPI 2 (mu_msvm Dsdt.asl, VMOD device). */
const SINT_INTERRUPT_ID = 18;

/** Registers that an HVC takes and returns: X0 to X17. */
const REGISTER_COUNT = 18;

/** Low 16 bits of the result of a hypercall: the status. */
const STATUS_MASK = 0xffffn;

/** Repetitions completed, in bits 43:32 of the result. */
const REPS_SHIFT = 32n;
const REPS_MASK = 0xfffn;

/** Register access: fast, one repetition (Linux: 0x1_0001_0050 and 0x1_0001_0051). */
const REP_1 = 1n << HvControl.REP_COUNT_SHIFT;
const GET_REGISTER = BigInt(HvCall.GET_VP_REGISTERS) | HvControl.FAST | REP_1;
const SET_REGISTER = BigInt(HvCall.SET_VP_REGISTERS) | HvControl.FAST | REP_1;

const WORD = 0xffffffffn;

const VP_SELF = BigInt(HV_VP_INDEX_SELF);

/**
 * Where a convention has the control word, the first input register and the first output register
 * of a fast register read. SMCCC: outputs follow the inputs. Immediate: they end with X16.
 */
interface Convention {
  readonly immediate: number;
  readonly control: number;
  readonly input: number;
  readonly output: number;
}

const SMCCC: Convention = { immediate: 0, control: 1, input: 2, output: 6 };
const IMMEDIATE: Convention = { immediate: 1, control: 0, input: 1, output: 15 };

export class Arm64Platform implements Platform {
  readonly hasHypercallPage = false;
  /** PPI 18, as the DSDT has it (mu_msvm); arm64 has no automatic end of interrupt. */
  readonly sintPolicy: SintPolicy = { vector: SINT_INTERRUPT_ID, autoEoi: false };
  readonly #machine: Arm64Machine;
  readonly #convention: Convention;
  readonly #x = new BigUint64Array(REGISTER_COUNT);
  /** Low word of the features register, after detect. */
  #features = 0;

  constructor(machine: Arm64Machine) {
    this.#machine = machine;
    this.#convention = machine.hypercallConvention === 'immediate' ? IMMEDIATE : SMCCC;
  }

  detect(): void {
    // Check for Hyper-V: who answers at the SMCCC's vendor range (Linux hyperv_detect_via_smccc)
    this.#x.fill(0n);
    this.#x[0] = BigInt(SMCCC_VENDOR_HYP_UID);
    this.#machine.hvc(SMCCC.immediate, this.#x);
    const words = [0, 1, 2, 3].map((i) => Number(this.#x[i]! & WORD));
    if (words[0] === 0xffffffff) {
      throw new HypxeError('NoHypervisor', 'no hypervisor answers SMCCC calls');
    }
    if (words.some((word, i) => word !== HV_SMCCC_UID[i])) {
      const text = words.map((word) => word.toString(16).padStart(8, '0')).join('-');
      throw new HypxeError('NotHyperV', `hypervisor identity is ${text}`);
    }

    // Check for features and privileges, as CPUID leaf 0x40000003 has them on x64
    this.#requireFeatures(this.#readNumber(HvRegister.FEATURES));

    // Do not steal ownership from the UEFI firmware
    const owner = this.read('GUEST_OS_ID');
    if (owner === GuestOsId.UEFI_ARM64) {
      throw new HypxeError('OwnedByUefi', 'guest is owned by the UEFI firmware');
    }
  }

  get counter(): PlatformCounter | undefined {
    const machine = this.#machine;
    const hasReferencePage = (this.#features & HvFeature.REFERENCE_TSC) !== 0;
    const frequency = machine.counterFrequency;
    return { read: () => machine.readCounter(), frequency, hasReferencePage };
  }

  features(): number {
    return Number(this.#readNumber(HvRegister.FEATURES) & WORD);
  }

  miscFeatures(): number {
    this.#readNumber(HvRegister.FEATURES);
    return Number(this.#x[this.#convention.output + 1]! >> 32n);
  }

  recommendations(): number {
    return Number(this.#readNumber(HvRegister.ENLIGHTENMENTS) & WORD);
  }

  #requireFeatures(features: bigint): void {
    const access = Number(features & WORD);
    this.#features = access;
    const privileges = Number((features >> 32n) & WORD);
    const seen = `features are 0x${access.toString(16)}:0x${privileges.toString(16)}`;
    if (!(access & HvFeature.SYNIC)) {
      throw new HypxeError('NoSynic', `no SynIC registers (${seen})`);
    }
    if (!(privileges & HvPrivilege.POST_MESSAGES)) {
      throw new HypxeError('NoPostMessages', `may not post messages (${seen})`);
    }
    if (!(privileges & HvPrivilege.SIGNAL_EVENTS)) {
      throw new HypxeError('NoSignalEvents', `may not signal events (${seen})`);
    }
    if (!(access & HvFeature.TIME_REF_COUNT)) {
      throw new HypxeError('NoReferenceTime', `no reference counter (${seen})`);
    }
  }

  identify(): HypervisorIdentity {
    const version = this.#readNumber(HvRegister.HYPERVISOR_VERSION);
    const build = Number(version & WORD);
    const number = Number(version >> 32n);
    return { vendor: 'Microsoft Hv', major: number >>> 16, minor: number & 0xffff, build };
  }

  /** @throws HypxeError RegisterRefused with the hypercall's status */
  read(register: RegisterName, index = 0): bigint {
    return this.#readNumber(registerNumber(register) + index);
  }

  /** @throws HypxeError RegisterRefused with the hypercall's status */
  write(register: RegisterName, value: bigint, index = 0): void {
    const number = registerNumber(register) + index;
    const { input, control } = this.#convention;
    this.#begin(control, SET_REGISTER, input, number);
    this.#x[input + 4] = value;
    this.#machine.hvc(this.#convention.immediate, this.#x);
    this.#check(number, 'write');
  }

  mapHypercallPage(): void {}

  unmapHypercallPage(): void {}

  call(control: bigint, input: bigint): number {
    this.#x.fill(0n);
    this.#setFunction();
    this.#x[this.#convention.control] = control;
    this.#x[this.#convention.input] = input;
    this.#machine.hvc(this.#convention.immediate, this.#x);
    // The usual answer is compared, not converted: the hot path signals through here
    const result = this.#x[0]!;
    return result === 0n ? 0 : Number(result & STATUS_MASK);
  }

  #readNumber(number: number): bigint {
    const { input, output, control } = this.#convention;
    this.#begin(control, GET_REGISTER, input, number);
    this.#machine.hvc(this.#convention.immediate, this.#x);
    this.#check(number, 'read');
    return this.#x[output]!;
  }

  /** Partition and processor are our own; then the register's number, 32 bits and padding. */
  #begin(control: number, word: bigint, input: number, number: number): void {
    this.#x.fill(0n);
    this.#setFunction();
    this.#x[control] = word;
    this.#x[input] = HV_PARTITION_ID_SELF;
    this.#x[input + 1] = VP_SELF;
    this.#x[input + 2] = BigInt(number);
  }

  #setFunction(): void {
    if (this.#convention === SMCCC) this.#x[0] = BigInt(HV_SMCCC_HYPERCALL);
  }

  /** A call that succeeds without having done its one repetition has not done it. */
  #check(number: number, what: string): void {
    const result = this.#x[0]!;
    const status = Number(result & STATUS_MASK);
    const reps = Number((result >> REPS_SHIFT) & REPS_MASK);
    if (status === 0 && reps === 1) return;
    const text = `${what} of register 0x${number.toString(16)}: status 0x${status.toString(16)}`;
    throw new HypxeError('RegisterRefused', `${text}, ${reps} done`, status);
  }
}

/** Number of a register that arm64 has. @throws HypxeError RegisterRefused */
function registerNumber(register: RegisterName): number {
  const number = (HvRegister as Readonly<Record<string, number>>)[register];
  if (number !== undefined) return number;
  throw new HypxeError('RegisterRefused', `arm64 has no register ${register}`);
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Hyper-V on arm64: hypercalls by HVC, and every synthetic register through HvGetVpRegisters and
 * HvSetVpRegisters. There is no hypercall page (Linux arch/arm64/hyperv, mu_msvm).
 */

import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';
import type { Arm64Machine, CpuidRegisters, Machine } from '../machine.ts';
import { hex } from '../wire.ts';
import {
  persist,
  wantsBestClock,
  type ClockChoice,
  type ClockSource,
  type Platform,
} from './platform.ts';
import {
  Cpuid,
  HV_PARTITION_ID_SELF,
  HV_REFERENCE_HZ,
  HV_SMCCC_HYPERCALL,
  HV_SMCCC_UID,
  HV_VP_INDEX_SELF,
  HvCall,
  HvControl,
  HvRegister,
  Msr,
  SMCCC_VENDOR_HYP_UID,
} from './protocol.ts';

/** Interrupt ID of VMBus's SINT: PPI 2 (mu_msvm Dsdt.asl, VMOD device). No AUTO_EOI on arm64. */
const SINT_INTERRUPT_ID = 18n;

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

/** Frequencies that a counter may have, in Hz: below a tick it is no clock. */
const FREQUENCY_MIN = HV_REFERENCE_HZ / 10;
const FREQUENCY_MAX = 100_000_000_000;

/** Registers in a row: the first MSR, the first VP register, how many. */
const REGISTERS: readonly (readonly [from: number, to: number, count: number])[] = [
  [Msr.TIME_REF_COUNT, HvRegister.TIME_REF_COUNT, 1],
  [Msr.SCONTROL, HvRegister.SCONTROL, 5],
  [Msr.SINT0, HvRegister.SINT0, 16],
  [Msr.GUEST_OS_ID, HvRegister.GUEST_OS_ID, 1],
  [Msr.REFERENCE_TSC, HvRegister.REFERENCE_TSC, 1],
  [Msr.VP_ASSIST_PAGE, HvRegister.VP_ASSIST_PAGE, 1],
  [Msr.STIMER0_CONFIG, HvRegister.STIMER0_CONFIG, 8],
  [Msr.CRASH_P0, HvRegister.CRASH_P0, 6],
];

/** From a CPUID leaf, from HV_FEATURES on, to the register that has the same. */
const FIRST_FACTS = HvRegister.FEATURES - Cpuid.HV_FEATURES;

/** Hypercalls by SMCCC have their function in X0, the older ones an immediate; inputs follow. */
const SMCCC = 0;
const IMMEDIATE = 1;

/** Where a fast register read has its output: behind the inputs, or so that it ends with X16. */
const OUTPUT = [6, 15] as const;

class Arm64Platform implements Platform {
  readonly machine: Arm64Machine;
  readonly sint = SINT_INTERRUPT_ID;
  readonly hypercallPage = undefined;
  readonly #convention: typeof SMCCC | typeof IMMEDIATE;
  readonly #x = new BigUint64Array(REGISTER_COUNT);

  readonly #hasClock: boolean;

  constructor(machine: Arm64Machine, choice: ClockChoice) {
    this.machine = machine;
    this.#hasClock = wantsBestClock(choice);
    this.#convention = machine.hypercallConvention === 'immediate' ? IMMEDIATE : SMCCC;
  }

  /** The virtual counter: Hyper-V guarantees its frequency (Linux clocks.rst). */
  clock(log: Log): ClockSource | undefined {
    const { counterFrequency: frequency } = this.machine;
    if (!this.#hasClock) return undefined;
    if (!(frequency >= FREQUENCY_MIN && frequency <= FREQUENCY_MAX)) {
      log.warning('HV', '', `counter frequency of ${frequency} Hz is impossible: not used`);
      return undefined;
    }
    const hz = BigInt(Math.round(frequency));
    return {
      name: `architectural counter, ${frequency} Hz`,
      read: () => Number((this.machine.readCounter() * BigInt(HV_REFERENCE_HZ)) / hz),
    };
  }

  identify(): void {
    // Check for Hyper-V: who answers at the SMCCC's vendor range (Linux hyperv_detect_via_smccc)
    this.#x.fill(0n);
    this.#x[0] = BigInt(SMCCC_VENDOR_HYP_UID);
    this.machine.hvc(SMCCC, this.#x);
    const words = Array.from(this.#x.subarray(0, HV_SMCCC_UID.length), low);
    if (words[0] === 0xffffffff) {
      throw new HypxeError('NoHypervisor', 'no hypervisor answers SMCCC calls');
    }
    if (String(words) !== String(HV_SMCCC_UID)) {
      throw new HypxeError('NotHyperV', `hypervisor identity is ${words.map(hex).join('-')}`);
    }
  }

  vendor(): string {
    return 'Microsoft Hv';
  }

  facts(leaf: number): CpuidRegisters {
    const known = leaf === Cpuid.HV_HYPERVISOR_ID;
    const number = known ? HvRegister.HYPERVISOR_VERSION : FIRST_FACTS + leaf;
    const first = this.#access(GET_REGISTER, number);
    const second = this.#x[OUTPUT[this.#convention] + 1]!;
    return { eax: low(first), ebx: low(first >> 32n), ecx: low(second), edx: low(second >> 32n) };
  }

  read(register: number): bigint {
    const number = registerNumber(register);
    return persist(() => this.#access(GET_REGISTER, number));
  }

  write(register: number, value: bigint): void {
    const number = registerNumber(register);
    persist(() => this.#access(SET_REGISTER, number, value));
  }

  call(control: bigint, input: bigint): number {
    // The usual answer is compared, not converted: the hot path signals through here
    const result = this.#hypercall(control, input);
    return result === 0n ? 0 : Number(result & STATUS_MASK);
  }

  /** One register: partition and processor are our own, then its number, padding, its value. */
  #access(control: bigint, number: number, value?: bigint): bigint {
    const result = this.#hypercall(
      control,
      HV_PARTITION_ID_SELF,
      BigInt(HV_VP_INDEX_SELF),
      BigInt(number),
      value,
    );

    // A call that succeeds without having done its one repetition has not done it
    const status = Number(result & STATUS_MASK);
    const reps = (result >> REPS_SHIFT) & REPS_MASK;
    if (status === 0 && reps === 1n) return this.#x[OUTPUT[this.#convention]]!;
    const what = control === GET_REGISTER ? 'read' : 'write';
    const text = `${what} of register ${hex(number)}: status ${hex(status)}, ${reps} done`;
    throw new HypxeError('RegisterRefused', text, status);
  }

  /** @returns X0: the status, and how many repetitions were done */
  #hypercall(control: bigint, first: bigint, second = 0n, third = 0n, fifth = 0n): bigint {
    const x = this.#x;
    const at = 1 - this.#convention;
    x.fill(0n);
    x[0] = BigInt(HV_SMCCC_HYPERCALL);
    x[at] = control;
    x[at + 1] = first;
    x[at + 2] = second;
    x[at + 3] = third;
    x[at + 5] = fifth;
    this.machine.hvc(this.#convention, x);
    return x[0];
  }
}

/**
 * The platform of an arm64 machine, with its own clock unless it is not wanted.
 *
 * @throws HypxeError ArchitectureUnsupported
 */
export function arm64Platform(machine: Machine, choice: ClockChoice = {}): Platform {
  if (machine.architecture === 'arm64') return new Arm64Platform(machine, choice);
  const text = `architecture is ${machine.architecture}`;
  throw new HypxeError('ArchitectureUnsupported', text);
}

/** VP register number of what x64 has as an MSR. @throws HypxeError RegisterRefused */
function registerNumber(register: number): number {
  for (const [from, to, count] of REGISTERS) {
    if (register >= from && register < from + count) return register - from + to;
  }
  throw new HypxeError('RegisterRefused', `arm64 has no register ${hex(register)}`);
}

function low(word: bigint): number {
  return Number(word & 0xffffffffn);
}

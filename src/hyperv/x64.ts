// SPDX-License-Identifier: GPL-2.0-or-later

/** Hyper-V on x86-64: CPUID, MSRs and the hypercall page (iPXE arch/x86/drivers/hyperv). */

import { HypxeError, isNamed } from '../error.ts';
import type { CpuidRegisters, Machine, X64Machine } from '../machine.ts';
import { hex, wordBytes } from '../wire.ts';
import { ACCESS_TRIES_MAX, type Platform } from './platform.ts';
import {
  CPUID_HYPERVISOR_PRESENT,
  Cpuid,
  HV_HYPERCALL_LOCKED,
  HV_INTERFACE_ID,
  Msr,
  Sint,
} from './protocol.ts';

/**
 * Interrupt vector of SINTs: IRQ 13 (the FPU), whose handler does nothing. The SINT must really be
 * unmasked: hosts deliver no message for a masked one, whatever the documents say (iPXE
 * hv_enable_sint).
 */
const SINT_VECTOR = 0x75n;

/** Bytes of the vendor's name: three registers. */
const VENDOR_ID_LENGTH = 12;

/** Low 16 bits of the result of a hypercall: the status. */
const STATUS_MASK = 0xffffn;

class X64Platform implements Platform {
  readonly machine: X64Machine;
  readonly sint = SINT_VECTOR | Sint.AUTO_EOI;
  hypercallPage = 0;

  constructor(machine: X64Machine) {
    this.machine = machine;
  }

  identify(): void {
    // Check for any hypervisor, and for Hyper-V. The maximum leaf is not looked at, as in iPXE
    const present = this.facts(Cpuid.FEATURES).ecx & CPUID_HYPERVISOR_PRESENT;
    const id = present && this.facts(Cpuid.HV_INTERFACE_ID).eax;
    if (id === HV_INTERFACE_ID) return;
    const name = present ? 'NotHyperV' : 'NoHypervisor';
    throw new HypxeError(name, `hypervisor interface is ${hex(id)}`);
  }

  vendor(): string {
    const { ebx, ecx, edx } = this.facts(Cpuid.HV_VENDOR_ID);
    return String.fromCharCode(...wordBytes(VENDOR_ID_LENGTH, ebx, ecx, edx));
  }

  facts(leaf: number): CpuidRegisters {
    return this.machine.cpuid(leaf, 0);
  }

  read(register: number): bigint {
    return this.machine.rdmsr(register);
  }

  write(register: number, value: bigint): void {
    for (let tries = 1; ; tries++) {
      try {
        this.machine.wrmsr(register, value);
        return;
      } catch (error) {
        if (!isNamed(error)) throw error;
        if (tries === ACCESS_TRIES_MAX)
          throw new HypxeError('RegisterRefused', error.message, error.status);
      }
    }
  }

  hypercallRegister(): bigint {
    // A locked hypercall page cannot be moved: writing the register would fault
    const found = this.read(Msr.HYPERCALL);
    if (!(found & HV_HYPERCALL_LOCKED)) return found;
    throw new HypxeError('HypercallPageLocked', `hypercall register is ${hex(found)}`);
  }

  useHypercallPage(address: number, written = 0n): void {
    // Without this one there is no call: see that it is where it should be
    const now = written && this.read(Msr.HYPERCALL);
    if (now !== written) {
      const text = `wrote ${hex(written)}, read ${hex(now)}`;
      throw new HypxeError('HypercallPageRefused', text);
    }
    this.hypercallPage = address;
  }

  call(control: bigint, input: bigint): number {
    const result = this.machine.callHypercallPage(this.hypercallPage, control, input, 0n);
    // The usual answer is compared, not converted: the hot path signals through here
    return result === 0n ? 0 : Number(result & STATUS_MASK);
  }
}

/** The platform of an x64 machine. @throws HypxeError ArchitectureUnsupported */
export function x64Platform(machine: Machine): Platform {
  if (machine.architecture === 'x64') return new X64Platform(machine);
  throw new HypxeError('ArchitectureUnsupported', machine.architecture);
}

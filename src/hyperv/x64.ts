// SPDX-License-Identifier: GPL-2.0-or-later

/** Hyper-V on x86-64: CPUID, MSRs and the hypercall page (iPXE arch/x86/drivers/hyperv). */

import { HypxeError } from '../error.ts';
import type { CpuidRegisters, X64Machine } from '../machine.ts';
import type {
  HypervisorIdentity,
  Platform,
  PlatformCounter,
  RegisterName,
  SintPolicy,
} from './platform.ts';
import {
  CPUID_HYPERVISOR_PRESENT,
  Cpuid,
  GuestOsId,
  HV_ENABLE,
  HV_HYPERCALL_LOCKED,
  HV_INTERFACE_ID,
  HV_PAGE_REGISTER_MASK,
  HvFeature,
  HvPrivilege,
  Msr,
} from './protocol.ts';

/**
 * Interrupt vector of SINTs: IRQ 13 (the FPU), whose handler does nothing. The SINT must really be
 * unmasked: hosts deliver no message for a masked one, whatever the documents say (iPXE
 * hv_enable_sint).
 */
const SINT_VECTOR = 0x75;

/** Low 16 bits of the result of a hypercall: the status. */
const STATUS_MASK = 0xffffn;

export class X64Platform implements Platform {
  readonly hasHypercallPage = true;
  readonly sintPolicy: SintPolicy = { vector: SINT_VECTOR, autoEoi: true };
  readonly #machine: X64Machine;
  /** CPUID 0x40000003 EAX, after detect. */
  #features = 0;
  /** Address of the mapped hypercall page, or 0. */
  #hypercallPage = 0;
  /** The hypercall register as {@link detect} has read it, until the page is mapped. */
  #detected: bigint | undefined;

  constructor(machine: X64Machine) {
    this.#machine = machine;
  }

  detect(): void {
    const machine = this.#machine;

    // Check for any hypervisor
    if (!(machine.cpuid(Cpuid.FEATURES, 0).ecx & CPUID_HYPERVISOR_PRESENT)) {
      throw new HypxeError('NoHypervisor', 'CPUID shows no hypervisor');
    }

    // Check for Hyper-V. The maximum leaf is not looked at: neither does iPXE
    const id = machine.cpuid(Cpuid.HV_INTERFACE_ID, 0).eax;
    if (id !== HV_INTERFACE_ID) {
      throw new HypxeError('NotHyperV', `hypervisor interface is 0x${id.toString(16)}`);
    }

    // Check for features and privileges: touching what is missing reboots a guest (iPXE b6889eaa1)
    this.#requireFeatures(machine.cpuid(Cpuid.HV_FEATURES, 0));

    // Do not steal ownership from the Gen 2 UEFI firmware: that crashes the VM (iPXE 936657832)
    const owner = machine.rdmsr(Msr.GUEST_OS_ID);
    if (owner === GuestOsId.UEFI) {
      throw new HypxeError('OwnedByUefi', 'guest is owned by the Gen 2 UEFI firmware');
    }

    // A locked hypercall page cannot be moved: writing the register would fault
    const hypercall = machine.rdmsr(Msr.HYPERCALL);
    if (hypercall & HV_HYPERCALL_LOCKED) {
      const text = `hypercall register is locked at 0x${hypercall.toString(16)}`;
      throw new HypxeError('HypercallPageLocked', text);
    }
    this.#detected = hypercall;
  }

  #requireFeatures(features: CpuidRegisters): void {
    const { eax, ebx } = features;
    this.#features = eax;
    const seen = `features are 0x${eax.toString(16)}:0x${ebx.toString(16)}`;
    if (!(eax & HvFeature.HYPERCALL)) {
      throw new HypxeError('NoHypercallRegister', `no hypercall MSR (${seen})`);
    }
    if (!(eax & HvFeature.SYNIC)) {
      throw new HypxeError('NoSynic', `no SynIC MSRs (${seen})`);
    }
    if (!(ebx & HvPrivilege.POST_MESSAGES)) {
      throw new HypxeError('NoPostMessages', `may not post messages (${seen})`);
    }
    if (!(ebx & HvPrivilege.SIGNAL_EVENTS)) {
      throw new HypxeError('NoSignalEvents', `may not signal events (${seen})`);
    }
    if (!(eax & HvFeature.TIME_REF_COUNT)) {
      throw new HypxeError('NoReferenceTime', `no reference counter (${seen})`);
    }
  }

  get counter(): PlatformCounter | undefined {
    const machine = this.#machine;
    if (machine.rdtsc === undefined) return undefined;
    const hasReferencePage = (this.#features & HvFeature.REFERENCE_TSC) !== 0;
    return { read: () => machine.rdtsc!(), frequency: undefined, hasReferencePage };
  }

  identify(): HypervisorIdentity {
    const vendor = this.#machine.cpuid(Cpuid.HV_VENDOR_ID, 0);
    const version = this.#machine.cpuid(Cpuid.HV_HYPERVISOR_ID, 0);
    return {
      vendor: text(vendor.ebx) + text(vendor.ecx) + text(vendor.edx),
      major: version.ebx >>> 16,
      minor: version.ebx & 0xffff,
      build: version.eax,
    };
  }

  features(): number {
    return this.#machine.cpuid(Cpuid.HV_FEATURES, 0).eax;
  }

  miscFeatures(): number {
    return this.#machine.cpuid(Cpuid.HV_FEATURES, 0).edx;
  }

  recommendations(): number {
    // Hosts that have no such leaf recommend nothing
    const max = this.#machine.cpuid(Cpuid.HV_VENDOR_ID, 0).eax;
    if (max < Cpuid.HV_ENLIGHTENMENTS) return 0;
    return this.#machine.cpuid(Cpuid.HV_ENLIGHTENMENTS, 0).eax;
  }

  read(register: RegisterName, index = 0): bigint {
    return this.#machine.rdmsr(Msr[register] + index);
  }

  write(register: RegisterName, value: bigint, index = 0): void {
    this.#machine.wrmsr(Msr[register] + index, value);
  }

  mapHypercallPage(address: number): void {
    // Keep the reserved bits as they are, as iPXE does. Each read is an exit: not twice in a row
    const old = this.#detected ?? this.read('HYPERCALL');
    this.#detected = undefined;
    const value = (old & HV_PAGE_REGISTER_MASK) | BigInt(address) | HV_ENABLE;
    this.write('HYPERCALL', value);
    const seen = this.read('HYPERCALL');
    if (seen !== value) {
      const what = `wrote 0x${value.toString(16)}, read 0x${seen.toString(16)}`;
      throw new HypxeError('HypercallPageRefused', `hypercall register: ${what}`);
    }
    this.#hypercallPage = address;
  }

  unmapHypercallPage(): void {
    const old = this.read('HYPERCALL');
    this.write('HYPERCALL', old & HV_PAGE_REGISTER_MASK & ~HV_ENABLE);
    this.#hypercallPage = 0;
  }

  call(control: bigint, input: bigint): number {
    const result = this.#machine.callHypercallPage(this.#hypercallPage, control, input, 0n);
    // The usual answer is compared, not converted: the hot path signals through here
    return result === 0n ? 0 : Number(result & STATUS_MASK);
  }
}

/** Four characters that a CPUID register holds. */
function text(register: number): string {
  return String.fromCharCode(
    register & 0xff,
    (register >>> 8) & 0xff,
    (register >>> 16) & 0xff,
    register >>> 24,
  );
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Access to the synthetic registers, whatever the architecture: privileges, reserved bits, and what
 * a write does. An access that the hypervisor refuses throws {@link RegisterFault}, of which the
 * caller makes a #GP or a hypercall status.
 */

import {
  Cpuid,
  HV_ENABLE,
  HV_HYPERCALL_LOCKED,
  HV_PAGE_REGISTER_MASK,
} from '../../../src/hyperv/protocol.ts';
import { PAGE_SIZE } from '../../../src/machine.ts';
import type { Architecture, CounterTraits } from './architecture.ts';
import type { VirtualClock } from '../base/clock.ts';
import { CRASH_PARAMETERS, crashReport } from './crash-report.ts';
import type { CpuidLeaves } from './cpuid.ts';
import { MiscFeature } from './cpuid-bits.ts';
import type { HostEvents } from '../ledger/events.ts';
import { hex } from '../base/hex.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import type { OverlayPage, OverlayPages } from './overlay.ts';
import type { HostKnobs } from '../profiles/profile.ts';
import { ReferenceTsc, type Migration } from './reference-tsc.ts';
import { registerNamed, REGISTERS } from './registers.ts';
import type { RegisterDefinition } from './registers.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import type { Keeper } from '../base/snapshot.ts';

/** The hypervisor refuses an access to a register. */
export class RegisterFault extends Error {}

/** Frequency of the local APIC's timer in Hz, as APIC_FREQUENCY reports it. */
const APIC_HZ = 200_000_000n;

/** SINT: bits 7:0 vector, 16 masked. Vectors below 16 are the processor's own. */
const SINT_MASKED = 0x10000n;
const SINT_VECTOR = 0xffn;
/** SINT bit 18, where the host has it: no interrupts, the guest polls. */
const SINT_POLLING = 0x40000n;
const LOWEST_VECTOR = 16n;

/** Direct mode of a synthetic timer. */
const STIMER_DIRECT = 1n << 12n;

/** Hypercall page: `vmcall; ret` (Intel), the rest int3. */
const HYPERCALL_CODE: readonly number[] = [0x0f, 0x01, 0xc1, 0xc3];
const INT3 = 0xcc;

/** CRASH_CTL: bit 63 notifies, bit 62 says that P3 and P4 are address and length of a text. */
const CRASH_NOTIFY = 1n << 63n;
const CRASH_MESSAGE = 1n << 62n;

/** Most reports of crashes that are kept. */
const CRASH_REPORTS_MAX = 16;

const GUEST_OS_ID = registerNamed('GUEST_OS_ID').index;
const HYPERCALL = registerNamed('HYPERCALL').index;
const TSC_EMULATION_CONTROL = registerNamed('TSC_EMULATION_CONTROL').index;
const TSC_EMULATION_STATUS = registerNamed('TSC_EMULATION_STATUS').index;
const CRASH_P0 = registerNamed('CRASH_P0').index;

/** What the registers work on. */
export interface RegisterContext {
  readonly architecture: Architecture;
  readonly ram: GuestRam;
  readonly clock: VirtualClock;
  readonly events: HostEvents;
  readonly overlays: OverlayPages;
  readonly knobs: HostKnobs;
  readonly cpuid: CpuidLeaves;
  /** All processors, once there are any. */
  readonly processors: readonly VirtualProcessor[];
  /** The counter of the processors, and the code of the hypercall page, if it is another one. */
  readonly counter: CounterTraits;
  readonly hypercallCode?: readonly number[] | undefined;
}

export class RegisterFile {
  readonly hypercallPage: OverlayPage;
  readonly referenceTsc: ReferenceTsc;
  /** The last crashes that the guest has reported, since the reset. */
  readonly crashReports: string[] = [];
  readonly #context: RegisterContext;
  /** Values of the partition-wide registers, by register index. */
  readonly #values = new BigUint64Array(REGISTERS.length);
  readonly #features: number;
  readonly #miscFeatures: number;
  readonly #isHyperV: boolean;
  /** Rate of the host's counter while the guest has an emulated one. */
  #emulatedFor: bigint | undefined;
  /** When the processors were reset last. */
  #resetAt = 0;

  constructor(context: RegisterContext) {
    this.#context = context;
    const { overlays, clock, cpuid } = context;
    this.hypercallPage = overlays.create('hypercall-page', 'hypercall page');
    this.referenceTsc = new ReferenceTsc(
      overlays.create('reference-tsc-page', 'reference TSC page'),
      overlays,
      clock,
      context.counter,
    );
    const features = cpuid.read(Cpuid.HV_FEATURES, 0);
    this.#features = features.eax;
    this.#miscFeatures = features.edx;
    this.#isHyperV = cpuid.isHyperV;
    this.reset();
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#emulatedFor, this.#resetAt], (v) => ([this.#emulatedFor, this.#resetAt] = v));
    keeper.keep(this.hypercallPage, this.referenceTsc, this.crashReports, this.#context);
    keeper.keep(this.#values);
  }

  /**
   * The machine has moved to another host. Where the guest has asked for it, its TSC goes on as it
   * was until it ends the emulation (TLFS, "Re-enlightenment"). The interrupt that would tell it is
   * none here, as all others.
   */
  migrate(migration: Migration): void {
    const { frequency } = migration;
    const emulate = (this.#values[TSC_EMULATION_CONTROL]! & HV_ENABLE) !== 0n;
    if (!emulate || frequency === undefined || frequency === this.referenceTsc.frequency) {
      this.referenceTsc.migrate(migration);
      return;
    }
    this.#emulatedFor = frequency;
    this.#values[TSC_EMULATION_STATUS] = HV_ENABLE;
    this.referenceTsc.migrate({ ...migration, frequency: undefined, counter: undefined });
  }

  /** Partition-wide registers and the hypercall page as after a reset of the partition. */
  reset(): void {
    this.crashReports.length = 0;
    this.#emulatedFor = undefined;
    this.#resetAt = this.#context.clock.now;
    for (const register of REGISTERS) this.#values[register.index] = register.reset;
    this.#values[registerNamed('APIC_FREQUENCY').index] = this.#context.counter.apicHz ?? APIC_HZ;
    this.hypercallPage.own.fill(INT3);
    this.hypercallPage.own.set(this.#context.hypercallCode ?? HYPERCALL_CODE);
  }

  /** Why a call to `address` is no hypercall, in words; undefined if it is one. */
  callObstacle(address: number): string | undefined {
    const page = this.hypercallPage;
    if (page.address === undefined) return 'the hypercall page is not enabled';
    if (page.address !== address) return `the hypercall page is at ${hex(page.address)}`;
    if (!page.shown) return 'another overlay hides the hypercall page';
    if (page.view.getUint32(page.base, true) === page.ownView.getUint32(0, true)) return undefined;
    return 'the guest overwrote the hypercall page';
  }

  /** A register's value without a check or an effect: for the audit. */
  peek(vp: VirtualProcessor, register: RegisterDefinition): bigint {
    switch (register.role) {
      case 'time':
        return BigInt(this.#context.clock.now);
      case 'vp-runtime': // a processor runs all the time
        return BigInt(this.#context.clock.now - this.#resetAt);
      case 'tsc':
        return this.referenceTsc.counter();
      case 'tsc-frequency':
        return this.referenceTsc.frequency;
      case 'vp-index':
        return BigInt(vp.index);
      case 'eom':
        return 0n;
      case 'stimer-config':
        return vp.timers.config(register.ordinal);
      case 'stimer-count':
        return vp.timers.count(register.ordinal);
      default:
        return this.#store(vp, register)[register.index]!;
    }
  }

  /** Read a register. @throws RegisterFault if the partition may not. */
  read(vp: VirtualProcessor, register: RegisterDefinition): bigint {
    this.#authorise(register);
    if (register.access === 'write-only') throw new RegisterFault('write-only');
    return this.peek(vp, register);
  }

  /**
   * Write a register.
   *
   * @param instruction what writes, for the log and the ledger: `wrmsr`
   * @throws RegisterFault if the hypervisor refuses
   */
  write(
    vp: VirtualProcessor,
    register: RegisterDefinition,
    value: bigint,
    instruction: string,
  ): void {
    this.#authorise(register);
    if (register.access === 'read-only') throw new RegisterFault('read-only');
    if ((value & register.mustBeZero) !== 0n) {
      throw new RegisterFault(`reserved bits set in ${hex(value)}`);
    }
    const old = this.peek(vp, register);
    if (((value ^ old) & register.preserve) !== 0n) {
      this.#violation(`${instruction} ${register.name}: reserved bits changed in ${hex(value)}`);
    }
    this.#perform(vp, register, old, value, instruction);
  }

  #perform(
    vp: VirtualProcessor,
    register: RegisterDefinition,
    old: bigint,
    value: bigint,
    instruction: string,
  ): void {
    const store = this.#store(vp, register);
    switch (register.role) {
      case 'eom':
        this.#endOfMessage(vp);
        return;
      case 'eoi':
        return;
      case 'stimer-config':
        this.#checkDirectMode(value);
        vp.timers.setConfig(register.ordinal, value);
        return;
      case 'stimer-count':
        vp.timers.setCount(register.ordinal, value);
        return;
      case 'crash-control':
        this.#crashControl(vp, value);
        return;
      case 'guest-os-id':
        store[register.index] = value;
        if (value === 0n) this.#guestOsIdZero(vp, instruction);
        return;
      case 'hypercall':
        if (!this.#checkHypercall(old, value, instruction)) return;
        if (!this.#has(MiscFeature.HYPERCALL_LOCK)) value &= ~HV_HYPERCALL_LOCKED;
        break;
      case 'sint':
        if ((value & SINT_MASKED) === 0n && (value & SINT_VECTOR) < LOWEST_VECTOR) {
          throw new RegisterFault(`vector ${hex(value & SINT_VECTOR)} is below 16`);
        }
        break;
      default:
        break;
    }
    store[register.index] = value;
    this.#follow(vp, register, value, instruction);
  }

  /** The guest has emptied a slot: its own, or (knob) that of another processor. */
  #endOfMessage(vp: VirtualProcessor): void {
    const { knobs, processors } = this.#context;
    if (knobs.eomScope === 'vp') return vp.scan();
    for (const each of processors) each.scan();
  }

  /** What a register's new value changes in the machine. */
  #follow(
    vp: VirtualProcessor,
    register: RegisterDefinition,
    value: bigint,
    instruction: string,
  ): void {
    switch (register.role) {
      case 'hypercall':
        this.#place(this.hypercallPage, vp, register, value, instruction);
        return;
      case 'tsc-emulation-status':
        if ((value & HV_ENABLE) === 0n) this.#endEmulation();
        return;
      case 'reference-tsc':
        this.#place(this.referenceTsc.page, vp, register, value, instruction);
        this.referenceTsc.update((value & HV_ENABLE) !== 0n);
        return;
      case 'vp-assist':
        this.#place(vp.assistPage, vp, register, value, instruction);
        return;
      case 'siefp':
        this.#place(vp.synic.eventPage, vp, register, value, instruction);
        return;
      case 'simp':
        this.#place(vp.synic.messagePage, vp, register, value, instruction);
        if (this.#context.knobs.scanOnEnable) vp.scan();
        return;
      case 'scontrol':
        vp.synic.enabled = (value & HV_ENABLE) !== 0n;
        if (this.#context.knobs.scanOnEnable) vp.scan();
        return;
      case 'sint':
        if (!this.#has(MiscFeature.SINT_POLLING)) value &= ~SINT_POLLING;
        vp.synic.setSint(register.ordinal, Number(value & 0xffffffffn));
        if (this.#context.knobs.scanOnEnable) vp.synic.scan(register.ordinal);
        return;
      default:
        return;
    }
  }

  /** Map, move or unmap an overlay page as its register says. */
  #place(
    page: OverlayPage,
    vp: VirtualProcessor,
    register: RegisterDefinition,
    value: bigint,
    instruction: string,
  ): void {
    const by = `${instruction} ${register.name} on VP ${vp.index}`;
    if ((value & HV_ENABLE) === 0n) {
      this.#context.overlays.unmap(page, by);
      return;
    }
    const where = register.scope === 'partition' ? 'any VP' : `VP ${vp.index}`;
    const revokedWith = `${instruction} ${register.name} with bit 0 clear on ${where}`;
    this.#context.overlays.map(page, Number(value & ~HV_PAGE_REGISTER_MASK), by, revokedWith);
  }

  /** Whether the hypercall register takes the value: locked, outside RAM, no guest identity. */
  #checkHypercall(old: bigint, value: bigint, instruction: string): boolean {
    if ((old & HV_HYPERCALL_LOCKED) !== 0n) throw new RegisterFault('the register is locked');
    if ((value & HV_ENABLE) === 0n) return true;
    const address = Number(value & ~HV_PAGE_REGISTER_MASK);
    // "If the guest attempts to move the page beyond the bounds of the GPA space": #GP (TLFS)
    if (!this.#context.ram.has(address, PAGE_SIZE)) {
      throw new RegisterFault(`${hex(address)} is not guest memory`);
    }
    const ignored = this.#context.knobs.hypercallPageWithoutOsId === 'ignored';
    if (this.#values[GUEST_OS_ID] !== 0n || !ignored) return true;
    this.#violation(`${instruction} HYPERCALL: ignored while GUEST_OS_ID is 0`);
    return false;
  }

  /** GUEST_OS_ID = 0 disables the hypercall page (TLFS, KVM) or does nothing more (OpenVMM). */
  #guestOsIdZero(vp: VirtualProcessor, instruction: string): void {
    if (this.#context.knobs.osIdZero !== 'disables-hypercall-page') return;
    this.#values[HYPERCALL] = this.#values[HYPERCALL]! & ~HV_ENABLE;
    const by = `${instruction} GUEST_OS_ID = 0 on VP ${vp.index}`;
    this.#context.overlays.unmap(this.hypercallPage, by);
  }

  #checkDirectMode(config: bigint): void {
    if ((config & STIMER_DIRECT) === 0n) return;
    if (!this.#has(MiscFeature.STIMER_DIRECT)) {
      throw new RegisterFault('this host has no direct synthetic timers');
    }
  }

  /** The guest reports its own crash: log it. It may go on, to reboot or to dump. */
  #crashControl(vp: VirtualProcessor, value: bigint): void {
    const { events, ram } = this.#context;
    if ((value & CRASH_NOTIFY) === 0n) return;
    const parameters = vp.values.subarray(CRASH_P0, CRASH_P0 + CRASH_PARAMETERS);
    const text = crashReport(ram, vp.index, parameters, (value & CRASH_MESSAGE) !== 0n);
    this.crashReports.push(text);
    if (this.crashReports.length > CRASH_REPORTS_MAX) this.crashReports.shift();
    if (events.on) events.emit({ kind: 'crash', text });
  }

  /** Fault unless the hypervisor is there and CPUID grants the register. */
  #authorise(register: RegisterDefinition): void {
    const { features, miscFeatures } = register;
    if ((features | miscFeatures) === 0) return;
    if (!this.#isHyperV) throw new RegisterFault('there is no such hypervisor');
    const missing = (features & ~this.#features) | (miscFeatures & ~this.#miscFeatures);
    if (missing !== 0) throw new RegisterFault('CPUID does not grant it');
  }

  /** The guest takes the TSC of the host that it is on. */
  #endEmulation(): void {
    if (this.#emulatedFor === undefined) return;
    this.referenceTsc.migrate({ frequency: this.#emulatedFor });
    this.#emulatedFor = undefined;
  }

  #has(miscFeature: number): boolean {
    return (this.#miscFeatures & miscFeature) !== 0;
  }

  #store(vp: VirtualProcessor, register: RegisterDefinition): BigUint64Array {
    return register.scope === 'partition' ? this.#values : vp.values;
  }

  #violation(text: string): void {
    const { events } = this.#context;
    if (events.on) events.emit({ kind: 'violation', layer: 'hypervisor', text });
  }
}

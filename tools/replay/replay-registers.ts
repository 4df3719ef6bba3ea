// SPDX-License-Identifier: GPL-2.0-or-later

/** CPUID and synthetic registers as the recording has them. */

import {
  CPUID_HYPERVISOR_PRESENT,
  Cpuid,
  GuestOsId,
  HV_ENABLE,
  HV_INTERFACE_ID,
  HV_PAGE_REGISTER_MASK,
  Msr,
  SINT_COUNT,
  Sint,
} from '../../src/hyperv/protocol.ts';
import type { CpuidRegisters } from '../../src/machine.ts';
import type { TraceEvent } from './trace-events.ts';

const NO_LEAF: CpuidRegisters = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** What a recorded guest that ended early has not asked for: as on Windows Server 2019. */
const COMMON_LEAVES: ReadonlyMap<number, CpuidRegisters> = new Map([
  [Cpuid.FEATURES, { ...NO_LEAF, ecx: CPUID_HYPERVISOR_PRESENT }],
  [Cpuid.HV_INTERFACE_ID, { ...NO_LEAF, eax: HV_INTERFACE_ID }],
  [Cpuid.HV_FEATURES, { eax: 0x2e7f, ebx: 0x3b8030, ecx: 2, edx: 0xed7b2 }],
]);

/** A register file that answers as the recorded host did. */
export class ReplayRegisters {
  readonly #leaves = new Map<number, CpuidRegisters>();
  readonly #values = new Map<number, bigint>();
  /**
   * How often each was written. By register and number of writes: whether that one was refused;
   * what the recorded host had changed at each read, and how many there were.
   */
  readonly #writes = new Map<number, number>();
  readonly #refused = new Set<string>();
  readonly #changed = new Map<string, bigint[]>();
  readonly #reads = new Map<string, number>();
  /**
   * By number of messages that have come: how often the recorded host refused to be told that the
   * last of them is read. For ever, if it is not one of those of which it then heard.
   */
  readonly #deaf = new Map<number, number>();
  readonly #heard = new Set<number>();
  #messages = 0;

  constructor(events: readonly TraceEvent[]) {
    for (let sint = 0; sint < SINT_COUNT; sint++) this.#values.set(Msr.SINT0 + sint, Sint.MASKED);
    // The first access of a register tells its value at reset, if it is a read
    const seen = new Set<number>();
    const writes = new Map<number, { count: number; value: bigint | undefined }>();
    let messages = 0;
    for (const event of events) {
      if (event.op === 'host-message') messages++;
      if (event.op === 'wrmsr' && Number(event.msr) === Msr.EOM) {
        this.#endOfMessage(messages, event.refused === true);
        continue;
      }
      if (event.op === 'cpuid') {
        const [eax = 0, ebx = 0, ecx = 0, edx = 0] = event.out.map(Number);
        this.#leaves.set(Number(event.leaf), { eax, ebx, ecx, edx });
      } else if (event.op === 'rdmsr' || event.op === 'wrmsr') {
        const msr = Number(event.msr);
        if (event.op === 'rdmsr' && !seen.has(msr)) this.#values.set(msr, BigInt(event.value));
        seen.add(msr);
        const { count = 0, value: before } = writes.get(msr) ?? {};
        const value = BigInt(event.value);
        if (event.op === 'rdmsr') {
          if (before === undefined) continue;
          const changed = this.#changed.get(`${msr} ${count}`) ?? [];
          this.#changed.set(`${msr} ${count}`, changed);
          changed.push(before ^ value);
          continue;
        }
        if (event.refused === true) this.#refused.add(`${msr} ${count}`);
        const known = event.refused === true ? before : value;
        writes.set(msr, { count: count + 1, value: known });
      }
    }
  }

  #endOfMessage(messages: number, refused: boolean): void {
    const before = this.#deaf.get(messages) ?? 0;
    if (refused) this.#deaf.set(messages, before + 1);
    else if (before > 0) this.#heard.add(messages);
  }

  /** A leaf that was not recorded reads as on any host, or as zero. */
  cpuid(leaf: number): CpuidRegisters {
    return this.#leaves.get(leaf) ?? COMMON_LEAVES.get(leaf) ?? NO_LEAF;
  }

  read(msr: number): bigint {
    return this.#values.get(msr) ?? 0n;
  }

  /** What the guest reads: with the bits that the recorded host had changed by then. */
  readByGuest(msr: number): bigint {
    const key = `${msr} ${this.#writes.get(msr) ?? 0}`;
    const changed = this.#changed.get(key) ?? [];
    const index = this.#reads.get(key) ?? 0;
    this.#reads.set(key, index + 1);
    return this.read(msr) ^ (changed[Math.min(index, changed.length - 1)] ?? 0n);
  }

  /** Whether the recorded host refuses the next write of a register. It counts as one. */
  refuses(msr: number): boolean {
    const count = this.#writes.get(msr) ?? 0;
    const refused = this.#refused.has(`${msr} ${count}`);
    if (refused) this.#writes.set(msr, count + 1);
    return refused;
  }

  /** A message has reached its slot. */
  messageCame(): void {
    this.#messages++;
  }

  /** Whether the recorded host does not let itself be told that the last message is read. */
  refusesEndOfMessage(): boolean {
    const left = this.#deaf.get(this.#messages) ?? 0;
    if (left > 0 && this.#heard.has(this.#messages)) this.#deaf.set(this.#messages, left - 1);
    return left > 0;
  }

  write(msr: number, value: bigint): void {
    this.#writes.set(msr, (this.#writes.get(msr) ?? 0) + 1);
    this.#values.set(msr, value);
  }

  /** Address of the page of a page register, or undefined while it is disabled. */
  page(msr: number): number | undefined {
    const value = this.read(msr);
    if ((value & HV_ENABLE) === 0n) return undefined;
    return Number(value & ~HV_PAGE_REGISTER_MASK);
  }

  /** Address of the enabled hypercall page. It needs a guest OS identity. */
  get hypercallPage(): number | undefined {
    const id = this.read(Msr.GUEST_OS_ID);
    return id === 0n || id === GuestOsId.UEFI ? undefined : this.page(Msr.HYPERCALL);
  }

  get messagePage(): number | undefined {
    return (this.read(Msr.SCONTROL) & HV_ENABLE) === 0n ? undefined : this.page(Msr.SIMP);
  }

  /** Whether a page register that is on names a page in [address, address + length). */
  holdsPage(address: number, length: number): boolean {
    return [Msr.HYPERCALL, Msr.SIMP, Msr.SIEFP].some((msr) => {
      const page = this.page(msr);
      return page !== undefined && page >= address && page < address + length;
    });
  }

  isMasked(sint: number): boolean {
    return (this.read(Msr.SINT0 + sint) & Sint.MASKED) !== 0n;
  }
}

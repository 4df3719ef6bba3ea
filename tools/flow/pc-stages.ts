// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Who has the PC, one after the other, seen from what they do to the hypervisor: a boot loader, a
 * kernel, the kernel that it starts by kexec or for its crash. An owner is known by GUEST_OS_ID. It
 * has gone once it has cleared that register and somebody begins anew, or once somebody else writes
 * an identity of its own. Each handoff is audited at that moment, before anything is done.
 */

import { PAGE_SIZE, type MemoryRange } from '../../src/machine.ts';
import { readBootParameters, readBootReport } from '../guests/pc/boot-program.ts';
import type { PcObserver, PcTouch } from '../guests/pc/pc-board.ts';
import { auditBaseline, type AuditBaseline } from '../simulator/audit/audit-baseline.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { auditHandoff } from '../simulator/audit/audit.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { tellFindings, tellHandoff, tellStage } from './flow-events.ts';
import type { StageEnd } from './stage.ts';
import type { Keeper } from '../simulator/base/snapshot.ts';

/** Registers by their numbers (TLFS). */
const Msr = { GUEST_OS_ID: 0x40000000, CRASH_CTL: 0x40000105 } as const;
/** Registers whose bit 0 turns something on: HYPERCALL, REFERENCE_TSC, VP_ASSIST, SynIC. */
const ENABLES = [0x40000001, 0x40000021, 0x40000073, 0x40000080, 0x40000082, 0x40000083];
const ENABLE = 1n;

/** GUEST_OS_ID (TLFS, "Guest OS Identity"): bit 63 open source, 62:56 its kind, 55:48 vendor. */
const LINUX = 0x81n;
/** iPXE's identity: `HV_GUEST_OS_ID_IPXE`, 0x98ae in its upper 16 bits. */
const IPXE = 0x98aen;

/** Most owners that are told apart. */
const STAGES_MAX = 32;

/** Most findings of one that serves, over all the times that it leaves the machine. */
const SERVING_FINDINGS_MAX = 1000;

/** A real-mode kernel lies below the BIOS's own data. */
const LOW_MEMORY_END = 0x9f000;

/** One owner of the PC. */
export interface PcStage {
  /** `iPXE`, `Linux 6.1.176`; who has never said who it is: `a program`. */
  readonly name: string;
  readonly end: StageEnd | 'running';
  readonly endedAt: number;
  readonly findings: readonly Finding[];
}

/** Whether somebody has handed over, and was audited. */
export function isAudited({ end }: Pick<PcStage, 'end'>): boolean {
  return end !== 'running' && end !== 'power-off';
}

export class PcStages implements PcObserver {
  readonly stages: PcStage[] = [];
  /** The memory map of the boot program, once it runs. */
  bootMap: readonly MemoryRange[] | undefined;
  resets = 0;
  /** Whether anybody has touched the hypervisor at all. */
  touched = false;
  /** Called for each owner that has gone. */
  onStage: ((stage: PcStage) => void) | undefined;
  readonly #machine: () => SimulatedMachine;
  #since: AuditBaseline | undefined;
  #identity = 0n;
  #cleared = false;
  #crashed = false;
  /** Whether it translated addresses when it said who it is. */
  #paging = false;
  /** Whether the stream of events knows who has the PC. */
  #told = false;

  /** `machine`: it is made after its observer. */
  constructor(machine: () => SimulatedMachine) {
    this.#machine = machine;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.bootMap, this.resets], (v) => ([this.bootMap, this.resets] = v));
    keeper.put([this.touched, this.onStage], (v) => ([this.touched, this.onStage] = v));
    keeper.put([this.#since, this.#identity], (v) => ([this.#since, this.#identity] = v));
    keeper.put([this.#cleared, this.#crashed], (v) => ([this.#cleared, this.#crashed] = v));
    keeper.put([this.#paging, this.#told], (v) => ([this.#paging, this.#told] = v));
    keeper.keep(this.stages);
  }

  touch({ what, register, value, paging }: PcTouch): void {
    this.#since ??= auditBaseline(this.#machine());
    const isIdentity = what === 'wrmsr' && register === Msr.GUEST_OS_ID;
    if (what !== 'rdmsr') this.touched = true;
    if (what === 'wrmsr') this.#write(register, value, paging);
    if (this.#told && !(isIdentity && value !== 0n)) return;
    this.#told = true;
    tellStage(this.#machine(), this.#name);
  }

  /** Who writes what: the owner of before, another one, or the same anew. */
  #write(register: number, value: bigint, paging: boolean): void {
    const isIdentity = register === Msr.GUEST_OS_ID;
    const begins =
      (isIdentity && value !== 0n) || (ENABLES.includes(register) && (value & ENABLE) !== 0n);
    const isNew = isIdentity && value !== 0n && value !== this.#identity;
    // A loader that stays is not asked: the kernel begins, and only then says who it is
    const isOther = this.#identity !== 0n && (isNew || (paging && !this.#paging));
    if (begins && (this.#cleared || isOther)) {
      this.handoff(this.#lowMap(), isIdentity && value === this.#identity);
    }
    if (register === Msr.CRASH_CTL) this.#crashed = true;
    if (!isIdentity) return;
    if (value === 0n) this.#cleared = this.#identity !== 0n;
    else {
      this.#identity = value;
      this.#paging = paging;
    }
  }

  bootReport(address: number, bits: 16 | 32): void {
    const machine = this.#machine();
    const { bytes, view, size } = machine.partition.ram;
    const map = bits === 16 ? readBootReport(bytes, address) : readBootParameters(view, address);
    const known = map ?? machine.bootSeam.memoryMap;
    this.bootMap ??= known.filter((range) => range.address < size);
  }

  reset(): void {
    this.resets++;
  }

  /**
   * The owner has gone: audit what it left.
   *
   * @param map the memory map that the next one gets, if that is known
   * @param sameAgain the next one has its identity
   */
  handoff(map: readonly MemoryRange[] | undefined, sameAgain = false): void {
    const machine = this.#machine();
    const kernel = this.#identity >> 56n === LINUX;
    const whole = machine.bootSeam.memoryMap;
    const stays = (map !== undefined || sameAgain) && staysResident(machine, map ?? []);
    const end = this.#crashed ? 'crash' : kernel ? 'kexec' : stays ? 'quiesce' : 'handoff';
    const kind = this.#crashed ? 'crash' : kernel ? 'kexec' : stays ? 'quiesce' : 'shutdown';
    const findings = auditHandoff(machine, map ?? whole, { kind, since: this.#since! })
      // What a PC's programs hide is their own, and nobody has asked for it back
      .filter(({ check }) => check !== 'reserved');
    const name = this.#name;
    tellHandoff(machine, name, end, map ?? whole);
    tellFindings(machine, name, findings);
    this.#add({ name, end, endedAt: machine.clock.now, findings });
  }

  /** The owner goes without a word: the PC is reset, or nobody looks any more. */
  leave(end: 'power-off' | 'running'): void {
    this.#add({ name: this.#name, end, endedAt: this.#machine().clock.now, findings: [] });
  }

  get #name(): string {
    return this.#identity === 0n ? 'a program' : ownerName(this.#identity);
  }

  #add(stage: PcStage): void {
    const last = this.stages.at(-1);
    if (last?.end === 'quiesce' && stage.end === 'quiesce' && last.name === stage.name) {
      // It has served, and leaves the machine again
      const known = new Set(last.findings.map(({ text }) => text));
      const fresh = stage.findings.filter(({ text }) => !known.has(text));
      const findings = [...last.findings, ...fresh].slice(0, SERVING_FINDINGS_MAX);
      this.stages[this.stages.length - 1] = { ...stage, findings };
    } else if (this.stages.length < STAGES_MAX) {
      this.stages.push(stage);
      this.onStage?.(stage);
    }
    this.#identity = 0n;
    this.#cleared = false;
    this.#crashed = false;
    this.#told = false;
    this.#since = auditBaseline(this.#machine());
  }

  /** The map that a Linux kernel was given, where its real-mode code has left it. */
  #lowMap(): readonly MemoryRange[] | undefined {
    const { view } = this.#machine().partition.ram;
    for (let at = 0x1000; at < LOW_MEMORY_END; at += 16) {
      const map = readBootParameters(view, at);
      if (map?.[0]?.address === 0 && map[0].type === 'usable') return map;
    }
    return undefined;
  }
}

/** Services of a boot loader that stays, by their interrupts: of disks, and of PXE. */
const SERVICES = [0x13, 0x1a];
const BASE_MEMORY_END = 0xa0000;

/**
 * Whether who had the machine stays to serve the next owner, as iPXE after a SAN boot: an interrupt
 * of the BIOS leads into RAM that it hides from the next one's `map`, and there is all that the
 * host has.
 */
function staysResident(machine: SimulatedMachine, map: readonly MemoryRange[]): boolean {
  const { grants, ram } = machine.partition;
  const isFree = (address: number): boolean =>
    map.some(
      (range) =>
        range.type === 'usable' &&
        address >= range.address &&
        address < range.address + range.length,
    );
  const serves = SERVICES.some((interrupt) => {
    const offset = ram.view.getUint16(interrupt * 4, true);
    const address = ram.view.getUint16(interrupt * 4 + 2, true) * 16 + offset;
    return address !== 0 && address < BASE_MEMORY_END && !isFree(address);
  });
  const pages = grants.live().flatMap(({ pfns }) => [...pfns]);
  return serves && pages.length > 0 && pages.every((page) => !isFree(page * PAGE_SIZE));
}

/** Who it is, by GUEST_OS_ID. */
export function ownerName(identity: bigint): string {
  if (identity >> 48n === IPXE) return 'iPXE';
  if (identity >> 56n === LINUX) {
    const version = Number((identity >> 16n) & 0xffffffn);
    return `Linux ${version >> 16}.${(version >> 8) & 0xff}.${version & 0xff}`;
  }
  return `GUEST_OS_ID 0x${identity.toString(16)}`;
}

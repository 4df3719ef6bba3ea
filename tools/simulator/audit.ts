// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The audit of a handoff: what the host still holds, or still believes, at the moment at which the
 * next owner takes over. It reads the host's own ledger and registers and believes nothing that the
 * guest says, except for the memory map that it hands on: memory that is reserved there is lost, but
 * nobody is hurt.
 */

import { HV_ENABLE, HV_PAGE_REGISTER_MASK, SINT_COUNT, Sint } from '../../src/hyperv/protocol.ts';
import { PAGE_SIZE, type MemoryRange } from '../../src/machine.ts';
import type { Grant } from './grants.ts';
import { hex } from './guest-end.ts';
import type { SimulatedMachine } from './machine.ts';

export type Severity = 'error' | 'warning' | 'info';

/** The checks, by their names. The numbers are those of the list that they come from. */
export const AUDIT_CHECKS = {
  unload: { number: 1, text: 'UNLOAD was sent, answered, and the answer taken' },
  channels: { number: 2, text: 'no channel is open, no GPADL alive, no packet in flight' },
  'shared-pages': { number: 3, text: 'no interrupt page and no monitor page is registered' },
  'synic-pages': { number: 4, text: 'message and event page are disabled on every VP' },
  sints: { number: 5, text: 'every SINT is masked' },
  scontrol: { number: 6, text: 'the SynIC is disabled' },
  hypercall: { number: 7, text: 'the hypercall page is disabled, the guest has no identity' },
  'clock-pages': { number: 8, text: 'reference TSC page and VP assist page are disabled' },
  timers: { number: 9, text: 'no synthetic timer is enabled' },
  leftovers: { number: 10, text: 'no message is queued, no event flag set' },
  'late-writes': { number: 11, text: 'no memory of the next owner is written by the host' },
  'next-os': { number: 12, text: 'an OS connects, finds the same channels, and has a network' },
  completions: { number: 13, text: 'every received packet was completed' },
  'second-boot': { number: 14, text: 'the firmware boots again' },
} as const;

export type AuditCheck = keyof typeof AUDIT_CHECKS;

/** A page, or several, that a finding is about. */
export interface FindingPages {
  readonly purpose: string;
  /** Guest physical addresses of the pages. */
  readonly pages: readonly number[];
  readonly length: number;
  /** Who shared it, when (in ticks), and what would have revoked it. */
  readonly sharedBy: string;
  readonly sharedAt: number;
  readonly revokedWith: string;
  /** The memory map that is handed on reserves it: lost, but safe. */
  readonly reserved: boolean;
}

/** One finding. */
export interface Finding {
  readonly check: AuditCheck;
  readonly severity: Severity;
  readonly text: string;
  readonly pages?: FindingPages;
}

/** What may be expected of the guest that hands over. */
export type HandoffKind =
  /** It is done: nothing may be left. */
  | 'shutdown'
  /** It is still needed (SAN boot): the connection stays, registers and overlays do not. */
  | 'quiesce';

/** Audit the machine as it is. Has no effect on it. */
export function auditHandoff(
  machine: SimulatedMachine,
  memoryMap: readonly MemoryRange[],
  kind: HandoffKind = 'shutdown',
): Finding[] {
  return [
    ...connection(machine, kind),
    ...grants(machine, memoryMap, kind),
    ...registers(machine, kind),
    ...timers(machine),
    ...leftovers(machine),
  ];
}

/** Severity of what a quiesced guest leaves on purpose. */
function unlessQuiesced(kind: HandoffKind): Severity {
  return kind === 'quiesce' ? 'info' : 'error';
}

// --- 1, 2, 3: VMBus ---

function connection(machine: SimulatedMachine, kind: HandoffKind): Finding[] {
  const findings: Finding[] = [];
  const vmbus = machine.vmbus.inspect();
  const severity = unlessQuiesced(kind);

  // UNLOAD after the last contact
  const last = vmbus.history.at(-1);
  const connected = vmbus.phase !== 'disconnected';
  if (connected) {
    const text = vmbus.unloadSeenAt !== undefined
      ? 'UNLOAD was sent but not answered'
      : 'no UNLOAD was sent: the host believes that the guest is connected';
    findings.push({ check: 'unload', severity, text });
  } else if (last?.outcome === 'accepted' && vmbus.unloadSeenAt !== undefined) {
    // The answer must have been taken out of its slot
    for (let vp = 0; vp < machine.partition.inspection.processorCount; vp++) {
      for (const slot of machine.partition.inspection.slots(vp)) {
        if (slot.type === 0) continue;
        const text = `a message of type ${hex(slot.type)} is left in the slot of SINT${slot.sint}`;
        findings.push({ check: 'unload', severity: 'error', text: `${text} of VP ${vp}` });
      }
    }
  }

  // Channels
  for (const channel of vmbus.channels) {
    if (channel.state === 'released' || channel.state === 'closed') continue;
    const text = `channel ${channel.id} {${channel.instanceId}} is ${channel.state}`;
    findings.push({ check: 'channels', severity, text });
  }
  return findings;
}

/** Which check a live grant belongs to. */
const GRANT_CHECK: Readonly<Record<Grant['kind'], AuditCheck>> = {
  'hypercall-page': 'hypercall',
  'message-page': 'synic-pages',
  'event-page': 'synic-pages',
  'reference-tsc-page': 'clock-pages',
  'vp-assist-page': 'clock-pages',
  'interrupt-page': 'shared-pages',
  'monitor-page': 'shared-pages',
  gpadl: 'channels',
  packet: 'channels',
};

/** Grants that belong to the connection, which a quiesced guest keeps. */
const CONNECTION_GRANTS: readonly Grant['kind'][] = [
  'interrupt-page',
  'monitor-page',
  'gpadl',
  'packet',
];

function grants(
  machine: SimulatedMachine,
  memoryMap: readonly MemoryRange[],
  kind: HandoffKind,
): Finding[] {
  return machine.partition.grants.live().map((grant) => {
    const pages = pagesOf(grant, memoryMap);
    const kept = kind === 'quiesce' && CONNECTION_GRANTS.includes(grant.kind);
    const access = grant.access === 'write' ? 'write to' : 'read';
    const text = `the host may still ${access} the ${grant.purpose}`;
    const severity = kept ? 'info' : pages.reserved ? 'warning' : 'error';
    return { check: GRANT_CHECK[grant.kind], severity, text, pages };
  });
}

function pagesOf(grant: Grant, memoryMap: readonly MemoryRange[]): FindingPages {
  const pages = grant.pfns.map((pfn) => pfn * PAGE_SIZE);
  return {
    purpose: grant.purpose,
    pages,
    length: grant.length,
    sharedBy: grant.grantedBy,
    sharedAt: grant.grantedAt,
    revokedWith: grant.revokedWith,
    reserved: pages.every((page) => isReserved(page, memoryMap)),
  };
}

/** Whether no byte of a page is usable. */
function isReserved(page: number, memoryMap: readonly MemoryRange[]): boolean {
  return !memoryMap.some(
    (range) =>
      range.type === 'usable' &&
      range.address < page + PAGE_SIZE &&
      page < range.address + range.length,
  );
}

// --- 4 to 8: registers ---

/** Page registers: enabled ones are grants already; what remains of an address is told. */
const PAGE_REGISTERS = [
  ['SIMP', 'synic-pages'],
  ['SIEFP', 'synic-pages'],
  ['VP_ASSIST_PAGE', 'clock-pages'],
] as const;

function registers(machine: SimulatedMachine, kind: HandoffKind): Finding[] {
  const { inspection } = machine.partition;
  const findings: Finding[] = [];
  for (let vp = 0; vp < inspection.processorCount; vp++) {
    for (const [name, check] of PAGE_REGISTERS) {
      findings.push(...pageRegister(inspection.register(vp, name), `${name} of VP ${vp}`, check));
    }
    findings.push(...sints(machine, vp));

    // SCONTROL: mu_msvm leaves it on, and a quiesced guest must (iPXE b91cc983d)
    const on = (inspection.register(vp, 'SCONTROL') & HV_ENABLE) !== 0n;
    const text = `SCONTROL of VP ${vp} is ${on ? 'on' : 'off'}`;
    const reset = machine.partition.profile.knobs.scontrolReset === 1;
    if (kind === 'quiesce' && !on) findings.push({ check: 'scontrol', severity: 'error', text });
    else if (on && !reset) findings.push({ check: 'scontrol', severity: 'info', text });
  }

  // Identity, hypercall page and TSC page are the partition's
  const identity = inspection.register(0, 'GUEST_OS_ID');
  if (identity !== 0n) {
    const text = `GUEST_OS_ID is ${hex(identity)}`;
    findings.push({ check: 'hypercall', severity: 'error', text });
  }
  const hypercall = inspection.register(0, 'HYPERCALL');
  const tsc = inspection.register(0, 'REFERENCE_TSC');
  findings.push(...pageRegister(hypercall, 'HYPERCALL', 'hypercall'));
  findings.push(...pageRegister(tsc, 'REFERENCE_TSC', 'clock-pages'));
  return findings;
}

function pageRegister(value: bigint, name: string, check: AuditCheck): Finding[] {
  const enabled = (value & HV_ENABLE) !== 0n;
  const address = value & ~HV_PAGE_REGISTER_MASK;
  if (enabled) {
    return [{ check, severity: 'error', text: `${name} is enabled: ${hex(value)}` }];
  }
  if (address === 0n) return [];
  return [{ check, severity: 'info', text: `${name} is disabled but holds ${hex(address)}` }];
}

function sints(machine: SimulatedMachine, vp: number): Finding[] {
  const findings: Finding[] = [];
  for (let sint = 0; sint < SINT_COUNT; sint++) {
    const value = machine.partition.inspection.register(vp, `SINT${sint}`);
    const text = `SINT${sint} of VP ${vp} is ${hex(value)}`;
    if ((value & Sint.MASKED) === 0n) {
      findings.push({ check: 'sints', severity: 'error', text: `${text}: not masked` });
    } else if (value !== Sint.MASKED) {
      findings.push({ check: 'sints', severity: 'info', text: `${text}: masked, stale bits` });
    }
  }
  return findings;
}

// --- 9: timers ---

function timers(machine: SimulatedMachine): Finding[] {
  const { inspection } = machine.partition;
  const findings: Finding[] = [];
  for (let vp = 0; vp < inspection.processorCount; vp++) {
    inspection.timers(vp).forEach((timer, index) => {
      if (!timer.enabled) return;
      const text = `timer ${index} of VP ${vp} is enabled`;
      findings.push({ check: 'timers', severity: 'error', text });
    });
  }
  return findings;
}

// --- 10: leftovers ---

function leftovers(machine: SimulatedMachine): Finding[] {
  const { inspection } = machine.partition;
  const findings: Finding[] = [];
  const severity = 'warning';
  for (let vp = 0; vp < inspection.processorCount; vp++) {
    for (const { sint, queued, pending } of inspection.slots(vp)) {
      if (queued === 0 && !pending) continue;
      const text = `${queued} messages wait behind SINT${sint} of VP ${vp}`;
      findings.push({ check: 'leftovers', severity, text });
    }
    for (const { sint, flag } of inspection.eventFlags(vp)) {
      const text = `event flag ${flag} of SINT${sint} of VP ${vp} is set`;
      findings.push({ check: 'leftovers', severity, text });
    }
  }
  const { guestMessagesQueued, hostMessagesQueued } = machine.vmbus.inspect();
  if (guestMessagesQueued + hostMessagesQueued > 0) {
    const counts = `${guestMessagesQueued} of the guest, ${hostMessagesQueued} of the host`;
    findings.push({ check: 'leftovers', severity, text: `messages are queued: ${counts}` });
  }
  return findings;
}

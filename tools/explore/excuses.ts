// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What an audit after an explored run finds, and is not the guest's doing: what the plan's faults
 * have made impossible. Each excuse covers the checks that it is about and no others.
 */

import { PAGE_SIZE, type MemoryRange } from '../../src/machine.ts';
import { MessageType } from '../../src/vmbus/protocol.ts';
import { OF_CONNECTION, type AuditCheck, type Finding } from '../simulator/audit/audit-findings.ts';
import { overlap } from '../simulator/base/memory-pieces.ts';
import { VP_REGISTERS, X64_MSRS, type RegisterRole } from '../simulator/hypervisor/registers.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { Injector } from './injector.ts';
import type { Plan } from './plan.ts';

/** The check that a register belongs to, by what it does. */
const CHECKS: Partial<Record<RegisterRole, AuditCheck>> = {
  simp: 'synic-pages',
  siefp: 'synic-pages',
  sint: 'sints',
  scontrol: 'scontrol',
  hypercall: 'hypercall',
  'guest-os-id': 'hypercall',
  'reference-tsc': 'clock-pages',
  'vp-assist': 'clock-pages',
  'stimer-config': 'timers',
  'stimer-count': 'timers',
};

/** Messages with which a guest takes its leave. */
const LEAVING = [MessageType.UNLOAD, MessageType.INITIATE_CONTACT];

/** Registers without which no message arrives. */
const MESSAGE_ROLES: readonly RegisterRole[] = ['simp', 'sint', 'scontrol', 'eom'];

/** Checks of what is in registers. */
export const REGISTER_CHECKS: readonly AuditCheck[] = [...new Set(Object.values(CHECKS))];

/** A handoff that is judged. */
export interface Judged {
  readonly machine: SimulatedMachine;
  readonly plan: Plan;
  readonly injector: Injector;
  /** The connection is an earlier owner's still. */
  readonly inherits: boolean;
  /** What the guest was given, and what it hands on. */
  readonly given: readonly MemoryRange[];
  readonly handedOn: readonly MemoryRange[];
}

/** The findings of a handoff that are not laid to the guest. */
export function excusesOf(judged: Judged): (finding: Finding) => boolean {
  const { machine, plan, injector, inherits } = judged;
  // Nobody can take leave of a host that takes no message any more: but it must be tried, or the
  // contact that comes before it when a machine is taken back
  const deaf =
    plan.faults.some(({ kind }) => kind === 'status-ever') &&
    machine.partition.omissions.host.hasRefused(-1, ...LEAVING);
  const unsettled = !injector.sound && keepsBack(judged) && hasTakenLeave(judged);
  const registers = machine.partition.architecture === 'x64' ? X64_MSRS : VP_REGISTERS;
  const roles = [...injector.refused].map((number) => registers.get(number)!.role);
  const refused = roles.map((role) => CHECKS[role]);
  // ... nor be told anything by a host that lets it have no message
  const unheard = deaf || roles.some((role) => MESSAGE_ROLES.includes(role));
  return (finding) => {
    const { check, pages } = finding;
    if (REGISTER_CHECKS.includes(check)) return refused.includes(check);
    if (injector.hostLied || (unheard && check === 'unload')) return true;
    if (!OF_CONNECTION.includes(check)) return false;
    // Until the host is contacted, all that it has is an earlier owner's; and if messages get lost
    // the state of the connection is the host's word against the guest's
    return inherits || (unsettled && pages === undefined);
  };
}

/** The same of a boot after the plan is over: only what the host has confirmed goes on. */
export function excusesAfter({ hostLied }: Injector): (finding: Finding) => boolean {
  return ({ check }) => hostLied && !REGISTER_CHECKS.includes(check);
}

/**
 * Whether the guest has sent UNLOAD, or has reason to believe that it has, or that there was
 * nothing to end; or cannot send it, for want of a register.
 */
function hasTakenLeave({ machine, plan, injector }: Judged): boolean {
  const { host } = machine.partition.omissions;
  if (injector.refused.size > 0) return true;
  if (host.hasRefused(-1, ...LEAVING) || host.hasMisled(-1, MessageType.VERSION_RESPONSE))
    return true;
  if (plan.faults.some(({ kind }) => kind === 'lost')) return true;
  const { clients } = machine.vmbus.inspect();
  return clients.every(
    ({ phase, unloadSeenAt }) => phase === 'disconnected' || unloadSeenAt !== undefined,
  );
}

/** Whether the guest has kept back memory, and the host has it. */
function keepsBack({ machine, given, handedOn }: Judged): boolean {
  const kept = handedOn.filter(
    (range) => range.type === 'reserved' && !given.some((other) => holds(other, range)),
  );
  const { grants } = machine.partition;
  return grants.live().some(({ pfns }) =>
    pfns.some((pfn) => {
      const page = { address: pfn * PAGE_SIZE, length: PAGE_SIZE };
      return kept.some((range) => overlap(range, page));
    }),
  );
}

/** Whether a range was reserved before. */
function holds(outer: MemoryRange, { address, length }: MemoryRange): boolean {
  return (
    outer.type === 'reserved' &&
    outer.address <= address &&
    address + length <= outer.address + outer.length
  );
}

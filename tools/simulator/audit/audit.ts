// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The audit of a handoff: what the host still holds, or still believes, at the moment at which the
 * next owner takes over. It reads the host's own ledger and registers and believes nothing that the
 * guest says, except for the memory map that it hands on: memory that is reserved there is lost,
 * but nobody is hurt, unless somebody uses it all the same (the image that was loaded).
 */

import {
  MessageType,
  VMBUS_MESSAGE_SINT,
  VMBUS_MESSAGE_TYPE,
} from '../../../src/vmbus/protocol.ts';
import type { MemoryRange } from '../../../src/machine.ts';
import type { AuditCheck, Finding, FindingPages, HandoffKind } from './audit-findings.ts';
import {
  NO_BASELINE,
  inherited,
  unlessInherited,
  wasThere,
  type AuditBaseline,
} from './audit-baseline.ts';
import { fullSlots, leftMessage, leftovers, messages, ofClient } from './audit-leftovers.ts';
import { auditCompletions } from './audit-completions.ts';
import { crashHole } from './audit-crash.ts';
import { auditOmissions } from './audit-omissions.ts';
import { describeGrant } from './audit-pages.ts';
import { auditRegisters, auditTimers } from './audit-registers.ts';
import { auditReserved } from './audit-reserved.ts';
import { auditSharedTwice } from './freed-memory.ts';
import type { Grant } from '../ledger/grants.ts';
import type { HostFaults } from '../ledger/host-faults.ts';
import { TICKS_PER_MS } from '../base/clock.ts';
import { hex } from '../base/hex.ts';
import type { SimulatedMachine } from '../machine.ts';
import type { ClientInspection } from '../vmbus-server/inspection.ts';

/** What else may be said of a handoff. */
export interface AuditOptions {
  /** Default `shutdown`. */
  readonly kind?: HandoffKind;
  /**
   * Memory that is reserved in the map because the next owner uses it already: the loaded image. A
   * host that may write there does harm.
   */
  readonly inUse?: readonly Pick<MemoryRange, 'address' | 'length'>[];
  /** The memory map that the guest was given; by default the machine's. */
  readonly given?: readonly MemoryRange[];
  /** The virtual processor that hands over a `crash`; default 0. */
  readonly vp?: number;
  /** What was there before the guest: none of it is this guest's doing. Default: nothing. */
  readonly since?: AuditBaseline;
  /**
   * Whether who comes next writes SCONTROL, as Linux and iPXE do. Default true; Microsoft's
   * firmware and the Windows loader do not.
   */
  readonly nextSetsScontrol?: boolean;
}

/** A page of a grant as a finding tells of it. */
type Describe = (grant: Grant) => FindingPages;

/**
 * Audit the machine as it is. Has no effect on it.
 *
 * @param memoryMap what the guest hands on
 */
export function auditHandoff(
  machine: SimulatedMachine,
  memoryMap: readonly MemoryRange[],
  options: AuditOptions = {},
): Finding[] {
  const kind = options.kind ?? 'shutdown';
  const { inUse = [], since = NO_BASELINE } = options;
  const { given = machine.bootSeam.memoryMap } = options;
  const describe: Describe = (grant) => describeGrant(grant, memoryMap, inUse);
  const { clients } = machine.vmbus.inspect();
  const kept = reservedRings(machine, clients, describe);
  const { host } = machine.partition.omissions;
  const findings = [
    ...clients.flatMap((client) =>
      connection(machine, client, kind, since, () => isAllKept(machine, kind, describe)),
    ),
    ...[
      ...clients.flatMap((client) => channels(client, kind, kept, since, host)),
      ...sharedPages(machine, kind, describe, kept, since),
    ].map((each) => withRefusal(each, host, since)),
    ...auditRegisters(machine, kind, describe, options.nextSetsScontrol ?? true),
    ...auditTimers(machine),
    ...leftovers(machine, clients),
    ...auditCompletions(machine, since),
    ...auditSharedTwice(machine, since, memoryMap),
    // Who stays, or is an OS that leaves it all to UNLOAD, owes none of this
    ...(kind === 'shutdown'
      ? [
          ...auditOmissions(machine, since),
          ...auditReserved(machine, clients, { memoryMap, given, inUse, since: since.at }),
        ]
      : []),
  ];
  if (kind === 'crash') return findings.map((each) => crashHole(each, options.vp ?? 0));
  // Which processors a kernel could clean up its flow knows
  if (kind === 'kexec') return findings;
  return findings.map((each) => unlessInherited(each, machine, since));
}

/** The longest that a guest is known to wait for the answer to UNLOAD (Linux `UNLOAD_WAIT_MS`). */
const UNLOAD_PATIENCE = 100_000 * TICKS_PER_MS;

/** Severity of what a quiesced guest leaves on purpose. */
function unlessQuiesced(kind: HandoffKind): 'info' | 'error' {
  return kind === 'quiesce' ? 'info' : 'error';
}

// --- 1: UNLOAD ---

function connection(
  machine: SimulatedMachine,
  client: ClientInspection,
  kind: HandoffKind,
  since: AuditBaseline,
  isKept: () => boolean,
): Finding[] {
  const findings: Finding[] = [];
  const { host } = machine.partition.omissions;
  const { phase, history, unloadSeenAt, unloadLostAt = -1, guestMessagesQueued } = client;
  const ownSint = client.sint ?? VMBUS_MESSAGE_SINT;
  const report = (text: string, severity: Finding['severity'], vp?: number): void => {
    const where = vp === undefined ? {} : { vp };
    findings.push({ check: 'unload', severity, text: ofClient(client, text), ...where });
  };

  // UNLOAD after the last contact
  if (phase !== 'disconnected') {
    const sent = unloadSeenAt !== undefined;
    const refused = host.hasRefused(since.at, MessageType.UNLOAD);
    const what = refused ? 'the host has refused UNLOAD, and' : 'no UNLOAD was sent: the host';
    const misled = host.hasMisled(since.at, MessageType.VERSION_RESPONSE);
    const untold = misled ? ' (its VERSION_RESPONSE did not come as it was sent)' : '';
    const text = sent
      ? 'UNLOAD was sent but not answered'
      : `${what} believes that the guest is connected${untold}`;
    // Nobody waits for longer, and whoever keeps it all back hurts nobody
    const waited = sent && machine.clock.now - unloadSeenAt >= UNLOAD_PATIENCE;
    report(text, waited && isKept() ? 'warning' : unlessQuiesced(kind));
    // Whoever took leave in the place of an earlier owner has its answer to wait for
    const own = sent && unloadSeenAt > since.at && !waited;
    if (isOlder(client.connectedAt, kind, since) && !own) findings.push(inherited(findings.pop()!));
  }

  // What the host has not read yet may connect the guest again, after everything was looked at
  if (guestMessagesQueued > 0) {
    const text = `the host has not read ${messages(guestMessagesQueued)} of the guest`;
    report(`${text}: it will act after the handoff`, 'error');
  }

  // An answer that found nobody was not waited for: memory was given away before the host let go
  if (unloadLostAt > since.at)
    report('the answer to UNLOAD was lost: it was not waited for', 'error');

  // The answer must have been taken out of its slot
  const unloaded = phase === 'disconnected' && history.at(-1)?.outcome === 'accepted';
  for (const slot of fullSlots(machine)) {
    if (slot.sint !== ownSint || slot.type !== VMBUS_MESSAGE_TYPE) continue;
    const left = leftMessage(slot);
    const text = ofClient(client, left.text);
    // Whoever is refused has the answer to take, too: the next owner would take it for its own
    if (wasThere(left, machine, since)) findings.push(inherited({ ...left, text }));
    else if (unloaded && unloadSeenAt !== undefined)
      report(`${left.text}: the answer to UNLOAD was not taken`, 'error', slot.vp);
    else if (phase === 'disconnected') findings.push({ ...left, text });
  }
  return findings;
}

/** What an UNLOAD would have ended that the host has refused says so. */
function withRefusal(finding: Finding, host: HostFaults, since: AuditBaseline): Finding {
  const text = `${finding.text} (the host has refused UNLOAD)`;
  const refused = finding.severity !== 'info' && host.hasRefused(since.at, MessageType.UNLOAD);
  return refused ? { ...finding, text } : finding;
}

// --- 2: channels and GPADLs ---

function channels(
  vmbus: ClientInspection,
  kind: HandoffKind,
  kept: ReadonlyMap<number, unknown>,
  since: AuditBaseline,
  host: HostFaults,
): Finding[] {
  const severity = unlessQuiesced(kind);
  const { RELID_RELEASED, UNLOAD } = MessageType;
  const unreleased = host.hasRefused(since.at, RELID_RELEASED, UNLOAD);
  const open = vmbus.channels.filter(({ state }) => state !== 'released' && state !== 'closed');
  const incomplete = vmbus.gpadls.filter(({ state }) => state === 'in-progress');
  const found = (text: string, severity: Finding['severity']): Finding => {
    return { check: 'channels', severity, text: ofClient(vmbus, text) };
  };
  return [
    ...open.map(({ id, instanceId, state, reserved, ringGpadl = 0, openedAt = Infinity }) => {
      const text = `channel ${id} {${instanceId}} is ${state}`;
      // A debugger's (kdnet): it outlives UNLOAD by intention, in memory that nobody uses. Whoever
      // leaves it takes the device from the next owner, though, which iPXE and Linux never do
      const stays = reserved && kept.has(ringGpadl);
      if (stays) {
        const legal = found(`${text}: reserved, in reserved memory`, 'info');
        if (kind === 'quiesce') return legal;
        return openedAt <= since.at ? inherited(legal) : offeredToNobody(legal);
      }
      // What the host has taken away only these messages give back
      if (unreleased && (state === 'revoked' || state === 'reoffered'))
        return found(`${text}: the host has refused what would release it`, 'info');
      const finding = found(text, severity);
      return isOlder(openedAt, kind, since) ? inherited(finding) : finding;
    }),
    ...incomplete.map(({ id, channel }) =>
      found(`GPADL ${hex(id)} of channel ${channel} was begun and never completed`, severity),
    ),
  ];
}

/** A reserved channel that the guest has opened itself. */
function offeredToNobody(finding: Finding): Finding {
  const text = `${finding.text}, and its device is not offered to who comes next`;
  return { ...finding, severity: 'warning', text };
}

/**
 * Whether something was there before a firmware: only a new contact or UNLOAD ends it, and a host
 * that ignores both keeps it. Of kernels the flow knows what they took over.
 */
function isOlder(at: number, kind: HandoffKind, since: AuditBaseline): boolean {
  return kind === 'shutdown' && at <= since.at;
}

/** GPADLs with the rings of reserved channels (OPEN_RESERVED_CHANNEL), where nobody is hurt. */
function reservedRings(
  machine: SimulatedMachine,
  clients: readonly ClientInspection[],
  describe: Describe,
): Map<number, Grant> {
  const open = clients.flatMap(({ channels }) => channels.filter(({ reserved }) => reserved));
  const rings = machine.partition.grants
    .live()
    .filter(({ gpadl }) => gpadl !== undefined && open.some((o) => o.ringGpadl === gpadl))
    .filter((grant) => describe(grant).reserved);
  return new Map(rings.map((grant) => [grant.gpadl!, grant]));
}

// --- 2, 3: what belongs to the connection ---

/** Which check a live grant belongs to; overlay pages are those of their registers. */
const GRANT_CHECK: Partial<Record<Grant['kind'], AuditCheck>> = {
  'interrupt-page': 'shared-pages',
  'monitor-page': 'shared-pages',
  gpadl: 'channels',
  packet: 'channels',
};

function sharedPages(
  machine: SimulatedMachine,
  kind: HandoffKind,
  describe: Describe,
  kept: ReadonlyMap<number, Grant>,
  since: AuditBaseline,
): Finding[] {
  const findings: Finding[] = [];
  for (const grant of machine.partition.grants.live()) {
    const check = GRANT_CHECK[grant.kind];
    if (check === undefined) continue;
    const pages = describe(grant);
    const may = grant.access === 'write' ? 'write to' : 'read';
    const text = `the host may still ${may} the ${grant.purpose}`;
    const stays = [...kept.values()].includes(grant);
    const meant = kind === 'quiesce' || (stays && grant.grantedAt <= since.at);
    const severity = meant ? 'info' : stays || safe(pages, kind) ? 'warning' : 'error';
    const finding: Finding = { check, severity, text, pages };
    findings.push(isOlder(grant.grantedAt, kind, since) ? inherited(finding) : finding);
  }
  return findings;
}

/** Whether the next owner knows of all that the connection still has. */
function isAllKept(machine: SimulatedMachine, kind: HandoffKind, describe: Describe): boolean {
  const live = machine.partition.grants.live();
  return live.every(
    (grant) => GRANT_CHECK[grant.kind] === undefined || safe(describe(grant), kind),
  );
}

/**
 * Lost to the next owner, but it knows. What a crash leaves is a dump, and the host may change it.
 */
function safe({ reserved }: FindingPages, kind: HandoffKind): boolean {
  return reserved && kind !== 'crash';
}

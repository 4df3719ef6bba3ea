// SPDX-License-Identifier: GPL-2.0-or-later

/** Check 17: steps of a clean-up that the guest left to UNLOAD, or to the end of a channel. */

import { MessageType } from '../../../src/vmbus/protocol.ts';
import type { SimulatedMachine } from '../machine.ts';
import type { HostFaults } from '../ledger/host-faults.ts';
import type { Omission, OmittedStep } from '../ledger/omissions.ts';
import type { AuditBaseline } from './audit-baseline.ts';
import type { Finding } from './audit-findings.ts';

/** What made up for a step, in words. */
const HEALED: Readonly<Record<OmittedStep, string>> = {
  UNLOAD: 'a new contact ended it',
  CLOSE_CHANNEL: 'UNLOAD closed it',
  GPADL_TEARDOWN: 'UNLOAD ended it',
  REVOKE_RECEIVE_BUFFER: 'the end of the channel took it back',
  REVOKE_SEND_BUFFER: 'the end of the channel took it back',
  'RNDIS HALT': 'the end of the channel stopped it',
  'packet filter 0': 'frames came until the channel ended',
};

/** The answer that tells a guest that there is something to undo. */
const TOLD_BY: Partial<Record<OmittedStep, keyof typeof MessageType>> = {
  UNLOAD: 'VERSION_RESPONSE',
  CLOSE_CHANNEL: 'OPEN_CHANNEL_RESULT',
  GPADL_TEARDOWN: 'GPADL_CREATED',
};

/** What the guest that has the machine since `since` set up and did not undo itself. */
export function auditOmissions(machine: SimulatedMachine, since: AuditBaseline): Finding[] {
  const { omissions } = machine.partition;
  return omissions.ofOwner(since.at).map((entry) => {
    const whose = hostsDoing(omissions.host, entry, since);
    const text = `${entry.step} was left out for ${entry.of}: ${HEALED[entry.step]}`;
    return whose === undefined
      ? { check: 'omissions', severity: 'warning', text }
      : { check: 'omissions', severity: 'info', text: `${text} (${whose})` };
  });
}

/** Why it was the host's doing that a step was left out, or undefined. */
function hostsDoing(
  host: HostFaults,
  { step, since }: Omission,
  owner: AuditBaseline,
): string | undefined {
  // Who is refused a message may have tried, and does what it can without
  if (host.hasRefused(owner.at)) return 'the host has refused messages';
  const answer = TOLD_BY[step];
  if (answer === undefined) return undefined;
  const type = MessageType[answer];
  // Of contacts there may be many: which one an answer is to cannot be seen
  const misled = step === 'UNLOAD' && host.hasMisled(owner.at, type);
  if (!misled && !host.hasChangedAnswer(since, type)) return undefined;
  return `${answer} did not come as it was sent`;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** Check 17: steps of a clean-up that the guest left to UNLOAD, or to the end of a channel. */

import type { SimulatedMachine } from '../machine.ts';
import type { OmittedStep } from '../ledger/omissions.ts';
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

/** What the guest that has the machine since `since` set up and did not undo itself. */
export function auditOmissions(machine: SimulatedMachine, since: AuditBaseline): Finding[] {
  const { omissions } = machine.partition;
  // Who is refused a message may have tried, and does what it can without
  const refused = omissions.host.hasRefused(since.at);
  const severity = refused ? 'info' : 'warning';
  const why = refused ? ' (the host has refused messages)' : '';
  return omissions.ofOwner(since.at).map(({ step, of }) => ({
    check: 'omissions',
    severity,
    text: `${step} was left out for ${of}: ${HEALED[step]}${why}`,
  }));
}

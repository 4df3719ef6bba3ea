// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What is wrong with a guest's message before its contents are looked at: OpenVMM's parser
 * (`protocol/macros.rs`). Such messages are never answered.
 */

import {
  MessageType,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID_4,
  VmbusVersion,
  versionText,
} from '../../../src/vmbus/protocol.ts';
import type { HostKnobs } from '../profile.ts';
import { FeatureFlag, OpenChannel2 } from './host-protocol.ts';
import type { GuestMessageRule } from './host-protocol.ts';

/** What was agreed with the guest, and whether it still holds. */
export interface ConnectionTerms {
  readonly phase: string;
  readonly version: number;
  readonly features: number;
}

/**
 * The fault of a message of `length` bytes that came on connection `port`, in words, or undefined.
 *
 * @param rule what the table says of the type, if it is one of guests
 */
export function guestMessageFault(
  terms: ConnectionTerms,
  port: number,
  type: number,
  rule: GuestMessageRule | undefined,
  length: number,
  knobs: HostKnobs,
): string | undefined {
  if (rule === undefined) return 'not a message of guests';
  if (length < minLength(terms, type, rule)) return `${length} bytes are too few`;
  if (rule.minVersion === 0) return undefined;
  if (terms.phase !== 'connected') return `while ${terms.phase}`;
  if (terms.version < rule.minVersion) return `not in version ${versionText(terms.version)}`;
  if (rule.feature !== 0 && (terms.features & rule.feature) === 0)
    return `feature 0x${rule.feature.toString(16)} was not agreed`;

  // A host with a connection ID of its own insists on it
  const { returnedConnectionId } = knobs;
  const strict =
    returnedConnectionId !== VMBUS_MESSAGE_CONNECTION_ID &&
    returnedConnectionId !== VMBUS_MESSAGE_CONNECTION_ID_4;
  if (strict && terms.version >= VmbusVersion.V5_0 && port !== returnedConnectionId)
    return `on connection ${port} instead of ${returnedConnectionId}`;
  return undefined;
}

/** OPEN_CHANNEL is longer where the guest names its signal parameters. */
function minLength(terms: ConnectionTerms, type: number, rule: GuestMessageRule): number {
  const named = (terms.features & FeatureFlag.GUEST_SPECIFIED_SIGNAL_PARAMETERS) !== 0;
  return type === MessageType.OPEN_CHANNEL && named ? OpenChannel2.size : rule.minLength;
}

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
import { OPEN_CHANNEL2_FEATURES, OpenChannel2 } from './host-protocol.ts';
import type { GuestMessageRule } from './host-protocol.ts';

/** What was agreed with the guest, and whether it still holds. */
export interface ConnectionTerms {
  readonly phase: string;
  readonly version: number;
  readonly features: number;
  /** Message connection that the guest contacted on. */
  readonly contactPort: number;
}

/**
 * The fault of a message of `length` bytes that came on connection `port`, in words, or undefined.
 *
 * @param connectionId the message connection that the client was told to use from 5.0 on
 * @param rule what the table says of the type, if it is one of guests
 */
export function guestMessageFault(
  terms: ConnectionTerms,
  port: number,
  type: number,
  rule: GuestMessageRule | undefined,
  length: number,
  connectionId: number,
): string | undefined {
  if (rule === undefined) return 'not a message of guests';
  if (length < minLength(terms, type, rule)) return `${length} bytes are too few`;
  if (rule.minVersion === 0) return undefined;
  if (terms.phase !== 'connected') return `while ${terms.phase}`;
  // Hosts that take any version up to theirs have one below 0.13 for 0.13 (QEMU)
  const version = Math.max(terms.version, VmbusVersion.V0_13);
  if (version < rule.minVersion) return `not in version ${versionText(terms.version)}`;
  if (rule.feature !== 0 && (terms.features & rule.feature) === 0)
    return `feature 0x${rule.feature.toString(16)} was not agreed`;

  // A host with a connection ID of its own insists on it, but for clients that do not know it:
  // Microsoft's firmware contacts on 1 and never posts elsewhere (mu_msvm VmbusDxe)
  const strict =
    connectionId !== VMBUS_MESSAGE_CONNECTION_ID && connectionId !== VMBUS_MESSAGE_CONNECTION_ID_4;
  const knowing = terms.contactPort === VMBUS_MESSAGE_CONNECTION_ID_4;
  if (strict && knowing && terms.version >= VmbusVersion.V5_0 && port !== connectionId)
    return `on connection ${port} instead of ${connectionId}`;
  return undefined;
}

/** OPEN_CHANNEL is longer where the guest names its signal parameters or flags. */
function minLength(terms: ConnectionTerms, type: number, rule: GuestMessageRule): number {
  const longer = (terms.features & OPEN_CHANNEL2_FEATURES) !== 0;
  return type === MessageType.OPEN_CHANNEL && longer ? OpenChannel2.size : rule.minLength;
}

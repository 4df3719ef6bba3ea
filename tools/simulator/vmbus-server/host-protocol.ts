// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Wire definitions that only the host side speaks, and the table of what guests may send: from
 * which version on, with which feature, and how long at least (OpenVMM `vmbus_core/protocol.rs`).
 */

import {
  CloseChannel,
  GpadlBody,
  GpadlHeader,
  GpadlTeardown,
  InitiateContact,
  MessageHeader,
  MessageType,
  ModifyChannel,
  OpenChannel,
  RelidReleased,
  TlConnectRequest,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import { struct } from '../../../src/wire.ts';

/** Feature flags of 6.0 (OpenVMM `FeatureFlags`), as far as this server implements them. */
export const FeatureFlag = {
  /** OPEN_CHANNEL carries the guest's choice of event flag and connection ID. */
  GUEST_SPECIFIED_SIGNAL_PARAMETERS: 0x1,
  /** OPEN_CHANNEL carries flags: interrupts may go to {@link REDIRECT_SINT}. */
  CHANNEL_INTERRUPT_REDIRECTION: 0x2,
  MODIFY_CONNECTION: 0x4,
  /** INITIATE_CONTACT carries a client GUID. */
  CLIENT_ID: 0x8,
  PAUSE_RESUME: 0x20,
} as const;

/**
 * All of {@link FeatureFlag}: a profile may announce more, the server never does. Of the others
 * confidential channels (0x10) need a trusted path, GPA pinning (0x80) a host that was told to, and
 * server-specified monitor pages (0x40) pages that the host has outside of the guest's RAM: a host
 * without these does not announce them (OpenVMM).
 */
export const IMPLEMENTED_FEATURES = 0x1 | 0x2 | 0x4 | 0x8 | 0x20;

/** Features with which OPEN_CHANNEL is {@link OpenChannel2}. */
export const OPEN_CHANNEL2_FEATURES = 0x1 | 0x2;

/** OpenChannel2.flags bit 0: interrupts go to {@link REDIRECT_SINT}. */
export const OPEN_FLAG_REDIRECT_INTERRUPT = 1;

/** SINT of redirected interrupts (OpenVMM `REDIRECT_SINT`; there it is one of VTL 2). */
export const REDIRECT_SINT = 7;

/** INITIATE_CONTACT with the client GUID of feature 0x8. */
export const INITIATE_CONTACT_CLIENT_SIZE = 56;

/** VERSION_RESPONSE from 6.0 on: the agreed features behind the 16 bytes of all others. */
export const VersionResponse2 = struct('VERSION_RESPONSE2', 20, {
  featureFlags: [16, 4],
});

/** OPEN_CHANNEL with the signal parameters of feature 0x1. */
export const OpenChannel2 = struct('OPEN_CHANNEL2', 156, {
  connectionId: [148, 4],
  eventFlag: [152, 2],
  flags: [154, 2],
});

export const ModifyConnection = struct('MODIFY_CONNECTION', 24, {
  monitorIn: [8, 8],
  monitorOut: [16, 8],
});

export const ModifyConnectionResponse = struct('MODIFY_CONNECTION_RESPONSE', 9, {
  type: [0, 4],
  reserved: [4, 4],
  connectionState: [8, 1],
});

/** Open a channel whose answers go to a target of its own: that of a crash dump. */
export const OpenReservedChannel = struct('OPEN_RESERVED_CHANNEL', 28, {
  channel: [8, 4],
  targetVp: [12, 4],
  targetSint: [16, 4],
  gpadl: [20, 4],
  outPages: [24, 4],
});

export const CloseReservedChannel = struct('CLOSE_RESERVED_CHANNEL', 20, {
  channel: [8, 4],
  targetVp: [12, 4],
  targetSint: [16, 4],
});

export const CloseReservedResponse = struct('CLOSE_RESERVED_RESPONSE', 12, {
  type: [0, 4],
  reserved: [4, 4],
  channel: [8, 4],
});

/**
 * OfferChannel.flags that are sent only where confidential channels (0x2, 0x4) or GPA pinning (0x8)
 * were agreed, which this server never does.
 */
export const OFFER_FLAGS_NEGOTIATED = 0x2 | 0x4 | 0x8;

/** OFFER_CHANNEL before 1.1: without the connection ID and whether it is dedicated. */
export const OFFER_CHANNEL_SHORT = 190;

/** NTSTATUS of TL_CONNECT_RESULT when nobody listens: STATUS_CONNECTION_REFUSED. */
export const STATUS_CONNECTION_REFUSED = 0xc0000236;

/** Connection IDs below are the server's: a guest that names one of its own stays above. */
export const CHANNEL_CONNECTION_BASE = 0x2000;

/** What a guest message needs to be understood. */
export interface GuestMessageRule {
  readonly name: string;
  readonly minVersion: number;
  /** Least length in bytes; more is always accepted and ignored. */
  readonly minLength: number;
  /** Feature flag that must have been agreed, or 0. */
  readonly feature: number;
}

function rule(
  name: string,
  minLength: number,
  minVersion: number = VmbusVersion.V0_13,
  feature = 0,
): GuestMessageRule {
  return { name, minVersion, minLength, feature };
}

const V6 = VmbusVersion.V6_0;

/** The messages that a guest may send, by type. Everything else is the guest's mistake. */
export const GUEST_MESSAGES: ReadonlyMap<number, GuestMessageRule> = new Map([
  [MessageType.REQUEST_OFFERS, rule('REQUEST_OFFERS', MessageHeader.size)],
  [MessageType.OPEN_CHANNEL, rule('OPEN_CHANNEL', OpenChannel.size)],
  [MessageType.CLOSE_CHANNEL, rule('CLOSE_CHANNEL', CloseChannel.size)],
  [MessageType.GPADL_HEADER, rule('GPADL_HEADER', GpadlHeader.size)],
  [MessageType.GPADL_BODY, rule('GPADL_BODY', GpadlBody.size)],
  [MessageType.GPADL_TEARDOWN, rule('GPADL_TEARDOWN', GpadlTeardown.size)],
  [MessageType.RELID_RELEASED, rule('RELID_RELEASED', RelidReleased.size)],
  [MessageType.INITIATE_CONTACT, rule('INITIATE_CONTACT', InitiateContact.size, 0)],
  [MessageType.UNLOAD, rule('UNLOAD', MessageHeader.size)],
  [
    MessageType.OPEN_RESERVED_CHANNEL,
    rule('OPEN_RESERVED_CHANNEL', OpenReservedChannel.size, VmbusVersion.V4_0),
  ],
  [
    MessageType.CLOSE_RESERVED_CHANNEL,
    rule('CLOSE_RESERVED_CHANNEL', CloseReservedChannel.size, 0),
  ],
  [
    MessageType.TL_CONNECT_REQUEST,
    rule('TL_CONNECT_REQUEST', TlConnectRequest.size, VmbusVersion.V4_0),
  ],
  [MessageType.MODIFY_CHANNEL, rule('MODIFY_CHANNEL', ModifyChannel.size, VmbusVersion.V4_1)],
  [
    MessageType.MODIFY_CONNECTION,
    rule('MODIFY_CONNECTION', ModifyConnection.size, V6, FeatureFlag.MODIFY_CONNECTION),
  ],
  [MessageType.PAUSE, rule('PAUSE', MessageHeader.size, V6, FeatureFlag.PAUSE_RESUME)],
  [MessageType.RESUME, rule('RESUME', MessageHeader.size, V6, FeatureFlag.PAUSE_RESUME)],
]);

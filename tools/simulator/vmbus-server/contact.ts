// SPDX-License-Identifier: GPL-2.0-or-later

/** INITIATE_CONTACT as the host reads it: what each field means depends on version and port. */

import {
  InitiateContact,
  MessageType,
  TargetInfo,
  VMBUS_MESSAGE_CONNECTION_ID_4,
  VMBUS_MESSAGE_SINT,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import type { HostProfile } from '../profiles/profile.ts';
import { FeatureFlag, INITIATE_CONTACT_CLIENT_SIZE } from './host-protocol.ts';

export interface Contact {
  /** Message connection that it came on. */
  readonly port: number;
  readonly version: number;
  readonly targetVp: number;
  readonly sint: number;
  readonly vtl: number;
  /** Features that the guest asks for. */
  readonly features: number;
  /** Guest physical addresses, 0 for none. */
  readonly interruptPage: number;
  readonly monitorIn: number;
  readonly monitorOut: number;
  /** The message is long enough for what it says. */
  readonly complete: boolean;
}

/**
 * Whether a message that came on connection `port` is the INITIATE_CONTACT of another driver than
 * that of SINT 2.
 */
export function fromSecondClient(port: number, payload: Uint8Array): boolean {
  if (port !== VMBUS_MESSAGE_CONNECTION_ID_4 || payload.length < InitiateContact.size) return false;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (view.getUint32(InitiateContact.at.type, true) !== MessageType.INITIATE_CONTACT) return false;
  const { sint, vtl } = decodeContact(port, view, false);
  return sint !== VMBUS_MESSAGE_SINT && vtl === 0;
}

/**
 * Decode a message that came on connection `port` (OpenVMM `handle_initiate_contact`).
 *
 * @param anyVp the target VP counts below 3.0, too (QEMU)
 */
export function decodeContact(port: number, view: DataView, anyVp: boolean): Contact {
  const { at } = InitiateContact;
  const info = at.interruptPage;
  const version = view.getUint32(at.version, true);
  const multiClient = port === VMBUS_MESSAGE_CONNECTION_ID_4;
  const byte = (offset: number) => view.getUint8(info + offset);
  const features =
    version >= VmbusVersion.V6_0 ? view.getUint32(info + TargetInfo.at.featureFlags, true) : 0;
  return {
    port,
    version,
    targetVp: anyVp || version >= VmbusVersion.V3_0 ? view.getUint32(at.targetVp, true) : 0,
    sint:
      multiClient && version >= VmbusVersion.V5_0 ? byte(TargetInfo.at.sint) : VMBUS_MESSAGE_SINT,
    vtl: multiClient && version >= VmbusVersion.V5_1 ? byte(TargetInfo.at.vtl) : 0,
    features,
    interruptPage: version < VmbusVersion.V2_4 ? getAddress(view, at.interruptPage) : 0,
    monitorIn: getAddress(view, at.monitorIn),
    monitorOut: getAddress(view, at.monitorOut),
    complete:
      (features & FeatureFlag.CLIENT_ID) === 0 || view.byteLength >= INITIATE_CONTACT_CLIENT_SIZE,
  };
}

/** Whether a host accepts a version of VMBus. */
export function knowsVersion({ vmbusVersions, knobs }: HostProfile, version: number): boolean {
  if (knobs.versionMatch === 'exact') return vmbusVersions.includes(version);
  return version > 0 && version <= Math.max(...vmbusVersions);
}

/** A guest physical address; above 2^53 it is rounded, and no RAM in any case. */
export function getAddress(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** Which versions a guest asks for, and in which order: policies of a connection. */

import { HypxeError } from '../error.ts';
import { HvStatus } from '../hyperv/protocol.ts';
import type { VmbusConnection } from './connection.ts';
import { VmbusVersion, versionText } from './protocol.ts';

/** Connects, or throws. */
export type ContactPolicy = (connection: VmbusConnection) => void;

/**
 * The firmware's: prove that the host knows 3.0, disconnect, and connect with the oldest version.
 *
 * Hosts that do not know 3.0 ignore UNLOAD, so a loaded OS could never connect again and the host
 * might go on writing to our pages: refuse them, without falling back. To stay on 3.0 is no choice
 * either: Windows Server 2012 R2 booted over iSCSI then crashes in vmbus.sys (iPXE 0166a6835).
 *
 * @throws HypxeError VersionRefused and what contact and unload throw
 */
export function contactAsFirmware(connection: VmbusConnection): void {
  contact(connection, VmbusVersion.V3_0);
  connection.unload();
  contact(connection, VmbusVersion.V0_13);
}

function contact(connection: VmbusConnection, version: number): void {
  if (connection.initiateContact(version)) return;
  const text = `host refused VMBus version ${versionText(version)}`;
  throw new HypxeError('VersionRefused', text);
}

/** What an OS asks for: newest first, down to 2.4 (Linux vmbus_versions). */
export const OS_VERSIONS: readonly number[] = [
  VmbusVersion.V6_0,
  VmbusVersion.V5_3,
  VmbusVersion.V5_2,
  VmbusVersion.V5_1,
  VmbusVersion.V5_0,
  VmbusVersion.V4_1,
  VmbusVersion.V4_0,
  VmbusVersion.V3_0,
  VmbusVersion.V2_4,
];

/**
 * A loaded OS's: the newest version that both know (Linux vmbus_connect).
 *
 * @throws HypxeError VersionRefused if the host knows none
 */
export const contactAsOs: ContactPolicy = contactNewestOf(OS_VERSIONS);

/**
 * A secondary driver's, beside another one: 5.0 or newer, and nothing else, since an older contact
 * would be taken for the other driver's and end its connection.
 *
 * @throws HypxeError VersionRefused if the host knows none, or serves only SINT 2
 */
export const contactAsSecondary: ContactPolicy = contactNewestOf(
  OS_VERSIONS.filter((version) => version >= VmbusVersion.V5_0),
);

/**
 * Ask for each of some versions, newest first, until one is supported. INVALID_CONNECTION_ID says
 * that the host is older and has no such message port: on to the next version, at once. A version
 * that cannot serve the connection's SINT or processor is left out.
 */
export function contactNewestOf(versions: readonly number[]): ContactPolicy {
  return (connection) => {
    for (const version of versions) {
      try {
        if (connection.initiateContact(version, false)) return;
      } catch (error) {
        if (!isOlderHost(error)) throw error;
      }
    }
    const asked = versions.map(versionText).join(', ');
    throw new HypxeError('VersionRefused', `host refused VMBus versions ${asked}`);
  };
}

function isOlderHost(error: unknown): boolean {
  if (!(error instanceof HypxeError)) return false;
  if (error.name === 'VersionTooOld') return true;
  return error.name === 'PostFailed' && error.status === HvStatus.INVALID_CONNECTION_ID;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** Which versions the firmware asks for, and in which order: a policy of a connection. */

import { HypxeError } from '../error.ts';
import type { VmbusConnection } from './connection.ts';
import { VmbusVersion, versionText } from './protocol.ts';

/** Connects, or throws. `answered`: told when a host has answered, and so let go of older ones. */
export type ContactPolicy = (connection: VmbusConnection, answered?: () => void) => void;

/**
 * The firmware's: prove that the host knows 3.0, disconnect, and connect with the oldest version.
 *
 * Hosts that do not know 3.0 ignore UNLOAD, so a loaded OS could never connect again and the host
 * might go on writing to our pages: refuse them, without falling back. To stay on 3.0 is no choice
 * either: Windows Server 2012 R2 booted over iSCSI then crashes in vmbus.sys (iPXE 0166a6835).
 *
 * @throws HypxeError VersionRefused and what contact and unload throw
 */
export const contactAsFirmware: ContactPolicy = (connection, answered) => {
  contact(connection, VmbusVersion.V3_0);
  answered?.();
  connection.unload();
  contact(connection, VmbusVersion.V0_13);
};

function contact(connection: VmbusConnection, version: number): void {
  if (connection.initiateContact(version)) return;
  throw new HypxeError('VersionRefused', `host refused version ${versionText(version)}`);
}

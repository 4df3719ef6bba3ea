// SPDX-License-Identifier: GPL-2.0-or-later

/** Contact as an OS makes it: which versions, and what they ask for (Linux vmbus_connect). */

import { HypxeError, isNamed } from '../error.ts';
import { HvStatus } from '../hyperv/protocol.ts';
import type {
  ConnectionOptions,
  ContactPart,
  ControlMessage,
  VmbusConnection,
} from '../vmbus/connection.ts';
import type { ContactPolicy } from '../vmbus/contact.ts';
import {
  FeatureFlag,
  InitiateContact,
  MessageHeader,
  TargetInfo,
  VERSION_RESPONSE2_SIZE,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID_4,
  VersionResponse,
  VmbusVersion,
  versionText,
} from '../vmbus/protocol.ts';
import { connectionsOf, isPortOfOther, isSecondary } from './sints.ts';

export type { ContactPolicy } from '../vmbus/contact.ts';

/** Largest connection ID: hypercalls take 24 bits of it. */
const CONNECTION_ID_MAX = 0xffffff;

/** What this guest implements of the feature flags of 6.0. */
export const GUEST_FEATURES =
  FeatureFlag.GUEST_SPECIFIED_SIGNAL_PARAMETERS | FeatureFlag.CHANNEL_INTERRUPT_REDIRECTION;

/** How an OS connects. */
export interface OsConnectionOptions extends ConnectionOptions {
  /**
   * SINT that the host's messages and events come on. Any other than VMBus's own, 2, makes this
   * the connection of a secondary driver: from 5.0 on, beside another on the same {@link HyperV}.
   */
  readonly sint?: number | undefined;
  /** Virtual processor that messages come to, from 3.0 on: the one that contacts. */
  readonly targetVp?: number | undefined;
  /** Whether there are monitor pages. Without them every signal is an event. */
  readonly monitors?: boolean | undefined;
  /** Feature flags that are asked for from 6.0 on: those of {@link GUEST_FEATURES} or fewer. */
  readonly features?: number | undefined;
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
        if (connection.initiateContact(version, OS_CONTACT)) return;
      } catch (error) {
        if (!isOlderHost(error)) throw error;
      }
    }
    const asked = versions.map(versionText).join(', ');
    throw new HypxeError('VersionRefused', `host refused VMBus versions ${asked}`);
  };
}

function isOlderHost(error: unknown): boolean {
  if (!isNamed(error)) return false;
  if (error.name === 'VersionTooOld') return true;
  return error.name === 'PostFailed' && error.status === HvStatus.INVALID_CONNECTION_ID;
}

/** @throws HypxeError VersionTooOld, PortShared, ContactFailed */
const OS_CONTACT: ContactPart = {
  contacting(connection, words, version) {
    const { targetVp = 0, monitors = true, features = 0 } = optionsOf(connection);
    requireNewEnough(connection, version, targetVp);
    const { at } = InitiateContact;
    const multiClient = version >= VmbusVersion.V5_0;
    connection.port = multiClient ? VMBUS_MESSAGE_CONNECTION_ID_4 : VMBUS_MESSAGE_CONNECTION_ID;
    words[wordOf(at.targetVp)] = targetVp;
    if (!monitors) words[wordOf(at.monitorIn)] = words[wordOf(at.monitorOut)] = 0;
    if (!multiClient) return;

    // In place of the interrupt page where messages go, and from 6.0 on what else is asked for
    words[wordOf(at.interruptPage + TargetInfo.at.sint)] = connection.sint;
    const flags = wordOf(at.interruptPage + TargetInfo.at.featureFlags);
    words[flags] = version < VmbusVersion.V6_0 ? 0 : features & GUEST_FEATURES;
  },

  contacted(connection, answer, version) {
    if (version >= VmbusVersion.V5_0) usePort(connection, answer, versionText(version));
    const long = version >= VmbusVersion.V6_0 && answer.length >= VERSION_RESPONSE2_SIZE;
    const agreed = long ? answer.view.getUint32(VersionResponse.size, true) : 0;
    const asked = (optionsOf(connection).features ?? 0) & GUEST_FEATURES;
    connectionsOf(connection.hv).set(connection, agreed & asked);
  },
};

/** Which word behind the header a field is, or begins. */
export function wordOf(at: number): number {
  return (at - MessageHeader.size) / 4;
}

function optionsOf({ options }: VmbusConnection): OsConnectionOptions {
  return options;
}

/** A secondary driver must never be taken for the primary one: older hosts know only one. */
function requireNewEnough(connection: VmbusConnection, version: number, targetVp: number): void {
  const forProcessor = targetVp === 0 ? 0 : VmbusVersion.V3_0;
  if (version >= (isSecondary(connection) ? VmbusVersion.V5_0 : forProcessor)) return;
  const target = `SINT ${connection.sint} of VP ${targetVp}`;
  const text = `version ${versionText(version)} sends nothing to ${target}`;
  throw new HypxeError('VersionTooOld', text);
}

/** From 5.0 on the host says where all later messages go. */
function usePort(connection: VmbusConnection, answer: ControlMessage, text: string): void {
  const port = answer.view.getUint32(VersionResponse.at.version, true);
  if (port === 0 || port > CONNECTION_ID_MAX) {
    connection.disconnected(undefined);
    const what = `host knows version ${text} but returns connection 0x${port.toString(16)}`;
    throw new HypxeError('ContactFailed', what);
  }
  if (isPortOfOther(connection, port)) {
    // To unload there would be to unload the other driver: what the host has of us, it keeps
    connection.disconnected(undefined);
    const what = `host returns connection ${port}, which another driver uses`;
    throw new HypxeError('PortShared', what);
  }
  connection.port = port;
}

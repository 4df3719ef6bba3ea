// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The connection to the host's VMBus server: the pages that belong to it, contact and unload, and
 * signals (iPXE vmbus_initiate_contact, vmbus_unload; Linux vmbus_negotiate_version).
 */

import { HypxeError } from '../error.ts';
import type { HyperV } from '../hyperv/hyperv.ts';
import { HvStatus } from '../hyperv/protocol.ts';
import { ConnectionPages } from './connection-pages.ts';
import { ControlMessages, MESSAGE_TIMEOUT_MS, type ControlMessage } from './control-messages.ts';
import {
  FeatureFlag,
  InitiateContact,
  MessageHeader,
  MessageType,
  TargetInfo,
  VERSION_RESPONSE_MIN,
  VMBUS_EVENT_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID,
  VMBUS_MESSAGE_CONNECTION_ID_4,
  VMBUS_MESSAGE_SINT,
  VersionResponse,
  VERSION_RESPONSE2_SIZE,
  VmbusVersion,
  ConnectionState,
  versionText,
} from './protocol.ts';

/** Largest connection ID: hypercalls take 24 bits of it. */
const CONNECTION_ID_MAX = 0xffffff;

/** How a connection is made. What is left out is as the firmware has it. */
export interface ConnectionOptions {
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
  /** How long the host may take to answer INITIATE_CONTACT, in ms: Linux waits for ever. */
  readonly contactTimeoutMs?: number | undefined;
  /** How long the host may take to let go, in ms: it may have caches to write first. */
  readonly unloadTimeoutMs?: number | undefined;
}

/** What this guest implements of the feature flags of 6.0. */
export const GUEST_FEATURES =
  FeatureFlag.GUEST_SPECIFIED_SIGNAL_PARAMETERS | FeatureFlag.CHANNEL_INTERRUPT_REDIRECTION;

export class VmbusConnection extends ControlMessages {
  /** Negotiated version, or 0 while not connected. */
  version = 0;
  /** Feature flags that both sides know; 0 below 6.0. */
  features = 0;
  /** Whether the host may believe that we are connected: an INITIATE_CONTACT is out. */
  #contacted = false;
  readonly #options: ConnectionOptions;
  readonly #pages: ConnectionPages;

  constructor(hv: HyperV, options: ConnectionOptions = {}) {
    super(hv, options.sint ?? VMBUS_MESSAGE_SINT);
    this.#options = options;
    this.#pages = new ConnectionPages(hv.pages, options.monitors ?? true);
  }

  // --- set up and tear down ---

  /**
   * Allocate the connection's pages, and let messages come.
   *
   * @throws HypxeError OutOfMemory; SintInUse, BadSint of a secondary driver
   */
  setUp(): void {
    this.#pages.allocate();
    try {
      this.hv.claimSint(this.sint, this.isSecondary);
    } catch (error) {
      this.#pages.free();
      throw error;
    }
  }

  /** Undo {@link setUp}. Pages that the host still has stay reserved. */
  tearDown(): void {
    this.drain();
    this.hv.releaseSint(this.sint);
    this.#pages.free();
  }

  /**
   * Start again on the same pages, after somebody else may have had the connection. Until the next
   * contact is answered the host may still have the old one, and with it the pages.
   */
  reset(): void {
    this.#pages.zero();
    this.version = this.features = 0;
    this.hv.enableSint(this.sint);
  }

  /** Whether another driver has VMBus's own SINT, and this one a SINT beside it. */
  get isSecondary(): boolean {
    return this.sint !== VMBUS_MESSAGE_SINT;
  }

  /**
   * Contact the host with one version.
   *
   * @param retry whether INVALID_CONNECTION_ID is throttling, to be tried again. From 5.0 on it is
   * an older host that has no such port (Linux vmbus_post_msg); an OS takes it so in any case
   * @returns false if the host does not support it
   * @throws HypxeError NoResponse, ContactFailed, PortShared, PostFailed; VersionTooOld, with
   * nothing sent, if the version cannot serve the SINT or the processor
   */
  initiateContact(version: number, retry = version < VmbusVersion.V5_0): boolean {
    const { targetVp = 0, contactTimeoutMs = MESSAGE_TIMEOUT_MS } = this.#options;
    const text = versionText(version);
    this.#requireNewEnough(version, targetVp);

    // Construct message
    const multiClient = version >= VmbusVersion.V5_0;
    this.port = multiClient ? VMBUS_MESSAGE_CONNECTION_ID_4 : VMBUS_MESSAGE_CONNECTION_ID;
    const message = this.begin(MessageType.INITIATE_CONTACT, InitiateContact.size);
    message.setUint32(InitiateContact.at.version, version, true);
    message.setUint32(InitiateContact.at.targetVp, targetVp, true);
    this.#pages.describe(message, !multiClient);
    if (multiClient) this.#describeTarget(message, version);

    // Post message. From here on the host may write to the pages
    this.#pages.share(`INITIATE_CONTACT ${text}`, !multiClient);
    try {
      this.post(InitiateContact.size, retry);
    } catch (error) {
      if (!this.#contacted) this.#pages.revoke('a contact that was never posted');
      throw error;
    }
    this.#contacted = true;

    // Wait for response. QEMU's has no version; another version is an answer to something older
    const response = this.wait(
      MessageType.VERSION_RESPONSE,
      VERSION_RESPONSE_MIN,
      (reply) => {
        const echoed = reply.view.getUint32(VersionResponse.at.version, true);
        const supported = reply.bytes[VersionResponse.at.supported] !== 0;
        return multiClient || !supported || echoed === 0 || echoed === version;
      },
      contactTimeoutMs,
    );

    // Check response
    if (response.bytes[VersionResponse.at.supported] === 0) {
      this.disconnected(`VERSION_RESPONSE: ${text} not supported`);
      this.hv.log.info('VMBUS', '', `host does not support version ${text}`);
      return false;
    }
    this.#checkState(response, version);
    if (multiClient) this.#usePort(response, text);
    this.version = version;
    this.features = version >= VmbusVersion.V6_0 ? this.#agreedFeatures(response) : 0;
    this.hv.usePort(this.sint, this.port);
    this.hv.log.info('VMBUS', '', `initiated contact using version ${text}`);
    return true;
  }

  /** A secondary driver must never be taken for the primary one: older hosts know only one. */
  #requireNewEnough(version: number, targetVp: number): void {
    const needed = this.isSecondary ? VmbusVersion.V5_0 : targetVp === 0 ? 0 : VmbusVersion.V3_0;
    if (version >= needed) return;
    const target = `SINT ${this.sint} of VP ${targetVp}`;
    const text = `version ${versionText(version)} sends nothing to ${target}`;
    throw new HypxeError('VersionTooOld', text);
  }

  /** From 5.0 on: where messages go, and from 6.0 on what else is asked for. */
  #describeTarget(message: DataView, version: number): void {
    const target = InitiateContact.at.interruptPage;
    message.setUint8(target + TargetInfo.at.sint, this.sint);
    if (version < VmbusVersion.V6_0) return;
    const features = (this.#options.features ?? 0) & GUEST_FEATURES;
    message.setUint32(target + TargetInfo.at.featureFlags, features, true);
  }

  /** From 5.0 on the host says where all later messages go. */
  #usePort(response: ControlMessage, text: string): void {
    const port = response.view.getUint32(VersionResponse.at.version, true);
    if (port === 0 || port > CONNECTION_ID_MAX) {
      this.disconnected(undefined);
      const what = `host knows version ${text} but returns connection 0x${port.toString(16)}`;
      throw new HypxeError('ContactFailed', what);
    }
    if (this.hv.isPortOfOther(this.sint, port)) {
      // To unload there would be to unload the other driver: what the host has of us, it keeps
      this.disconnected(undefined);
      const what = `host returns connection ${port}, which another driver uses`;
      throw new HypxeError('PortShared', what);
    }
    this.port = port;
  }

  /** What of the features asked for the host has; one that has none may leave them out. */
  #agreedFeatures(response: ControlMessage): number {
    if (response.length < VERSION_RESPONSE2_SIZE) return 0;
    const features = response.view.getUint32(VersionResponse.size, true);
    return features & (this.#options.features ?? 0) & GUEST_FEATURES;
  }

  /**
   * Disconnect, and wait for the host to say that it has let go of everything.
   *
   * @param timeoutMs how long the host may take
   * @throws HypxeError NoResponse, PostFailed: what is shared stays shared
   */
  unload(timeoutMs = this.unloadTimeoutMs): void {
    this.postUnload();
    this.wait(MessageType.UNLOAD_RESPONSE, MessageHeader.size, undefined, timeoutMs);
    this.disconnected('UNLOAD_RESPONSE');
  }

  /** Ask the host to let go of everything. @throws HypxeError PostFailed, PostThrottled */
  postUnload(): void {
    this.begin(MessageType.UNLOAD, MessageHeader.size);
    this.post(MessageHeader.size);
  }

  /**
   * There is no connection any more.
   *
   * @param by how the host has said that it let go of the pages, or undefined if it has not: then
   * they stay shared
   */
  disconnected(by: string | undefined): void {
    this.#contacted = false;
    this.version = this.features = 0;
    this.hv.usePort(this.sint, 0);
    if (by !== undefined) this.#pages.revoke(by);
  }

  /** How long the host may take to let go, in ms. */
  get unloadTimeoutMs(): number {
    return this.#options.unloadTimeoutMs ?? MESSAGE_TIMEOUT_MS;
  }

  /** Whether the host may hold anything of us that only an UNLOAD takes back. */
  get mustUnload(): boolean {
    return this.#contacted;
  }

  // --- signals ---

  /**
   * Tell the host that a channel has something to read.
   *
   * @param monitor the channel's monitor, or -1 for an event
   * @returns the status of the hypercall, or SUCCESS
   */
  signal(channel: number, monitor: number, eventConnectionId: number): number {
    // Set the channel's bit where the host looks for it. From 2.4 on events are dedicated
    const shared = this.version < VmbusVersion.V2_4;
    if (shared) this.#pages.setInterrupt(channel);

    // Signal through the monitor page, if the channel has one: no hypercall
    if (monitor >= 0 && this.#pages.trigger(monitor)) return HvStatus.SUCCESS;
    return this.hv.signalEvent(shared ? VMBUS_EVENT_CONNECTION_ID : eventConnectionId);
  }

  /** Take back a signal that nobody has read: the channel is being closed. */
  clearSignal(channel: number): void {
    if (this.version < VmbusVersion.V2_4) this.#pages.clearInterrupt(channel);
  }

  #checkState(response: ControlMessage, version: number): void {
    // Hosts below 2.4 leave the state undefined (mu_msvm); iPXE never looks at it
    const state = response.bytes[VersionResponse.at.connectionState]!;
    if (version < VmbusVersion.V2_4 || state === ConnectionState.SUCCESSFUL) return;
    this.disconnected(`VERSION_RESPONSE: connection state ${state}`);
    const text = `host knows version ${versionText(version)} but failed with state ${state}`;
    throw new HypxeError('ContactFailed', text);
  }
}

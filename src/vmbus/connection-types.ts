// SPDX-License-Identifier: GPL-2.0-or-later

/** What is said to a connection, and what it says: options, messages, who takes part. */

import type { ReceivedMessage } from '../hyperv/message.ts';

/**
 * How long the host may take to answer a control message, in ms: Linux waited 5 s, then 10 s, and
 * waits for ever today; iPXE polls 1000 times for 1 ms.
 */
export const ANSWER_TIMEOUT_MS = 10_000;

/**
 * How long it may take to answer a contact, in ms. It may have to unload an earlier owner first,
 * for up to 50 s (Linux 77db0ec8b776); a contact is tried twice.
 */
export const CONTACT_TIMEOUT_MS = 30_000;

/** How often a host is contacted that does not answer, and one that unloads somebody meanwhile. */
export const CONTACT_TRIES = 2;
export const CONTACTS_MAX = 4;

/**
 * Messages that may come while one is awaited, or lie there when the connection is made or given
 * up. iPXE restarts its timeout for each: no bound.
 */
export const MESSAGES_PER_WAIT_MAX = 4096;

/** How a connection is made. What is left out is as the firmware has it. */
export interface ConnectionOptions {
  /** SINT that the host's messages and events come on. */
  readonly sint?: number | undefined;
  /** How long the host may take to answer a control message, in ms. */
  readonly answerTimeoutMs?: number | undefined;
  /** How long it may take to answer INITIATE_CONTACT, in ms: Linux waits for ever. */
  readonly contactTimeoutMs?: number | undefined;
  /** How often it is contacted if it does not. */
  readonly contactTries?: number | undefined;
  /** How long the host may take to let go, in ms: it may have caches to write first. */
  readonly unloadTimeoutMs?: number | undefined;
}

/**
 * A control message of the host: a copy, zero beyond its length. Valid until the next one. Its type
 * is one of {@link MessageType}, or 0 for what is no VMBus message.
 */
export type ControlMessage = Readonly<ReceivedMessage>;

/** What an awaited message must satisfy besides its type; see {@link VmbusConnection.wait}. */
export type MessageMatch = (message: ControlMessage) => boolean;

/** A device as far as who waits for it must know. */
export interface Rescindable {
  /** @throws HypxeError ChannelRescinded */
  requireOffered(): void;
}

/** What a guest that knows newer versions than the firmware changes in a contact. */
export interface ContactPartOf<C> {
  /**
   * An INITIATE_CONTACT has been made: change what it says, and where it goes. The pages whose
   * addresses it then has are shared.
   *
   * @param words of the message behind its header
   * @throws HypxeError with nothing sent
   */
  contacting(connection: C, words: number[], version: number): void;
  /** The host knows the version: take what else it says. @throws HypxeError */
  contacted(connection: C, answer: ControlMessage, version: number): void;
}

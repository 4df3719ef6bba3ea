// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the audit and the loaded OS may ask the VMBus server: a snapshot, plain data. The figures of
 * the primary client stand at the top, those of all clients in `clients`.
 */

import type { Grant } from '../ledger/grants.ts';
import type { ClientName } from './channel-interface.ts';
import type { ChannelState, GpadlState } from './channel.ts';
import type { ConnectionPhase, VmbusConnection } from './connection.ts';
import type { ServerState } from './context.ts';
import type { ContactRecord } from './history.ts';
import type { Numbering } from './offers.ts';
import type { SharedMemoryInspection } from './shared-memory.ts';
import { THROTTLE_STALL_TICKS } from './signal-throttle.ts';

export interface ChannelInspection {
  /** Channel number, 0 while not offered. */
  readonly id: number;
  /** Channel number of the last offer, 0 if it was never offered. */
  readonly lastId: number;
  readonly interfaceId: string;
  readonly instanceId: string;
  /** 0 for the primary channel of a device, from 1 on for its sub-channels. */
  readonly subchannelIndex: number;
  readonly state: ChannelState;
  /** Monitor number, 0xff for none. */
  readonly monitor: number;
  readonly ringGpadl: number | undefined;
  /** When it was opened, in ticks; undefined while it is not open. */
  readonly openedAt: number | undefined;
  readonly targetVp: number | undefined;
  /** Opened by OPEN_RESERVED_CHANNEL: it outlives UNLOAD. */
  readonly reserved: boolean;
  /** Why the open channel died, '' if it lives. */
  readonly deathReason: string;
  /** Signals of the guest over all opens, and those that had nothing to say. */
  readonly signals: number;
  readonly unnecessarySignals: number;
}

export interface GpadlInspection {
  readonly id: number;
  readonly channel: number;
  readonly state: GpadlState;
  /** Page numbers over all ranges, and what the pages are for. */
  readonly pfns: readonly number[];
  readonly purpose: string;
}

/** The connection of one VMBus driver of the guest. */
export interface ClientInspection {
  readonly client: ClientName;
  /** SINT of its messages and events; undefined for a second client that never was in contact. */
  readonly sint: number | undefined;
  /** Connection ID for messages that it is told from 5.0 on. */
  readonly connectionId: number;
  readonly phase: ConnectionPhase;
  /** Negotiated version, 0 while disconnected. */
  readonly version: number;
  readonly features: number;
  readonly targetVp: number;
  readonly offersRequested: boolean;
  /** What was numbered in the last answer to REQUEST_OFFERS; nothing if there was none. */
  readonly numbering: Numbering;
  /** Contacts of the guest so far; of these {@link history} has the last ones. */
  readonly contacts: number;
  /** Of these, contacts that the host ignored: they end no connection. */
  readonly contactsIgnored: number;
  /** When the last connection was made, in ticks; 0 if there was none. */
  readonly connectedAt: number;
  readonly history: readonly ContactRecord[];
  readonly everNegotiated: readonly number[];
  readonly unloadsSeen: number;
  readonly unloadsAnswered: number;
  /** When the last connection was followed by an UNLOAD, and by its answer; else undefined. */
  readonly unloadSeenAt: number | undefined;
  readonly unloadAnsweredAt: number | undefined;
  /** When the answer to the last UNLOAD could not reach the guest; else undefined. */
  readonly unloadLostAt: number | undefined;
  readonly channels: readonly ChannelInspection[];
  readonly gpadls: readonly GpadlInspection[];
  /** Guest physical addresses. */
  readonly interruptPage: number | undefined;
  readonly monitorIn: number | undefined;
  readonly monitorOut: number | undefined;
  /** Messages not yet handled, and those that the guest has not yet taken out of the queue. */
  readonly guestMessagesQueued: number;
  readonly hostMessagesQueued: number;
  /** Signals of the shared event connection that named no channel. */
  readonly emptySignals: number;
}

/** The whole server. What is not said of a client is said of the guest. */
export interface VmbusInspection extends ClientInspection {
  /** The primary client (the same as above), then the second one where the host allows one. */
  readonly clients: readonly ClientInspection[];
  readonly sharedMemory: SharedMemoryInspection;
  /** How often a device has come or gone, and each of them by instance: the host's own doing. */
  readonly deviceChanges: number;
  readonly changesOf: ReadonlyMap<string, number>;
  /** How often the guest broke the protocol. */
  readonly violations: number;
  /** Signals that had nothing to say, how often that suspended the guest, and how long in all. */
  readonly excessSignals: number;
  readonly stalls: number;
  readonly stalledTicks: number;
}

/** Take the snapshot of the server: what each client's connection says, primary first. */
export function inspectServer(
  state: ServerState,
  clients: readonly [ClientInspection, ...ClientInspection[]],
): VmbusInspection {
  const { excess, stalls } = state.throttle;
  // The client's figures last: what is added to a spread costs the engine a new shape each
  const server: Omit<VmbusInspection, keyof ClientInspection> = {
    clients,
    sharedMemory: state.sharedMemory.inspect(),
    deviceChanges: state.changes,
    changesOf: new Map(state.changesOf),
    violations: state.violations,
    excessSignals: excess,
    stalls,
    stalledTicks: stalls * THROTTLE_STALL_TICKS,
  };
  return Object.assign(server, clients[0]);
}

/** Take the snapshot of a connection. */
export function inspectConnection(
  connection: VmbusConnection,
  guestMessagesQueued: number,
): ClientInspection {
  const { client, history, offers, pages, messages } = connection;
  return {
    client: client.name,
    sint: client.sint,
    connectionId: client.connectionId,
    phase: connection.phase,
    version: connection.version,
    features: connection.features,
    targetVp: messages.vp,
    offersRequested: offers.requested,
    numbering: offers.numbering,
    contacts: history.contacts,
    contactsIgnored: history.ignored,
    connectedAt: history.connectedAt,
    history: [...history.records],
    everNegotiated: [...history.everNegotiated],
    unloadsSeen: history.unloadsSeen,
    unloadsAnswered: history.unloadsAnswered,
    unloadSeenAt: history.unloadSeenAt,
    unloadAnsweredAt: history.unloadAnsweredAt,
    unloadLostAt: history.unloadLostAt,
    channels: offers.channels.map((channel) => ({
      id: channel.id,
      lastId: channel.lastId,
      interfaceId: channel.device.interfaceId,
      instanceId: channel.device.instanceId,
      subchannelIndex: channel.index,
      state: channel.state,
      monitor: channel.monitor,
      ringGpadl: channel.opening?.ringGpadl,
      openedAt: channel.opening?.openedAt,
      targetVp: channel.opening?.targetVp,
      reserved: channel.opening?.reserved ?? false,
      deathReason: channel.opening?.rings.reason ?? '',
      signals: channel.signals + live(channel.opening?.rings.signals),
      unnecessarySignals:
        channel.unnecessarySignals + live(channel.opening?.rings.unnecessarySignals),
    })),
    gpadls: offers.channels.flatMap((channel) =>
      [...channel.gpadls.values()].map((gpadl) => ({
        id: gpadl.id,
        channel: channel.id,
        state: gpadl.state,
        // A grant never changes its pages
        pfns: gpadl.grants.length === 1 ? gpadl.grants[0]!.pfns : pagesOf(gpadl.grants),
        purpose: gpadl.grants[0]?.purpose ?? 'incomplete',
      })),
    ),
    interruptPage: pages.interruptPage,
    monitorIn: pages.monitorIn,
    monitorOut: pages.monitorOut,
    guestMessagesQueued,
    hostMessagesQueued: messages.queued,
    emptySignals: connection.signals.emptySignals,
  };
}

function pagesOf(grants: readonly Grant[]): number[] {
  return grants.flatMap(({ pfns }) => [...pfns]);
}

function live(count: number | undefined): number {
  return count ?? 0;
}

/** Contacts that the host has heeded: each ends the connection of before. */
export function contactsHeeded(
  inspected: Pick<VmbusInspection, 'contacts' | 'contactsIgnored'>,
): number {
  return inspected.contacts - inspected.contactsIgnored;
}

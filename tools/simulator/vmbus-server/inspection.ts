// SPDX-License-Identifier: GPL-2.0-or-later

/** What the audit and the loaded OS may ask the VMBus server: a snapshot, plain data. */

import type { ChannelState } from './channel.ts';
import type { ConnectionPhase, VmbusConnection } from './connection.ts';
import type { GpadlState } from './gpadls.ts';
import type { ContactRecord } from './history.ts';

export interface ChannelInspection {
  /** Channel number, 0 while not offered. */
  readonly id: number;
  /** Channel number of the last offer, 0 if it was never offered. */
  readonly lastId: number;
  readonly interfaceId: string;
  readonly instanceId: string;
  readonly state: ChannelState;
  /** Monitor number, 0xff for none. */
  readonly monitor: number;
  readonly ringGpadl: number | undefined;
  readonly targetVp: number | undefined;
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

export interface VmbusInspection {
  readonly phase: ConnectionPhase;
  /** Negotiated version, 0 while disconnected. */
  readonly version: number;
  readonly features: number;
  readonly targetVp: number;
  readonly offersRequested: boolean;
  readonly history: readonly Readonly<ContactRecord>[];
  readonly everNegotiated: readonly number[];
  readonly unloadsSeen: number;
  readonly unloadsAnswered: number;
  /** When the last connection was followed by an UNLOAD, and by its answer; else undefined. */
  readonly unloadSeenAt: number | undefined;
  readonly unloadAnsweredAt: number | undefined;
  readonly channels: readonly ChannelInspection[];
  readonly gpadls: readonly GpadlInspection[];
  /** Guest physical addresses. */
  readonly interruptPage: number | undefined;
  readonly monitorIn: number | undefined;
  readonly monitorOut: number | undefined;
  /** Messages not yet handled, and those that the guest has not yet taken out of the queue. */
  readonly guestMessagesQueued: number;
  readonly hostMessagesQueued: number;
  /** How often the guest broke the protocol, and was suspended for excess signals. */
  readonly violations: number;
  readonly stalls: number;
}

/** Take the snapshot of a connection. */
export function inspectConnection(
  connection: VmbusConnection,
  guestMessagesQueued: number,
  violations: number,
): VmbusInspection {
  const { history, offers, pages, messages } = connection;
  return {
    phase: connection.phase,
    version: connection.version,
    features: connection.features,
    targetVp: messages.vp,
    offersRequested: offers.requested,
    history: history.records.map((record) => ({ ...record })),
    everNegotiated: [...history.everNegotiated],
    unloadsSeen: history.unloadsSeen,
    unloadsAnswered: history.unloadsAnswered,
    unloadSeenAt: history.unloadSeenAt,
    unloadAnsweredAt: history.unloadAnsweredAt,
    channels: offers.channels.map((channel) => ({
      id: channel.id,
      lastId: channel.lastId,
      interfaceId: channel.device.interfaceId,
      instanceId: channel.device.instanceId,
      state: channel.state,
      monitor: channel.monitor,
      ringGpadl: channel.opening?.ringGpadl,
      targetVp: channel.opening?.targetVp,
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
        pfns: gpadl.grants.flatMap((grant) => [...grant.pfns]),
        purpose: gpadl.grants[0]?.purpose ?? 'incomplete',
      })),
    ),
    interruptPage: pages.interruptPage,
    monitorIn: pages.monitorIn,
    monitorOut: pages.monitorOut,
    guestMessagesQueued,
    hostMessagesQueued: messages.queued,
    violations,
    stalls: connection.signals.stalls,
  };
}

function live(count: number | undefined): number {
  return count ?? 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Who is connected: the primary VMBus driver of the guest on SINT 2, or a second one on a SINT of
 * its own (Linux commit "enable VMBus protocol version 5.0"). Each has its own connection IDs,
 * channel numbers and event flags.
 */

import { VMBUS_MESSAGE_SINT } from '../../../src/vmbus/protocol.ts';
import type { ClientName } from './channel-interface.ts';
import type { HostProfile } from '../profiles/profile.ts';
import type { Keeper } from '../base/snapshot.ts';

/** First connection ID of channels on a host that does not tell SINTs apart (QEMU). */
const LOW_CHANNEL_CONNECTIONS = 16;

/** Bits of the SINT in the connection ID of a channel (OpenVMM `ConnectionId::new`). */
const SINT_SHIFT = 12;

export class Client {
  readonly name: ClientName;
  /** Message connection ID that it is told to use from 5.0 on. */
  readonly connectionId: number;
  /** SINT of its messages and events; that of a second client is known from its first contact. */
  sint: number | undefined;
  readonly #low: boolean;

  constructor(name: ClientName, connectionId: number, profile: HostProfile) {
    this.name = name;
    this.connectionId = connectionId;
    this.sint = name === 'primary' ? VMBUS_MESSAGE_SINT : undefined;
    this.#low = name === 'primary' && profile.knobs.channelConnections === 'from-16';
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.sint], (v) => ([this.sint] = v));
  }

  /** What purposes and violations of a second client end with. */
  get suffix(): string {
    return this.name === 'primary' ? '' : ' of the second client';
  }

  /** Connection ID of a channel's event port, as its offer says. */
  channelConnection(id: number): number {
    if (this.#low) return LOW_CHANNEL_CONNECTIONS + id;
    return ((this.sint ?? 0) << SINT_SHIFT) | id;
  }
}

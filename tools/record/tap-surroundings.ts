// SPDX-License-Identifier: GPL-2.0-or-later

/** What the tap of a recorder has from elsewhere, and what it keeps of a channel. */

import type { GuestChannel } from '../replay/guest-channels.ts';
import type { InboundRing } from './inbound-ring.ts';

/** One channel as the tap has seen it last. */
export interface Seen {
  readonly channel: GuestChannel;
  readonly inbound: InboundRing;
  /** Guest to host: how far it has read; what lies there. */
  consumer: number;
  mask: number;
  readonly waiting: { readonly type: number; readonly transaction: bigint; readonly end: number }[];
}

/** What a tap takes from elsewhere instead of asking its machine. */
export interface TapSurroundings {
  /** Guest RAM. */
  readonly memory?: ArrayBufferLike;
  /** The reference time, in ticks of 100 ns. */
  readonly ticks?: () => bigint;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Offers as they come in: those of an enumeration until the host says that these were all, and the
 * late ones until somebody has time for them. An offer that is rescinded before anybody has looked
 * at it is struck out.
 */

import type { Log } from '../events.ts';
import type { ControlMessage } from './control-messages.ts';
import { readOffer, type Offer } from './offered-channel.ts';
import { OfferChannel, VMBUS_CHANNEL_MAX } from './protocol.ts';

export class OfferInbox {
  readonly #log: Log;
  readonly #takesLate: boolean;
  #enumerated: Offer[] | undefined;
  readonly #late: Offer[] = [];
  /** Channels that were offered and rescinded, and of which nobody ever knew. */
  readonly #struck: number[] = [];

  /** `takesLate`: whether offers after the enumeration are kept, and their rescinds answered. */
  constructor(log: Log, takesLate: boolean) {
    this.#log = log;
    this.#takesLate = takesLate;
  }

  /** An enumeration begins. */
  begin(): void {
    this.#enumerated = [];
  }

  /** It is over: what was offered. */
  end(): Offer[] {
    const offers = this.#enumerated ?? [];
    this.#enumerated = undefined;
    return offers;
  }

  /** Forget everything: the connection is gone. */
  clear(): void {
    this.#enumerated = undefined;
    this.#late.length = this.#struck.length = 0;
  }

  /**
   * Take an OFFER_CHANNEL.
   *
   * @returns the offer if it is that of a sub-channel: whoever asked for it waits for it
   */
  offered(message: ControlMessage): Offer | undefined {
    if (message.length < OfferChannel.size) {
      this.#log.error('VMBUS', '', `ignoring offer of ${message.length} bytes`);
      return undefined;
    }
    const offer = readOffer(message);
    const { channel } = offer;
    const list = this.#enumerated ?? this.#late;
    if (channel === 0 || channel > VMBUS_CHANNEL_MAX) {
      this.#log.error('VMBUS', '', `ignoring offer of channel ${channel}`);
    } else if (this.#enumerated === undefined && !this.#takesLate) {
      this.#log.info('VMBUS', `{${offer.instanceId}}`, 'ignoring late offer');
    } else if (offer.subchannel !== 0) {
      return offer;
    } else if (list.some((other) => other.channel === channel)) {
      this.#log.error('VMBUS', '', `channel ${channel} is offered twice`);
    } else if (list.length < VMBUS_CHANNEL_MAX) {
      list.push(offer);
    }
    return undefined;
  }

  /** Strike an offer out. @returns whether there was one that nobody has taken yet */
  rescinded(channel: number): boolean {
    const list = this.#enumerated ?? this.#late;
    const index = list.findIndex((offer) => offer.channel === channel);
    if (index < 0) return false;
    list.splice(index, 1);
    if (this.#takesLate) this.#struck.push(channel);
    return true;
  }

  /** The next late offer, or undefined. */
  takeLate(): Offer | undefined {
    return this.#late.shift();
  }

  /** The next channel that the host waits to have released, or undefined. */
  takeStruck(): number | undefined {
    return this.#struck.shift();
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the guest wants to receive (OID_GEN_CURRENT_PACKET_FILTER; NDIS, "packet filter"). Hosts
 * here take no list of multicast addresses (they say that its longest is 0), so the bit for
 * multicast addresses of a list lets nothing through: drivers ask for all multicast frames.
 */

import { PacketFilter as Bit } from '../../../src/rndis/protocol.ts';
import type { Keeper } from '../base/snapshot.ts';

const ADDRESS_SIZE = 6;

export class PacketFilter {
  readonly #address: Uint8Array;
  readonly #byBits: () => boolean;
  /** As the guest has set it; 0 receives nothing. */
  bits = 0;

  /**
   * `address` is the NIC's; `byBits` says whether each bit counts, or only that one is set
   * (OpenVMM, whose back ends filter or not).
   */
  constructor(address: Uint8Array, byBits: () => boolean) {
    this.#address = address;
    this.#byBits = byBits;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.bits], (v) => ([this.bits] = v));
    keeper.keep(this.#address);
  }

  /** Whether the guest gets a frame. */
  passes(frame: Uint8Array): boolean {
    const { bits } = this;
    if (bits === 0) return false;
    if (!this.#byBits() || (bits & Bit.PROMISCUOUS) !== 0) return true;
    if ((frame[0]! & 1) === 0) return (bits & Bit.DIRECTED) !== 0 && this.#isOwn(frame);
    const wanted = isBroadcast(frame) ? Bit.BROADCAST : Bit.ALL_MULTICAST;
    return (bits & wanted) !== 0;
  }

  #isOwn(frame: Uint8Array): boolean {
    for (let i = 0; i < ADDRESS_SIZE; i++) if (frame[i] !== this.#address[i]) return false;
    return true;
  }
}

function isBroadcast(frame: Uint8Array): boolean {
  for (let i = 0; i < ADDRESS_SIZE; i++) if (frame[i] !== 0xff) return false;
  return true;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the host tells of a received frame beside its bytes (per-packet information): checksums that
 * it has checked, the VLAN tag that it has taken out, the hash. Each only if the guest has asked
 * for it.
 */

import { IpProtocol } from '../../../../src/net/protocol.ts';
import type { HostKnobs } from '../../profiles/profile.ts';
import { PacketInfo, type DataHeader } from '../data-message.ts';
import { ipChecksumIsRight, ipFrame, transportChecksumIsRight, type IpFrame } from './ip-frame.ts';
import { Offload, type Offloads } from './offloads.ts';
import type { ReceiveScaling } from '../receive-scaling.ts';
import { NO_TAG, tagOf, withoutTag } from './vlan.ts';
import type { Keeper } from '../../base/snapshot.ts';

/** Checksum information of a received frame (Linux `ndis_tcp_ip_checksum_info`). */
const Checksum = {
  TCP_FAILED: 0x1,
  UDP_FAILED: 0x2,
  IP_FAILED: 0x4,
  TCP_SUCCEEDED: 0x8,
  UDP_SUCCEEDED: 0x10,
  IP_SUCCEEDED: 0x20,
  /** The field in the frame is not that of the frame: it was made of several. */
  TCP_VALUE_INVALID: 0x80,
} as const;

/** What was negotiated. */
interface Negotiated {
  /** The guest takes VLAN tags beside the frame (NDIS_CONFIG). */
  readonly vlan: boolean;
}

export class ReceiveInfo {
  readonly #knobs: HostKnobs;
  readonly #negotiated: Negotiated;
  readonly #offloads: Offloads;
  readonly #scaling: ReceiveScaling;
  /** Tag of the frame that {@link untag} saw last. */
  tag = NO_TAG;

  constructor(
    knobs: HostKnobs,
    negotiated: Negotiated,
    offloads: Offloads,
    scaling: ReceiveScaling,
  ) {
    this.#knobs = knobs;
    this.#negotiated = negotiated;
    this.#offloads = offloads;
    this.#scaling = scaling;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.tag], (v) => ([this.tag] = v));
    keeper.keep(this.#negotiated, this.#offloads, this.#scaling);
  }

  /** Whether segments of either IP version are coalesced. */
  get coalesces(): boolean {
    return this.#offloads.coalesces(4) || this.#offloads.coalesces(6);
  }

  /** Whether those of one are. */
  coalescesIp(version: 4 | 6): boolean {
    return this.#offloads.coalesces(version);
  }

  /** Take the VLAN tag out of a frame if it goes beside it; it is in {@link tag} then. */
  untag(frame: Uint8Array): Uint8Array {
    const { vlanTag } = this.#knobs;
    const wanted = vlanTag === 'always' || (vlanTag === 'info' && this.#negotiated.vlan);
    this.tag = wanted ? tagOf(frame) : NO_TAG;
    return this.tag === NO_TAG ? frame : withoutTag(frame);
  }

  /**
   * Add what is to be told of an untagged frame. `coalesced`: it was made of several, whose
   * checksums were right.
   */
  add(header: DataHeader, frame: Uint8Array, tag: number, coalesced: boolean): void {
    if (this.#offloads.receive !== 0)
      header.add(PacketInfo.CHECKSUM, coalesced ? COALESCED : this.#checksums(frame));
    if (tag !== NO_TAG) header.add(PacketInfo.VLAN, tag);
    if (this.#knobs.hashInfo && this.#scaling.isSet)
      header.add(PacketInfo.HASH, this.#scaling.hashOf(frame));
  }

  /** Bits of {@link Checksum}: of what is on and there. */
  #checksums(frame: Uint8Array): number {
    const ip = ipFrame(frame);
    if (ip === undefined) return 0;
    let bits = 0;
    if (ip.version === 4 && this.#isOn(Offload.IPV4))
      bits |= ipChecksumIsRight(frame, ip) ? Checksum.IP_SUCCEEDED : Checksum.IP_FAILED;
    return bits | this.#transport(frame, ip);
  }

  #transport(frame: Uint8Array, ip: IpFrame): number {
    const four = ip.version === 4;
    if (ip.protocol === IpProtocol.TCP) {
      if (!this.#isOn(four ? Offload.TCP4 : Offload.TCP6)) return 0;
      const right = transportChecksumIsRight(frame, ip);
      return right === true ? Checksum.TCP_SUCCEEDED : Checksum.TCP_FAILED;
    }
    if (ip.protocol !== IpProtocol.UDP || !this.#isOn(four ? Offload.UDP4 : Offload.UDP6)) return 0;
    const right = transportChecksumIsRight(frame, ip);
    if (right === undefined) return 0;
    return right ? Checksum.UDP_SUCCEEDED : Checksum.UDP_FAILED;
  }

  #isOn(bit: number): boolean {
    return (this.#offloads.receive & bit) !== 0;
  }
}

const COALESCED = Checksum.IP_SUCCEEDED | Checksum.TCP_SUCCEEDED | Checksum.TCP_VALUE_INVALID;

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the network device does for the guest's protocols: checksums, and the coalescing of
 * segments (OID_TCP_OFFLOAD_*). Nothing is on before the guest asks for it. The layouts are those
 * of Linux `hyperv_net.h` (`ndis_offload`, `ndis_offload_params`) and OpenVMM `rndisprot.rs`.
 */

import { NvspVersion } from '../../../../src/netvsc/protocol.ts';
import type { HostKnobs } from '../../profiles/profile.ts';
import { HostOid } from '../host-protocol.ts';
import { LARGE_SEND_MAX } from './large-send.ts';
import { objectHeader, type OffloadState, type OidState } from '../oid-answer.ts';
import type { Keeper } from '../../base/snapshot.ts';

/** Bits of what is on. */
export const Offload = { IPV4: 1, TCP4: 2, UDP4: 4, TCP6: 8, UDP6: 16 } as const;
const ALL = 31;

/** Where each stands in NDIS_OFFLOAD_PARAMETERS. */
const PARAMETERS: readonly (readonly [at: number, bit: number])[] = [
  [4, Offload.IPV4],
  [5, Offload.TCP4],
  [6, Offload.UDP4],
  [7, Offload.TCP6],
  [8, Offload.UDP6],
];
const LARGE_SEND_IPV4_AT = 11;
const LARGE_SEND_IPV6_AT = 12;
const LARGE_SEND_ON = 2;
const RSC_IPV4_AT = 22;
const RSC_IPV6_AT = 23;
const RSC_SIZE = 24;
const RSC_ON = 2;

/** Values of a checksum parameter: 1 is off, 0 no change. */
const TX_ON: readonly number[] = [2, 4];
const RX_ON: readonly number[] = [3, 4];
const PARAMETER_MAX = 4;

/** What decides beside the guest's wish. */
interface Negotiated {
  readonly version: number;
  /** The guest can take segments that are coalesced (NDIS_CONFIG). */
  readonly rsc: boolean;
}

export class Offloads implements OffloadState {
  readonly #knobs: HostKnobs;
  readonly #negotiated: Negotiated;
  /** Bits of {@link Offload} that are on, by direction. */
  transmit = 0;
  receive = 0;
  #rsc4 = false;
  #rsc6 = false;
  #large4 = false;
  #large6 = false;

  constructor(knobs: HostKnobs, negotiated: Negotiated) {
    this.#knobs = knobs;
    this.#negotiated = negotiated;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.transmit, this.receive], (v) => ([this.transmit, this.receive] = v));
    keeper.put([this.#rsc4, this.#rsc6], (v) => ([this.#rsc4, this.#rsc6] = v));
    keeper.put([this.#large4, this.#large6], (v) => ([this.#large4, this.#large6] = v));
    keeper.keep(this.#negotiated);
  }

  /** Bits of {@link Offload} that this host has. */
  get supported(): number {
    return this.#knobs.offloads === 'none' ? 0 : ALL;
  }

  /** Whether this host makes segments of what the guest sends. */
  get largeSendSupported(): boolean {
    const { offloads } = this.#knobs;
    return offloads === 'large-send' || offloads === 'rsc';
  }

  /** Whether large sends of an IP version are on. */
  largeSends(version: 4 | 6): boolean {
    return this.largeSendSupported && (version === 4 ? this.#large4 : this.#large6);
  }

  /** Whether segments may be coalesced at all: from NVSP 6.1 on. */
  get rscSupported(): boolean {
    return this.#knobs.offloads === 'rsc' && this.#negotiated.version >= NvspVersion.V6_1;
  }

  /** Whether segments of an IP version are coalesced. */
  coalesces(version: 4 | 6): boolean {
    const wanted = version === 4 ? this.#rsc4 : this.#rsc6;
    return wanted && this.rscSupported && this.#negotiated.rsc;
  }

  /** NDIS_OFFLOAD_PARAMETERS of the guest, of at least revision 1. What is not there stays off. */
  set(info: DataView): void {
    for (const [at, bit] of PARAMETERS) {
      const value = info.getUint8(at);
      if (value === 0 || value > PARAMETER_MAX) continue;
      this.transmit = withBit(this.transmit, bit, TX_ON.includes(value)) & this.supported;
      this.receive = withBit(this.receive, bit, RX_ON.includes(value)) & this.supported;
    }
    const large4 = info.getUint8(LARGE_SEND_IPV4_AT);
    const large6 = info.getUint8(LARGE_SEND_IPV6_AT);
    if (large4 !== 0) this.#large4 = large4 === LARGE_SEND_ON;
    if (large6 !== 0) this.#large6 = large6 === LARGE_SEND_ON;
    if (info.getUint16(2, true) < RSC_SIZE) return;
    const rsc4 = info.getUint8(RSC_IPV4_AT);
    const rsc6 = info.getUint8(RSC_IPV6_AT);
    if (rsc4 !== 0) this.#rsc4 = rsc4 === RSC_ON;
    if (rsc6 !== 0) this.#rsc6 = rsc6 === RSC_ON;
  }
}

function withBit(bits: number, bit: number, on: boolean): number {
  return on ? bits | bit : bits & ~bit;
}

/** NDIS_OFFLOAD: where the parts of it stand that are not zero. */
const TX_AT = 4;
const RX_AT = 12;
const IPV6 = 16;
const RSC_AT = 144;
/** Large sends: for each IP version encapsulation, longest frame, least segments; options of 6. */
const LARGE_SEND4_AT = 80;
const LARGE_SEND6_AT = 92;
const LARGE_SEND6_OPTIONS = 0x5;
const LEAST_SEGMENTS = 2;

/** NDIS_ENCAPSULATION_IEEE_802_3. */
const ENCAPSULATION = 2;

/**
 * NDIS_OFFLOAD with what the hardware has, or with what is on. Revision and size follow the NDIS
 * version (Linux `NDIS_OFFLOAD_SIZE_6_0`, `_6_1`, `NDIS_OFFLOAD_SIZE`). Returns the length.
 */
export function putOffload(
  state: OidState,
  view: DataView,
  at: number,
  what: 'hardware' | 'current',
): number {
  const newest = state.knobs.objects === 'netvsp' || state.ndisMinor >= 30;
  const revision = newest ? 3 : state.ndisMinor >= 1 ? 2 : 1;
  const length = revision === 3 ? 156 : revision === 2 ? 144 : 112;
  for (let i = 0; i < length; i++) view.setUint8(at + i, 0);
  objectHeader(view, at, 0xa7, revision, length);

  const { offloads } = state;
  if (offloads.supported === 0) return length;
  const hardware = what === 'hardware';
  putChecksums(view, at + TX_AT, hardware ? offloads.supported : offloads.transmit);
  putChecksums(view, at + RX_AT, hardware ? offloads.supported : offloads.receive);
  const large = (version: 4 | 6) =>
    hardware ? offloads.largeSendSupported : offloads.largeSends(version);
  if (large(4)) putLargeSend(view, at + LARGE_SEND4_AT);
  if (large(6)) {
    putLargeSend(view, at + LARGE_SEND6_AT);
    view.setUint32(at + LARGE_SEND6_AT + 12, LARGE_SEND6_OPTIONS, true);
  }
  if (revision === 3) {
    const has = (version: 4 | 6) =>
      hardware ? offloads.rscSupported : offloads.coalesces(version);
    view.setUint8(at + RSC_AT, has(4) ? 1 : 0);
    view.setUint8(at + RSC_AT + 1, has(6) ? 1 : 0);
  }
  return length;
}

function putLargeSend(view: DataView, at: number): void {
  view.setUint32(at, ENCAPSULATION, true);
  view.setUint32(at + 4, LARGE_SEND_MAX, true);
  view.setUint32(at + 8, LEAST_SEGMENTS, true);
}

/** Two bits for each: options, TCP options, TCP, UDP, and the header of IPv4. */
function putChecksums(view: DataView, at: number, bits: number): void {
  const has = (bit: number, flags: number) => ((bits & bit) === 0 ? 0 : flags);
  view.setUint32(at, ENCAPSULATION, true);
  view.setUint32(
    at + 4,
    has(Offload.IPV4, 0x101) | has(Offload.TCP4, 0x14) | has(Offload.UDP4, 0x40),
    true,
  );
  view.setUint32(at + IPV6, ENCAPSULATION, true);
  view.setUint32(at + IPV6 + 4, has(Offload.TCP6, 0x15) | has(Offload.UDP6, 0x40), true);
}

/** Which of the two an object asks for. */
export function whichOffload(oid: number): 'hardware' | 'current' {
  return oid === HostOid.TCP_OFFLOAD_HARDWARE_CAPABILITIES ? 'hardware' : 'current';
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** What the network device does for the guest's protocols (OID_TCP_OFFLOAD_*). */

import { objectHeader, type OidState } from './oid-answer.ts';

/**
 * NDIS_OFFLOAD with no offload at all: this device makes and checks no checksums. Revision and
 * size follow the NDIS version (Linux `NDIS_OFFLOAD_SIZE_6_0`, `_6_1`, `NDIS_OFFLOAD_SIZE`).
 * Returns the length.
 */
export function putOffload(state: OidState, view: DataView, at: number): number {
  const newest = state.knobs.objects === 'netvsp' || state.ndisMinor >= 30;
  const revision = newest ? 3 : state.ndisMinor >= 1 ? 2 : 1;
  const length = revision === 3 ? 156 : revision === 2 ? 144 : 112;
  for (let i = 0; i < length; i++) view.setUint8(at + i, 0);
  objectHeader(view, at, 0xa7, revision, length);
  return length;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** SINTs as an OS has them: with its own vector, and AUTO_EOI unless the hypervisor advises not. */

import type { Platform } from '../hyperv/platform.ts';
import { Cpuid, HvRecommendation, Sint } from '../hyperv/protocol.ts';

/**
 * The SINT register of an OS, for {@link HyperVOptions.sint} (Linux hv_recommend_using_aeoi). arm64
 * has no automatic end of interrupt.
 *
 * @param vector of the interrupt; by default the firmware's
 */
export function osSint(vector?: number): (platform: Platform) => bigint {
  return (platform) => {
    const own = vector === undefined ? platform.sint & Sint.VECTOR_MASK : BigInt(vector);
    const autoEoi = platform.sint & Sint.AUTO_EOI;
    return autoEoi === 0n || advisesAgainst(platform) ? own : own | autoEoi;
  };
}

/** Hosts that have no such leaf recommend nothing. */
function advisesAgainst(platform: Platform): boolean {
  const max = platform.facts(Cpuid.HV_VENDOR_ID).eax;
  if (max < Cpuid.HV_ENLIGHTENMENTS) return false;
  const recommended = platform.facts(Cpuid.HV_ENLIGHTENMENTS).eax;
  return (recommended & HvRecommendation.DEPRECATE_AUTO_EOI) !== 0;
}

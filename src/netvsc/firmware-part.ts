// SPDX-License-Identifier: GPL-2.0-or-later

/** What the firmware itself does with a NetVSC: NVSP 1, one channel, no send buffer (iPXE). */

import { HypxeError } from '../error.ts';
import type { NetvscPlug } from './part.ts';
import { BASE_ID } from './policy.ts';
import { NvspInitComplete, NvspStatus, NvspType, NvspVersion } from './protocol.ts';

/** Transaction IDs of requests, relative to the base; frames have 0 to 31. */
const INIT_ID = 0x20;
const NDIS_VERSION_ID = 0x21;
const REVOKE_ID = 0x23;

/** NDIS version that is announced. */
const NDIS_MAJOR = 6;
const NDIS_MINOR = 1;

/** How long a revoke is waited for, in ms: some hosts never complete it (OpenVMM). */
const REVOKE_TIMEOUT_MS = 1000;

export const firmwareNetvsc: NetvscPlug = (netvsc) => ({
  negotiate() {
    // Agree on the version: iPXE knows the first
    const init = [NvspType.INIT, NvspVersion.V1, NvspVersion.V1];
    const type = NvspType.INIT_COMPLETE;
    const answer = netvsc.request(INIT_ID, 'INIT', init, type, NvspInitComplete.size);
    const status = answer.getUint32(NvspInitComplete.at.status, true);
    if (status !== NvspStatus.SUCCESS) {
      throw new HypxeError('NvspVersionRefused', `NVSP ${NvspVersion.V1}: status ${status}`);
    }

    // Announce the NDIS version. The completion may be empty
    const version = [NvspType.SEND_NDIS_VERSION, NDIS_MAJOR, NDIS_MINOR];
    netvsc.request(NDIS_VERSION_ID, 'NDIS version', version);
  },

  closing() {
    // The GPADL decides when the buffer is free
    const revoke = [NvspType.REVOKE_RECEIVE_BUFFER, netvsc.pageSet];
    netvsc.log.attempt('info', 'NETVSC', netvsc.device.name, 'revoke not confirmed', () => {
      netvsc.request(REVOKE_ID, 'revoke', revoke, 0, 0, REVOKE_TIMEOUT_MS);
    });
    netvsc.forEachInFlight((id) => netvsc.channel!.sendCancellation(BASE_ID + id));
  },
});

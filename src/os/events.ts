// SPDX-License-Identifier: GPL-2.0-or-later

/** What the interrupt handler of an OS does with the event flags of the bus. */

import { HV_EVENT_FLAGS_COUNT } from '../hyperv/protocol.ts';
import type { VmbusBus } from '../vmbus/bus.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import { takeEventFlags } from './event-flags.ts';
import { subchannelsOf } from './subchannels.ts';

/** Packets handled for one event: a host that never stops must not keep us. */
const PACKETS_PER_EVENT_MAX = 4096;

/**
 * Take the host's event flags, from 2.4 on one for each channel, and let each channel handle what
 * has come (Linux vmbus_chan_sched). Flag 0 is that of older hosts; the flag of a channel that is
 * not open is a late one, or another owner's, and means nothing.
 *
 * @returns how many channels had something to say
 */
export function dispatchEvents(bus: VmbusBus): number {
  const flags = new Uint16Array(HV_EVENT_FLAGS_COUNT);
  const count = takeEventFlags(bus.hv, bus.connection.sint, flags);
  let served = 0;
  for (const id of flags.subarray(0, count)) {
    const channel = channelById(bus, id)?.channel;
    if (channel === undefined) {
      bus.hv.log.debug('VMBUS', '', `ignoring event of channel ${id}`);
      continue;
    }
    if (channel.handler.interrupted !== undefined) channel.handler.interrupted();
    else channel.part?.drain(PACKETS_PER_EVENT_MAX);
    served++;
  }
  return served;
}

/** The device or sub-channel with a number. */
export function channelById(bus: VmbusBus, id: number): VmbusDevice | undefined {
  return bus.devices
    .flatMap((device) => [device, ...subchannelsOf(device)])
    .find(({ channelId }) => channelId === id);
}

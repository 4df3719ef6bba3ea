// SPDX-License-Identifier: GPL-2.0-or-later

/** Faults that the tests of the drivers put into the host. */

import { PacketType } from '../../src/vmbus/protocol.ts';
import type { OutgoingPacket } from '../../tools/simulator/netvsp/faults.ts';
import { Rig, frame, viewOf, type RigOptions } from './driver-rig.ts';

/** An open device that has received what hosts say at the start. */
export function receiving(options: RigOptions = {}): Rig {
  const rig = new Rig({ knobs: { rangesPerPacket: 4, ppiEvery: 0 }, ...options });
  rig.open();
  rig.link.host.deliver(frame(60, 200));
  rig.poll();
  rig.received.length = rig.errors.length = 0;
  rig.mark();
  return rig;
}

/** Change the next transfer-page packet before the device sends it. */
export function changeNext(rig: Rig, change: (packet: OutgoingPacket) => void): void {
  rig.nic.faults.packet = (packet) => {
    if (packet.type !== PacketType.DATA_XFER_PAGES) return 'send';
    rig.nic.faults.packet = undefined;
    change(packet);
    return 'send';
  };
}

/** Change the next transfer-page packet's bytes on the ring. */
export function changeBytes(rig: Rig, change: (view: DataView) => Uint8Array | void): void {
  rig.machine.vmbus.faults = {
    ringPacket(_channel, bytes) {
      rig.machine.vmbus.faults = {};
      const view = viewOf(bytes);
      return change(view) ?? bytes;
    },
  };
}

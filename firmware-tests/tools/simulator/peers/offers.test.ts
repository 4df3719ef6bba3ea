// SPDX-License-Identifier: GPL-2.0-or-later

/** What is offered with a monitor. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DeviceClass, MONITOR_NONE, OfferChannel } from '../../../../src/vmbus/protocol.ts';
import { guidText } from '../../../../src/wire.ts';
import { makeMachine } from '../../../../tools/scenarios/rig.ts';
import { PROFILES } from '../../../../tools/simulator/profiles/profiles.ts';
import { createDriver } from '../../../../src/any.ts';

const offers = suite('peers: offers');

for (const { name } of PROFILES.filter(({ vmbusVersions }) => vmbusVersions.includes(0x30000)))
  offers(`P-B1 OpenBSD: NIC and disk controller are monitored, services are not: ${name}`, () => {
    const machine = makeMachine({ host: name });
    const monitored = new Map<string, boolean>();
    machine.events.listen((event) => {
      if (event.kind !== 'host-message' || event.payload[0] !== 1) return;
      const view = new DataView(event.payload.buffer, event.payload.byteOffset);
      const { interfaceId, monitored: flag, monitor } = OfferChannel.at;
      const at = event.payload.subarray(interfaceId, interfaceId + 16);
      monitored.set(guidText(at), view.getUint8(flag) === 1);
      // QEMU leaves the number 0
      const none = name === 'qemu' ? 0 : MONITOR_NONE;
      if (view.getUint8(flag) === 0) assert.is(view.getUint8(monitor), none);
      else assert.is.not(view.getUint8(monitor), MONITOR_NONE);
    });
    createDriver(machine.bootProcessor).probe();
    const expected = name !== 'qemu';
    assert.is(monitored.get(DeviceClass.NETWORK), expected);
    assert.is(monitored.get(DeviceClass.SCSI), expected);
    assert.is(monitored.get(DeviceClass.HEARTBEAT) ?? false, false);
  });

offers.run();

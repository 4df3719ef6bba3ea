// SPDX-License-Identifier: GPL-2.0-or-later

/** A contact that cannot be posted, behind one that the host may have: its pages stay reserved. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvCall, HvStatus } from '../../../src/hyperv/protocol.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { Rig, fails } from '../../rigs/driver-rig.ts';

const unposted = suite('contacts that are not posted');

/** The host takes so many more messages, and no further one. */
function refuseBehind(rig: Rig, count: number): void {
  let posts = 0;
  rig.machine.partition.faults.hypercall = (code) =>
    code === HvCall.POST_MESSAGE && posts++ >= count ? HvStatus.INVALID_PARAMETER : undefined;
}

/** The host has interrupt and monitor pages: the ledger knows, and the map reserves them. */
function assertReserved(rig: Rig): void {
  assert.equal(
    rig.outstanding().filter((purpose) => /-page$|^monitor-/.test(purpose)).length,
    3,
    rig.outstanding().join(),
  );
  rig.assertContained();
}

unposted('a second one, while the first is not answered', () => {
  const rig = new Rig();
  rig.machine.vmbus.faults = {
    message: (type) => (type === MessageType.VERSION_RESPONSE ? 'drop' : undefined),
  };
  refuseBehind(rig, 1);
  fails('PostFailed', () => rig.driver.probe());
  assertReserved(rig);
});

unposted('the first of a reset: the connection of before lives', () => {
  const rig = new Rig();
  rig.open();
  rig.driver.quiesce();
  refuseBehind(rig, 0);
  fails('PostFailed', () => rig.driver.unquiesce());
  rig.driver.remove();
  assertReserved(rig);
});

unposted('a second one, behind the answer to an UNLOAD of somebody else', () => {
  const rig = new Rig();
  rig.machine.vmbus.faults = {
    message(type) {
      if (type !== MessageType.VERSION_RESPONSE) return undefined;
      const answer = Uint8Array.of(MessageType.UNLOAD_RESPONSE, ...new Uint8Array(7));
      rig.machine.vmbus.postUnsolicited(answer);
      return 'drop';
    },
  };
  refuseBehind(rig, 1);
  fails('PostFailed', () => rig.driver.probe());
  assertReserved(rig);
});

unposted.run();

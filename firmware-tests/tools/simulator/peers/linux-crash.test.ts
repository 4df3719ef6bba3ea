// SPDX-License-Identifier: GPL-2.0-or-later

/** Linux crashes on another VP than the one that has the messages (lis-next#66, #122). */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvMessageType, Msr } from '../../../../src/hyperv/protocol.ts';
import {
  MessageHeader,
  MessageType,
  VMBUS_MESSAGE_SINT,
  VmbusVersion,
} from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_US } from '../../../../tools/simulator/base/clock.ts';
import type { SimulatedMachine } from '../../../../tools/simulator/machine.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import { PROFILES } from '../../../../tools/simulator/profiles/profiles.ts';
import { chain, errorChecks } from '../../../rigs/flow-rig.ts';

/** Messages that nobody has asked for: one fills the slot of VP 0, the others wait behind it. */
function occupy(machine: SimulatedMachine, count: number): void {
  const message = new Uint8Array(MessageHeader.size);
  message[0] = MessageType.ALL_OFFERS_DELIVERED;
  for (let i = 0; i < count; i++) machine.vmbus.postUnsolicited(message);
}

/** A crash on VP 1 of 2; checks with errors and whether the crash kernel came up. */
function crash(
  host: string,
  beforeEnd: (machine: SimulatedMachine) => void,
  knobs: Partial<HostKnobs> = {},
) {
  const { stages, ended } = chain({
    ...{ host, knobs, processors: 2 },
    kernels: [{ end: 'crash', crashVp: 1, beforeEnd }, { end: 'power-off' }],
  });
  assert.is(ended, undefined);
  const [crashed, next] = stages;
  return { errors: errorChecks(crashed!.findings), up: next?.os?.error === undefined };
}

const linux = suite('peers: Linux crashes on another VP');

for (const { name, vmbusVersions, knobs } of PROFILES) {
  if (!vmbusVersions.includes(VmbusVersion.V3_0) || knobs.eomScope !== 'partition') continue;
  linux(`H-H3 Linux: messages wait for VP 0, VP 1 crashes, UNLOAD is answered on ${name}`, () => {
    for (const count of [1, 2, 3, 5])
      assert.equal(
        crash(name, (machine) => occupy(machine, count)),
        { errors: [], up: true },
      );
  });

  linux(`H-H3 Linux: a message waits behind that of a timer on ${name}`, () => {
    const behindTimer = (machine: SimulatedMachine) => {
      const expired = new Uint8Array(24);
      machine.partition.postMessage(0, VMBUS_MESSAGE_SINT, HvMessageType.TIMER_EXPIRED, expired);
      occupy(machine, 1);
    };
    assert.equal(crash(name, behindTimer), { errors: [], up: true });
  });

  linux(`H-H3 Linux: a message comes into the crash on ${name}`, () => {
    for (const us of [10, 50, 70, 90, 110]) {
      const late = (machine: SimulatedMachine) =>
        void machine.clock.schedule(us * TICKS_PER_US, () => occupy(machine, 1));
      assert.equal(crash(name, late), { errors: [], up: true }, `${us} us`);
    }
  });
}

linux('L6 Linux: where EOM is per VP nothing moves any more (KVM)', () => {
  const stuck = crash('server2022', (machine) => occupy(machine, 3), { eomScope: 'vp' });
  assert.equal(stuck, { errors: ['unload', 'channels', 'shared-pages'], up: false });
});

linux('L6 Linux: a host that reads contacts all the same lets the crash kernel come up', () => {
  const { up } = crash('server2022', (machine) => occupy(machine, 3), {
    eomScope: 'vp',
    contactBehindMessages: 'read',
  });
  assert.is(up, true);
});

linux('L2 Linux: the VP assist page of the kernel that crashed is a known hole, no error', () => {
  const assist = 0x700000;
  const withPage = (machine: SimulatedMachine) => {
    for (const cpu of machine.processors) cpu.wrmsr(Msr.VP_ASSIST_PAGE, BigInt(assist) | 1n);
  };
  const { stages } = chain({
    processors: 2,
    kernels: [{ end: 'crash', crashVp: 1, beforeEnd: withPage }, { end: 'power-off' }],
  });
  const found = stages[0]!.findings.filter(({ text }) => /VP_ASSIST_PAGE/.test(text));
  assert.ok(found.length > 0);
  for (const { severity, text } of found) assert.is.not(severity, 'error', text);
});

linux('H-H5 Linux: a NIC that the host has rescinded is not missed by the next kernel', () => {
  for (const end of ['kexec', 'crash'] as const) {
    const { stages, ended } = chain({
      kernels: [
        { end, beforeEnd: (machine) => machine.vmbus.rescind(machine.nics[0]!) },
        { end: 'power-off' },
      ],
    });
    assert.is(ended, undefined);
    const next = stages[1]!;
    assert.equal(next.os?.nics, []);
    assert.equal(
      next.findings.filter(({ text }) => /the OS found/.test(text)),
      [],
      end,
    );
  }
});

linux.run();

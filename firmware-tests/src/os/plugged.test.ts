// SPDX-License-Identifier: GPL-2.0-or-later

/** A part of one bundle in the minified firmware of another: they share nothing but the seam. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HypervDriver } from '../../../src/driver.ts';
import type * as Os from '../../../src/os.ts';
import { OS_NETVSC } from '../../../src/os/netvsc-policy.ts';
import { NvspStatus, NvspType, NvspVersion } from '../../../src/netvsc/protocol.ts';
import { PacketType } from '../../../src/vmbus/protocol.ts';
import type * as X64 from '../../../src/x64.ts';
import { Rig, frame, hex, viewOf } from '../../rigs/driver-rig.ts';

const { SEND_SEND_BUFFER_COMPLETE } = NvspType;

const load = async (file: string): Promise<unknown> =>
  import(new URL(`../../../dist/${file}`, import.meta.url).href);

/** Firmware as it is shipped, and the parts as they are. */
const FIRMWARE = {
  x64: (await load('x64.min.js')) as Pick<typeof X64, 'createDriver'>,
  arm64: (await load('arm64.min.js')) as Pick<typeof X64, 'createDriver'>,
};
const PARTS = {
  'os.js': (await load('os.js')) as Pick<typeof Os, 'osNetvsc'>,
  'os.min.js': (await load('os.min.js')) as Pick<typeof Os, 'osNetvsc'>,
};

const plugged = suite('a part of another bundle');

/** Choices that firmware can have: it has no flow control. */
const NETWORK = { ...OS_NETVSC, flowControl: false };

type Bundles = readonly [firmware: keyof typeof FIRMWARE, part: keyof typeof PARTS];

/** Every firmware with every form of the part. */
const PAIRS = Object.keys(FIRMWARE).flatMap((firmware) =>
  Object.keys(PARTS).map((part) => [firmware, part] as unknown as Bundles),
);

function pluggedDriver(rig: Rig, [firmware, part]: Bundles): HypervDriver {
  const netvsc = PARTS[part].osNetvsc(NETWORK);
  return FIRMWARE[firmware].createDriver(rig.machine.bootSeam, { policy: NETWORK, netvsc });
}

for (const bundles of PAIRS) {
  const [architecture, part] = bundles;
  const name = `${part} in ${architecture}.min.js`;

  plugged(`NVSP 6.1 and a send buffer in firmware that knows neither: ${name}`, () => {
    const rig = new Rig({ host: 'server2022', architecture });
    const driver = pluggedDriver(rig, bundles);
    driver.probe();
    const [device] = driver.devices;
    device!.open();
    assert.is(rig.nic.state.version, NvspVersion.V6_1);
    rig.machine.run(1000);
    rig.mark();

    // A frame goes through the send buffer
    assert.is(device!.transmit(frame(100), 100), 'sent');
    rig.machine.run(100_000);
    device!.poll();
    assert.equal(rig.link.frames.map(hex), [hex(frame(100))]);
    assert.is(rig.packets(PacketType.DATA_INBAND).length, 1);
    assert.is(device!.statistics.txGood, 1);
    driver.remove();
    assert.equal(driver.outstanding(), []);
    assert.equal(rig.violations(), []);
  });

  plugged(`an error of the part has its name, and everything is undone: ${name}`, () => {
    const rig = new Rig({ host: 'server2022', architecture });
    const driver = pluggedDriver(rig, bundles);
    rig.nic.faults.packet = ({ type, payload }) => {
      const isAnswer = type === PacketType.COMPLETION && payload[0] === SEND_SEND_BUFFER_COMPLETE;
      if (isAnswer) viewOf(payload).setUint32(4, NvspStatus.FAIL, true);
      return 'send';
    };
    assert.throws(
      () => driver.probe(),
      (error: Error) => error.name === 'SendBufferRefused',
    );
    assert.equal(driver.outstanding(), []);
    assert.equal(rig.machine.partition.grants.live(), []);
  });
}

plugged.run();

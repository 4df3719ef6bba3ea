// SPDX-License-Identifier: GPL-2.0-or-later

/** A part of one bundle in the minified firmware of another: they share nothing but the seam. */

import { build } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HypervDriver, createDriver } from '../../../src/index.ts';
import type { osNetvsc } from '../../../src/os/netvsc-part.ts';
import { OS_NETVSC } from '../../../src/os/netvsc-policy.ts';
import { NvspStatus, NvspType, NvspVersion } from '../../../src/netvsc/protocol.ts';
import { PacketType } from '../../../src/vmbus/protocol.ts';
import { Rig, frame, hex, viewOf } from '../../rigs/driver-rig.ts';

const { SEND_SEND_BUFFER_COMPLETE } = NvspType;

/** Firmware as it is shipped. */
const firmware = (await import(new URL('../../../dist/hypxe.min.js', import.meta.url).href)) as {
  createDriver: typeof createDriver;
};

/** The part in a bundle of its own. */
async function part(): Promise<typeof osNetvsc> {
  const { outputFiles } = await build({
    entryPoints: ['src/os/netvsc-part.ts'],
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2022',
  });
  const text = Buffer.from(outputFiles[0]!.contents).toString('base64');
  const bundle = (await import(`data:text/javascript;base64,${text}`)) as {
    osNetvsc: typeof osNetvsc;
  };
  return bundle.osNetvsc;
}

const plugged = suite('a part of another bundle');

/** Choices that firmware can have: it has no flow control. */
const NETWORK = { ...OS_NETVSC, flowControl: false };

async function pluggedDriver(rig: Rig): Promise<HypervDriver> {
  const netvsc = (await part())(NETWORK);
  return firmware.createDriver(rig.machine.bootProcessor, { policy: NETWORK, netvsc });
}

plugged('NVSP 6.1 and a send buffer in firmware that knows neither', async () => {
  const rig = new Rig({ host: 'server2022' });
  const driver = await pluggedDriver(rig);
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

plugged('an error of the part has its name, and everything is undone', async () => {
  const rig = new Rig({ host: 'server2022' });
  const driver = await pluggedDriver(rig);
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

plugged.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** The network device in its place: partition, VMBus server, and the firmware's own drivers. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDriver } from '../../../../src/index.ts';
import type { NetDevice } from '../../../../src/net/device.ts';
import { VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import type { HostEvent } from '../../../../tools/simulator/ledger/events.ts';
import type { Link, LinkHost } from '../../../../tools/simulator/network/link.ts';
import { NetVsp } from '../../../../tools/simulator/netvsp/netvsp.ts';
import { Partition } from '../../../../tools/simulator/hypervisor/partition.ts';
import { PROFILES } from '../../../../tools/simulator/profiles/profiles.ts';
import { VmbusServer } from '../../../../tools/simulator/vmbus-server/server.ts';
import { hexOf, pattern } from '../../../rigs/netvsp-rig.ts';

/** A link that sends every frame back, with the addresses changed over. */
class Mirror implements Link {
  host!: LinkHost;
  readonly frames: string[] = [];

  connect(host: LinkHost): void {
    this.host = host;
  }

  transmit(frame: Uint8Array): void {
    this.frames.push(hexOf(frame));
    const back = frame.slice();
    back.copyWithin(0, 6, 12);
    back.set(frame.subarray(0, 6), 6);
    this.host.deliver(back);
  }
}

/** Poll for as long as the host needs. */
function poll(device: NetDevice, pause: () => void, until: () => boolean): void {
  for (let i = 0; i < 200_000 && !until(); i++) {
    pause();
    device.poll();
  }
}

const machine = suite('the network device in a machine');

/** Hosts without VMBus 3.0 are refused by the firmware before it meets a device. */
const HOSTS = PROFILES.filter(({ vmbusVersions }) => vmbusVersions.includes(VmbusVersion.V3_0));

for (const profile of HOSTS)
  machine(`${profile.name}: frames go out and come back, and nothing stays shared`, () => {
    const links = [new Mirror(), new Mirror()];
    const memory = new ArrayBuffer(8 << 20);
    const partition = new Partition({ memory, profile, seed: 1 });
    const nics = links.map((link, nic) => new NetVsp({ nic, link, monitored: nic === 1 }));
    new VmbusServer(partition.services, nics);
    const log: HostEvent[] = [];
    partition.events.listen((event) => {
      if (event.kind === 'violation' && event.layer !== 'vmbus') log.push(event);
    });
    const processor = partition.processors[0]!;
    const driver = createDriver(processor);
    driver.probe();
    assert.is(driver.devices.length, 2);

    driver.devices.forEach((device, index) => {
      const received: string[] = [];
      device.receiver = {
        receive: (buffer, offset, length) =>
          void received.push(hexOf(buffer.slice(offset, offset + length))),
      };
      device.open();
      assert.is(hexOf(device.address), hexOf(nics[index]!.address));
      assert.is(device.link, 'up');
      const lengths = [60, 590, 1514, ...Array.from({ length: 60 }, (_, i) => 60 + i)];
      for (const [i, length] of lengths.entries()) {
        device.transmit(pattern(length, i), length);
        poll(
          device,
          () => processor.pause(),
          () => received.length === i + 1,
        );
      }
      assert.equal(
        links[index]!.frames,
        lengths.map((length, i) => hexOf(pattern(length, i))),
      );
      assert.is(received.length, lengths.length);
      received.forEach((frame, i) =>
        assert.is(frame.slice(24), links[index]!.frames[i]!.slice(24)),
      );
      assert.is(nics[index]!.state.inFlight, 0);
      device.close();
      assert.not(nics[index]!.state.open);
    });

    driver.remove();
    const shared = partition.grants.live().map(({ purpose }) => purpose);
    assert.equal(shared, []);
    assert.equal(log, []);
  });

machine.run();

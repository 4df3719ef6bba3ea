// SPDX-License-Identifier: GPL-2.0-or-later

/** Versions of the integration services by host generation, and what a version allows. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatService } from '../../../../src/services/heartbeat.ts';
import { ShutdownService } from '../../../../src/services/shutdown.ts';
import { TimeSyncService } from '../../../../src/services/time-sync.ts';
import {
  HeartbeatHost,
  ShutdownHost,
  TimeSyncHost,
} from '../../../../tools/simulator/services/index.ts';
import {
  FRAMEWORK_VERSIONS,
  SHUTDOWN_VERSIONS,
  TIME_SYNC_VERSIONS,
  versionsOf,
} from '../../../../tools/simulator/services/ic-versions.ts';
import { PROFILES, profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';
import { UtilityRig } from '../../../rigs/utility-rig.ts';

const versions = suite('host: versions of integration services');

/** Versions that the negotiation offers: framework, then message versions, as text. */
function offered(rig: UtilityRig): string {
  for (const { from, message } of rig.packets) {
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    // The pipe header of 8 bytes, then the IC header of 20, of which 4 is the type
    if (from !== 'host' || view.getUint16(12, true) !== 0) continue;
    const counts = [view.getUint16(28, true), view.getUint16(30, true)];
    const total = counts[0]! + counts[1]!;
    const list = Array.from({ length: total }, (_, i) => {
      const at = 36 + 4 * i;
      return `${view.getUint16(at, true)}.${view.getUint16(at + 2, true)}`;
    });
    return `${list.slice(0, counts[0]).join(' ')} | ${list.slice(counts[0]).join(' ')}`;
  }
  throw new Error('no negotiation');
}

const GENERATIONS: readonly (readonly [host: string, heart: string, time: string, down: string])[] =
  [
    ['server2012r2', '1.0 3.0 | 1.0 3.0', '1.0 3.0 | 1.0 3.0', '1.0 3.0 | 1.0 3.0'],
    ['server2016', '1.0 3.0 | 1.0 3.0', '1.0 3.0 | 1.0 3.0 4.0', '1.0 3.0 | 1.0 3.0'],
    ['server2019', '1.0 3.0 | 1.0 3.0', '1.0 3.0 | 1.0 3.0 4.0', '1.0 3.0 | 1.0 3.0 3.1'],
    ['copper', '1.0 3.0 | 1.0 3.0', '1.0 3.0 | 1.0 3.0 4.0', '1.0 3.0 | 1.0 3.0 3.1 3.2'],
    ['openvmm', '1.0 3.0 | 1.0 3.0', '1.0 3.0 | 1.0 3.0 4.0', '1.0 3.0 | 1.0 3.0 3.1 3.2'],
  ];

for (const [host, ...expected] of GENERATIONS)
  versions(`Linux util_probe: what ${host} offers`, () => {
    const devices = [new HeartbeatHost(), new TimeSyncHost(), new ShutdownHost()];
    const services = [new HeartbeatService(), new TimeSyncService(), new ShutdownService()];
    devices.forEach((device, i) => {
      const rig = new UtilityRig({ devices: [device], host });
      rig.probe([services[i]!]);
      rig.until(() => device.state === 'ready');
      assert.is(offered(rig), expected[i]!, device.name);
    });
  });

versions('Linux util_probe: 1.0 alone on the first host, 3.0 from 2008 R2 on', () => {
  // The firmware has no driver for these: it contacts with 3.0 first
  for (const [host, expected] of [
    ['server2008', [0x10000]],
    ['server2008r2', [0x10000, 0x30000]],
    ['server2012', [0x10000, 0x30000]],
  ] as const)
    for (const list of [FRAMEWORK_VERSIONS, TIME_SYNC_VERSIONS, SHUTDOWN_VERSIONS])
      assert.equal(versionsOf(list, profileNamed(host)!), expected, host);
});

versions('P-B3 OpenBSD, FreeBSD: no RESTART and no HIBERNATE below 3.1 and 3.2', () => {
  for (const [host, messages, restart, hibernate] of [
    ['server2016', undefined, 'unsupported', 'unsupported'],
    ['server2019', undefined, 'sent', 'unsupported'],
    ['server2022', [0x30000], 'unsupported', 'unsupported'],
    ['server2022', undefined, 'sent', 'sent'],
    ['openvmm', [0x30000], 'sent', 'sent'],
  ] as const)
    for (const [wish, expected, flag] of [
      [{ restart: true }, restart, 0x2],
      [{ hibernate: true }, hibernate, 0x4],
    ] as const) {
      const device = new ShutdownHost(messages);
      const rig = new UtilityRig({ devices: [device], host });
      rig.probe([new ShutdownService()]);
      rig.until(() => device.state === 'ready');
      const before = rig.packets.length;
      assert.is(device.shutDown(wish), expected, host);
      const [request] = rig.packets.slice(before);
      assert.is(request === undefined, expected === 'unsupported');
      if (request !== undefined) assert.is(request.message[28 + 8]! & 0x6, flag);
      assert.is(device.reason !== '', expected === 'unsupported');
    }
});

versions('L8 Linux: the heartbeat of every machine is served, and told what it is', () => {
  for (const { name } of PROFILES.filter(({ vmbusVersions }) => vmbusVersions.length > 3)) {
    const rig = new UtilityRig({ devices: [], host: name });
    const heartbeat = new HeartbeatService();
    rig.probe([heartbeat]);
    rig.run(5000);
    const beats = rig.packets.filter(({ from, message }) => from === 'guest' && message[12] === 1);
    assert.is(beats.length, 3, `${name}: at once, then every two seconds`);
    assert.equal(rig.violations, []);
    rig.finish();
  }
});

versions.run();

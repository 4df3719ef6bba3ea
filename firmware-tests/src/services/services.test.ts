// SPDX-License-Identifier: GPL-2.0-or-later

/** Heartbeat, shutdown and time synchronisation, at the bytes and in a boot. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatService, ShutdownService, TimeSyncService, wallTimeMs } from '../../../src/os.ts';
import { IcStatus, IcType } from '../../../src/services/protocol.ts';
import { DeviceClass } from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import {
  FileCopyHost,
  HeartbeatHost,
  ShutdownHost,
  TimeSyncHost,
  memoryContents,
  type ShutdownWish,
} from '../../../tools/simulator/services/index.ts';
import { RawHost, UtilityRig, contentsOf } from '../../rigs/utility-rig.ts';

const { SUCCESS, FAIL } = IcStatus;

function raw(interfaceId: string, type: number, messageVersions: readonly number[]): RawHost {
  return new RawHost({ name: 'raw', interfaceId, type, messageVersions });
}

/** Send a body by the rules; the answer. */
function ask(rig: UtilityRig, host: RawHost, body: Uint8Array) {
  host.ask(body);
  rig.until(() => host.bodies.length === 1);
  return host.bodies.pop()!;
}

// --- heartbeat ---

const heartbeat = suite('heartbeat');

heartbeat('counts one further, and leaves everything else as it came', () => {
  const host = raw(DeviceClass.HEARTBEAT, IcType.HEARTBEAT, [0x30000]);
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([new HeartbeatService()]);
  rig.until(() => host.state === 'ready');
  const body = contentsOf(40, 3);
  for (const [before, after] of [
    [9n, 10n],
    [0xffffffffn, 0x100000000n],
    [0xffffffffffffffffn, 0n],
  ] as const) {
    new DataView(body.buffer).setBigUint64(0, before, true);
    const answer = ask(rig, host, body);
    assert.is(answer.status, SUCCESS);
    assert.is(new DataView(answer.body.buffer).getBigUint64(0, true), after);
    assert.equal([...answer.body.subarray(8)], [...body.subarray(8)]);
  }
  // OpenVMM's message has 16 bytes, and 7 are none
  assert.is(ask(rig, host, body.subarray(0, 16)).status, SUCCESS);
  assert.is(ask(rig, host, body.subarray(0, 7)).status, FAIL);
  rig.finish();
});

heartbeat('every two seconds, for as long as the firmware is polled', () => {
  const host = new HeartbeatHost();
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([new HeartbeatService()]);
  rig.run(9000);
  assert.is(host.beats, 5);
  assert.is(host.missed, 0);
  assert.equal(rig.violations, []);

  // Not polled any more, the host sees that
  rig.machine.run(6000 * TICKS_PER_MS);
  assert.is(host.missed, 2);
  rig.finish();
});

heartbeat.run();

// --- shutdown ---

const shutdown = suite('shutdown');

function shutdownRig(versions?: readonly number[], profile = 'server2022') {
  const host = new ShutdownHost(versions);
  const service = new ShutdownService();
  const rig = new UtilityRig({ devices: [host], host: profile });
  rig.probe([service]);
  rig.until(() => host.state === 'ready');
  return { host, service, rig };
}

const WISHES: readonly (readonly [ShutdownWish, string, boolean])[] = [
  [{}, 'power-off', false],
  [{ force: true }, 'power-off', true],
  [{ restart: true }, 'restart', false],
  [{ restart: true, force: true }, 'restart', true],
];

for (const [wish, kind, force] of WISHES)
  shutdown(`answered first, then known: ${kind}${force ? ', forced' : ''}`, () => {
    const { host, service, rig } = shutdownRig();
    const words = { reason: 0x80001234, timeoutSeconds: 17, text: 'auf \ud83d\ude00' };
    assert.is(host.shutDown({ ...wish, ...words }), 'sent');
    assert.is(host.shutDown(), 'in-progress');
    assert.is(service.request, undefined);
    rig.until(() => service.request !== undefined);
    assert.equal(service.request, { kind, force, ...words });
    rig.until(() => host.status !== undefined);
    assert.is(host.status, SUCCESS);
    rig.finish();
  });

shutdown('hibernation is refused, and nothing happens', () => {
  const { host, service, rig } = shutdownRig();
  host.shutDown({ hibernate: true });
  rig.until(() => host.status !== undefined);
  assert.is(host.status, FAIL);
  assert.is(service.request, undefined);
});

shutdown('a restart is refused by versions that do not know it', () => {
  for (const [versions, status] of [
    [[0x10000, 0x30000], FAIL],
    [[0x10000, 0x30000, 0x30001], SUCCESS],
  ] as const) {
    // OpenVMM asks whatever was agreed on
    const { host, rig } = shutdownRig(versions, 'openvmm');
    host.shutDown({ restart: true });
    rig.until(() => host.status !== undefined);
    assert.is(host.status, status);
  }
});

shutdown('a body that is too short is refused', () => {
  const host = raw(DeviceClass.SHUTDOWN, IcType.SHUTDOWN, [0x30002]);
  const service = new ShutdownService();
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([service]);
  rig.until(() => host.state === 'ready');
  assert.is(ask(rig, host, new Uint8Array(11)).status, FAIL);
  assert.is(service.request, undefined);
  // The text may be missing
  assert.is(ask(rig, host, new Uint8Array(12)).status, SUCCESS);
  assert.is(service.request?.text, '');
  rig.finish();
});

shutdown('not ready before the negotiation', () => {
  assert.is(new ShutdownHost().shutDown(), 'not-ready');
});

shutdown('in a boot: the answer, then an orderly end with nothing left behind', () => {
  for (const restart of [false, true]) {
    const host = new ShutdownHost();
    host.shutDownWhenReady({ restart });
    // Nothing serves the boot file: without the host's wish this would go on for minutes
    const rig = new UtilityRig({ devices: [host], files: {} });
    const result = rig.boot();
    assert.is(result.status, 'failed');
    assert.is(result.error?.name, 'ShutDown');
    assert.is(result.shutdown?.kind, restart ? 'restart' : 'power-off');
    assert.is(host.status, SUCCESS);
    assert.ok(rig.machine.clock.now < 1000 * TICKS_PER_MS);
    rig.audit(result.memoryMap);
  }
});

shutdown('in the middle of a push: the file is removed', () => {
  const host = new ShutdownHost();
  const copy = new FileCopyHost({
    atOpen: [{ name: 'image', contents: memoryContents(contentsOf(500_000)) }],
    onProgress: (_name, bytes) => {
      if (bytes > 200_000 && host.status === undefined) host.shutDown({ force: true });
    },
  });
  const rig = new UtilityRig({ devices: [host, copy] });
  const result = rig.boot();
  assert.is(result.error?.name, 'ShutDown');
  assert.is(host.status, SUCCESS);
  assert.is(copy.reports[0]!.outcome, 'lost');
  assert.ok(rig.said(/removed "image": the firmware closes it/));
  rig.audit(result.memoryMap);
});

shutdown('too late: refused while the firmware hands over, and the image is booted', () => {
  const host = new ShutdownHost();
  const image = contentsOf(20_000);
  const rig = new UtilityRig({
    devices: [host, new FileCopyHost({ atOpen: [{ name: 'i', contents: memoryContents(image) }] })],
  });
  rig.onEvent = (event) => {
    if (event.kind !== 'boot-step' || event.step !== 'shutdown' || event.phase !== 'begin') return;
    assert.is(host.shutDown(), 'sent');
  };
  const result = rig.boot();
  assert.is(result.status, 'booted');
  assert.is(result.shutdown, undefined);
  assert.is(host.status, FAIL);
  assert.ok(rig.said(/too late, the firmware is handing over/));
  rig.audit(result.memoryMap, [result.image!]);
});

shutdown.run();

// --- time synchronisation ---

const time = suite('time synchronisation');

/** Wall time that the firmware has, less that of the host, in ms. */
function error(service: TimeSyncService, host: TimeSyncHost, rig: UtilityRig): number {
  const { now } = rig.machine.clock;
  const hosts = Number(host.epoch) / TICKS_PER_MS - 11_644_473_600_000 + now / TICKS_PER_MS;
  return wallTimeMs(service.wallClock!, now) - hosts;
}

for (const [what, versions] of [
  ['1.0', [0x10000]],
  ['3.0', [0x10000, 0x30000]],
  ['4.0', [0x10000, 0x30000, 0x40000]],
] as const)
  time(`messages ${what}: the firmware knows what time it is`, () => {
    const host = new TimeSyncHost({ messageVersions: versions });
    const service = new TimeSyncService();
    const rig = new UtilityRig({ devices: [host] });
    rig.probe([service]);
    assert.is(service.wallClock, undefined);
    rig.run(11_000);
    assert.is(host.taken, 3);
    assert.ok(Math.abs(error(service, host, rig)) < 1.1, `${error(service, host, rig)} ms`);
    assert.ok(rig.said(/^info UTIL time synchronisation: it is 2026-01-01T00:00:00/));
    assert.equal(rig.violations, []);
    rig.finish();
  });

time('the age of a sample is taken off by its reference time, where it has one', () => {
  for (const [versions, off] of [
    [[0x40000], 0],
    [[0x30000], -700],
  ] as const) {
    const host = new TimeSyncHost({ messageVersions: versions, ageMs: 700 });
    const service = new TimeSyncService();
    const rig = new UtilityRig({ devices: [host] });
    rig.machine.run(1000 * TICKS_PER_MS);
    rig.probe([service]);
    rig.until(() => host.taken === 1);
    assert.ok(Math.abs(error(service, host, rig) - off) < 2, `${error(service, host, rig)} ms`);
  }
});

time('a sample corrects the clock, and says by how much', () => {
  const host = new TimeSyncHost();
  const service = new TimeSyncService();
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([service]);
  rig.until(() => host.taken === 1);
  host.epoch += 250n * 10_000n;
  rig.until(() => host.taken === 2);
  assert.ok(Math.abs(error(service, host, rig)) < 1);
  assert.ok(rig.said(/\(sample, corrected by (250|249\.9\d+|250\.\d+)/), rig.lines().join('\n'));
  const clocks = rig.events.filter(({ kind }) => kind === 'wall-clock');
  assert.is(clocks.length, 2);
  rig.finish();
});

/** A body of a sample of messages 4.0. */
function sample(parent: bigint, reference: bigint, flags: number, length = 22): Uint8Array {
  const view = new DataView(new ArrayBuffer(32));
  view.setBigUint64(0, parent, true);
  view.setBigUint64(8, reference, true);
  view.setUint8(16, flags);
  return new Uint8Array(view.buffer, 0, length).slice();
}

time('what is no time is refused', () => {
  const host = raw(DeviceClass.TIME_SYNC, IcType.TIME_SYNC, [0x40000]);
  const service = new TimeSyncService();
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([service]);
  rig.until(() => host.state === 'ready');
  const now = 134_000_000_000_000_000n;
  const status = (body: Uint8Array): number => ask(rig, host, body).status;
  assert.is(status(sample(now, 0n, 1, 16)), FAIL, 'too short for its flags');
  assert.is(status(sample(now, 1n << 60n, 1)), FAIL, 'a reference time to come');
  assert.is(status(sample(0n, 0n, 1)), FAIL, 'the year 1601');
  assert.is(status(sample((1n << 64n) - 1n, 0n, 2)), FAIL, 'the year 60056');
  assert.is(service.wallClock, undefined);
  assert.is(status(sample(now, 0n, 0)), SUCCESS, 'a probe asks for nothing');
  assert.is(service.wallClock, undefined);
  assert.is(status(sample(now, 0n, 2)), SUCCESS);
  assert.is.not(service.wallClock, undefined);
  rig.finish();
});

time.run();

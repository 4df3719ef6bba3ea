// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How the host generations answer (the profiles as they are), how much memory they let a guest
 * share, how QEMU differs, which signals are too many and which are forgiven.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PAGE_SIZE } from '../../../../src/machine.ts';
import { MessageType, VmbusVersion, versionText } from '../../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import type { HostProfile } from '../../../../tools/simulator/profiles/profile.ts';
import { PROFILES, profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import {
  INTERRUPT_PAGE,
  MONITOR_OUT,
  Rig,
  RigDevice,
  created,
  gpadlHeader,
  initiate,
  openChannel,
  opened,
  plain,
  teardown,
  torndown,
  unhex,
  words,
  type RigOptions,
} from '../../../rigs/vmbus-server-rig.ts';

const REFUSED = SAMPLES['version_response_unsupported']!.hex;
const UNLOAD = plain(MessageType.UNLOAD);
const UNLOADED = plain(MessageType.UNLOAD_RESPONSE);

/** VERSION_RESPONSE that accepts. */
function accepted(word: number): string {
  return words(15, 0) + '01000000' + words(word);
}

/** A server of a host generation. */
function rigOf(profile: HostProfile, options: RigOptions = {}): Rig {
  const knobs = { ...profile.knobs, ...options.knobs };
  return new Rig({ ...options, profile: { ...profile, ...options.profile }, knobs });
}

function newest({ vmbusVersions }: HostProfile): number {
  return Math.max(...vmbusVersions);
}

const BEFORE_2012_R2 = ['server2008', 'server2008r2', 'server2012'];

const generations = suite('host: generations');

for (const profile of PROFILES) {
  const { name } = profile;
  const old = BEFORE_2012_R2.includes(name);

  generations(`${name}: 5.x on connection 4 and on connection 1`, () => {
    const known = newest(profile) >= VmbusVersion.V5_0;
    const contact = initiate(VmbusVersion.V5_0, { info: words(2, 0) });
    const rig = rigOf(profile);
    assert.is(rig.postOnly(contact, 4), known ? 0 : 0x12);
    // On connection 1 SINT and VTL are not looked at
    const odd = initiate(VmbusVersion.V5_1, { info: words(0x0203, 0) });
    assert.equal(rigOf(profile).post(odd), [known ? accepted(1) : REFUSED]);
    assert.equal(rigOf(profile).post(initiate(0x00070000)), [REFUSED]);
  });

  generations(`${name}: each version it knows, and UNLOAD at each`, () => {
    for (const version of profile.vmbusVersions) {
      const text = versionText(version);
      const device = new RigDevice(1);
      const rig = rigOf(profile, { devices: [device] });
      rig.boot(version);
      rig.open(1);
      const shared = rig.grants();
      assert.ok(shared.length >= 3, text);
      assert.equal(rig.post(UNLOAD), old ? [] : [UNLOADED], text);
      // A host that ignores it goes on writing, however long the guest waits
      rig.run(200_000 * TICKS_PER_MS);
      assert.equal(rig.grants(), old ? shared : [], text);
      assert.is(device.calls.includes('close'), !old, text);
      const { unloadsSeen, unloadsAnswered, phase } = rig.server.inspect();
      assert.equal([unloadsSeen, unloadsAnswered], [1, old ? 0 : 1], text);
      assert.is(phase, old ? 'connected' : 'disconnected', text);
    }
  });

  generations(`${name}: a second INITIATE_CONTACT while connected, for every version`, () => {
    for (const version of [...profile.vmbusVersions, 0x00070000]) {
      const text = versionText(version);
      const device = new RigDevice(1);
      const rig = rigOf(profile, { devices: [device] });
      const first = profile.vmbusVersions[0]!;
      rig.boot(first);
      rig.open(1);
      const before = rig.grants();
      const answers = rig.post(initiate(version, { monitorIn: 0x5000, monitorOut: 0x6000 }));
      const { history } = rig.server.inspect();
      if (old) {
        assert.equal(answers, [], text);
        assert.equal(rig.grants(), before, text);
        assert.is(history.at(-1)!.outcome, 'ignored', text);
      } else {
        // No UNLOAD_RESPONSE, and nothing of the old connection
        assert.is(answers.length, 1, text);
        assert.is(answers[0]!.slice(0, 8), words(15), text);
        assert.not(rig.grants().some((grant) => before.includes(grant) && !/:1$/.test(grant)));
        assert.is(device.calls.at(-1), 'close', text);
        assert.is(history[0]!.endedBy, 'INITIATE_CONTACT', text);
      }
    }
  });
}

generations('messages of a connection go to the VP that contacted, from 3.0 on', () => {
  for (const version of [VmbusVersion.V2_4, VmbusVersion.V3_0, VmbusVersion.V5_3]) {
    const rig = rigOf(profileNamed('server2022')!, { devices: [new RigDevice(1)] });
    rig.post(initiate(version, { targetVp: 6 }));
    rig.post(plain(MessageType.REQUEST_OFFERS));
    rig.open(1, { targetVp: 3 });
    rig.post(UNLOAD);
    const vps = new Set(rig.partition.received.map(({ vp }) => vp));
    assert.equal([...vps], [version < VmbusVersion.V3_0 ? 0 : 6], versionText(version));
  }
});

generations('knob shortOffers: 190 bytes below 1.1', () => {
  const sizes = (version: number, shortOffers: boolean) => {
    const rig = new Rig({ devices: [new RigDevice(1)], knobs: { shortOffers } });
    return rig.boot(version)[0]!.length / 2;
  };
  assert.is(sizes(VmbusVersion.V0_13, false), 196);
  assert.is(sizes(VmbusVersion.V0_13, true), 190);
  assert.is(sizes(VmbusVersion.V1_1, true), 196);
});

generations.run();

// --- QEMU ---

const qemu = suite('host: as QEMU');

qemu(
  'any version up to its own, the target VP of any version, and no version in the answer',
  () => {
    const rig = rigOf(profileNamed('qemu')!);
    for (const version of [1, 0x000d, 0x00010005, VmbusVersion.V4_0]) {
      assert.equal(rig.post(initiate(version, { targetVp: 5 })), [accepted(0)]);
      assert.is(rig.partition.received.at(-1)!.vp, 5, versionText(version));
    }
    assert.equal(rig.post(initiate(0)), [REFUSED]);
    assert.equal(rig.post(initiate(VmbusVersion.V4_1)), [REFUSED]);
  },
);

qemu('connection IDs from 16 on, and flags of signals are refused', () => {
  const rig = rigOf(profileNamed('qemu')!, { devices: [new RigDevice(1)] });
  rig.connect(VmbusVersion.V4_0);
  rig.partition.taking = true;
  const [offer] = rig.post(plain(MessageType.REQUEST_OFFERS));
  assert.is(offer!.slice(192 * 2), words(17));
  assert.is(rig.open(1), opened(1));
  assert.is(rig.signal(17), 0);
  assert.is(rig.signal(17, 1), 0x11);
  assert.is(rig.signal(2, 1), 0x11);
  assert.is(rig.signal(0x2001), 0x12);
});

qemu('a GPADL that is not one range of whole pages is not answered; failures are 1', () => {
  const rig = rigOf(profileNamed('qemu')!, { devices: [new RigDevice(1)] });
  rig.boot(VmbusVersion.V4_0);
  const head = (ranges: number, length: number) =>
    words(MessageType.GPADL_HEADER, 0, 1, 7, length + ranges * 0x10000);
  const range = words(PAGE_SIZE, 0, 0x40, 0);
  assert.equal(rig.post(head(2, 32) + range + range), []);
  assert.equal(rig.post(head(1, 16) + words(100, 0, 0x40, 0)), []);
  assert.equal(rig.post(head(1, 16) + words(PAGE_SIZE, 8, 0x40, 0)), []);
  assert.equal(rig.server.inspect().gpadls, []);
  assert.equal(rig.post(head(1, 16) + range), [created(1, 7, 0)]);
  assert.equal(rig.post(openChannel(1, 7, 1)), [opened(1, 1)]);
});

qemu('sixteen messages wait, then HvPostMessage fails', () => {
  const rig = rigOf(profileNamed('qemu')!);
  for (let i = 0; i < 16; i++) assert.is(rig.postOnly(UNLOAD), 0);
  assert.is(rig.postOnly(UNLOAD), 0x13);
});

qemu.run();

// --- limits ---

const limits = suite('host: shared memory');

limits('384 MiB before Windows Server 2019, 1280 MiB from then on', () => {
  const of = (name: string) => profileNamed(name)!.sharedMemoryMax / 2 ** 20;
  for (const name of [...BEFORE_2012_R2, 'server2012r2', 'server2016']) assert.is(of(name), 384);
  for (const name of ['server2019', 'server2022', 'copper']) assert.is(of(name), 1280);
  for (const name of ['qemu', 'openvmm']) assert.is(of(name), 0, 'none known');
});

limits('a GPADL beyond is refused; what was torn down may be shared again', () => {
  const second = Object.assign(new RigDevice(2), { client: 'secondary' as const });
  const rig = new Rig({
    devices: [new RigDevice(1), second],
    profile: { sharedMemoryMax: 10 * PAGE_SIZE },
    knobs: { secondClient: 'allow' },
  });
  rig.boot(VmbusVersion.V5_0);
  const pages = (count: number) => Array.from({ length: count }, (_, i) => 0x40 + i);
  assert.equal(rig.post(gpadlHeader(1, 1, pages(6))), [created(1, 1, 0)]);
  assert.equal(rig.post(gpadlHeader(1, 2, pages(5))), [created(1, 2, 0x8000ffff)]);
  assert.equal(rig.post(gpadlHeader(1, 2, pages(4))), [created(1, 2, 0)]);

  // It is the guest's limit: a second driver has none of its own
  const pagesOfSecond = { info: words(5, 0), monitorIn: 0x8000, monitorOut: 0x9000 };
  rig.post(initiate(VmbusVersion.V5_0, pagesOfSecond), 4);
  rig.post(plain(MessageType.REQUEST_OFFERS), 5);
  assert.equal(rig.post(gpadlHeader(1, 3, pages(1)), 5), [created(1, 3, 0x8000ffff)]);
  const full = { bytes: 10 * PAGE_SIZE, peakBytes: 10 * PAGE_SIZE, maxBytes: 10 * PAGE_SIZE };
  assert.equal(rig.server.inspect().sharedMemory, { ...full, refusals: 2 });

  assert.equal(rig.post(teardown(1, 2)), [torndown(2)]);
  assert.equal(rig.post(gpadlHeader(1, 3, pages(1)), 5), [created(1, 3, 0)]);
  rig.post(UNLOAD);
  assert.is(rig.server.inspect().sharedMemory.bytes, PAGE_SIZE);
  assert.is(rig.server.inspect().sharedMemory.peakBytes, 10 * PAGE_SIZE);
});

limits('the limit is met at its byte: 384 MiB in GPADLs of 31 MiB', () => {
  const rig = rigOf(profileNamed('server2016')!, {
    devices: [new RigDevice(1)],
    knobs: { backPressure: 'unbounded', messageLatencyTicks: 0 },
  });
  rig.boot(VmbusVersion.V4_0);
  const status = (id: number, count: number): string => {
    const length = 8 + 8 * count;
    const pfns = (n: number) => words(0x40, 0).repeat(n);
    const head = words(8, 0, 1, id, length + 0x10000, count * PAGE_SIZE, 0) + pfns(26);
    rig.postOnly(head);
    rig.run(0);
    for (let left = count - 26; left > 0; left -= 28) {
      rig.postOnly(words(9, 0, 0, id) + pfns(Math.min(left, 28)));
      rig.run(0);
    }
    return rig.partition.received.at(-1)!.hex;
  };
  const each = 31 * 256;
  for (let id = 1; id <= 12; id++) assert.is(status(id, each), created(1, id, 0));
  const rest = (384 - 12 * 31) * 256;
  assert.is(status(13, rest + 1), created(1, 13, 0x8000ffff));
  assert.is(status(13, rest), created(1, 13, 0));
  assert.is(status(14, 27), created(1, 14, 0x8000ffff));
  assert.is(rig.server.inspect().sharedMemory.bytes, 384 * 2 ** 20);
});

limits.run();

// --- signals ---

const signals = suite('host: signals');

signals('knob throttleSignals: both drivers of a guest count together, and it is told', () => {
  const rig = new Rig({ devices: [new RigDevice(1)], knobs: { throttleSignals: 3 } });
  rig.boot(VmbusVersion.V0_13);
  rig.open(1);
  // Without a bit in the interrupt page, and with the ring empty
  rig.signal(2);
  rig.signal(2);
  rig.signal(0x2001);
  const start = rig.partition.clock.now;
  rig.signal(0x2001);
  const { excessSignals, stalls, stalledTicks, emptySignals } = rig.server.inspect();
  assert.equal([excessSignals, stalls, emptySignals], [4, 1, 2]);
  assert.is(stalledTicks, 2000 * TICKS_PER_MS);
  assert.is(rig.partition.clock.now, start + stalledTicks);
});

signals('without the knob excess signals are counted and cost nothing', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  rig.boot(VmbusVersion.V5_0);
  rig.open(1);
  const start = rig.partition.clock.now;
  for (let i = 0; i < 1000; i++) rig.signal(0x2001);
  assert.is(rig.partition.clock.now, start);
  assert.is(rig.server.inspect().excessSignals, 1000);
  assert.equal(rig.violations, []);
});

signals('an interrupt bit of a channel that was closed after it was set is forgiven, once', () => {
  const rig = new Rig({ devices: [new RigDevice(1)] });
  rig.boot(VmbusVersion.V0_13);
  rig.open(1);
  const { bytes } = rig.partition.ram;
  bytes[INTERRUPT_PAGE + 2048] = 0b10;
  rig.post(words(MessageType.CLOSE_CHANNEL, 0, 1));
  assert.is(rig.signal(2), 0);
  assert.is(bytes[INTERRUPT_PAGE + 2048], 0, 'taken out all the same');
  assert.equal(rig.violations, []);
  bytes[INTERRUPT_PAGE + 2048] = 0b10;
  rig.signal(2);
  assert.is(rig.violations.length, 1, 'this one was set later');
});

signals('the same for the monitor page', () => {
  const devices = [1, 2].map((i) => Object.assign(new RigDevice(i), { monitored: true }));
  const rig = new Rig({ devices });
  rig.boot(VmbusVersion.V3_0);
  rig.open(1);
  rig.open(2);
  const { bytes } = rig.partition.ram;
  rig.partition.ram.view.setUint32(MONITOR_OUT, 1, true);
  bytes[MONITOR_OUT + 8] = 0b01;
  rig.post(words(MessageType.CLOSE_CHANNEL, 0, 1));
  rig.run(TICKS_PER_MS);
  assert.is(bytes[MONITOR_OUT + 8], 0);
  const late = rig.violations.length;
  bytes[MONITOR_OUT + 8] = 0b01;
  rig.run(TICKS_PER_MS);
  assert.equal([late, rig.violations.length], [0, 1]);
});

signals('what the host says of a device outlives the connection', () => {
  const rig = new Rig({ devices: [new RigDevice(1), new RigDevice(2)] });
  assert.equal(
    rig.server.inspect().channels.map(({ lastId }) => lastId),
    [0, 0],
  );
  rig.boot(VmbusVersion.V5_0);
  rig.post(UNLOAD);
  const { channels } = rig.server.inspect();
  assert.equal(
    channels.map(({ id, lastId }) => [id, lastId]),
    [
      [0, 1],
      [0, 2],
    ],
  );
  assert.ok(unhex(channels[0]!.instanceId.replaceAll('-', '')).length === 16);
});

signals.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** NVSP of the simulated network device: versions, order, buffers, revoking. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NvspVersion } from '../../../../src/netvsc/protocol.ts';
import { PacketType } from '../../../../src/vmbus/protocol.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import {
  ALL_NVSP,
  INITIALISE,
  NetRig,
  RX_ADDRESS,
  RX_GPADL,
  RX_LENGTH,
  RX_SET,
  TX_GPADL,
  hex,
  init,
  pattern,
  rndis,
  words,
} from '../../../rigs/netvsp-rig.ts';

/** A sample encoding of Linux's. */
function encoded(name: string): string {
  const sample = SAMPLES[name];
  if (sample === undefined) throw new Error(`no sample ${name}`);
  return sample.hex;
}

const versions = suite('NVSP versions');

versions('an unknown version gets status 0 and may be followed by another', () => {
  const rig = new NetRig({ nvspVersions: [NvspVersion.V1, NvspVersion.V4] });
  for (const version of [NvspVersion.V6_1, NvspVersion.V5, 3, 0, 0xffffffff]) {
    const [answer] = rig.inband(init(version));
    assert.is(answer?.type, PacketType.COMPLETION);
    assert.is(answer?.payload, words(2, 0xffffffff, 34, 0, 0, 0, 0), version.toString(16));
  }
  assert.is(rig.device.state.version, 0);
  assert.is(rig.inband(init(NvspVersion.V4))[0]?.payload, words(2, 0xffffffff, 34, 1, 0, 0, 0));
  assert.is(rig.device.state.version, NvspVersion.V4);
});

versions('only the first of the two versions counts', () => {
  const rig = new NetRig();
  const [answer] = rig.inband(words(1, NvspVersion.V5, NvspVersion.V6_1));
  assert.is(answer?.payload.slice(24, 32), words(1));
  assert.is(rig.device.state.version, NvspVersion.V5);
});

versions('version 1 is named in the answer, as Windows and OpenVMM do', () => {
  const rig = new NetRig();
  const [answer] = rig.inband(encoded('nvsp_init_v1'), 1, 0x18ae0020);
  assert.is(answer?.payload, words(2, 2, 34, 1, 0, 0, 0));
  assert.is(answer?.low, 0x18ae0020);
  assert.is(answer?.flags, 0);
});

versions('new_worker_…_packet_size: 28 bytes up to version 6, 40 from 6.1 on', () => {
  for (const version of ALL_NVSP) {
    const rig = new NetRig();
    rig.negotiate(version);
    const [completion, answer] = rig.gpaDirect([INITIALISE], 1);
    const size = version === NvspVersion.V6_1 ? 80 : 56;
    assert.is(completion?.payload.length, size, version.toString(16));
    assert.is(answer?.payload.length, size, version.toString(16));
  }
  const rig = new NetRig();
  assert.is(rig.inband(encoded('nvsp_init_v61'))[0]?.payload.length, 56);
  assert.is(rig.device.state.version, NvspVersion.V6_1);
});

versions('what a buffer is for is told apart from what the host may touch', () => {
  const rig = new NetRig();
  const changes: string[] = [];
  const purposes: string[] = [];
  rig.grants.listener = (change, { kind }) => void (kind === 'gpadl' && changes.push(change));
  rig.grants.entitled = ({ purpose }) => void purposes.push(purpose);
  rig.start();
  assert.equal(changes, []);
  assert.is(purposes[0], `receive buffer (GPADL 0x${RX_GPADL.toString(16)})`);
});

versions.run();

const order = suite('NVSP order');

/** A version 5 device after INIT. */
function v5(): NetRig {
  const rig = new NetRig();
  rig.inband(init(NvspVersion.V5));
  return rig;
}

const CONFIG = words(125, 1514, 0, 0, 0);
const NDIS = words(100, 6, 30);
const RECEIVE = words(101, RX_GPADL, RX_SET);
const SEND = words(104, TX_GPADL, 7);

order('what breaks the order ends the channel in silence', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['NDIS version first', [NDIS]],
    ['RNDIS first', [rndis(1)]],
    ['INIT twice', [init(NvspVersion.V5), init(NvspVersion.V5)]],
    ['configuration twice', [init(NvspVersion.V5), CONFIG, CONFIG]],
    ['NDIS version twice', [init(NvspVersion.V5), NDIS, NDIS]],
    ['receive buffer before the configuration', [init(NvspVersion.V5), NDIS, RECEIVE]],
    ['receive buffer twice', [init(NvspVersion.V5), CONFIG, RECEIVE, RECEIVE]],
    ['send buffer twice', [init(NvspVersion.V5), CONFIG, SEND, SEND]],
    ['RNDIS without a receive buffer', [init(NvspVersion.V5), CONFIG, NDIS, SEND, rndis(1)]],
    ['RNDIS without the NDIS version', [init(NvspVersion.V5), CONFIG, RECEIVE, rndis(1)]],
    ['configuration at version 1', [init(NvspVersion.V1), CONFIG]],
    ['sub-channels at version 4', [init(NvspVersion.V4), words(133, 1, 1)]],
    ['unknown type', [init(NvspVersion.V6_1), words(135, 0, 0)]],
    ['a host to guest type', [init(NvspVersion.V6_1), words(134, 0, 0)]],
    ['type 0', [words(0, 0, 0)]],
    ['after the start', [init(NvspVersion.V5), CONFIG, NDIS, RECEIVE, SEND, CONFIG]],
  ];
  for (const [name, messages] of cases) {
    const rig = new NetRig();
    const last = messages.map((message) => rig.inband(message)).at(-1);
    assert.ok(rig.channel.dead, name);
    assert.equal(last, [], `${name}: silence`);
    assert.is(rig.violations.length, 1, name);
  }
});

order('short messages and missing transactions end the channel', () => {
  for (const [message, flags] of [
    ['', 1],
    [words(1, 2).slice(0, 8), 1],
    [init(NvspVersion.V1), 0],
  ] as const) {
    const rig = new NetRig();
    rig.inband(message, flags);
    assert.ok(rig.channel.dead, message);
  }
  const rig = v5();
  rig.inband(CONFIG);
  rig.inband(RECEIVE, 0);
  assert.ok(rig.channel.dead);
});

order('NDIS configuration and version: empty completions, only if asked for', () => {
  const rig = v5();
  for (const message of [CONFIG, NDIS]) {
    const [answer] = rig.inband(message);
    assert.is(answer?.type, PacketType.COMPLETION);
    assert.is(answer?.payload, '');
  }
  const other = v5();
  assert.equal(other.inband(encoded('nvsp_ndis_config_v61'), 0), []);
  assert.equal(other.inband(encoded('nvsp_ndis_version_6_30'), 0), []);
  assert.not(other.channel.dead);
});

order('an MTU out of range is 1514', () => {
  for (const [asked, mtu] of [
    [1514, 1514],
    [9216, 9216],
    [1513, 1514],
    [9217, 1514],
    [0, 1514],
  ] as const) {
    const rig = new NetRig({ rxLength: 0x40000 });
    rig.inband(init(NvspVersion.V5));
    rig.inband(words(125, asked, 0, 0, 0));
    rig.inband(NDIS);
    rig.inband(RECEIVE);
    rig.control(INITIALISE);
    assert.is(rig.query(0x00010111).data, words(mtu), `${asked}`);
    assert.is(rig.query(0x00010106).data, words(mtu - 14), `${asked}`);
  }
});

order('sub-channels, OID_QUERY_EX and SWITCH_DATA_PATH are answered', () => {
  const rig = new NetRig();
  rig.start(NvspVersion.V5);
  const [sub] = rig.inband(encoded('nvsp_subchannel_request'));
  assert.is(sub?.payload, words(133, 1, 3, 0, 0, 0, 0));
  const [oid] = rig.inband(words(131, 0, 0, 0, 0x10101));
  assert.is(oid?.payload, words(132, 0xc00000bb, 0, 0, 0, 0, 0));
  const [path] = rig.inband(words(129, 1));
  assert.is(path?.payload, '');
  assert.equal(rig.inband(words(129, 0), 0), []);
  assert.not(rig.channel.dead);
});

order('race: anything in one signal is handled in order', () => {
  const rig = new NetRig();
  rig.put(6, 1, 1, '', init(NvspVersion.V1));
  rig.put(6, 1, 2, '', NDIS);
  rig.put(6, 1, 3, '', RECEIVE);
  assert.equal(
    rig.signal().map(({ low }) => low),
    [1, 2, 3],
  );
});

order.run();

const buffers = suite('NVSP buffers');

buffers('the receive buffer of 64 KiB is cut as recorded hosts do: 37 sections of 1728', () => {
  const rig = new NetRig();
  rig.inband(init(NvspVersion.V1));
  const [answer] = rig.inband(encoded('nvsp_send_recv_buf'));
  assert.is(answer?.payload, encoded('nvsp_send_recv_buf_complete'));
  assert.is(rig.device.state.sections, 37);
  assert.match(rig.channel.gpadls.get(RX_GPADL)!.purpose, 'receive buffer');
});

buffers('rx_buffer_ranges: 36 sections of 1806 where messages claim whole sections', () => {
  const rig = new NetRig({ knobs: { rxMessageLength: 'sub-allocation' } });
  rig.inband(init(NvspVersion.V1));
  const [answer] = rig.inband(RECEIVE);
  assert.is(answer?.payload, words(102, 1, 1, 0, 1806, 36, 1806 * 36));
});

buffers('sections grow with the MTU and hold the longest frame', () => {
  for (const layout of ['exact', 'sub-allocation'] as const) {
    const rig = new NetRig({ rxLength: 0x40000, knobs: { rxMessageLength: layout, ppiEvery: 1 } });
    rig.inband(init(NvspVersion.V5));
    rig.inband(words(125, 9216, 0, 0, 0));
    rig.inband(NDIS);
    rig.inband(RECEIVE);
    rig.control(INITIALISE);
    rig.set(0x0001010e, words(0x2f));
    const frame = pattern(9216);
    rig.host.deliver(frame);
    assert.match(rig.run()[0]?.messages[0] ?? '', hex(frame), layout);
  }
});

buffers('sub_allocation_too_small, empty_gpadl: less than 17 sections end the channel', () => {
  for (const [length, dead] of [
    [0x7000, true],
    [0x8000, false],
  ] as const) {
    const rig = new NetRig({ rxLength: length });
    rig.inband(init(NvspVersion.V1));
    const answers = rig.inband(RECEIVE);
    assert.is(rig.channel.dead, dead, `${length}`);
    assert.is(answers.length, dead ? 0 : 1);
  }
});

buffers('an unknown GPADL ends the channel in silence', () => {
  for (const type of [101, 104]) {
    const rig = new NetRig();
    rig.inband(init(NvspVersion.V1));
    assert.equal(rig.inband(words(type, 0x12345, RX_SET)), []);
    assert.ok(rig.channel.dead);
  }
});

buffers('a GPADL with pages that are no RAM, or not from a page on, ends the channel', () => {
  for (const change of [{ pfns: [0x10, 0x200] }, { offset: 8 }]) {
    const rig = new NetRig();
    rig.channel.gpadls.set(9, { ...rig.channel.gpadl(RX_GPADL)!, ...change });
    rig.inband(init(NvspVersion.V1));
    assert.equal(rig.inband(words(101, 9, RX_SET)), []);
    assert.ok(rig.channel.dead);
  }
});

buffers('the send buffer has sections of 6144 bytes', () => {
  const rig = new NetRig();
  rig.inband(init(NvspVersion.V1));
  const [answer] = rig.inband(SEND);
  assert.is(answer?.payload, words(105, 1, 6144, 0, 0, 0, 0));
});

buffers('★ initialize_rndis_no_sendbuffer: RNDIS starts without a send buffer', () => {
  const rig = new NetRig();
  rig.negotiate();
  assert.is(rig.control(INITIALISE).status, 1);
  rig.inband(NDIS);
  assert.ok(rig.channel.dead, 'and ends the negotiation');
});

buffers('initialize_rndis_no_sendbuffer_no_recvbuffer: silence', () => {
  const rig = new NetRig();
  rig.inband(init(NvspVersion.V1));
  rig.inband(NDIS);
  assert.equal(rig.gpaDirect([INITIALISE], 1), []);
  assert.ok(rig.channel.dead);
  assert.equal(rig.inFlight, []);
});

buffers('a revoke is completed, and the buffer never written again', () => {
  const rig = new NetRig();
  rig.start();
  rig.host.deliver(pattern(60));
  const [frame] = rig.run();
  const [answer] = rig.inband(encoded('nvsp_revoke_recv_buf'), 1, 0x18ae0023);
  assert.is(answer?.payload, '');
  assert.is(answer?.low, 0x18ae0023);
  const before = hex(rig.ram.bytes.subarray(RX_ADDRESS, RX_ADDRESS + RX_LENGTH));
  rig.host.deliver(pattern(60, 1));
  rig.gpaDirect([words(8, 12, 1)], 1);
  assert.is(rig.run().filter(({ type }) => type === 7).length, 0);
  assert.equal(rig.drops, ['receive buffer revoked']);
  assert.is(hex(rig.ram.bytes.subarray(RX_ADDRESS, RX_ADDRESS + RX_LENGTH)), before);
  // The guest may still complete what it was given before
  rig.complete(frame!);
  assert.not(rig.channel.dead);
});

buffers('a revoke without a wish for a completion gets none', () => {
  const rig = new NetRig();
  rig.start();
  assert.equal(rig.inband(words(103, RX_SET), 0), []);
  assert.not(rig.channel.dead);
});

buffers('knob revoke silent: no completion and no more packets until the close', () => {
  const rig = new NetRig({ knobs: { revoke: 'silent' } });
  rig.start();
  assert.equal(rig.inband(words(103, RX_SET)), []);
  assert.equal(rig.inband(words(129, 0)), []);
  assert.is(rig.channel.toHost.length, 1, 'left in the ring');
  assert.equal(rig.violations, [], 'the guest has done nothing wrong');
  rig.device.close();
  rig.open();
  rig.start();
});

buffers('revoking what is not there ends the channel', () => {
  for (const message of [words(103, RX_SET + 1), words(106, 7)]) {
    const rig = new NetRig();
    rig.start();
    rig.inband(message);
    assert.ok(rig.channel.dead);
  }
});

buffers('GPADLs in use are held until the close, or not, by the knob', () => {
  const deferred = new NetRig();
  deferred.start();
  deferred.inband(words(103, RX_SET));
  assert.is(deferred.device.gpadlTeardown(RX_GPADL), false, 'also after a revoke');
  assert.is(deferred.device.gpadlTeardown(TX_GPADL), true, 'not used');
  deferred.device.close();
  assert.is(deferred.device.gpadlTeardown(RX_GPADL), true);

  const immediate = new NetRig({ knobs: { torndownWhileOpen: 'immediate' } });
  immediate.start();
  assert.is(immediate.device.gpadlTeardown(RX_GPADL), true);
  immediate.grants.revoke(immediate.channel.gpadls.get(RX_GPADL)!, 'GPADL_TEARDOWN');
  immediate.host.deliver(pattern(60));
  immediate.run();
  assert.equal(immediate.drops, ['receive buffer revoked']);
});

buffers('★ close and reopen: the device begins anew', () => {
  const rig = new NetRig();
  rig.start(NvspVersion.V6_1);
  rig.device.close();
  rig.host.deliver(pattern(60));
  assert.equal(rig.drops, ['channel closed']);
  rig.open();
  assert.is(rig.device.state.version, 0);
  rig.start(NvspVersion.V1);
  rig.host.deliver(pattern(60));
  assert.is(rig.run().length, 1);
});

buffers.run();

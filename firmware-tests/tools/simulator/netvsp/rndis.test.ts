// SPDX-License-Identifier: GPL-2.0-or-later

/** Control messages of the simulated network device: RNDIS, link state, keepalives. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NvspVersion } from '../../../../src/netvsc/protocol.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { SAMPLES } from '../../../rigs/golden/golden.ts';
import { INITIALISE, NetRig, hex, pattern, unhex, words } from '../../../rigs/netvsp-rig.ts';

const SECOND = 1000 * TICKS_PER_MS;
const KEEPALIVE = words(8, 12, 0x99);
const CONNECT = words(7, 20, 0x4001000b, 0, 0);
const DISCONNECT = words(7, 20, 0x4001000c, 0, 0);

/** A sample encoding of Linux's. */
function encoded(name: string): string {
  const sample = SAMPLES[name];
  if (sample === undefined) throw new Error(`no sample ${name}`);
  return sample.hex;
}

const messages = suite('RNDIS messages');

messages('initialize_rndis: the answer is the sample, its completion comes before it', () => {
  const rig = new NetRig();
  rig.negotiate();
  const { status, answers, packets } = rig.control(encoded('rndis_init'));
  assert.is(status, 1);
  assert.equal(answers, [encoded('rndis_init_complete')]);
  assert.is(packets[0]?.payload.slice(0, 32), words(107, 1, 0xffffffff, 0));
  assert.is(packets[0]?.set, 0xcafe);
  assert.is(packets[0]?.flags, 1);
});

messages('INITIALISE twice ends the channel', () => {
  const rig = new NetRig();
  rig.negotiate();
  rig.control(INITIALISE);
  assert.equal(rig.control(INITIALISE).answers, []);
  assert.ok(rig.channel.dead);
});

messages('★ send_rndis_set_packet_filter: the samples of Linux', () => {
  const rig = new NetRig();
  rig.negotiate();
  rig.control(encoded('rndis_init'));
  assert.equal(rig.control(encoded('rndis_query_mac')).answers, [
    words(0x80000004, 30, 2, 0, 6, 16) + '00155d010000',
  ]);
  assert.equal(rig.control(encoded('rndis_set_filter')).answers, [words(0x80000005, 16, 3, 0)]);
  assert.is(rig.device.state.filter, 0xd);
});

messages('HALT has a completion and no answer', () => {
  const rig = new NetRig();
  rig.start();
  const { status, answers } = rig.control(encoded('rndis_halt'));
  assert.is(status, 1);
  assert.equal(answers, []);
  assert.not(rig.channel.dead);
});

messages('KEEPALIVE is answered with its request ID', () => {
  const rig = new NetRig();
  rig.start();
  assert.equal(rig.control(KEEPALIVE).answers, [words(0x80000008, 16, 0x99, 0)]);
});

messages('send_rndis_reset_message: answered, or the end of the channel', () => {
  const rig = new NetRig();
  rig.start();
  assert.equal(rig.control(words(6, 12, 0)).answers, [words(0x80000006, 16, 0, 0)]);
  assert.is(rig.device.state.filter, 0x2f, 'nothing was reset that must be set again');
  const strict = new NetRig({ knobs: { rndisReset: 'fatal' } });
  strict.start();
  strict.control(words(6, 12, 0));
  assert.ok(strict.channel.dead);
});

messages('send_rndis_indicate_status_message, _set_ex_message: the end of the channel', () => {
  for (const message of [CONNECT, words(9, 28, 1, 0x10101, 0, 20, 0), words(0x77, 8)]) {
    const rig = new NetRig();
    rig.start();
    assert.equal(rig.control(message).answers, []);
    assert.ok(rig.channel.dead, message);
  }
});

messages('a bad control message is completed as failed and the channel goes on', () => {
  const rig = new NetRig();
  rig.start();
  for (const bad of [
    '',
    '08',
    words(8),
    words(8, 13, 1),
    words(8, 8, 1),
    words(4, 27, 1, 2, 3, 4, 5),
  ])
    if (bad.length > 0) assert.is(rig.control(bad).status, 2, bad);
  assert.is(rig.control(words(2, 0xffffffff, 1, 1, 0, 0)).status, 2);
  assert.is(rig.control(KEEPALIVE).status, 1);
  assert.not(rig.channel.dead);
});

messages('the RNDIS type decides, not the channel type', () => {
  const rig = new NetRig();
  rig.start();
  const [completion, answer] = rig.gpaDirect([KEEPALIVE], 0);
  assert.is(completion?.type, 11);
  assert.is(answer?.messages[0], words(0x80000008, 16, 0x99, 0));
});

messages('a message longer than its length is taken as long as it says', () => {
  const rig = new NetRig();
  rig.start();
  assert.equal(rig.control(KEEPALIVE + 'ff'.repeat(20)).answers, [words(0x80000008, 16, 0x99, 0)]);
});

messages.run();

const objects = suite('RNDIS objects');

objects('every object of the list is answered', () => {
  const rig = new NetRig({ nic: { nic: 0x102 } });
  rig.start();
  const view = new DataView(unhex(rig.query(0x00010101).data).buffer);
  assert.ok(view.byteLength > 100);
  const settable = [0x0001021b, 0xfc01020c, 0x00010204];
  for (let i = 0; i < view.byteLength; i += 4) {
    const oid = view.getUint32(i, true);
    if (settable.includes(oid)) continue;
    const { status, data } = rig.query(oid);
    assert.is(status, 0, oid.toString(16));
    assert.ok(data.length > 0, oid.toString(16));
  }
});

objects('what OpenVMM and the recorded host say', () => {
  const rig = new NetRig({
    nic: { address: unhex('00155d01c901'), permanentAddress: unhex('00155d01c900') },
  });
  rig.start();
  const expected: readonly (readonly [number, string])[] = [
    [0x01010101, '00155d01c900'],
    [0x01010102, '00155d01c901'],
    [0x01010104, words(0)],
    [0x00010102, words(0)],
    [0x00010103, words(0)],
    [0x00010104, words(0)],
    [0x00010105, words(1500)],
    [0x00010106, words(1500)],
    [0x0001010a, words(1514)],
    [0x00010108, words(256 * 1024)],
    [0x0001010c, words(0x155d)],
    [0x0001010e, words(0)],
    [0x00010110, words(0x100)],
    [0x00010113, words(0x24d)],
    [0x00010114, words(0)],
    [0x00010115, words(0xffffffff)],
  ];
  for (const [oid, data] of expected)
    assert.equal(rig.query(oid), { status: 0, data }, oid.toString(16));
  assert.is(rig.query(0x00020216).data.length, 1024);
  const link = unhex(rig.query(0x00010207).data);
  assert.is(link.length, 40);
});

objects('an unknown object is not supported, and has an offset all the same', () => {
  const rig = new NetRig();
  rig.start();
  for (const oid of [0, 0x00010204, 0x01010103, 0xffffffff])
    assert.equal(rig.query(oid), { status: 0xc00000bb, data: '' });
  assert.is(rig.set(0x00010203, words(1)), 0xc00000bb);
});

objects('the list needs NDIS 5 or 6, and is shorter for 5', () => {
  const lengths = [4, 5, 6, 7].map((major) => {
    const rig = new NetRig();
    rig.inband(words(1, 2, 2));
    rig.inband(words(100, major, 1));
    rig.inband(words(101, 0xe1e12, 1));
    rig.control(INITIALISE);
    const { status, data } = rig.query(0x00010101);
    return status === 0 ? data.length : status;
  });
  assert.is(lengths[0], 0xc0010004);
  assert.is(lengths[3], 0xc0010004);
  assert.ok(lengths[1]! < lengths[2]!);
});

objects('bad SETs are refused, each with its status', () => {
  const rig = new NetRig();
  rig.start();
  assert.is(rig.set(0x0001010e, '2f'), 0xc0010015, 'a filter of one byte');
  assert.is(rig.device.state.filter, 0x2f);
  assert.is(rig.set(0x00010118, words(1, 2)), 0, 'network addresses are ignored');
  const outside = words(5, 32, 1, 0x0001010e, 4, 21, 0, 0);
  assert.equal(rig.control(outside).answers, [words(0x80000005, 16, 1, 0xc0000001)]);
  const far = words(5, 32, 1, 0x0001010e, 0xffffffff, 0xffffffff, 0, 0);
  assert.equal(rig.control(far).answers, [words(0x80000005, 16, 1, 0xc0000001)]);
  assert.is(rig.set(0x0001021b, words(20, 4, 0, 24, 4, 0, 0)), 0);
  assert.is(rig.set(0x0001021b, words(20, 4, 0, 24, 8, 0, 0)), 0xc0010015);
  assert.is(rig.set(0x0001021b, words(20)), 0xc0010015);
});

objects('offloads: none, and a well-formed indication after they were set', () => {
  const rig = new NetRig();
  rig.start();
  const current = rig.query(0xfc01020d).data;
  assert.is(current.slice(0, 8), 'a7039c00');
  assert.match(current.slice(8), /^0+$/);
  const { answers } = rig.control(
    words(5, 28 + 28, 1, 0xfc01020c, 28, 20, 0) + 'a0031c00' + '00'.repeat(24),
  );
  assert.is(answers.length, 2);
  assert.is(answers[0], words(0x80000005, 16, 1, 0));
  assert.is(answers[1], words(7, 20 + 156, 0x40020006, 156, 12) + current);
  assert.is(rig.set(0xfc01020c, 'a003ff00'), 0xc0010015);
});

objects.run();

const link = suite('link state and keepalives');

link('★ link_status_update: down at once, up again only after five seconds', () => {
  const rig = new NetRig();
  rig.start();
  rig.device.setLinkState(false);
  const [down] = rig.taken();
  assert.is(down?.messages[0], DISCONNECT);
  assert.is(rig.query(0x00010114).data, words(1));
  rig.host.setLinkState(true);
  assert.equal(rig.taken(), []);
  assert.is(rig.query(0x00010114).data, words(0), 'asked, the state is the true one');
  assert.equal(rig.run(5 * SECOND - 1), []);
  assert.is(rig.run(1)[0]?.messages[0], CONNECT);
});

link('changes that cancel each other out within the five seconds are not announced', () => {
  const rig = new NetRig();
  rig.start();
  rig.device.setLinkState(false);
  rig.taken();
  rig.device.setLinkState(true);
  rig.device.setLinkState(false);
  assert.equal(rig.run(20 * SECOND), []);
});

link('the first state is not announced, and changes before INITIALISE are only answers', () => {
  const rig = new NetRig();
  rig.device.setLinkState(false);
  rig.negotiate();
  assert.is(rig.control(INITIALISE).answers.length, 1);
  assert.is(rig.query(0x00010114).data, words(1));
  assert.equal(rig.run(20 * SECOND), []);
  rig.device.setLinkState(true);
  assert.is(rig.taken()[0]?.messages[0], CONNECT);
});

link('frames of both sides are lost while the link is down', () => {
  const rig = new NetRig();
  rig.start();
  rig.device.setLinkState(false);
  rig.host.deliver(pattern(60));
  assert.equal(rig.drops, ['link down']);
  assert.is(rig.device.statistics.framesDropped, 1);
});

link('nothing is announced on a closed channel', () => {
  const rig = new NetRig();
  rig.start();
  rig.device.setLinkState(false);
  rig.device.setLinkState(true);
  rig.device.close();
  assert.is(rig.run(20 * SECOND).filter(({ type }) => type === 7).length, 1);
});

link('the host asks whether the guest is there', () => {
  const rig = new NetRig();
  assert.not(rig.device.sendKeepalive());
  rig.start();
  assert.ok(rig.device.sendKeepalive());
  assert.is(rig.taken()[0]?.messages[0], words(8, 12, 1));
  assert.equal(rig.control(words(0x80000008, 16, 1, 0)).answers, []);
  assert.is(rig.device.state.keepaliveAnswers, 1);
});

link('★ link_status_update: 16 answers without completions delay what follows', () => {
  const rig = new NetRig();
  rig.start();
  const answers = Array.from({ length: 20 }, () => rig.gpaDirect([KEEPALIVE], 1)).flat();
  const packets = answers.filter(({ type }) => type === 7);
  assert.is(packets.length, 16, 'all control sections');
  assert.is(answers.length, 36, 'every request is completed');
  rig.device.setLinkState(false);
  assert.equal(rig.taken(), []);

  // Frames have their own sections
  rig.device.setLinkState(true);
  rig.host.deliver(pattern(60));
  assert.is(rig.run().length, 1);

  // Each completion lets one answer go: first those of the guest, then the link's state
  rig.device.setLinkState(false);
  for (let i = 0; i < 4; i++)
    assert.is(rig.complete(packets[i]!)[0]?.messages[0], words(0x80000008, 16, 0x99, 0));
  assert.is(rig.complete(packets[4]!)[0]?.messages[0], DISCONNECT);
  assert.equal(rig.complete(packets[5]!), []);
});

link('answers wait for room in the ring, whatever the guest signals', () => {
  const rig = new NetRig({ knobs: { ringPollTicks: TICKS_PER_MS } });
  rig.start();
  rig.channel.room = 143 + 56;
  assert.is(rig.gpaDirect([KEEPALIVE], 1).length, 1, 'the completion only');
  assert.equal(rig.run(TICKS_PER_MS), []);
  rig.channel.room = 144;
  assert.is(rig.run(TICKS_PER_MS)[0]?.messages[0], words(0x80000008, 16, 0x99, 0));
});

link('too many control messages end the channel', () => {
  const rig = new NetRig();
  rig.start();
  rig.channel.room = 20_000;
  const big = words(8, 0x3000, 1).padEnd(0x3000 * 2, '0');
  rig.channel.room = 143;
  let sent = 0;
  while (!rig.channel.dead && sent < 100) {
    rig.channel.room = 100;
    rig.gpaDirect([big], 1);
    sent++;
  }
  assert.is(sent, 9, '100 KiB hold eight of them');
});

link.run();

const extras = suite('what hosts send of their own accord');

extras('the malformed 0x40020006 precedes the next message, in the same packet', () => {
  const rig = new NetRig({ knobs: { malformedStatus: true } });
  rig.negotiate();
  assert.is(rig.control(INITIALISE).answers.length, 1);
  const { answers, packets } = rig.control(words(4, 28, 5, 0x01010101, 0, 20, 0));
  assert.is(packets.length, 1);
  assert.is(answers.length, 2);
  const view = new DataView(unhex(answers[0]!).buffer);
  assert.is(view.getUint32(0, true), 7);
  assert.is(view.getUint32(8, true), 0x40020006);
  assert.is(view.getUint32(4, true), 20, 'the length leaves the buffer out');
  assert.is(view.getUint32(12, true), view.byteLength - 20);
  assert.is(view.getUint32(16, true), 12);
  assert.is(answers[1]!.slice(0, 24), words(0x80000004, 30, 5));
  assert.is(rig.control(KEEPALIVE).answers.length, 1, 'once');
});

extras('★ initialize_rndis_with_vf_without_completion: announced once, never waited for', () => {
  const rig = new NetRig({ knobs: { vfAssociation: true }, nic: { nic: 0x16 } });
  rig.negotiate(NvspVersion.V5);
  const { packets } = rig.control(INITIALISE);
  const vf = packets.find(({ type }) => type === 6);
  assert.is(vf?.payload, SAMPLES['nvsp_vf_association']?.hex);
  assert.equal([vf?.flags, vf?.low, vf?.high], [1, 0, 0x80000000]);
  assert.is(rig.set(0x0001010e, words(1)), 0);
  rig.complete(vf!);
  assert.not(rig.channel.dead, 'but may be completed');
});

extras('no VF for NVSP below 4, without the capability, or without the knob', () => {
  const cases: readonly [number, number, boolean][] = [
    [NvspVersion.V2, 4, true],
    [NvspVersion.V4, 0, true],
    [NvspVersion.V4, 4, false],
  ];
  for (const [version, capability, vfAssociation] of cases) {
    const rig = new NetRig({ knobs: { vfAssociation } });
    rig.inband(words(1, version, version));
    rig.inband(words(125, 1514, 0, capability, 0));
    rig.inband(words(100, 6, 1));
    rig.inband(words(101, 0xe1e12, 1));
    assert.is(rig.control(INITIALISE).packets.length, 1);
  }
});

extras('MAC address and instance follow from the index of the NIC', () => {
  const nics = [0, 1, 300].map((nic) => new NetRig({ nic: { nic } }).device);
  assert.equal(
    nics.map((nic) => hex(nic.address)),
    ['00155d010000', '00155d010001', '00155d01012c'],
  );
  assert.is(new Set(nics.map((nic) => nic.instanceId)).size, 3);
  assert.throws(() => new NetRig({ nic: { nic: 65536 } }), RangeError);
  assert.throws(() => new NetRig({ nic: { address: new Uint8Array(5) } }), RangeError);
  assert.throws(() => new NetRig({ nic: { mtu: 1500 } }), RangeError);
});

extras.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What drivers that were written against real hosts showed of the simulated network device, by the
 * peer that showed it. `P-`, `L`, `O-` are the rows of the comparisons.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NvspVersion } from '../../../../src/netvsc/protocol.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import { PROFILES } from '../../../../tools/simulator/profiles/profiles.ts';
import {
  INITIALISE,
  NetRig,
  RX_GPADL,
  RX_SET,
  TX_GPADL,
  hex,
  init,
  pattern,
  words,
} from '../../../rigs/netvsp-rig.ts';

const CONNECT = words(7, 20, 0x4001000b, 0, 0);
const DISCONNECT = words(7, 20, 0x4001000c, 0, 0);

/** What one knob is on each profile. */
function onProfiles<K extends keyof HostKnobs>(knob: K): Record<string, HostKnobs[K]> {
  return Object.fromEntries(PROFILES.map(({ name, knobs }) => [name, knobs[knob]]));
}

const link = suite('link');

link('P-M3 NetvscDxe: Windows hosts announce the link behind the answer to INITIALISE', () => {
  const rig = new NetRig({ knobs: { linkAnnouncement: 'initialise' } });
  rig.negotiate(NvspVersion.V5);
  const { answers, packets } = rig.control(INITIALISE);
  assert.is(answers.length, 2);
  assert.is(answers[1], CONNECT);
  assert.is(packets.length, 2, 'in a packet of its own');
  assert.is(rig.set(0x0001010e, words(0x2f)), 0, 'once');
  assert.is(onProfiles('linkAnnouncement')['server2016'], 'initialise');
  assert.is(onProfiles('linkAnnouncement')['openvmm'], 'never');
});

link('P-M3 NetvscDxe: or with the first packet filter that is not zero, once per opening', () => {
  const rig = new NetRig({ knobs: { linkAnnouncement: 'filter' } });
  for (let opening = 0; opening < 2; opening++) {
    rig.negotiate(NvspVersion.V5);
    assert.is(rig.control(INITIALISE).answers.length, 1);
    assert.is(rig.set(0x0001010e, words(0)), 0);
    const filter = words(5, 32, 0x78, 0x0001010e, 4, 20, 0, 0x2f);
    const { answers } = rig.control(filter);
    assert.equal(answers, [words(0x80000005, 16, 0x78, 0), CONNECT]);
    assert.is(rig.control(filter).answers.length, 1);
    rig.device.close();
    rig.open();
  }
});

link('P-M3 NetvscDxe: a link that is down is announced as down, and its change after it', () => {
  const rig = new NetRig({ knobs: { linkAnnouncement: 'initialise' } });
  rig.device.setLinkState(false);
  rig.negotiate();
  assert.is(rig.control(INITIALISE).answers[1], DISCONNECT);
  rig.device.setLinkState(true);
  assert.is(rig.taken()[0]?.messages[0], CONNECT);
});

link('P-M3 NetvscDxe: a change of the network is told, to who has initialised', () => {
  const rig = new NetRig({});
  assert.not(rig.device.changeNetwork());
  rig.negotiate();
  rig.control(INITIALISE);
  assert.ok(rig.device.changeNetwork());
  assert.equal(
    rig.taken().flatMap(({ messages }) => messages),
    [words(7, 20, 0x40010018, 0, 0)],
  );
});

link.run();

const buffers = suite('buffers');

/** What the device answers to SEND_RECEIVE_BUFFER of `rxLength` bytes, and the rig. */
function receiveBuffer(rxLength: number, knobs: Partial<HostKnobs>): [string | undefined, NetRig] {
  const rig = new NetRig({ rxLength, knobs });
  rig.inband(init(NvspVersion.V1));
  rig.inband(words(100, 6, 30));
  return [rig.inband(words(101, RX_GPADL, RX_SET))[0]?.payload, rig];
}

const SHARED = { controlSections: 0, failedBuffer: 'answer' } as const;

buffers('P-M8 NetvscDxe: frames may use every section where there is one pool', () => {
  const rig = new NetRig({ knobs: { controlSections: 0 } });
  rig.start();
  const packets = Array.from({ length: 38 }, () => {
    rig.host.deliver(pattern(60));
    return rig.run();
  }).flat();
  assert.is(packets.length, 37, 'all sections of 64 KiB');
  assert.is(rig.device.state.sectionsInUse, 37);
  assert.equal(rig.drops, ['no free section in the receive buffer']);

  // Then an answer waits for a section: the deadlock that Microsoft's driver avoids
  assert.equal(rig.control(words(8, 12, 0x99)).answers, []);
  assert.is(rig.complete(packets[0]!)[0]?.messages[0], words(0x80000008, 16, 0x99, 0));
  for (const packet of packets.slice(1)) rig.complete(packet);
  assert.is(rig.device.state.sectionsInUse, 1);
  assert.is(onProfiles('controlSections')['server2019'], 0);
  assert.is(onProfiles('controlSections')['openvmm'], 16);
});

buffers('L4 Linux: 10 sections, and even one, work where none are reserved', () => {
  for (const pages of [1, 5, 6]) {
    const sections = Math.floor((pages * 4096) / 1728);
    const [answer, rig] = receiveBuffer(pages * 4096, SHARED);
    assert.is(answer, words(102, 1, 1, 0, 1728, sections, sections * 1728));
    assert.is(rig.control(INITIALISE).answers.length, 1);
    rig.set(0x0001010e, words(0x2f));
    rig.host.deliver(pattern(60));
    assert.is(rig.run().length, 1);
  }
});

buffers(
  'L4 Linux: a buffer without a section is answered with a failure, and may be mended',
  () => {
    const rig = new NetRig({ knobs: { controlSections: 16, failedBuffer: 'answer' } });
    rig.channel.gpadls.set(9, { ...rig.channel.gpadl(RX_GPADL)!, length: 0x7000 });
    rig.inband(init(NvspVersion.V1));
    rig.inband(words(100, 6, 30));
    assert.is(rig.inband(words(101, 9, RX_SET))[0]?.payload, words(102, 2, 0, 0, 0, 0, 0));
    assert.not(rig.channel.dead);
    assert.is(rig.violations.length, 1);
    assert.is(rig.inband(words(101, RX_GPADL, RX_SET))[0]?.payload.slice(0, 16), words(102, 1));
    assert.is(rig.control(INITIALISE).answers.length, 1);
  },
);

buffers('O-B2 OpenVMM: a buffer that is not whole pages, unknown or elsewhere is no buffer', () => {
  for (const [type, gpadl] of [
    [101, RX_GPADL],
    [104, TX_GPADL],
  ] as const)
    for (const change of [{ length: 0xf800 }, { offset: 8 }, { pfns: [0x10, 0x200] }, undefined]) {
      for (const failedBuffer of ['answer', 'fatal'] as const) {
        const rig = new NetRig({ knobs: { failedBuffer } });
        if (change === undefined) rig.channel.gpadls.delete(gpadl);
        else rig.channel.gpadls.set(gpadl, { ...rig.channel.gpadl(gpadl)!, ...change });
        rig.inband(init(NvspVersion.V1));
        const answers = rig.inband(words(type, gpadl, RX_SET));
        assert.is(rig.channel.dead, failedBuffer === 'fatal');
        assert.is(answers.length, failedBuffer === 'fatal' ? 0 : 1);
        if (failedBuffer === 'answer')
          assert.is(answers[0]?.payload, words(type + 1, 2, 0, 0, 0, 0, 0));
      }
    }
});

buffers.run();

const filter = suite('packet filter');

const OWN = [0x00, 0x15, 0x5d, 0x01, 0x00, 0x00];
const FOREIGN = [0x00, 0x15, 0x5d, 0x01, 0x00, 0x01];
const BROADCAST = Array<number>(6).fill(0xff);
const MULTICAST = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb];
const MULTICAST6 = [0x33, 0x33, 0x00, 0x00, 0x00, 0x01];

/** Which of the five addresses are received at a filter. */
function received(rig: NetRig, bits: number): string {
  assert.is(rig.set(0x0001010e, words(bits)), 0);
  return [OWN, FOREIGN, BROADCAST, MULTICAST, MULTICAST6]
    .map((target) => {
      const frame = pattern(60);
      frame.set(target);
      rig.host.deliver(frame);
      const packets = rig.run();
      for (const packet of packets) rig.complete(packet);
      return packets.length > 0 ? '1' : '0';
    })
    .join('');
}

filter('L9 Linux: each bit of the filter lets its kind of frame through', () => {
  const rig = new NetRig({ knobs: { packetFilter: 'bits' } });
  rig.start();
  for (const [bits, expected] of [
    [0x01, '10000'],
    [0x02, '00000'],
    [0x04, '00011'],
    [0x08, '00100'],
    [0x09, '10100'],
    [0x0d, '10111'],
    [0x20, '11111'],
    [0x2f, '11111'],
    [0x40, '00000'],
    [0x00, '00000'],
  ] as const)
    assert.is(received(rig, bits), expected, `filter 0x${bits.toString(16)}`);
  assert.ok(rig.drops.includes('packet filter'));
  assert.is(rig.device.state.sectionsInUse, 0);
});

filter('L9 OpenVMM: a filter that is not zero lets everything through', () => {
  const rig = new NetRig({ knobs: { packetFilter: 'any' } });
  rig.start();
  assert.is(received(rig, 0x09), '11111');
  assert.is(received(rig, 0), '00000');
  assert.is(onProfiles('packetFilter')['server2012'], 'bits');
  assert.is(onProfiles('packetFilter')['openvmm'], 'any');
});

filter.run();

const strictness = suite('strictness');

strictness('P-B6 FreeBSD, OpenBSD: an INIT in less than 32 bytes is never answered', () => {
  for (const length of [4, 12, 16, 24]) {
    const rig = new NetRig({ knobs: { shortInit: 'silent' } });
    const short = words(1, NvspVersion.V5, NvspVersion.V5, 0, 0, 0).slice(0, 2 * length);
    assert.equal(rig.inband(short), [], `${length} bytes`);
    assert.not(rig.channel.dead);
    assert.is(rig.device.state.version, 0);
    assert.is(rig.violations.length, 1);
    assert.is(rig.inband(init(NvspVersion.V5))[0]?.payload.slice(24, 32), words(1), '32 bytes');
  }
  const openvmm = new NetRig({ knobs: { shortInit: 'answer' } });
  const [answer] = openvmm.inband(words(1, NvspVersion.V5, 0));
  assert.is(answer?.payload.slice(24, 32), words(1));
  assert.is(onProfiles('shortInit')['server2008'], 'silent');
  assert.is(onProfiles('shortInit')['openvmm'], 'answer');
});

strictness('P-B7 FreeBSD: QUERY with a buffer that is not behind the request fails', () => {
  const rig = new NetRig({ knobs: { queryBuffer: 'checked' } });
  rig.start();
  const query = (length: number, offset: number) =>
    rig.control(words(4, 28, 0x77, 0x01010102, length, offset, 0)).answers;
  const failed = [words(0x80000004, 24, 0x77, 0xc0000001, 0, 16)];
  for (const [length, offset] of [
    [0, 0],
    [0, 4000],
    [0, 19],
    [0, 21],
    [4, 20],
    [0xffffffff, 20],
    [0, 0xffffffff],
  ] as const)
    assert.equal(query(length, offset), failed, `${length} bytes at ${offset}`);
  assert.is(query(0, 20)[0], words(0x80000004, 30, 0x77, 0, 6, 16) + '00155d010000');
  const withBuffer = words(4, 34, 0x77, 0x01010102, 6, 20, 0) + '000000000000';
  assert.is(rig.control(withBuffer).answers[0]?.slice(24, 32), words(0));
  const openvmm = new NetRig({ knobs: { queryBuffer: 'ignored' } });
  openvmm.start();
  const ignored = openvmm.control(words(4, 28, 0x77, 0x01010102, 0, 4000, 0));
  assert.is(ignored.answers[0]?.slice(24, 32), words(0));
});

strictness('P-B8 OpenVMM: offload parameters are at least those of revision 1', () => {
  const rig = new NetRig();
  rig.start();
  for (const bad of ['80010400', '80011300' + '00'.repeat(15), '80011300' + '00'.repeat(16)])
    assert.is(rig.set(0xfc01020c, bad), 0xc0010015, bad);
  assert.is(rig.set(0xfc01020c, '80011500' + '00'.repeat(16)), 0xc0010015, 'not all there');
  const { answers } = rig.control(
    words(5, 48, 1, 0xfc01020c, 20, 20, 0) + '80011400' + '00'.repeat(16),
  );
  assert.is(answers[0], words(0x80000005, 16, 1, 0));
});

strictness('O-B1 OpenVMM: nothing of NVSP 4 and 5 before the device was started', () => {
  for (const message of [words(133, 1, 0), words(131, 0, 0, 0, 0x10101), words(129, 0)]) {
    const early = new NetRig();
    early.negotiate(NvspVersion.V5);
    assert.equal(early.inband(message), []);
    assert.ok(early.channel.dead);

    // Started by the send buffer, or by the first RNDIS packet
    for (const start of ['send buffer', 'RNDIS']) {
      const rig = new NetRig();
      rig.negotiate(NvspVersion.V5);
      if (start === 'RNDIS') rig.control(INITIALISE);
      else rig.inband(words(104, TX_GPADL, 7));
      assert.is(rig.inband(message).length, 1, start);
      assert.not(rig.channel.dead, start);
    }
  }
});

strictness('O-B3 OpenVMM: a control message that is too short ends the channel there', () => {
  for (const short of [words(4, 24, 1, 2, 3, 4), words(8, 12, 0).slice(0, 22), words(2, 12, 1)])
    for (const malformedControl of ['fail', 'fatal'] as const) {
      const rig = new NetRig({ knobs: { malformedControl } });
      rig.start();
      rig.gpaDirect([short], 1);
      assert.is(rig.channel.dead, malformedControl === 'fatal', short);
    }
});

/** What `handle_rndis` and `handle_rndis_control_message` of OpenVMM make of control messages. */
const CONTROLS: readonly [row: string, message: string, dead: boolean, status: number][] = [
  ['O-B4 a header alone is completed as failed', words(8, 8), false, 2],
  ['O-B5 INITIALISE a second time (InvalidRndisState)', INITIALISE, true, 0],
  ['O-B6 INDICATE_STATUS (RndisMessageTypeNotImplemented)', words(7, 20, 0, 0, 0), true, 0],
  ['O-B7 a type that nobody knows (UnknownRndisMessageType)', words(0x77, 12, 0), true, 0],
  ['O-B9 a message of the answers (UnknownRndisMessageType)', words(0x80000004, 12, 0), true, 0],
];

for (const [row, message, dead, status] of CONTROLS) {
  strictness(`${row.slice(0, 4)} OpenVMM: ${row.slice(5)}`, () => {
    const rig = new NetRig({ knobs: { malformedControl: 'fatal' } });
    rig.start();
    const packets = rig.gpaDirect([message], 1);
    assert.is(rig.channel.dead, dead);
    if (!dead) assert.is(parseInt(packets[0]!.payload.slice(8, 10), 16), status);
  });
}

strictness('O-B8 OpenVMM: the objects of its netvsp', () => {
  const rig = new NetRig({ knobs: { objects: 'netvsp' } });
  rig.start();
  assert.equal(rig.query(0x0001010d), { status: 0, data: text('Microsoft Corporation') });
  for (const version of [0x00010110, 0x00010116])
    assert.equal(rig.query(version), { status: 0, data: '0001' });
  for (const counter of [0x01020101, 0x01020102, 0x01020103])
    assert.equal(rig.query(counter), { status: 0, data: words(0) });
  for (const unknown of [0x00020101, 0x00020102, 0x00020103, 0x00020104, 0x00020105])
    assert.is(rig.query(unknown).status, 0xc00000bb);
  rig.device.setLinkState(false);
  rig.taken();
  assert.is(rig.query(0x00010114).data, words(0), 'always connected');
  assert.is(rig.query(0x00010207).data.slice(0, 32), '80012800' + words(1, 0, 0));
  assert.is(rig.query(0x0101010a).data, 'a8011c00' + words(1, 2, 14, 1, 2, 14));
  const list = rig.query(0x00010101).data;
  assert.is(list.length / 8, 32 + 9 + 2);
  assert.is(list.slice(0, 48), words(0x10101, 0x10102, 0x10103, 0x10104, 0x10105, 0x1010f));

  // Objects of NDIS 6 whatever version the guest has, but not in its list
  const old = new NetRig({ knobs: { objects: 'netvsp' } });
  old.inband(init(NvspVersion.V1));
  old.inband(words(100, 5, 1));
  old.inband(words(101, RX_GPADL, RX_SET));
  old.control(INITIALISE);
  assert.is(old.query(0x00010101).data.length / 8, 32);
  assert.is(old.query(0x00010207).status, 0);
  assert.is(old.query(0xfc01020d).data.slice(0, 8), 'a7039c00');
  assert.is(onProfiles('objects')['openvmm'], 'netvsp');
});

/** Characters as bytes, in hexadecimal. */
function text(characters: string): string {
  return hex(Uint8Array.from(characters, (character) => character.charCodeAt(0)));
}

strictness.run();

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
import { INITIALISE, NetRig, words } from '../../../rigs/netvsp-rig.ts';

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

link.run();

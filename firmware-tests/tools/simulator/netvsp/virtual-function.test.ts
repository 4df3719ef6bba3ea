// SPDX-License-Identifier: GPL-2.0-or-later

/** The virtual function behind the simulated network device, as far as NVSP tells of it. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NvspVersion } from '../../../../src/netvsc/protocol.ts';
import { INITIALISE, NetRig, words, type RigOptions } from '../../../rigs/netvsp-rig.ts';

/** A frame for the guest. */
const FRAME = new Uint8Array(60);

const VF_HIGH = 0x80000000;
const vf = suite('host: virtual function');

function vfRig(options: RigOptions = {}, version: number = NvspVersion.V5) {
  const rig = new NetRig({ knobs: { vfAssociation: true }, ...options });
  rig.negotiate(version);
  const { packets } = rig.control(INITIALISE);
  const announced = packets.filter(({ high }) => high === VF_HIGH);
  rig.set(0x0001010e, words(0x2f));
  return { rig, announced };
}

vf('initialize_rndis_with_vf: announced after INITIALISE, there a second later', () => {
  const { rig, announced } = vfRig();
  assert.is(announced.length, 1);
  const [message] = announced;
  assert.equal([message!.type, message!.flags, message!.low], [6, 1, 0]);
  assert.is(message!.payload.slice(0, 24), words(128, 1, 1));
  assert.is(rig.device.state.virtualFunction, 'announced');
  rig.run(10_000_000);
  assert.is(rig.device.state.virtualFunction, 'arrived');
});

vf('the guest switches the data path; frames go where it says', () => {
  const { rig } = vfRig();
  assert.is(rig.inband(words(129, 1))[0]!.payload, '');
  assert.is(rig.device.state.dataPath, 'vf');
  rig.host.deliver(FRAME);
  assert.equal(rig.run(1), []);
  assert.is(rig.drops.at(-1), 'data path is the virtual function');
  rig.inband(words(129, 0));
  rig.host.deliver(FRAME);
  assert.is(rig.run(1).length, 1);
});

vf('a path that is not there is a violation; the completion says nothing of it', () => {
  const { rig } = vfRig({ knobs: { vfAssociation: false } });
  for (const path of [1, 2]) {
    assert.is(rig.inband(words(129, path))[0]!.payload, '');
    assert.is(rig.device.state.dataPath, 'synthetic');
  }
  assert.is(rig.violations.length, 2);
});

vf('★ initialize_rndis_with_vf_multi_open: announced anew when the channel is opened again', () => {
  const { rig } = vfRig();
  rig.inband(words(129, 1));
  rig.device.close();
  assert.equal(
    [rig.device.state.virtualFunction, rig.device.state.dataPath],
    ['none', 'synthetic'],
  );
  rig.open();
  rig.negotiate(NvspVersion.V5);
  const { packets } = rig.control(INITIALISE);
  assert.is(packets.filter(({ high }) => high === VF_HIGH).length, 1);
});

vf('remove_vf: the host switches back and withdraws it, whether or not it is completed', () => {
  const { rig, announced } = vfRig();
  rig.complete(announced[0]!);
  rig.inband(words(129, 1));
  assert.ok(rig.device.setVirtualFunction(false));
  const [path, gone, ...rest] = rig.taken();
  assert.equal([path!.low, path!.high, path!.flags], [1, VF_HIGH, 1]);
  assert.is(path!.payload.slice(0, 16), words(129, 0));
  assert.is(gone!.payload.slice(0, 24), words(128, 0, 1));
  assert.equal(rest, []);
  assert.is(rig.device.state.dataPath, 'synthetic');
  rig.complete(path!, '');
  rig.complete(gone!, '');
  assert.not(rig.channel.dead);
  assert.not(rig.device.setVirtualFunction(false), 'it is gone already');
  assert.ok(rig.device.setVirtualFunction(true), 'and may come back');
});

vf('no virtual function for a closed or old device', () => {
  const closed = new NetRig();
  assert.not(closed.device.setVirtualFunction(true));
  const { rig } = vfRig({}, NvspVersion.V2);
  assert.not(rig.device.setVirtualFunction(true));
});

vf.run();

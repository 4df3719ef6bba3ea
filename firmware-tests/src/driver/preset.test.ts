// SPDX-License-Identifier: GPL-2.0-or-later

/** The two presets at the bytes, and policies that cannot be. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorEntry } from '../../../src/catalogue.ts';
import { NETVSC_PRESETS, type NetvscPolicy } from '../../../src/index.ts';
import { MessageType, PacketType } from '../../../src/vmbus/protocol.ts';
import { receiving } from '../../rigs/driver-faults.ts';
import { Rig, fails, frame, hex } from '../../rigs/driver-rig.ts';

/** A GPADL's pages and an open's, as the host is told: [GPADL length, outbound pages]. */
function sizes(rig: Rig): { gpadls: number[]; outPages: number } {
  return {
    gpadls: rig.posted(MessageType.GPADL_HEADER).map((view) => view.getUint32(20, true) / 4096),
    outPages: rig.posted(MessageType.OPEN_CHANNEL)[0]!.getUint32(24, true),
  };
}

/** Completions of the frames that the guest receives, as hexadecimal behind the descriptor. */
function completions(rig: Rig): string[] {
  rig.link.host.deliver(frame(60));
  rig.poll();
  return rig.packets(PacketType.COMPLETION).map(({ bytes }) => hex(bytes));
}

const presets = suite('presets');

presets('ipxe: rings of a page, a buffer of 64 KiB, completions without a payload', () => {
  const rig = new Rig({ driver: { preset: 'ipxe' } });
  rig.probe();
  assert.equal(sizes(rig), { gpadls: [16, 4], outPages: 2 });
  assert.equal(rig.posted(MessageType.GPADL_BODY), []);
  const open = receiving({ driver: { preset: 'ipxe' } });
  const [completion] = completions(open);
  // Type 11, 2 + 0 words, no flags, and the transaction
  assert.is(completion!.length, 32);
  assert.is(completion!.slice(0, 16), '0b00020002000000');
  assert.is(open.device.transmit(frame(60), 60), 'sent');
  open.driver.remove();
  open.assertClean();
});

presets(
  'robust-by-default: larger rings and buffer, completions with NVSP type 108, status 1',
  () => {
    const rig = new Rig();
    rig.probe();
    assert.equal(sizes(rig), { gpadls: [64, 34], outPages: 17 });
    const open = receiving();
    const [completion] = completions(open);
    assert.is(completion!.slice(0, 16), '0b00020006000000');
    assert.is(completion!.slice(32), `6c00000001000000${'00'.repeat(24)}`);
  },
);

presets('a strict host ends the channel over an empty completion, and takes the other', () => {
  // OpenVMM reads an NVSP header from every completion
  const strict = { knobs: { emptyCompletion: 'fatal' } } as const;
  const old = new Rig({ ...strict, driver: { preset: 'ipxe' } });
  assert.throws(() => old.open());
  assert.ok(old.violations().some((text) => /empty completion/.test(text)));
  const rig = new Rig(strict);
  rig.open();
  rig.link.host.deliver(frame(60));
  rig.poll();
  assert.equal(rig.violations(), []);
  assert.is(rig.received.length, 1);
  rig.driver.remove();
  rig.assertClean();
});

presets('single choices go over the preset', () => {
  const rig = new Rig({ driver: { preset: 'ipxe', policy: { completionPayload: 'status' } } });
  rig.open();
  rig.poll();
  assert.equal(sizes(rig).outPages, 2);
  const lengths = new Set(rig.packets(PacketType.COMPLETION).map(({ bytes }) => bytes.length));
  assert.equal([...lengths], [48]);
});

presets('the same choices on the wire, whoever the host is', () => {
  for (const host of ['server2012r2', 'server2016', 'server2022', 'qemu', 'openvmm']) {
    const rig = new Rig({ host });
    rig.open();
    assert.equal(sizes(rig).gpadls, [64, 34, 64, 34], host);
    rig.driver.remove();
    assert.equal(rig.violations(), [], host);
    rig.assertClean();
  }
});

presets.run();

const policy = suite('policies');

/** Choices that make no device, and what that is called. */
const BAD: readonly (readonly [Partial<NetvscPolicy>, string])[] = [
  [{ outPages: 0 }, 'BadRingSize'],
  [{ outPages: 3 }, 'BadRingSize'],
  [{ inPages: -4 }, 'BadRingSize'],
  [{ inPages: 1.5 }, 'BadRingSize'],
  [{ inPages: 8192 }, 'BadRingSize'],
  [{ outPages: NaN }, 'BadRingSize'],
  [{ outPages: 4096, inPages: 4096 }, 'OutOfMemory'],
  [{ receiveBufferLength: 0 }, 'BadPolicy'],
  [{ receiveBufferLength: 4095 }, 'BadPolicy'],
  [{ receiveBufferLength: -4096 }, 'BadPolicy'],
  [{ receiveBufferLength: NaN }, 'BadPolicy'],
  [{ receiveBufferLength: Infinity }, 'BadPolicy'],
  [{ transmitSlots: 0 }, 'BadPolicy'],
  [{ transmitSlots: 33 }, 'BadPolicy'],
  [{ transmitSlots: 1.5 }, 'BadPolicy'],
  [{ deferredFrames: 0 }, 'BadPolicy'],
  [{ deferredFrames: 2.5 }, 'BadPolicy'],
  [{ deferredFrames: 1e9 }, 'BadPolicy'],
  [{ packetLength: 0 }, 'BadPolicy'],
  [{ packetLength: 120 }, 'BadPolicy'],
  [{ packetLength: 1001 }, 'BadPolicy'],
  [{ packetLength: 1e9 }, 'BadPolicy'],
];

policy('what makes no device is named, and leaves nothing behind', () => {
  for (const [choice, name] of BAD) {
    const rig = new Rig({ memory: new ArrayBuffer(2 << 20), driver: { policy: choice } });
    const error = fails(name, () => rig.driver.probe());
    assert.ok(errorEntry(error.name)![1].length > 10, JSON.stringify(choice));
    rig.assertClean();
  }
});

policy('presets are policies that can be', () => {
  for (const preset of ['default', 'ipxe'] as const) {
    // Choice by choice over the other preset it is the same
    const other = preset === 'ipxe' ? 'default' : 'ipxe';
    const one = new Rig({ driver: { preset } });
    const two = new Rig({ driver: { preset: other, policy: NETVSC_PRESETS[preset] } });
    for (const rig of [one, two]) rig.probe();
    assert.equal(sizes(two), sizes(one));
  }
});

policy.run();

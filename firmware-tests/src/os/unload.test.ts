// SPDX-License-Identifier: GPL-2.0-or-later

/** UNLOAD with nothing closed before: for kexec, after a crash (Linux vmbus_initiate_unload). */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { initiateUnload } from '../../../src/os/unload.ts';
import { HvMessageType, SynicMessage } from '../../../src/hyperv/protocol.ts';
import { MessageType, VMBUS_MESSAGE_SINT } from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { GuestRig, ProbeDevice, ProbeDriver } from '../../rigs/guest-rig.ts';
import { frame } from '../../rigs/driver-rig.ts';

const { UNLOAD, UNLOAD_RESPONSE, CLOSE_CHANNEL, GPADL_TEARDOWN } = MessageType;

const SLOT = VMBUS_MESSAGE_SINT * SynicMessage.size;

/** A rig with its NIC open and a frame in flight. */
function running(options: ConstructorParameters<typeof GuestRig>[0] = {}): GuestRig {
  const rig = new GuestRig(options).start();
  rig.device.open();
  rig.device.transmit(frame(1000), 1000);
  rig.mark();
  return rig;
}

/** Address of the message page that a processor has mapped. */
function messagePage(rig: GuestRig, vp: number): number {
  return Number(rig.machine.partition.inspection.register(vp, 'SIMP') & ~0xfffn);
}

const orderly = suite('UNLOAD alone, in an orderly end');

orderly('is one message; then the host has let go of everything, and so has the guest', () => {
  const rig = running();
  const before = rig.granted().length;
  assert.ok(before > 5);
  assert.is(initiateUnload(rig.bus), 'answered');
  assert.equal(rig.types(), [UNLOAD]);
  assert.equal(rig.net.devices, []);
  // Only what belongs to the hypervisor layer is left, for whoever ends that
  const own = ['hypercall', 'reference-tsc', 'siefp', 'simp'];
  assert.equal(
    rig.outstanding().filter((purpose) => !own.includes(purpose)),
    [],
  );
  rig.stop();
  assert.equal(rig.types(), [UNLOAD]);
  assert.equal(rig.outstanding(), []);
  assert.equal(rig.granted(), []);
  assert.equal(rig.violations(), []);
});

orderly('is done once only', () => {
  const rig = running();
  assert.is(initiateUnload(rig.bus), 'answered');
  assert.is(initiateUnload(rig.bus), 'not-connected');
  assert.is(initiateUnload(rig.bus, { crash: { messagePages: [] } }), 'not-connected');
  assert.equal(rig.types(), [UNLOAD]);
  // Never connected
  assert.is(initiateUnload(new GuestRig().bus), 'not-connected');
});

orderly('waits as long as it is told; what is not answered for stays reserved', () => {
  const rig = running({ knobs: { unloadAnswer: 'never' } });
  const begin = rig.machine.clock.now;
  assert.is(initiateUnload(rig.bus, { timeoutMs: 3000 }), 'unanswered');
  const ms = (rig.machine.clock.now - begin) / TICKS_PER_MS;
  assert.ok(ms >= 3000 && ms < 3100, `${ms} ms`);
  rig.stop();
  // No word about single objects, although they are all still the host's
  assert.not.ok(rig.types().some((type) => type === CLOSE_CHANNEL || type === GPADL_TEARDOWN));
  const held = ['monitor-in', 'monitor-out', 'ring', 'rx-buffer', 'send-buffer'];
  assert.equal(rig.outstanding().sort(), held);
  const map = rig.pages.memoryMap(rig.machine.bootProcessor.memoryMap);
  for (const { address } of rig.pages.outstanding()) {
    const range = map.find((r) => address >= r.address && address < r.address + r.length);
    assert.is(range?.type, 'reserved');
  }
});

orderly('a host that is slow is waited for: 50 s on Azure', () => {
  const rig = running({ knobs: { unloadAnswer: 50_000 * TICKS_PER_MS } });
  assert.is(initiateUnload(rig.bus), 'answered');
  rig.stop();
  assert.equal(rig.outstanding(), []);
});

orderly('below 3.0 nothing is sent: such hosts never answer', () => {
  const rig = running({ host: 'server2012' });
  assert.is(initiateUnload(rig.bus), 'not-supported');
  assert.equal(rig.types(), []);
  rig.stop();
  assert.equal(rig.types(), []);
  assert.ok(rig.outstanding().includes('rx-buffer'));
});

orderly('an UNLOAD that cannot be posted is named, and nothing is freed', () => {
  const rig = running();
  rig.machine.partition.faults.hypercall = () => 6;
  assert.is(initiateUnload(rig.bus), 'not-posted');
  assert.ok(rig.outstanding().includes('ring'));
  assert.ok(rig.logged().some((text) => text.startsWith('could not ask the host to unload')));
});

orderly('drivers are told that they have nothing any more, and say nothing', () => {
  for (const [unloadAnswer, letGo] of [
    [0, true],
    ['never', false],
  ] as const) {
    const driver = new ProbeDriver();
    const devices = [new ProbeDevice(1)];
    const rig = new GuestRig({ cards: 0, devices, drivers: [driver], knobs: { unloadAnswer } });
    rig.start().mark();
    initiateUnload(rig.bus, { timeoutMs: 100 });
    assert.equal(driver.fate, [`abandoned ${letGo}`]);
    assert.equal(rig.types(), [UNLOAD]);
  }
});

orderly.run();

const crash = suite('UNLOAD after a crash');

/** Map message pages on the other processors, as an OS does. */
function mapPages(rig: GuestRig): number[] {
  return rig.machine.processors.map((processor, vp) => {
    if (messagePage(rig, vp) === 0) {
      const { address } = rig.pages.allocate('simp', 4096);
      processor.wrmsr(0x40000083, BigInt(address) | 1n);
      processor.wrmsr(0x40000092, 0x200f3n);
      processor.wrmsr(0x40000080, 1n);
    }
    return messagePage(rig, vp);
  });
}

crash('the answer is found in the page of whichever processor it came to', () => {
  // Contact named processor 2; the crash is on 0, where the hypervisor layer is
  const rig = new GuestRig({ processors: 3, cards: 0 });
  rig.hv.probe();
  const pages = mapPages(rig);
  rig.bus.probe();
  rig.mark();
  rig.machine.vmbus.faults = {
    message(type) {
      if (type !== UNLOAD_RESPONSE) return undefined;
      // As it would come had another processor been named in the contact
      const slot = pages[2]! + SLOT;
      rig.memory.set32(slot + SynicMessage.at.data, UNLOAD_RESPONSE);
      rig.memory.set8(slot + SynicMessage.at.length, 8);
      rig.memory.set32(slot + SynicMessage.at.type, 1);
      return 'drop';
    },
  };
  const result = initiateUnload(rig.bus, { crash: { messagePages: pages } });
  assert.is(result, 'answered');
  for (const page of pages) assert.is(rig.memory.u32(page + SLOT), HvMessageType.NONE);
});

crash('slots are emptied of what is in the way, and only the answer counts', () => {
  const rig = running({ processors: 2 });
  const pages = mapPages(rig);
  // A message that nobody took lies in the slot, and three more wait behind it
  for (let i = 0; i < 4; i++)
    rig.machine.vmbus.postUnsolicited(new Uint8Array([4, 0, 0, 0, 0, 0, 0, 0]));
  assert.ok(rig.memory.u32(pages[0]! + SLOT) !== 0);
  assert.is(initiateUnload(rig.bus, { crash: { messagePages: pages } }), 'answered');
  assert.equal(rig.types(), [UNLOAD]);
});

crash('processors without a page are passed over', () => {
  const rig = running({ processors: 4 });
  const messagePages = [undefined, 0, messagePage(rig, 0), undefined];
  assert.is(initiateUnload(rig.bus, { crash: { messagePages } }), 'answered');
});

crash('the wait ends after 100 s, says that it waits, and goes on', () => {
  const rig = running({ knobs: { unloadAnswer: 'never' } });
  const begin = rig.machine.clock.now;
  const messagePages = [messagePage(rig, 0)];
  assert.is(initiateUnload(rig.bus, { crash: { messagePages } }), 'unanswered');
  const seconds = (rig.machine.clock.now - begin) / TICKS_PER_MS / 1000;
  assert.ok(seconds >= 100 && seconds < 101, `${seconds} s`);
  assert.is(rig.logged().filter((text) => text.startsWith('waiting for the host')).length, 19);
  assert.ok(rig.outstanding().includes('rx-buffer'));
});

crash('a shorter wait misses a slow host, by its time', () => {
  const knobs = { unloadAnswer: 50_000 * TICKS_PER_MS };
  for (const [timeoutMs, expected] of [
    [10_000, 'unanswered'],
    [undefined, 'answered'],
  ] as const) {
    const rig = running({ knobs });
    const messagePages = [messagePage(rig, 0)];
    assert.is(initiateUnload(rig.bus, { timeoutMs, crash: { messagePages } }), expected);
  }
});

crash.run();

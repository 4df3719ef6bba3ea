// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Findings that say whose doing it is, each with the guest beside it that has no such excuse: what
 * the host answered otherwise, refused for good, or has not sent yet.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDriver } from '../../../../src/index.ts';
import {
  HvCall,
  HvMessageType,
  HvStatus,
  Msr,
  StimerConfig,
  SynicMessage,
} from '../../../../src/hyperv/protocol.ts';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { makeMachine, type HostSetup } from '../../../../tools/scenarios/rig.ts';
import { auditHandoff, type AuditOptions } from '../../../../tools/simulator/audit/audit.ts';
import { FreedMemory } from '../../../../tools/simulator/audit/freed-memory.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import type { SimulatedMachine } from '../../../../tools/simulator/machine.ts';
import { GUEST_PAGES, Guest } from '../../../rigs/audit-guest.ts';
import { unhex, words } from '../../../rigs/bytes.ts';

const doing = suite('audit: whose doing it is');

const PFN = GUEST_PAGES.spare / 4096;
const GPADL = 0x77;

/** All findings as `check severity: text`. */
function audit(machine: SimulatedMachine, options?: AuditOptions): string[] {
  return auditHandoff(machine, machine.bootProcessor.memoryMap, options).map(
    ({ check, severity, text }) => `${check} ${severity}: ${text}`,
  );
}

/** A guest that has contacted the host and has been offered its channels; the number of its NIC. */
function offered(setup: HostSetup = {}) {
  const machine = makeMachine(setup);
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V4_0));
  guest.post(MessageType.REQUEST_OFFERS);
  guest.takeUntil(MessageType.ALL_OFFERS_DELIVERED);
  const { instanceId } = machine.nics[0]!;
  const { channels } = machine.vmbus.inspect();
  return { machine, guest, nic: channels.find((one) => one.instanceId === instanceId)!.id };
}

function say(guest: Guest, ...message: number[]): void {
  guest.post(unhex(words(...message)));
}

/** Share four pages of the NIC's; the rings, if it is opened with them. */
function share(guest: Guest, nic: number): void {
  const pfns = [0, 1, 2, 3].flatMap((i) => [PFN + i, 0]);
  say(guest, MessageType.GPADL_HEADER, 0, nic, GPADL, 40 + 0x10000, 4 * 4096, 0, ...pfns);
  guest.takeUntil(MessageType.GPADL_CREATED);
}

function open(guest: Guest, nic: number): void {
  say(guest, MessageType.OPEN_CHANNEL, 0, nic, 1, GPADL, 0, 2, ...Array<number>(30).fill(0));
  guest.takeUntil(MessageType.OPEN_CHANNEL_RESULT);
}

/** The host's next message of a type says that it has failed: its last word. */
function changeAnswer(machine: SimulatedMachine, type: number, at: number): void {
  machine.partition.faults.message = (_vp, _sint, _type, payload) => {
    if (payload[0] !== type) return undefined;
    const changed = payload.slice();
    changed.fill(type === MessageType.VERSION_RESPONSE ? 0 : 0xff, at, at + 4);
    return { payload: changed };
  };
}

/** The host takes no messages of the guest any more: each is refused for good. */
function refuseAll(machine: SimulatedMachine): void {
  machine.partition.faults.hypercall = (code) =>
    code === HvCall.POST_MESSAGE ? HvStatus.ACCESS_DENIED : undefined;
}

doing('UNLOAD: a guest that was told that it is not connected, and one that was not', () => {
  const text = 'unload error: no UNLOAD was sent: the host believes that the guest is connected';
  for (const misled of [false, true]) {
    const machine = makeMachine({});
    if (misled) changeAnswer(machine, MessageType.VERSION_RESPONSE, 8);
    const guest = new Guest(machine.bootProcessor);
    guest.start();
    assert.is(guest.connect(VmbusVersion.V4_0), !misled);
    guest.stop();
    const [first] = audit(machine);
    const why = ' (its VERSION_RESPONSE did not come as it was sent)';
    assert.is(first, misled ? `${text}${why}` : text);
  }
});

doing('UNLOAD: one that the host refuses for good', () => {
  const { machine, guest } = offered();
  refuseAll(machine);
  assert.throws(() => guest.post(MessageType.UNLOAD));
  guest.stop();
  assert.is(
    audit(machine)[0],
    'unload error: the host has refused UNLOAD, and believes that the guest is connected',
  );
});

doing('channels: one that was taken away, where nothing that would release it is taken', () => {
  for (const refused of [false, true]) {
    const { machine, guest, nic } = offered();
    machine.vmbus.rescind(machine.nics[0]!);
    guest.takeUntil(MessageType.RESCIND_CHANNEL_OFFER);
    if (refused) {
      refuseAll(machine);
      assert.throws(() => say(guest, MessageType.RELID_RELEASED, 0, nic));
    }
    const found = audit(machine).filter((text) => text.includes(`channel ${nic} {`));
    const text = `channel ${nic} {${machine.nics[0]!.instanceId}} is revoked`;
    const info = `channels info: ${text}: the host has refused what would release it`;
    assert.equal(found, [refused ? info : `channels error: ${text}`]);
  }
});

doing('freed: memory that the guest was told the host has not', () => {
  for (const misled of [false, true]) {
    const { machine, guest, nic } = offered();
    const freed = new FreedMemory(machine);
    const allocator = freed.watch({ allocate: () => undefined, free: () => undefined });
    if (misled) changeAnswer(machine, MessageType.GPADL_CREATED, 16);
    share(guest, nic);
    allocator.free(GUEST_PAGES.spare, 4096, 'rings');
    // Beside it, and what is given back after the teardown, nobody minds
    allocator.free(GUEST_PAGES.spare + 4 * 4096, 4096, 'rings');
    const text = /^rings was freed while the host could write to the GPADL 0x77 of channel /;
    const [found, ...others] = freed.take();
    assert.equal(others, []);
    assert.match(found!.text, text);
    assert.is(found!.severity, misled ? 'info' : 'error');
    assert.is(/\(GPADL_CREATED did not come as it was sent\)$/.test(found!.text), misled);
    say(guest, MessageType.GPADL_TEARDOWN, 0, nic, GPADL);
    guest.takeUntil(MessageType.GPADL_TORNDOWN);
    allocator.free(GUEST_PAGES.spare, 4096, 'rings');
    assert.equal(freed.take(), []);
  }
});

doing(
  'omissions: what UNLOAD ended, whose answer was changed, or where messages are refused',
  () => {
    const left = `was left out for channel`;
    for (const how of ['forgotten', 'misled', 'refused'] as const) {
      const { machine, guest, nic } = offered();
      share(guest, nic);
      if (how === 'misled') changeAnswer(machine, MessageType.OPEN_CHANNEL_RESULT, 16);
      open(guest, nic);
      machine.partition.faults.message = undefined;
      if (how === 'refused') {
        refuseAll(machine);
        assert.throws(() => say(guest, MessageType.CLOSE_CHANNEL, 0, nic));
        machine.partition.faults.hypercall = undefined;
      }
      guest.unload();
      guest.stop();
      const texts = audit(machine).filter((text) => text.startsWith('omissions '));
      const why = {
        forgotten: `omissions warning: CLOSE_CHANNEL ${left} ${nic}: UNLOAD closed it`,
        misled:
          `omissions info: CLOSE_CHANNEL ${left} ${nic}: UNLOAD closed it ` +
          '(OPEN_CHANNEL_RESULT did not come as it was sent)',
        refused:
          `omissions info: CLOSE_CHANNEL ${left} ${nic}: UNLOAD closed it ` +
          '(the host has refused messages)',
      }[how];
      assert.ok(texts.includes(why), texts.join('\n'));
      // The GPADL is the guest's own to tear down: it was told of it
      const gpadl = texts.filter((text) => /GPADL_TEARDOWN was left out/.test(text));
      assert.is(gpadl.length, 1);
      assert.match(gpadl[0]!, how === 'refused' ? /^omissions info: / : /^omissions warning: /);
      assert.match(gpadl[0]!, /: UNLOAD ended it/);
      // Of who stays, and of kernels, nobody expects it
      for (const kind of ['quiesce', 'kexec', 'crash'] as const)
        assert.not(audit(machine, { kind }).some((text) => text.startsWith('omissions')));
    }
  },
);

doing('omissions: a contact that another contact ended', () => {
  const machine = makeMachine({});
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V4_0));
  assert.ok(guest.connect(VmbusVersion.V3_0));
  guest.unload();
  guest.stop();
  assert.equal(audit(machine), [
    'omissions warning: UNLOAD was left out for the connection: a new contact ended it',
  ]);
});

doing('leftovers: messages that the host has not sent yet, and those that are taken', () => {
  const machine = makeMachine({ knobs: { offerPacing: 'one-by-one' } });
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V4_0));
  guest.post(MessageType.REQUEST_OFFERS);
  machine.run(TICKS_PER_MS);
  const waiting = /^leftovers warning: [1-9][0-9]* messages? of VMBus not delivered yet$/;
  assert.ok(audit(machine).some((text) => waiting.test(text)));
  guest.takeUntil(MessageType.ALL_OFFERS_DELIVERED);
  assert.not(audit(machine).some((text) => text.includes('not delivered yet')));
});

doing('leftovers: a pending flag for which nothing waits, and one that is answered', () => {
  for (const answered of [false, true]) {
    const machine = makeMachine({});
    const cpu = machine.bootProcessor;
    const guest = new Guest(cpu);
    guest.start();
    cpu.wrmsr(Msr.SINT0 + 5, 0x76n);
    machine.partition.postMessage(0, 5, HvMessageType.TIMER_EXPIRED, new Uint8Array(24));
    // A timer that finds the slot full waits by itself, and marks the message
    cpu.wrmsr(Msr.STIMER0_CONFIG, StimerConfig.AUTO_ENABLE | (5n << StimerConfig.SINT_SHIFT));
    cpu.wrmsr(Msr.STIMER0_COUNT, 1n);
    for (let i = 0; i < 3; i++) cpu.pause();
    const slot = GUEST_PAGES.simp + 5 * SynicMessage.size;
    new DataView(cpu.memory).setUint32(slot, 0, true);
    if (answered) {
      cpu.wrmsr(Msr.EOM, 0n);
      for (let i = 0; i < 3; i++) cpu.pause();
      new DataView(cpu.memory).setUint32(slot, 0, true);
    }
    guest.stop();
    const text = 'leftovers warning: the pending flag of SINT5 of VP 0 is set';
    assert.equal(audit(machine), answered ? [] : [text]);
  }
});

doing('completions: a packet that came last and is not completed yet', () => {
  const machine = makeMachine({});
  const driver = createDriver(machine.bootProcessor);
  driver.probe();
  driver.devices[0]!.open();
  for (let i = 0; i < 10; i++) {
    machine.bootProcessor.pause();
    driver.devices[0]!.poll();
  }
  const found = (): string[] => audit(machine).filter((text) => text.startsWith('completions'));
  assert.equal(found(), []);
  const status = [7, 0, 0, 0, 20, 0, 0, 0, 0xb, 0, 1, 0x40, 0, 0, 0, 0, 0, 0, 0, 0];
  assert.ok(machine.nics[0]!.injectRndis(Uint8Array.from(status)));
  assert.equal(found(), ['completions info: NIC 0: 1 received packet not completed yet']);
  for (let i = 0; i < 10; i++) {
    machine.bootProcessor.pause();
    driver.devices[0]!.poll();
  }
  machine.run(TICKS_PER_MS);
  assert.equal(found(), []);
});

doing.run();

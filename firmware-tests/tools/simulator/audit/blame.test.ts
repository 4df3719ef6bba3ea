// SPDX-License-Identifier: GPL-2.0-or-later

/** Whom the audit does not blame: for what the host did, the tool, or an earlier owner. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvMessageType, Msr } from '../../../../src/hyperv/protocol.ts';
import { MessageType, VMBUS_MESSAGE_TYPE, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { auditOs, osStart } from '../../../../tools/flow/os-findings.ts';
import { runLoadedOs } from '../../../../tools/os/loaded-os.ts';
import { makeMachine } from '../../../../tools/scenarios/rig.ts';
import { withReserved } from '../../../../tools/guests/guest-machine.ts';
import { auditBaseline } from '../../../../tools/simulator/audit/audit-baseline.ts';
import { auditHandoff, type AuditOptions } from '../../../../tools/simulator/audit/audit.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import { GUEST_PAGES, Guest } from '../../../rigs/audit-guest.ts';
import { unhex, words } from '../../../rigs/bytes.ts';
import { chain, errorChecks } from '../../../rigs/flow-rig.ts';

const host = suite('audit: what the host did');

/** Firmware with a debugger (kdnet) on the NIC, whose channel stays open behind UNLOAD. */
function debugged() {
  const machine = makeMachine({});
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V4_0));
  guest.post(MessageType.REQUEST_OFFERS);
  guest.takeUntil(MessageType.ALL_OFFERS_DELIVERED);
  const nic = machine.vmbus
    .inspect()
    .channels.find(({ instanceId }) => instanceId === machine.nics[0]!.instanceId)!.id;
  const first = GUEST_PAGES.spare / 4096;
  const pfns = [0, 1, 2, 3].flatMap((i) => [first + i, 0]);
  const gpadl = words(MessageType.GPADL_HEADER, 0, nic, 0x77, 40 + 0x10000, 4 * 4096, 0, ...pfns);
  guest.post(unhex(gpadl));
  guest.takeUntil(MessageType.GPADL_CREATED);
  guest.post(unhex(words(MessageType.OPEN_RESERVED_CHANNEL, 0, nic, 0, 6, 0x77, 2)));
  machine.run(TICKS_PER_MS);
  guest.unload();
  guest.stop();
  return machine;
}

host('H-H7 openvmm#882: a reserved channel with rings in reserved memory is a legal state', () => {
  const machine = debugged();
  const { memoryMap } = machine.bootProcessor;
  const reserved = { address: GUEST_PAGES.spare, length: 4 * 4096, type: 'reserved' } as const;
  const around = withReserved(memoryMap, [reserved]);
  const texts = (options: AuditOptions): string[] =>
    auditHandoff(machine, around, options).map(({ severity, text }) => `${severity}: ${text}`);
  const since = auditBaseline(machine);
  const { instanceId } = machine.nics[0]!;
  const channel = `channel 3 {${instanceId}} is open: reserved, in reserved memory`;
  const before = '(left by who had the machine before)';
  for (const kind of ['shutdown', 'kexec', 'crash'] as const) {
    // Whoever finds it so has done nothing; who has opened it keeps a device from all others
    const [found, rings, ...others] = texts({ kind, since });
    assert.is(found, `info: ${channel} ${before}`, kind);
    assert.match(rings!, /^info: the host may still write to the /, kind);
    assert.equal(others, []);
    const [left, shared, ...more] = texts({ kind });
    assert.is(left, `warning: ${channel}, and its device is not offered to who comes next`, kind);
    assert.match(shared!, /^warning: the host may still write to the rings/, kind);
    assert.equal(more, []);
  }
  // Who stays and serves a loader means it so
  assert.ok(texts({ kind: 'quiesce' }).every((text) => !/reserved, in.*offered/.test(text)));

  // In memory of the next owner it is no such thing
  const errors = auditHandoff(machine, memoryMap).filter(({ severity }) => severity === 'error');
  assert.is(errors.length, 2);

  // The OS is not offered the debugger's NIC, and does not miss it
  const start = osStart(machine);
  const os = runLoadedOs({ machine: machine.bootProcessor, memoryMap: around });
  assert.is(os.error, undefined);
  assert.equal(os.nics, []);
  assert.equal(auditOs(os, machine, start), []);
});

host(
  'a hypercall page that is locked when the identity goes is an error: nobody enables it',
  () => {
    const machine = makeMachine({});
    const guest = new Guest(machine.bootProcessor);
    guest.start();
    const page = BigInt(GUEST_PAGES.hypercall);
    machine.bootProcessor.wrmsr(Msr.HYPERCALL, page | 3n);
    machine.bootProcessor.wrmsr(Msr.GUEST_OS_ID, 0n);
    const findings = auditHandoff(machine, machine.bootProcessor.memoryMap);
    const found = findings.filter(({ check }) => check === 'hypercall');
    assert.equal(
      found.map(({ severity, text }) => `${severity}: ${text}`),
      ['error: HYPERCALL is disabled and locked: 0x200002: nobody can enable it any more'],
    );
  },
);

host('a message of a timer in the slot of SINT 2 is not the answer to UNLOAD', () => {
  const machine = makeMachine({ processors: 2 });
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V4_0));
  guest.unload();
  machine.partition.postMessage(0, 2, HvMessageType.TIMER_EXPIRED, new Uint8Array(24));
  guest.stop();
  const findings = auditHandoff(machine, machine.bootProcessor.memoryMap);
  assert.equal(
    findings.map(({ check, severity, text }) => `${check} ${severity}: ${text}`),
    ['leftovers warning: a message of type 0x80000010 is left in the slot of SINT2 of VP 0'],
  );
});

host.run();

const earlier = suite('audit: who had the machine before');

earlier('a kernel that dies before its contact is not blamed for the connection it found', () => {
  const { stages, ended } = chain({
    processors: 2,
    kernels: [
      { end: 'kexec', bugs: ['no-unload'] },
      { end: 'crash', panicAt: { exit: 0 } },
      { end: 'power-off' },
    ],
  });
  assert.is(ended, undefined);
  const [guilty, innocent, last] = stages;
  assert.ok(errorChecks(guilty!.findings).includes('unload'));
  // What the host writes into its memory is told where it happens
  assert.equal(errorChecks(innocent!.findings), ['late-writes']);
  const told = innocent!.findings.filter(({ text }) => /left by who had the machine/.test(text));
  assert.ok(told.some(({ check, severity }) => check === 'unload' && severity === 'info'));
  assert.is(last!.os?.error, undefined);
});

earlier('nor one that is started by a kernel on arm64, which cleans up nothing', () => {
  const machine = makeMachine({ processors: 3 }, { architecture: 'arm64' });
  const { stages, ended } = chain({
    machine,
    kernels: [
      { end: 'kexec' },
      { end: 'crash', panicAt: { exit: 3 } },
      { end: 'crash', panicAt: { exit: 1 } },
      { end: 'power-off' },
    ],
  });
  assert.is(ended, undefined);
  for (const { name, findings } of stages) assert.equal(errorChecks(findings), [], name);
  assert.is(stages.at(-1)!.os?.error, undefined);
});

earlier('nor for what timers of other processors sent meanwhile, however early it dies', () => {
  let messages = 0;
  for (const exit of [1, 6, 20, 33]) {
    const memory = new ArrayBuffer(32 << 20);
    const { stages, ended } = chain({
      machine: makeMachine({ host: 'server2016', processors: 3 }, { memory }),
      kernels: [
        { end: 'crash' },
        { end: 'crash' },
        { end: 'crash', panicAt: { exit } },
        { end: 'power-off' },
      ],
    });
    assert.is(ended, undefined);
    for (const { name, findings } of stages) assert.equal(errorChecks(findings), [], name);
    const told = stages.flatMap(({ findings }) => findings);
    const slots = told.filter(({ text }) => /0x80000010 is left/.test(text));
    messages += slots.length;
  }
  assert.ok(messages > 0, 'there are such messages');
});

earlier('a message of VMBus that lies on a processor which the guest never ran on', () => {
  const machine = makeMachine({ processors: 2 });
  const page = GUEST_PAGES.spare;
  const other = machine.processors[1]!;
  other.wrmsr(Msr.SIMP, BigInt(page) | 1n);
  other.wrmsr(Msr.SINT0 + 2, 0x75n);
  const answer = unhex(words(MessageType.UNLOAD_RESPONSE, 0));
  machine.partition.postMessage(1, 2, VMBUS_MESSAGE_TYPE, answer);
  const since = auditBaseline(machine);

  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V4_0));
  guest.unload();
  guest.stop();
  const { memoryMap } = machine.bootProcessor;
  const worse = (options: AuditOptions) =>
    auditHandoff(machine, memoryMap, options).filter(({ severity }) => severity !== 'info');
  for (const kind of ['shutdown', 'kexec', 'crash'] as const) {
    const found = worse({ since, kind }).filter(({ text }) => /slot/.test(text));
    assert.equal(found, [], kind);
  }
  assert.equal(worse({ since }), []);

  // Nobody was there before: then it is the guest's, and it is said of which processor
  const left = worse({}).filter(({ check }) => check === 'unload');
  assert.is(left.length, 1);
  assert.match(left[0]!.text, /SINT2 of VP 1: the answer to UNLOAD was not taken$/);
  assert.is(left[0]!.vp, 1);

  // Nor is it the earlier owner's once the guest has been there
  other.rdmsr(Msr.SIMP);
  assert.ok(worse({ since }).some(({ check, vp }) => check === 'unload' && vp === 1));
});

earlier.run();

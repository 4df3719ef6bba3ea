// SPDX-License-Identifier: GPL-2.0-or-later

/** Whom the audit does not blame: for what the host did, the tool, or an earlier owner. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvMessageType } from '../../../../src/hyperv/protocol.ts';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { auditOs, osStart } from '../../../../tools/flow/os-findings.ts';
import { runLoadedOs } from '../../../../tools/os/loaded-os.ts';
import { makeMachine } from '../../../../tools/scenarios/rig.ts';
import { withReserved } from '../../../../tools/guests/guest-machine.ts';
import { auditHandoff } from '../../../../tools/simulator/audit/audit.ts';
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
  for (const kind of ['shutdown', 'kexec', 'crash'] as const) {
    const findings = auditHandoff(machine, around, { kind });
    assert.is(findings.length, 2, kind);
    for (const { severity, text } of findings) assert.is(severity, 'info', `${kind}: ${text}`);
    assert.match(findings[0]!.text, /is open: reserved, in reserved memory$/);
  }

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

earlier.run();

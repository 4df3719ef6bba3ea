// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The audit on guests of a few lines: what passes, what each severity is, and the late-write trial
 * by itself.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDriver } from '../../../../src/index.ts';
import { Msr, Sint, StimerConfig } from '../../../../src/hyperv/protocol.ts';
import type { MemoryRange } from '../../../../src/machine.ts';
import { GpadlHeader, MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { runLoadedOs } from '../../../../tools/os/loaded-os.ts';
import { AUDIT_CHECKS } from '../../../../tools/simulator/audit/audit-findings.ts';
import { describeGrant } from '../../../../tools/simulator/audit/audit-pages.ts';
import { auditBaseline } from '../../../../tools/simulator/audit/audit-baseline.ts';
import { auditHandoff, type AuditOptions } from '../../../../tools/simulator/audit/audit.ts';
import { TICKS_PER_MS } from '../../../../tools/simulator/base/clock.ts';
import {
  MemoryPattern,
  auditPattern,
  writeLate,
} from '../../../../tools/simulator/audit/late-writes.ts';
import {
  SimulatedMachine,
  type SimulatedMachineOptions,
} from '../../../../tools/simulator/machine.ts';
import { Network, memoryFiles } from '../../../../tools/simulator/network/index.ts';
import {
  DEFAULT_PROFILE,
  profileNamed,
  withKnobs,
} from '../../../../tools/simulator/profiles/profiles.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import { unhex, words } from '../../../rigs/bytes.ts';
import { GUEST_PAGES, Guest } from '../../../rigs/audit-guest.ts';

const PAGE = 4096;

function createMachine(
  options: Partial<SimulatedMachineOptions> = {},
  knobs: Partial<HostKnobs> = {},
): SimulatedMachine {
  const network = new Network({ files: memoryFiles({}), bootFile: '' });
  return new SimulatedMachine({
    memory: new ArrayBuffer(4 * 2 ** 20),
    profile: withKnobs(profileNamed(DEFAULT_PROFILE)!, knobs),
    links: [network.link(0)],
    seed: 1,
    ...options,
  });
}

/** All findings as `check severity: text`. */
function audit(machine: SimulatedMachine, options?: AuditOptions): string[] {
  const findings = auditHandoff(machine, machine.bootProcessor.memoryMap, options);
  return findings.map(({ check, severity, text }) => `${check} ${severity}: ${text}`);
}

const passes = suite('audit: what passes');

passes('a machine that nobody has touched', () => {
  assert.equal(audit(createMachine()), []);
});

passes('firmware in the manner of mu_msvm where SCONTROL is 0 at reset: it is left on', () => {
  const machine = createMachine({}, { scontrolReset: 0 });
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V3_0));
  guest.unload();
  guest.stop();
  assert.equal(audit(machine), ['scontrol info: SCONTROL of VP 0 is on']);
});

passes('the same on a host whose SCONTROL is on from the start: nothing at all', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  guest.stop();
  assert.equal(audit(machine), []);
});

passes('ranges of one GPADL that meet in a page: no byte of it is shared twice', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V3_0));
  guest.post(MessageType.REQUEST_OFFERS);
  guest.takeUntil(MessageType.ALL_OFFERS_DELIVERED);
  const pfn = GUEST_PAGES.spare / PAGE;
  const share = (id: number, ...pieces: readonly (readonly [offset: number, length: number])[]) => {
    const shape = 0x10010 * pieces.length;
    const ranges = pieces.flatMap(([offset, length]) => [length, offset, pfn, 0]);
    guest.post(unhex(words(MessageType.GPADL_HEADER, 0, 1, id, shape, ...ranges)));
    guest.takeUntil(MessageType.GPADL_CREATED);
    return audit(machine).filter((text) => text.startsWith('freed'));
  };
  assert.equal(share(5, [0, 1024], [1024, 1024]), []);
  assert.equal(share(6, [2048, 1024]), [], 'other bytes');
  const [finding, ...others] = share(7, [1024, 8]);
  assert.match(finding!, /was shared as the GPADL 0x7 .* while the host had it as the GPADL 0x5/);
  assert.equal(others, []);
});

passes('the answer of a host that refuses the version must be taken, too', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  const contact = words(MessageType.INITIATE_CONTACT, 0, 0x0009_0009, 0, 0, 0, 0, 0, 0, 0);
  guest.post(unhex(contact));
  guest.wait();
  guest.stop();
  assert.equal(audit(machine), [
    'leftovers warning: a message of type 0x1 is left in the slot of SINT2 of VP 0',
  ]);
});

passes('P-B5 FreeBSD: an answer to UNLOAD that finds the SINT masked was not taken', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V3_0));
  guest.post(MessageType.UNLOAD);
  guest.stop();
  machine.run(TICKS_PER_MS);
  assert.equal(audit(machine), [
    'unload error: the answer to UNLOAD was lost: it was not waited for',
  ]);
  // A later connection that ends well makes up for it
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V3_0));
  guest.unload();
  guest.stop();
  assert.equal(audit(machine), []);

  // A machine that is reset owes nobody anything, and who comes later does not answer for it
  const since = auditBaseline(machine);
  assert.not(audit(machine, { since }).some((text) => text.startsWith('unload')));
  machine.reset();
  assert.equal(audit(machine), []);
});

passes('a machine that is reset in a loop keeps the ledger of its last two owners', () => {
  const machine = createMachine();
  const { grants } = machine.partition;
  const kept: number[] = [];
  for (let round = 0; round < 4; round++) {
    const driver = createDriver(machine.bootSeam);
    driver.probe();
    driver.devices[0]!.open();
    driver.remove();
    assert.equal(audit(machine), []);
    kept.push(grants.history().length);
    machine.reset();
  }
  const [one = 0] = kept;
  assert.ok(one > 0);
  assert.equal(kept, [one, 2 * one, 2 * one, 2 * one]);
});

passes('P-M2 mu_msvm: SCONTROL off where it was on is told by what comes next', () => {
  const machine = createMachine({ processors: 2 });
  machine.processors[1]!.wrmsr(Msr.SCONTROL, 0n);
  const text = 'SCONTROL of VP 1 is off, and was on at reset';
  assert.equal(audit(machine), [
    `scontrol warning: ${text}: a guest that never writes it waits for ever`,
  ]);
  assert.equal(audit(machine, { nextSetsScontrol: false }), [
    `scontrol error: ${text}: who comes next never writes it`,
  ]);
});

passes('the audit has no effect on the machine', () => {
  const machine = createMachine();
  new Guest(machine.bootProcessor).start();
  const before = machine.partition.ram.bytes.slice();
  const events: string[] = [];
  machine.events.listen(({ kind }) => void events.push(kind));
  const now = machine.clock.now;
  audit(machine);
  audit(machine, { kind: 'quiesce' });
  assert.equal(events, []);
  assert.is(machine.clock.now, now);
  assert.ok(Buffer.compare(before, machine.partition.ram.bytes) === 0);
});

passes.run();

const severities = suite('audit: severities');

severities('a guest that does not stop at all', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  assert.ok(guest.connect(VmbusVersion.V0_13));
  assert.equal(audit(machine), [
    'unload error: no UNLOAD was sent: the host believes that the guest is connected',
    'shared-pages error: the host may still write to the interrupt page',
    'shared-pages error: the host may still write to the monitor page, parent to child',
    'shared-pages error: the host may still write to the monitor page, child to parent',
    'hypercall error: HYPERCALL is enabled: 0x200001',
    'synic-pages error: SIMP of VP 0 is enabled: 0x201001',
    'synic-pages error: SIEFP of VP 0 is enabled: 0x202001',
    'sints error: SINT2 of VP 0 is 0x75: not masked',
    'hypercall error: GUEST_OS_ID is 0x8100000000000001: the guest has not given up its identity',
  ]);
});

severities(
  'L2 Linux: what is reserved is a warning, since who comes next writes every register',
  () => {
    const machine = createMachine();
    const guest = new Guest(machine.bootProcessor);
    guest.start();
    guest.connect(VmbusVersion.V0_13);
    const memoryMap: MemoryRange[] = [
      { address: 0x100000, length: 0x100000, type: 'usable' },
      { address: 0x200000, length: 0x100000, type: 'reserved' },
      { address: 0x300000, length: 0x100000, type: 'usable' },
    ];
    for (const { check, severity, pages } of auditHandoff(machine, memoryMap)) {
      if (pages === undefined) continue;
      assert.is(severity, 'warning', check);
      assert.is(pages.reserved, true);
    }

    // Not so a crash, whose memory is the dump, nor firmware that stays: SIMP tells who owns it
    for (const kind of ['crash', 'quiesce'] as const)
      for (const finding of auditHandoff(machine, memoryMap, { kind }))
        if (/^(SIMP|SIEFP|HYPERCALL) /.test(finding.text))
          assert.is(finding.severity, 'error', `${kind} ${finding.text}`);

    // Half a reserved page is none, and an image in it is not safe either
    const half = memoryMap.map((range) => ({ ...range }));
    half[2] = { address: GUEST_PAGES.monitorIn + 0x800, length: 0x800, type: 'usable' };
    const halved = auditHandoff(machine, half).find(
      ({ pages }) => pages?.purpose === 'monitor page, parent to child',
    );
    assert.is(halved?.severity, 'error');
    const inUse = [{ address: GUEST_PAGES.interrupt + 0xfff, length: 1 }];
    const used = auditHandoff(machine, memoryMap, { inUse }).find(
      ({ pages }) => pages?.purpose === 'interrupt page',
    );
    assert.is(used?.severity, 'error');
    assert.is(used?.pages?.reserved, false);
  },
);

severities('a hypercall page that is locked is an error, reserved or not', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  machine.bootProcessor.wrmsr(Msr.HYPERCALL, BigInt(GUEST_PAGES.hypercall) | 3n);
  const memoryMap: MemoryRange[] = [{ address: 0, length: 0x400000, type: 'reserved' }];
  const locked = auditHandoff(machine, memoryMap).find(({ check }) => check === 'hypercall');
  assert.equal([locked?.severity, locked?.text], ['error', 'HYPERCALL is enabled: 0x200003']);
});

severities('L2 Linux: stale addresses hurt nobody; Linux clears SIMP and SIEFP alone', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  const { bootProcessor } = machine;
  guest.stop();
  bootProcessor.wrmsr(Msr.SIMP, 0x300000n);
  bootProcessor.wrmsr(Msr.SIEFP, 0x301000n);
  bootProcessor.wrmsr(Msr.REFERENCE_TSC, 0x302000n);
  bootProcessor.wrmsr(Msr.VP_ASSIST_PAGE, 0x303000n);
  assert.equal(audit(machine).sort(), [
    'clock-pages info: REFERENCE_TSC is disabled, but holds an address: 0x302000',
    'clock-pages info: VP_ASSIST_PAGE of VP 0 is disabled, but holds an address: 0x303000',
    'synic-pages warning: SIEFP of VP 0 is disabled, but holds an address: 0x301000',
    'synic-pages warning: SIMP of VP 0 is disabled, but holds an address: 0x300000',
  ]);
});

severities('SINTs: unmasked is an error, a masked one with stale bits is told', () => {
  const machine = createMachine();
  const { bootProcessor } = machine;
  bootProcessor.wrmsr(Msr.SINT0 + 3, 0x31n);
  bootProcessor.wrmsr(Msr.SINT0 + 4, Sint.MASKED | 0x31n);
  assert.equal(audit(machine), [
    'sints error: SINT3 of VP 0 is 0x31: not masked',
    'sints info: SINT4 of VP 0 is 0x10031: masked, with a stale vector or AutoEOI',
  ]);
});

severities('every virtual processor is looked at', () => {
  const machine = createMachine({ processors: 3 });
  machine.processors[2]!.wrmsr(Msr.SIMP, 0x300001n);
  machine.processors[1]!.wrmsr(Msr.STIMER0_CONFIG, StimerConfig.AUTO_ENABLE | 0x20000n);
  machine.processors[1]!.wrmsr(Msr.STIMER0_COUNT, 10_000_000_000n);
  assert.equal(audit(machine), [
    'synic-pages error: SIMP of VP 2 is enabled: 0x300001',
    'timers error: timer 0 of VP 1 is enabled (CONFIG 0x20009)',
  ]);
});

severities('a page outside of RAM hurts nobody, but the register is an error', () => {
  const machine = createMachine();
  machine.bootProcessor.wrmsr(Msr.SIEFP, 0x80000001n);
  const [finding, ...rest] = auditHandoff(machine, machine.bootProcessor.memoryMap);
  assert.equal(rest, []);
  assert.is(finding?.text, 'SIEFP of VP 0 is enabled: 0x80000001');
  assert.is(finding?.pages, undefined);
});

severities.run();

const messages = suite('audit: messages and events');

messages('the answer to UNLOAD is left in its slot', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  guest.connect(VmbusVersion.V3_0);
  guest.post(MessageType.UNLOAD);
  guest.wait();
  guest.stop();
  assert.equal(audit(machine), [
    'unload error: a message of type 0x1 is left in the slot of SINT2 of VP 0: ' +
      'the answer to UNLOAD was not taken',
  ]);
});

messages('UNLOAD is sent and nobody waits for the answer', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  guest.connect(VmbusVersion.V3_0);
  guest.post(MessageType.UNLOAD);
  guest.stop();
  const found = audit(machine);
  assert.ok(
    found.includes(
      'unload error: no UNLOAD was sent: the host believes that the guest is connected',
    ),
  );
  assert.ok(
    found.includes(
      'unload error: the host has not read 1 message of the guest: it will act after the handoff',
    ),
  );

  // A host that takes its time has read it, and still holds everything
  const slow = createMachine({}, { unloadAnswer: 1000 * TICKS_PER_MS });
  const hasty = new Guest(slow.bootProcessor);
  hasty.start();
  hasty.connect(VmbusVersion.V0_13);
  hasty.post(MessageType.UNLOAD);
  slow.run(10 * TICKS_PER_MS);
  hasty.stop();
  assert.equal(audit(slow).slice(0, 2), [
    'unload error: UNLOAD was sent but not answered',
    'shared-pages error: the host may still write to the interrupt page',
  ]);
});

messages('a contact that the host has not even read', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  guest.post(MessageType.REQUEST_OFFERS);
  guest.stop();
  assert.equal(audit(machine), [
    'unload error: the host has not read 1 message of the guest: it will act after the handoff',
  ]);
});

messages('a GPADL that was begun and never completed', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  guest.connect(VmbusVersion.V3_0);
  guest.post(MessageType.REQUEST_OFFERS);
  guest.takeUntil(MessageType.ALL_OFFERS_DELIVERED);

  // Two pages are announced, one is there
  const header = new DataView(new ArrayBuffer(GpadlHeader.at.range + 16));
  header.setUint32(0, MessageType.GPADL_HEADER, true);
  header.setUint32(GpadlHeader.at.channel, 1, true);
  header.setUint32(GpadlHeader.at.gpadl, 0x77, true);
  header.setUint16(GpadlHeader.at.rangeLength, 24, true);
  header.setUint16(GpadlHeader.at.rangeCount, 1, true);
  header.setUint32(GpadlHeader.at.range, 2 * PAGE, true);
  header.setUint32(GpadlHeader.at.range + 8, 0x300, true);
  guest.post(new Uint8Array(header.buffer));
  machine.run(TICKS_PER_MS);
  const text = 'GPADL 0x77 of channel 1 was begun and never completed';
  assert.ok(audit(machine).includes(`channels error: ${text}`));

  // UNLOAD ends it
  guest.unload();
  guest.stop();
  assert.equal(audit(machine), []);
});

messages('what is left in other slots, behind them, and in the event page', () => {
  const machine = createMachine();
  const { bootProcessor, partition } = machine;
  const guest = new Guest(bootProcessor);
  guest.start();
  bootProcessor.wrmsr(Msr.SINT0 + 5, 0x31n);
  for (let i = 0; i < 3; i++) partition.postMessage(0, 5, 0x80000010, new Uint8Array(8));
  partition.signalEvent(0, 5, 77);
  guest.stop();
  assert.equal(audit(machine), [
    'leftovers warning: 2 messages behind SINT5 of VP 0',
    'leftovers warning: event flag 77 of SINT5 of VP 0 is set',
    'leftovers warning: a message of type 0x80000010 is left in the slot of SINT5 of VP 0',
  ]);
});

messages.run();

const quiesce = suite('audit: quiesce');

function quiesced() {
  const machine = createMachine();
  const driver = createDriver(machine.bootProcessor);
  driver.probe();
  driver.devices[0]!.open();
  // What has arrived by now is completed
  for (let i = 0; i < 10; i++) {
    machine.bootProcessor.pause();
    driver.devices[0]!.poll();
  }
  machine.run(TICKS_PER_MS);
  driver.quiesce();
  return { machine, driver };
}

quiesce('the connection stays, registers and overlay pages do not', () => {
  const { machine } = quiesced();
  const findings = auditHandoff(machine, machine.bootProcessor.memoryMap, { kind: 'quiesce' });
  assert.equal(
    findings.filter(({ severity }) => severity !== 'info'),
    [],
  );
  const told = new Set(findings.map(({ check }) => check));
  assert.equal([...told].sort(), ['channels', 'shared-pages', 'unload']);
  const receive = findings.find(({ pages }) => /^receive buffer/.test(pages?.purpose ?? ''));
  assert.is(receive?.pages?.pages.length, 64);
});

quiesce('as a shutdown the same is full of errors', () => {
  const { machine } = quiesced();
  const errors = auditHandoff(machine, machine.bootProcessor.memoryMap)
    .filter(({ severity }) => severity === 'error')
    .map(({ check }) => check);
  for (const check of ['unload', 'channels', 'shared-pages'])
    assert.ok(errors.includes(check as 'unload'));
});

quiesce('a buffer of many pages is safe only if all of them are reserved', () => {
  const { machine } = quiesced();
  const receiveBuffer = (map: readonly MemoryRange[]) =>
    auditHandoff(machine, map).find(({ pages }) => /^receive buffer/.test(pages?.purpose ?? ''))!;
  const { pages } = receiveBuffer([]).pages!;
  assert.is(receiveBuffer([]).severity, 'warning');
  for (const page of [pages[0]!, pages[31]!, pages[63]!]) {
    const { severity, pages } = receiveBuffer([{ address: page, length: 1, type: 'usable' }]);
    assert.is(severity, 'error');
    assert.is(pages?.reserved, false);
  }
});

quiesce('SCONTROL must be on, and SIMP off', () => {
  const { machine } = quiesced();
  machine.bootProcessor.wrmsr(Msr.SCONTROL, 0n);
  machine.bootProcessor.wrmsr(Msr.SIMP, 0x300001n);
  const errors = audit(machine, { kind: 'quiesce' }).filter((text) => / error: /.test(text));
  assert.equal(errors, [
    'synic-pages error: SIMP of VP 0 is enabled: 0x300001',
    'scontrol error: SCONTROL of VP 0 is off: Windows Server 2016 then waits for ever',
  ]);
});

quiesce('an OS on the memory that is left takes over, and nothing of it is hurt', () => {
  const { machine, driver } = quiesced();
  const memoryMap = driver.memoryMap();
  const pattern = new MemoryPattern(machine.partition.ram, memoryMap);
  const written = writeLate(machine);
  assert.ok(written.length > 0, 'the host still has something to write to');
  const os = runLoadedOs({
    machine: machine.bootProcessor,
    memoryMap,
    onAllocate: (address, length) => pattern.exclude(address, length),
  });
  assert.is(os.error, undefined);
  assert.ok(os.vmbusVersion >= VmbusVersion.V5_0);
  assert.equal(pattern.damaged(), []);
  // Contacting the host has ended what the firmware had
  assert.equal(machine.partition.grants.live(), []);
});

quiesce.run();

const late = suite('audit: the late-write trial');

late('the pattern covers the usable pages, whole ones only', () => {
  const { partition } = createMachine();
  const pattern = new MemoryPattern(partition.ram, [
    { address: 0x100800, length: 0x2800, type: 'usable' },
    { address: 0x110000, length: 0x10000, type: 'reserved' },
  ]);
  assert.is(pattern.size, 2);
  assert.is(partition.ram.bytes[0x100fff], 0);
  assert.is.not(partition.ram.view.getUint32(0x101000, true), 0);
  assert.is.not(
    partition.ram.view.getUint32(0x101000, true),
    partition.ram.view.getUint32(0x102000, true),
  );
  assert.equal(pattern.damaged(), []);
});

late('each changed byte is counted, and what is excluded is not looked at', () => {
  const { partition } = createMachine();
  const pattern = new MemoryPattern(partition.ram, [
    { address: 0x100000, length: 0x10000, type: 'usable' },
  ]);
  pattern.keep(0x108000, 0x1001);
  partition.ram.bytes[0x103004]! ^= 1;
  partition.ram.bytes[0x103005]! ^= 0x80;
  partition.ram.bytes[0x104fff]! ^= 0xff;
  partition.ram.bytes[0x109fff]! ^= 4;
  assert.equal(pattern.damaged(), [
    { address: 0x103000, bytes: 2 },
    { address: 0x104000, bytes: 1 },
    { address: 0x109000, bytes: 1 },
  ]);
  pattern.exclude(0x104fff, 1);
  pattern.exclude(0x109000, 1);
  assert.equal(pattern.damaged(), [{ address: 0x103000, bytes: 2 }]);
});

late('memory that is in use is watched as it is: the loaded image', () => {
  const machine = createMachine();
  const guest = new Guest(machine.bootProcessor);
  guest.start();
  guest.connect(VmbusVersion.V0_13);
  const pattern = new MemoryPattern(machine.partition.ram, []);
  pattern.keep(GUEST_PAGES.interrupt, PAGE);
  assert.equal(pattern.damaged(), []);
  const written = writeLate(machine);
  assert.ok(written.some(({ purpose }) => purpose === 'interrupt page'));
  assert.equal(pattern.damaged(), [{ address: GUEST_PAGES.interrupt, bytes: PAGE }]);
});

late('damage without a grant is told as such, and told once', () => {
  const machine = createMachine();
  const pattern = new MemoryPattern(machine.partition.ram, [
    { address: 0x100000, length: 0x10000, type: 'usable' },
  ]);
  machine.partition.ram.bytes.fill(0, 0x102000, 0x104000);
  const describe = (grant: Parameters<typeof describeGrant>[0]) => describeGrant(grant, [], []);
  const [finding, ...rest] = auditPattern(pattern, 'while the OS ran', [], describe);
  assert.equal(rest, []);
  assert.is(finding?.check, 'late-writes');
  assert.match(
    finding!.text,
    /^\d+ bytes of 2 pages changed while the OS ran, and no grant covers 0x102000, 0x103000$/,
  );
  assert.equal(auditPattern(pattern, 'later', [], describe), []);
});

late('the host writes only to what it may write to', () => {
  const machine = createMachine();
  const { bytes } = machine.partition.ram;
  const before = bytes.slice();
  assert.equal(writeLate(machine), []);
  assert.ok(Buffer.compare(before, bytes) === 0);
});

late.run();

const list = suite('audit: the list');

list('the checks are numbered as in the list that they come from', () => {
  const numbers = Object.values(AUDIT_CHECKS).map(({ number }) => number);
  assert.equal(
    numbers.slice(0, 15),
    Array.from({ length: 15 }, (_, i) => i + 1),
  );
});

list.run();

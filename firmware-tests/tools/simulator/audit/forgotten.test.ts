// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A firmware that forgets any one revocation is caught: for each of them the exact finding, and
 * whether the memory of the next owner is damaged.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Msr, StimerConfig } from '../../../../src/hyperv/protocol.ts';
import { PAGE_SIZE } from '../../../../src/machine.ts';
import { MessageType } from '../../../../src/vmbus/protocol.ts';
import type { Finding, Severity } from '../../../../tools/simulator/audit/audit-findings.ts';
import { badFirmware, granted, type Manners } from '../../../rigs/audit-rig.ts';
import { complaints, runBoot, type Boot, type Setting } from '../../../rigs/boot-rig.ts';

const NO_SECOND_BOOT = { secondBoot: false };

function boot(manners: Manners, setting: Setting = {}): Boot {
  return runBoot({ firmware: badFirmware(manners), flow: NO_SECOND_BOOT, ...setting });
}

/** The finding of a check about pages for a purpose. */
function about({ report }: Boot, check: string, purpose: RegExp): Finding {
  const found = report.findings.filter(
    (finding) => finding.check === check && purpose.test(finding.pages?.purpose ?? ''),
  );
  assert.is(found.length, 1, `${check} ${purpose}: ${complaints(report).join('\n')}`);
  return found[0]!;
}

/** What is forgotten, which page it leaves shared, and how the finding tells of that. */
interface Forgotten {
  readonly name: string;
  readonly manners: Manners;
  readonly setting?: Setting;
  readonly check: Finding['check'];
  readonly text: RegExp;
  readonly purpose: RegExp;
  readonly pages: number;
  readonly sharedBy: string;
  readonly revokedWith: string;
  /** Severity where the memory map reserves the page. */
  readonly reserved: Severity;
}

const forgetUnload = (type: number): boolean => type === MessageType.UNLOAD;
const GPADL = {
  check: 'channels',
  sharedBy: 'GPADL_HEADER',
  revokedWith: 'GPADL_TEARDOWN or UNLOAD',
  reserved: 'warning',
} as const;
const UNLOAD = {
  manners: { messages: forgetUnload },
  check: 'shared-pages',
  pages: 1,
  sharedBy: 'INITIATE_CONTACT',
  revokedWith: 'UNLOAD',
  reserved: 'warning',
} as const;

const FORGOTTEN: readonly Forgotten[] = [
  {
    ...UNLOAD,
    name: 'UNLOAD: the interrupt page',
    text: /^the host may still write to the interrupt page$/,
    purpose: /^interrupt page$/,
  },
  {
    ...UNLOAD,
    name: 'UNLOAD: the monitor page that the host writes',
    text: /^the host may still write to the monitor page, parent to child$/,
    purpose: /^monitor page, parent to child$/,
  },
  {
    ...UNLOAD,
    name: 'UNLOAD: the monitor page that the guest writes',
    text: /^the host may still write to the monitor page, child to parent$/,
    purpose: /^monitor page, child to parent$/,
  },
  {
    ...GPADL,
    name: 'GPADL_TEARDOWN of the ring, and UNLOAD',
    manners: {
      messages: (type, nth) =>
        forgetUnload(type) || (type === MessageType.GPADL_TEARDOWN && nth === 0),
    },
    text: /^the host may still write to the rings of channel 3 \(GPADL 0x18ae0004\)$/,
    purpose: /^rings of channel 3/,
    pages: 34,
  },
  {
    ...GPADL,
    name: 'GPADL_TEARDOWN of the receive buffer, and UNLOAD',
    manners: {
      messages: (type, nth) =>
        forgetUnload(type) || (type === MessageType.GPADL_TEARDOWN && nth === 1),
    },
    text: /^the host may still write to the receive buffer \(GPADL 0x18ae0003\)$/,
    purpose: /^receive buffer/,
    pages: 64,
  },
  {
    name: 'SIMP',
    manners: { registers: [Msr.SIMP] },
    check: 'synic-pages',
    text: /^SIMP of VP 0 is enabled: 0x[0-9a-f]+001$/,
    purpose: /^message page of VP 0$/,
    pages: 1,
    sharedBy: 'wrmsr SIMP on VP 0',
    revokedWith: 'wrmsr SIMP with bit 0 clear on VP 0',
    reserved: 'warning',
  },
  {
    name: 'SIEFP',
    manners: { registers: [Msr.SIEFP] },
    check: 'synic-pages',
    text: /^SIEFP of VP 0 is enabled: 0x[0-9a-f]+001$/,
    purpose: /^event page of VP 0$/,
    pages: 1,
    sharedBy: 'wrmsr SIEFP on VP 0',
    revokedWith: 'wrmsr SIEFP with bit 0 clear on VP 0',
    reserved: 'warning',
  },
  {
    name: 'HYPERCALL, on a host where the identity does not disable it',
    manners: { registers: [Msr.HYPERCALL] },
    setting: { host: 'openvmm' },
    check: 'hypercall',
    text: /^HYPERCALL is enabled: 0x[0-9a-f]+001$/,
    purpose: /^hypercall page$/,
    pages: 1,
    sharedBy: 'wrmsr HYPERCALL on VP 0',
    revokedWith: 'wrmsr HYPERCALL with bit 0 clear on any VP',
    reserved: 'warning',
  },
  {
    name: 'the reference TSC page',
    manners: { leave: (machine) => machine.wrmsr(Msr.REFERENCE_TSC, 0x300001n) },
    check: 'clock-pages',
    text: /^REFERENCE_TSC is enabled: 0x300001$/,
    purpose: /^reference TSC page$/,
    pages: 1,
    sharedBy: 'wrmsr REFERENCE_TSC on VP 0',
    revokedWith: 'wrmsr REFERENCE_TSC with bit 0 clear on any VP',
    reserved: 'warning',
  },
  {
    name: 'the VP assist page',
    manners: { leave: (machine) => machine.wrmsr(Msr.VP_ASSIST_PAGE, 0x301001n) },
    check: 'clock-pages',
    text: /^VP_ASSIST_PAGE of VP 0 is enabled: 0x301001$/,
    purpose: /^VP assist page of VP 0$/,
    pages: 1,
    sharedBy: 'wrmsr VP_ASSIST_PAGE on VP 0',
    revokedWith: 'wrmsr VP_ASSIST_PAGE with bit 0 clear on VP 0',
    reserved: 'warning',
  },
];

const pages = suite('audit: forgotten pages');

for (const forgotten of FORGOTTEN) {
  const { name, manners, setting, check, purpose } = forgotten;
  pages(`${name}: found, and the next owner is hurt`, () => {
    const result = boot({ ...manners, lies: true }, setting);
    assert.is.not(result.report.verdict, 'clean');
    const { severity, text, pages } = about(result, check, purpose);
    assert.is(severity, 'error');
    assert.match(text, forgotten.text);
    assert.is(pages?.pages.length, forgotten.pages);
    assert.is(pages?.length, forgotten.pages * 4096);
    assert.is(pages?.sharedBy, forgotten.sharedBy);
    assert.is(pages?.revokedWith, forgotten.revokedWith);
    assert.is(pages?.reserved, false);
    // It was shared while the firmware ran, not before and not by whoever came after it
    assert.ok(pages!.sharedAt > 0 && pages!.sharedAt <= result.report.handoffAt);

    // The late writes hit just these pages
    const damage = about(result, 'late-writes', purpose);
    assert.is(damage.severity, 'error');
    assert.match(damage.text, /^\d+ bytes of \d+ pages? changed by late writes of the host: /);
    for (const page of damage.pages!.pages) assert.ok(pages!.pages.includes(page));
  });

  pages(`${name}: found, and nobody is hurt where it is reserved`, () => {
    let reserves = (): readonly number[] => [];
    const result = boot(
      { ...manners, reserves: () => reserves() },
      { ...setting, prepare: (machine) => void (reserves = () => granted(machine, purpose)) },
    );
    const { severity, pages } = about(result, check, purpose);
    assert.is(severity, forgotten.reserved);
    assert.is(pages?.reserved, true);
    const damage = result.report.findings.filter((finding) => finding.check === 'late-writes');
    assert.equal(damage, []);
    // UNLOAD is an error all the same, and so is a page that was given back before it was reserved
    assert.is(result.report.verdict, manners.leave === undefined ? 'findings' : 'clean');
  });
}

pages.run();

const registers = suite('audit: forgotten registers');

registers('SINT2 is not masked', () => {
  const { report } = boot({ registers: [Msr.SINT0 + 2] });
  assert.is(report.verdict, 'findings');
  assert.equal(complaints(report), ['sints error: SINT2 of VP 0 is 0x20075: not masked']);
});

registers('GUEST_OS_ID is left', () => {
  const { report } = boot({ registers: [Msr.GUEST_OS_ID] });
  assert.is(report.verdict, 'findings');
  assert.equal(complaints(report), [
    'hypercall error: GUEST_OS_ID is 0x98ae000000000000: the guest has not given up its identity',
  ]);
});

registers('SCONTROL left on is as it was at reset: nothing is told', () => {
  const { report } = boot({ registers: [Msr.SCONTROL] });
  assert.is(report.verdict, 'clean');
  assert.equal(complaints(report), []);
  assert.equal(
    report.findings.filter(({ check }) => check === 'scontrol'),
    [],
  );
});

registers('HYPERCALL alone, where giving up the identity disables it', () => {
  const { report } = boot({ registers: [Msr.HYPERCALL] });
  assert.equal(complaints(report), []);
});

registers('a synthetic timer is left enabled', () => {
  const config = StimerConfig.AUTO_ENABLE | (2n << StimerConfig.SINT_SHIFT);
  const { report } = boot({
    leave: (machine) => {
      machine.wrmsr(Msr.STIMER0_CONFIG, config);
      machine.wrmsr(Msr.STIMER0_COUNT, 10_000_000_000n);
    },
  });
  assert.is(report.verdict, 'findings');
  assert.equal(complaints(report), ['timers error: timer 0 of VP 0 is enabled (CONFIG 0x20009)']);
});

registers('a timer that is due, and whose message waits', () => {
  const { report } = boot({
    leave: (machine) => {
      const sint = 2n << StimerConfig.SINT_SHIFT;
      machine.wrmsr(Msr.STIMER0_CONFIG + 2, sint | StimerConfig.AUTO_ENABLE);
      machine.wrmsr(Msr.STIMER0_COUNT + 2, 1n);
      machine.pause();
    },
  });
  assert.is(report.verdict, 'findings');
  assert.equal(complaints(report), [
    'timers error: timer 1 of VP 0 is due: its message waits for room (CONFIG 0x20009)',
  ]);
});

registers.run();

const connection = suite('audit: forgotten messages');

connection('UNLOAD: the host believes that the guest is connected', () => {
  const { report } = boot({ messages: forgetUnload });
  const [first] = report.findings;
  assert.equal(first, {
    check: 'unload',
    severity: 'error',
    text: 'no UNLOAD was sent: the host believes that the guest is connected',
  });
});

connection('CLOSE_CHANNEL and UNLOAD: the channel is open', () => {
  const { report } = boot({
    messages: (type) => forgetUnload(type) || type === MessageType.CLOSE_CHANNEL,
  });
  assert.is(report.verdict, 'findings');
  const open = 'channel 3 {f8615163-0000-1000-2000-00155d010000} is open';
  assert.ok(complaints(report).includes(`channels error: ${open}`));
});

connection('CLOSE_CHANNEL alone: UNLOAD makes up for it', () => {
  const { report } = boot({ messages: (type) => type === MessageType.CLOSE_CHANNEL });
  assert.equal(complaints(report), [
    'omissions warning: CLOSE_CHANNEL was left out for channel 3: UNLOAD closed it',
  ]);
  assert.is(report.verdict, 'clean');
});

connection('CLOSE_CHANNEL alone, judged strictly', () => {
  const { report } = boot(
    { messages: (type) => type === MessageType.CLOSE_CHANNEL },
    { flow: { ...NO_SECOND_BOOT, strict: true } },
  );
  assert.is(report.verdict, 'findings');
});

connection('a packet in flight', () => {
  let withhold = (): void => undefined;
  const result = boot(
    {
      messages: (type) =>
        [MessageType.UNLOAD, MessageType.CLOSE_CHANNEL, MessageType.GPADL_TEARDOWN].some(
          (forgotten) => forgotten === type,
        ),
      // Not even that it takes the packet back reaches the host
      signals: (nth) => nth > 0,
      loaded: () => withhold(),
    },
    {
      knobs: { monitors: 'none' },
      prepare: ({ nics: [nic] }) => {
        withhold = () => void (nic!.faults.withhold = () => true);
      },
    },
  );
  const { check, severity, text, pages } = result.report.findings.find(
    ({ pages }) => pages?.purpose === 'packet in flight',
  )!;
  assert.is(check, 'channels');
  assert.is(text, 'the host may still read the packet in flight');
  assert.ok(severity === 'error' || severity === 'warning');
  assert.is(pages?.sharedBy, 'GPA-direct packet');
  assert.ok(pages!.pages.length > 0);
});

connection('a received packet that a fault took away is no mistake of the guest', () => {
  let inject = (): void => undefined;
  const { report } = boot(
    { loaded: () => inject() },
    {
      prepare: ({ vmbus, nics: [nic] }) => {
        // What the guest never sees it cannot complete
        inject = () => {
          vmbus.faults = { ringPacket: () => 'drop' };
          assert.ok(nic!.injectRndis(STATUS));
          vmbus.faults = {};
        };
      },
    },
  );
  assert.is(report.verdict, 'clean');
  assert.equal(complaints(report), []);
  assert.equal(
    report.findings
      .filter(({ check }) => check === 'completions')
      .map(({ severity, text }) => `${severity}: ${text}`),
    ['info: NIC 0: 1 received packet not completed when the channel ended'],
  );
});

connection('nor is one that was garbled in the ring', () => {
  let inject = (): void => undefined;
  const { report } = boot(
    { loaded: () => inject() },
    {
      prepare: ({ vmbus, partition, nics: [nic] }) => {
        inject = () => {
          assert.ok(nic!.injectRndis(STATUS));
          const live = partition.grants.live();
          const rings = live.find(({ purpose }) => purpose.startsWith('rings'))!;
          // The second half is the ring to the guest: all packets in it
          const { pfns } = rings;
          for (const pfn of pfns.slice(pfns.length / 2 + 1)) {
            partition.ram.fill(0, pfn * PAGE_SIZE, (pfn + 1) * PAGE_SIZE);
            vmbus.garbled(pfn);
          }
        };
      },
    },
  );
  assert.equal(complaints(report), []);
  assert.ok(report.findings.some(({ check }) => check === 'completions'));
});

/** An RNDIS indication: type 7, 20 bytes, status 0x4001000b (the link is up). */
const STATUS = new Uint8Array([7, 0, 0, 0, 20, 0, 0, 0, 0xb, 0, 1, 0x40, 0, 0, 0, 0, 0, 0, 0, 0]);

connection.run();

const again = suite('audit: the second boot');

again('a firmware that comes back dirty only from its second boot is caught', () => {
  let boots = 0;
  const { report } = runBoot({
    firmware: badFirmware({ registers: [Msr.SIEFP], messages: () => false }, () => ++boots === 2),
  });
  assert.is(report.verdict, 'findings');
  const errors = report.findings.filter(({ severity }) => severity === 'error');
  const after = 'after the second boot: ';
  assert.equal(
    errors.map(({ check, text }) => `${check}: ${text.replace(/0x.*/, '')}`),
    [
      `rescind: ${after}siefp was freed while the host could write to the event page of VP 0`,
      `rescind: ${after}SIEFP of VP 0 is enabled: `,
    ],
  );
  for (const { pages } of errors) assert.is(pages?.purpose, 'event page of VP 0');
});

again('the rescind between CLOSE and UNLOAD has happened, and is survived', () => {
  const rescinded: number[] = [];
  let closedAt = 0;
  let unloadedAt = 0;
  const { report } = runBoot({
    prepare: ({ events }) =>
      void events.listen((event, now) => {
        if (event.kind !== 'vmbus') return;
        if (event.change === 'closed') closedAt = now;
        if (event.change === 'unloaded') unloadedAt = now;
        if (event.change === 'rescinded') rescinded.push(now - closedAt);
      }),
  });
  assert.is(report.verdict, 'clean');
  assert.equal(rescinded, [1]);
  assert.ok(unloadedAt > closedAt);
  assert.equal(report.notRun, []);
});

again('a firmware without steps is not asked for the rescind', () => {
  const { report } = runBoot({
    firmware: {
      boot: (machine, { events } = {}) =>
        badFirmware({}).boot(machine, {
          events: (event) => event.kind !== 'boot-step' && events?.(event),
        }),
    },
  });
  assert.is(report.verdict, 'clean');
  assert.equal(report.notRun, ['rescind']);
});

again.run();

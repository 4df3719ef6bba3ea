// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The rules of the replay: a session of a reference guest with one defect is explained by the rule
 * of that defect, and only by it; the defect itself is refused where hypxe is to differ.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { DEFECTS, type Defect } from '../../../tools/reference/index.ts';
import { DIFFERENCES, asFirmware, replayTrace, reportText } from '../../../tools/replay/index.ts';
import { compareEffects } from '../../../tools/replay/judge.ts';
import {
  effectsOn,
  hostMessage,
  hostPacket,
  isMessage,
  otherHost,
  put,
  recordOn,
  reference,
  stepBegin,
  transmit,
} from '../../rigs/lab/lab-rig.ts';
import type { LooseEvent } from '../../rigs/replay-rig.ts';

const SOURCES = asFirmware(sources);

const FRAME = 'ffffffffffff00155d01c90188b5'.padEnd(120, '0');

/** Check the rule of a defect on the host of a session that is changed so that it shows. */
function shows(
  defect: Defect,
  name: string,
  change: (events: LooseEvent[]) => void = () => undefined,
): void {
  const host = otherHost(name, change);
  const session = recordOn(host, reference([defect]));
  const result = replayTrace(SOURCES, session);
  assert.ok(result.ok, reportText(result));
  assert.equal(
    result.deliberate.map(({ entry }) => entry.id),
    [defect],
  );
  // The guest that was recorded does not show the reaction that is required
  assert.not(replayTrace(reference([defect]), session).ok);
}

/** The same without a recording: what the guest does on that host is what the rule requires. */
function showsOn(
  defect: Defect,
  name: string,
  change: (events: LooseEvent[]) => void,
  ...others: Defect[]
): void {
  const host = otherHost(name, change);
  const { recording, effects } = effectsOn(host, SOURCES);
  const names = recording.steps.map(({ name: step }) => step);
  const fixed = effectsOn(host, reference([])).effects;
  const defective = effectsOn(host, reference([defect, ...others])).effects;
  assert.equal(compareEffects(names, fixed, effects).differences, []);
  assert.ok(compareEffects(names, fixed, defective).differences.length > 0);
}

/** Change the first event that a test is true of. */
function first(
  events: LooseEvent[],
  test: (event: LooseEvent) => boolean,
  change: (event: LooseEvent) => void,
): void {
  const event = events.find(test);
  assert.ok(event !== undefined, 'there is no such event');
  change(event!);
}

/** Insert events before a step. */
function before(events: LooseEvent[], step: string, ...more: LooseEvent[]): void {
  const at = stepBegin(events, step);
  assert.ok(at >= 0);
  events.splice(at, 0, ...more);
}

/** Change an RNDIS message of the host: the first of a type. */
function rndis(events: LooseEvent[], start: string, change: (bytes: unknown) => string): void {
  first(
    events,
    (event) => event['purpose'] === 'receive-buffer' && String(event['bytes']).startsWith(start),
    (event) => (event['bytes'] = change(event['bytes'])),
  );
}

const rules = suite('rules of the replay');

rules('hypercall-page-checked: a locked page', () =>
  shows('hypercall-page-checked', '19-no-netvsc', (events) =>
    first(
      events,
      (event) => event.op === 'rdmsr' && event['msr'] === '0x40000001',
      (event) => (event['value'] = '0x2'),
    ),
  ),
);
rules('late-answers-belong-to-their-request: a refusal of somebody else’s contact', () =>
  shows('late-answers-belong-to-their-request', '01-boot', (events) => {
    const answer = events.findIndex((event) => isMessage(event, '0f000000'));
    events.splice(answer, 0, hostMessage('0f00000000000000'.padEnd(32, '0')));
  }),
);
rules('reference-time-required: no counter', () =>
  shows('reference-time-required', '19-no-netvsc', (events) =>
    first(
      events,
      (event) => event.op === 'cpuid' && event['leaf'] === '0x40000003',
      (event) => {
        const [eax, ...rest] = event['out'] as string[];
        event['out'] = [`0x${(Number(eax) & ~2).toString(16)}`, ...rest];
      },
    ),
  ),
);
rules('short-messages-refused: a GPADL_CREATED without a status', () =>
  shows('short-messages-refused', '20a-rndis-init-status', (events) =>
    first(
      events,
      (event) => isMessage(event, '0a00000000000000'),
      (event) => (event['payload'] = String(event['payload']).slice(0, 32)),
    ),
  ),
);
rules('rescinds-are-heard: a device that is taken away before it is opened', () =>
  shows('rescinds-are-heard', '20g-rndis-link-down', (events) =>
    before(events, 'open', hostMessage('020000000000000005000000')),
  ),
);
rules('offers-checked: an offer of a sub-channel', () =>
  shows('offers-checked', '01-boot', (events) => {
    for (const event of events)
      if (isMessage(event, '0100000000000000635161f8'))
        event['payload'] = put(event['payload'], 180, 2, 1);
  }),
);
rules('offers-may-not-end: no end of the offers', () =>
  shows('offers-may-not-end', '19-no-netvsc', (events) => {
    for (let at = events.length - 1; at >= 0; at--)
      if (isMessage(events[at]!, '0400000000000000')) events.splice(at, 1);
  }),
);
rules('open-of-unknown-end-closed: an open without a result', () =>
  shows('open-of-unknown-end-closed', '09g-open-refused', (events) => {
    for (let at = events.length - 1; at >= 0; at--)
      if (isMessage(events[at]!, '0600000000000000')) events.splice(at, 1);
  }),
);
rules('unclosed-channel-keeps-memory: a close that cannot be posted', () =>
  shows('unclosed-channel-keeps-memory', '01-boot', (events) => {
    const isClose = ({ op, input }: LooseEvent): boolean =>
      op === 'hypercall' && String(input).startsWith('07000000', 32);
    events.filter(isClose).at(-1)!['status'] = 5;
  }),
);
rules('remove-while-quiesced: no unquiesce in between', () =>
  shows('remove-while-quiesced', '04c-quiesce-closed', (events) => {
    const [from, to] = [stepBegin(events, 'unquiesce'), stepBegin(events, 'remove')];
    events.splice(from, to - from);
  }),
);
rules('drops-are-counted: a cancellation of the host', () =>
  shows('drops-are-counted', '01-boot', (events) =>
    before(
      events,
      'close',
      hostPacket('0a000200020000000000000000000000'.padEnd(48, '0')),
      {
        op: 'step',
        name: 'poll',
        phase: 'begin',
      },
      { op: 'step', name: 'poll', phase: 'end' },
    ),
  ),
);
rules('deferral-is-bounded: more frames than may wait', () =>
  showsOn(
    'deferral-is-bounded',
    '07-tx-exhaustion',
    (events) => {
      const at = events.findIndex(({ op }) => op === 'note');
      const more = Array.from({ length: 520 }, (_, i) => transmit(40 + i, FRAME)).flat();
      events.splice(at, 0, ...more);
    },
    'no-allocation-per-message',
  ),
);
rules('full-ring-defers: a host that takes nothing', () =>
  showsOn('full-ring-defers', '01-boot', (events) => {
    // Empty packets whose completions fill the outbound ring: the host does not take them
    const poll = [
      { op: 'step', name: 'poll', phase: 'begin' },
      { op: 'step', name: 'poll', phase: 'end' },
    ];
    const nvsp = '6b00000001000000ffffffff'.padEnd(64, '0');
    const packet = (id: number): string =>
      `0700030007000100${put('0000000000000000', 0, 4, id)}adbe000000000000${nvsp}`.padEnd(
        128,
        '0',
      );
    const answer = (id: number): LooseEvent => {
      const bytes = `0b00020002000000${put('0000000000000000', 0, 4, id)}0000000000000000`;
      return { op: 'ring-write', channel: 5, offset: 0, bytes, prod: [0, 24] };
    };
    const signal = { op: 'hypercall', code: '0x5d', inputGpa: '0x0', outputGpa: '0x0' };
    const ids = Array.from({ length: 168 }, (_, i) => 0x2000 + i);
    const filled = [0, 56, 112].flatMap((from) => {
      const some = ids.slice(from, from + 56);
      const woken = { ...signal, input: '0200000000000000', status: 0 };
      const answers = some.flatMap((id) => [answer(id), woken]);
      return [...some.map((id) => hostPacket(packet(id))), poll[0]!, ...answers, poll[1]!];
    });
    const end = events.findIndex(
      (event) => event.op === 'step' && event['name'] === 'open' && event['phase'] === 'end',
    );
    events.splice(end + 1, 0, ...filled, ...transmit(900, FRAME));
  }),
);
rules('drop-is-named: a frame for a device that is closed', () =>
  shows('drop-is-named', '01-boot', (events) => before(events, 'open', ...transmit(7, FRAME))),
);
rules('frame-length-limited: a frame of 1600 bytes', () =>
  shows('frame-length-limited', '01-boot', (events) =>
    before(events, 'close', ...transmit(7, FRAME.padEnd(3200, '0'))),
  ),
);
rules('short-init-completion-taken: 16 bytes of NVSP INIT', () =>
  shows('short-init-completion-taken', '20a-rndis-init-status', (events) =>
    first(
      events,
      (event) => event.op === 'host-ring-write' && event['type'] === 11,
      (event) => {
        const bytes = String(event['bytes']);
        event['bytes'] = `${put(bytes.slice(0, 64), 4, 2, 4)}0000000000000000`;
        event['prod'] = [0, 40];
      },
    ),
  ),
);
rules('packet-info-checked: information of no length', () =>
  shows('packet-info-checked', '01-boot', (events) => {
    const at = 8 + 20;
    first(
      events,
      (event) => event['purpose'] === 'receive-buffer' && hasInfo(String(event['bytes'])),
      (event) => {
        const bytes = Buffer.from(String(event['bytes']), 'hex');
        event['bytes'] = put(event['bytes'], 8 + bytes.readUInt32LE(at), 4, 1);
      },
    );
  }),
);
rules('answers-have-their-type: a SET for an answer to a QUERY', () =>
  shows('answers-have-their-type', '01-boot', (events) =>
    rndis(events, '04000080', (bytes) => put(bytes, 0, 4, 0x80000005)),
  ),
);
rules('error-classes: a link state of eight bytes', () =>
  shows('error-classes', '01-boot', (events) =>
    rndis(events, '040000801c00000014010100', (bytes) => put(`${String(bytes)}00000000`, 16, 4, 3)),
  ),
);
rules('failed-open-clears-filter: the link is not told', () =>
  shows('failed-open-clears-filter', '20g-rndis-link-down', (events) => {
    const answers = events.filter((event) =>
      String(event['bytes']).startsWith('040000801c00000014010100'),
    );
    const event = answers.filter(({ op }) => op === 'host-mem-write').at(-1)!;
    event['bytes'] = put(event['bytes'], 12, 4, 0xc0000001);
  }),
);
rules('failed-open-clears-filter: a device that is mute is not waited for', () =>
  shows('failed-open-clears-filter', '20g-rndis-link-down', (events) => {
    const of = (event: LooseEvent, start: string): boolean =>
      event.op === 'host-mem-write' && String(event['bytes']).startsWith(start);
    // The answer about the link, and with it the packet that tells of it
    const answers = events.filter((event) => of(event, '040000801c00000014010100'));
    events.splice(events.indexOf(answers.at(-1)!), 2);
  }),
);
rules('no-allocation-per-message: no memory for a request', () =>
  showsOn('no-allocation-per-message', '01-boot', (events) => {
    const at = events.findIndex((event) => event['purpose'] === 'rndis-message');
    events[at] = { op: 'alloc-fail', purpose: 'rndis-message', len: 128 };
  }),
);

function hasInfo(hex: string): boolean {
  const bytes = Buffer.from(hex, 'hex');
  return bytes.length > 60 && bytes.readUInt32LE(0) === 1 && bytes.readUInt32LE(32) > 0;
}

rules('each entry that is fixed has a rule, or a reason why no session can show it', () => {
  for (const { id, handling, unseen } of DIFFERENCES) {
    const isRule = (DEFECTS as readonly string[]).includes(id);
    if (handling === 'fixed') assert.is.not(isRule, (unseen ?? '').length > 20, id);
    else assert.not(isRule, id);
  }
  for (const defect of DEFECTS)
    assert.ok(
      DIFFERENCES.some(({ id }) => id === defect),
      defect,
    );
});

rules.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Principles: of a recorded guest that nobody understands the replay has no rules, and is right all
 * the same; what is no better than the recorded guest is refused.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { guestRam } from '../../../tools/guests/guest-ram.ts';
import {
  asFirmware,
  replayTrace,
  reportText,
  type Firmware,
  type ReplayResult,
  type TraceFile,
} from '../../../tools/replay/index.ts';
import type { PacketMeaning } from '../../../tools/replay/anchor-keys.ts';
import { CutStep } from '../../../tools/replay/cut-step.ts';
import { GuestChannels } from '../../../tools/replay/guest-channels.ts';
import type { GuestSide } from '../../../tools/replay/guest-side.ts';
import type { Item } from '../../../tools/replay/item.ts';
import { HostBooks } from '../../../tools/replay/principles/host-books.ts';
import { replayMemoryBytes } from '../../../tools/replay/replay-machine.ts';
import { mutatedFirmware } from '../../mutants/bundle.ts';
import { OMISSION_MUTANTS } from '../../mutants/omission-mutants.ts';
import { randomHost } from '../../rigs/lab/host-faults.ts';
import { recordOn, reference } from '../../rigs/lab/lab-rig.ts';
import { booksOf, item, judged } from '../../rigs/lab/judge-rig.ts';
import { readTrace } from '../../rigs/replay-rig.ts';

/** Always the same in a test run; SEED=N tries others. */
const SEED = Number(process.env['SEED'] ?? 1);

/** Random hosts: as many as a test may take. */
const RANDOM_HOSTS = 6;

const SOURCES = asFirmware(sources);

function withoutRules(firmware: Firmware, trace: TraceFile): ReplayResult {
  return replayTrace(firmware, trace, guestRam(replayMemoryBytes(trace)), []);
}

/** A session, and the principles by which the firmware is right in it. */
const RIGHT: readonly (readonly [session: string, ...principles: string[]])[] = [
  ['03-rndis-indications', 'asked-is-answered-once', 'frames-arrive-once-in-order'],
  ['04-quiesce-unquiesce', 'given-is-taken-back'],
  ['05b-rescind-in-offers', 'served-or-refused', 'consequence'],
  ['07-tx-exhaustion', 'counters-are-true'],
  ['09-no-version-response', 'given-is-taken-back', 'memory-follows-the-host'],
  ['09g-open-refused', 'given-is-taken-back'],
  ['11-teardown-unanswered', 'memory-follows-the-host'],
  ['12g-range-out-of-bounds', 'what-is-no-use-counts-once'],
  ['18-reopen-reprobe', 'registers-as-found'],
];

const principles = suite('principles of the replay');

for (const [name, ...expected] of RIGHT)
  principles(`${name} without a rule`, () => {
    const result = withoutRules(SOURCES, readTrace(name));
    assert.ok(result.ok, reportText(result));
    const met = new Set(result.principled.map(({ principle }) => principle.id));
    for (const id of expected) assert.ok(met.has(id), `${id}: ${[...met].join()}`);
    assert.match(reportText(result), /right by a principle/);
  });

principles('random hosts without a rule', () => {
  for (let seed = SEED; seed < SEED + RANDOM_HOSTS; seed++) {
    const { host, text } = randomHost(2 * seed + 1);
    const recorded = recordOn(host, reference(), 'reference guest (iPXE)');
    const result = withoutRules(SOURCES, recorded);
    assert.ok(result.ok, `seed ${seed}: ${text}\n${reportText(result)}`);
  }
});

/** Random hosts of which the firmware once was not said to be right. */
const ONCE: readonly (readonly [what: string, seed: number])[] = [
  ['an address of no bytes is refused', 141],
  ['a completion of no length is an error', 203],
  ['an index that is none of the ring is refused', 51],
];

for (const [what, seed] of ONCE)
  principles(`without a rule: ${what}`, () => {
    const recorded = recordOn(randomHost(seed).host, reference(), 'reference guest (iPXE)');
    const result = withoutRules(SOURCES, recorded);
    assert.ok(result.ok, reportText(result));
  });

principles('a recorded guest that is understood is judged by rules alone', () => {
  const result = replayTrace(SOURCES, readTrace('04-quiesce-unquiesce'));
  assert.ok(result.ok, reportText(result));
  assert.equal(result.principled, []);
});

principles('what another driver than iPXE’s was recorded with is compared with itself', () => {
  // The same host, whose guest has registers as at reset: ours gives them back as found
  const result = withoutRules(SOURCES, { ...readTrace('18-reopen-reprobe'), driver: 'other' });
  assert.not(result.ok);
  assert.equal(result.principled, []);
});

const leak = item('memory', 'allocated at the end', { ring: '1' });
const none = item('memory', 'allocated at the end');

principles('what a rule requires no principle explains away', () => {
  const recorded = [[leak]];
  const { failures } = judged(['remove'], { recorded, guest: recorded, fixed: [[none]] });
  assert.equal(
    failures.map(({ kind }) => kind),
    ['required'],
  );
});

principles('what the list does is right in trouble, but for a rule that it breaks', () => {
  const books = Object.assign(booksOf(), { wasTroubled: () => true });
  const failures = (did: Item): number => {
    const sides = { recorded: [[]], guest: [[did]], defective: [[did]], fixed: [[did]] };
    return judged(['probe'], { ...sides, run: { books } }).failures.length;
  };
  assert.is(failures(item('statistics', 'net0', { rxGood: '1' })), 0);
  assert.is(failures(item('violation', 'an answer that nobody has asked for')), 1);
});

principles('a guest whose probe fails is not at work: it keeps nothing', () => {
  const failed = item('result', 'probe', { result: 'EIO' });
  const sides = { recorded: [[failed, none]], guest: [[failed, leak]] };
  assert.is(judged(['probe'], sides).failures.length, 1);
  const worked = { recorded: [[none]], guest: [[leak]] };
  assert.is(judged(['probe'], worked).failures.length, 0);
});

principles('silence is the host’s only while it owes an answer', () => {
  const message = (type: number, length = 40): Uint8Array => {
    const bytes = new Uint8Array(length);
    bytes[0] = type;
    return bytes;
  };
  const books = booksOf();
  const wait = (step: number): boolean => {
    books.beginStep(step);
    for (let ms = 0; ms < 600; ms++) books.pause();
    return books.isTroubled(step);
  };
  assert.not(wait(0));
  books.posted(message(MessageType.GPADL_HEADER));
  assert.ok(wait(1));
  books.message(1, message(MessageType.GPADL_CREATED, 20));
  assert.not(wait(2));
});

principles('a turn excuses neither what is left with the host nor what is not answered', () => {
  const result = (text: string): Item => item('result', 'open', { result: text });
  const packet = (label: string): Item => item('packet', label, { channel: '5' });
  const [give, take] = [packet('SEND_RECEIVE_BUFFER'), packet('REVOKE_RECEIVE_BUFFER')];
  const lent = item('memory', 'granted at the end', { ring: '1' });
  const unlent = item('memory', 'granted at the end');
  const failures = (
    theirs: readonly Item[],
    own: readonly Item[],
    change = (_: HostBooks) => {},
  ) => {
    const books = booksOf();
    books.beginStep(0);
    books.trouble();
    change(books);
    const sides = { recorded: [[result('OK')], [...theirs]], guest: [[result('EIO')], [...own]] };
    return judged(['open', 'remove'], { ...sides, run: { books } }).failures.length;
  };
  assert.is(failures([give, take, unlent], [unlent]), 0);
  assert.ok(failures([give, take, unlent], [give, unlent]) > 0);
  assert.ok(failures([unlent], [lent]) > 0);
  assert.ok(failures([unlent], [unlent], ({ asked }) => asked.set('5 0x1', 1)) > 0);
});

principles('a frame that never ends is not right', () => {
  const sent = item('completion', 'transmitted frame', { frame: '0', result: 'OK' });
  const once = new Map([['0', 1]]);
  const run = { transmits: once, taken: once };
  const failures = (own: readonly Item[]): number =>
    judged(['transmit', 'poll'], { recorded: [[], [sent]], guest: [own, []], run }).failures.length;
  assert.is(failures([sent]), 0);
  assert.is(failures([]), 1);
});

principles('a register that a guest at work has never written is not as found', () => {
  const failures = (...own: readonly Item[]): number => {
    const sint = item('register', 'SINT2', { value: 'on' });
    return judged(['probe'], { recorded: [[sint, ...own]], guest: [[...own]] }).failures.length;
  };
  assert.is(failures(item('result', 'probe', { result: 'OK' })), 1);
  assert.is(failures(item('result', 'probe', { result: 'EIO' })), 0);
});

principles('a cut step excuses no violation and no crash', () => {
  const own = [item('violation', 'freed'), item('livelock', 'crash: TypeError')];
  const silent = item('livelock', 'the guest makes no progress');
  const nothing = { itemsOf: () => [] } as unknown as GuestSide;
  assert.equal(new CutStep(0, nothing).itemsOf([...own, silent]), own);
});

principles('messages that a guest makes use of are no errors', () => {
  const memory = new Uint8Array(1 << 16);
  const channels = new GuestChannels(memory);
  channels.gpadls.set(1, { id: 1, name: '', channel: 5, pages: [4096], expected: 1 });
  channels.receiveBuffers.set(5, { gpadl: 1, pageSet: 7 });
  const books = new HostBooks(memory, channels);
  const says = (step: number, ...words: readonly number[]): number => {
    new Uint32Array(memory.buffer, 4096, words.length).set(words);
    books.beginStep(step);
    // A packet of transfer pages with one range, and SEND_RNDIS_PACKET
    const packet = Uint32Array.of(7 | (4 << 16), 5, 0, 0, 7, 1, 4 * words.length, 0, 107, 0);
    books.packet(5, new Uint8Array(packet.buffer));
    return books.received(step).others;
  };
  const request = { type: 9, asks: false, transaction: 0n, rndis: 4, requestId: 33 };
  books.sent(5, request as PacketMeaning);
  assert.is(says(0, 8, 12, 34), 0);
  assert.is(says(1, 7, 20, 0x4001000b, 0, 0), 0);
  assert.is(says(2, 0x80000004, 24, 33, 0, 0, 0), 0);
  assert.not([0, 1, 2].some((step) => books.isTroubled(step)));
  assert.is(says(3, 0x80000004, 24, 33, 0, 0, 0), 1);
  assert.is(says(4, 0x77, 12, 0), 1);
});

principles('what is said twice, or of nothing that was taken away, is needless', () => {
  const channels = new GuestChannels(new Uint8Array(4096));
  const message = (...words: readonly number[]): Uint8Array =>
    new Uint8Array(Uint32Array.of(...words).buffer);
  const [teardown, unload] = [message(11, 0, 5, 1), message(16, 0)];
  const [release, rescind] = [message(13, 0, 5), message(2, 0, 5)];
  channels.gpadls.set(1, { id: 1, name: '', channel: 5, pages: [], expected: 0 });
  channels.contactPages = [4096];
  assert.ok(channels.isNeedless(release));
  channels.delivered(rescind);
  for (const said of [teardown, release, unload]) {
    assert.not(channels.isNeedless(said));
    channels.posted(said, '');
    assert.ok(channels.isNeedless(said));
  }
});

/** Mistakes of a guest, each with a session in which no principle excuses it. */
const MISTAKEN = ['01-boot', '12i-wrong-nvsp-type', '04c-quiesce-closed', '09g-open-refused'];
const EACH = 4;

for (const { name, patches } of OMISSION_MUTANTS.filter((_, i) => i % EACH === 1))
  principles(`refused without a rule: ${name}`, async () => {
    const firmware = (await mutatedFirmware(patches)) as unknown as Firmware;
    const refused = MISTAKEN.some((session) => !withoutRules(firmware, readTrace(session)).ok);
    assert.ok(refused);
  });

principles.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** What the judge of the replay must not overlook. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { GuestChannels } from '../../../tools/replay/guest-channels.ts';
import type { Item } from '../../../tools/replay/item.ts';
import { asFirmware, replayTrace } from '../../../tools/replay/index.ts';
import { booksOf, item, judged } from '../../rigs/lab/judge-rig.ts';
import { changedTrace, type LooseEvent } from '../../rigs/replay-rig.ts';

const judges = suite('what the judge sees');

const ok = item('result', 'probe', { result: 'OK' });

judges('an order that is required', () => {
  const [close, teardown] = [item('message', 'CLOSE_CHANNEL'), item('message', 'GPADL_TEARDOWN')];
  const [theirs, right] = [[[teardown, close]], [[close, teardown]]];
  const sides = { recorded: theirs, defective: theirs, fixed: right };
  const kinds = (guest: typeof theirs): string[] =>
    judged(['close'], { ...sides, guest }).failures.map(({ kind }) => kind);
  assert.equal(kinds(right), []);
  assert.ok(kinds(theirs).includes('required'));
});

judges('a probe that succeeds without having asked for offers', () => {
  const message = (label: string) => item('message', label);
  const failed = item('result', 'probe', { result: 'EIO' });
  const failures = (...said: readonly string[]): number => {
    const did = said.map(message);
    const sides = { recorded: [[...did, failed]], guest: [[...did, ok]] };
    return judged(['probe'], sides).failures.length;
  };
  assert.is(failures('INITIATE_CONTACT', 'REQUEST_OFFERS'), 0);
  assert.is(failures('INITIATE_CONTACT'), 1);
});

judges('that nothing is wrong with steps in which nothing is the same proves nothing', () => {
  const silent = changedTrace('01-boot', ({ events }) => {
    const said = events.filter(({ op }) => !op.startsWith('host-message'));
    events.splice(0, events.length, ...said);
  });
  const { ok, notes } = replayTrace(asFirmware(sources), silent);
  assert.ok(ok);
  const [told, ...more] = notes.filter((note) => note.includes('prove nothing'));
  assert.match(told!, /^self-check: 10 of 14 steps prove nothing, .*: 1 open, 2 transmit, /);
  assert.equal(more, []);
  // One that the guest comes through as the recorded one does proves what it shows
  const whole = replayTrace(
    asFirmware(sources),
    changedTrace('01-boot', () => undefined),
  );
  assert.not.match(whole.notes.join(), 'prove nothing');
});

judges('a frame that is no error, but where its device is closed after it has come', () => {
  /** With a frame that comes, and is an error behind the last event of which a test is true. */
  const replays = (isThere: (event: LooseEvent) => boolean): boolean => {
    const trace = changedTrace('04c-quiesce-closed', ({ events }) => {
      const { frame } = events.find(({ op }) => op === 'netdev-rx')!;
      const error = { op: 'netdev-rx-err', err: 'ECANCELED', data: frame };
      events.splice(events.map(isThere).lastIndexOf(true) + 1, 0, error);
    });
    return replayTrace(asFirmware(sources), trace).ok;
  };
  const begins =
    (step: string) =>
    ({ op, name, phase }: LooseEvent): boolean =>
      op === 'step' && name === step && phase === 'begin';
  assert.ok(replays(begins('close')));
  assert.not(replays(({ op }) => op === 'netdev-rx'));
  // The next step has none of it: the device is closed
  assert.not(replays(begins('remove')));
});

judges('registers of a guest that was told to keep still, and a channel left open', () => {
  const books = Object.assign(booksOf(), { rescinded: 0 });
  const said = item('link', 'link', { state: 'up' });
  const register = (value: string): Item => item('register', 'SINT2', { value });
  const failures = (last: string, value: string, open: readonly number[] = []): number => {
    const steps = ['probe', last];
    const sides = { recorded: [[ok], []], guest: [[ok], [said, register(value)]] };
    const run = { books, open };
    const { failures: all } = judged(steps, { ...sides, run });
    return all.filter(({ difference }) => difference.actual === said).length;
  };
  assert.is(failures('poll', 'on'), 0);
  assert.is(failures('quiesce', 'as found'), 0);
  assert.is(failures('quiesce', 'on'), 1);
  assert.is(failures('remove', 'as found'), 0);
  assert.is(failures('remove', 'as found', [5]), 1);
});

judges('what is taken back behind UNLOAD', () => {
  const words = (...list: readonly number[]): Uint8Array =>
    new Uint8Array(Uint32Array.of(...list).buffer);
  const channels = new GuestChannels(new Uint8Array(4096));
  const say = (message: Uint8Array): void => channels.posted(message, '');
  channels.connected = true;
  channels.open.add(5);
  channels.contactPages = [4096];
  const close = words(MessageType.CLOSE_CHANNEL, 0, 5);
  assert.not(channels.isNeedless(close));
  say(words(MessageType.UNLOAD, 0));
  assert.ok(channels.isNeedless(close));
  // One that nobody answers may be lost
  channels.unanswered();
  assert.not(channels.isNeedless(close));
});

judges.run();

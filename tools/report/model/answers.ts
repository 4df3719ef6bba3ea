// SPDX-License-Identifier: GPL-2.0-or-later

/** Which request was answered by what. A request without an answer is one that never came. */

import { MessageType, PacketHeader, PacketType } from '../../../src/vmbus/protocol.ts';
import { firstWord, messageType } from './message.ts';
import { number, text, type TraceRecord } from './record.ts';

/** A request, and the event that answered it; undefined if nothing did. */
export type Answers = ReadonlyMap<number, number | undefined>;

/** What answers a message of the guest, and where its number stands in both of them. */
interface Question {
  readonly answer: number;
  /** Offsets in the request and the answer of what they have in common. */
  readonly key?: readonly [number, number];
}

/** Bytes of the input of HvPostMessage before the message. */
const POST_HEADER = 16;

/** Where channel and GPADL stand in all messages that have them. */
const FIRST = 8;
const SECOND = 12;

const QUESTIONS: Readonly<Record<number, Question>> = {
  [MessageType.INITIATE_CONTACT]: { answer: MessageType.VERSION_RESPONSE },
  [MessageType.REQUEST_OFFERS]: { answer: MessageType.ALL_OFFERS_DELIVERED },
  [MessageType.OPEN_CHANNEL]: { answer: MessageType.OPEN_CHANNEL_RESULT, key: [FIRST, FIRST] },
  [MessageType.GPADL_HEADER]: { answer: MessageType.GPADL_CREATED, key: [SECOND, SECOND] },
  [MessageType.GPADL_TEARDOWN]: { answer: MessageType.GPADL_TORNDOWN, key: [SECOND, FIRST] },
  [MessageType.UNLOAD]: { answer: MessageType.UNLOAD_RESPONSE },
  [MessageType.MODIFY_CHANNEL]: {
    answer: MessageType.MODIFY_CHANNEL_RESPONSE,
    key: [FIRST, FIRST],
  },
};

/** Bit of the flags of a packet: it wants a completion. */
const COMPLETION_REQUESTED = 1;

export function answersOf(events: readonly TraceRecord[]): Answers {
  const answers = new Map<number, number | undefined>();
  /** Requests that wait, oldest first, by what an answer has to have. */
  const waiting = new Map<string, number[]>();
  const ask = (key: string, at: number): void => {
    answers.set(at, undefined);
    const same = waiting.get(key);
    if (same === undefined) waiting.set(key, [at]);
    else same.push(at);
  };
  const answer = (key: string, at: number): void => {
    const request = waiting.get(key)?.shift();
    if (request !== undefined) answers.set(request, at);
  };
  for (const [at, event] of events.entries()) {
    if (event.kind === 'hypercall' && event.status === 0) {
      const question = QUESTIONS[messageType(event) ?? 0];
      if (question !== undefined) ask(messageKey(event, 'input', question, 0, POST_HEADER), at);
    } else if (event.kind === 'host-message' && event.change === 'deliver') {
      const type = messageType(event);
      for (const question of Object.values(QUESTIONS)) {
        if (question.answer === type) answer(messageKey(event, 'payload', question, 1, 0), at);
      }
    } else if (event.kind === 'ring-packet') packet(event, at, ask, answer);
  }
  return answers;
}

function messageKey(
  event: TraceRecord,
  member: string,
  { answer, key }: Question,
  side: 0 | 1,
  from: number,
): string {
  const own = key === undefined ? '' : String(firstWord(text(event, member), from + key[side]));
  return `message ${answer} ${own}`;
}

type Note = (key: string, at: number) => void;

/** A packet that wants a completion, or is one. */
function packet(event: TraceRecord, at: number, ask: Note, answer: Note): void {
  const channel = `${text(event, 'client')} ${text(event, 'channel')}`;
  const id = text(event, 'transactionId');
  const from = text(event, 'from');
  const other = from === 'guest' ? 'host' : 'guest';
  if (number(event, 'type') === PacketType.COMPLETION)
    return answer(`${other} ${channel} ${id}`, at);
  const flags = parseInt(
    text(event, 'bytes')
      .slice(PacketHeader.at.flags * 2)
      .slice(0, 2),
    16,
  );
  if ((flags & COMPLETION_REQUESTED) !== 0) ask(`${from} ${channel} ${id}`, at);
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** What is to be known of a guest's run before one can say whether it is right. */

import type { Difference } from '../compare.ts';
import type { Effects, Item, ItemKind } from '../item.ts';
import type { HostBooks } from './host-books.ts';

/** A guest's run, and the recorded one. */
export interface JudgedRun {
  readonly guest: Effects;
  readonly recorded: Effects;
  readonly books: HostBooks;
  /** Blocks of memory by purpose that the host may still have at the end. */
  readonly held: ReadonlyMap<string, number>;
  /** The guest is loaded, and nobody has told it to leave: at the end it is still at work. */
  readonly atWork: boolean;
  /** And it has been told to keep still: what it has stays its own, but for the registers. */
  readonly quiesced: boolean;
  /** Channels that the guest has left open, and those that the recorded one has. */
  readonly open: readonly number[];
  readonly recordedOpen: readonly number[];
  /** The file ends within the last step. */
  readonly cut: boolean;
  /** How many frames the guest was told to send, by their number. */
  readonly transmits: ReadonlyMap<string, number>;
  /** The same of those that its device has taken: each of them ends. */
  readonly taken: ReadonlyMap<string, number>;
  /** What a register holds before anybody writes it, by its name. */
  initial(register: string): string | undefined;
}

/** Steps after which a guest is at work. */
const BEGINNINGS: readonly string[] = ['probe', 'unquiesce', 'open'];

/** Results of a frame that is still under way. */
const UNDER_WAY = 'deferred';

/** A field of an item, as text; empty if it has none. */
export function field(item: Item | undefined, name: string): string {
  return item?.fields.find((each) => each.name === name)?.text ?? '';
}

function amount(item: Item | undefined, name: string): number {
  return Number(field(item, name) || 0);
}

/** Whether a step has ended without an error: of some no result is told. */
export function endedWell(items: readonly Item[]): boolean {
  return items.every(
    (item) =>
      item.kind !== 'livelock' && (item.kind !== 'result' || field(item, 'result') === 'OK'),
  );
}

/** Items of a kind, up to a step. */
function itemsOf(effects: Effects, kind: ItemKind, last = Infinity): readonly Item[] {
  return effects.flatMap((items, step) =>
    step <= last ? items.filter((item) => item.kind === kind) : [],
  );
}

/** How often each is in a list. */
function countsOf(list: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const each of list) counts.set(each, (counts.get(each) ?? 0) + 1);
  return counts;
}

/** How often each frame has ended. */
function endsOf(effects: Effects): ReadonlyMap<string, number> {
  const ends = itemsOf(effects, 'completion').filter((item) => field(item, 'result') !== UNDER_WAY);
  return countsOf(ends.map((item) => field(item, 'frame')));
}

/** The packet of the host that an answer is to: as the books name it. */
function transactionOf(answer: Item): string {
  return `${field(answer, 'channel')} ${field(answer, 'transactionId')}`;
}

/** Whether all of one list are in the other, in its order. */
function isWithin(some: readonly string[], all: readonly string[]): boolean {
  let at = 0;
  for (const each of some) {
    at = all.indexOf(each, at) + 1;
    if (at === 0) return false;
  }
  return true;
}

/** What a packet gives to the host or sets there, and what it takes back. */
function purposeOf(item: Item): { readonly gives?: string; readonly takes?: string } {
  const channel = field(item, 'channel');
  const last = item.label.split(' ').at(-1)!;
  switch (last) {
    case 'INITIALISE':
      return { gives: `${channel} device` };
    case 'HALT':
      return { takes: `${channel} device` };
    case 'SEND_RECEIVE_BUFFER':
      return { gives: `${channel} buffer` };
    case 'REVOKE_RECEIVE_BUFFER':
      return { takes: `${channel} buffer` };
    case 'SET': {
      const info = field(item, 'RNDIS.data');
      const key = `${channel} ${field(item, 'RNDIS.oid')}`;
      return /^0*$/.test(info) ? { takes: key } : { gives: key };
    }
    default:
      return {};
  }
}

/** What a guest has given or set and not taken back: in the end, or when it sends a packet. */
function left(effects: Effects, until?: Item): ReadonlySet<string> {
  const given = new Set<string>();
  for (const item of itemsOf(effects, 'packet')) {
    if (item === until) break;
    const { gives, takes } = purposeOf(item);
    if (gives !== undefined) given.add(gives);
    if (takes !== undefined) given.delete(takes);
  }
  return given;
}

/** Whether a guest has asked the host to let go of its last contact. */
function unloads(effects: Effects): boolean {
  const messages = itemsOf(effects, 'message').map(({ label }) => label);
  return messages.lastIndexOf('UNLOAD') > messages.lastIndexOf('INITIATE_CONTACT');
}

/** For each step, whether the counters that were told last are what has happened until then. */
function countersTrue(effects: Effects): readonly boolean[] {
  const none = { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 };
  const counts = { ...none };
  let told: Item | undefined;
  return effects.map((items) => {
    for (const item of items) {
      if (item.kind === 'device' && item.label === 'register') Object.assign(counts, none);
      else if (item.kind === 'frame') counts.rxGood++;
      else if (item.kind === 'receive-error') counts.rxBad++;
      else if (item.kind === 'completion' && field(item, 'result') !== UNDER_WAY)
        counts[field(item, 'result') === 'OK' ? 'txGood' : 'txBad']++;
      else if (item.kind === 'statistics') told = item;
    }
    return Object.entries(counts).every(([name, n]) => amount(told, name) === n);
  });
}

/** Facts of a run. */
export class RunFacts {
  readonly #run: JudgedRun;
  readonly #sent: ReadonlySet<string>;
  /** Answers by channel and transaction. */
  readonly #answers: ReadonlyMap<string, number>;
  /** How often each frame has ended, by number: of the guest, and of the recorded one. */
  readonly #ends: ReadonlyMap<string, number>;
  readonly #recordedEnds: ReadonlyMap<string, number>;
  /** The frames that are handed up come from the host, in its order. */
  readonly #framesAreHosts: boolean;
  readonly framesAreRight: boolean;
  readonly receiptsAreRight: boolean;
  #countersTrue: readonly boolean[] | undefined;
  #inOrder: boolean | undefined;

  constructor(run: JudgedRun) {
    this.#run = run;
    this.#answers = countsOf(itemsOf(run.guest, 'answer').map(transactionOf));
    this.#ends = endsOf(run.guest);
    this.#recordedEnds = endsOf(run.recorded);
    const frames = itemsOf(run.guest, 'frame').map((item) => field(item, 'frame'));
    const steps = run.guest.map((_, step) => run.books.received(step));
    const sent = steps.flatMap((received) => received.frames);
    this.#sent = new Set(sent);
    const had = itemsOf(run.recorded, 'frame').map((item) => field(item, 'frame'));
    const [got, came] = [countsOf(frames), countsOf(sent)];
    const isLost = ([frame, times]: readonly [string, number]): boolean =>
      (got.get(frame) ?? 0) < Math.min(times, came.get(frame) ?? 0);
    this.#framesAreHosts = isWithin(frames, sent);
    this.framesAreRight = this.#framesAreHosts && ![...countsOf(had)].some(isLost);
    const others = steps.reduce((sum, received) => sum + received.others, 0);
    const errors = itemsOf(run.guest, 'receive-error').length;
    this.receiptsAreRight = errors + frames.length <= others + sent.length;
  }

  get books(): JudgedRun['books'] {
    return this.#run.books;
  }

  /** Whether a frame is one that the host has sent whole. */
  isWhole(frame: Item | undefined): boolean {
    return this.#sent.has(field(frame, 'frame'));
  }

  /** Whether a register holds after a step what it held before anybody wrote it. */
  isAsFound(register: string, { index, name }: Difference['step']): boolean {
    const { guest } = this.#run;
    const initial = this.#run.initial(register);
    const told = itemsOf(guest, 'register', index).filter(({ label }) => label === register);
    // Whoever is at work has written it
    if (BEGINNINGS.includes(name) && endedWell(guest[index]!)) return false;
    return told.length === 0 || (initial !== undefined && field(told.at(-1), 'value') === initial);
  }

  /** Whether what the host waits for has been answered as often as it was asked. */
  isAnsweredOnce(answer: Item): boolean {
    return this.#answered(transactionOf(answer));
  }

  #answered(key: string, orLess = false): boolean {
    const [given, asked] = [this.#answers.get(key) ?? 0, this.#run.books.asked.get(key) ?? 0];
    return given === asked || (orLess && given < asked);
  }

  /** Whether a KEEPALIVE has been answered as often as it was asked. */
  keepsAliveOnce(request: string): boolean {
    const answers = itemsOf(this.#run.guest, 'packet').filter(
      (item) => item.label.endsWith('KEEPALIVE_CMPLT') && field(item, 'requestId') === request,
    );
    return answers.length === (this.#run.books.keepalives.get(request) ?? 0);
  }

  /** Whether in a step the guest answers what others count as errors. */
  isSpokenFor(step: number): boolean {
    const { guest, recorded } = this.#run;
    const of = (effects: Effects, kind: ItemKind): number =>
      effects[step]!.filter((item) => item.kind === kind).length;
    const fewer = of(recorded, 'receive-error') - of(guest, 'receive-error');
    return fewer <= of(guest, 'packet') - of(recorded, 'packet');
  }

  /** Whether a frame that was taken has ended: once, or as far as for the recorded guest. */
  endsOnce(frame: string): boolean {
    return this.#ended(frame, this.#recordedEnds.get(frame) ?? 0);
  }

  #ended(frame: string, least: number): boolean {
    const ends = this.#ends.get(frame) ?? 0;
    const { transmits, taken } = this.#run;
    return ends <= (transmits.get(frame) ?? 0) && ends >= Math.min(taken.get(frame) ?? 0, least);
  }

  /** Whether each frame that was taken has ended, unless it may be under way still. */
  #allEnd(): boolean {
    const { transmits, atWork, cut } = this.#run;
    const least = atWork || cut ? 0 : Infinity;
    return [...transmits.keys(), ...this.#ends.keys()].every((frame) => this.#ended(frame, least));
  }

  /** Whether what the counters say after a step is what has happened until then. */
  countersAreTrue(step: number): boolean {
    this.#countersTrue ??= countersTrue(this.#run.guest);
    return this.#countersTrue[step]!;
  }

  /** Whether a packet takes back what the guest has given or set, and it alone. */
  takesBack(packet: Item): boolean {
    if (packet.label === 'CANCELLATION') return field(packet, 'transactionId') !== 'nothing';
    const { takes } = purposeOf(packet);
    return takes !== undefined && left(this.#run.guest, packet).has(takes);
  }

  /** Whether a guest that has left takes back all that the recorded one has. */
  #allIsTakenBack(): boolean {
    const { guest, recorded, books, atWork } = this.#run;
    if (atWork) return true;
    if (unloads(recorded) && !unloads(guest)) return false;
    const { open, recordedOpen } = this.#run;
    if (open.some((channel) => !recordedOpen.includes(channel))) return false;
    if (books.rescinded < Infinity) return true;
    const theirs = left(recorded);
    return [...left(guest)].every((given) => theirs.has(given));
  }

  /** Whether the same was said before in the step, and the host had no room for it. */
  wasRefused(message: Item, step: number): boolean {
    const same = this.#run.guest[step]!.filter(({ key }) => key === message.key);
    if (same.length < 2) return false;
    // An answer that was none is asked for again
    const mistaken = message.label === 'INITIATE_CONTACT' && this.books.isTroubled(step);
    return mistaken || same.slice(0, -1).every(({ refused }) => refused === true);
  }

  /** Whether nothing more is kept than the host may have, or than the recorded guest kept. */
  memoryIsRight(expected: Item | undefined, actual: Item | undefined): boolean {
    if (this.#run.atWork) return true;
    const granted = actual?.label === 'granted at the end';
    return (actual?.fields ?? []).every(({ name }) => {
      const kept = amount(actual, name);
      if (kept <= amount(expected, name)) return true;
      return !granted && kept <= (this.#run.held.get(name) ?? 0);
    });
  }

  /** Whether a step that succeeds does what it is for. */
  readonly serves = (step: number): boolean => {
    const items = this.#run.guest[step]!;
    const kinds = new Set(items.map(({ kind }) => kind));
    // Where there is no device it is for none: whoever has not asked for offers does not know
    const asked = items.some((item) => item.kind === 'message' && item.label === 'REQUEST_OFFERS');
    const alone = asked && !this.books.hasNic;
    return alone || kinds.has('device') || kinds.has('packet');
  };

  /** Whether all that can be known of the run is right. */
  get isInOrder(): boolean {
    return (this.#inOrder ??= this.#check());
  }

  #check(): boolean {
    const { guest, recorded, books } = this.#run;
    // Of a device that is taken away nothing more is read
    const isGone = books.rescinded < Infinity;
    const counted = guest.flatMap((items, step) =>
      items.some(({ kind }) => kind === 'statistics') ? [step] : [],
    );
    const memory = (label: string): readonly [Item | undefined, Item | undefined] => {
      const find = (effects: Effects): Item | undefined =>
        itemsOf(effects, 'memory').find((item) => item.label === label);
      return [find(recorded), find(guest)];
    };
    return (
      this.receiptsAreRight &&
      (isGone ? this.#framesAreHosts : this.framesAreRight) &&
      [...this.#answers.keys(), ...books.asked.keys()].every((key) =>
        this.#answered(key, isGone),
      ) &&
      [...books.keepalives.keys()].every((request) => this.keepsAliveOnce(request)) &&
      this.#allEnd() &&
      counted.every((step) => this.countersAreTrue(step)) &&
      itemsOf(guest, 'message').every(({ needless }) => needless !== true) &&
      this.memoryIsRight(...memory('allocated at the end')) &&
      this.memoryIsRight(...memory('granted at the end')) &&
      this.#allIsTakenBack() &&
      this.#registersAreRight()
    );
  }

  /** At the end each register is as it was found, or as the recorded guest left it. */
  #registersAreRight(): boolean {
    const { guest, recorded, atWork, quiesced } = this.#run;
    if (atWork && !quiesced) return true;
    const last = (effects: Effects): Map<string, string> =>
      new Map(itemsOf(effects, 'register').map((item) => [item.label, field(item, 'value')]));
    const [own, theirs] = [last(guest), last(recorded)];
    return [...own].every(
      ([name, value]) =>
        value === this.#run.initial(name) ||
        value === theirs.get(name) ||
        // Windows waits for ever for a SynIC that was switched off under a connection
        (quiesced && name === 'SCONTROL'),
    );
  }
}

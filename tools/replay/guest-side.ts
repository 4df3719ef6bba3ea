// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What one guest did, as effects: both sides, the recorded guest and the one that is replayed, go
 * through here. Identities are named by first use, so that a GPADL is the first of its kind and not
 * a number; of registers only what they hold at the end of a step counts.
 */

import { HV_PAGE_REGISTER_MASK, Msr } from '../../src/hyperv/protocol.ts';
import { MessageType, PacketType } from '../../src/vmbus/protocol.ts';
import { RndisType } from '../../src/rndis/protocol.ts';
import { messageType, packetMeaning } from './anchor-keys.ts';
import { decodePacket, decodePost, decodeRndis, msrName, type DecodedLayer } from './decode.ts';
import type { GuestChannels } from './guest-channels.ts';
import { hexNumber } from './hex.ts';
import { makeItem, type Item, type ItemField, type ItemKind } from './item.ts';
import type { GuestPacket } from './normalise.ts';
import type { Places } from './places.ts';
import type { RecordedStep } from './recorded-step.ts';

/** Registers that hold the address of a page. */
const PAGE_REGISTERS: readonly number[] = [
  ...[Msr.HYPERCALL, Msr.SIMP, Msr.SIEFP, Msr.REFERENCE_TSC, Msr.VP_ASSIST_PAGE],
];

/**
 * Fields that are identities or sizes of the guest's own choice, or follow from them: by layer and
 * name. They are not compared.
 */
const OWN: readonly string[] = [
  'VMBUS.rangeLength',
  'VMBUS.range[0].byteCount',
  'VMBUS.openId',
  'VMBUS.outPages',
  'RING.headerQlen',
  'RING.qlen',
  'RING.range[0].byteOffset',
  'RNDIS.requestId',
];

/** Addresses of a contact. */
const PAGES: readonly string[] = ['interruptPage', 'monitorIn', 'monitorOut'];

/** Purposes of memory that messages are sent from: how it is cut up is the guest's affair. */
const SENT_FROM: readonly string[] = ['tx-buffer', 'rndis-message', 'tx-frame'];

/** Collects the effects of a guest. */
export class GuestSide {
  readonly #places: Places;
  readonly #initial: (msr: number) => bigint;
  readonly #steps = new Map<number, Item[]>();
  #items: Item[] = [];
  #event = 0;
  /** Registers as they are, and as they were told last. */
  readonly #registers = new Map<number, bigint>();
  readonly #told = new Map<number, string>();
  readonly #gpadls = new Map<number, string>();
  readonly #counts = new Map<string, number>();
  readonly #pageSets = new Map<string, string>();
  /** What registers that were written held before, by name. */
  readonly initial = new Map<string, string>();
  /** What is in flight under a transaction. */
  readonly #flying = new Map<bigint, string>();

  /** @param initial what a register holds before anybody writes it */
  constructor(places: Places, initial: (msr: number) => bigint = () => 0n) {
    this.#places = places;
    this.#initial = initial;
  }

  beginStep(step: RecordedStep): void {
    this.#event = step.begin;
    this.#items = [];
    this.#steps.set(step.index, this.#items);
  }

  /** The step is over: what the registers hold now is what counts. */
  endStep(): void {
    for (const [msr, value] of [...this.#registers].sort(([a], [b]) => a - b)) {
      const text = this.#registerText(msr, value);
      const initial = this.#registerText(msr, this.#initial(msr));
      this.initial.set(msrName(msr), initial);
      const before = this.#told.get(msr) ?? initial;
      if (text === before) continue;
      this.#told.set(msr, text);
      this.#add('register', msrName(msr), [{ name: 'value', text }]);
    }
    this.#registers.clear();
    sortUnordered(this.#items);
  }

  /** The items of a step. */
  itemsOf(step: number): readonly Item[] {
    return this.#steps.get(step) ?? [];
  }

  /** Something that is an item as it is. */
  emit(item: Item): void {
    this.#items.push(item);
  }

  #add(kind: ItemKind, label: string, fields: readonly ItemField[]): void {
    this.#items.push(makeItem(kind, label, fields, this.#event));
  }

  // --- registers and memory ---

  register(msr: number, value: bigint): void {
    this.#registers.set(msr, value);
  }

  #registerText(msr: number, value: bigint): string {
    if (!PAGE_REGISTERS.includes(msr)) return hexNumber(value);
    const page = value & ~HV_PAGE_REGISTER_MASK;
    const where = page === 0n ? 'no page' : this.#places.describe(Number(page));
    return `${where}, low bits ${hexNumber(value & HV_PAGE_REGISTER_MASK)}`;
  }

  /**
   * The session is over: what the guest has not given back, and what the host still has. How memory
   * for messages is cut up is the guest's affair, until the host has nothing and nothing is sent.
   */
  end({ gpadls, hasNothing }: Pick<GuestChannels, 'gpadls' | 'hasNothing'>): void {
    const { purposes } = this.#places;
    const blocks = purposes.filter((purpose) => !SENT_FROM.includes(purpose));
    if (hasNothing && blocks.length < purposes.length) blocks.push('memory for messages');
    const granted = [...gpadls.values()].map(({ name }) => name);
    const counted = (list: readonly string[]): ItemField[] =>
      [...new Set(list)].sort().map((name) => ({
        name,
        text: String(list.filter((other) => other === name).length),
      }));
    this.#add('memory', 'allocated at the end', counted(blocks));
    const kinds = granted.map((name) => name.replace(/^gpadl \d+ (\S*).*$/, '$1'));
    this.#add('memory', 'granted at the end', counted(kinds));
  }

  // --- messages ---

  /** A message is posted: the input of the hypercall. `fate`: what is known of it besides. */
  message(input: Uint8Array, fate: Pick<Item, 'needless' | 'refused'> = {}): void {
    const message = input.subarray(16);
    const type = message.length < 4 ? 0 : messageType(message);
    // How many messages a GPADL takes follows from its size
    if (type === MessageType.GPADL_BODY) return;
    const layers = decodePost(input);
    const name = layers[1]?.name ?? 'message';
    const fields: ItemField[] = [];
    for (const layer of layers) {
      for (const field of layer.fields) {
        if (layer.layer === 'HV' && field.name === 'length' && type === MessageType.GPADL_HEADER)
          continue;
        if (OWN.includes(`${layer.layer}.${field.name}`) || field.name.includes('pfn[')) continue;
        const prefix = layer === layers[0] ? '' : `${layer.layer}.`;
        const text = this.#messageField(field, layers[1]);
        fields.push({ name: prefix + field.name, text });
      }
    }
    this.#items.push({ ...makeItem('message', name, fields, this.#event), ...fate });
  }

  #messageField(
    field: {
      readonly name: string;
      readonly value: number | bigint | string;
      readonly text: string;
    },
    layer: DecodedLayer | undefined,
  ): string {
    if (PAGES.includes(field.name)) return this.#places.describe(Number(field.value));
    if (field.name !== 'gpadl') return field.text;
    const pfn = layer?.fields.find(({ name }) => name === 'range[0].pfn[0]')?.value;
    return this.#gpadl(Number(field.value), pfn === undefined ? undefined : Number(pfn) * 4096);
  }

  /** The name of a GPADL; `page`: the first one of a new one. */
  #gpadl(id: number, page?: number): string {
    const known = this.#gpadls.get(id);
    if (page === undefined) return known ?? 'unknown';
    const purpose = this.#places.find(page)?.purpose ?? 'memory';
    const count = (this.#counts.get(purpose) ?? 0) + 1;
    this.#counts.set(purpose, count);
    // The same again, because it was refused, is the same
    const name = `${purpose} ${count}`;
    this.#gpadls.set(id, known ?? name);
    return known ?? name;
  }

  // --- packets ---

  packet({ channel, start, bytes, data }: GuestPacket): void {
    const meaning = packetMeaning(bytes, data);
    const layers = [...decodePacket(bytes), ...(data === undefined ? [] : decodeRndis(data))];
    const label = layers.map((layer) => layer.name).join(' ');
    const fields: ItemField[] = [{ name: 'channel', text: String(channel) }];
    const keepalive = meaning.rndis === RndisType.KEEPALIVE_CMPLT;
    for (const layer of layers) {
      for (const { name, value, text } of layer.fields) {
        if (name === 'requestId' && keepalive) fields.push({ name, text });
        if (OWN.includes(`${layer.layer}.${name}`)) continue;
        const prefix = layer === layers[0] ? '' : `${layer.layer}.`;
        const shown = this.#packetField(layer, name, value, text, start, meaning.type);
        if (shown !== undefined) fields.push({ name: prefix + name, text: shown });
      }
    }
    if (data !== undefined) fields.push({ name: 'bytes', text: String(data.length) });
    if (meaning.asks) this.#flying.set(meaning.transaction, label);
    let kind: ItemKind = 'packet';
    if (meaning.type === PacketType.COMPLETION) kind = 'answer';
    else if (meaning.rndis === RndisType.PACKET) kind = 'sent';
    this.#add(kind, label, fields);
  }

  /** How a field of a packet compares; undefined: not at all. */
  #packetField(
    { layer, fields }: DecodedLayer,
    name: string,
    value: number | bigint | string,
    text: string,
    start: number,
    type: number,
  ): string | undefined {
    if (name.includes('pfn[')) {
      if (!name.endsWith('pfn[0]')) return undefined;
      const range = name.slice(0, name.indexOf('.'));
      const offset = fields.find((field) => field.name === `${range}.byteOffset`)?.value ?? 0;
      const address = Number(value) * 4096 + Number(offset);
      const purpose = this.#places.find(address)?.purpose ?? 'unallocated';
      return SENT_FROM.includes(purpose) ? 'memory for messages' : purpose;
    }
    if (name === 'footer.offset') return Number(value) === start ? 'start of packet' : text;
    if (layer === 'RING' && name === 'transactionId') {
      if (type === PacketType.COMPLETION) return text;
      if (type === PacketType.CANCELLATION) return this.#flying.get(BigInt(value)) ?? 'nothing';
      return undefined;
    }
    if (layer === 'NVSP' && name === 'gpadl') return this.#gpadl(Number(value));
    if (layer === 'NVSP' && name === 'id') return this.#pageSet(text);
    return text;
  }

  #pageSet(text: string): string {
    const known = this.#pageSets.get(text) ?? `page set ${this.#pageSets.size + 1}`;
    this.#pageSets.set(text, known);
    return known;
  }
}

/** What comes in no particular order: frames that are given up, completions. */
function sortUnordered(items: Item[]): void {
  const givenUp = ({ kind, fields }: Item): boolean =>
    kind === 'completion' && fields[1]?.text === 'ECANCELED';
  sortSome(items, givenUp, (a, b) => Number(a.fields[0]!.text) - Number(b.fields[0]!.text));
  const answer = ({ kind }: Item): boolean => kind === 'answer';
  sortSome(items, answer, (a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
}

/** Sort those items that a test is true of among themselves. */
function sortSome(
  items: Item[],
  test: (item: Item) => boolean,
  order: (a: Item, b: Item) => number,
): void {
  const some = items.filter(test);
  const places = some.map((item) => items.indexOf(item));
  const sorted = [...some].sort(order);
  places.forEach((index, i) => (items[index] = sorted[i]!));
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** A DNS server (RFC 1035): addresses of names, and names that stand for others. */

import { DNS_CLASS_IN, DnsFlag, DnsHeader, DnsType, Port } from '../../../../src/net/protocol.ts';
import { parseIp } from '../address.ts';
import type { NetworkContext } from '../context.ts';
import { NetworkOptionError } from '../options.ts';
import { UDP } from '../protocol.ts';
import type { Datagram, ServerHost } from '../server-host.ts';
import { decodeText, encodeText } from '../text.ts';
import type { Keeper } from '../../base/snapshot.ts';

/** Names, and what they are: an IPv4 address, or another of these names. */
export type DnsNames = Readonly<Record<string, string>>;

/** Names that one answer follows. */
const CHAIN_MAX = 8;

/** Codes of answers (RFC 1035, 4.1.1). */
const NAME_ERROR = 3;
const RECURSION_AVAILABLE = 0x80;

/** Seconds that an answer may be kept. */
const TIME_TO_LIVE = 60;

const IS_ADDRESS = /^[\d.]+$/;

/** Check names. @throws NetworkOptionError */
export function planDns(names: DnsNames): DnsNames {
  for (const [name, value] of Object.entries(names)) {
    const option = `dns.${name}`;
    if (!/^[^.]{1,63}(\.[^.]{1,63})*$/.test(name) || name.length > 253) {
      throw new NetworkOptionError(option, 'this is no name of a host');
    }
    if (IS_ADDRESS.test(value)) parseIp(option, value);
    else if (names[value] === undefined) {
      throw new NetworkOptionError(option, `${value} is neither an IPv4 address nor a name`);
    }
  }
  return Object.fromEntries(
    Object.entries(names).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

export class DnsServer {
  readonly #context: NetworkContext;
  readonly #host: ServerHost;
  readonly #names: DnsNames;

  constructor(context: NetworkContext, host: ServerHost, names: DnsNames) {
    this.#context = context;
    this.#host = host;
    this.#names = names;
    host.bind(Port.DNS, (datagram) => this.#receive(datagram));
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#host);
  }

  #receive(datagram: Datagram): void {
    // One question, of names and classes as they are
    const { offset, length } = datagram;
    const bytes = datagram.bytes.slice(offset, offset + length);
    const view = new DataView(bytes.buffer);
    const isQuery =
      length > DnsHeader.size &&
      (view.getUint16(DnsHeader.at.flags) & DnsFlag.RESPONSE) === 0 &&
      view.getUint16(DnsHeader.at.questions) === 1;
    const question = isQuery ? readQuestion(bytes) : undefined;
    if (question === undefined) {
      this.#context.count('bad-dns');
      return;
    }

    // Each name on the way has a record
    const records: number[][] = [];
    let value: string | undefined = question.name;
    while (value !== undefined && !IS_ADDRESS.test(value) && records.length <= CHAIN_MAX) {
      const owner: string = value;
      value = this.#names[owner.toLowerCase()];
      if (value !== undefined) records.push(record(owner, value));
    }
    this.#answer(datagram, bytes.subarray(0, question.end), records);
  }

  #answer(datagram: Datagram, query: Uint8Array, records: readonly number[][]): void {
    const frame = this.#host.allocate();
    if (frame === undefined) return;
    const { bytes, view } = frame;
    bytes.set(query, UDP.end);
    const code = records.length === 0 ? NAME_ERROR : 0;
    const flags = DnsFlag.RESPONSE | DnsFlag.RECURSION_DESIRED | RECURSION_AVAILABLE | code;
    view.setUint16(UDP.end + DnsHeader.at.flags, flags);
    view.setUint16(UDP.end + DnsHeader.at.answers, records.length);
    view.setUint32(UDP.end + DnsHeader.at.authorities, 0);
    bytes.set(records.flat(), UDP.end + query.length);
    this.#host.sendUdp(frame, query.length + records.flat().length, {
      source: datagram.destination,
      sourcePort: Port.DNS,
      destination: datagram.source,
      destinationPort: datagram.sourcePort,
    });
  }
}

/** The name that is asked for and where the question ends; undefined if it does not. */
function readQuestion(bytes: Uint8Array): { name: string; end: number } | undefined {
  const labels: string[] = [];
  let at: number = DnsHeader.size;
  for (let length; (length = bytes[at]) !== undefined && length > 0; at += 1 + length) {
    const label = length < 64 ? decodeText(bytes, at + 1, at + 1 + length) : undefined;
    if (label === undefined || at + 1 + length >= bytes.length) return undefined;
    labels.push(label);
  }
  return at + 5 <= bytes.length ? { name: labels.join('.'), end: at + 5 } : undefined;
}

/** A record, its names in full. */
function record(owner: string, value: string): number[] {
  const isAddress = IS_ADDRESS.test(value);
  const data = isAddress ? value.split('.').map(Number) : nameBytes(value);
  return [
    ...nameBytes(owner),
    ...[0, isAddress ? DnsType.A : DnsType.CNAME, 0, DNS_CLASS_IN],
    ...[0, 0, 0, TIME_TO_LIVE, data.length >>> 8, data.length & 255],
    ...data,
  ];
}

function nameBytes(name: string): number[] {
  const labels = name.split('.').map(encodeText);
  return [...labels.flatMap((label) => [label.length, ...label]), 0];
}

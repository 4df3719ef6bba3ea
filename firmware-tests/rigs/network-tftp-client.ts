// SPDX-License-Identifier: GPL-2.0-or-later

/** A TFTP client for the tests of the built-in network, a packet at a time. */

import * as assert from 'uvu/assert';
import type { NetworkOptions, TftpServerOptions } from '../../tools/simulator/network/index.ts';
import { memoryFiles, syntheticImage } from '../../tools/simulator/network/index.ts';
import type { Udp } from './network-client.ts';
import { ascii, be16, Client, get16, networkWith } from './network-client.ts';

export const SECOND = 10_000_000;
export const PORT = 2000;

export const FILES = {
  empty: new Uint8Array(0),
  short: Uint8Array.from([1, 2, 3]),
  exact: syntheticImage(1024, 7),
  'dir/long name.img': syntheticImage(100_001, 8),
};

export function client(
  tftp: TftpServerOptions = {},
  options: Partial<NetworkOptions> = {},
): Client {
  return new Client(networkWith({ files: memoryFiles(FILES), tftp, ...options })).meet();
}

/** A read request. */
export function rrq(
  path: string,
  options: Record<string, string | number> = {},
  mode = 'octet',
): number[] {
  const strings = [path, mode, ...Object.entries(options).flat().map(String)];
  return [0, 1, ...strings.flatMap((one) => [...ascii(one), 0])];
}

export const ack = (block: number): number[] => [0, 4, ...be16(block)];
export const opcodes = (datagrams: readonly Udp[]): number[] =>
  datagrams.map(({ data }) => data[1]!);
export const blocks = (datagrams: readonly Udp[]): number[] =>
  datagrams.filter(({ data }) => data[1] === 3).map(({ data }) => get16(data, 2));

/** Ask for a file; returns what comes. */
export function ask(
  at: Client,
  path: string,
  options: Record<string, string | number> = {},
): Udp[] {
  at.udp(PORT, 69, rrq(path, options));
  return Client.datagrams(at.run(), PORT);
}

/** Send to the port of a transfer; returns what comes within a millisecond. */
export function say(at: Client, port: number, data: readonly number[]): Udp[] {
  at.udp(PORT, port, data);
  return Client.datagrams(at.run(), PORT);
}

/** Fetch a file as a decent client does: in order, one ACK for each whole window. */
export function fetch(
  at: Client,
  path: string,
  options: Record<string, string | number> = {},
): Uint8Array {
  let datagrams = ask(at, path, options);
  const [first] = datagrams;
  assert.ok(first, 'an answer');
  const size = Number(options['blksize'] ?? 512);
  const window = Number(options['windowsize'] ?? 1);
  if (first.data[1] === 6) datagrams = say(at, first.sourcePort, ack(0));
  const parts: Uint8Array[] = [];
  for (;;) {
    for (const { data, sourcePort } of datagrams) {
      assert.is(data[1], 3);
      assert.is(sourcePort, first.sourcePort);
      assert.is(get16(data, 2), (parts.length + 1) & 0xffff);
      parts.push(data.subarray(4));
    }
    const isEnd = parts.at(-1)!.length < size;
    assert.ok(datagrams.length === window || isEnd, 'a whole window');
    datagrams = say(at, first.sourcePort, ack(parts.length));
    if (isEnd) break;
  }
  assert.is(datagrams.length, 0);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let to = 0;
  for (const part of parts) {
    whole.set(part, to);
    to += part.length;
  }
  return whole;
}

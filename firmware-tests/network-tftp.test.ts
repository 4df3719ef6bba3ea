// SPDX-License-Identifier: GPL-2.0-or-later

/** The TFTP server of the built-in network, at the bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { NetworkOptions, TftpServerOptions } from '../tools/simulator/network/index.ts';
import { memoryFiles, syntheticImage } from '../tools/simulator/network/index.ts';
import type { Udp } from './network-client.ts';
import { ascii, be16, Client, get16, hex, networkWith, text } from './network-client.ts';

const SECOND = 10_000_000;
const PORT = 2000;

const FILES = {
  empty: new Uint8Array(0),
  short: Uint8Array.from([1, 2, 3]),
  exact: syntheticImage(1024, 7),
  'dir/long name.img': syntheticImage(100_001, 8),
};

function client(tftp: TftpServerOptions = {}, options: Partial<NetworkOptions> = {}): Client {
  return new Client(networkWith({ files: memoryFiles(FILES), tftp, ...options })).meet();
}

/** A read request. */
function rrq(
  path: string,
  options: Record<string, string | number> = {},
  mode = 'octet',
): number[] {
  const strings = [path, mode, ...Object.entries(options).flat().map(String)];
  return [0, 1, ...strings.flatMap((one) => [...ascii(one), 0])];
}

const ack = (block: number): number[] => [0, 4, ...be16(block)];
const opcodes = (datagrams: readonly Udp[]): number[] => datagrams.map(({ data }) => data[1]!);
const blocks = (datagrams: readonly Udp[]): number[] =>
  datagrams.filter(({ data }) => data[1] === 3).map(({ data }) => get16(data, 2));

/** Ask for a file; returns what comes. */
function ask(at: Client, path: string, options: Record<string, string | number> = {}): Udp[] {
  at.udp(PORT, 69, rrq(path, options));
  return Client.datagrams(at.run(), PORT);
}

/** Send to the port of a transfer; returns what comes within a millisecond. */
function say(at: Client, port: number, data: readonly number[]): Udp[] {
  at.udp(PORT, port, data);
  return Client.datagrams(at.run(), PORT);
}

/** Fetch a file as a decent client does: in order, one ACK for each whole window. */
function fetch(
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

const requests = suite('TFTP server: requests');

requests('a file without options: 512 bytes a block from a new port', () => {
  const at = client();
  const [first, ...rest] = ask(at, 'exact');
  assert.is(rest.length, 0);
  assert.is.not(first!.sourcePort, 69);
  assert.is(first!.from, '192.168.77.1');
  assert.is(hex(first!.data.subarray(0, 4)), '00030001');
  assert.is(first!.data.length, 516);
});

requests('files of every shape arrive whole', () => {
  const at = client();
  for (const [path, bytes] of Object.entries(FILES)) {
    assert.equal(fetch(at, path), bytes, path);
    assert.equal(fetch(at, path, { blksize: 1024, windowsize: 4 }), bytes, path);
    assert.equal(fetch(at, path, { blksize: 1001, windowsize: 3, tsize: 0 }), bytes, path);
  }
  const { tftp, transfers } = at.network.statistics;
  assert.is(tftp.completed, 12);
  assert.is(tftp.retransmissions, 0);
  assert.is(tftp.bytes, 3 * (3 + 1024 + 100_001));
  assert.equal(
    transfers.map(({ outcome }) => outcome),
    Array(12).fill('complete'),
  );
  assert.is(transfers[0]!.client, '192.168.77.50:2000');
  assert.is.not(transfers[0]!.port, transfers[1]!.port);
});
requests.run();

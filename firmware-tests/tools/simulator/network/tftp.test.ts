// SPDX-License-Identifier: GPL-2.0-or-later

/** The TFTP server of the built-in network, at the bytes: requests and what they are answered. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ascii, Client, get16, hex, text } from '../../../rigs/network-client.ts';
import {
  ack,
  ask,
  client,
  fetch,
  FILES,
  opcodes,
  PORT,
  rrq,
  say,
} from '../../../rigs/network-tftp-client.ts';

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

requests('the OACK has the options that were asked for, in their order', () => {
  const at = client();
  const options = { tsize: 0, blksize: 1432, windowsize: 8, timeout: 3, utimeout: 9 };
  const [oack] = ask(at, 'exact', options);
  const expected = 'tsize\x001024\x00blksize\x001432\x00windowsize\x008\x00timeout\x003\x00';
  assert.is(text(oack!.data), `\x00\x06${expected}`);
});

requests('names of options are compared without case, values out of range left out', () => {
  const at = client();
  const [oack] = ask(at, 'exact', { BLKSIZE: 8, windowsize: 0, tsize: -1, timeout: 256 });
  assert.is(text(oack!.data), '\x00\x06blksize\x008\x00');
  const [data] = ask(client(), 'exact', { blksize: 7, windowsize: 65536 });
  assert.is(hex(data!.data.subarray(0, 4)), '00030001');
  assert.is(data!.data.length, 516);
});

requests('a block never needs a fragment, and can be made smaller still', () => {
  const [oack] = ask(client(), 'exact', { blksize: 65464, windowsize: 65535 });
  assert.is(text(oack!.data), '\x00\x06blksize\x001468\x00windowsize\x0064\x00');
  const lowered = client({ maxBlockSize: 1428, maxWindowSize: 2 });
  const [less] = ask(lowered, 'exact', { blksize: 1432, windowsize: 4 });
  assert.is(text(less!.data), '\x00\x06blksize\x001428\x00windowsize\x002\x00');
});

requests('an old server ignores all options', () => {
  const at = client({ options: 'ignore' });
  const [first] = ask(at, 'exact', { blksize: 1024, tsize: 0, windowsize: 4 });
  assert.is(hex(first!.data.subarray(0, 4)), '00030001');
  assert.is(first!.data.length, 516);
});

/** The error that a request gets. */
function errorOf(at: Client, data: readonly number[], port = 69): string {
  at.udp(PORT, port, data);
  const [error, ...rest] = Client.datagrams(at.run(), PORT);
  assert.is(rest.length, 0);
  assert.is(error!.data[1], 5);
  assert.is(error!.data.at(-1), 0);
  return `${get16(error!.data, 2)} ${text(error!.data.subarray(4, -1))}`;
}

requests('each refusal has its code', () => {
  const files = {
    read: (path: string): { error: string } | undefined =>
      path === 'broken' ? { error: 'disk on fire' } : undefined,
  };
  const at = client(
    { misbehaviour: { errors: { '/cursed': { code: 3, text: 'full' } } } },
    { files },
  );
  assert.is(errorOf(at, rrq('missing')), '1 file not found');
  assert.is(errorOf(at, rrq('broken')), '0 disk on fire');
  assert.is(errorOf(at, rrq('cursed')), '3 full');
  for (const path of ['../secret', '/a/../../b', '..\\secret', '..']) {
    assert.is(errorOf(at, rrq(path)), '2 the path leaves the root');
  }
  assert.is(errorOf(at, [0, 2, ...rrq('exact').slice(2)]), '2 this server is read-only');
  assert.is(errorOf(at, rrq('exact', {}, 'netascii')), '4 mode netascii is not served');
  assert.is(errorOf(at, ack(1)), '4 opcode 4 is not a request');
  assert.is(errorOf(at, [0]), '4 opcode 0 is not a request');
  assert.is(errorOf(at, [0, 1, 65, 66]), '4 malformed request');
  assert.is(errorOf(at, [0, 1, 0xff, 0, ...ascii('octet'), 0]), '4 malformed request');
  assert.is(errorOf(at, [...rrq('exact'), ...ascii('blksize'), 0]), '4 malformed request');
  const refusing = client({ options: 'refuse' });
  assert.is(errorOf(refusing, rrq('exact', { blksize: 1024 })), '8 options are refused');
  assert.equal(opcodes(ask(refusing, 'exact')), [3]);
  assert.is(at.network.statistics.tftp.refused, 11);
});

requests('paths mean the same with slashes, backslashes, dots and upper-case modes', () => {
  for (const path of ['/exact', './exact', '//exact', '\\exact']) {
    const at = client();
    at.udp(PORT, 69, rrq(path, {}, 'OCTET'));
    assert.equal(opcodes(Client.datagrams(at.run(), PORT)), [3], path);
  }
});

requests('a request to everybody is ignored', () => {
  const at = client();
  at.udp(PORT, 69, rrq('exact'), [192, 168, 77, 255]);
  assert.is(at.run().length, 0);
  assert.is(at.network.statistics.drops['bad-tftp'], 1);
});

requests('transfers at one time are bounded, and finished ones forgotten', () => {
  const at = client({ maxTransfers: 2 });
  const answers = [PORT, PORT + 1, PORT + 2].map((port) => {
    at.udp(port, 69, rrq('short'));
    return Client.datagrams(at.run(), port)[0]!;
  });
  assert.equal(opcodes(answers), [3, 3, 5]);
  assert.is(text(answers[2]!.data.subarray(4, -1)), 'too many transfers');
  assert.is(new Set(answers.map(({ sourcePort }) => sourcePort)).size, 3);
  say(at, answers[0]!.sourcePort, ack(1));
  assert.equal(opcodes(ask(at, 'short')), [3]);
});

requests('the port of a finished transfer is unreachable (ICMP type 3, code 3)', () => {
  const at = client();
  const [data] = ask(at, 'short');
  say(at, data!.sourcePort, ack(1));
  at.udp(PORT, data!.sourcePort, ack(1));
  const [icmp, ...rest] = at.run();
  assert.is(rest.length, 0);
  assert.equal([...icmp!.bytes.subarray(34, 36)], [3, 3]);
  // The header and 8 bytes of what could not be delivered
  assert.is(get16(icmp!.bytes, 42 + 20 + 2), data!.sourcePort);
});

requests('one port for everything', () => {
  const at = client({ transferPort: 'same' });
  assert.equal(fetch(at, 'exact', { blksize: 100, windowsize: 2 }), FILES.exact);
  assert.equal(new Set(Client.datagrams(at.got, PORT).map((one) => one.sourcePort)), new Set([69]));
  assert.is(errorOf(at, ack(11)), '5 unknown transfer');
  // A repeated request does not begin a second transfer
  assert.equal(opcodes(ask(at, 'exact')), [3]);
  assert.is(ask(at, 'exact').length, 0);
});

requests('a server with an address of its own, or behind the gateway', () => {
  for (const address of [
    [192, 168, 77, 9],
    [10, 1, 2, 3],
  ]) {
    const at = client({ address: address.join('.') });
    if (address[0] === 192) at.meet(address);
    at.udp(PORT, 69, rrq('short'), address);
    const [data] = Client.datagrams(at.run(), PORT);
    assert.is(data!.from, address.join('.'));
    assert.is(hex(data!.data), '00030001010203');
  }
});

requests.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The TFTP server of the built-in network, at the bytes: blocks, windows, time and misbehaviour.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { memoryFiles, syntheticImage } from '../../../../tools/simulator/network/index.ts';
import type { Udp } from '../../../rigs/network-client.ts';
import { ascii, Client, hex, text } from '../../../rigs/network-client.ts';
import {
  ack,
  ask,
  blocks,
  client,
  fetch,
  FILES,
  opcodes,
  PORT,
  rrq,
  say,
  SECOND,
} from '../../../rigs/network-tftp-client.ts';

const flow = suite('TFTP server: blocks, windows and time');

/** Begin a transfer; returns the server's port and the first datagrams after ACK 0. */
function begin(
  at: Client,
  path: string,
  options: Record<string, string | number>,
): { port: number; datagrams: Udp[] } {
  const [oack] = ask(at, path, options);
  assert.is(oack!.data[1], 6);
  const port = oack!.sourcePort;
  return { port, datagrams: say(at, port, ack(0)) };
}

flow('block numbers go from 65535 to 0', () => {
  const long = syntheticImage(65_540 * 8 + 3, 3);
  const at = client({}, { files: memoryFiles({ long }) });
  assert.equal(fetch(at, 'long', { blksize: 8, windowsize: 64 }), long);
  assert.is(at.network.statistics.tftp.blocks, 65_541);
});

flow("ACKs that are repeated, old or ahead send nothing (Sorcerer's Apprentice)", () => {
  const at = client();
  const [first] = ask(at, 'dir/long name.img');
  assert.equal(blocks(say(at, first!.sourcePort, ack(1))), [2]);
  for (const wrong of [1, 0, 3, 7, 65535]) {
    assert.equal(blocks(say(at, first!.sourcePort, ack(wrong))), [], `ACK ${wrong}`);
  }
  assert.equal(blocks(say(at, first!.sourcePort, ack(2))), [3]);
  assert.is(at.network.statistics.tftp.retransmissions, 0);
});

flow('an ACK inside the window restarts behind it', () => {
  const at = client();
  const { port, datagrams } = begin(at, 'dir/long name.img', { windowsize: 4 });
  assert.equal(blocks(datagrams), [1, 2, 3, 4]);
  assert.equal(blocks(say(at, port, ack(2))), [3, 4, 5, 6]);
  assert.equal(blocks(say(at, port, ack(6))), [7, 8, 9, 10]);
  assert.is(at.network.statistics.tftp.retransmissions, 2);
  assert.is(at.network.statistics.transfers[0]!.retransmissions, 2);
});

flow('a repeated ACK repeats a window once, and not the window after that', () => {
  const at = client();
  const { port } = begin(at, 'dir/long name.img', { windowsize: 2 });
  assert.equal(blocks(say(at, port, ack(0))), [1, 2]);
  assert.equal(blocks(say(at, port, ack(0))), []);
  assert.equal(blocks(say(at, port, ack(2))), [3, 4]);
  assert.equal(blocks(say(at, port, ack(2))), []);
  assert.equal(blocks(say(at, port, ack(4))), [5, 6]);
  assert.equal(blocks(say(at, port, ack(4))), [5, 6]);
});

flow('silence of the client: the window comes again, a bounded number of times', () => {
  const at = client({ timeoutTicks: SECOND / 2, maxTries: 3 });
  ask(at, 'exact');
  at.got.length = 0;
  const begun = at.clock.now;
  at.run(10 * SECOND);
  const times = at.got.map((frame) => Math.round(((frame.at - begun) * 2) / SECOND));
  assert.equal(times, [1, 2, 3]);
  assert.equal(blocks(Client.datagrams(at.got, PORT)), [1, 1, 1]);
  const [record] = at.network.statistics.transfers;
  assert.is(record!.outcome, 'timed-out');
  assert.is(record!.message, 'no answer after 3 retransmissions');
  assert.is(at.network.statistics.tftp.timedOut, 1);
  assert.is(at.clock.nextAlarm, undefined);
});

flow("the OACK is repeated too, and the client's timeout obeyed", () => {
  const at = client({ maxTries: 2 });
  ask(at, 'exact', { timeout: 2 });
  at.got.length = 0;
  at.run(3 * SECOND);
  assert.equal(opcodes(Client.datagrams(at.got, PORT)), [6]);
});

flow('progress starts the timer and the tries anew', () => {
  const at = client({ timeoutTicks: SECOND, maxTries: 1 });
  const [first] = ask(at, 'dir/long name.img');
  for (let block = 1; block < 20; block++) {
    at.run(SECOND + SECOND / 2);
    const next = say(at, first!.sourcePort, ack(block));
    assert.equal(blocks(next), [block + 1]);
  }
  assert.is(at.network.statistics.transfers[0]!.retransmissions, 19);
});

flow('an error of the client ends the transfer', () => {
  const at = client();
  const { port } = begin(at, 'exact', { tsize: 0 });
  assert.is(say(at, port, [0, 5, 0, 8, ...ascii('no, thanks'), 0]).length, 0);
  const [record] = at.network.statistics.transfers;
  assert.is(record!.outcome, 'ended-by-client');
  assert.is(record!.message, 'error 8: no, thanks');
  at.got.length = 0;
  at.run(20 * SECOND);
  assert.is(at.got.length, 0);
});

flow('a stranger at the port of a transfer gets error 5, and disturbs nobody', () => {
  const at = client();
  const [first] = ask(at, 'exact');
  at.udp(PORT + 1, first!.sourcePort, ack(1));
  const [error] = Client.datagrams(at.run(), PORT + 1);
  assert.is(hex(error!.data.subarray(0, 4)), '00050005');
  at.udp(PORT + 1, first!.sourcePort, [0, 5, 0, 0, 0]);
  assert.is(at.run().length, 0);
  assert.equal(blocks(say(at, first!.sourcePort, ack(1))), [2]);
  assert.is(at.network.statistics.tftp.unknownTids, 2);
});

flow('an illegal operation within a transfer ends it with error 4', () => {
  const at = client();
  const [first] = ask(at, 'exact');
  const [error] = say(at, first!.sourcePort, [0, 3, 0, 1, 9]);
  assert.is(hex(error!.data.subarray(0, 4)), '00050004');
  assert.is(error!.sourcePort, first!.sourcePort);
  assert.is(at.network.statistics.transfers[0]!.outcome, 'ended-by-error');
});

flow('several transfers at once do not mix', () => {
  const at = client();
  const paths = ['exact', 'dir/long name.img', 'short'];
  const ports = paths.map((path, i) => {
    at.udp(PORT + i, 69, rrq(path));
    return Client.datagrams(at.run(), PORT + i)[0]!;
  });
  assert.equal(ports[0]!.data.slice(4), FILES.exact.slice(0, 512));
  assert.equal(ports[1]!.data.slice(4), FILES['dir/long name.img'].slice(0, 512));
  at.udp(PORT, ports[0]!.sourcePort, ack(1));
  at.udp(PORT + 1, ports[1]!.sourcePort, ack(1));
  const next = Client.datagrams(at.run());
  assert.equal(next[0]!.data.slice(4), FILES.exact.slice(512));
  assert.equal(next[1]!.data.slice(4), FILES['dir/long name.img'].slice(512, 1024));
});

flow('a file is read once for a transfer', () => {
  let reads = 0;
  const read = (): Uint8Array => {
    reads++;
    return FILES['dir/long name.img'];
  };
  fetch(client({}, { files: { read } }), 'anything', { windowsize: 4 });
  assert.is(reads, 1);
});

flow.run();

const misbehaviour = suite('TFTP server: misbehaviour');

misbehaviour('silence', () => {
  const at = client({ misbehaviour: { silent: true } });
  assert.is(ask(at, 'exact').length, 0);
  assert.is(at.network.statistics.tftp.requests, 1);
});

misbehaviour('blocks from a wrong port too', () => {
  const at = client({ misbehaviour: { wrongPort: true } });
  const [stray, real] = ask(at, 'short');
  assert.is(hex(stray!.data), '00030001fefdfc');
  assert.is(hex(real!.data), '00030001010203');
  assert.is.not(stray!.sourcePort, real!.sourcePort);
  // The client's error 5 is heard without an answer
  assert.is(say(at, stray!.sourcePort, [0, 5, 0, 5, 0]).length, 0);
  assert.is(at.run().length, 0);
});

misbehaviour('a short block, an oversized block', () => {
  const short = client({ misbehaviour: { shortBlock: 2 } });
  const [first] = ask(short, 'dir/long name.img', {});
  assert.is(first!.data.length, 516);
  assert.is(say(short, first!.sourcePort, ack(1))[0]!.data.length, 515);
  assert.is(say(short, first!.sourcePort, ack(2))[0]!.data.length, 516);

  const long = client({ misbehaviour: { oversizedBlock: 1 } });
  const { datagrams } = begin(long, 'dir/long name.img', { blksize: 1468, windowsize: 2 });
  assert.equal(
    datagrams.map(({ data }) => data.length),
    [4 + 1464 + 4, 4 + 1464],
  );
});

misbehaviour('every second block twice', () => {
  const at = client({ misbehaviour: { duplicateEvery: 2 } });
  const { datagrams } = begin(at, 'dir/long name.img', { windowsize: 4 });
  assert.equal(blocks(datagrams), [1, 2, 2, 3, 4, 4]);
});

misbehaviour('silence in the middle, and the transfer is forgotten in the end', () => {
  const at = client({ misbehaviour: { stopAfterBlock: 2 }, maxTries: 1 });
  const { port, datagrams } = begin(at, 'dir/long name.img', { windowsize: 4 });
  assert.equal(blocks(datagrams), [1, 2]);
  assert.is(say(at, port, ack(2)).length, 0);
  assert.is(at.run(60 * SECOND).length, 0);
  assert.is(at.network.statistics.transfers[0]!.outcome, 'timed-out');

  const mute = client({ misbehaviour: { stopAfterBlock: 0 } });
  assert.is(begin(mute, 'exact', { tsize: 0 }).datagrams.length, 0);
});

misbehaviour('a wrong size', () => {
  for (const [tsizeError, told] of [
    [-24, '1000'],
    [1, '1025'],
    [-9999, '0'],
  ] as const) {
    const [oack] = ask(client({ misbehaviour: { tsizeError } }), 'exact', { tsize: 0 });
    assert.is(text(oack!.data), `\x00\x06tsize\x00${told}\x00`);
  }
});

misbehaviour.run();

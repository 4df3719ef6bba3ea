// SPDX-License-Identifier: GPL-2.0-or-later

/** The requests and transfers of the TFTP client, at the bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arpFrame,
  arpTarget,
  ascii,
  at16,
  SERVER_MAC,
  thrown,
  udpFrame,
} from '../../rigs/net-peer.ts';
import { parseIpv4 } from '../../../src/net/bytes.ts';
import type { DownloadSink } from '../../../src/net/download.ts';
import { tftp } from '../../../src/net/tftp.ts';
import type { TftpOptions } from '../../../src/net/tftp.ts';
import { TID, data, oack, Bench, server, pattern } from '../../rigs/bench/net-tftp.ts';
import type { ServerOptions } from '../../rigs/bench/net-tftp.ts';

const request = suite('TFTP request');

request('RRQ at the bytes', () => {
  const b = new Bench(server({ file: pattern(10), blksize: 1468, windowsize: 4, tsize: true }));
  b.run();
  const { payload, port, sourcePort } = b.seen[0]!;
  assert.equal(Array.from(payload), [
    ...[0, 1],
    ...ascii('dir/boot.bin\0octet\0blksize\x001468\0tsize\x000\0windowsize\x004\0'),
  ]);
  assert.is(port, 69);
  assert.is(sourcePort, 49152 + 16383);
});

request('blksize follows MTU and options; windowsize 1 is not asked for', () => {
  const asked = (options: TftpOptions, mtu = 1500): string => {
    const b = new Bench(server({ file: [], plain: true }));
    b.net.mtu = mtu;
    b.run(options);
    return String.fromCharCode(...b.seen[0]!.payload.subarray(21)).replaceAll('\0', ' ');
  };
  assert.is(asked({ windowSize: 1 }), 'blksize 1468 tsize 0 ');
  assert.is(asked({ windowSize: 9 }, 576), 'blksize 544 tsize 0 windowsize 9 ');
  assert.is(asked({ blockSize: 9000, windowSize: 1000 }), 'blksize 1468 tsize 0 windowsize 64 ');
  assert.is(asked({ blockSize: 1, windowSize: 0 }), 'blksize 8 tsize 0 ');
});

request('another port of the server can be asked', () => {
  const b = new Bench(server({ file: [1], plain: true }));
  b.run({ port: 6969 });
  assert.is(b.seen[0]!.port, 6969);
  assert.is(b.seen[1]!.port, TID);
});

request('file names that cannot be sent', () => {
  for (const file of ['', 'a\0b', 'snow☃', 'x'.repeat(480)]) {
    const b = new Bench(() => {});
    const error = thrown(() => tftp(b.net, () => 0, parseIpv4('10.0.0.1')!, file, b.sink));
    assert.is(error.name, 'BadFileName', file);
    assert.is(b.device.sent.length, 0);
  }
});

request.run();

const transfer = suite('TFTP transfer');

transfer('files of any length, with and without options', () => {
  const kinds: [Partial<ServerOptions>, number, number][] = [
    [{ plain: true }, 512, 1],
    [{ tsize: true }, 512, 1],
    [{ blksize: 1428, tsize: true }, 1428, 1],
    [{ blksize: 64, windowsize: 4, tsize: true }, 64, 4],
    [{ blksize: 100, windowsize: 3 }, 100, 3],
  ];
  for (const [kind, blockSize, windowSize] of kinds)
    for (const length of [0, 1, blockSize - 1, blockSize, blockSize * 4, blockSize * 7 + 5]) {
      const file = pattern(length);
      const b = new Bench(server({ file, ...kind }));
      const result = b.run();
      assert.equal(b.sink.bytes, file, `${length} bytes in blocks of ${blockSize}`);
      assert.equal(b.sink.begun, [(kind.tsize === true && length) || undefined]);
      const blocks = Math.floor(length / blockSize) + 1;
      assert.equal(result, { length, blocks, blockSize, windowSize });
      // One acknowledgement for each window, for the options, and for the end
      const acks = b.seen.filter((packet) => packet.opcode === 4);
      const forOptions = kind.plain === true ? 0 : 1;
      assert.is(acks.length, forOptions + Math.ceil(blocks / windowSize));
      assert.is(acks.at(-1)!.number, blocks);
    }
});

transfer('the server answers from a new port, which is used from then on', () => {
  const b = new Bench(server({ file: pattern(600), tsize: true }));
  b.run();
  assert.equal(b.course, ['RRQ 69', 'ACK 0 40000', 'ACK 1 40000', 'ACK 2 40000']);
});

transfer('block numbers wrap from 65535 to 0, with a window across it', () => {
  const file = new Uint8Array(8 * 65_540 + 3);
  for (let i = 0; i < file.length; i++) file[i] = i * 7 + (i >> 11);
  const bytes = new Uint8Array(file.length);
  const sink: DownloadSink = {
    begin: () => {},
    write: (offset, buffer, from, length) => {
      for (let i = 0; i < length; i++) bytes[offset + i] = buffer[from + i]!;
    },
  };
  // Frames made in place: 65,541 blocks shall not take long
  const b = new Bench(() => {});
  b.device.record = false;
  const { receiver } = b.device;
  let acked = 0;
  let acks = 0;
  const frame = new Uint8Array(54);
  b.device.answer = (sent) => {
    if (arpTarget(sent) !== undefined)
      return b.device.deliver(arpFrame(2, '10.0.0.1', SERVER_MAC, '10.0.0.50'));
    if (sent[43] === 1) {
      b.clientPort = at16(sent, 34);
      b.send(oack('blksize', '8', 'windowsize', '6', 'tsize', String(file.length)));
      const model = { sourcePort: TID, port: b.clientPort, noChecksum: true };
      frame.set(udpFrame({ ...model, payload: data(0, new Array(8).fill(0)) }));
      return;
    }
    acked += (at16(sent, 44) - acked) & 0xffff;
    acks++;
    pending = true;
  };
  let pending = false;
  b.device.onPoll = () => {
    if (!pending) return;
    pending = false;
    for (let block = acked + 1; block <= acked + 6 && block <= 65_541; block++) {
      frame[44] = block >> 8;
      frame[45] = block;
      const from = (block - 1) * 8;
      for (let i = 0; i < 8; i++) frame[46 + i] = file[from + i] ?? 0;
      // The last block is short: what IP says less is padding
      if (block === 65_541) {
        const short = {
          sourcePort: TID,
          port: b.clientPort,
          payload: data(block, Array.from(file.subarray(from))),
        };
        b.device.deliver(udpFrame(short));
      } else receiver!.receive(frame, 0, frame.length);
    }
  };
  const result = b.run({ blockSize: 8, windowSize: 6 }, sink);
  assert.is(result.blocks, 65_541);
  assert.is(result.length, file.length);
  // One for the options and for each window: no gap was seen, no timer was needed
  assert.is(acks, 1 + Math.ceil(65_541 / 6));
  assert.ok(Buffer.from(bytes).equals(Buffer.from(file)));
});

transfer('progress is told at most once in so many bytes, at begin and at end', () => {
  const b = new Bench(server({ file: pattern(5000), blksize: 100, windowsize: 4, tsize: true }));
  b.run({ progressBytes: 1000 });
  const progress = b.events.filter((event) => event.kind === 'progress');
  assert.equal(progress[0], { kind: 'progress', received: 0, total: 5000 });
  assert.equal(progress.at(-1), { kind: 'progress', received: 5000, total: 5000 });
  for (let i = 1; i < progress.length - 1; i++)
    assert.ok(progress[i]!.received - progress[i - 1]!.received >= 1000);
  assert.is(progress.length, 6);
});

transfer.run();

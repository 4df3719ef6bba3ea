// SPDX-License-Identifier: GPL-2.0-or-later

/** The TFTP client against a scripted server at the bytes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arpFrame,
  arpTarget,
  ascii,
  at16,
  FakeClock,
  FakeDevice,
  ipFrame,
  readUdp,
  SERVER_MAC,
  slowChecksum,
  thrown,
  u16,
  udpFrame,
} from './net-peer.ts';
import type { Datagram } from './net-peer.ts';
import { parseIpv4 } from '../src/net/bytes.ts';
import type { DownloadSink } from '../src/net/download.ts';
import { NetworkInterface } from '../src/net/network-interface.ts';
import { tftp } from '../src/net/tftp.ts';
import type { TftpOptions } from '../src/net/tftp.ts';
import type { TftpResult } from '../src/net/tftp-options.ts';
import { errorKinds, HypxeError } from '../src/error.ts';
import { Log } from '../src/events.ts';
import type { FirmwareEvent } from '../src/events.ts';

/** A port that the server takes for a transfer. */
const TID = 40_000;

const data = (block: number, payload: readonly number[]): number[] => [
  ...[0, 3],
  ...u16(block & 0xffff),
  ...payload,
];
const oack = (...pairs: readonly string[]): number[] => [
  ...[0, 6],
  ...pairs.flatMap((text) => [...ascii(text), 0]),
];
const tftpError = (code: number, text: string): number[] => [0, 5, 0, code, ...ascii(text), 0];

/** A sink that keeps the file, and wants it in order. */
class FileSink implements DownloadSink {
  readonly bytes: number[] = [];
  readonly begun: (number | undefined)[] = [];
  begin(size: number | undefined): void {
    this.begun.push(size);
  }
  write(offset: number, buffer: Uint8Array, from: number, length: number): void {
    assert.is(offset, this.bytes.length);
    assert.is(this.begun.length, 1);
    for (let i = 0; i < length; i++) this.bytes.push(buffer[from + i]!);
  }
}

/** What the client sent: opcode, number, text, and when. */
interface Seen extends Datagram {
  readonly opcode: number;
  readonly number: number;
  readonly ms: number;
}

class Bench {
  readonly clock = new FakeClock();
  readonly device = new FakeDevice(this.clock);
  readonly events: FirmwareEvent[] = [];
  readonly seen: Seen[] = [];
  readonly net: NetworkInterface;
  readonly sink = new FileSink();
  clientPort = 0;

  constructor(answer: (packet: Seen, bench: Bench) => void) {
    this.net = new NetworkInterface(
      this.device,
      this.clock,
      new Log((event) => this.events.push(event)),
    );
    this.net.address = parseIpv4('10.0.0.50')!;
    this.net.netmask = parseIpv4('255.255.255.0')!;
    this.device.answer = (frame) => {
      const target = arpTarget(frame);
      if (target !== undefined) this.device.deliver(arpFrame(2, target, SERVER_MAC, '10.0.0.50'));
      const datagram = readUdp(frame);
      if (datagram === undefined) return;
      const { payload } = datagram;
      const opcode = at16(payload, 0);
      const seen = { ...datagram, opcode, number: at16(payload, 2), ms: this.clock.ms };
      this.seen.push(seen);
      if (opcode === 1) this.clientPort = datagram.sourcePort;
      answer(seen, this);
    };
  }

  /** Send a packet of the server. */
  send(payload: readonly number[], delayMs = 0, port = TID, from = '10.0.0.1'): void {
    const frame = { sourcePort: port, port: this.clientPort, payload, from };
    this.device.deliver(udpFrame(frame), delayMs);
  }

  run(options: TftpOptions = {}, sink: DownloadSink = this.sink): TftpResult {
    const server = parseIpv4('10.0.0.1')!;
    return tftp(this.net, () => 0xffffffff, server, 'dir/boot.bin', sink, options);
  }

  /** Opcode, number and time of what was sent, in short. */
  get course(): string[] {
    const names = ['', 'RRQ', '', '', 'ACK', 'ERROR'];
    return this.seen.map(({ opcode, number, port }) =>
      opcode === 1 ? `RRQ ${port}` : `${names[opcode]} ${number} ${port}`,
    );
  }
}

interface ServerOptions {
  readonly file: readonly number[];
  readonly blksize?: number;
  readonly windowsize?: number;
  readonly tsize?: boolean | string;
  /** Answer without an OACK. */
  readonly plain?: boolean;
  /** Called for each data block: false loses it. */
  readonly pass?: (block: number, time: number) => boolean;
}

/** A right TFTP server: window after window, and again when it hears nothing for a second. */
function server(o: ServerOptions): (packet: Seen, bench: Bench) => void {
  const size = o.plain === true ? 512 : (o.blksize ?? 512);
  const window = o.windowsize ?? 1;
  const blocks = Math.floor(o.file.length / size) + 1;
  const times = new Map<number, number>();
  let acked = 0;
  return (packet, bench) => {
    if (packet.opcode === 1 && o.plain !== true) {
      const pairs: string[] = [];
      if (o.blksize !== undefined) pairs.push('blksize', String(o.blksize));
      if (o.windowsize !== undefined) pairs.push('WINDOWSIZE', String(o.windowsize));
      if (o.tsize === true) pairs.push('tsize', String(o.file.length));
      else if (typeof o.tsize === 'string') pairs.push('tsize', o.tsize);
      return bench.send(oack(...pairs));
    }
    if (packet.opcode === 4) {
      assert.is(packet.port, TID);
      acked += (packet.number - acked) & 0xffff;
    } else if (packet.opcode !== 1) return;
    for (let block = acked + 1; block <= Math.min(acked + window, blocks); block++) {
      const time = (times.get(block) ?? 0) + 1;
      times.set(block, time);
      if (o.pass?.(block, time) === false) continue;
      bench.send(data(block, o.file.slice((block - 1) * size, block * size)));
    }
  };
}

const pattern = (length: number): number[] =>
  Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);

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
    assert.is(error.kind.name, 'BadFileName', file);
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
      assert.equal(b.sink.begun, [kind.tsize === true ? length : undefined]);
      const blocks = Math.floor(length / blockSize) + 1;
      assert.equal(result, {
        length,
        blocks,
        blockSize,
        windowSize,
        duplicates: 0,
        gaps: 0,
        retransmissions: 0,
        ignored: 0,
      });
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
  assert.is(result.duplicates + result.gaps + result.retransmissions, 0);
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

const loss = suite('TFTP loss');

loss('no answer at all: back-off on the clock, and the error says where', () => {
  const b = new Bench(() => {});
  const error = thrown(() => b.run());
  assert.is(error.kind.name, 'NoTftpAnswer');
  assert.match(error.message, /^tftp:\/\/10\.0\.0\.1\/dir\/boot\.bin: no answer to 8 requests$/);
  // 1 ms went to ARP
  const times = b.seen.map((packet) => packet.ms - 1);
  assert.equal(times, [0, 500, 1500, 3500, 7500, 11500, 15500, 19500]);
  assert.is(b.clock.ms - 1, 23500);
  assert.ok(b.course.every((line) => line === 'RRQ 69'));
});

loss('a transfer that stops: the last acknowledgement is sent again, then an error', () => {
  const b = new Bench(server({ file: pattern(5000), pass: (block) => block < 3 }));
  const error = thrown(() => b.run({ firstTimeoutMs: 100, longestTimeoutMs: 300, tries: 4 }));
  assert.is(error.kind.name, 'TftpStalled');
  assert.match(error.message, /nothing after 1024 bytes, asked 4 times/);
  assert.equal(b.course.slice(-5), [
    'ACK 2 40000',
    'ACK 2 40000',
    'ACK 2 40000',
    'ACK 2 40000',
    'ERROR 0 40000',
  ]);
  const times = b.seen.slice(-5).map((packet) => packet.ms - b.seen.at(-5)!.ms);
  assert.equal(times, [0, 100, 300, 600, 900]);
});

loss('lost blocks, each once, in each place of a window', () => {
  for (const windowsize of [1, 2, 4])
    for (let lost = 1; lost <= 9; lost++) {
      const file = pattern(8 * 100 + 50);
      const pass = (block: number, time: number): boolean => block !== lost || time > 1;
      const b = new Bench(server({ file, blksize: 100, windowsize, tsize: true, pass }));
      const result = b.run();
      assert.equal(b.sink.bytes, file, `block ${lost} of window ${windowsize}`);
      // Found by the gap if another block of the window follows, else by the timer
      const follows = windowsize > 1 && lost % windowsize !== 0 && lost !== 9;
      assert.is(result.retransmissions, follows ? 0 : 1, `${lost} ${windowsize}`);
    }
});

loss('lost acknowledgements of options and of blocks', () => {
  for (const lostAck of [0, 4, 8]) {
    const file = pattern(1000);
    const right = server({ file, blksize: 100, windowsize: 4, tsize: true });
    let times = 0;
    const b = new Bench((packet, bench) => {
      if (packet.opcode === 4 && packet.number === lostAck && times++ === 0) {
        // The server did not hear it: it sends what it sent before again
        const last =
          lostAck === 0
            ? oack('blksize', '100')
            : data(lostAck, pattern(lostAck * 100).slice(-100));
        return bench.send(last, 300);
      }
      right(packet, bench);
    });
    const result = b.run();
    assert.equal(b.sink.bytes, file);
    assert.is(result.duplicates, 1);
    assert.is(result.retransmissions, 0);
  }
});

loss('duplicate and reordered blocks do not spoil the file nor double the traffic', () => {
  const file = pattern(1000);
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 1) return bench.send(oack('blksize', '100', 'windowsize', '4'));
    const block = (n: number): number[] => data(n, file.slice((n - 1) * 100, n * 100));
    const scripts: Record<number, number[]> = {
      0: [1, 1, 2, 1, 3, 2, 4],
      4: [6, 5, 7, 8],
      5: [8, 6, 7, 8, 9],
      8: [9, 10, 9],
      9: [10, 11],
      10: [11],
    };
    for (const n of scripts[packet.number] ?? []) bench.send(block(n));
  });
  const result = b.run();
  assert.equal(b.sink.bytes, file);
  assert.is(result.length, 1000);
  const acks = b.seen.filter((packet) => packet.opcode === 4).map((packet) => packet.number);
  assert.is(acks.length, new Set(acks).size, `each number once: ${acks.join(' ')}`);
});

loss(
  'a block that comes twice after its acknowledgement is acknowledged again, once a turn',
  () => {
    const b = new Bench((packet, bench) => {
      if (packet.opcode === 1) return bench.send(oack('blksize', '8'));
      const first = b.seen.filter(({ opcode, number }) => opcode === 4 && number === 1).length;
      if (packet.number === 0) bench.send(data(1, pattern(8)));
      else if (first === 1) for (let i = 0; i < 5; i++) bench.send(data(1, pattern(8)), 50);
      else if (first === 2) bench.send(data(2, [9]));
    });
    const result = b.run({ blockSize: 8 });
    assert.equal(b.sink.bytes, [...pattern(8), 9]);
    assert.is(result.duplicates, 5);
    assert.is(result.retransmissions, 0);
  },
);

loss('random loss, duplication and reordering, seeded', () => {
  for (let seed = 1; seed <= 12; seed++) {
    let state = seed;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return ((state >>> 8) % 1000) % limit;
    };
    const file = pattern(3000 + seed * 37);
    const right = server({ file, blksize: 64, windowsize: 1 + (seed % 4), tsize: true });
    const b = new Bench((packet, bench) => {
      if (random(100) >= 15) right(packet, bench);
    });
    const deliver = b.device.deliver.bind(b.device);
    b.device.deliver = (bytes, delayMs = 0) => {
      if (random(100) < 15) return;
      deliver(bytes, delayMs + random(4));
      if (random(100) < 15) deliver(bytes, delayMs + random(20));
    };
    b.run({ tries: 30 });
    assert.equal(b.sink.bytes, file, `seed ${seed}`);
  }
});

loss('the whole download has a deadline, also while blocks keep coming', () => {
  const b = new Bench((packet, bench) => {
    if (packet.opcode !== 5)
      bench.send(data(packet.opcode === 1 ? 1 : packet.number + 1, pattern(512)), 400);
  });
  const error = thrown(() => b.run({ totalMs: 10_000 }));
  assert.is(error.kind.name, 'TftpTooSlow');
  assert.is(b.clock.ms - 1, 10_000);
  assert.is(b.course.at(-1), 'ERROR 0 40000');
});

loss('a flood of foreign packets neither helps nor starves the timers', () => {
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 1) bench.send(oack('tsize', '5000'));
  });
  b.device.onPoll = () => {
    if (b.clientPort === 0) return;
    b.send(data(1, [1]), 0, 5555, '10.0.0.2');
    b.send(data(7, [1]), 0, TID);
  };
  assert.is(thrown(() => b.run()).kind.name, 'TftpStalled');
  assert.ok(b.clock.ms < 24_000, `${b.clock.ms}`);
  assert.ok(b.seen.length < 20, `${b.seen.length} packets`);
});

loss.run();

const refusal = suite('TFTP refusal');

refusal('errors of the server in words', () => {
  const cases: [number, string, string, RegExp][] = [
    [1, 'no such', 'TftpFileNotFound', /boot\.bin: file not found \(code 1\): "no such"$/],
    [2, '', 'TftpAccessDenied', /access violation \(code 2\)$/],
    [0, 'odd\n', 'TftpServerError', /undefined error \(code 0\): "odd\\x0a"$/],
    [99, 'x', 'TftpServerError', /unknown error \(code 99\): "x"$/],
  ];
  for (const [code, text, name, pattern] of cases) {
    const b = new Bench((_, bench) => bench.send(tftpError(code, text)));
    const error = thrown(() => b.run());
    assert.is(error.kind.name, name);
    assert.match(error.message, pattern);
    assert.equal(b.course, ['RRQ 69']);
    assert.equal(b.sink.begun, []);
  }
});

refusal('an error without text or NUL, and one in the middle', () => {
  const bare = new Bench((_, bench) => bench.send([0, 5, 0, 3]));
  assert.match(thrown(() => bare.run()).message, /disk full or allocation exceeded \(code 3\)$/);
  const right = server({ file: pattern(2000) });
  const middle = new Bench((packet, bench) =>
    packet.number === 2 && packet.opcode === 4
      ? bench.send([0, 5, 0, 0, 65])
      : right(packet, bench),
  );
  assert.match(thrown(() => middle.run()).message, /undefined error \(code 0\): "A"$/);
});

refusal('options refused: asked once more without, from another port', () => {
  const file = pattern(700);
  const right = server({ file, plain: true });
  const b = new Bench((packet, bench) => {
    const options = packet.opcode === 1 && packet.payload.length > 21;
    if (options) bench.send(tftpError(8, 'no options'));
    else right(packet, bench);
  });
  assert.is(b.run().length, 700);
  assert.equal(b.sink.bytes, file);
  assert.equal(Array.from(b.seen[1]!.payload), [0, 1, ...ascii('dir/boot.bin\0octet\0')]);
  assert.is.not(b.seen[0]!.sourcePort, b.seen[1]!.sourcePort);
  const again = new Bench((_, bench) => bench.send(tftpError(8, '')));
  assert.is(thrown(() => again.run()).kind.name, 'TftpServerError');
  assert.is(again.seen.length, 2);
});

refusal('other ports get error 5 and change nothing; errors of theirs get nothing', () => {
  const file = pattern(1000);
  const right = server({ file, tsize: true });
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 4 && packet.number === 1) {
      bench.send(data(2, [6, 6, 6]), 0, TID + 1);
      bench.send(tftpError(0, 'bad'), 0, TID + 2);
      bench.send(data(2, [6, 6, 6]), 0, TID, '10.0.0.2');
    }
    if (packet.opcode !== 5) right(packet, bench);
  });
  const result = b.run();
  assert.equal(b.sink.bytes, file);
  assert.is(result.ignored, 3);
  const errors = b.seen.filter((packet) => packet.opcode === 5);
  assert.is(errors.length, 1);
  assert.is(errors[0]!.port, TID + 1);
  assert.equal(Array.from(errors[0]!.payload), tftpError(5, 'unknown transfer ID'));
});

refusal('two answers to a request sent twice: the first port counts', () => {
  const file = pattern(20);
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 1) {
      bench.send(data(1, file), 600, TID + bench.seen.length);
    }
  });
  assert.is(b.run().length, 20);
  assert.equal(b.course, ['RRQ 69', 'RRQ 69', `ACK 1 ${TID + 1}`]);
});

refusal('option acknowledgements that break the rules', () => {
  const cases: [number[], RegExp][] = [
    [oack('blksize', '1469'), /"blksize" with value "1469"$/],
    [oack('blksize', '7'), /"blksize"/],
    [oack('blksize', 'many'), /"many"/],
    [oack('blksize', '512', 'blksize', '512'), /not asked for/],
    [oack('windowsize', '5'), /"windowsize" with value "5"$/],
    [oack('windowsize', '0'), /"windowsize" with value "0"$/],
    [oack('tsize', '-1'), /"tsize" with value "-1"$/],
    [oack('tsize', '9999999999999999999'), /"tsize"/],
    [oack('timeout', '1'), /"timeout" with value "1", which was not asked for/],
    [oack('blksize'), /option "blksize" without a value/],
    [[0, 6, ...ascii('blksize'), 0, 53, 49, 50], /without NUL/],
  ];
  for (const [packet, pattern] of cases) {
    const b = new Bench((seen, bench) => {
      if (seen.opcode === 1) bench.send(packet);
    });
    const error = thrown(() => b.run());
    assert.is(error.kind.name, 'TftpBadOptions');
    assert.match(error.message, pattern);
    assert.equal(b.course, ['RRQ 69', 'ERROR 8 40000']);
    assert.equal(b.sink.begun, []);
  }
});

refusal('an empty option acknowledgement means no options', () => {
  const right = server({ file: pattern(600) });
  const b = new Bench((packet, bench) =>
    packet.opcode === 1 ? bench.send([0, 6]) : right(packet, bench),
  );
  assert.is(b.run().blockSize, 512);
});

refusal('oversized blocks, blocks beyond the size, and a file that ends too early', () => {
  const scripted = (...packets: number[][]): Bench =>
    new Bench((seen, bench) => {
      const next = seen.opcode === 1 ? packets[0] : packets[seen.number + 1];
      if (seen.opcode !== 5 && next !== undefined) bench.send(next);
    });
  const cases: [Bench, string, string, number][] = [
    [
      scripted(oack('blksize', '16'), data(1, pattern(17))),
      'TftpOversizedBlock',
      'ERROR 4 40000',
      0,
    ],
    [
      scripted(oack('tsize', '600'), data(1, pattern(512)), data(2, pattern(89))),
      'TftpBeyondSize',
      'ERROR 3 40000',
      512,
    ],
    [
      scripted(oack('tsize', '600'), data(1, pattern(512)), data(2, pattern(87))),
      'TftpTruncated',
      'ERROR 0 40000',
      512,
    ],
    [
      scripted(oack('tsize', '512'), data(1, pattern(512)), data(2, [1])),
      'TftpBeyondSize',
      'ERROR 3 40000',
      512,
    ],
  ];
  for (const [b, name, last, written] of cases) {
    assert.is(thrown(() => b.run()).kind.name, name);
    assert.is(b.course.at(-1), last);
    assert.is(b.sink.bytes.length, written);
  }
});

refusal('packets cut short and with other opcodes are ignored', () => {
  const right = server({ file: pattern(700), tsize: true });
  const b = new Bench((packet, bench) => {
    for (const bad of [
      [],
      [0],
      [0, 3],
      [0, 3, 0],
      [0, 5, 0],
      [0, 9, 0, 1],
      [0, 1, 65, 0],
      [0, 4, 0, 1],
    ])
      bench.send(bad);
    right(packet, bench);
  });
  assert.is(b.run().length, 700);
  assert.equal(b.sink.bytes, pattern(700));
});

const TestError = errorKinds({ TooLarge: ['ENOMEM', 'Give it more memory.'] });

refusal('a sink that refuses the size: nothing is written, the server is told', () => {
  const b = new Bench(server({ file: pattern(3000), tsize: '99999999999' }));
  const sink: DownloadSink = {
    begin: (size) => {
      throw new HypxeError(TestError.TooLarge, `${size}`);
    },
    write: () => assert.unreachable(),
  };
  const error = thrown(() => b.run({}, sink));
  assert.is(error.kind.name, 'TooLarge');
  assert.is(error.message, '99999999999');
  assert.equal(b.course, ['RRQ 69', 'ERROR 3 40000']);
  assert.match(String.fromCharCode(...b.seen[1]!.payload), /TooLarge/);
});

refusal('a sink that is full in the middle', () => {
  const b = new Bench(server({ file: pattern(3000) }));
  const sink: DownloadSink = {
    begin: () => {},
    write: (offset) => {
      if (offset > 1000) throw new HypxeError(TestError.TooLarge, 'full');
    },
  };
  assert.is(thrown(() => b.run({}, sink)).kind.name, 'TooLarge');
  assert.equal(b.course, ['RRQ 69', 'ACK 0 40000', 'ACK 1 40000', 'ACK 2 40000', 'ERROR 3 40000']);
});

refusal('port unreachable ends the wait at once, before the first answer and after it', () => {
  const unreachable = (bench: Bench): void => {
    const quote = bench.device.sent.at(-1)!.bytes.slice(14, 42);
    const message = [3, 3, 0, 0, 0, 0, 0, 0, ...quote];
    [message[2], message[3]] = u16(slowChecksum(message)) as [number, number];
    bench.device.deliver(ipFrame({ payload: message, protocol: 1 }));
  };
  const first = new Bench((_, bench) => unreachable(bench));
  assert.is(thrown(() => first.run()).kind.name, 'TftpPortUnreachable');
  assert.is(first.clock.ms, 2);
  const right = server({ file: pattern(2000) });
  const later = new Bench((packet, bench) =>
    packet.number === 2 ? unreachable(bench) : right(packet, bench),
  );
  const error = thrown(() => later.run());
  assert.is(error.kind.name, 'TftpStalled');
  assert.match(error.message, /ICMP port unreachable after 1024 bytes/);
});

refusal.run();

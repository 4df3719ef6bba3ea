// SPDX-License-Identifier: GPL-2.0-or-later

/** The TFTP client when packets are lost, doubled, reordered or late. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { thrown } from '../../rigs/net-peer.ts';
import { TID, data, oack, Bench, server, pattern } from '../../rigs/bench/net-tftp.ts';

const loss = suite('TFTP loss');

loss('no answer at all: back-off on the clock, and the error says where', () => {
  const b = new Bench(() => {});
  const error = thrown(() => b.run());
  assert.is(error.name, 'NoTftpAnswer');
  assert.match(
    error.message,
    /^tftp:\/\/10\.0\.0\.1\/dir\/boot\.bin: nothing after 0 bytes, asked 8 times$/,
  );
  // 1 ms went to ARP
  const times = b.seen.map((packet) => packet.ms - 1);
  assert.equal(times, [0, 500, 1500, 3500, 7500, 15500, 31500, 47500]);
  assert.is(b.clock.ms - 1, 63500);
  assert.ok(b.course.every((line) => line === 'RRQ 69'));
});

loss('a transfer that stops: the last acknowledgement is sent again, then all begins again', () => {
  const b = new Bench(server({ file: pattern(5000), pass: (block) => block < 3 }));
  const error = thrown(() => b.run({ firstTimeoutMs: 100, longestTimeoutMs: 300, tries: 4 }));
  const first = b.seen.slice(0, b.course.indexOf('ERROR 0 40000') + 1);
  assert.equal(b.course.slice(first.length - 5, first.length), [
    'ACK 2 40000',
    'ACK 2 40000',
    'ACK 2 40000',
    'ACK 2 40000',
    'ERROR 0 40000',
  ]);
  const times = first.slice(-5).map((packet) => packet.ms - first.at(-5)!.ms);
  assert.equal(times, [0, 100, 300, 600, 900]);
  const warning = b.events.find((event) => event.kind === 'log' && event.level === 'warning');
  assert.match(String(warning?.kind === 'log' && warning.text), /after 1024 bytes, asked 4 times/);

  // The server goes on where it was, and says nothing more to who begins again
  assert.is(error.name, 'TftpStalled');
  assert.equal(b.course.slice(first.length, first.length + 2), ['RRQ 69', 'ACK 0 40000']);
});

loss('lost blocks, each once, in each place of a window', () => {
  for (const windowsize of [1, 2, 4])
    for (let lost = 1; lost <= 9; lost++) {
      const file = pattern(8 * 100 + 50);
      const pass = (block: number, time: number): boolean => block !== lost || time > 1;
      const b = new Bench(server({ file, blksize: 100, windowsize, tsize: true, pass }));
      b.run();
      assert.equal(b.sink.bytes, file, `block ${lost} of window ${windowsize}`);
      // Found by the gap if another block of the window follows, else by the timer
      const follows = windowsize > 1 && lost % windowsize !== 0 && lost !== 9;
      assert.is(Math.floor(b.clock.ms / 500), follows ? 0 : 1, `${lost} ${windowsize}`);
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
    b.run();
    assert.equal(b.sink.bytes, file);
    // What came again was acknowledged again, and no timer was needed
    assert.is(b.acknowledged(lostAck), 2);
    assert.is(b.net.drops.tftpOrder, 1);
    assert.ok(b.clock.ms < 500, `${b.clock.ms}`);
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
      const first = b.acknowledged(1);
      if (packet.number === 0) bench.send(data(1, pattern(8)));
      else if (first === 1) for (let i = 0; i < 5; i++) bench.send(data(1, pattern(8)), 50);
      else if (first === 2) bench.send(data(2, [9]));
    });
    b.run({ blockSize: 8 });
    assert.equal(b.sink.bytes, [...pattern(8), 9]);
    assert.is(b.acknowledged(1), 2);
    assert.ok(b.clock.ms < 500, `${b.clock.ms}`);
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
  assert.is(error.name, 'TftpTooSlow');
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
  assert.is(thrown(() => b.run()).name, 'TftpStalled');
  assert.ok(b.clock.ms < 48_000, `${b.clock.ms}`);
  assert.ok(b.seen.length < 60, `${b.seen.length} packets`);
});

loss.run();

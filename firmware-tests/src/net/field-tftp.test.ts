// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What TFTP servers of other people did to other clients, each under the name of its report: at the
 * bytes, with the right outcome.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ipFrame, slowChecksum, thrown, u16 } from '../../rigs/net-peer.ts';
import { Bench, data, oack, pattern, server, TID, tftpError } from '../../rigs/bench/net-tftp.ts';
import type { Seen } from '../../rigs/bench/net-tftp.ts';

const field = suite('TFTP field reports');

/** Whether a request has options. */
const withOptions = ({ opcode, payload }: Seen): boolean => opcode === 1 && payload.length > 21;

/** ICMP: nobody listens where the client sent its last packet, or at the port `port`. */
function unreachable(bench: Bench, port?: number): void {
  const quote = bench.device.sent.at(-1)!.bytes.slice(14, 42);
  if (port !== undefined) quote.set(u16(port), 22);
  const message = [3, 3, 0, 0, 0, 0, 0, 0, ...quote];
  [message[2], message[3]] = u16(slowChecksum(message)) as [number, number];
  bench.device.deliver(ipFrame({ payload: message, protocol: 1 }));
}

/** A bench whose server answers the first request so, and then goes on as agreed. */
function answering(first: readonly number[], file: readonly number[], blksize = 512): Bench {
  const right = server({ file, blksize });
  return new Bench((packet, bench) =>
    packet.opcode === 1 ? bench.send(first) : right(packet, bench),
  );
}

field('PyPXE#125: an option that nobody asked for is ignored', () => {
  const file = pattern(3000);
  const answers = [
    oack('timeout', '6', 'blksize', '1000'),
    oack('blksize', '1000', 'timeout', '6'),
    oack('blksize', '1000', 'multicast', '224.1.2.3,1758,1', 'tsize', '3000'),
    oack('x', '', 'blksize', '1000'),
    oack('blksize', '1000', 'rollover', '0', 'utimeout', ''),
    [...oack('blksize', '1000'), 1, 2, 3],
  ];
  for (const answer of answers) {
    const b = answering(answer, file, 1000);
    assert.equal([b.run().blockSize, b.sink.bytes], [1000, file], String.fromCharCode(...answer));
    assert.is(b.course.filter((line) => line === 'RRQ 69').length, 1);
  }
});

field('node-tftp#13: NULs and blanks around options', () => {
  const file = pattern(3000);
  const answers = [
    oack('blksize', ' 1000', 'tsize', '3000'),
    oack('blksize', '1000 ', 'tsize', ' 3000 '),
    oack('blksize ', '1000', 'tsize', '3000'),
    oack('blksize', '1000\n', 'tsize', '3000\r\n'),
    oack('\tblksize', '\t1000', 'tsize', '3000'),
    [...oack('blksize', '1000', 'tsize', '3000'), 0, 0, 0, 0, 0],
    oack('blksize', '', '', '1000', 'tsize', '3000'),
    [0, 6, 0, ...oack('blksize', '1000', 'tsize', '3000').slice(2)],
    oack('BLKSIZE', '1000', 'TSize', '3000').slice(0, -1),
    oack('blksize', '1000', 'blksize', '512', 'tsize', '3000'),
  ];
  for (const answer of answers) {
    const b = answering(answer, file, 1000);
    assert.equal([b.run().blockSize, b.sink.bytes], [1000, file], String.fromCharCode(...answer));
    assert.equal(b.sink.begun, [3000]);
  }
});

field('curl#481, bochs#305: an error or silence for options: asked again without', () => {
  const file = pattern(1500);
  for (const code of [0, 3, 4, 5, 6, 7, 8, 99]) {
    const right = server({ file, plain: true });
    const b = new Bench((packet, bench) => {
      if (withOptions(packet)) bench.send(tftpError(code, 'unsupported option'));
      else right(packet, bench);
    });
    assert.is(b.run().length, 1500, `${code}`);
    assert.equal(b.sink.bytes, file);
    assert.ok(b.clock.ms < 100, `${b.clock.ms}`);
  }
  const right = server({ file, plain: true });
  const silent = new Bench((packet, bench) => {
    if (!withOptions(packet)) right(packet, bench);
  });
  assert.is(silent.run().length, 1500);
  assert.equal(silent.sink.bytes, file);
  assert.is(silent.course.filter((line) => line === 'RRQ 69').length, 5);
  assert.ok(silent.clock.ms < 8000, `${silent.clock.ms}`);
});

field('curl#481: the error of the request with options, late, is none for the one without', () => {
  const file = pattern(700);
  const right = server({ file, plain: true });
  const b = new Bench((packet, bench) => {
    if (!withOptions(packet)) return right(packet, bench);
    // Each request is answered, 700 ms later: the second answer comes when all has begun again
    bench.send(tftpError(0, 'bad option'), 700);
  });
  assert.is(b.run().length, 700);
  assert.equal(b.sink.bytes, file);
});

field('a server that is deaf for large blocks: asked again without options', () => {
  const file = pattern(4000);
  const large = server({ file, blksize: 1468, pass: () => false });
  const small = server({ file, plain: true });
  let isSmall = false;
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 1) isSmall = !withOptions(packet);
    (isSmall ? small : large)(packet, bench);
  });
  assert.is(b.run().blockSize, 512);
  assert.equal(b.sink.bytes, file);
  assert.ok(b.clock.ms < 25_000, `${b.clock.ms}`);
});

/** A transfer in which the link goes down after block 3, for `ms`. */
function linkLoss(ms: number, isGone: boolean): Bench {
  const file = pattern(4000);
  let right = server({ file });
  let upAt = 0;
  const b = new Bench((packet, bench) => {
    if (bench.device.link === 'down') return;
    if (packet.opcode === 1) right = server({ file });
    else if (isGone && upAt > 0 && bench.sink.begun.length === 1) return;
    if (packet.number !== 3 || packet.opcode !== 4 || upAt > 0) return right(packet, bench);
    bench.device.link = 'down';
    upAt = bench.clock.ticks + ms * 10_000;
  });
  b.device.onPoll = () => {
    if (b.clock.ticks >= upAt) b.device.link = 'up';
  };
  return b;
}

field('aks-engine#4341: 14 s without a link in the transfer', () => {
  for (const ms of [100, 3000, 14_000, 45_000]) {
    const stays = linkLoss(ms, false);
    assert.is(stays.run().length, 4000);
    assert.is(stays.sink.begun.length, 1);
    assert.ok(stays.clock.ms < ms + 1000, `${ms}: ${stays.clock.ms}`);
    const sentDown = stays.seen.filter((seen) => seen.ms > 600 && seen.ms < ms);
    assert.is(sentDown.length, 0, 'nothing is sent without a link');

    const gone = linkLoss(ms, true);
    assert.is(gone.run().length, 4000);
    assert.equal(gone.sink.bytes, pattern(4000));
    assert.is(gone.sink.begun.length, 2);
    assert.ok(gone.clock.ms < ms + 30_000, `${ms}: ${gone.clock.ms}`);
  }
});

field('aks-engine#4341: a link that does not come back has its name, in bounded time', () => {
  const b = linkLoss(1e9, false);
  const error = thrown(() => b.run());
  assert.is(error.name, 'LinkDown');
  assert.match(error.message, /net0 lost its link/);
  assert.ok(b.clock.ms < 62_000, `${b.clock.ms}`);
});

field('aks-engine#4341: when the link is back, patience begins anew', () => {
  const b = new Bench(() => {});
  b.device.onPoll = () => {
    b.device.link = b.clock.ms > 5000 && b.clock.ms < 12_000 ? 'down' : 'up';
  };
  assert.is(thrown(() => b.run({ tries: 6 })).name, 'NoTftpAnswer');
  // The fourth try would have lasted to 7.5 s; its end is not seen before the link is there
  const times = b.seen.map(({ ms }) => ms - 1);
  const anew = [11_999, 12_499, 13_499, 15_499, 19_499, 27_499];
  assert.equal(times, [0, 500, 1500, 3500, ...anew]);

  // Options, too: what was not answered before may not have arrived
  const optioned = b.seen.map(({ payload }) => String.fromCharCode(...payload).includes('blksize'));
  assert.equal(optioned, [...[true, true, true, true], ...[true, true, true, true], false, false]);
});

field(
  'T12, aks-engine#4341: a slow first answer, and a link that was lost while it was due',
  () => {
    for (const lostAt of [400, 2000, 9000, 16_000]) {
      const file = pattern(1500);
      const right = server({ file, plain: true });
      let asked = false;
      const b = new Bench((packet, bench) => {
        if (packet.opcode !== 1) return right(packet, bench);
        // What it would have sent before went into the link that was lost
        if (bench.clock.ms < lostAt + 5000 || asked) return;
        asked = true;
        bench.send(data(1, file.slice(0, 512)), 30_000);
      });
      b.device.onPoll = () => {
        b.device.link = b.clock.ms > lostAt && b.clock.ms < lostAt + 5000 ? 'down' : 'up';
      };
      assert.is(b.run().length, 1500, `${lostAt}`);
    }
  },
);

field('a link that comes and goes for ever ends in bounded time', () => {
  const b = new Bench(() => {});
  b.device.onPoll = () => {
    b.device.link = Math.floor(b.clock.ms / 3000) % 2 === 1 ? 'down' : 'up';
  };
  assert.is(thrown(() => b.run()).name, 'NoTftpAnswer');
  assert.ok(b.clock.ms < 300_000, `${b.clock.ms}`);
});

field(
  'aks-engine#4341: the host tells late that the link is back, and blocks come meanwhile',
  () => {
    const file = pattern(4000);
    const right = server({ file });
    const b = new Bench((packet, bench) => {
      right(packet, bench);
      if (packet.number === 3) bench.device.link = 'down';
    });
    assert.is(b.run().length, 4000);
    assert.equal(b.sink.bytes, file);
    assert.ok(b.clock.ms < 1000, `${b.clock.ms}`);
  },
);

field('docker-netbootxyz#22: one ICMP port unreachable, then the server is there', () => {
  for (const count of [1, 3, 6]) {
    const file = pattern(1500);
    const right = server({ file });
    let left = count;
    const b = new Bench((packet, bench) => {
      if (left-- > 0) unreachable(bench);
      else right(packet, bench);
    });
    assert.is(b.run().length, 1500, `${count}`);
    assert.equal(b.sink.bytes, file);
  }
});

field('T12: a server whose first answer takes 30 s', () => {
  for (const ms of [5000, 15_000, 30_000, 45_000]) {
    const file = pattern(1500);
    const right = server({ file });
    let first = true;
    const b = new Bench((packet, bench) => {
      if (packet.opcode !== 1) return right(packet, bench);
      if (first) bench.send(oack('blksize', '512'), ms);
      first = false;
    });
    assert.is(b.run().length, 1500, `${ms}`);
    assert.equal(b.sink.bytes, file);
    assert.ok(b.clock.ms < ms + 100, `${b.clock.ms}`);
  }
});

field('tftpy#45: a size of 0 (echoed), of -1, or wrong, is a hint', () => {
  const file = pattern(1500);
  const unknown = ['0', '-1', '4294967295', '18446744073709551615', '', 'unknown', '1.5e3'];
  for (const tsize of unknown) {
    const b = new Bench(server({ file, tsize }));
    assert.is(b.run().length, 1500, tsize);
    assert.equal(b.sink.bytes, file);
    assert.equal(b.sink.begun, [undefined], tsize);
  }
  for (const tsize of ['1', '512', '1024', '1499', '1501', '2048', '1000000']) {
    let right = server({ file, tsize });
    const b = new Bench((packet, bench) => {
      if (packet.opcode === 1) right = server({ file, tsize, plain: !withOptions(packet) });
      right(packet, bench);
    });
    assert.is(b.run().length, 1500, tsize);
    assert.equal(b.sink.bytes, file);
  }
});

/** A server whose block numbers wrap to `to`, with blocks of 8 bytes; block `lost` is lost once. */
function wrapping(blocks: number, window: number, to: 0 | 1, lost = 0): [Bench, Uint8Array] {
  const file = new Uint8Array(8 * (blocks - 1) + 3);
  for (let i = 0; i < file.length; i++) file[i] = i * 7 + (i >> 11);
  const onWire = (block: number): number =>
    block < 0x10000 ? block : ((block - 0x10000) % (0x10000 - to)) + to;
  let acked = 0;
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 1) return bench.send(oack('blksize', '8', 'windowsize', `${window}`));
    if (packet.opcode !== 4) return;
    let block = acked;
    while (block < acked + window && onWire(block) !== packet.number) block++;
    if (onWire(block) !== packet.number) return;
    acked = block;
    for (let next = acked + 1; next <= Math.min(acked + window, blocks); next++) {
      if (next === lost) lost = 0;
      else bench.send(data(onWire(next), Array.from(file.subarray(next * 8 - 8, next * 8))));
    }
  });
  b.device.record = false;
  b.seen.push = () => 0;
  return [b, file];
}

field('tftp.net#6, Indy#242: block numbers wrap from 65535 to 1, or to 0', () => {
  for (const [window, to, lost] of [
    [1, 1, 0],
    [1, 0, 0],
    [4, 1, 0],
    [4, 0, 0x10000],
    [16, 1, 0x10000],
    [16, 0, 0x10000],
    [16, 0, 0xffff],
  ] as const) {
    const [b, file] = wrapping(0x10000 + 40, window, to, lost);
    const received = new Uint8Array(file.length);
    const result = b.run(
      { blockSize: 8, windowSize: window },
      {
        begin: () => {},
        write: (offset, buffer, from, length) =>
          received.set(buffer.subarray(from, from + length), offset),
      },
    );
    assert.is(result.length, file.length, `window ${window} to ${to}`);
    assert.ok(Buffer.from(received).equals(Buffer.from(file)), `window ${window} to ${to}`);
  }
});

field('PyPXE#96: all bytes of the size are there, the empty last block never comes', () => {
  for (const windowsize of [1, 4])
    for (const end of ['silence', 'unreachable', 'error'] as const) {
      const file = pattern(2048);
      const right = server({ file, windowsize, tsize: true, pass: (block) => block < 5 });
      const b = new Bench((packet, bench) => {
        if (packet.opcode !== 4 || packet.number !== 4 || end === 'silence') right(packet, bench);
        else if (end === 'error') bench.send(tftpError(5, 'over'));
        else unreachable(bench);
      });
      assert.is(b.run().length, 2048, `${windowsize} ${end}`);
      assert.equal(b.sink.bytes, file);
      assert.ok(b.clock.ms < 4000, `${b.clock.ms}`);
    }
});

field('tftpy, pin/tftp#48: the server answers from its second address', () => {
  const file = pattern(1500);
  const second = (packet: Seen, bench: Bench): void => {
    if (packet.opcode === 1) bench.send(oack('blksize', '512'), 0, TID, '10.0.0.9');
    else {
      assert.equal([packet.to, packet.port], ['10.0.0.9', TID]);
      const block = packet.number + 1;
      bench.send(data(block, file.slice(block * 512 - 512, block * 512)), 0, TID, '10.0.0.9');
    }
  };
  const b = new Bench(second);
  assert.is(b.run().length, 1500);
  assert.equal(b.sink.bytes, file);
});

field('pin/tftp#48: the first answer counts, the other address gets error 5', () => {
  const file = pattern(3000);
  const right = server({ file });
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 5) return;
    right(packet, bench);
    if (packet.opcode === 4) bench.send(data(1, [6, 6, 6]), 0, TID, '10.0.0.9');
  });
  assert.is(b.run().length, 3000);
  assert.equal(b.sink.bytes, file);
  const errors = b.seen.filter(({ opcode }) => opcode === 5);
  assert.ok(errors.length > 0);
  for (const { to, payload } of errors)
    assert.equal([to, Array.from(payload)], ['10.0.0.9', tftpError(5, 'unknown transfer ID')]);
  assert.is(b.net.drops.tftpForeign, 6);
});

field('K9: what comes before the first answer is counted, too', () => {
  const right = server({ file: pattern(600) });
  let isFirst = true;
  const b = new Bench((packet, bench) => {
    if (isFirst) {
      bench.send(data(5, [1]));
      bench.send([0, 3]);
      unreachable(bench, 70);
    }
    isFirst = false;
    right(packet, bench);
  });
  assert.is(b.run().length, 600);
  assert.equal({ ...b.net.drops }, { tftpOrder: 1, tftpMalformed: 1, tftpForeign: 1 });
});

field('K9: each packet of no use is counted', () => {
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 1) bench.send(oack('blksize', '512'));
    if (packet.opcode !== 4) return;
    bench.send(data(1, [1]), 0, TID + 1);
    bench.send([0, 9, 0, 1]);
    bench.send([0]);
    bench.send(data(3, [1]));
    bench.send(data(0xfff0, [1]));
  });
  const error = thrown(() => b.run({ tries: 1 }));
  assert.is(error.name, 'TftpStalled');
  const { tftpForeign = 0, tftpMalformed = 0, tftpOrder = 0 } = b.net.drops;
  const acks = b.seen.filter(({ opcode }) => opcode === 4).length;
  assert.ok(acks > 1);
  assert.equal([tftpForeign, tftpMalformed, tftpOrder], [acks, 2 * acks, 2 * acks]);
});

field.run();

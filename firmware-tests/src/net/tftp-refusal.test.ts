// SPDX-License-Identifier: GPL-2.0-or-later

/** The TFTP client and servers that refuse, or that break the rules. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ascii, ipFrame, slowChecksum, thrown, u16 } from '../../rigs/net-peer.ts';
import type { DownloadSink } from '../../../src/net/download.ts';
import { HypxeError } from '../../../src/error.ts';
import { TID, data, oack, tftpError, Bench, server, pattern } from '../../rigs/bench/net-tftp.ts';

const refusal = suite('TFTP refusal');

refusal('errors of the server in words', () => {
  const cases: [number, string, string, RegExp][] = [
    [1, 'no such', 'TftpFileNotFound', /boot\.bin: error 1: "no such"$/],
    [2, '', 'TftpAccessDenied', /boot\.bin: error 2$/],
    [0, 'odd\n', 'TftpServerError', /error 0: "odd\\x0a"$/],
    [99, 'x', 'TftpServerError', /error 99: "x"$/],
  ];
  for (const [code, text, name, pattern] of cases) {
    const b = new Bench((_, bench) => bench.send(tftpError(code, text)));
    const error = thrown(() => b.run());
    assert.is(error.name, name);
    assert.match(error.message, pattern);
    // What may be about the options is asked again without
    assert.equal(b.course, name === 'TftpServerError' ? ['RRQ 69', 'RRQ 69'] : ['RRQ 69']);
    assert.equal(b.sink.begun, []);
  }
});

refusal('an error without text or NUL, and one in the middle: all begins again', () => {
  const bare = new Bench((_, bench) => bench.send([0, 5, 0, 3]));
  assert.match(thrown(() => bare.run()).message, /: error 3$/);
  const file = pattern(2000);
  let right = server({ file });
  const middle = new Bench((packet, bench) => {
    if (packet.opcode === 1) right = server({ file });
    const times = bench.seen.filter(({ opcode }) => opcode === 1).length;
    if (packet.opcode === 4 && packet.number === 2 && times === 1)
      return bench.send([0, 5, 0, 0, 65]);
    right(packet, bench);
  });
  assert.is(middle.run().length, 2000);
  assert.equal(middle.sink.bytes, file);
  assert.equal(middle.sink.begun, [undefined, undefined]);
  assert.match(JSON.stringify(middle.events), /error 0: \\"A\\": beginning again/);
});

refusal('an error that comes each time: the fourth transfer is the last', () => {
  let right = server({ file: pattern(2000) });
  const b = new Bench((packet, bench) => {
    if (packet.opcode === 1) right = server({ file: pattern(2000), plain: true });
    if (packet.opcode === 4 && packet.number === 2) return bench.send(tftpError(0, 'disk'));
    right(packet, bench);
  });
  assert.is(thrown(() => b.run()).name, 'TftpServerError');
  assert.is(b.course.filter((line) => line === 'RRQ 69').length, 4);
  assert.is(new Set(b.seen.map(({ sourcePort }) => sourcePort)).size, 4);
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
  assert.is(thrown(() => again.run()).name, 'TftpServerError');
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
  b.run();
  assert.equal(b.sink.bytes, file);
  assert.ok(b.clock.ms < 500, `${b.clock.ms}`);
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

refusal('option acknowledgements that nobody can go by: told, and asked without options', () => {
  const cases: [number[], RegExp][] = [
    [oack('blksize', '1469'), /"blksize" with value "1469": beginning/],
    [oack('blksize', '7'), /"blksize" with value "7"/],
    [oack('blksize', 'many'), /"blksize" with value "many"/],
    [oack('blksize', '-512'), /"blksize" with value "-512"/],
    [oack('blksize', '9999999999999999'), /"blksize"/],
    [oack('blksize'), /"blksize" with value ""/],
    [oack('windowsize', '5'), /"windowsize" with value "5"/],
    [oack('windowsize', '0'), /"windowsize" with value "0"/],
  ];
  for (const [packet, pattern] of cases) {
    const b = new Bench((seen, bench) => {
      if (seen.opcode !== 1) return;
      bench.send(seen.payload.length > 21 ? packet : data(1, [7, 7]));
    });
    assert.is(b.run().length, 2);
    assert.match(
      b.events.map((event) => JSON.stringify(event).replaceAll('\\', '')).join(),
      pattern,
    );
    assert.equal(b.course, ['RRQ 69', 'ERROR 8 40000', 'RRQ 69', 'ACK 1 40000']);
    assert.equal(b.sink.begun, [undefined]);

    // With a server that answers the other request so, too, that is no answer to it
    const again = new Bench((seen, bench) => {
      if (seen.opcode === 1) bench.send(packet);
    });
    const error = thrown(() => again.run());
    assert.is(error.name, 'TftpStalled');
  }
});

refusal('an empty option acknowledgement means no options', () => {
  const right = server({ file: pattern(600) });
  const b = new Bench((packet, bench) =>
    packet.opcode === 1 ? bench.send([0, 6]) : right(packet, bench),
  );
  assert.is(b.run().blockSize, 512);
});

refusal(
  'oversized blocks, blocks beyond the size, a file that ends too early: told, and once more',
  () => {
    const cases: [number[][], string, string, number][] = [
      [[oack('blksize', '16'), data(1, pattern(17))], 'TftpOversizedBlock', 'ERROR 4 40000', 0],
      [
        [oack('tsize', '600'), data(1, pattern(512)), data(2, pattern(89))],
        'TftpBeyondSize',
        'ERROR 3 40000',
        512,
      ],
      [
        [oack('tsize', '600'), data(1, pattern(512)), data(2, pattern(87))],
        'TftpTruncated',
        'ERROR 0 40000',
        512,
      ],
      [
        [oack('tsize', '512'), data(1, pattern(512)), data(2, [1])],
        'TftpBeyondSize',
        'ERROR 3 40000',
        512,
      ],
    ];
    for (const [packets, name, last, written] of cases) {
      const b = new Bench((seen, bench) => {
        const next = seen.opcode === 1 ? packets[0] : packets[seen.number + 1];
        const times = bench.seen.filter(({ opcode }) => opcode === 1).length;
        if (times > 1) return bench.send(tftpError(1, 'gone'));
        if (seen.opcode !== 5 && next !== undefined) bench.send(next);
      });
      assert.is(thrown(() => b.run()).name, 'TftpFileNotFound');
      assert.is(b.course.at(-2), last);
      assert.match(JSON.stringify(b.events), /beginning again/);
      assert.is(b.sink.bytes.length, written, name);
    }
  },
);

refusal('a file that ends before its size, and elsewhere when asked again, is truncated', () => {
  const b = new Bench((seen, bench) => {
    const isFirst = bench.seen.filter(({ opcode }) => opcode === 1).length === 1;
    if (seen.opcode === 1) bench.send(isFirst ? oack('tsize', '600') : data(1, pattern(300)));
    else if (seen.opcode === 4) bench.send(data(1, pattern(400)));
  });
  const error = thrown(() => b.run());
  assert.is(error.name, 'TftpTruncated');
  assert.match(error.message, /block 1 ends at 300/);
  assert.equal(b.course, ['RRQ 69', 'ACK 0 40000', 'ERROR 0 40000', 'RRQ 69', 'ERROR 0 40000']);
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

refusal('a sink that refuses the size: nothing is written, the server is told', () => {
  const b = new Bench(server({ file: pattern(3000), tsize: '99999999999' }));
  const sink: DownloadSink = {
    begin: (size) => {
      throw new HypxeError('ImageTooLarge', `${size}`);
    },
    write: () => assert.unreachable(),
  };
  const error = thrown(() => b.run({}, sink));
  assert.is(error.name, 'ImageTooLarge');
  assert.is(error.message, '99999999999');
  assert.equal(b.course, ['RRQ 69', 'ERROR 3 40000']);
  assert.match(String.fromCharCode(...b.seen[1]!.payload), /TooLarge/);
});

refusal('a sink that is full in the middle', () => {
  const b = new Bench(server({ file: pattern(3000) }));
  const sink: DownloadSink = {
    begin: () => {},
    write: (offset) => {
      if (offset > 1000) throw new HypxeError('ImageTooLarge', 'full');
    },
  };
  assert.is(thrown(() => b.run({}, sink)).name, 'ImageTooLarge');
  assert.equal(b.course, ['RRQ 69', 'ACK 0 40000', 'ACK 1 40000', 'ACK 2 40000', 'ERROR 3 40000']);
});

refusal('port unreachable: the wait goes on, and the error says so at its end', () => {
  const unreachable = (bench: Bench): void => {
    const quote = bench.device.sent.at(-1)!.bytes.slice(14, 42);
    const message = [3, 3, 0, 0, 0, 0, 0, 0, ...quote];
    [message[2], message[3]] = u16(slowChecksum(message)) as [number, number];
    bench.device.deliver(ipFrame({ payload: message, protocol: 1 }));
  };
  const first = new Bench((_, bench) => unreachable(bench));
  const error = thrown(() => first.run());
  assert.is(error.name, 'TftpPortUnreachable');
  assert.is(first.course.length, 8);

  // In the middle one is nothing, and two in a row are the end of that transfer
  const file = pattern(2000);
  for (const count of [1, 2]) {
    let right = server({ file });
    let left = count;
    const b = new Bench((packet, bench) => {
      if (packet.opcode === 1) right = server({ file });
      if (packet.number === 2 && left-- > 0) unreachable(bench);
      else right(packet, bench);
    });
    assert.is(b.run().length, 2000);
    assert.equal(b.sink.bytes, file);
    assert.is(b.sink.begun.length, count);
  }
});

refusal.run();

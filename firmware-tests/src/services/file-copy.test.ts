// SPDX-License-Identifier: GPL-2.0-or-later

/** The file copy service between the host's messages and a consumer of a few lines. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FileCopyService, LATER, type FileConsumer, type FilePort } from '../../../src/os.ts';
import type { FileCopyOptions } from '../../../src/services/file-copy.ts';
import { Extents } from '../../../src/services/extents.ts';
import { FileCopyOperation, IcStatus, IcType } from '../../../src/services/protocol.ts';
import { utf8Text } from '../../../src/services/unicode.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import type { RawHost } from '../../rigs/utility-rig.ts';
import {
  UtilityRig,
  contentsOf,
  message,
  operationBody,
  rawFileCopy,
  startBody,
  writeBody,
} from '../../rigs/utility-rig.ts';

const { SUCCESS, FAIL, DISK_FULL, NOT_FOUND, ALREADY_EXISTS } = IcStatus;
const COMPLETE = operationBody(FileCopyOperation.COMPLETE);
const CANCEL = operationBody(FileCopyOperation.CANCEL);

/** Writes down what it is asked, and answers as it is told. */
class Script implements FileConsumer {
  readonly calls: string[] = [];
  port!: FilePort;
  ticket = 0;
  /** Version of the handshake; undefined to come later. */
  version: number | undefined = 1;
  status: number = SUCCESS;

  attach(port: FilePort): void {
    this.port = port;
    if (this.version !== undefined) port.register(this.version);
  }

  start(ticket: number, file: Parameters<FileConsumer['start']>[1]): number {
    const flags = `${file.overwrite ? 'o' : ''}${file.createPath ? 'c' : ''}`;
    const names = `${utf8Text(file.path)}|${utf8Text(file.name)}`;
    return this.#note(ticket, `start ${names} ${file.size} ${flags}`.trim());
  }

  write(ticket: number, offset: number, bytes: Uint8Array, from: number, length: number): number {
    const data = Buffer.from(bytes.subarray(from, from + Math.min(length, 4))).toString('hex');
    return this.#note(ticket, `write ${offset} ${length} ${data}`);
  }

  complete(ticket: number): number {
    return this.#note(ticket, 'complete');
  }

  cancel(ticket: number): number {
    return this.#note(ticket, 'cancel');
  }

  abandon(): void {
    this.calls.push('abandon');
  }

  #note(ticket: number, text: string): number {
    this.ticket = ticket;
    this.calls.push(text);
    return this.status;
  }

  /** The calls since the last time. */
  take(): string[] {
    return this.calls.splice(0);
  }
}

interface Bench {
  readonly host: RawHost;
  readonly script: Script;
  readonly rig: UtilityRig;
  /** Status of the answer to a body. */
  status(body: Uint8Array): number;
}

function bench(options: FileCopyOptions = {}, script = new Script()): Bench {
  const host = rawFileCopy();
  const rig = new UtilityRig({ devices: [host] });
  rig.probe([new FileCopyService(script, options)]);
  if (script.version === 1) rig.until(() => host.state === 'ready');
  const status = (body: Uint8Array): number => {
    host.ask(body);
    rig.until(() => host.bodies.length === 1);
    return host.bodies.pop()!.status;
  };
  return { host, script, rig, status };
}

const order = suite('order and checks');

order('a file, as the consumer sees it', () => {
  const { script, rig, status } = bench();
  assert.is(status(startBody('vmlinuz', { path: 'C:\\boot', flags: 3, size: 6150 })), SUCCESS);
  assert.is(status(writeBody(0, contentsOf(6144))), SUCCESS);
  assert.is(status(writeBody(6144, new Uint8Array([1, 2, 3, 4, 5, 6]))), SUCCESS);
  assert.is(status(COMPLETE), SUCCESS);
  const [first] = Buffer.from(contentsOf(4)).toString('hex').match(/.{8}/)!;
  assert.equal(script.take(), [
    'start C:\\boot|vmlinuz 6150 oc',
    `write 0 6144 ${first}`,
    'write 6144 6 01020304',
    'complete',
  ]);
  rig.finish();
  assert.equal(script.take(), []);
});

order('fragments at any offset, again and overlapping', () => {
  const { script, status } = bench();
  status(startBody('f', { size: 10_000 }));
  for (const [offset, length] of [
    [6000, 4000],
    [3000, 3000],
    [3000, 3000],
    [2000, 2500],
    [0, 2000],
  ] as const)
    assert.is(status(writeBody(offset, contentsOf(length))), SUCCESS);
  assert.is(status(writeBody(10_000, new Uint8Array(0))), SUCCESS, 'nothing, at the end');
  assert.is(status(COMPLETE), SUCCESS);
  assert.is(script.calls.at(-1), 'complete');
});

order('an empty file has no fragments', () => {
  const { script, status } = bench();
  assert.is(status(startBody('empty')), SUCCESS);
  assert.is(status(COMPLETE), SUCCESS);
  assert.equal(script.take(), ['start |empty 0', 'complete']);
});

order('START twice: the first file is given up, the second is taken', () => {
  const { script, rig, status } = bench();
  status(startBody('one', { size: 100 }));
  status(writeBody(0, contentsOf(50)));
  script.take();
  assert.is(status(startBody('two', { size: 4 })), SUCCESS);
  assert.equal(script.take(), ['abandon', 'start |two 4']);
  assert.ok(rig.said(/giving up the file: the host has begun another one/));
  assert.is(status(COMPLETE), FAIL, 'what came of the first does not count');
});

order('before START: WRITE and COMPLETE find no file, CANCEL has nothing to do', () => {
  const { script, status } = bench();
  assert.is(status(writeBody(0, contentsOf(10))), NOT_FOUND);
  assert.is(status(COMPLETE), NOT_FOUND);
  assert.is(status(CANCEL), SUCCESS);
  assert.equal(script.take(), []);
});

order('nothing is written beyond the file, or more than a fragment at once', () => {
  const { script, status } = bench();
  status(startBody('f', { size: 7000 }));
  script.take();
  const data = contentsOf(6144);
  assert.is(status(writeBody(0, data, 6145, 6300)), FAIL, 'more than 6144');
  assert.is(status(writeBody(0, data, 0xffffffff)), FAIL, '4 GiB');
  assert.is(status(writeBody(7001, data, 0)), FAIL, 'offset beyond the size');
  assert.is(status(writeBody(6999, data, 2)), FAIL, 'end beyond the size');
  assert.is(status(writeBody(1n << 32n, data, 1)), FAIL, 'offset in the upper half');
  assert.is(status(writeBody(1n << 53n, data, 1)), FAIL, 'offset of 2^53');
  assert.is(status(writeBody((1n << 64n) - 1n, data, 1)), FAIL, 'offset of 2^64 - 1');
  assert.equal(script.take(), []);
  assert.is(status(writeBody(6999, data, 1)), SUCCESS, 'the last byte');
});

order('lengths that lie', () => {
  const { script, status } = bench();
  status(startBody('f', { size: 7000 }));
  script.take();
  assert.is(status(writeBody(0, contentsOf(100), 101, 152)), FAIL, 'more than is there');
  assert.is(status(writeBody(0, contentsOf(100)).subarray(0, 51)), FAIL, 'no length');
  assert.is(status(new Uint8Array(35)), FAIL, 'no operation');
  assert.is(status(startBody('f', { size: 1 }).subarray(0, 1087)), FAIL, 'half a START');
  assert.equal(script.take(), []);
  assert.is(status(writeBody(0, contentsOf(100), 100, 152)), SUCCESS, 'a short message');
});

order('operations and flags that nobody knows', () => {
  const { script, status } = bench();
  assert.is(status(operationBody(4)), IcStatus.NOT_SUPPORTED);
  const all = operationBody(0).fill(0xff, 0, 4);
  assert.is(status(all), IcStatus.NOT_SUPPORTED);
  assert.is(status(startBody('f', { flags: 4 })), FAIL);
  assert.equal(script.take(), []);
});

order('a size that no guest has', () => {
  const { script, status } = bench();
  assert.is(status(startBody('f', { size: 1n << 53n })), DISK_FULL);
  assert.is(status(startBody('f', { size: (1n << 64n) - 1n })), DISK_FULL);
  assert.equal(script.take(), []);
  assert.is(status(startBody('f', { size: (1n << 53n) - 1n })), SUCCESS, 'the consumer decides');
  assert.equal(script.take(), ['start |f 9007199254740991']);
});

order('COMPLETE early: refused, and what was written is removed', () => {
  const { script, rig, status } = bench();
  status(startBody('f', { size: 100 }));
  status(writeBody(0, contentsOf(50)));
  status(writeBody(60, contentsOf(40)));
  script.take();
  assert.is(status(COMPLETE), FAIL);
  assert.equal(script.take(), ['abandon']);
  assert.ok(rig.said(/COMPLETE: 90 of 100 bytes have come/));
  assert.is(status(COMPLETE), NOT_FOUND, 'there is no file any more');
});

order('CANCEL at any time', () => {
  for (const fragments of [0, 1, 3]) {
    const { script, status } = bench();
    status(startBody('f', { size: 3 }));
    for (let i = 0; i < fragments; i++) status(writeBody(i, new Uint8Array(1)));
    assert.is(status(CANCEL), SUCCESS);
    assert.is(script.take().at(-1), 'cancel');
    assert.is(status(COMPLETE), NOT_FOUND);
  }
});

order('the consumer decides about what it is asked', () => {
  const { script, status } = bench();
  script.status = ALREADY_EXISTS;
  assert.is(status(startBody('f', { size: 1 })), ALREADY_EXISTS);
  assert.is(status(writeBody(0, new Uint8Array(1))), NOT_FOUND, 'no file was opened');
  script.status = SUCCESS;
  status(startBody('f', { size: 1 }));
  script.status = DISK_FULL;
  assert.is(status(writeBody(0, new Uint8Array(1))), DISK_FULL);
  script.status = SUCCESS;
  assert.is(status(COMPLETE), FAIL, 'the refused byte has not come');
});

order('a file with too many holes is refused, not half remembered', () => {
  const { status } = bench();
  status(startBody('f', { size: 10_000 }));
  for (let i = 0; i < 1024; i++) assert.is(status(writeBody(2 * i, new Uint8Array(1))), SUCCESS);
  assert.is(status(writeBody(5000, new Uint8Array(1))), DISK_FULL);
  assert.is(status(writeBody(1, new Uint8Array(1))), SUCCESS, 'one that closes a hole');
});

const NAMES: readonly (readonly [what: string, units: number[], expected: string])[] = [
  ['the field full, without NUL', new Array<number>(260).fill(0x61), 'a'.repeat(260)],
  ['an unpaired surrogate', [0x61, 0xd800, 0x62, 0], 'a\ufffdb'],
  ['a surrogate pair', [0xd83d, 0xde00, 0], '\ud83d\ude00'],
  ['half a pair at the very end', [...new Array<number>(259).fill(0x61), 0xd83d], 'a'.repeat(259)],
  ['empty', [0], ''],
];

for (const [what, units, expected] of NAMES)
  order(`a name: ${what}`, () => {
    const { script, status } = bench();
    const nameBytes = new Uint8Array(units.flatMap((unit) => [unit & 0xff, unit >> 8]));
    assert.is(status(startBody('', { nameBytes })), SUCCESS);
    const name = what.startsWith('half') ? `${expected}\ufffd` : expected;
    assert.equal(script.take(), [`start |${name} 0`]);
  });

order.run();

// --- a consumer that takes its time ---

const time = suite('time limits');

time('an answer that comes later goes back in place', () => {
  const { host, script, rig } = bench();
  script.status = LATER;
  host.ask(startBody('f', { size: 5 }));
  rig.run(1000);
  assert.is(host.bodies.length, 0);
  assert.ok(script.port.answer(script.ticket, SUCCESS));
  rig.run(5);
  assert.is(host.bodies.pop()!.status, SUCCESS);
  script.status = SUCCESS;
  host.ask(writeBody(0, new Uint8Array(5)));
  rig.run(5);
  assert.is(host.bodies.pop()!.status, SUCCESS);
});

time('a second request meanwhile is deferred, not lost', () => {
  const { host, script, rig } = bench();
  script.status = LATER;
  host.ask(startBody('f', { size: 5 }));
  host.sendRaw(message(IcType.FILE_COPY, writeBody(0, contentsOf(5)), { id: 9 }));
  host.sendRaw(message(IcType.FILE_COPY, COMPLETE, { id: 10 }));
  rig.run(500);
  assert.equal(script.take(), ['start |f 5']);
  const answers = () => rig.packets.filter(({ from }) => from === 'guest').slice(1);
  assert.is(answers().length, 0);
  script.port.answer(script.ticket, SUCCESS);
  rig.run(5);
  assert.is(script.take().length, 1, 'the WRITE, and it alone');
  script.status = SUCCESS;
  script.port.answer(script.ticket, SUCCESS);
  rig.run(5);
  assert.equal(script.take(), ['complete']);
  assert.equal(
    answers().map((packet) => packet.message[24]),
    [1, 9, 10],
  );
  rig.finish();
});

time('5 s of silence: the host hears of a failure, the late answer is discarded', () => {
  const { host, script, rig } = bench();
  script.status = LATER;
  const asked = rig.machine.clock.now;
  host.ask(startBody('f', { size: 5 }));
  rig.until(() => host.bodies.length === 1);
  const waited = (rig.machine.clock.now - asked) / TICKS_PER_MS;
  assert.ok(waited >= 5000 && waited < 5010, `${waited} ms`);
  assert.is(host.bodies.pop()!.status, FAIL);
  assert.equal(script.take(), ['start |f 5', 'abandon']);
  assert.is(script.port.answer(script.ticket, SUCCESS), false);
  assert.ok(rig.said(/discarding a late answer/));

  // The late answer has opened nothing, and answers nothing else either
  script.status = LATER;
  host.ask(startBody('g', { size: 5 }));
  rig.run(10);
  assert.is(script.port.answer(script.ticket - 1, SUCCESS), false);
  assert.is(host.bodies.length, 0);
  assert.ok(script.port.answer(script.ticket, SUCCESS));
});

time('a WRITE that took too long may be sent again', () => {
  const { host, script, rig, status } = bench({ operationMs: 100 });
  status(startBody('f', { size: 5 }));
  script.status = LATER;
  host.ask(writeBody(0, contentsOf(5)));
  rig.run(150);
  assert.is(host.bodies.pop()!.status, FAIL);
  assert.is(script.port.answer(script.ticket, SUCCESS), false);
  script.status = SUCCESS;
  assert.is(status(COMPLETE), FAIL, 'it does not count as written');
  status(startBody('f', { size: 5 }));
  script.status = LATER;
  host.ask(writeBody(0, contentsOf(5)));
  rig.run(150);
  host.bodies.pop();
  script.status = SUCCESS;
  assert.is(status(writeBody(0, contentsOf(5))), SUCCESS);
  assert.is(status(COMPLETE), SUCCESS);
});

time('a host that never sends COMPLETE: the file is removed after its silence', () => {
  const { script, rig, status } = bench({ silenceMs: 3000 });
  status(startBody('f', { size: 5 }));
  status(writeBody(0, contentsOf(5)));
  script.take();
  rig.run(2900);
  assert.equal(script.take(), []);
  rig.run(200);
  assert.equal(script.take(), ['abandon']);
  assert.ok(rig.said(/the host has been silent for 3000 ms/));
  assert.is(status(COMPLETE), NOT_FOUND);
});

time('requests wait for the handshake', () => {
  const script = new Script();
  script.version = undefined;
  const { host, rig } = bench({}, script);
  rig.run(2000);
  assert.is(host.state, 'negotiating', 'nothing has been read');
  assert.ok(script.port.register(1));
  rig.until(() => host.state === 'ready');
  host.ask(startBody('f', { size: 5 }));
  rig.until(() => host.bodies.length === 1);
  assert.is(host.bodies[0]!.status, SUCCESS);
  rig.finish();
});

time('a handshake with another version takes nothing', () => {
  const script = new Script();
  script.version = 2;
  const { host, rig } = bench({ handshakeMs: 1000 }, script);
  assert.ok(rig.said(/speaks version 2, not 1/));
  assert.is(script.port.register(0), false);
  rig.run(1100);
  assert.ok(rig.said(/nobody has come to take files/));
  rig.until(() => host.state === 'ready');
  host.ask(startBody('f', { size: 5 }));
  rig.until(() => host.bodies.length === 1);
  assert.is(host.bodies.pop()!.status, FAIL);
  assert.equal(script.take(), []);
  // It is not too late for one who knows the version
  assert.ok(script.port.register(1));
  host.ask(startBody('f', { size: 5 }));
  rig.until(() => host.bodies.length === 1);
  assert.is(host.bodies.pop()!.status, SUCCESS);
});

time.run();

// --- the end ---

const end = suite('end');

end('taken away while the consumer works: it hears of it, and its answer is discarded', () => {
  for (const operation of ['start', 'write', 'complete'] as const) {
    const { host, script, rig, status } = bench();
    const body = { start: startBody('f', { size: 1 }), write: writeBody(0, new Uint8Array(1)) };
    if (operation !== 'start') status(body.start);
    if (operation === 'complete') status(body.write);
    script.take();
    script.status = LATER;
    host.ask(operation === 'complete' ? COMPLETE : body[operation]);
    rig.run(10);
    assert.is(script.take().length, 1);
    rig.machine.vmbus.rescind(host);
    rig.run(20);
    assert.equal(script.take(), ['abandon'], operation);
    assert.is(script.port.answer(script.ticket, SUCCESS), false);
    assert.is(host.state, 'closed');
    rig.finish();
  }
});

end('taken away between fragments: what was written is removed', () => {
  const { host, script, rig, status } = bench();
  status(startBody('f', { size: 2 }));
  status(writeBody(0, new Uint8Array(1)));
  script.take();
  rig.machine.vmbus.rescind(host);
  rig.run(20);
  assert.equal(script.take(), ['abandon']);
  rig.finish();
});

end('closed by the firmware with a file open', () => {
  const { script, rig, status } = bench();
  status(startBody('f', { size: 2 }));
  script.take();
  rig.finish();
  assert.equal(script.take(), ['abandon']);
});

end.run();

// --- extents ---

const extents = suite('extents');

extents('any order of any ranges: as a map of bytes has it', () => {
  let state = 99;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  for (let round = 0; round < 200; round++) {
    const ranges = new Extents();
    const bytes = new Uint8Array(60);
    for (let i = 0; i < 14; i++) {
      const begin = random(60);
      const finish = Math.min(60, begin + random(12));
      assert.ok(ranges.add(begin, finish));
      bytes.fill(1, begin, finish);
      const here = bytes.reduce((sum, byte) => sum + byte, 0);
      assert.is(ranges.length, here, `seed 99, round ${round}`);
      for (const size of [0, 1, 20, 60])
        assert.is(ranges.covers(size), !bytes.subarray(0, size).includes(0), `round ${round}`);
    }
  }
});

extents.run();

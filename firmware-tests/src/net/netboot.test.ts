// SPDX-License-Identifier: GPL-2.0-or-later

/** The network boot of one device, from its link to the file. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  arpFrame,
  arpTarget,
  ascii,
  at16,
  BROADCAST,
  dhcpOptions,
  dhcpReply,
  FakeClock,
  FakeDevice,
  readUdp,
  SERVER_MAC,
  thrown,
  u16,
  udpFrame,
} from '../../rigs/net-peer.ts';
import { ipv4Text } from '../../../src/net/bytes.ts';
import type { DownloadSink } from '../../../src/net/download.ts';
import { netboot } from '../../../src/net/netboot.ts';
import type { NetbootOptions, NetbootResult } from '../../../src/net/netboot.ts';
import { Log } from '../../../src/events.ts';
import type { FirmwareEvent } from '../../../src/events.ts';

const FILE = Array.from({ length: 5000 }, (_, i) => (i * 13) & 255);

/** A network with one server for everything. */
class Bench {
  readonly clock = new FakeClock();
  readonly device = new FakeDevice(this.clock);
  readonly events: FirmwareEvent[] = [];
  readonly asked: string[] = [];
  readonly bytes: number[] = [];
  bootFile = 'boot.bin';
  readonly sink: DownloadSink = {
    begin: () => {},
    write: (offset, buffer, from, length) => {
      assert.is(offset, this.bytes.length);
      this.bytes.push(...buffer.slice(from, from + length));
    },
  };

  constructor() {
    this.device.answer = (frame) => {
      const target = arpTarget(frame);
      if (target !== undefined) this.device.deliver(arpFrame(2, target, SERVER_MAC, '10.0.0.50'));
      const datagram = readUdp(frame);
      if (datagram?.port === 67) this.#dhcp(datagram.payload);
      else if (datagram !== undefined) this.#tftp(datagram.payload, datagram.sourcePort);
    };
  }

  #dhcp(payload: Uint8Array): void {
    const [, type] = dhcpOptions(payload)[0]!;
    const reply = { type: type[0] === 1 ? 2 : 5, xid: payload.slice(4, 8), siaddr: '10.0.0.1' };
    const message = dhcpReply({ ...reply, file: ascii(this.bootFile) });
    const frame = { sourcePort: 67, port: 68, to: '10.0.0.50', payload: message };
    this.device.deliver(udpFrame(frame));
  }

  #tftp(payload: Uint8Array, port: number): void {
    const opcode = at16(payload, 0);
    const block = opcode === 1 ? 1 : at16(payload, 2) + 1;
    if (opcode === 1) this.asked.push(String.fromCharCode(...payload.subarray(2)).split('\0')[0]!);
    if (opcode === 5 || (block - 1) * 512 > FILE.length) return;
    const data = [0, 3, ...u16(block), ...FILE.slice((block - 1) * 512, block * 512)];
    this.device.deliver(udpFrame({ sourcePort: 4000, port, payload: data }));
  }

  run(options: Partial<NetbootOptions> = {}): NetbootResult {
    const log = new Log((event) => this.events.push(event));
    const { clock, sink } = this;
    return netboot(this.device, { clock, random: () => 7, log, sink, ...options });
  }

  get steps(): string[] {
    return this.events.flatMap((event) =>
      event.kind === 'boot-step' ? [`${event.step} ${event.phase}`] : [],
    );
  }
}

const boot = suite('netboot');

boot('lease, server, file, length; the receiver is detached', () => {
  const b = new Bench();
  const result = b.run();
  assert.equal(b.bytes, FILE);
  assert.is(ipv4Text(result.lease.address), '10.0.0.50');
  assert.is(ipv4Text(result.server), '10.0.0.1');
  assert.is(result.file, 'boot.bin');
  assert.is(result.length, 5000);
  assert.is(result.transfer.blocks, 10);
  assert.is(b.device.receiver, undefined);
  assert.ok(b.device.isOpen);
  const steps = ['configure begin', 'configure end', 'download begin', 'download end'];
  assert.equal(b.steps, steps);
});

boot('the file of the caller needs no boot file in the offer', () => {
  const b = new Bench();
  b.bootFile = '';
  const result = b.run({ override: { bootFile: 'other', nextServer: '10.0.0.1' } });
  assert.equal(b.asked, ['other']);
  assert.is(result.file, 'other');
  assert.ok(b.clock.ms < 100, 'no other offer was waited for');
});

boot('the same without a reader of the log', () => {
  const b = new Bench();
  b.run({ log: new Log(undefined) });
  assert.equal(b.bytes, FILE);
  assert.is(b.events.length, 0);
});

boot('the error says what came and was of no use', () => {
  const b = new Bench();
  b.device.answer = () => {
    b.device.deliver(udpFrame({ sourcePort: 67, port: 68, to: '10.0.0.9', payload: [1, 2, 3] }));
    b.device.deliver(udpFrame({ sourcePort: 9, port: 9999, to: '10.0.0.9', payload: [] }));
  };
  const { message } = thrown(() => b.run());
  assert.match(message, /^no offer \(7 discovers.*; dropped: dhcpMalformed 7, udpPort 7$/);
});

boot('the receiver is detached after each failure, and a failed step has no end', () => {
  const silent = new Bench();
  silent.device.answer = () => {};
  assert.is(thrown(() => silent.run()).name, 'NoDhcpAnswer');
  assert.equal(silent.steps, ['configure begin']);
  assert.is(silent.device.receiver, undefined);

  const nothing = new Bench();
  nothing.bootFile = '';
  assert.is(thrown(() => nothing.run()).name, 'NoBootFile');
  assert.equal(nothing.steps, ['configure begin']);
  assert.is(nothing.device.receiver, undefined);

  const gone = new Bench();
  gone.device.onPoll = () => {
    if (gone.asked.length > 0) gone.device.close();
  };
  assert.is(thrown(() => gone.run()).name, 'DeviceClosed');
  assert.equal(gone.steps, ['configure begin', 'configure end', 'download begin']);
  assert.is(gone.device.receiver, undefined);
});

boot('a second boot of the same device starts from nothing', () => {
  const b = new Bench();
  b.run();
  b.bytes.length = 0;
  b.run();
  assert.equal(b.bytes, FILE);
});

boot('random frames and random changes of right ones throw nothing unnamed', () => {
  for (let seed = 1; seed <= 40; seed++) {
    let state = seed;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return (state >>> 8) % limit;
    };
    const b = new Bench();
    const deliver = b.device.deliver.bind(b.device);
    b.device.deliver = (bytes) => {
      const spoilt = Uint8Array.from(bytes);
      for (let i = 0; i < 3; i++) spoilt[random(spoilt.length)] = random(256);
      deliver(random(2) === 0 ? spoilt : spoilt.slice(0, random(spoilt.length)));
      deliver(Uint8Array.from({ length: random(100) }, () => random(256)));
      if (random(3) > 0) deliver(bytes);
    };
    try {
      b.run();
      assert.equal(b.bytes, FILE, `seed ${seed}`);
    } catch (error) {
      if ((error as { kind?: unknown }).kind === undefined) {
        console.error(`seed ${seed}`);
        throw error;
      }
    }
  }
});

boot('the first frame is a DISCOVER to everybody', () => {
  const b = new Bench();
  b.run();
  assert.equal(readUdp(b.device.sent[0]!.bytes)!.toMac, BROADCAST);
});

boot.run();

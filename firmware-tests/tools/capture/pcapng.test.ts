// SPDX-License-Identifier: GPL-2.0-or-later

/** Captures at the bytes: blocks, interfaces, times, directions, comments, and what is in them. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dissector, DISSECTOR_PATH } from '../../../tools/capture/dissector.ts';
import { SNAP_LENGTH, enhancedPacket } from '../../../tools/capture/pcapng.ts';
import { CaptureHeader, CaptureKind } from '../../../tools/capture/protocol.ts';
import {
  blocksOf,
  captureBoot,
  optionsOf,
  packetsOf,
  type Packet,
} from '../../rigs/capture-rig.ts';
import { directory, hypxe, write } from '../../rigs/cli-rig.ts';

const NIC_COUNT = 2;
const run = captureBoot('server2022', NIC_COUNT);
const packets = packetsOf(run.file);
const records = packets.filter((packet) => packet.interface === NIC_COUNT);

/** A field of a record's header. */
function field({ bytes }: Packet, name: keyof typeof CaptureHeader.at): number {
  return bytes.readUIntLE(CaptureHeader.at[name], CaptureHeader.sizes[name]);
}

/** What crossed, and what it refers to. */
function payload(record: Packet): Buffer {
  return record.bytes.subarray(CaptureHeader.size, CaptureHeader.size + field(record, 'length'));
}
function attached(record: Packet): Buffer {
  return record.bytes.subarray(CaptureHeader.size + field(record, 'length'));
}

const ofKind = (kind: number): Packet[] => records.filter((each) => field(each, 'kind') === kind);

const files = suite('captures: the file');

files('a section header, then one interface for each NIC and one for VMBus', () => {
  const [header, ...rest] = blocksOf(run.file);
  assert.is(run.status, 'booted');
  assert.is(header!.type, 0x0a0d0d0a);
  assert.equal([...header!.body.subarray(0, 8)], [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0]);
  assert.is(optionsOf(header!.body, 16).get(4)!.toString(), 'test');
  const interfaces = rest.filter(({ type }) => type === 1).map(({ body }) => body);
  assert.equal(
    rest.slice(0, NIC_COUNT + 1).map(({ type }) => type),
    [1, 1, 1],
  );
  assert.equal(
    interfaces.map((body) => [body.readUInt16LE(0), optionsOf(body, 8).get(2)!.toString()]),
    [
      [1, 'nic0'],
      [1, 'nic1'],
      [147, 'vmbus'],
    ],
  );
  for (const body of interfaces) assert.equal([...optionsOf(body, 8).get(9)!], [9]);
  assert.ok(rest.slice(NIC_COUNT + 1).every(({ type }) => type === 6));
});

files('frames are those of the wire, with their interface, time and direction', () => {
  const frames = run.events.flatMap(({ event, now }) =>
    event.kind === 'frame' ? [{ event, now }] : [],
  );
  const captured = packets.filter((packet) => packet.interface < NIC_COUNT);
  assert.ok(frames.length > 20);
  assert.is(captured.length, frames.length);
  for (const [i, { event, now }] of frames.entries()) {
    const packet = captured[i]!;
    assert.is(packet.interface, event.nic);
    assert.is(packet.nanoseconds, BigInt(now) * 100n);
    assert.is(packet.direction, event.from === 'guest' ? 2 : 1);
    assert.is(packet.originalLength, event.frame.length);
    assert.equal(packet.bytes, Buffer.from(event.frame));
  }
});

files('ring packets, messages, hypercalls and register writes are all there', () => {
  const kinds = {
    hypercall: CaptureKind.HYPERCALL,
    'host-message': CaptureKind.HOST_MESSAGE,
    'ring-packet': CaptureKind.RING_PACKET,
    wrmsr: CaptureKind.MSR_WRITE,
  };
  for (const [name, kind] of Object.entries(kinds)) {
    const events = run.events.filter(({ event }) => event.kind === name);
    const captured = ofKind(kind);
    assert.ok(events.length > 10, name);
    assert.is(captured.length, events.length, name);
    for (const [i, { event, now }] of events.entries()) {
      assert.is(captured[i]!.nanoseconds, BigInt(now) * 100n);
      if (event.kind === 'hypercall') {
        assert.equal(payload(captured[i]!), Buffer.from(event.input));
        assert.is(field(captured[i]!, 'number'), event.code);
        assert.is(field(captured[i]!, 'status'), event.status);
      } else if (event.kind === 'host-message') {
        assert.equal(payload(captured[i]!), Buffer.from(event.payload));
        assert.is(field(captured[i]!, 'sint'), event.sint);
      } else if (event.kind === 'ring-packet') {
        assert.equal(payload(captured[i]!), Buffer.from(event.bytes));
        assert.is(field(captured[i]!, 'channel'), event.channel);
        assert.is(captured[i]!.direction, event.from === 'guest' ? 2 : 1);
      } else if (event.kind === 'wrmsr') {
        assert.is(field(captured[i]!, 'number'), event.msr);
        assert.is(payload(captured[i]!).readBigUInt64LE(), event.value);
      }
    }
  }
});

files('the RNDIS messages of frames are attached: the frames are in them', () => {
  const frames = run.events.flatMap(({ event }) =>
    event.kind === 'frame' ? [{ from: event.from, frame: Buffer.from(event.frame) }] : [],
  );
  for (const [from, direction] of [
    ['guest', 2],
    ['host', 1],
  ] as const) {
    const messages = ofKind(CaptureKind.RING_PACKET)
      .filter((record) => record.direction === direction)
      .map(attached)
      .filter((bytes) => bytes.length >= 44 && bytes.readUInt32LE(0) === 1);
    const own = frames.filter((each) => each.from === from);
    assert.ok(own.length > 5);
    for (const { frame } of own) {
      assert.ok(
        messages.some((message) => message.includes(frame)),
        `a frame of the ${from} of ${frame.length} bytes is in no message`,
      );
    }
  }
});

files('each step of the boot is a comment, in order', () => {
  const comments = packets.flatMap(({ comment }) => (comment === undefined ? [] : [comment]));
  const steps = comments.filter((comment) => comment.startsWith('firmware: '));
  assert.equal(
    steps,
    run.steps.map((step) => `firmware: ${step}`),
  );
  assert.ok(steps.includes('firmware: handoff: begin'));
});

files('a packet that is too long is cut off, and says how long it was', () => {
  const parts = [new Uint8Array(10), new Uint8Array(SNAP_LENGTH).fill(7)];
  const options = { interface: 0, nanoseconds: 2 ** 32 + 5, direction: 'inbound', parts } as const;
  const [packet] = packetsOf(enhancedPacket(options));
  assert.is(packet!.bytes.length, SNAP_LENGTH);
  assert.is(packet!.originalLength, SNAP_LENGTH + 10);
  assert.is(packet!.bytes[SNAP_LENGTH - 1], 7);
  assert.is(packet!.nanoseconds, 2n ** 32n + 5n);
});

files('the dissector is what the sources make (npm run dissector)', () => {
  const kept = fs.readFileSync(new URL(`../../../${DISSECTOR_PATH}`, import.meta.url), 'utf8');
  assert.ok(kept === dissector(), `${DISSECTOR_PATH} is out of date`);
});

files.run();

const commands = suite('captures: the command');

commands(
  'a full disk: the boot is reported, and the capture is said to be incomplete',
  async () => {
    if (!fs.existsSync('/dev/full')) return;
    const { code, out, error } = await hypxe(
      ...['boot', '--size', '1', '--no-os', '--no-second-boot', '--pcap', '/dev/full'],
    );
    assert.match(
      error,
      /^hypxe: CaptureUnwritable: the capture in \/dev\/full is incomplete: no space left/,
    );
    assert.match(out, /^verdict: clean/m);
    assert.is(code, 4);
  },
);

commands('a firmware that hangs: what led to it is in the capture', async () => {
  const firmware = write(
    'hangs.js',
    `export function boot(machine) {
      machine.wrmsr(0x40000000, 0x98ae000000000000n);
      for (;;);
    }`,
  );
  const { code } = await hypxe(
    ...['boot', '--size', '1', '--watchdog', '1', '--pcap', 'hangs.pcapng', '--firmware', firmware],
  );
  assert.is(code, 3);
  const [last] = packetsOf(fs.readFileSync(path.join(directory, 'hangs.pcapng'))).slice(-1);
  assert.is(field(last!, 'kind'), CaptureKind.MSR_WRITE);
  assert.is(field(last!, 'number'), 0x40000000);
});

commands('a path that cannot be written is refused', async () => {
  const { code, error } = await hypxe('boot', '--size', '1', '--pcap', 'nowhere/boot.pcapng');
  assert.match(error, /^hypxe: CaptureUnwritable: the capture cannot be written to nowhere\/boot/);
  assert.is(code, 4);
});

commands.run();

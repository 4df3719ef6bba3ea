// SPDX-License-Identifier: GPL-2.0-or-later

/** Hypercalls of the simulated partition: where they go, their checks and their status codes. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvCall, HvStatus, Msr } from '../../../../src/hyperv/protocol.ts';
import {
  crashes,
  create,
  hexBytes,
  MEMORY_SIZE,
  ofKind,
  Page,
  setUp,
} from '../../../rigs/partition-fixture.ts';
import type { Fixture } from '../../../rigs/partition-fixture.ts';

const POST = BigInt(HvCall.POST_MESSAGE);
const SIGNAL = BigInt(HvCall.SIGNAL_EVENT);
const FAST = 1n << 16n;

interface Rig extends Fixture {
  readonly messages: [number, string, number][];
  readonly flags: number[];
  call(control: bigint, input?: number | bigint, output?: number): number;
  /** Put the input of HvPostMessage at `at`. */
  compose(at: number, fields: { connection?: number; type?: number; text?: string }): void;
}

/** A partition with a message port 1 and an event port 2, set up. */
function rig(...options: Parameters<typeof create>): Rig {
  const fixture = create(...options);
  const { cpu, partition, view, bytes } = fixture;
  setUp(cpu);
  const messages: [number, string, number][] = [];
  const flags: number[] = [];
  partition.registerMessagePort(1, (type, payload, vp) => {
    messages.push([type, hexBytes(payload), vp]);
    return HvStatus.SUCCESS;
  });
  partition.registerEventPort(2, (flag) => {
    flags.push(flag);
    return HvStatus.SUCCESS;
  });
  return {
    ...fixture,
    messages,
    flags,
    call: (control, input = Page.INPUT, output = 0) =>
      Number(cpu.callHypercallPage(Page.HYPERCALL, control, BigInt(input), BigInt(output))),
    compose: (at, { connection = 1, type = 1, text = 'abcd' }) => {
      bytes.fill(0, at, at + 256);
      view.setUint32(at, connection, true);
      view.setUint32(at + 8, type, true);
      view.setUint32(at + 12, text.length / 2, true);
      for (let i = 0; i < text.length / 2; i++) {
        bytes[at + 16 + i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
      }
    },
  };
}

const page = suite('hypercall page');

page('is called by its address, and only while it is enabled', () => {
  const { cpu } = rig();
  assert.is(cpu.callHypercallPage(Page.HYPERCALL, FAST | SIGNAL, 2n, 0n), 0n);
  const wrong = (): unknown => cpu.callHypercallPage(Page.SIMP, FAST | SIGNAL, 2n, 0n);
  crashes(wrong, '#UD', /call to 0x101000: the hypercall page is at 0x100000/);

  const off = rig();
  off.cpu.wrmsr(Msr.HYPERCALL, 0n);
  crashes(() => off.call(FAST | SIGNAL, 2n), '#UD', /the hypercall page is not enabled/);

  const moved = rig();
  moved.cpu.wrmsr(Msr.HYPERCALL, 0x200001n);
  assert.is(moved.cpu.callHypercallPage(0x200000, FAST | SIGNAL, 2n, 0n), 0n);
  crashes(() => moved.call(FAST | SIGNAL, 2n), '#UD', /the hypercall page is at 0x200000/);
});

page('of another partition is none of ours', () => {
  const first = rig();
  const second = create();
  assert.is(first.call(FAST | SIGNAL, 2n), 0);
  const call = (): unknown => second.cpu.callHypercallPage(Page.HYPERCALL, FAST | SIGNAL, 2n, 0n);
  crashes(call, '#UD', /not enabled/);
});

page.run();

const post = suite('HvPostMessage');

post('reaches its port, also at the end of a page', () => {
  const { call, compose, messages, events } = rig();
  compose(Page.INPUT, { text: '0e00000000000000' });
  assert.is(call(POST), HvStatus.SUCCESS);
  compose(Page.INPUT + 4096 - 256, { type: 7, text: 'ff'.repeat(240) });
  assert.is(call(POST, Page.INPUT + 4096 - 256), HvStatus.SUCCESS);
  compose(Page.INPUT, { text: '' });
  assert.is(call(POST), HvStatus.SUCCESS);
  assert.equal(messages, [
    [1, '0e00000000000000', 0],
    [7, 'ff'.repeat(240), 0],
    [1, '', 0],
  ]);
  const [first] = ofKind(events, 'hypercall');
  assert.equal([first!.code, first!.name, first!.status], [0x5c, 'HvPostMessage', 0]);
  assert.is(
    hexBytes(first!.input),
    '01000000' + '00000000' + '01000000' + '08000000' + '0e00000000000000',
  );
});

post('fails as TLFS says', () => {
  const failures: [string, number, (r: Rig) => number][] = [
    ['alignment', 4, (r) => r.call(POST, Page.INPUT + 4)],
    ['page boundary', 3, (r) => r.call(POST, Page.INPUT + 4096 - 248)],
    ['beyond RAM', 5, (r) => r.call(POST, MEMORY_SIZE)],
    ['far beyond RAM', 5, (r) => r.call(POST, 0xfffffffffffff000n)],
    ['fast', 3, (r) => r.call(POST | FAST)],
    ['repetitions', 3, (r) => r.call(POST | (1n << 32n))],
    ['rep start', 3, (r) => r.call(POST | (1n << 48n))],
    ['variable header', 3, (r) => r.call(POST | (1n << 17n))],
    ['reserved 27', 3, (r) => r.call(POST | (1n << 27n))],
    ['nested', 3, (r) => r.call(POST | (1n << 31n))],
    ['reserved 44', 3, (r) => r.call(POST | (1n << 44n))],
    ['reserved 63', 3, (r) => r.call(POST | (1n << 63n))],
    ['unknown code', 2, (r) => r.call(0x5bn)],
    ['unknown code with anything', 2, (r) => r.call(0x1ffffn, 3)],
  ];
  for (const [what, status, action] of failures) {
    const r = rig();
    r.compose(Page.INPUT, {});
    assert.is(action(r), status, what);
    assert.is(r.messages.length, 0, what);
    assert.is(ofKind(r.events, 'hypercall')[0]!.status, status, what);
  }
});

post('checks the message', () => {
  const { call, compose, view, messages } = rig();
  for (const [fields, status] of [
    [{ connection: 4 }, HvStatus.INVALID_CONNECTION_ID],
    [{ connection: 2 }, HvStatus.INVALID_CONNECTION_ID],
    [{ connection: 0x01000001 }, HvStatus.INVALID_CONNECTION_ID],
    [{ type: 0 }, HvStatus.INVALID_PARAMETER],
    [{ type: 0x80000001 }, HvStatus.INVALID_PARAMETER],
    [{ text: 'ff'.repeat(240) }, HvStatus.SUCCESS],
  ] as const) {
    compose(Page.INPUT, fields);
    assert.is(call(POST), status);
  }
  compose(Page.INPUT, {});
  view.setUint32(Page.INPUT + 12, 241, true);
  assert.is(call(POST), HvStatus.INVALID_PARAMETER);
  view.setUint32(Page.INPUT + 12, 0xffffffff, true);
  assert.is(call(POST), HvStatus.INVALID_PARAMETER);
  compose(Page.INPUT, {});
  view.setUint32(Page.INPUT + 4, 1, true);
  assert.is(call(POST), HvStatus.INVALID_HYPERCALL_INPUT);
  assert.is(messages.length, 1);
});

post('gives back what the port says, and needs the privilege', () => {
  const { call, compose, partition } = rig();
  partition.registerMessagePort(9, () => HvStatus.INSUFFICIENT_BUFFERS);
  compose(Page.INPUT, { connection: 9 });
  assert.is(call(POST), 0x13);
  partition.unregisterPort(9);
  assert.is(call(POST), 0x12);
  assert.throws(() => partition.registerEventPort(1, () => 0), /connection 1 is taken/);

  const privileges = { 0x40000003: { ebx: 0 } };
  const poor = rig({}, { cpuidOverride: privileges });
  poor.compose(Page.INPUT, {});
  assert.is(poor.call(POST), HvStatus.ACCESS_DENIED);
  assert.is(poor.call(FAST | SIGNAL, 2n), HvStatus.ACCESS_DENIED);
  assert.is(poor.call(0x50n | (1n << 32n)), HvStatus.ACCESS_DENIED);
});

post('is throttled by the millisecond', () => {
  const { call, compose, cpu, messages } = rig({ throttleMessages: 2, throttleStatus: 0x13 });
  compose(Page.INPUT, {});
  assert.equal([call(POST), call(POST), call(POST), call(POST)], [0, 0, 0x13, 0x13]);
  cpu.pause();
  assert.equal([call(POST), call(POST), call(POST)], [0, 0, 0x13]);
  assert.is(messages.length, 4);
});

post('fails on demand', () => {
  const { call, compose, partition, messages, events } = rig();
  const seen: [number, number, number][] = [];
  partition.faults.hypercall = (code, connectionId, index) => {
    seen.push([code, connectionId, index]);
    return code === HvCall.POST_MESSAGE && index === 1 ? 0x33 : undefined;
  };
  compose(Page.INPUT, {});
  assert.equal([call(POST), call(FAST | SIGNAL, 2n), call(POST), call(POST)], [0, 0, 0x33, 0]);
  assert.equal(seen, [
    [0x5c, 1, 0],
    [0x5d, 2, 0],
    [0x5c, 1, 1],
    [0x5c, 1, 2],
  ]);
  assert.is(messages.length, 2);
  assert.is(ofKind(events, 'fault')[0]!.text, 'HvPostMessage 1 on connection 1 fails: 0x33');
});

post.run();

const signal = suite('HvSignalEvent');

signal('reaches its port, from registers and from memory', () => {
  const { call, view, flags, events } = rig();
  assert.is(call(FAST | SIGNAL, 2n), 0);
  assert.is(call(FAST | SIGNAL, 2n | (7n << 32n)), 0);
  view.setUint32(Page.INPUT + 4096 - 8, 2, true);
  view.setUint32(Page.INPUT + 4096 - 4, 2047, true);
  assert.is(call(SIGNAL, Page.INPUT + 4096 - 8), 0);
  assert.equal(flags, [0, 7, 2047]);
  assert.equal(
    ofKind(events, 'hypercall').map(({ input }) => hexBytes(input)),
    ['0200000000000000', '0200000007000000', '02000000ff070000'],
  );
});

signal('fails as TLFS says', () => {
  const { call, view, flags } = rig();
  view.setUint32(Page.INPUT, 2, true);
  assert.is(call(SIGNAL, Page.INPUT + 4), HvStatus.INVALID_ALIGNMENT);
  assert.is(call(SIGNAL, MEMORY_SIZE), HvStatus.INVALID_PARAMETER);
  assert.is(call(SIGNAL | (1n << 32n)), HvStatus.INVALID_HYPERCALL_INPUT);
  assert.is(call(FAST | SIGNAL, 3n), HvStatus.INVALID_CONNECTION_ID);
  assert.is(call(FAST | SIGNAL, 1n), HvStatus.INVALID_CONNECTION_ID);
  assert.is(call(FAST | SIGNAL, 2n | (2048n << 32n)), HvStatus.INVALID_PORT_ID);
  assert.is(call(FAST | SIGNAL, 2n | (1n << 48n)), HvStatus.INVALID_HYPERCALL_INPUT);
  assert.is(flags.length, 0);
});

signal.run();

const vpRegisters = suite('HvGetVpRegisters and HvSetVpRegisters');

/** Put the header at the input page: this partition, processor `vp`. */
function header(view: DataView, vp = 0xfffffffe): void {
  view.setBigUint64(Page.INPUT, 0xffffffffffffffffn, true);
  view.setUint32(Page.INPUT + 8, vp, true);
}

vpRegisters('read and write by name, also of another processor', () => {
  const { cpu, view, partition } = rig({}, { processors: 2 });
  header(view);
  [0x000a0013, 0x00090002, 0x00000100].forEach((name, i) => {
    view.setUint32(Page.INPUT + 16 + 4 * i, name, true);
  });
  const get = 0x50n | (3n << 32n);
  const call = (control: bigint): bigint =>
    cpu.callHypercallPage(Page.HYPERCALL, control, BigInt(Page.INPUT), BigInt(Page.OUTPUT));
  assert.is(call(get), 3n << 32n);
  assert.is(view.getBigUint64(Page.OUTPUT, true), BigInt(Page.SIMP) | 1n);
  assert.is(view.getBigUint64(Page.OUTPUT + 16, true), 0x98ae000000000000n);
  assert.is(view.getUint32(Page.OUTPUT + 32, true), 17763);
  assert.is(view.getUint32(Page.OUTPUT + 36, true), 0xa0000);

  header(view, 1);
  view.setUint32(Page.INPUT + 16, 0x000a0002, true);
  view.setBigUint64(Page.INPUT + 32, 0x200f3n, true);
  assert.is(call(0x51n | (1n << 32n)), 1n << 32n);
  assert.is(partition.processors[1]!.rdmsr(Msr.SINT0 + 2), 0x200f3n);
});

vpRegisters('stop at the first that fails, without a crash', () => {
  const { cpu, view } = rig();
  header(view);
  [0x00090003, 0x00012345].forEach((name, i) => {
    view.setUint32(Page.INPUT + 16 + 4 * i, name, true);
  });
  const call = (control: bigint, output: number = Page.OUTPUT): bigint =>
    cpu.callHypercallPage(Page.HYPERCALL, control, BigInt(Page.INPUT), BigInt(output));
  assert.is(call(0x50n | (2n << 32n)), 5n | (1n << 32n));
  // The index is read-only
  view.setUint32(Page.INPUT + 16, 0x00090003, true);
  assert.is(call(0x51n | (1n << 32n)), 5n);
  // Calls that cannot be
  assert.is(call(0x50n), 3n);
  assert.is(call(0x50n | FAST | (1n << 32n)), 3n);
  assert.is(call(0x50n | (2n << 32n) | (2n << 48n)), 3n);
  assert.is(call(0x50n | (2n << 32n), Page.OUTPUT + 4096 - 16), 3n);
  assert.is(call(0x50n | (2n << 32n), Page.OUTPUT + 4), 4n);
  header(view, 5);
  assert.is(call(0x50n | (1n << 32n)), 5n);
  view.setUint32(Page.INPUT, 1, true);
  assert.is(call(0x50n | (1n << 32n)), 6n);
});

vpRegisters.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** What a frame costs in the simulated network device, and the pieces that keep it cheap. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PacketType } from '../../../../src/vmbus/protocol.ts';
import { BlockCopy } from '../../../../tools/simulator/base/block-copy.ts';
import type {
  DeviceChannel,
  GuestPacket,
} from '../../../../tools/simulator/vmbus-server/channel-interface.ts';
import { VirtualClock } from '../../../../tools/simulator/base/clock.ts';
import { GrantLedger, type Grant } from '../../../../tools/simulator/ledger/grants.ts';
import { GuestRam } from '../../../../tools/simulator/base/guest-ram.ts';
import {
  NetRig,
  dataMessage,
  gpaRange,
  pattern,
  rndis,
  unhex,
  words,
} from '../../../rigs/netvsp-rig.ts';

const cost = suite('cost');

/** The heap may grow by less for each frame, in bytes. */
const GROWTH = 32;

/** How often that is tried: at least, and at most until it is so. */
const TRIALS = 6;
const TRIALS_MOST = 400;

/** A channel that makes no object: the guest sends one frame and completes what it is sent. */
class FrugalChannel implements DeviceChannel {
  readonly id = 5;
  readonly vmbusVersion = 0x0000000d;
  readonly userData = new Uint8Array(0);
  readonly writable = 1_000_000;
  readonly dead = false;
  readonly drained = true;
  readonly tampered = false;
  readonly reason = '';
  readonly unreadable = false;
  readonly gpadl: DeviceChannel['gpadl'];
  readonly #transmit: GuestPacket;
  readonly #complete: GuestPacket;
  /** Frames that the guest sends at the next signal. */
  frames = 0;
  #completions = 0;

  constructor(rig: NetRig, transmit: Uint8Array) {
    this.gpadl = (id) => rig.channel.gpadl(id);
    this.#transmit = packetOf(transmit);
    this.#complete = packetOf(unhex('0b00020003000000' + '00'.repeat(8) + words(108, 1)));
  }

  receive(): GuestPacket | undefined {
    if (this.#completions > 0) {
      this.#completions--;
      return this.#complete;
    }
    if (this.frames === 0) return undefined;
    this.frames--;
    return this.#transmit;
  }

  send(type: number, _flags: number, low: number, high: number): boolean {
    if (type !== PacketType.DATA_XFER_PAGES) return true;
    this.#complete.transactionIdLow = low;
    this.#complete.transactionIdHigh = high;
    this.#completions++;
    return true;
  }

  offerSubchannels(): boolean {
    return false;
  }

  die(reason: string): void {
    assert.unreachable(reason);
  }
}

function packetOf(bytes: Uint8Array): GuestPacket {
  const view = new DataView(bytes.buffer);
  return {
    bytes,
    view,
    length: bytes.length,
    type: view.getUint16(0, true),
    flags: view.getUint16(6, true),
    transactionIdLow: 0,
    transactionIdHigh: 0,
    payloadOffset: view.getUint16(2, true) * 8,
  };
}

cost('frames in both directions make no object when nobody listens', () => {
  const rig = new NetRig({ knobs: { rangesPerPacket: 4, ppiEvery: 3 } });
  const frame = pattern(1514);
  rig.ram.bytes.set(unhex(dataMessage(frame)), 0x90020);
  rig.put(9, 1, 7, words(0, 1) + gpaRange(0x90020, 1558), rndis(0));
  const channel = new FrugalChannel(rig, rig.channel.toHost.pop()!);

  // Negotiate on the recording channel, then let the frugal one take its place
  const recording = rig.channel;
  const frugal = { on: false };
  const { receive, send } = recording;
  recording.receive = () => (frugal.on ? channel.receive() : receive.call(recording));
  recording.send = (...args) =>
    frugal.on ? channel.send(args[0], args[1], args[2], args[3]) : send.apply(recording, args);
  rig.start();
  rig.quiet();
  frugal.on = true;

  const rounds = (count: number) => {
    for (let i = 0; i < count; i++) {
      for (let n = 0; n < 4; n++) rig.host.deliver(frame);
      rig.clock.advanceTo(rig.clock.now + 1);
      channel.frames = 4;
      rig.device.signalled();
    }
  };
  rounds(4000);
  const { framesToGuest, framesFromGuest, framesDropped } = rig.device.statistics;
  assert.equal([framesToGuest, framesFromGuest, framesDropped], [16000, 16000, 0]);
  assert.is(rig.device.state.sectionsInUse, 0);

  // The least growth of the heap in a few trials; one without a collection in it. In more of them
  // while the engine has not compiled all of it: until then it boxes numbers
  let least = Infinity;
  for (let trial = 0; trial < TRIALS || (trial < TRIALS_MOST && least >= GROWTH); trial++) {
    const before = process.memoryUsage().heapUsed;
    rounds(500);
    const grown = process.memoryUsage().heapUsed - before;
    if (grown >= 0) least = Math.min(least, grown / 4000);
  }
  assert.ok(least < GROWTH, `${least.toFixed(1)} bytes per frame`);
});

cost.run();

const tools = suite('pieces');

tools('block copies are copies, at any offset and length', () => {
  const copier = new BlockCopy();
  const from = pattern(200);
  for (let length = 0; length < 70; length++) {
    for (const [a, b] of [
      [0, 0],
      [3, 5],
      [8, 16],
    ] as const) {
      const to = new Uint8Array(200);
      copier.copy(from, a, to, b, length);
      const expected = new Uint8Array(200);
      expected.set(from.subarray(a, a + length), b);
      assert.equal(to, expected);
    }
  }
  assert.throws(() => copier.copy(from, 190, new Uint8Array(200), 0, 11), RangeError);
  assert.throws(() => copier.copy(from, 0, new Uint8Array(10), 0, 11), RangeError);
});

tools('an alarm can be set again: waiting, fired or cancelled', () => {
  const clock = new VirtualClock();
  const fired: number[] = [];
  const alarm = clock.schedule(10, () => fired.push(clock.now));
  clock.reschedule(alarm, 20);
  clock.advanceTo(15);
  assert.equal(fired, []);
  clock.advanceTo(20);
  clock.reschedule(alarm, 5);
  clock.advanceTo(30);
  clock.reschedule(alarm, 5);
  clock.cancel(alarm);
  clock.advanceTo(40);
  clock.reschedule(alarm, 1);
  clock.advanceTo(50);
  assert.equal(fired, [20, 25, 41]);
});

tools('grants of packets are used again, but not those that a reader has seen', () => {
  const ledger = new GrantLedger(new GuestRam(new ArrayBuffer(0x10000)), () => 7);
  const seen: string[] = [];
  let wanted = false;
  ledger.listener = (change, grant) => seen.push(`${change} ${grant.id} ${grant.pfns.join()}`);
  ledger.packetsWanted = () => wanted;
  const request = (pfns: number[]) => ({
    purpose: 'packet',
    pfns: [...pfns, 99],
    pfnCount: pfns.length,
    offset: 8,
    length: 100,
    grantedBy: 'a packet',
    revokedWith: 'its completion',
    channel: 5,
  });
  const first = ledger.grantPacket(request([1, 2]));
  const second = ledger.grantPacket(request([3]));
  assert.equal(
    ledger.live().map(({ pfns }) => pfns),
    [[1, 2], [3]],
  );
  ledger.revokePacket(first, 'completion');
  assert.throws(() => ledger.revokePacket(first, 'completion'), /not alive/);
  assert.throws(() => ledger.read(first, 0, new Uint8Array(1)), /revoked/);
  assert.equal(ledger.live(), [second]);
  const third: Grant = ledger.grantPacket(request([4]));
  assert.is(third, first, 'the same object');
  assert.throws(() => ledger.write(third, 0, new Uint8Array(1)), /read-only/);
  assert.throws(() => ledger.read(third, 99, new Uint8Array(2)), /outside/);
  assert.equal(seen, []);

  wanted = true;
  const shown = ledger.grantPacket(request([5]));
  ledger.revokePacket(shown, 'completion');
  assert.is.not(ledger.grantPacket(request([6])), shown);
  assert.equal(seen, [`grant ${shown.id} 5`, `revoke ${shown.id} 5`, `grant ${shown.id + 1} 6`]);
  assert.equal(ledger.history(), [], 'packets are not kept');
});

tools.run();

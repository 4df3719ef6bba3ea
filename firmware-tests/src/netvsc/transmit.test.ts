// SPDX-License-Identifier: GPL-2.0-or-later

/** Frames on their way out: their bytes, their slots, and what becomes of them. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RndisType } from '../../../src/rndis/protocol.ts';
import { MessageType, PacketType } from '../../../src/vmbus/protocol.ts';
import { Rig, frame, hex, viewOf, type RigOptions } from '../../rigs/driver-rig.ts';

const { DATA_GPA_DIRECT, COMPLETION, CANCELLATION } = PacketType;

/** First transaction ID of frames. */
const FRAME_ID = 0x18ae0000n;

/** IDs that an open takes for INITIALISE, SET and QUERY: the next frame has the one after. */
const OPEN_IDS = 3;

function opened(options: RigOptions = {}): Rig {
  const rig = new Rig(options);
  rig.open();
  rig.poll();
  rig.mark();
  rig.transmitted.length = 0;
  return rig;
}

/** Send frames, told apart by their number; returns what became of each. */
function send(rig: Rig, count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => rig.device.transmit(frame(60, from + i), 60));
}

/** Keep every completion back. */
function withhold(rig: Rig): void {
  rig.nic.faults.withhold = () => true;
}

function words(...values: number[]): string {
  return hex(new Uint8Array(Uint32Array.from(values).buffer));
}

const bytes = suite('bytes of a frame');

bytes('reserved-bytes-are-zero: the whole packet and the whole message, after many others', () => {
  // Several times around a small ring, so that there is something that could be left over
  const rig = opened({ driver: { preset: 'ipxe' } });
  for (let i = 0; i < 150; i++) {
    const length = 60 + ((i * 37) % 1400);
    assert.is(rig.device.transmit(frame(length, i), length), 'sent');
    rig.poll(0.05);
  }
  const packets = rig.packets(DATA_GPA_DIRECT);
  const messages = rig.messages();
  assert.is(packets.length, 150);
  packets.forEach(({ view, bytes }, i) => {
    const length = 60 + ((i * 37) % 1400);
    const pages = (view.getUint16(2, true) * 8 - 32) / 8;
    const [pfn, offset] = [view.getUint32(32, true), view.getUint32(28, true)];
    assert.is(pages, Math.ceil((offset + 44 + length) / 4096));
    const ranges = words(0, 1, 44 + length, offset, pfn, 0, ...(pages > 1 ? [pfn + 1, 0] : []));
    const nvsp = words(107, 0, 0xffffffff, 0, 0, 0, 0, 0);
    assert.is(hex(bytes.subarray(16)), ranges + nvsp);
    // RNDIS: type, length, data offset from byte 8, data length, and nothing else
    const header = words(1, 44 + length, 36, length, 0, 0, 0, 0, 0, 0, 0);
    assert.is(hex(messages[i]!.bytes), header + hex(frame(length, i)));
  });
  const heads = new Set(
    packets.map((p) => hex(p.bytes.subarray(0, 2)) + hex(p.bytes.subarray(6, 8))),
  );
  assert.equal([...heads], ['09000100']);
});

bytes('frames-not-padded: short frames go out as they are, 44 bytes into the message', () => {
  const rig = opened();
  for (const length of [14, 42, 59, 60, 1514]) {
    rig.mark();
    rig.link.frames.length = 0;
    assert.is(rig.device.transmit(frame(length), length), 'sent');
    rig.poll();
    assert.equal(rig.link.frames.map(hex), [hex(frame(length))]);
    assert.is(rig.messages()[0]!.bytes.length, 44 + length);
  }
});

bytes(
  'headroom-comment: a frame is copied behind its header, and the caller’s bytes are free',
  () => {
    const rig = opened();
    const buffer = frame(100, 1);
    rig.device.transmit(buffer, 60);
    assert.is(hex(buffer), hex(frame(100, 1)), 'nothing is written into the buffer');
    buffer.set(frame(100, 2));
    rig.device.transmit(buffer.subarray(5), 60);
    buffer.fill(0);
    rig.poll();
    assert.equal(rig.link.frames.map(hex), [hex(frame(60, 1)), hex(frame(100, 2).subarray(5, 65))]);
  },
);

bytes('control messages use NVSP channel 1, frames channel 0', () => {
  const rig = new Rig();
  rig.open();
  rig.device.transmit(frame(60), 60);
  rig.poll();
  const packets = rig.packets(DATA_GPA_DIRECT);
  packets.forEach(({ view }, i) => {
    const nvsp = view.getUint16(2, true) * 8;
    const isFrame = rig.messages()[i]!.view.getUint32(0, true) === RndisType.PACKET;
    assert.is(view.getUint32(nvsp + 4, true), isFrame ? 0 : 1);
  });
});

bytes('what cannot be a frame is dropped and counted, and nothing is sent', () => {
  const rig = opened();
  assert.is(rig.device.transmit(frame(1515), 1515), 'dropped');
  assert.is(rig.device.transmit(frame(60), 61), 'dropped');
  rig.device.close();
  rig.mark();
  assert.is(rig.device.transmit(frame(60), 60), 'dropped');
  assert.is(rig.device.statistics.txBad, 3);
  assert.equal([rig.packets(), rig.signalled()], [[], []]);
  assert.is(rig.logged().length, 1);
});

bytes.run();

const slots = suite('transmit slots');

slots('deferral-is-no-error: 32 in flight, the next wait, and each is counted once', () => {
  const rig = opened();
  withhold(rig);
  const results = send(rig, 70);
  assert.equal(results, [...Array<string>(32).fill('sent'), ...Array<string>(38).fill('deferred')]);
  rig.poll();
  assert.is(rig.device.waiting, 38);
  assert.is(rig.nic.state.inFlight, 32);
  assert.equal(
    rig.packets(DATA_GPA_DIRECT).map(({ transactionId }) => transactionId - FRAME_ID),
    Array.from({ length: 32 }, (_, i) => BigInt((OPEN_IDS + i) % 32)),
  );
  assert.equal({ ...rig.device.statistics }, { txGood: 0, txBad: 0, rxGood: 0, rxBad: 0 });

  // The host completes: the others follow, in order
  rig.nic.faults.withhold = undefined;
  rig.nic.releaseTransmits();
  rig.poll(5);
  assert.equal(
    rig.link.frames.map(hex),
    Array.from({ length: 70 }, (_, i) => hex(frame(60, i))),
  );
  assert.equal({ ...rig.device.statistics }, { txGood: 70, txBad: 0, rxGood: 0, rxBad: 0 });
  assert.equal(
    rig.transmitted,
    Array.from({ length: 70 }, (_, i) => `${i}`),
  );
  rig.driver.remove();
  assert.equal(rig.violations(), []);
  rig.assertClean();
});

for (const preset of ['default', 'ipxe'] as const) {
  slots(
    `${preset}: a burst of 300 frames without a poll is sent whole, in order, and again`,
    () => {
      // A host in no hurry, a small ring, and frames of every length
      const rig = opened({ driver: { preset }, knobs: { ringLatencyTicks: 3000 } });
      for (let round = 0; round < 3; round++) {
        const frames = Array.from({ length: 300 }, (_, i) =>
          frame(14 + ((i * 97) % 1501), i + round),
        );
        rig.transmitted.length = rig.link.frames.length = 0;
        const results = frames.map((each) => rig.device.transmit(each, each.length));
        assert.is(results.indexOf('dropped'), -1);
        assert.is(rig.device.waiting, results.filter((result) => result === 'deferred').length);
        assert.ok(rig.device.waiting! >= 268);
        rig.poll(200);
        assert.equal(rig.link.frames.map(hex), frames.map(hex));
        assert.is(rig.device.waiting, 0);
        assert.equal(
          rig.transmitted,
          Array.from({ length: 300 }, (_, i) => `${300 * round + i}`),
        );
        assert.is(rig.device.statistics.txGood, 300 * (round + 1));
      }
      assert.is(rig.device.statistics.txBad, 0);
      rig.driver.remove();
      assert.equal(rig.violations(), []);
      rig.assertClean();
    },
  );
}

slots('a queue has a bound: what is beyond it is dropped and counted, the rest is sent', () => {
  const rig = opened();
  withhold(rig);
  const results = send(rig, 600);
  assert.is(results.indexOf('dropped'), 32 + 512);
  assert.equal([rig.device.waiting, rig.device.statistics.txBad], [512, 600 - 32 - 512]);

  // A device that is gone takes none, and gives up those that wait
  rig.nic.faults.withhold = undefined;
  rig.nic.releaseTransmits();
  rig.poll(20);
  assert.equal(
    rig.link.frames.map(hex),
    Array.from({ length: 544 }, (_, i) => hex(frame(60, i))),
  );
  withhold(rig);
  send(rig, 100);
  rig.transmitted.length = 0;
  rig.device.close();
  assert.is(rig.device.waiting, 0);
  assert.is(rig.transmitted.filter((text) => text.endsWith(' TransmitCancelled')).length, 100);
  rig.driver.remove();
  rig.assertClean();
});

slots('IDs are a FIFO: taken in order, free again in the order of completion', () => {
  const rig = opened();
  send(rig, 3);
  rig.poll();
  send(rig, 32, 3);
  rig.poll();
  const ids = rig.packets(DATA_GPA_DIRECT).map(({ transactionId }) => Number(transactionId & 31n));
  assert.equal(
    ids,
    Array.from({ length: 35 }, (_, i) => (OPEN_IDS + i) % 32),
  );
});

slots('control-messages-have-slots: a close with everything pending is orderly', () => {
  const rig = opened();
  withhold(rig);
  send(rig, 64);
  rig.poll();
  rig.mark();
  rig.device.close();
  const types = rig.messages().map(({ view }) => view.getUint32(0, true));
  assert.equal(types, [RndisType.SET, RndisType.HALT]);
  assert.is(rig.messages(RndisType.SET)[0]!.view.getUint32(28, true), 0, 'filter 0');
  assert.equal(
    rig
      .packets(CANCELLATION)
      .map(({ transactionId }) => transactionId - FRAME_ID)
      .slice(0, 32),
    Array.from({ length: 32 }, (_, i) => BigInt(i)),
  );
  assert.equal(
    rig.transmitted.sort(),
    Array.from({ length: 64 }, (_, i) => `${i} TransmitCancelled`).sort(),
  );
  assert.is(rig.device.statistics.txBad, 64);
  rig.driver.remove();
  assert.equal(rig.violations(), []);
  rig.assertClean();
});

slots('frames-given-up-last: whoever hears of them has a closed channel', () => {
  const rig = opened();
  withhold(rig);
  send(rig, 3);
  rig.poll();
  const closes: number[] = [];
  rig.device.observer = {
    transmitted: () => void closes.push(rig.posted(MessageType.CLOSE_CHANNEL).length),
    receiveError: () => {},
    linkChanged: () => {},
  };
  rig.device.close();
  assert.equal(closes, [1, 1, 1]);
});

slots(
  'a close gives frames in flight a moment: none is cancelled that the host still completes',
  () => {
    const rig = opened({ knobs: { ringLatencyTicks: 20_000 } });
    send(rig, 40);
    rig.device.close();
    assert.equal(rig.packets(CANCELLATION), []);
    assert.is(rig.link.frames.length, 40);
    assert.is(rig.device.statistics.txGood, 40);
    rig.driver.remove();
    rig.assertClean();
  },
);

slots('one slot is enough for a device', () => {
  const rig = opened({ driver: { policy: { transmitSlots: 1, deferredFrames: 1 } } });
  assert.equal(send(rig, 3), ['sent', 'deferred', 'dropped']);
  rig.poll();
  assert.is(rig.link.frames.length, 2);
  rig.driver.remove();
  rig.assertClean();
});

slots.run();

const completions = suite('completions of frames');

/** Change the completions of the device. */
function changeCompletions(rig: Rig, change: (payload: DataView) => number | undefined): void {
  rig.nic.faults.packet = (packet) => {
    if (packet.type === COMPLETION) {
      packet.payloadLength = change(viewOf(packet.payload)) ?? packet.payloadLength;
    }
    return 'send';
  };
}

completions('completion-status-checked: a frame that the host refuses counts as an error', () => {
  const rig = opened();
  changeCompletions(rig, (payload) => void payload.setUint32(4, 2, true));
  send(rig, 2);
  rig.poll();
  changeCompletions(rig, () => undefined);
  send(rig, 1);
  rig.poll();
  // A completion without a status is one all the same
  changeCompletions(rig, () => 0);
  send(rig, 1);
  rig.poll();
  assert.equal(rig.transmitted, ['0 TransmitFailed', '1 TransmitFailed', '2', '3']);
  assert.equal({ ...rig.device.statistics }, { txGood: 2, txBad: 2, rxGood: 0, rxBad: 0 });
});

completions('transactions-compared-whole: 64 bits, and only what is in flight', () => {
  const rig = opened();
  rig.nic.faults.packet = (packet) => {
    if (packet.type === COMPLETION) packet.transactionIdHigh = 1;
    return 'send';
  };
  send(rig, 1);
  rig.poll();
  assert.equal([rig.transmitted, rig.errors], [[], ['UnexpectedCompletion']]);
  // Nor one for a slot that is free, nor one that nobody can have sent
  rig.nic.faults.packet = undefined;
  for (const id of [FRAME_ID + 7n, FRAME_ID + 0x40n, FRAME_ID + 0x20n, 0n, 0xffffffffffffffffn])
    rig.nic.injectPacket(COMPLETION, 0, id, new Uint8Array(0), new Uint8Array(32));
  rig.poll();
  assert.equal(rig.errors, Array<string>(6).fill('UnexpectedCompletion'));
  assert.equal(rig.transmitted, []);
  // The true one is taken
  const id = FRAME_ID + BigInt(OPEN_IDS);
  rig.nic.injectPacket(COMPLETION, 0, id, new Uint8Array(0), new Uint8Array(0));
  rig.poll();
  assert.equal(rig.transmitted, ['0']);
});

completions('one that comes twice frees one slot', () => {
  const rig = opened();
  rig.nic.faults.packet = ({ type }) => (type === COMPLETION ? 'twice' : 'send');
  send(rig, 1);
  rig.poll();
  assert.equal([rig.transmitted, rig.errors], [['0'], ['UnexpectedCompletion']]);
  rig.nic.faults.packet = undefined;
  withhold(rig);
  assert.equal(send(rig, 33).slice(30), ['sent', 'sent', 'deferred']);
  rig.driver.remove();
  rig.assertClean();
});

completions('packet-buffer-not-shared: a receiver may send while it receives', () => {
  const rig = opened({ knobs: { rangesPerPacket: 8, ppiEvery: 0 } });
  const seen: string[] = [];
  rig.device.receiver = {
    receive(buffer, offset, length) {
      for (let i = 0; i < 4; i++) rig.device.transmit(frame(1514, i), 1514);
      rig.device.poll();
      seen.push(hex(buffer.subarray(offset, offset + length)));
    },
  };
  for (let i = 0; i < 8; i++) rig.link.host.deliver(frame(100 + i, i));
  rig.poll();
  assert.equal(
    seen,
    Array.from({ length: 8 }, (_, i) => hex(frame(100 + i, i))),
  );
  assert.is(rig.link.frames.length, 32);
});

completions.run();

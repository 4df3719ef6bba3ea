// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Each answer that the drivers wait for, in turn: it does not come, comes late, comes twice, is
 * about something else, or is cut. Nothing hangs, errors have names, and whatever the host may
 * still hold is reserved.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorEntry } from '../../../src/catalogue.ts';
import { HypxeError } from '../../../src/index.ts';
import { RndisType } from '../../../src/rndis/protocol.ts';
import { MessageType, PacketType } from '../../../src/vmbus/protocol.ts';
import type { OutgoingPacket } from '../../../tools/simulator/netvsp/faults.ts';
import type { MessageFault } from '../../../tools/simulator/vmbus-server/faults.ts';
import { Rig, frame, patched, viewOf } from '../../rigs/driver-rig.ts';

/** Longer than any time limit. */
const LATE_TICKS = 15_000_000;

/** The longest that a life with one fault may take: a few time limits of a second. */
const RUN_MS_MAX = 5000;

const { VERSION_RESPONSE, UNLOAD_RESPONSE, ALL_OFFERS_DELIVERED } = MessageType;
const { GPADL_CREATED, GPADL_TORNDOWN, OPEN_CHANNEL_RESULT } = MessageType;

/** A machine on which a life takes little time. The preset waits for UNLOAD but a second. */
function small(): Rig {
  const memory = new ArrayBuffer(2 << 20);
  return new Rig({ memory, knobs: { malformedStatus: false }, driver: { preset: 'ipxe' } });
}

/** Probe, open, send a frame, close, remove. Returns the name of what failed, or ''. */
function life(rig: Rig): string {
  let failed = '';
  try {
    rig.driver.probe();
    const device = rig.device;
    device.open();
    device.transmit(frame(60), 60);
    rig.poll();
    device.close();
  } catch (error) {
    if (!(error instanceof HypxeError)) throw error;
    failed = error.name;
    assert.ok(error.message.length > 10 && errorEntry(error.name)![1].length > 10);
  }
  rig.driver.remove();
  return failed;
}

/** After a life with faults: all is contained, and without them everything works again. */
function assertSurvived(rig: Rig, failed: string): void {
  rig.assertContained();
  if (failed === '' && rig.outstanding().length === 0) return rig.assertClean();
  rig.machine.vmbus.faults = {};
  rig.nic.faults.packet = rig.nic.faults.message = undefined;
  // What was on its way arrives, at whoever is there
  rig.machine.run(2 * LATE_TICKS);
  rig.assertRecovers();
  rig.assertContained();
}

// --- control messages ---

/** The answers of a whole life, in order. */
const AWAITED = [
  ...[VERSION_RESPONSE, UNLOAD_RESPONSE, VERSION_RESPONSE, ALL_OFFERS_DELIVERED],
  ...[GPADL_CREATED, GPADL_CREATED, OPEN_CHANNEL_RESULT, GPADL_TORNDOWN, GPADL_TORNDOWN],
  ...[GPADL_CREATED, GPADL_CREATED, OPEN_CHANNEL_RESULT, GPADL_TORNDOWN, GPADL_TORNDOWN],
  UNLOAD_RESPONSE,
];

/** Where an answer says what it is about: version, channel or GPADL; -1 for those that do not. */
const SUBJECT: Readonly<Record<number, number>> = {
  [VERSION_RESPONSE]: 12,
  [UNLOAD_RESPONSE]: -1,
  [ALL_OFFERS_DELIVERED]: -1,
  [GPADL_CREATED]: 12,
  [OPEN_CHANNEL_RESULT]: 8,
  [GPADL_TORNDOWN]: 8,
};

/** What a failed wait is called; a close and a remove fail silently, and an offer is an offer. */
function expected(type: number, last: boolean, name: string): string {
  return type === GPADL_TORNDOWN || type === ALL_OFFERS_DELIVERED || last ? '' : name;
}

function nameOf(type: number): string {
  return Object.entries(MessageType).find(([, value]) => value === type)![0];
}

/** Do something to the nth awaited message. */
function faultOf(rig: Rig, nth: number, fault: (payload: Uint8Array) => MessageFault): void {
  let seen = 0;
  rig.machine.vmbus.faults = {
    message(type, payload) {
      if (SUBJECT[type] === undefined || seen++ !== nth) return undefined;
      return fault(payload);
    },
  };
}

const messages = suite('awaited control messages');

messages('a life has just the answers of the list', () => {
  const rig = small();
  assert.is(life(rig), '');
  const types = rig
    .seen('host-message')
    .filter(({ change, payload }) => change === 'deliver' && SUBJECT[payload[0]!] !== undefined)
    .map(({ payload }) => payload[0]!);
  assert.equal(types, AWAITED);
  rig.assertClean();
});

AWAITED.forEach((type, nth) => {
  const last = nth === AWAITED.length - 1;
  const name = `${nameOf(type)} (answer ${nth})`;

  /** A life with a fault; returns what failed. */
  const run = (fault: (payload: Uint8Array) => MessageFault): string => {
    const rig = small();
    let failed = '';
    faultOf(rig, nth, fault);
    const ms = rig.elapsed(() => (failed = life(rig)));
    assert.ok(ms < RUN_MS_MAX, `${ms} ms`);
    assertSurvived(rig, failed);
    return failed;
  };

  messages(`${name} that does not come, or comes late`, () => {
    assert.is(
      run(() => 'drop'),
      expected(type, last, 'NoResponse'),
    );
    const late = run(() => ({ delayTicks: LATE_TICKS }));
    assert.is(late, expected(type, last, 'NoResponse'));
  });

  messages(`${name} that comes twice, or in time but not at once`, () => {
    assert.is(
      run(() => ({ duplicates: 1 })),
      '',
    );
    assert.is(
      run(() => ({ delayTicks: 9_000_000 })),
      '',
    );
  });

  messages(`${name} that is cut`, () => {
    const plain = type === UNLOAD_RESPONSE || type === ALL_OFFERS_DELIVERED;
    const cut = plain ? 7 : type === VERSION_RESPONSE ? 8 : 11;
    const error = plain ? 'NoResponse' : 'MessageTooShort';
    assert.is(
      run((payload) => payload.slice(0, cut)),
      expected(type, last, error),
    );
  });

  if (SUBJECT[type] !== -1)
    messages(`${name} about something else`, () => {
      const other = run((payload) => patched(payload, SUBJECT[type]!, 0x00040001));
      assert.is(other, expected(type, last, 'NoResponse'));
    });
});

messages('OPEN_CHANNEL_RESULT with another open ID is not this open’s', () => {
  const rig = small();
  faultOf(rig, 6, (payload) => patched(payload, 12, viewOf(payload).getUint32(12, true) ^ 1));
  const failed = life(rig);
  assert.is(failed, 'NoResponse');
  assertSurvived(rig, failed);
});

messages('refusals: by their names, with the status', () => {
  for (const [nth, name] of [
    [4, 'GpadlRefused'],
    [5, 'GpadlRefused'],
    [6, 'OpenRefused'],
    [9, 'GpadlRefused'],
    [11, 'OpenRefused'],
  ] as const) {
    const rig = small();
    faultOf(rig, nth, (payload) => patched(payload, 16, 0xc0000001));
    const failed = life(rig);
    assert.is(failed, name);
    assertSurvived(rig, failed);
  }
});

messages('the last UNLOAD may take a host that writes its caches a minute', () => {
  const rig = new Rig();
  rig.probe();
  rig.machine.vmbus.faults = {
    message: (type) => (type === UNLOAD_RESPONSE ? { delayTicks: 600_000_000 } : undefined),
  };
  assert.ok(Math.abs(rig.elapsed(() => rig.driver.remove()) - 60_000) < 10);
  rig.assertClean();
});

messages.run();

// --- NVSP completions ---

/** Transaction IDs of requests, and what their failures are called. */
const REQUESTS = [
  { id: 0x18ae0020, what: 'INIT', missing: 'NoCompletion', bad: 'BadCompletion' },
  { id: 0x18ae0021, what: 'NDIS version', missing: 'NoCompletion', bad: '' },
  { id: 0x18ae0022, what: 'receive buffer', missing: 'NoCompletion', bad: 'BadCompletion' },
  { id: 0x18ae0023, what: 'revoke', missing: '', bad: '' },
] as const;

const completions = suite('awaited completions of NVSP requests');

for (const { id, what, missing, bad } of REQUESTS) {
  /** Do something to the completion, at the probe or at the open. */
  const run = (round: number, fault: (packet: OutgoingPacket) => unknown): string => {
    const rig = small();
    let seen = 0;
    let failed = '';
    rig.nic.faults.packet = (packet) => {
      const isIt = packet.type === PacketType.COMPLETION && packet.transactionIdLow === id;
      if (!isIt || seen++ !== round) return 'send';
      const verdict = fault(packet);
      return verdict === 'drop' || verdict === 'twice' || typeof verdict === 'number'
        ? verdict
        : 'send';
    };
    const ms = rig.elapsed(() => (failed = life(rig)));
    assert.ok(ms < RUN_MS_MAX, `${ms} ms`);
    assert.is(seen > round, true);
    assertSurvived(rig, failed);
    return failed;
  };

  for (const round of [0, 1])
    completions(`${what} ${round === 0 ? 'of the probe' : 'of the open'}`, () => {
      assert.is(
        run(round, () => 'drop'),
        missing,
      );
      assert.is(
        run(round, () => LATE_TICKS),
        missing,
      );
      assert.is(
        run(round, () => 'twice'),
        '',
      );
      assert.is(
        run(round, () => 9_000_000),
        '',
      );
      assert.is(
        run(round, (packet) => void packet.transactionIdLow++),
        missing,
      );
      assert.is(
        run(round, (packet) => void (packet.transactionIdHigh = 1)),
        missing,
      );
      assert.is(
        run(round, (packet) => void (packet.payloadLength = 0)),
        bad,
      );
      const otherType = (packet: OutgoingPacket): void => {
        packet.payload = patched(new Uint8Array(32), 0, 105);
        packet.payloadLength = 32;
      };
      assert.is(run(round, otherType), bad);
    });
}

completions('refusals: by their names', () => {
  for (const [id, offset, name] of [
    [0x18ae0020, 12, 'NvspVersionRefused'],
    [0x18ae0022, 4, 'ReceiveBufferRefused'],
  ] as const) {
    const rig = small();
    rig.nic.faults.packet = (packet) => {
      if (packet.transactionIdLow === id) viewOf(packet.payload).setUint32(offset, 2, true);
      return 'send';
    };
    const failed = life(rig);
    assert.is(failed, name);
    assertSurvived(rig, failed);
  }
});

completions.run();

// --- RNDIS answers ---

/** The answers of a whole life: probe, open, close. */
const ANSWERS = [
  ...[RndisType.INITIALISE_CMPLT, RndisType.QUERY_CMPLT, RndisType.QUERY_CMPLT],
  ...[RndisType.QUERY_CMPLT, RndisType.INITIALISE_CMPLT, RndisType.SET_CMPLT],
  ...[RndisType.QUERY_CMPLT, RndisType.SET_CMPLT],
];

const answers = suite('awaited answers of RNDIS');

ANSWERS.forEach((type, nth) => {
  const last = nth === ANSWERS.length - 1;
  /** Do something to the nth answer. Returns what failed, and how long it took. */
  const run = (fault: (view: DataView) => unknown): [name: string, ms: number] => {
    const rig = small();
    let seen = 0;
    let failed = '';
    rig.nic.faults.message = (outgoing) => {
      const view = viewOf(outgoing.bytes);
      if (view.getUint32(0, true) >= 0x80000000 && seen++ === nth) {
        const verdict = fault(view);
        if (verdict === 'drop' || verdict === 'twice') return verdict;
        if (typeof verdict === 'number' && verdict > 100) return verdict;
        if (typeof verdict === 'number') outgoing.length = verdict;
      }
      return 'send';
    };
    const ms = rig.elapsed(() => (failed = life(rig)));
    assert.ok(ms < RUN_MS_MAX, `${ms} ms`);
    assertSurvived(rig, failed);
    return [failed, ms];
  };
  const silent = last ? '' : 'NoAnswer';
  const failing = last ? '' : 'RequestFailed';

  answers(`0x${type.toString(16)} (answer ${nth})`, () => {
    assert.is(run(() => 'drop')[0], silent);
    assert.is(run(() => LATE_TICKS)[0], silent);
    assert.is(run(() => 'twice')[0], '');
    assert.is(run(() => 9_000_000)[0], '');
    assert.is(run((view) => view.setUint32(8, 0x77777777, true))[0], silent);
    const other = type === RndisType.SET_CMPLT ? RndisType.QUERY_CMPLT : RndisType.SET_CMPLT;
    assert.is(run((view) => view.setUint32(0, other, true))[0], silent);
    assert.is(run((view) => view.setUint32(12, 0xc0000001, true))[0], failing);

    // Cut answers end the wait at once
    for (const length of [8, 15]) {
      const [name, ms] = run(() => length);
      assert.is(name, last ? '' : 'BadRndisMessage');
      assert.ok(ms < 100, `${length} bytes: ${ms} ms`);
    }
  });
});

answers.run();

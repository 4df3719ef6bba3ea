// SPDX-License-Identifier: GPL-2.0-or-later

/** The replay of sessions that nobody here has seen: small ones, renamed ones, random ones. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { asFirmware, replayTrace, reportText, type Firmware } from '../../../tools/replay/index.ts';
import type { X64Machine } from '../../../src/machine.ts';
import { compareEffects } from '../../../tools/replay/judge.ts';
import { GuestChannels } from '../../../tools/replay/guest-channels.ts';
import {
  effectsOn,
  hostMessage,
  isMessage,
  otherHost,
  put,
  recordOn,
  reference,
  stepBegin,
  transmit,
} from '../../rigs/lab/lab-rig.ts';
import { randomBelow, randomHost } from '../../rigs/lab/host-faults.ts';
import { vary } from '../../rigs/lab/variants.ts';
import { TRACE_NAMES, changedTrace, type LooseEvent } from '../../rigs/replay-rig.ts';

/** Always the same in a test run; SEED=N tries others. */
const SEED = Number(process.env['SEED'] ?? 1);

const SOURCES = asFirmware(sources);

function replays(name: string, change: (events: LooseEvent[]) => void): void {
  const result = replayTrace(SOURCES, otherHost(name, change));
  assert.ok(result.ok, reportText(result));
}

/** Every text field of every event in which a pattern is replaced. */
function replaceAll(events: LooseEvent[], from: RegExp, to: (found: string) => string): void {
  for (const event of events)
    for (const [field, value] of Object.entries(event))
      if (typeof value === 'string' && field !== 'op') event[field] = value.replace(from, to);
}

const small = suite('small sessions');

small('(a) another first GPADL', () =>
  replays('01-boot', (events) =>
    replaceAll(events, /(0[1-4])00ae18/g, (found) => `${found.slice(0, 2)}0b7742`),
  ),
);
small('(a) another random seed', () =>
  replays('01-boot', (events) => {
    const ids = new Map<string, string>();
    for (const event of events) {
      if (event.op !== 'random') continue;
      const old = Buffer.alloc(4);
      old.writeUInt32LE(Number(event['value']));
      ids.set(old.toString('hex'), put(old.toString('hex'), 0, 4, 0x1234567 + ids.size));
      event['value'] = `0x${(0x1234567 + ids.size - 1).toString(16)}`;
    }
    for (const [from, to] of ids) replaceAll(events, new RegExp(from, 'g'), () => to);
  }),
);
small('(a) another ID of the receive buffer', () =>
  replays('01-boot', (events) => {
    for (const event of events) {
      if (event.op === 'ring-write') replaceAll([event], /adbe0000/g, () => '34120000');
      if (event.op !== 'host-ring-write' && event.op !== 'ring-read') continue;
      replaceAll([event], /^(07.{30})adbe/, (found) => `${found.slice(0, -4)}3412`);
    }
  }),
);
for (const name of TRACE_NAMES)
  small(`(b) ${name} told otherwise`, () => {
    const seed = SEED;
    let names: readonly string[] = [];
    const trace = changedTrace(name, (loose) => {
      names = vary(loose, randomBelow(seed));
    });
    const result = replayTrace(SOURCES, trace);
    assert.ok(result.ok, `seed ${seed}: ${names.join()}\n${reportText(result)}`);
  });
small('(b) every request ID XORed with a constant', () =>
  replays('01-boot', (events) => {
    // The transactions of the guest and of its answers, and the IDs of RNDIS requests
    const other = (hex: unknown, at: number): string => {
      const bytes = Buffer.from(String(hex), 'hex');
      if (bytes.length < at + 4) return String(hex);
      return put(hex, at, 4, (bytes.readUInt32LE(at) ^ 0x5a0000) >>> 0);
    };
    for (const event of events) {
      const type = String(event['bytes']).slice(0, 4);
      const guest = event.op === 'ring-write' && type !== '0b00';
      const answer = ['host-ring-write', 'ring-read'].includes(event.op) && type === '0b00';
      if (guest || answer) event['bytes'] = other(event['bytes'], 8);
      if (event.op === 'host-ring-read' && event['type'] !== 11)
        event['xid'] = `0x${(BigInt(String(event['xid'])) ^ 0x5a0000n).toString(16)}`;
      if (/^0[245]000000/.test(String(event['gpaData'])))
        event['gpaData'] = other(event['gpaData'], 8);
      const response = /^0[245]000080/.test(String(event['bytes']));
      if (event.op === 'host-mem-write' && response) event['bytes'] = other(event['bytes'], 8);
    }
  }),
);
small('(c) a violation that only the recorded guest commits', () =>
  replays('01-boot', (events) => {
    events.splice(60, 0, { op: 'violation', text: 'guest frees ring at 0x1000' });
  }),
);
small('(d) a queued SynIC message that is no VMBus message', () =>
  replays('01-boot', (events) => {
    const queued = { ...hostMessage('0c000000', '0x80000000'), op: 'host-message-queued' };
    events.push({ ...queued, reason: 'slot-busy' });
  }),
);
small('(e) a step that nobody knows', () => {
  const host = otherHost('01-boot', (events) => {
    events.push({ op: 'step', name: 'dance', phase: 'begin' });
    events.push({ op: 'step', name: 'dance', phase: 'end' });
  });
  const result = replayTrace(SOURCES, host);
  assert.ok(result.ok, reportText(result));
  assert.match(result.unsupported.join(), /"dance" is not known/);
});
small('(e) a step that nobody knows, with what was done in it', () =>
  replays('07-tx-exhaustion', (events) => {
    // Of a message and a packet that nobody sends nothing is missing; the time in it passes
    const post = events.find(({ op, code }) => op === 'hypercall' && code === '0x5c')!;
    const packet = events.find(({ op }) => op === 'ring-write')!;
    const at = stepBegin(events, 'close');
    const [begin, end] = ['begin', 'end'].map((phase) => ({ op: 'step', name: 'dance', phase }));
    events.splice(at, 0, begin!, { op: 'delay', ms: 70 }, { ...post }, { ...packet }, end!);
  }),
);
for (const name of TRACE_NAMES.filter((each) => each.startsWith('12')))
  small(`(f) ${name}: a bad packet that is completed three times`, () => {
    const result = replayTrace(
      completingThrice(),
      otherHost(name, () => undefined),
    );
    assert.not(result.ok);
  });
small('(g) a GPADL that was refused is not there', () => {
  const channels = new GuestChannels(new Uint8Array(1 << 20));
  const header = Buffer.from(
    `0800000000000000050000000100ae18100001000010000000000000${'10'.padEnd(16, '0')}`,
    'hex',
  );
  channels.connected = true;
  channels.posted(header, 'ring');
  assert.is(channels.gpadls.size, 1);
  channels.delivered(Buffer.from('0a00000000000000050000000100ae1801000000', 'hex'));
  assert.is(channels.gpadls.size, 0);
});

small('a recorded guest that nobody knows is told by the self-check', () => {
  const host = otherHost('01-boot', (events) => {
    const packet = events.find(({ op, bytes }) => op === 'ring-write' && /^0b00/.test(`${bytes}`))!;
    packet['bytes'] = put(packet['bytes'], 6, 2, 1);
  });
  const text = reportText(replayTrace(SOURCES, host));
  assert.match(text, /self-check: the reference guest differs from the recorded one in /);
});

/** The firmware, with each completion of a packet of the host sent three times. */
function completingThrice(): Firmware {
  return {
    createDriver: (machine: X64Machine, options) => {
      const driver = sources.createDriver(machine, options);
      const { bus } = driver as unknown as { bus: { devices: readonly { channel: unknown }[] } };
      const patched = new Set<unknown>();
      const patch = (): void => {
        for (const { channel } of bus.devices as readonly { channel: Completing | undefined }[]) {
          if (channel === undefined || patched.has(channel)) continue;
          patched.add(channel);
          const complete = channel.complete.bind(channel);
          channel.complete = (low, high) => {
            for (let i = 0; i < 3; i++) complete(low, high);
          };
        }
      };
      return {
        get devices() {
          patch();
          return driver.devices;
        },
        probe: () => driver.probe(),
        remove: () => driver.remove(),
        quiesce: () => driver.quiesce(),
        unquiesce: () => driver.unquiesce(),
      };
    },
  };
}

interface Completing {
  complete(low: number, high: number): void;
}

small('a frame that is refused has ended, also where only the result of the step says so', () =>
  replays('01-boot', (events) => {
    const frame = transmit(9, `${'ff'.repeat(12)}88b5`.padEnd(120, '0'));
    frame[1]!['err'] = 'ENETUNREACH';
    events.splice(stepBegin(events, 'open'), 0, ...frame);
    for (const event of events) if (event.op === 'netdev-stats') event['txBad'] = 1;
  }),
);
small('a frame that the network stack throws away at a close is no error of the driver', () =>
  replays('01-boot', (events) => {
    const { frame } = events.find(({ op }) => op === 'netdev-rx')!;
    const at = stepBegin(events, 'close') + 1;
    events.splice(at, 0, { op: 'netdev-rx-err', rc: -1, err: 'ECANCELED', data: frame });
  }),
);
small('in which step the host notices a breach says nothing of the guest', () => {
  const result = replayTrace(
    SOURCES,
    otherHost('04-quiesce-unquiesce', (events) => {
      const at = events.findIndex(({ op }) => op === 'violation');
      const [violation] = events.splice(at, 1);
      events.splice(stepBegin(events, 'remove'), 0, violation!);
    }),
  );
  assert.ok(result.ok, reportText(result));
  assert.not.match(reportText(result), /self-check/);
});
small('a host that says a contact has failed, and goes on all the same', () => {
  const result = replayTrace(
    SOURCES,
    otherHost('01-boot', (events) => {
      const told = events.filter((event) => isMessage(event, '0f'));
      told[0]!['payload'] = put(told[0]!['payload'], 8, 2, 0x101);
    }),
  );
  assert.ok(result.ok, reportText(result));
  assert.equal(
    result.deliberate.map(({ entry }) => entry.id),
    ['sints-as-at-reset', 'connection-state-checked'],
  );
});
small('a current address of zeros is none: the permanent one is used, as iPXE does', () =>
  replays('01-boot', (events) => {
    for (const event of events)
      for (const [field, value] of Object.entries(event))
        if (typeof value === 'string' && /^(04000080.{40})00155d01c901$/.test(value))
          event[field] = `${value.slice(0, -12)}000000000000`;
        else if (field === 'llAddr') event[field] = '00155d01c900';
  }),
);
small('another address than was told is refused: a host without fault excuses nothing', () => {
  const host = otherHost('01-boot', (events) => {
    for (const event of events) if (event.op === 'netdev') event['llAddr'] = '00155d01c977';
  });
  assert.not(replayTrace(SOURCES, host).ok);
});
small('an UNLOAD that nobody answers may be said once more', () =>
  replays('09-no-version-response', (events) => {
    // The contact is answered, and the UNLOAD is not
    const at = events.findIndex(({ op, code }) => op === 'hypercall' && code === '0x5c');
    const answer = hostMessage('0f000000000000000100000000000300');
    const unload = structuredClone(events[at]!);
    unload['input'] = '010000000000000001000000080000001000000000000000';
    events.splice(at + 1, 0, { op: 'delay', ms: 1 }, answer, unload);
  }),
);
small('a recorded guest that ends before it has asked for the features', () => {
  const result = replayTrace(
    SOURCES,
    otherHost('21a-alloc-fail-hypercall', (events) => {
      const from = events.findIndex(({ op, leaf }) => op === 'cpuid' && leaf === '0x40000001');
      const to = events.findIndex(({ op }) => op === 'alloc-fail');
      events.splice(from, to - from);
    }),
  );
  assert.ok(result.ok, reportText(result));
});

small('a wrong order of steps of the host is no mistake of the replay', () =>
  replays('01-boot', (events) => {
    events.splice(stepBegin(events, 'close'), 0, hostMessage('6300000000000000'));
  }),
);
small.run();

/** Random hosts: as many as a test may take. */
const RANDOM_HOSTS = 6;

const random = suite('random hosts');
random('the firmware does what the reference guest does without a defect', () => {
  const seed = SEED;
  for (let i = 0; i < RANDOM_HOSTS; i++) {
    const { host, text } = randomHost(seed + 2 * i);
    const { recording, effects } = effectsOn(host, SOURCES);
    const names = recording.steps.map(({ name }) => name);
    const { differences } = compareEffects(names, effectsOn(host, reference([])).effects, effects);
    assert.equal(differences, [], `seed ${seed + 2 * i}: ${text}`);
    const broken = effects.flat().filter(({ kind }) => kind === 'violation');
    assert.equal(broken, [], `seed ${seed + 2 * i}: ${text}`);
  }
});
random('a session that is recorded on one is replayed', () => {
  const seed = SEED;
  for (let i = 0; i < RANDOM_HOSTS; i++) {
    const { host, text } = randomHost(seed + 2 * i);
    const ipxe = replayTrace(SOURCES, recordOn(host, reference(), 'reference guest (iPXE)'));
    assert.ok(ipxe.ok, `seed ${seed + 2 * i}: ${text}\n${reportText(ipxe)}`);
    const own = replayTrace(SOURCES, recordOn(host, SOURCES, 'hypxe'));
    assert.ok(own.ok, `seed ${seed + 2 * i}: ${text}\n${reportText(own)}`);
  }
});
random.run();

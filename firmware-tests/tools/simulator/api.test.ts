// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The simulated machine as others get it: from the built package, with guests that have nothing of
 * this project in them, in any memory, in any language.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type * as Simulator from '../../../tools/simulator/index.ts';
import type { X64Machine } from '../../../src/machine.ts';
import { assemble, type WasmMemory } from '../../rigs/simulator-wasm.ts';

// By the name that others use: what package.json exports is dist/simulator.js
const PACKAGE = 'hypxe/simulator';
const { SimulatedMachine, GuestCrash, GuestHang, auditHandoff, profileNamed, withKnobs } =
  (await import(PACKAGE)) as typeof Simulator;

const MIB = 2 ** 20;

function machineIn(memory: ArrayBufferLike, host = 'server2022') {
  return new SimulatedMachine({ memory, profile: profileNamed(host)!, links: [], seed: 1 });
}

/** What the guests say: fields of VERSION_RESPONSE. */
interface Answer {
  readonly type: number;
  readonly supported: number;
  readonly connectionId: number;
}

// --- a guest of a few lines ---

/** Ask VMBus for version 5.3: all that it takes, at the bytes. */
function guest(cpu: X64Machine): Answer {
  const ram = new DataView(cpu.memory);
  const [HYPERCALL, MESSAGES, INPUT] = [0x200000, 0x201000, 0x202000];

  // Is this Hyper-V?
  if (cpu.cpuid(0x40000001, 0).eax !== 0x31237648) throw new Error('this is not Hyper-V');

  // Identity, hypercall page, message page, SINT2, SynIC
  cpu.wrmsr(0x40000000, 0x8100_0000_0000_0000n);
  cpu.wrmsr(0x40000001, BigInt(HYPERCALL | 1));
  cpu.wrmsr(0x40000083, BigInt(MESSAGES | 1));
  cpu.wrmsr(0x40000092, 0x75n);
  cpu.wrmsr(0x40000080, 1n);

  // HvPostMessage to connection 4, 40 bytes: INITIATE_CONTACT 5.3, answers to SINT2
  const contact = [14, 0, 0x00050003, 0, 2, 0, 0, 0, 0, 0];
  [4, 0, 1, 40, ...contact].forEach((word, i) => ram.setUint32(INPUT + 4 * i, word, true));
  cpu.callHypercallPage(HYPERCALL, 0x5cn, BigInt(INPUT), 0n);

  // VERSION_RESPONSE comes into the slot of SINT2
  const slot = MESSAGES + 2 * 256;
  while (ram.getUint32(slot, true) === 0) cpu.pause();
  return {
    type: ram.getUint32(slot + 16, true),
    supported: ram.getUint8(slot + 24),
    connectionId: ram.getUint32(slot + 28, true),
  };
}

const CONNECTED: Answer = { type: 15, supported: 1, connectionId: 1 };

const api = suite('simulator: public API');

api('a guest in an ArrayBuffer', () => {
  const machine = machineIn(new ArrayBuffer(4 * MIB));
  assert.equal(guest(machine.bootProcessor), CONNECTED);
  const { phase, version } = machine.vmbus.inspect();
  assert.is(phase, 'connected');
  assert.is(version, 0x00050003);
});

api('a guest in a SharedArrayBuffer', () => {
  const machine = machineIn(new SharedArrayBuffer(4 * MIB));
  assert.equal(guest(machine.bootProcessor), CONNECTED);
});

api('a host without this connection refuses the message', () => {
  const machine = machineIn(new ArrayBuffer(4 * MIB), 'server2016');
  const statuses: number[] = [];
  machine.events.listen((event) => event.kind === 'hypercall' && statuses.push(event.status));
  machine.partition.recover({ pauses: 100 });
  assert.throws(
    () => guest(machine.bootProcessor),
    (error: Error) => error instanceof GuestHang,
  );
  assert.equal(statuses, [0x12]);
});

api('what such a guest leaves is found', () => {
  const machine = machineIn(new ArrayBuffer(4 * MIB));
  guest(machine.bootProcessor);
  const errors = auditHandoff(machine, machine.bootProcessor.memoryMap)
    .filter(({ severity }) => severity === 'error')
    .map(({ check, pages }) => [check, pages?.pages[0]]);
  assert.equal(errors, [
    ['unload', undefined],
    ['hypercall', 0x200000],
    ['synic-pages', 0x201000],
    ['sints', undefined],
    ['hypercall', undefined],
  ]);
});

api('the same guest sees the same at the same time', () => {
  const times = [1, 2].map(() => {
    const machine = machineIn(new ArrayBuffer(4 * MIB));
    guest(machine.bootProcessor);
    return machine.clock.now;
  });
  assert.is(times[0], times[1]);
});

api('a guest that does what would crash it is ended, and cannot go on', () => {
  const { bootProcessor } = machineIn(new ArrayBuffer(4 * MIB));
  const crashes = (error: Error): boolean => error instanceof GuestCrash;
  assert.throws(() => bootProcessor.callHypercallPage(0x200000, 0n, 0n, 0n), crashes);
  assert.throws(() => bootProcessor.pause(), crashes);
});

api('what makes no machine is refused', () => {
  const profile = profileNamed('server2022')!;
  const options = { profile, links: [], seed: 1 };
  for (const size of [0, MIB, 4 * MIB + 1]) {
    const memory = new ArrayBuffer(size);
    assert.throws(
      () => new SimulatedMachine({ ...options, memory }),
      (error: Error) => error instanceof RangeError && error.message.includes(`${size}`),
    );
  }
});

api('knobs make another host of a profile and leave the profile alone', () => {
  const profile = profileNamed('server2022')!;
  const changed = withKnobs(profile, { returnedConnectionId: 77 });
  const memory = new ArrayBuffer(4 * MIB);
  const machine = new SimulatedMachine({ memory, profile: changed, links: [], seed: 1 });
  assert.is(guest(machine.bootProcessor).connectionId, 77);
  assert.is(profile.knobs.returnedConnectionId, 1);
});

// --- a guest in WebAssembly ---

api('a WebAssembly module is a guest, in its own memory', () => {
  const { memory, start } = instantiate();
  const machine = machineIn(memory.buffer);
  const run = start(machine.bootProcessor);

  // type, then supported and state, then the connection
  assert.is(run(0x201000 + 2 * 256 + 16), 15);
  const slot = new DataView(memory.buffer, 0x201000 + 2 * 256);
  assert.is(slot.getUint8(24), 1);
  assert.is(slot.getUint32(28, true), 1);
  assert.is(machine.vmbus.inspect().version, 0x00050003);
});

api('the WebAssembly guest and the other do the same', () => {
  const { memory, start } = instantiate();
  const inWasm = machineIn(memory.buffer);
  const inScript = machineIn(new ArrayBuffer(memory.buffer.byteLength));
  const accesses = [inWasm, inScript].map((machine) => {
    const seen: string[] = [];
    machine.events.listen((event) => {
      if (event.kind === 'wrmsr') seen.push(`${event.msr.toString(16)} ${event.value}`);
      if (event.kind === 'hypercall') seen.push(Buffer.from(event.input).toString('hex'));
    });
    return seen;
  });
  start(inWasm.bootProcessor)(0);
  guest(inScript.bootProcessor);
  assert.ok(accesses[0]!.length > 5);
  assert.equal(accesses[0], accesses[1]);
});

/** The module, its memory, and how it gets its processor. */
function instantiate(): {
  memory: WasmMemory;
  start: (cpu: X64Machine) => (result: number) => number;
} {
  const { memory, instantiate } = assemble(4 * MIB);
  return {
    memory,
    start: (cpu) =>
      instantiate({
        rdmsr: (msr) => cpu.rdmsr(msr),
        wrmsr: (msr, value) => cpu.wrmsr(msr, value),
        hypercall: (page, control, input) => cpu.callHypercallPage(page, control, input, 0n),
        pause: () => cpu.pause(),
      }),
  };
}

api('a machine without what each needs is refused by the name of the option', () => {
  const whole = {
    memory: new ArrayBuffer(4 << 20),
    profile: profileNamed('server2022')!,
    links: [],
    seed: 1,
  };
  assert.ok(new SimulatedMachine(whole));
  for (const option of ['memory', 'profile', 'links', 'seed'] as const) {
    const options = { ...whole, [option]: undefined };
    const text = new RegExp(`^SimulatedMachine: options.${option} is undefined, and not `);
    assert.throws(() => new SimulatedMachine(options as never), text);
  }
  assert.throws(() => new SimulatedMachine(undefined as never), /options is undefined, and not /);
  assert.throws(() => new SimulatedMachine({ ...whole, links: {} } as never), /and not a list$/);
});

api.run();

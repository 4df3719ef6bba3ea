// SPDX-License-Identifier: GPL-2.0-or-later

/** Hosts that refuse: each register, each status of a hypercall, features that cannot be. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvCall, HvRegister, HvStatus, SINT_COUNT } from '../../../src/hyperv/protocol.ts';
import * as firmware from '../../../src/index.ts';
import type { Arm64Machine } from '../../../src/machine.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../../../tools/simulator/network/index.ts';
import { DEFAULT_PROFILE, profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import type { HostProfile } from '../../../tools/simulator/profiles/profile.ts';

/** No boot of these tests takes longer, whatever the host refuses: half an hour of virtual time. */
const LIMITS = { virtualTicks: 18_000_000_000, pauses: 3_000_000 };

function create(profile: Partial<HostProfile> = {}, cpuidOverride = {}): SimulatedMachine {
  const files = memoryFiles({ 'hypxe.img': syntheticImage(2000, 1) });
  const network = new Network({ files, bootFile: 'hypxe.img' });
  return new SimulatedMachine({
    memory: new ArrayBuffer(4 << 20),
    profile: { ...profileNamed(DEFAULT_PROFILE)!, ...profile },
    links: [network.link(0)],
    seed: 1,
    architecture: 'arm64',
    limits: LIMITS,
    cpuidOverride,
  });
}

/** Boot, and require that what it leaves is reserved. Returns the name of the error, if any. */
function boot(machine: SimulatedMachine, seam = machine.bootSeam): string | undefined {
  const result = firmware.boot(seam, { policy: { answerMs: 300, tries: 1 } });
  assert.equal(machine.partition.ended, undefined);
  const inUse = result.image === undefined ? [] : [result.image];
  for (const finding of auditHandoff(machine, result.memoryMap, { inUse })) {
    const { severity, text, pages } = finding;
    if (severity !== 'error' || pages === undefined) continue;
    assert.ok(pages.reserved, `${text}: not reserved`);
  }
  assert.is(result.status === 'booted', result.error === undefined);
  return result.error?.name;
}

/** The registers that a boot touches, and how. */
function touched(): (readonly ['get' | 'set', number])[] {
  const machine = create();
  const all = new Map<string, readonly ['get' | 'set', number]>();
  machine.partition.faults.register = (access, register) => {
    all.set(`${access} ${register}`, [access, register]);
    return undefined;
  };
  assert.is(boot(machine), undefined);
  return [...all.values()];
}

const refusals = suite('arm64: refusals');

refusals('each register that a boot touches, refused always', () => {
  const seen = touched();
  assert.ok(seen.length >= 13, `${seen.length} accesses`);
  for (const [access, register] of seen) {
    const machine = create();
    machine.partition.faults.register = (now, number) =>
      now === access && number === register ? HvStatus.ACCESS_DENIED : undefined;
    const name = boot(machine);
    const what = `${access} of 0x${register.toString(16)}`;
    // What is only advice, or tidying up, does not keep it from booting
    assert.ok(name === undefined || name === 'RegisterRefused', `${what}: ${name}`);
  }
});

refusals('each register, refused once it was allowed', () => {
  for (const [access, register] of touched()) {
    const machine = create();
    let count = 0;
    machine.partition.faults.register = (now, number) =>
      now === access && number === register && ++count > 1 ? HvStatus.INVALID_PARAMETER : undefined;
    const name = boot(machine);
    assert.ok(name === undefined || name === 'RegisterRefused', `0x${register.toString(16)}`);
  }
});

for (const [code, calls] of [
  [HvCall.POST_MESSAGE, 'HvPostMessage'],
  [HvCall.SIGNAL_EVENT, 'HvSignalEvent'],
  [HvCall.GET_VP_REGISTERS, 'HvGetVpRegisters'],
  [HvCall.SET_VP_REGISTERS, 'HvSetVpRegisters'],
] as const) {
  refusals(`${calls} answers with each status`, () => {
    for (const [name, status] of Object.entries({ ...HvStatus, UNKNOWN: 0xffff })) {
      if (status === HvStatus.SUCCESS) continue;
      for (const from of [0, 5]) {
        const machine = create();
        machine.partition.faults.hypercall = (called, _connection, index) =>
          called === code && index >= from ? status : undefined;
        const error = boot(machine);
        const registers = code === HvCall.GET_VP_REGISTERS || code === HvCall.SET_VP_REGISTERS;
        if (registers) assert.is(error, 'RegisterRefused', `${name} from ${from}`);
        else if (code === HvCall.POST_MESSAGE && from === 0) {
          assert.match(error ?? '', /^Post(Failed|Throttled)$/, name);
        }
      }
    }
  });
}

refusals('a success without its one repetition is none', () => {
  const machine = create();
  const seam = machine.bootSeam as Arm64Machine;
  const lying: Arm64Machine = {
    architecture: 'arm64',
    memory: seam.memory,
    memoryMap: seam.memoryMap,
    counterFrequency: seam.counterFrequency,
    hvc(immediate, x) {
      const registers = Number(x[1]! & 0xfffen) === HvCall.GET_VP_REGISTERS;
      seam.hvc(immediate, x);
      if (registers) x[0] = 0n;
    },
    readCounter: () => seam.readCounter(),
    pause: () => seam.pause(),
  };
  assert.is(boot(machine, lying), 'RegisterRefused');
});

refusals('who is not Hyper-V, or nobody', () => {
  assert.is(boot(create({}, { 0x40000001: { eax: 0x4b4d564b } })), 'NotHyperV');
  assert.is(boot(create({}, { 1: { ecx: 0 } })), 'NoHypervisor');
});

refusals('features that cannot be', () => {
  const { features, privileges } = profileNamed(DEFAULT_PROFILE)!;
  assert.is(boot(create({ features: 0, privileges: 0 })), 'NoSynic');
  assert.is(boot(create({ features: features & ~4 })), 'NoSynic');
  assert.is(boot(create({ features: features & ~2 })), 'NoReferenceTime');
  assert.is(boot(create({ privileges: privileges & ~0x10 })), 'NoPostMessages');
  assert.is(boot(create({ privileges: privileges & ~0x20 })), 'NoSignalEvents');
  // Everything at once is no less than what is needed
  assert.is(boot(create({ features: 0xffffffff, privileges: 0xffffffff })), undefined);
});

refusals('a guest that belongs to the UEFI firmware', () => {
  const machine = create();
  const x = new BigUint64Array(18);
  x.set([0x46000001n, 0x1_0001_0051n, 2n ** 64n - 1n, 0xfffffffen, 0x90002n, 0n], 0);
  x[6] = 0x0001_0400_0000_0000n;
  (machine.bootSeam as Arm64Machine).hvc(0, x);
  assert.is(x[0], 1n << 32n);
  assert.is(firmware.boot(machine.bootSeam).error?.name, 'OwnedByUefi');
});

refusals.run();

// --- the simulated host ---

const registers = suite('arm64: registers of the simulated host');

/** One register by a fast call in either form. Returns status, repetitions and value. */
function access(machine: SimulatedMachine, immediate: number, name: number, value?: bigint) {
  const x = new BigUint64Array(18);
  const at = immediate === 0 ? 1 : 0;
  if (immediate === 0) x[0] = 0x46000001n;
  x[at] = value === undefined ? 0x1_0001_0050n : 0x1_0001_0051n;
  x[at + 1] = 2n ** 64n - 1n;
  x[at + 2] = 0xfffffffen;
  x[at + 3] = BigInt(name);
  if (value !== undefined) x[at + 5] = value;
  (machine.bootSeam as Arm64Machine).hvc(immediate, x);
  const result = immediate === 0 ? 6 : 15;
  return { status: Number(x[0]! & 0xffffn), reps: Number(x[0]! >> 32n), value: x[result]! };
}

for (const immediate of [0, 1]) {
  registers(`every register of the header can be read: hvc #${immediate}`, () => {
    const machine = create();
    const numbers: number[] = Object.values(HvRegister);
    for (let sint = 1; sint < SINT_COUNT; sint++) numbers.push(HvRegister.SINT0 + sint);
    for (let timer = 2; timer < 8; timer++) numbers.push(HvRegister.STIMER0_CONFIG + timer);
    for (const number of numbers) {
      const { status, reps } = access(machine, immediate, number);
      assert.equal([status, reps], [0, 1], `0x${number.toString(16)}`);
    }
    assert.is(access(machine, immediate, HvRegister.SVERSION).value, 1n);
    assert.is(access(machine, immediate, HvRegister.SINT0 + 7).value, 0x10000n);
  });

  registers(`write, read, refuse, and say what is not modelled: hvc #${immediate}`, () => {
    const machine = create();
    const seen: HostEvent[] = [];
    machine.events.listen((event) => seen.push(event));
    const simp = 0x200001n;
    assert.is(access(machine, immediate, HvRegister.SIMP, simp).status, 0);
    assert.is(access(machine, immediate, HvRegister.SIMP).value, simp);
    const bad = access(machine, immediate, HvRegister.SVERSION, 2n);
    assert.equal([bad.status, bad.reps], [HvStatus.INVALID_PARAMETER, 0]);
    const none = access(machine, immediate, 0xdead0);
    assert.equal([none.status, none.reps], [HvStatus.INVALID_PARAMETER, 0]);
    const unmodelled = seen.filter(({ kind }) => kind === 'unmodelled');
    assert.equal(unmodelled, [{ kind: 'unmodelled', what: 'VP register 0xdead0' }]);
    const write = seen.find(({ kind }) => kind === 'register-write');
    const wanted = { kind: 'register-write', register: 0xa0013, name: 'SIMP', value: simp, act: 1 };
    assert.equal(write, wanted);
  });
}

registers('through memory: several at once, and as many as were done', () => {
  const machine = create();
  const { view } = machine.partition.ram;
  const [input, output] = [0x200000, 0x201000];
  view.setBigUint64(input, 2n ** 64n - 1n, true);
  view.setUint32(input + 8, 0xfffffffe, true);
  [HvRegister.SVERSION, HvRegister.VP_INDEX, 0xdead0].forEach((name, i) =>
    view.setUint32(input + 16 + 4 * i, name, true),
  );
  const x = new BigUint64Array(18);
  x.set([0x46000001n, 0x3_0000_0050n, BigInt(input), BigInt(output)]);
  (machine.bootSeam as Arm64Machine).hvc(0, x);
  assert.is(Number(x[0]! & 0xffffn), HvStatus.INVALID_PARAMETER);
  assert.is(Number(x[0]! >> 32n), 2);
  assert.is(view.getBigUint64(output, true), 1n);
});

registers('an immediate that is no hypercall is an undefined instruction', () => {
  const machine = create();
  assert.throws(() => (machine.bootSeam as Arm64Machine).hvc(7, new BigUint64Array(18)), /hvc #7/);
});

registers.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * CPUID tells no lie: each bit of leaves 0x40000003 and 0x40000004 that a machine offers is used by
 * a probe, on every host and both architectures, and each that it does not offer is refused. The
 * real Linux with `CONFIG_HYPERV` believes these bits (L7).
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvCall, HvStatus, Msr } from '../../../../src/hyperv/protocol.ts';
import type { Arm64Machine } from '../../../../src/machine.ts';
import { GuestCrash } from '../../../../tools/simulator/hypervisor/guest-end.ts';
import { Partition } from '../../../../tools/simulator/hypervisor/partition.ts';
import type { PartitionOptions } from '../../../../tools/simulator/hypervisor/partition.ts';
import type { SimulatedProcessor } from '../../../../tools/simulator/hypervisor/simulated-processor.ts';
import { PROFILES, profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';
import type { HostProfile } from '../../../../tools/simulator/profiles/profile.ts';
import { MEMORY_SIZE, OS_ID, Page } from '../../../rigs/partition-fixture.ts';

const ARCHITECTURES = ['x64', 'arm64'] as const;
type Architecture = (typeof ARCHITECTURES)[number];
const WORDS = ['features', 'privileges', 'misc', 'hints'] as const;
type Word = (typeof WORDS)[number];

const FAST = 1n << 16n;
const SELF = 0xffffffffffffffffn;
const VP_SELF = 0xfffffffen;

/** A machine as a probe sees it, whatever the architecture. */
interface Rig {
  readonly partition: Partition;
  readonly view: DataView;
  read(register: number): bigint;
  write(register: number, value: bigint): void;
  /** A call with input and output in memory. Returns the status. */
  call(control: bigint): number;
}

/** A register is not there, or a call is not. */
class Refused extends Error {}

/** VP register numbers of those MSRs that probes use. */
const ARM64_NUMBERS: Readonly<Record<number, number>> = {
  0x40000000: 0x00090002,
  0x40000002: 0x00090003,
  0x40000010: 0x00090000,
  0x40000020: 0x00090004,
  0x40000021: 0x00090017,
  0x40000073: 0x00090013,
  0x40000080: 0x000a0010,
  0x40000081: 0x000a0011,
  0x40000082: 0x000a0012,
  0x40000083: 0x000a0013,
  0x40000084: 0x000a0014,
  0x40000092: 0x000a0002,
  0x400000b0: 0x000b0000,
  0x400000b1: 0x000b0001,
  0x40000100: 0x00000210,
  0x40000105: 0x00000215,
};

function create(architecture: Architecture, options: Partial<PartitionOptions>): Rig {
  const partition = new Partition({
    memory: new ArrayBuffer(MEMORY_SIZE),
    profile: profileNamed('server2022')!,
    seed: 1,
    architecture,
    processors: 2,
    ...options,
  });
  return architecture === 'x64' ? x64Rig(partition) : arm64Rig(partition);
}

function x64Rig(partition: Partition): Rig {
  const cpu = partition.seams[0] as SimulatedProcessor;
  const { view } = partition.ram;
  const refusing = <T>(access: () => T): T => {
    try {
      return access();
    } catch (error) {
      if (!(error instanceof GuestCrash)) throw error;
      partition.recover();
      throw new Refused(error.message);
    }
  };
  return {
    partition,
    view,
    read: (register) => refusing(() => cpu.rdmsr(register)),
    write: (register, value) => refusing(() => cpu.wrmsr(register, value)),
    call(control) {
      this.write(Msr.GUEST_OS_ID, OS_ID);
      this.write(Msr.HYPERCALL, BigInt(Page.HYPERCALL) | 1n);
      const call = [control, BigInt(Page.INPUT), BigInt(Page.OUTPUT)] as const;
      return checked(refusing(() => cpu.callHypercallPage(Page.HYPERCALL, ...call)));
    },
  };
}

function arm64Rig(partition: Partition): Rig {
  const cpu = partition.seams[0] as Arm64Machine;
  const hvc = (...words: bigint[]): BigUint64Array => {
    const x = new BigUint64Array(18);
    x[0] = 0x46000001n;
    words.forEach((word, i) => (x[1 + i] = word));
    cpu.hvc(0, x);
    return x;
  };
  const number = (msr: number): bigint => {
    const found = ARM64_NUMBERS[msr];
    if (found === undefined) throw new Refused(`no VP register for MSR 0x${msr.toString(16)}`);
    return BigInt(found);
  };
  const access = (x: BigUint64Array): BigUint64Array => {
    if ((x[0]! & 0xffffn) !== 0n) throw new Refused(`status ${x[0]! & 0xffffn}`);
    return x;
  };
  const get = BigInt(HvCall.GET_VP_REGISTERS) | FAST | (1n << 32n);
  const set = BigInt(HvCall.SET_VP_REGISTERS) | FAST | (1n << 32n);
  return {
    partition,
    view: partition.ram.view,
    read: (msr) => access(hvc(get, SELF, VP_SELF, number(msr)))[6]!,
    write: (msr, value) => {
      access(hvc(set, SELF, VP_SELF, number(msr), 0n, value));
    },
    call: (control) => checked(hvc(control, BigInt(Page.INPUT), BigInt(Page.OUTPUT))[0]!),
  };
}

/** The status of a call that the host knows and permits. */
function checked(result: bigint): number {
  const status = Number(result & 0xffffn);
  const none = status === HvStatus.INVALID_HYPERCALL_CODE || status === HvStatus.ACCESS_DENIED;
  if (none) throw new Refused(`status ${status}`);
  return status;
}

/** Uses a feature. Throws {@link Refused} if it is not there, and anything else if it is wrong. */
type Probe = (rig: Rig) => void;

function reads(...registers: number[]): Probe {
  return ({ read }) => registers.forEach((register) => read(register));
}

function keeps(...values: [register: number, value: bigint][]): Probe {
  return ({ read, write }) => {
    for (const [register, value] of values) {
      write(register, value);
      assert.is(read(register), value);
    }
  };
}

/** A call with this input, in words of 32 bits, succeeds. */
function calls(control: bigint, input: number[], status: number = HvStatus.SUCCESS): Probe {
  return (rig) => {
    input.forEach((word, i) => rig.view.setUint32(Page.INPUT + 4 * i, word, true));
    assert.is(rig.call(control), status);
  };
}

const ALL = 0xffffffff;
const REP = 1n << 32n;
const FLUSH = [0, 0, 3, 0, 0, 0];
const FLUSH_SET = [0, 0, 2, 0, 1, 0, 0, 0];

/** What each bit is used by, and what else must be offered with it. */
interface Bit {
  readonly probe: Probe;
  /** Other bits without which there is nothing to use: `['hints', 2]`. */
  readonly with?: readonly [Word, number][];
  readonly only?: Architecture;
  /** It recommends what another bit offers: without it that is there all the same. */
  readonly advice?: true;
}

/** The bits of which some are offered; a statement about the host has nothing to use. */
const BITS: Readonly<Record<Word, Readonly<Record<number, Bit | 'a statement'>>>> = {
  features: {
    0: {
      probe: ({ read }) => {
        const before = read(0x40000010);
        assert.ok(read(0x40000010) > before);
      },
    },
    1: { probe: reads(Msr.TIME_REF_COUNT) },
    2: {
      probe: (rig) => {
        reads(Msr.SCONTROL, Msr.SVERSION, Msr.SIEFP, Msr.SIMP, Msr.EOM)(rig);
        keeps([Msr.SINT0 + 2, 0x20075n], [Msr.SCONTROL, 1n])(rig);
      },
    },
    3: { probe: keeps([Msr.STIMER0_COUNT, 5n], [Msr.STIMER0_CONFIG, 0x20000n]) },
    4: {
      probe: (rig) => {
        keeps([Msr.VP_ASSIST_PAGE, 0x105001n])(rig);
        if (rig.partition.architecture === 'arm64') return;
        keeps([0x40000071, 0x4_00000041n], [0x40000072, 0xf0n])(rig);
        rig.write(0x40000070, 0n);
        assert.throws(() => rig.read(0x40000070), /write-only/);
      },
    },
    5: { probe: keeps([Msr.GUEST_OS_ID, OS_ID]) },
    6: { probe: reads(Msr.VP_INDEX) },
    9: { probe: keeps([Msr.REFERENCE_TSC, 0x106001n]) },
    10: {
      probe: ({ read, partition }) => {
        const before = partition.clock.now;
        read(0x400000f0);
        assert.ok(partition.clock.now > before + 1000, 'the processor has idled');
      },
      with: [['misc', 5]],
      only: 'x64',
    },
    11: {
      probe: reads(Msr.TSC_FREQUENCY, Msr.APIC_FREQUENCY),
      with: [['misc', 8]],
      only: 'x64',
    },
    13: {
      probe: keeps([0x40000106, 0x1000100een], [0x40000107, 1n], [0x40000108, 0n]),
      only: 'x64',
    },
  },
  privileges: {
    4: {
      probe: calls(BigInt(HvCall.POST_MESSAGE), [9, 0, 1, 0], HvStatus.INVALID_CONNECTION_ID),
    },
    5: { probe: calls(BigInt(HvCall.SIGNAL_EVENT), [9, 0], HvStatus.INVALID_CONNECTION_ID) },
    15: {
      // Large ranges: refused as a parameter where they are not offered
      probe: (rig) => {
        [0, 0, 0xb, 0, 0, 0, 0, 0].forEach((word, i) =>
          rig.view.setUint32(Page.INPUT + 4 * i, word, true),
        );
        const status = rig.call(BigInt(HvCall.FLUSH_VIRTUAL_ADDRESS_LIST) | REP);
        if (status === HvStatus.INVALID_PARAMETER) throw new Refused('the flag');
        assert.is(status, HvStatus.SUCCESS);
      },
      with: [
        ['hints', 2],
        ['misc', 14],
      ],
    },
    17: {
      probe: (rig) => {
        calls(BigInt(HvCall.GET_VP_REGISTERS) | REP, [ALL, ALL, 0xfffffffe, 0, 0x00000100])(rig);
        assert.is(rig.view.getUint32(Page.OUTPUT, true), rig.partition.profile.hypervisorBuild);
      },
    },
    20: {
      probe: (rig) => {
        rig.view.setBigUint64(Page.OUTPUT, SELF, true);
        assert.is(rig.call(0x8001n), HvStatus.SUCCESS);
        assert.is(rig.view.getBigUint64(Page.OUTPUT, true), 0n);
      },
    },
    21: {
      probe: (rig) => {
        calls(BigInt(HvCall.START_VP), [ALL, ALL, 1, 0], 0x15)(rig);
        calls(BigInt(HvCall.START_VP), [ALL, ALL, 2, 0], 0x0e)(rig);
        calls(0x9an | REP, [ALL, ALL, 0, 0, 1])(rig);
        assert.is(rig.view.getUint32(Page.OUTPUT, true), 1);
      },
    },
  },
  misc: {
    5: { probe: reads(0x400000f0), with: [['features', 10]], only: 'x64' },
    8: { probe: reads(Msr.TSC_FREQUENCY), with: [['features', 11]], only: 'x64' },
    10: { probe: keeps([Msr.CRASH_P0, 7n]) },
    12: { probe: keeps([0x40000040, 0xfn]), only: 'x64' },
    14: {
      probe: (rig) => (BITS.privileges[15] as Bit).probe(rig),
      with: [
        ['privileges', 15],
        ['hints', 2],
      ],
    },
    17: {
      // A SINT that is polled raises no interrupt
      probe: ({ write, partition }) => {
        write(Msr.SIMP, BigInt(Page.SIMP) | 1n);
        write(Msr.SCONTROL, 1n);
        write(Msr.SINT0 + 2, 0x40075n);
        partition.postMessage(0, 2, 1, new Uint8Array(8));
        if (partition.inspection.interrupts(0, 2) !== 0) throw new Refused('an interrupt');
      },
    },
    18: {
      probe: ({ read, write }) => {
        write(Msr.GUEST_OS_ID, OS_ID);
        write(Msr.HYPERCALL, 0x100003n);
        if (read(Msr.HYPERCALL) !== 0x100003n) throw new Refused('not locked');
        assert.throws(() => write(Msr.HYPERCALL, 0n), /locked/);
      },
      only: 'x64',
    },
    19: { probe: keeps([Msr.STIMER0_CONFIG, 0x1ed0n]) },
  },
  hints: {
    2: {
      probe: (rig) => {
        calls(BigInt(HvCall.FLUSH_VIRTUAL_ADDRESS_SPACE), FLUSH)(rig);
        calls(BigInt(HvCall.FLUSH_VIRTUAL_ADDRESS_LIST) | REP, [...FLUSH, 0, 0])(rig);
      },
    },
    3: { probe: keeps([0x40000072, 0x30n]), with: [['features', 4]], only: 'x64', advice: true },
    5: 'a statement',
    9: 'a statement',
    10: {
      probe: (rig) => {
        calls(BigInt(HvCall.SEND_IPI), [0xf3, 0, 3, 0])(rig);
        calls(BigInt(HvCall.SEND_IPI), [0x0f, 0, 3, 0], HvStatus.INVALID_PARAMETER)(rig);
      },
      only: 'x64',
    },
    11: {
      probe: (rig) => {
        const flush = BigInt(HvCall.FLUSH_VIRTUAL_ADDRESS_SPACE_EX);
        calls(flush, FLUSH_SET)(rig);
        calls(flush | (1n << 17n), [0, 0, 2, 0, 0, 0, 1, 0, 3, 0])(rig);
        calls(flush, [0, 0, 2, 0, 0, 0, 1, 0], HvStatus.INVALID_HYPERCALL_INPUT)(rig);
        const list = BigInt(HvCall.FLUSH_VIRTUAL_ADDRESS_LIST_EX);
        calls(list | REP, [...FLUSH_SET, 0, 0])(rig);
        if (rig.partition.architecture === 'arm64') return;
        calls(BigInt(HvCall.SEND_IPI_EX), [0xf3, 0, 1, 0, 0, 0])(rig);
      },
      with: [['hints', 2]],
    },
    17: 'a statement',
    18: 'a statement',
  },
};

/** The registers and calls behind the bits that nobody offers (TLFS). */
const NEVER: readonly [what: string, probe: Probe][] = [
  ['reset', reads(0x40000003)],
  ['statistics', reads(0x400000e0)],
  ['debug registers', reads(0x400000f1)],
  ['TSC invariant', reads(0x40000118)],
  ['HvEnablePartitionVtl', calls(0x0dn, [])],
  ['HvVtlCall', calls(0x11n, [])],
  ['HvCreatePartition', calls(0x40n, [])],
  ['HvGetPartitionId', calls(0x46n, [])],
  ['HvCreatePort', calls(0x57n, [])],
  ['HvConnectPort', calls(0x5bn, [])],
  ['HvPostDebugData', calls(0x69n, [])],
  ['HvExtGetBootZeroedMemory', calls(0x8002n, [])],
];

/** The four words as the guest reads them. */
function offered(rig: Rig): Record<Word, number> {
  const { partition, view } = rig;
  if (partition.architecture === 'x64') {
    const cpu = partition.seams[0] as SimulatedProcessor;
    const { eax, ebx, edx } = cpu.cpuid(0x40000003, 0);
    return { features: eax, privileges: ebx, misc: edx, hints: cpu.cpuid(0x40000004, 0).eax };
  }
  const input = [ALL, ALL, 0xfffffffe, 0, 0x00000200, 0x00000201];
  calls(BigInt(HvCall.GET_VP_REGISTERS) | (2n << 32n), input)(rig);
  const [features, privileges, misc, hints] = [0, 4, 12, 16].map((at) =>
    view.getUint32(Page.OUTPUT + at, true),
  );
  return { features: features!, privileges: privileges!, misc: misc!, hints: hints! };
}

function has(words: Record<Word, number>, word: Word, bit: number): boolean {
  return (words[word] & (1 << bit)) !== 0;
}

/** What the probe of a bit says on a fresh machine: works, or why not. */
function use(probe: Probe, architecture: Architecture, options: Partial<PartitionOptions>): string {
  try {
    probe(create(architecture, options));
    return 'works';
  } catch (error) {
    if (error instanceof Refused) return 'refused';
    throw error;
  }
}

const claims = suite('CPUID');

for (const architecture of ARCHITECTURES) {
  for (const profile of PROFILES) {
    claims(
      `L7 Linux: promises nothing that is not there: ${profile.name} on ${architecture}`,
      () => {
        walk(architecture, profile);
      },
    );
  }
}

function walk(architecture: Architecture, profile: HostProfile): void {
  const words = offered(create(architecture, { profile }));
  for (const word of WORDS) {
    for (let number = 0; number < 32; number++) {
      const what = `${word} bit ${number}`;
      const bit = BITS[word][number];
      const claimed = has(words, word, number);
      if (bit === undefined || bit === 'a statement') {
        assert.ok(!claimed || bit !== undefined, `${what} is offered, and nothing is known of it`);
        continue;
      }
      if (bit.only !== undefined && bit.only !== architecture) {
        assert.not(claimed, `${what} is not of ${architecture}`);
        continue;
      }
      if (bit.advice && !claimed) continue;
      const whole = (bit.with ?? []).every(([other, at]) => has(words, other, at));
      // arm64 has no other way to its registers, and no bit for it
      if (what === 'privileges bit 17' && architecture === 'arm64') continue;
      const works = use(bit.probe, architecture, { profile });
      assert.is(works, claimed && whole ? 'works' : 'refused', what);
    }
  }
  for (const [what, probe] of NEVER) {
    assert.is(use(probe, architecture, { profile }), 'refused', what);
  }
}

claims('of a host that offers nothing leaves nothing to use', () => {
  for (const word of WORDS) {
    for (const [number, bit] of Object.entries(BITS[word])) {
      if (bit === 'a statement' || bit.advice) continue;
      const leaf = word === 'hints' ? 0x40000004 : 0x40000003;
      const register = { features: 'eax', privileges: 'ebx', misc: 'edx', hints: 'eax' }[word];
      const without = (offered(create('x64', {}))[word] & ~(1 << Number(number))) >>> 0;
      const cpuidOverride = { [leaf]: { [register]: without } };
      assert.is(use(bit.probe, 'x64', { cpuidOverride }), 'refused', `${word} bit ${number}`);
    }
  }
});

claims('L18 Linux: tells of each call that it does not know', () => {
  const rig = create('x64', {});
  const seen: string[] = [];
  rig.partition.events.listen((event) => {
    if (event.kind === 'unmodelled') seen.push(event.what);
  });
  assert.throws(() => rig.call(0x1234n), /status 2/);
  assert.equal(seen, ['hypercall 0x1234']);
});

claims('keeps the TSC of a guest that has asked for it, over a migration', () => {
  const rig = create('x64', {});
  const { partition, read, write } = rig;
  const before = read(Msr.TSC_FREQUENCY);
  write(0x40000106, 0x100een);
  write(0x40000107, 1n);
  partition.migrate({ frequency: 3_000_000_000n });
  assert.equal([read(0x40000108), read(Msr.TSC_FREQUENCY)], [1n, before]);
  write(0x40000108, 0n);
  assert.is(read(Msr.TSC_FREQUENCY), 3_000_000_000n);
});

claims.run();

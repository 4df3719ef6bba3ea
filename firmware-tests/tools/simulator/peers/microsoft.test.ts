// SPDX-License-Identifier: GPL-2.0-or-later

/** What Microsoft's own firmware (mu_msvm) needs of a host. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  GuestOsId,
  HV_ENABLE,
  HvCall,
  Msr,
  SynicMessage,
} from '../../../../src/hyperv/protocol.ts';
import type { Arm64Machine } from '../../../../src/machine.ts';
import { MessageType, VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { EfiGuest } from '../../../../tools/scenarios/efi-guest.ts';
import { guestsOf, makeMachine } from '../../../../tools/scenarios/rig.ts';
import { scenarioNamed } from '../../../../tools/scenarios/index.ts';
import { errorChecks } from '../../../rigs/flow-rig.ts';
import { Rig, RigDevice, gpadlHeader, plain } from '../../../rigs/vmbus-server-rig.ts';
import { PROFILES } from '../../../../tools/simulator/profiles/profiles.ts';

const PAGES = 0x300000;

const microsoft = suite('peers: Microsoft firmware');

for (const { name, vmbusVersions } of PROFILES) {
  const contacts = vmbusVersions.includes(VmbusVersion.V3_0) && name !== 'qemu';
  if (!contacts) continue;
  microsoft(`P-M1 Microsoft: it never writes SCONTROL, and is answered on ${name}`, () => {
    const machine = makeMachine({ host: name });
    const guests = guestsOf(machine);
    assert.is(machine.bootProcessor.rdmsr(Msr.SCONTROL), HV_ENABLE);
    const efi = new EfiGuest(machine.bootProcessor, PAGES);
    guests.run('firmware', () => {
      efi.start();
      assert.ok(efi.connect());
      efi.exitBootServices();
    });
    assert.is(guests.ended, undefined);
  });
}

microsoft('P-M1 Microsoft: where SCONTROL is 0 at reset it waits for ever', () => {
  const machine = makeMachine({ knobs: { scontrolReset: 0 } });
  const guests = guestsOf(machine);
  const efi = new EfiGuest(machine.bootProcessor, PAGES);
  guests.run('firmware', () => {
    efi.start();
    efi.connect();
  });
  assert.is(guests.ended?.kind, 'hang');
});

microsoft('P-M1 Microsoft: QEMU delivers the answer, but no interrupt, and hears no EOM', () => {
  const machine = makeMachine({ host: 'qemu' });
  const efi = new EfiGuest(machine.bootProcessor, PAGES);
  efi.start();
  assert.ok(efi.connect(), 'this guest looks without an interrupt, which the real one waits for');
  assert.is(machine.partition.inspection.interrupts(0, 2), 0);
});

microsoft('P-M2 Microsoft: after a firmware that left SCONTROL off it waits for ever', () => {
  const { run } = scenarioNamed('scontrol-left-off')!;
  assert.is(run('broken').ended?.kind, 'hang');
  assert.is(run('fixed').ended, undefined);
});

/** Where the arm64 guest has its message page, and the input of its hypercalls. */
const SIMP = 0x300000;
const INPUT = 0x301000;

/** Registers of its firmware on arm64, by their names for HvSetVpRegisters. */
const REGISTERS: readonly (readonly [number, bigint])[] = [
  [0x00090002, GuestOsId.UEFI_ARM64],
  [0x000a0013, BigInt(SIMP) | 1n],
  [0x000a0002, 18n],
];

microsoft('P-M6 Microsoft: arm64, hypercalls with immediate 1, interrupt 18, no SCONTROL', () => {
  for (const { name, vmbusVersions } of PROFILES) {
    if (!vmbusVersions.includes(VmbusVersion.V3_0) || name === 'qemu') continue;
    const architecture = { architecture: 'arm64', hypercallConvention: 'immediate' } as const;
    const machine = makeMachine({ host: name }, architecture);
    const cpu = machine.bootSeam as Arm64Machine;
    const hvc = (...x: bigint[]): number => {
      const registers = new BigUint64Array(18);
      registers.set(x);
      cpu.hvc(1, registers);
      return Number(registers[0]! & 0xffffn);
    };
    const set = BigInt(HvCall.SET_VP_REGISTERS) | (1n << 16n) | (1n << 32n);
    for (const [register, value] of REGISTERS) {
      const self = [0xffffffffffffffffn, 0xfffffffen] as const;
      assert.is(hvc(set, ...self, BigInt(register), 0n, value), 0, name);
    }

    // INITIATE_CONTACT at 3.0 without pages; the answer lies in the slot of SINT 2
    const view = new DataView(cpu.memory);
    const contact = [MessageType.INITIATE_CONTACT, 0, VmbusVersion.V3_0, ...Array(7).fill(0)];
    [1, 0, 1, 40, ...(contact as number[])].forEach((word, i) =>
      view.setUint32(INPUT + 4 * i, word, true),
    );
    assert.is(hvc(BigInt(HvCall.POST_MESSAGE), BigInt(INPUT), 0n), 0, name);
    const slot = SIMP + 2 * SynicMessage.size;
    while (view.getUint32(slot, true) === 0) cpu.pause();
    const answer = slot + SynicMessage.at.data;
    const said = [view.getUint32(answer, true), view.getUint8(answer + 8)];
    assert.equal(said, [MessageType.VERSION_RESPONSE, 1], name);
  }
});

microsoft(
  'P-M7 Microsoft: a channel that is open at UNLOAD is closed by the host, with all',
  () => {
    const device = new RigDevice(1);
    const closers: (string | undefined)[] = [];
    const close = device.close.bind(device);
    Object.assign(device, {
      close: (closer?: string) => {
        closers.push(closer);
        close();
      },
    });
    const rig = new Rig({ devices: [device] });
    rig.boot(VmbusVersion.V3_0);
    rig.open(1);
    for (const gpadl of [7, 8]) rig.post(gpadlHeader(1, gpadl, [0x40 + gpadl]));
    assert.equal(rig.post(plain(MessageType.UNLOAD)), [plain(MessageType.UNLOAD_RESPONSE)]);
    assert.equal(closers, ['unload'], 'so that no packet of it is counted against the guest');
    assert.equal(rig.grants(), []);
  },
);

microsoft('P-M9 Microsoft: other firmware refuses to start beside it, and boots after it', () => {
  const { run } = scenarioNamed('microsoft-firmware-stolen')!;
  const { findings, ended } = run('fixed');
  assert.is(ended, undefined);
  assert.equal(errorChecks(findings), []);
});

microsoft.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** Microsoft's own firmware before and after another one. */

import { Msr } from '../../src/hyperv/protocol.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import { EfiGuest } from './efi-guest.ts';
import { auditLeft, bootOn, guestsOf, makeMachine, ownGuest, refuses } from './rig.ts';
import type { Half, HalfResult, Scenario, MachineSeen } from './scenario.ts';

/** Where Microsoft's firmware has its pages: the last ones of RAM. */
const PAGES = 4 * 0x1000;

/** Firmware that switches the SynIC off, and one behind it that never switches it on. */
function scontrolLeftOff(half: Half, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen }, {}, guest);
  const guests = guestsOf(machine);
  const cpu = machine.bootProcessor;
  const map = guests.run('firmware', () =>
    guests.callFirmware(() => {
      const driver = guest.createDriver!(cpu, {});
      driver.probe();
      driver.remove();
      if (half === 'broken') cpu.wrmsr(Msr.SCONTROL, 0n);
      return driver.memoryMap();
    }),
  );
  if (map === undefined) return { findings: [], ended: guests.ended };
  const findings = auditLeft(machine, map, { nextSetsScontrol: false });
  const efi = new EfiGuest(cpu, cpu.memory.byteLength - PAGES);
  guests.run('Microsoft firmware', () => {
    efi.start();
    efi.connect();
    efi.exitBootServices();
  });
  return { findings, ended: guests.ended };
}

/** Firmware that is started while Microsoft's has the machine. */
function startedTooEarly(half: Half, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen }, {}, guest);
  const guests = guestsOf(machine);
  const cpu = machine.bootProcessor;
  const efi = new EfiGuest(cpu, cpu.memory.byteLength - PAGES);
  guests.run('Microsoft firmware', () => {
    efi.start();
    efi.connect();
  });
  const started: Finding[] = [];
  if (half === 'broken') {
    // It takes what is not its own: the page under the other's feet, and then all else
    guests.run('firmware', () => cpu.wrmsr(Msr.GUEST_OS_ID, 0n));
  } else {
    const refused = guests.run('firmware', () =>
      guests.callFirmware(() => refuses(() => guest.createDriver!(cpu, {}).probe())),
    );
    if (refused === undefined) return { findings: [], ended: guests.ended };
    if (!refused) {
      const text = "the firmware has started on a machine that is somebody else's";
      started.push({ check: 'hypercall', severity: 'error', text });
    }
  }
  guests.run('Microsoft firmware', () => efi.exitBootServices());
  if (started.length > 0 || guests.ended !== undefined) {
    return { findings: started, ended: guests.ended };
  }
  const result = bootOn(guests, guest, cpu);
  const findings = auditLeft(machine, result?.memoryMap ?? cpu.memoryMap);
  if (result?.status === 'booted') return { findings, ended: guests.ended };
  const text = `it does not boot after ExitBootServices: ${result?.error?.message ?? ''}`;
  return {
    findings: [...findings, { check: 'second-boot', severity: 'error', text }],
    ended: guests.ended,
  };
}

export const MICROSOFT_SCENARIOS: readonly Scenario[] = [
  {
    name: 'scontrol-left-off',
    text: 'firmware switches SCONTROL off, which was on: who never writes it waits for ever',
    mistake: 'firmware',
    references: ['mu_msvm EfiHvSynic.c', 'iPXE b91cc983d'],
    caughtBy: { check: 'scontrol', says: /who comes next never writes it/ },
    asks: 'driver',
    run: scontrolLeftOff,
  },
  {
    name: 'microsoft-firmware-stolen',
    text: "firmware takes the machine while Microsoft's has it; refused, it boots afterwards",
    mistake: 'firmware',
    references: ['mu_msvm EfiHvDxe (ExitBootServices)', 'iPXE 936657832'],
    caughtBy: { ended: 'crash' },
    asks: 'driver',
    run: startedTooEarly,
  },
];

// SPDX-License-Identifier: GPL-2.0-or-later

/** What Microsoft's own firmware (mu_msvm) needs of a host. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HV_ENABLE, Msr } from '../../../../src/hyperv/protocol.ts';
import { VmbusVersion } from '../../../../src/vmbus/protocol.ts';
import { EfiGuest } from '../../../../tools/scenarios/efi-guest.ts';
import { guestsOf, makeMachine } from '../../../../tools/scenarios/rig.ts';
import { scenarioNamed } from '../../../../tools/scenarios/index.ts';
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
  for (const setup of [{ host: 'qemu' }, { knobs: { scontrolReset: 0 } as const }]) {
    const machine = makeMachine(setup);
    const guests = guestsOf(machine);
    const efi = new EfiGuest(machine.bootProcessor, PAGES);
    guests.run('firmware', () => {
      efi.start();
      efi.connect();
    });
    assert.is(guests.ended?.kind, 'hang');
  }
});

microsoft('P-M2 Microsoft: after a firmware that left SCONTROL off it waits for ever', () => {
  const { run } = scenarioNamed('scontrol-left-off')!;
  assert.is(run('broken').ended?.kind, 'hang');
  assert.is(run('fixed').ended, undefined);
});

microsoft.run();

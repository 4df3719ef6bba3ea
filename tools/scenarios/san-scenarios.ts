// SPDX-License-Identifier: GPL-2.0-or-later

/** SAN boots: the firmware is still needed when somebody else takes the machine. */

import { HV_ENABLE, Msr } from '../../src/hyperv/protocol.ts';
import type { Machine } from '../../src/machine.ts';
import type { GuestRuns } from '../flow/guest-run.ts';
import { SanBoot } from '../flow/san-boot.ts';
import { SanFlow } from '../flow/san-flow.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import { flowGuestsOf, makeMachine, ownGuest } from './rig.ts';
import type { Half, HalfResult, Scenario, MachineSeen } from './scenario.ts';
import { FaultySeam, type SeamFault } from './seam.ts';

/** The firmware's part of the flow. Undefined if its drivers did not come to be. */
function sanBoot(
  guests: GuestRuns,
  machine: Machine,
  firmware: GuestInstance,
): SanBoot | undefined {
  return guests.run('firmware', () =>
    guests.callFirmware(() => new SanBoot({ machine, firmware })),
  );
}

/** Run the SAN flow with drivers that are wrong in the broken half. */
function sanFlow(
  half: Half,
  fault: SeamFault,
  wrong: (boot: SanBoot) => void,
  guest = ownGuest(),
  seen?: MachineSeen,
): HalfResult {
  const machine = makeMachine({ seen }, {}, guest);
  const guests = flowGuestsOf(machine, 'firmware');
  const seam = new FaultySeam(machine.bootProcessor);
  const san = sanBoot(guests, seam, guest);
  if (san === undefined) return { findings: [], ended: guests.ended };
  if (half === 'broken') wrong(san);
  const flow = new SanFlow({
    ...{ machine, san, guests },
    onHandoff: () => {
      if (half === 'broken') seam.fault = fault;
    },
  });
  flow.run();
  return { findings: flow.stages.flatMap(({ findings }) => findings), ended: guests.ended };
}

/**
 * The loader takes over in the middle of a transfer: everything of the firmware is still mapped.
 */
function notQuiesced(half: Half, guest?: GuestInstance, seen?: MachineSeen): HalfResult {
  const wrong = (san: SanBoot): void => {
    san.quiesce = () => {};
  };
  return sanFlow(half, {}, wrong, guest, seen);
}

/** The SynIC is disabled while the connection is still open. */
function scontrolOff(half: Half, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen }, {}, guest);
  return withQuiesce(half, machine, guest, () => {
    const { bootProcessor } = machine;
    bootProcessor.wrmsr(Msr.SCONTROL, bootProcessor.rdmsr(Msr.SCONTROL) & ~HV_ENABLE);
  });
}

function withQuiesce(
  half: Half,
  machine: ReturnType<typeof makeMachine>,
  guest: GuestInstance,
  wrong: () => void,
): HalfResult {
  const guests = flowGuestsOf(machine, 'firmware');
  const san = sanBoot(guests, machine.bootProcessor, guest);
  if (san === undefined) return { findings: [], ended: guests.ended };
  const quiesce = san.quiesce.bind(san);
  san.quiesce = () => {
    quiesce();
    if (half === 'broken') wrong();
  };
  const flow = new SanFlow({ machine, san, guests });
  flow.run();
  return { findings: flow.stages.flatMap(({ findings }) => findings), ended: guests.ended };
}

/** The firmware takes the machine back without looking who has it: there are two owners. */
const twoOwners = (half: Half, guest?: GuestInstance, seen?: MachineSeen): HalfResult =>
  sanFlow(half, { read: (msr) => (msr === Msr.SIMP ? 0n : undefined) }, () => {}, guest, seen);

export const SAN_SCENARIOS: readonly Scenario[] = [
  {
    name: 'takeover-mid-transfer',
    text: 'the loader takes the machine in the middle of a transfer, and nothing was quiesced',
    mistake: 'firmware',
    references: ['iPXE b91cc983d'],
    caughtBy: { check: 'synic-pages' },
    asks: 'san',
    run: notQuiesced,
  },
  {
    name: 'quiesce-without-scontrol',
    text: 'the SynIC is disabled under a connection: Windows Server 2016 then waits for ever',
    mistake: 'firmware',
    references: ['iPXE b91cc983d'],
    caughtBy: { check: 'scontrol' },
    asks: 'san',
    run: scontrolOff,
  },
  {
    name: 'two-owners',
    text: 'the firmware takes the machine back while somebody else has it',
    mistake: 'firmware',
    references: ['iPXE b91cc983d', 'Microsoft KB 2858695'],
    caughtBy: { check: 'next-os', says: /has taken the machine/ },
    asks: 'san',
    run: twoOwners,
  },
];

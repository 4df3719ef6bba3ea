// SPDX-License-Identifier: GPL-2.0-or-later

/** What an earlier owner of the machine has left, and hosts that are slow. */

import { Msr } from '../../src/hyperv/protocol.ts';
import { scheduleNic, type NicTimes } from '../flow/nic-schedule.ts';
import { LEFTOVER_NAMES, leaveBehind, type Leftover } from '../os/previous-owner.ts';
import { auditBaseline } from '../simulator/audit/audit-baseline.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { HostKnobs } from '../simulator/profiles/profile.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import { auditLeft, bootOn, guestsOf, makeMachine, ownGuest } from './rig.ts';
import type { Half, HalfResult, Scenario, MachineSeen } from './scenario.ts';
import { FaultySeam, type SeamFault } from './seam.ts';

/** How long the slow host of a scenario takes to answer, in ms: more than iPXE's second. */
const SLOW_MS = 1500;

/** The owner's hypercall page is the one that the firmware takes first. */
const SAME_PAGE = 3;

/** Waits that end within the limits of a scenario. */
const SHORT = { policy: { answerMs: 1000 } };

interface Setting {
  readonly left?: readonly Leftover[];
  readonly knobs?: Partial<HostKnobs>;
  /** What is wrong with the firmware. */
  readonly fault?: SeamFault;
  readonly bootOptions?: object;
  readonly nicTimes?: NicTimes;
}

/** A boot after somebody else. One that fails is a finding, too. */
function bootAfter(setting: Setting, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const { left = [], knobs = {}, fault = {}, bootOptions, nicTimes = {} } = setting;
  const machine = makeMachine({ seen, knobs }, {}, guest);
  leaveBehind(machine, new Set(left), SAME_PAGE);
  scheduleNic(machine, nicTimes);
  const since = auditBaseline(machine);
  const guests = guestsOf(machine);
  const seam = new FaultySeam(machine.bootProcessor);
  seam.fault = fault;
  const result = bootOn(guests, guest, seam, { ...bootOptions });
  if (result === undefined) return { findings: [], ended: guests.ended };
  const inUse = result.image === undefined ? [] : [result.image];
  const findings = auditLeft(machine, result.memoryMap, { inUse, since });
  if (result.status === 'failed') {
    const text = `the boot failed: ${result.error?.message ?? 'no reason given'}`;
    findings.push({ check: 'second-boot', severity: 'error', text });
  }
  return { findings, ended: guests.ended };
}

/** The broken half never gets some writes of registers to the host. */
function without(
  half: Half,
  left: readonly Leftover[],
  writes: (msr: number, value: bigint) => boolean,
  guest?: GuestInstance,
  seen?: MachineSeen,
): HalfResult {
  const fault = half === 'broken' ? { ignores: writes } : {};
  return bootAfter({ left, fault, bootOptions: SHORT }, guest, seen);
}

const isTimer = (msr: number): boolean => msr >= Msr.STIMER0_CONFIG && msr < Msr.STIMER0_CONFIG + 8;

export const OWNER_SCENARIOS: readonly Scenario[] = [
  {
    name: 'owner-timers-go-on',
    text: 'a kernel left its timers running, and firmware hands them on to the next one',
    mistake: 'firmware',
    references: ['Linux hv_stimer_global_cleanup', 'Linux hyperv_cleanup'],
    caughtBy: { check: 'timers' },
    asks: 'boot',
    run: (half, guest, seen) => without(half, ['timers'], isTimer, guest, seen),
  },
  {
    name: 'owner-hypercall-page',
    text: 'an earlier hypercall page lies where firmware clears memory: the page is overwritten',
    mistake: 'firmware',
    references: ['systemd #20072', 'nixos-images #128'],
    caughtBy: { ended: 'crash' },
    asks: 'boot',
    run: (half, guest, seen) => {
      const left: Leftover[] = ['identity', 'hypercall-page', 'event-page'];
      const off = (msr: number, value: bigint) => msr === Msr.HYPERCALL && (value & 1n) === 0n;
      return without(half, left, off, guest, seen);
    },
  },
  {
    name: 'owner-lost-end-of-message',
    text: 'a message was taken and its end never written: the host waits, and says nothing more',
    mistake: 'firmware',
    references: ['QEMU hw/hyperv/hyperv.c (sint_msg_bh)', 'KVM kvm_hv_notify_acked_sint'],
    caughtBy: { check: 'second-boot', says: /the boot failed/ },
    asks: 'boot',
    run: (half, guest, seen) => {
      const left = LEFTOVER_NAMES.filter((name) => name !== 'channels');
      return without(half, left, (msr) => msr === Msr.EOM, guest, seen);
    },
  },
  {
    name: 'slow-host',
    text: 'each answer of a loaded host takes 1.5 s: firmware that waits for one boots nowhere',
    mistake: 'firmware',
    references: ['OpenVMM #2752', 'OpenVMM #2868', 'WSL #41165', 'iPXE vmbus_wait_for_message'],
    caughtBy: { check: 'second-boot', says: /the boot failed/ },
    asks: 'boot',
    run: (half, guest, seen) => {
      const knobs = { lateAnswer: 'all', lateTicks: SLOW_MS * TICKS_PER_MS } as const;
      const bootOptions = half === 'broken' ? { policy: { answerMs: 1000, tries: 1 } } : {};
      return bootAfter({ knobs, bootOptions }, guest, seen);
    },
  },
  {
    name: 'nic-comes-late',
    text: 'the only NIC is offered after the others, goes, and comes back: who looks once has none',
    mistake: 'firmware',
    references: ['lis-test #1125', 'cloud-init #972'],
    caughtBy: { check: 'second-boot', says: /no network device/ },
    asks: 'boot',
    run: (half, guest, seen) => {
      const nicTimes = { arrives: 500, leaves: 3, returns: 20 };
      return bootAfter(
        { nicTimes, bootOptions: half === 'broken' ? { net: { linkWaitMs: 0 } } : {} },
        guest,
        seen,
      );
    },
  },
];

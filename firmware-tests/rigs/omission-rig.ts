// SPDX-License-Identifier: GPL-2.0-or-later

/** Flows in which the firmware's steps of cleaning up are seen, and what the audit says of them. */

import type { Machine } from '../../src/machine.ts';
import { TopAllocator, type PageAllocator } from '../../src/memory/allocator.ts';
import type * as Everything from '../../src/os.ts';
import type { Firmware, FlowOptions } from '../../tools/flow/boot-flow.ts';
import { PUSH_BOOT, pushDevices } from '../../tools/explore/push-flow.ts';
import { LEFTOVER_NAMES } from '../../tools/os/previous-owner.ts';
import { makeMachine } from '../../tools/scenarios/rig.ts';
import { auditHandoff } from '../../tools/simulator/audit/audit.ts';
import type { Finding } from '../../tools/simulator/audit/audit-findings.ts';
import { FreedMemory } from '../../tools/simulator/audit/freed-memory.ts';
import { TICKS_PER_MS } from '../../tools/simulator/base/clock.ts';
import type { SimulatedMachine } from '../../tools/simulator/machine.ts';
import { syntheticImage } from '../../tools/simulator/network/index.ts';
import type { HostKnobs } from '../../tools/simulator/profiles/profile.ts';
import { profileNamed } from '../../tools/simulator/profiles/profiles.ts';
import { runBoot } from './boot-rig.ts';

/** A bundle with everything: that of a mutant, or the firmware's own. */
export type WholeFirmware = typeof Everything;
type Driver = ReturnType<WholeFirmware['createDriver']>;

/** Where a step of the clean-up is to be seen. */
export interface OmissionFlow {
  readonly flow:
    /** A boot over the network. */
    | 'boot'
    /** ... after an owner that has left everything. */
    | 'owner'
    /** A boot of what the host pushes, with all services. */
    | 'services'
    /** The firmware stays, and serves a loader. */
    | 'san'
    /** The driver is opened, used and removed. */
    | 'driver'
    /** ... with all that an OS adds. */
    | 'os'
    /** ... is quiesced, and takes the machine back before. */
    | 'resumed';
  readonly host: string;
  readonly knobs?: Partial<HostKnobs> | undefined;
  readonly bootOptions?: FlowOptions['bootOptions'] | undefined;
  /** Versions of VMBus that the host knows, if not its own. */
  readonly versions?: readonly number[] | undefined;
  readonly nicTimes?: FlowOptions['nicTimes'];
  readonly prepare?: ((machine: SimulatedMachine) => void) | undefined;
}

/** What became of it, in words: `booted`, or the name of the error; and what the audit says. */
export interface OmissionResult {
  readonly status: string;
  readonly findings: readonly Finding[];
}

/** Run a firmware in a flow. */
export function runOmission(firmware: WholeFirmware, where: OmissionFlow): OmissionResult {
  const { flow } = where;
  if (flow === 'driver' || flow === 'os' || flow === 'resumed') return runDriver(firmware, where);
  const size = 4096;
  const pushed = flow === 'services';
  const own = pushed ? PUSH_BOOT : flow === 'owner' ? { clock: 'counter' } : {};
  const { host, knobs = {}, versions, nicTimes, prepare } = where;
  const profile = profileNamed(host)!;
  const machine = {
    ...(pushed ? { devices: pushDevices(syntheticImage(size, 1)) } : {}),
    ...(versions === undefined ? {} : { profile: { ...profile, vmbusVersions: versions } }),
  };
  const { report } = runBoot({
    ...{ host, knobs, size, machine },
    ...(prepare && { prepare }),
    nics: pushed ? 0 : 1,
    memoryMiB: 16,
    firmware: firmware as unknown as Firmware,
    flow: {
      secondBoot: false,
      strict: true,
      bootOptions: { ...own, ...where.bootOptions },
      ...(nicTimes && { nicTimes }),
      ...(flow === 'owner' ? { previousOwner: LEFTOVER_NAMES } : {}),
      ...(flow === 'san' ? { steps: ['san'] } : {}),
    },
  });
  const { ended, boot, findings } = report;
  const status = ended?.kind ?? boot?.error?.name ?? boot?.status ?? 'nothing';
  return { status, findings: findings.filter(({ check }) => check !== 'scontrol') };
}

/** The driver alone: what a boot does not leave open is open when it is removed. */
function runDriver(firmware: WholeFirmware, where: OmissionFlow): OmissionResult {
  const { host, knobs = {}, prepare, flow } = where;
  const machine = makeMachine({ host, knobs, processors: flow === 'os' ? 4 : 1 });
  const freed = new FreedMemory(machine);
  const seam = machine.bootSeam;
  const pages = freed.watch(new TopAllocator(seam.memoryMap)) as PageAllocator;
  const driver = flow === 'os' ? asOs(firmware, seam, pages) : plain(firmware, seam, pages);
  prepare?.(machine);
  let status = 'booted';
  try {
    driver.probe();
    const [device] = driver.devices;
    device?.open();
    if (flow === 'resumed') {
      driver.quiesce();
      machine.run(TICKS_PER_MS);
      driver.unquiesce();
    }
    // What has arrived by now is completed
    for (let i = 0; i < 20; i++) {
      seam.pause();
      driver.poll();
      device?.poll();
    }
  } catch (error) {
    status = (error as Error).name;
  }
  driver.remove();
  machine.run(TICKS_PER_MS);
  const findings = [...freed.take(), ...auditHandoff(machine, driver.memoryMap())];
  return { status, findings: findings.filter(({ check }) => check !== 'scontrol') };
}

function plain(firmware: WholeFirmware, seam: Machine, allocator: PageAllocator): Driver {
  return firmware.createDriver(seam, { allocator }) as Driver;
}

/** With sub-channels, a send buffer and a timer. */
function asOs(firmware: WholeFirmware, seam: Machine, allocator: PageAllocator): Driver {
  const policy = { ...firmware.OS_NETVSC, subchannels: 3, outPages: 4, inPages: 4 };
  const driver = firmware.createDriver(seam, {
    allocator,
    contact: firmware.contactAsOs,
    policy,
    netvsc: firmware.osNetvsc(policy),
  }) as Driver;
  driver.bus.part = firmware.OS_BUS.part(driver.bus as never) as never;
  const timers = new firmware.SyntheticTimers(driver.hv as never);
  const { probe } = driver;
  driver.probe = function (this: Driver): void {
    probe.call(this);
    timers.start(1, { period: 10_000_000n, sint: 4 });
  };
  return driver;
}

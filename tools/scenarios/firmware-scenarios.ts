// SPDX-License-Identifier: GPL-2.0-or-later

/** Firmware that hands over what it has not given back, or takes what is not its own. */

import { createDriver } from '../../src/any.ts';
import { GuestOsId, Msr } from '../../src/hyperv/protocol.ts';
import type { MemoryRange } from '../../src/machine.ts';
import { MapAllocator } from '../../src/memory/allocator.ts';
import { MessageType, STATUS_UNSUCCESSFUL, VmbusVersion } from '../../src/vmbus/protocol.ts';
import type { DeviceChannel } from '../simulator/vmbus-server/channel-interface.ts';
import type { Link, LinkHost } from '../simulator/network/link.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { NetVsp } from '../simulator/netvsp/netvsp.ts';
import { lateWrites, untilLateWrites } from './freed-memory.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import { auditLeft, bootOn, guestsOf, makeMachine, ownGuest, refuses } from './rig.ts';
import type { Half, HalfResult, Scenario, MachineSeen } from './scenario.ts';
import { FaultySeam } from './seam.ts';

/** Why {@link lateWrites} takes no other firmware. */
const OWN_FREES =
  "it looks at the moment at which memory is freed, which only hypxe's drivers tell";

/** A NIC that refuses to be opened once it was told to. */
class FickleNic extends NetVsp {
  refuses = false;

  override open(channel: DeviceChannel): number {
    return this.refuses ? STATUS_UNSUCCESSFUL : super.open(channel);
  }
}

/** A link on which nothing happens but what a scenario does. */
class QuietLink implements Link {
  host: LinkHost | undefined;

  connect(host: LinkHost): void {
    this.host = host;
  }

  transmit(): void {}

  /** A broadcast frame, as they come at any time. */
  broadcast(): void {
    const frame = new Uint8Array(64).fill(0xee);
    frame.fill(0xff, 0, 6);
    this.host!.deliver(frame);
  }
}

/**
 * The driver frees the ring of a channel that the host has not opened, but still has a GPADL of.
 */
function ringFreed(half: Half, _?: GuestInstance, seen?: MachineSeen): HalfResult {
  const nic = new FickleNic({ nic: 0, link: new QuietLink() });
  const machine = makeMachine({ seen }, { links: [], devices: [nic] });
  const seam = new FaultySeam(machine.bootProcessor);
  return lateWrites(machine, ['ring'], (events) => {
    const driver = createDriver(seam, { events });
    driver.probe();
    nic.refuses = true;
    if (half === 'broken') seam.fault = { keeps: (type) => type === MessageType.GPADL_TEARDOWN };
    refuses(() => driver.devices[0]!.open());
  });
}

/**
 * The receive buffer is torn down first, then the channel closed: such hosts answer at the close.
 */
function gpadlBeforeClose(half: Half, _?: GuestInstance, seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen, knobs: { torndownWhileOpen: 'deferred' } });
  const seam = new FaultySeam(machine.bootProcessor);
  return lateWrites(machine, ['rx-buffer'], (events) => {
    const driver = createDriver(seam, { events });
    driver.probe();
    driver.devices[0]!.open();
    // The moment is that at which the buffer is freed: the close would come after it
    if (half === 'broken') seam.fault = { keeps: (type) => type === MessageType.CLOSE_CHANNEL };
    driver.devices[0]!.close();
  });
}

/** The firmware hands over with its NIC open: frames go on arriving in memory that is the OS's. */
function receiveBufferLeft(half: Half, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const link = new QuietLink();
  const machine = makeMachine({ seen }, { links: [link] }, guest);
  const guests = guestsOf(machine);
  guests.run('firmware', () =>
    guests.callFirmware(() => {
      const driver = guest.createDriver!(machine.bootProcessor, {});
      driver.probe();
      driver.devices[0]!.open();
      if (half === 'fixed') driver.remove();
    }),
  );
  const { ended } = guests;
  if (ended !== undefined) return { findings: [], ended };
  const map = machine.bootProcessor.memoryMap;
  return { findings: untilLateWrites(machine, map, () => link.broadcast()), ended };
}

/** Below 3.0 hosts take UNLOAD for nothing, and go on using interrupt and monitor pages. */
function monitorPageLeft(half: Half, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen, host: 'server2012' }, {}, guest);
  const guests = guestsOf(machine);
  guests.run('firmware', () =>
    guests.callFirmware(() =>
      refuses(() => {
        const driver =
          half === 'fixed'
            ? guest.createDriver!(machine.bootProcessor, {})
            : createDriver(machine.bootProcessor, {
                preset: 'ipxe',
                contact: (connection) => connection.initiateContact(VmbusVersion.V0_13),
              });
        driver.probe();
        driver.remove();
      }),
    ),
  );
  if (guests.ended !== undefined) return { findings: [], ended: guests.ended };
  // The driver knows that the pages are lost, and reserves them; the firmware of then freed them
  return audited(machine, machine.bootProcessor.memoryMap);
}

/** Firmware that goes away without giving up its identity, and loads firmware. */
function chainloadWithIdentity(half: Half, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen }, {}, guest);
  const guests = guestsOf(machine);
  const first = bootOn(guests, guest, machine.bootProcessor);
  if (first === undefined) return { findings: [], ended: guests.ended };
  if (half === 'broken') machine.bootProcessor.wrmsr(Msr.GUEST_OS_ID, GuestOsId.IPXE);
  const { findings } = audited(machine, first.memoryMap);

  // Whoever is loaded must come up in any case: the identity says nothing about a connection
  const second = bootOn(guests, guest, machine.bootProcessor);
  if (second?.status === 'booted') return { findings, ended: undefined };
  const text = `the firmware that was loaded did not boot: ${second?.error?.message ?? ''}`;
  const failed = { check: 'second-boot', severity: 'error', text } as const;
  return { findings: [...findings, failed], ended: guests.ended };
}

/** The Gen 2 UEFI firmware owns the guest, and goes on running beside whom it has loaded. */
function uefiStolen(half: Half, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen }, {}, guest);
  const guests = guestsOf(machine);
  const end = machine.bootProcessor.memory.byteLength;
  const own: MemoryRange = { address: end - (4 << 20), length: 4 << 20, type: 'usable' };
  const uefi = createDriver(machine.bootProcessor, {
    guestOsId: GuestOsId.UEFI,
    allocator: new MapAllocator([own]),
  });
  const start = Math.max(0x100000, ...guest.image.map(({ address, length }) => address + length));
  const rest: MemoryRange = { address: start, length: own.address - start, type: 'usable' };
  const seam = new FaultySeam(machine.bootProcessor);
  if (half === 'broken') {
    seam.fault = { read: (msr) => (msr === Msr.GUEST_OS_ID ? 0n : undefined) };
  }
  guests.run('UEFI firmware', () => uefi.probe());
  guests.run('firmware', () =>
    guests.callFirmware(() =>
      refuses(() => guest.createDriver!(seam, { allocator: new MapAllocator([rest]) }).probe()),
    ),
  );
  guests.run('UEFI firmware', () => {
    refuses(() => uefi.devices[0]!.open());
    uefi.remove();
  });
  const map = machine.bootProcessor.memoryMap;
  return { findings: auditLeft(machine, map, {}, 'UEFI firmware'), ended: guests.ended };
}

function audited(machine: SimulatedMachine, map: readonly MemoryRange[]): HalfResult {
  return { findings: auditLeft(machine, map), ended: undefined };
}

export const FIRMWARE_SCENARIOS: readonly Scenario[] = [
  {
    name: 'ring-freed-with-gpadl',
    text: 'a channel could not be opened: its ring is freed, but the host still has the GPADL',
    mistake: 'firmware',
    references: ['iPXE 8963193cd (vmbus_open tears down the wrong GPADL)'],
    caughtBy: { check: 'late-writes', says: /GPADL/ },
    onlyOwn: OWN_FREES,
    run: ringFreed,
  },
  {
    name: 'gpadl-before-close',
    text: 'the receive buffer is torn down before the channel is closed: the host still has it',
    mistake: 'firmware',
    references: ['iPXE cd68d93b6', 'illumos-omnios #1135'],
    caughtBy: { check: 'late-writes', says: /GPADL/ },
    onlyOwn: OWN_FREES,
    run: gpadlBeforeClose,
  },
  {
    name: 'receive-buffer-left',
    text: 'the firmware hands over with its NIC open: frames arrive in memory of the OS',
    mistake: 'firmware',
    references: ['Linux 2db84eff127e', 'iPXE 0166a6835'],
    caughtBy: { check: 'late-writes' },
    asks: 'driver',
    run: receiveBufferLeft,
  },
  {
    name: 'monitor-page-left',
    text: 'UNLOAD does nothing on hosts before 2012 R2: they keep interrupt and monitor pages',
    mistake: 'firmware',
    references: ['iPXE 0166a6835'],
    caughtBy: { check: 'shared-pages', says: /interrupt page/ },
    asks: 'driver',
    run: monitorPageLeft,
  },
  {
    name: 'chainload-with-identity',
    text: 'firmware loads firmware, and leaves its guest OS identity behind',
    mistake: 'firmware',
    references: ['iPXE 936657832'],
    caughtBy: { check: 'hypercall', says: /GUEST_OS_ID/ },
    asks: 'boot',
    run: chainloadWithIdentity,
  },
  {
    name: 'uefi-guest-stolen',
    text: 'the guest belongs to the Gen 2 UEFI firmware: taking its hypercall page crashes it',
    mistake: 'firmware',
    references: ['iPXE 936657832 "Do not steal ownership from the Gen 2 UEFI firmware"'],
    caughtBy: { ended: 'crash' },
    asks: 'driver',
    run: uefiStolen,
  },
];

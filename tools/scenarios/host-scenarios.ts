// SPDX-License-Identifier: GPL-2.0-or-later

/** Hosts that break their word, and guests that must bear what hosts may do. */

import { anyPlatform, createDriver } from '../../src/any.ts';
import { HypxeError } from '../../src/error.ts';
import { Log } from '../../src/events.ts';
import { HyperV } from '../../src/hyperv/hyperv.ts';
import { MapAllocator } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { SharedMemory } from '../../src/memory/shared-memory.ts';
import { VmbusConnection } from '../../src/vmbus/connection.ts';
import {
  MessageHeader,
  MessageType,
  OpenChannel,
  OpenChannelResult,
  VMBUS_MESSAGE_SINT,
  VmbusVersion,
} from '../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { Grant } from '../simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { GuestInstance } from '../guests/guest-program.ts';
import { auditLeft, guestsOf, makeMachine, ownGuest, refuses, runChain } from './rig.ts';
import type { Half, HalfResult, Scenario, MachineSeen } from './scenario.ts';

/** How long after the end of a grant a broken host still writes to it, in ms. */
const AFTERWARDS_MS = 500;

/** A host with a fault, and two kernels, which make no mistake. */
function brokenHost(
  half: Half,
  breakHost: (machine: SimulatedMachine) => void,
  seen?: MachineSeen,
): HalfResult {
  return runChain({
    seen,
    kernels: [{ end: 'kexec' }, { end: 'shutdown' }],
    prepare: (machine) => {
      if (half === 'broken') breakHost(machine);
    },
  });
}

/** Call back when UNLOAD ends a grant. */
function onUnloaded(
  machine: SimulatedMachine,
  kind: Grant['kind'],
  then: (grant: Grant) => void,
): void {
  machine.events.listen((event) => {
    if (event.kind !== 'revoke' || event.grant.kind !== kind) return;
    if (event.grant.revokedBy === 'UNLOAD') then(event.grant);
  });
}

/** The host has answered UNLOAD, and writes to the receive buffer all the same. */
function writesRevokedPage(machine: SimulatedMachine): void {
  const { ram, clock } = machine.partition;
  onUnloaded(machine, 'gpadl', (grant) => {
    const address = machine.partition.grants.address(grant, 0);
    clock.schedule(AFTERWARDS_MS * TICKS_PER_MS, () => ram.fill(0xbd, address, address + 64));
  });
}

/** With everything closed already the host forgets to let go of the monitor pages. */
function keepsMonitorPages(machine: SimulatedMachine): void {
  onUnloaded(machine, 'monitor-page', (grant) => void machine.partition.grants.grant(grant));
}

/** An event is signalled just after the answer to UNLOAD. */
function signalsAfterUnload(machine: SimulatedMachine): void {
  machine.events.listen((event) => {
    if (event.kind !== 'vmbus' || event.change !== 'unloaded') return;
    machine.clock.schedule(1, () => machine.partition.signalEvent(0, VMBUS_MESSAGE_SINT, 3));
  });
}

/**
 * The host takes the device away while the guest opens it: OPEN_CHANNEL is then not answered (Linux
 * `__vmbus_open` looks at the rescind).
 */
function rescindDuringOpen(half: Half, _?: GuestInstance, seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen });
  const guests = guestsOf(machine);
  guests.run('firmware', () => openRescinded(machine, half === 'fixed'));
  const { memoryMap } = machine.bootProcessor;
  const findings = guests.ended === undefined ? auditLeft(machine, memoryMap) : [];
  return { findings, ended: guests.ended };
}

function openRescinded(machine: SimulatedMachine, looks: boolean): void {
  const { bootProcessor } = machine;
  const allocator = new MapAllocator(bootProcessor.memoryMap);
  const log = new Log(undefined);
  const pages = new SharedMemory(new GuestMemory(bootProcessor.memory), allocator, log);
  const error = new HypxeError('ChannelRescinded', 'the device was rescinded');
  const hv = new HyperV(anyPlatform(bootProcessor), pages, log);
  let gone = false;
  const device = {
    requireOffered: (): void => {
      if (gone) throw error;
    },
  };
  const connection = new VmbusConnection(hv, {}, ({ type }) => {
    if (type === MessageType.RESCIND_CHANNEL_OFFER) gone = true;
  });
  hv.probe();
  connection.setUp();
  connection.initiateContact(VmbusVersion.V3_0);
  connection.post(MessageType.REQUEST_OFFERS);
  connection.wait(MessageType.ALL_OFFERS_DELIVERED, MessageHeader.size);

  // The device goes, and the guest does not know it yet
  const nic = machine.nics[0]!;
  const { channels } = machine.vmbus.inspect();
  const { id } = channels.find(({ instanceId }) => instanceId === nic.instanceId)!;
  machine.vmbus.rescind(nic);
  connection.post(MessageType.OPEN_CHANNEL, [id], OpenChannel.size);
  try {
    connection.wait(
      MessageType.OPEN_CHANNEL_RESULT,
      OpenChannelResult.size,
      undefined,
      Infinity,
      looks ? device : undefined,
    );
  } catch (thrown) {
    if (thrown !== error) throw thrown;
  }
  connection.unload();
  connection.tearDown();
  hv.remove();
}

/** UNLOAD is answered late, after the disk caches were written: iPXE waits for a second. */
function lateAnswer(half: Half, guest = ownGuest(), seen?: MachineSeen): HalfResult {
  const machine = makeMachine({ seen, knobs: { unloadAnswer: 50_000 * TICKS_PER_MS } }, {}, guest);
  const { bootProcessor } = machine;
  const guests = guestsOf(machine);
  const map = guests.run('firmware', () =>
    guests.callFirmware(() => {
      const driver =
        half === 'broken'
          ? createDriver(bootProcessor, { preset: 'ipxe' })
          : guest.createDriver!(bootProcessor, {});
      refuses(() => driver.probe());
      driver.remove();
      return driver.memoryMap();
    }),
  );
  const findings = map === undefined ? [] : auditLeft(machine, map);
  return { findings, ended: guests.ended };
}

export const HOST_SCENARIOS: readonly Scenario[] = [
  {
    name: 'unload-answered-late',
    text: 'the host answers UNLOAD after 50 s: firmware that waits for one hands over too early',
    mistake: 'firmware',
    references: ['Linux 77db0ec8b776', 'iPXE vmbus_unload (1 s)'],
    caughtBy: { check: 'unload', says: /not answered/ },
    asks: 'driver',
    run: lateAnswer,
  },
  {
    name: 'rescind-during-boot',
    text: 'the host takes a device away while it is opened, and never answers OPEN_CHANNEL',
    mistake: 'firmware',
    references: ['Linux __vmbus_open (rescind)', 'OpenVMM #4081'],
    caughtBy: { ended: 'hang' },
    onlyOwn: "it goes through hypxe's own connection layer, message by message",
    run: rescindDuringOpen,
  },
  {
    name: 'host-writes-revoked-page',
    text: 'the host has confirmed that it let go of a page, and writes to it',
    mistake: 'host',
    references: ['Linux "x86/hyperv: Fix kexec panic/hang issues"', 'OpenVMM 045a408cd'],
    caughtBy: { check: 'late-writes', says: /no grant covers/ },
    run: (half, _, seen) => brokenHost(half, writesRevokedPage, seen),
  },
  {
    name: 'host-keeps-monitor-pages',
    text: 'UNLOAD with everything closed leaves the monitor pages registered: memory is corrupted',
    mistake: 'host',
    references: ['OpenVMM 8b953ecdd (#1809, #1817)'],
    caughtBy: { check: 'shared-pages', says: /monitor page/ },
    run: (half, _, seen) => brokenHost(half, keepsMonitorPages, seen),
  },
  {
    name: 'host-signals-after-unload',
    text: 'an event comes after the answer to UNLOAD, and is there when the next kernel starts',
    mistake: 'host',
    references: ['fedora-coreos-tracker #1308'],
    caughtBy: { check: 'leftovers', severity: 'warning', says: /event flag/ },
    run: (half, _, seen) => brokenHost(half, signalsAfterUnload, seen),
  },
];

// SPDX-License-Identifier: GPL-2.0-or-later

/** What iPXE's own drivers showed about hosts: by the guest that does what they do. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDriver } from '../../../../src/any.ts';
import type { X64Machine } from '../../../../src/machine.ts';
import { MapAllocator } from '../../../../src/memory/allocator.ts';
import { GuestError, referenceFirmware } from '../../../../tools/reference/index.ts';
import { makeMachine } from '../../../../tools/scenarios/rig.ts';
import type { SimulatedMachine } from '../../../../tools/simulator/machine.ts';
import type { HostKnobs } from '../../../../tools/simulator/profiles/profile.ts';
import { profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';
import { runBoot } from '../../../rigs/boot-rig.ts';

const ipxe = suite('peers: iPXE');

/** iPXE's drivers on a machine. */
function ipxeOn(machine: SimulatedMachine) {
  const pages = new MapAllocator(machine.bootProcessor.memoryMap);
  const allocator = {
    allocate: (length: number, align: number) => pages.allocate(length, align),
    free: (address: number, length: number) => pages.free(address, length),
  };
  const seam = machine.bootProcessor as X64Machine;
  return referenceFirmware().createDriver(seam, { allocator, random: () => 0 });
}

/** Open the NIC of an iPXE: whether it could, and what ended the channel. */
function opened(host: string, knobs: Partial<HostKnobs> = {}): [boolean, string | undefined] {
  const machine = makeMachine({ host, knobs });
  const violations: string[] = [];
  machine.events.listen((event) => {
    if (event.kind === 'violation') violations.push(event.text);
  });
  const driver = ipxeOn(machine);
  const ended = () => violations.find((text) => /dies/.test(text));
  try {
    driver.probe();
    driver.devices[0]!.open();
    return [true, ended()];
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    return [false, ended()];
  }
}

ipxe('L12 iPXE: its empty completions end its channel on openvmm, and nowhere else', () => {
  assert.equal(opened('openvmm'), [false, 'channel 3 dies: empty completion']);
  assert.equal(opened('openvmm', { emptyCompletion: 'tolerate' }), [true, undefined]);
  for (const host of ['server2012r2', 'server2016', 'server2022', 'copper', 'qemu'])
    assert.equal(opened(host), [true, undefined], host);
});

ipxe('L12 iPXE: the description of openvmm says that iPXE has no network there', () => {
  assert.match(profileNamed('openvmm')!.description, /iPXE has no network there$/);
});

/** Event flags that are set when a driver has opened its NIC and gone. */
function flagsAfter(
  make: (machine: SimulatedMachine) => ReturnType<typeof ipxeOn | typeof createDriver>,
) {
  const machine = makeMachine({});
  const driver = make(machine);
  driver.probe();
  driver.devices[0]!.open();
  driver.remove();
  return machine.partition.inspection.eventFlags(0);
}

ipxe('L11 iPXE: event flag 0 of SINT 2 is left in the page, by hypxe none', () => {
  assert.equal(flagsAfter(ipxeOn), [{ sint: 2, flag: 0 }]);
  assert.equal(
    flagsAfter((machine) => createDriver(machine.bootProcessor)),
    [],
  );
});

ipxe('P-B12 OpenBSD: a monitored NIC is not signalled by hypercalls: 23 in a boot, not 224', () => {
  const hypercalls = (knobs: Partial<HostKnobs>) => {
    const { report } = runBoot({
      size: 1 << 20,
      memoryMiB: 64,
      knobs,
    });
    assert.is(report.boot?.status, 'booted');
    return report.counts!.hypercalls;
  };
  assert.is(hypercalls({}), 23);
  assert.is(hypercalls({ monitors: 'none' }), 224);
});

ipxe.run();

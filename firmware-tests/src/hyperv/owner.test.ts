// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Who had the machine before: whatever an earlier owner has left is switched off before memory is
 * used or believed, and the boot comes to its end (field reports K7, H-H6, P-Q1).
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/index.ts';
import { GuestOsId, Msr, SynicMessage } from '../../../src/hyperv/protocol.ts';
import { LEFTOVER_NAMES, leaveBehind, type Leftover } from '../../../tools/os/previous-owner.ts';
import { auditBaseline } from '../../../tools/simulator/audit/audit-baseline.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../../../tools/simulator/network/index.ts';
import type { HostKnobs } from '../../../tools/simulator/profiles/profile.ts';
import { profileNamed, withKnobs } from '../../../tools/simulator/profiles/profiles.ts';
import { Rig, fails } from '../../rigs/driver-rig.ts';

const IMAGE = syntheticImage(3000, 1);
const HOSTS = ['server2012r2', 'server2016', 'server2022', 'qemu', 'openvmm'];

interface Setting {
  readonly host?: string;
  readonly architecture?: 'x64' | 'arm64';
  readonly knobs?: Partial<HostKnobs>;
  readonly shift?: number;
}

/** Boot on a machine that somebody has left, and require that all is well. */
function bootAfter(left: readonly Leftover[], setting: Setting = {}): SimulatedMachine {
  const { host = 'server2022', architecture = 'x64', knobs = {}, shift = 0 } = setting;
  const network = new Network({ files: memoryFiles({ 'a.img': IMAGE }), bootFile: 'a.img' });
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(4 << 20),
    profile: withKnobs(profileNamed(host)!, knobs),
    links: [network.link(0)],
    seed: 1,
    architecture,
  });
  leaveBehind(machine, new Set(left), shift);
  const since = auditBaseline(machine);
  const scontrol = machine.partition.inspection.register(0, 'SCONTROL');
  const what = `${host} ${architecture} ${left.join()}`;
  const result = firmware.boot(machine.bootSeam);
  assert.is(machine.partition.ended, undefined, what);
  assert.is(result.status, 'booted', `${what}: ${result.error?.name} ${result.error?.message}`);
  const { address, length } = result.image!;
  assert.equal(machine.partition.ram.bytes.slice(address, address + length), IMAGE, what);
  const findings = auditHandoff(machine, result.memoryMap, { inUse: [result.image!], since });
  const errors = findings.filter(({ severity }) => severity === 'error').map(({ text }) => text);
  assert.equal(errors, [], what);

  // All else is as at reset, SCONTROL as it was found
  const { inspection } = machine.partition;
  for (let sint = 0; sint < 16; sint++) {
    assert.is(inspection.register(0, `SINT${sint}`), 0x10000n, `${what}: SINT${sint}`);
  }
  for (const name of ['SIMP', 'SIEFP', 'VP_ASSIST_PAGE', 'REFERENCE_TSC', 'GUEST_OS_ID']) {
    assert.is(inspection.register(0, name), 0n, `${what}: ${name}`);
  }
  assert.ok(inspection.timers(0).every(({ enabled, due, config }) => !enabled && !due && !config));
  assert.is(inspection.register(0, 'SCONTROL'), scontrol, what);
  return machine;
}

const owner = suite('an earlier owner of the machine');

owner('earlier-owner-switched-off: each thing alone, on hosts of each kind', () => {
  for (const left of LEFTOVER_NAMES) for (const host of HOSTS) bootAfter([left], { host });
});

owner('earlier-owner-switched-off: all of it together, and on arm64', () => {
  for (const host of HOSTS) {
    for (const shift of [0, 1, 2, 3, 4]) bootAfter(LEFTOVER_NAMES, { host, shift });
  }
  for (const host of ['server2022', 'openvmm']) {
    bootAfter(LEFTOVER_NAMES, { host, architecture: 'arm64' });
    for (const left of LEFTOVER_NAMES) bootAfter([left], { host, architecture: 'arm64' });
  }
});

owner('any subset, on any host, with any habits of its queues', () => {
  let state = 0x2545f491;
  const random = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  for (let run = 0; run < 40; run++) {
    const left = LEFTOVER_NAMES.filter(() => random(2) === 0);
    const pick = <T>(values: readonly T[]): T => values[random(values.length)]!;
    const knobs = {
      maskedSint: pick(['drop', 'keep'] as const),
      messageWithoutPage: pick(['drop', 'keep'] as const),
      overlay: pick(['preserve', 'overwrite'] as const),
      slotScan: pick(['eom', 'exit'] as const),
      eomScope: pick(['partition', 'vp'] as const),
      echoVersion: pick([true, false]),
      messageLatencyTicks: pick([0, 1000, 20_000]),
    };
    const architecture = pick(['x64', 'arm64'] as const);
    bootAfter(left, { host: pick(HOSTS), architecture, knobs, shift: random(5) });
  }
});

owner('systemd#20072, nixos-images#128: its hypercall page lies where ours begins', () => {
  const rig = new Rig({
    wrap(processor) {
      processor.wrmsr(Msr.GUEST_OS_ID, 0x8100_0000_0000_0001n);
      for (let page = 1; page <= 16; page++) {
        const address = BigInt(processor.memory.byteLength - page * 4096);
        processor.wrmsr(Msr.HYPERCALL, address | 1n);
      }
      processor.wrmsr(Msr.HYPERCALL, BigInt(processor.memory.byteLength - 4096) | 1n);
      return processor;
    },
  });
  rig.open();
  rig.device.close();
  rig.driver.remove();
  rig.assertClean();
});

owner(
  'H-H6 Linux stimer, hv_cpu_die: timers and assist page do not go on to who comes next',
  () => {
    const machine = bootAfter(['timers', 'assist-page', 'sints']);
    const before = machine.partition.inspection.register(0, 'STIMER0_COUNT');
    machine.run(1_000_000);
    assert.equal([before, machine.partition.inspection.register(0, 'STIMER0_COUNT')], [0n, 0n]);
  },
);

owner('the Gen 2 UEFI firmware is no owner to take over from: refused by name, left alone', () => {
  const rig = new Rig({
    wrap(processor) {
      processor.wrmsr(Msr.GUEST_OS_ID, GuestOsId.UEFI);
      processor.wrmsr(Msr.SINT0 + 2, 0x41n);
      return processor;
    },
  });
  rig.mark();
  fails('OwnedByUefi', () => rig.driver.probe());
  assert.equal(rig.writes(), []);
});

owner('hosts that know no second contact: a connection that was left is refused by name', () => {
  for (const host of ['server2008r2', 'server2012']) {
    const rig = new Rig({ host, driver: { policy: { answerMs: 200 } } });
    leaveBehind(rig.machine, new Set(['contact']));
    fails(['NoResponse', 'VersionRefused'], () => rig.driver.probe());
    rig.assertContained();
  }
});

owner('P-Q1 QEMU vmbus.c: a pending flag that was lost with its page costs no message', () => {
  // The first owner ends between taking a message and its end: the flag is gone with the page
  const rig = new Rig({ host: 'qemu' });
  leaveBehind(rig.machine, new Set<Leftover>(['contact', 'offers', 'sints', 'message-page']));
  const simp = Number(rig.machine.partition.inspection.register(0, 'SIMP') & ~0xfffn);
  rig.machine.run(100_000);
  rig.machine.partition.ram.bytes.fill(0, simp, simp + 4096);
  rig.open();
  rig.device.close();
  rig.driver.remove();
  rig.assertClean();
});

owner('P-Q1: a slot that the host empties itself may hold the flag: it is answered, once', () => {
  const rig = new Rig();
  rig.open();
  const slot = rig.driver.hv.messagePage + 2 * SynicMessage.size;
  rig.view.setUint8(slot + SynicMessage.at.flags, 1);
  rig.mark();
  for (let i = 0; i < 5; i++) rig.driver.poll();
  assert.equal(rig.writes(), ['EOM=0x0']);
  rig.driver.remove();
  rig.assertClean();
});

owner.run();

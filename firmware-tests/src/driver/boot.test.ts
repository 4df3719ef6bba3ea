// SPDX-License-Identifier: GPL-2.0-or-later

/** A whole boot from the sources: the ledger over it, and a host that spoils it at any step. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { boot, type BootResult, type FirmwareEvent } from '../../../src/index.ts';
import { auditHandoff } from '../../../tools/simulator/audit/audit.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { SimulatedMachine } from '../../../tools/simulator/machine.ts';
import { Network, memoryFiles, syntheticImage } from '../../../tools/simulator/network/index.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { hex } from '../../rigs/driver-rig.ts';

const IMAGE = syntheticImage(20_000, 5);

/** What no boot of these tests exceeds. */
const LIMITS = { virtualTicks: 400_000 * TICKS_PER_MS, pauses: 1_000_000 };

interface Run {
  readonly machine: SimulatedMachine;
  readonly events: FirmwareEvent[];
  readonly boot: () => BootResult;
}

function prepare(cards = 1): Run {
  const network = new Network({ files: memoryFiles({ 'a.bin': IMAGE }), bootFile: 'a.bin' });
  const events: FirmwareEvent[] = [];
  const machine = new SimulatedMachine({
    memory: new ArrayBuffer(4 << 20),
    profile: profileNamed('server2019')!,
    links: Array.from({ length: cards }, (_, i) => network.link(i)),
    seed: 3,
    limits: LIMITS,
  });
  const options = {
    events: (event: FirmwareEvent) => void events.push(event),
    net: { dhcp: { totalMs: 4000 }, linkWaitMs: 100 },
  };
  return { machine, events, boot: () => boot(machine.bootProcessor, options) };
}

/** Errors of the audit with the map that was handed on. */
function errors(machine: SimulatedMachine, result: BootResult): string[] {
  return auditHandoff(machine, result.memoryMap)
    .filter(({ severity }) => severity === 'error')
    .map(({ text }) => text);
}

/** Let something happen at the nth packet or call of the guest. Returns how many there were. */
function atStep({ machine }: Run, nth: number, action: () => void): () => number {
  let steps = 0;
  machine.events.listen((event) => {
    const isStep =
      event.kind === 'hypercall' || (event.kind === 'ring-packet' && event.from === 'guest');
    if (isStep && steps++ === nth) machine.clock.schedule(0, action);
  });
  return () => steps;
}

const whole = suite('whole boots');

whole('the ledger is empty at the end: all that was shared was revoked, in pairs', () => {
  const run = prepare(2);
  const result = run.boot();
  assert.is(result.status, 'booted');
  const shared = new Map<number, string>();
  let changes = 0;
  for (const event of run.events) {
    if (event.kind !== 'ledger') continue;
    changes++;
    const { change, address, purpose } = event;
    assert.is(change === 'share', !shared.has(address), `${change} of ${purpose}`);
    if (change === 'share') shared.set(address, purpose);
    else if (change === 'revoke') shared.delete(address);
    else assert.unreachable(`${purpose} was reserved`);
  }
  assert.ok(changes > 60, `${changes}`);
  assert.equal([...shared.values()], []);
  assert.equal(errors(run.machine, result), []);

  // Nothing is reserved but the image, and that is what was served
  const reserved = result.memoryMap.filter(({ type }) => type === 'reserved');
  assert.equal(
    reserved.map(({ purpose }) => purpose),
    ['boot image a.bin'],
  );
  const { address, length } = result.image!;
  const bytes = run.machine.partition.ram.bytes.subarray(address, address + length);
  assert.is(hex(bytes), hex(IMAGE));
});

whole('the only card is taken away at any step: the boot fails by name, and leaves nothing', () => {
  const count = prepare();
  const steps = atStep(count, -1, () => {});
  count.boot();
  const total = steps();
  assert.ok(total > 60, `${total} steps`);
  for (let nth = 0; nth < total; nth += 5) {
    const run = prepare();
    atStep(run, nth, () => run.machine.vmbus.rescind(run.machine.nics[0]!));
    const result = run.boot();
    const where = `step ${nth} of ${total}: ${result.error?.name}`;
    assert.ok(result.status === 'booted' || result.error !== undefined, where);
    assert.equal(errors(run.machine, result), [], where);
    assert.ok(run.machine.clock.now < 20_000 * TICKS_PER_MS, where);

    // The machine is as good as new
    if (nth % 4 !== 0) continue;
    run.machine.vmbus.hotAdd(run.machine.nics[0]!);
    const again = run.boot();
    assert.is(again.status, 'booted', where);
    assert.equal(errors(run.machine, again), [], where);
  }
});

whole('one of two cards is taken away at any step: the boot succeeds over the other', () => {
  for (let nth = 0; nth < 120; nth += 17) {
    const run = prepare(2);
    atStep(run, nth, () => run.machine.vmbus.rescind(run.machine.nics[0]!));
    const result = run.boot();
    assert.is(result.status, 'booted', `step ${nth}: ${result.error?.message}`);
    assert.equal(errors(run.machine, result), [], `step ${nth}`);
  }
});

whole('a card without a host behind it does not keep the boot from the next', () => {
  const run = prepare(2);
  run.machine.nics[0]!.faults.packet = () => 'drop';
  const result = run.boot();
  assert.is(result.status, 'booted');
  assert.equal(errors(run.machine, result), []);
});

whole.run();

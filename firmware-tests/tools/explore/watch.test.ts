// SPDX-License-Identifier: GPL-2.0-or-later

/** A run that somebody watches: it comes to the same, and its events tell its story. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/os.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import type { ExploredFirmware } from '../../../tools/explore/explored-guest.ts';
import type { Runner, RunOutcome } from '../../../tools/explore/run.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import { newRunner } from '../../rigs/explore-rig.ts';

const watched = suite('explore: a watched run');

/** What a run came to, its events, and which guests spoke. */
function watch(runner: Runner, plan: string) {
  const events: HostEvent[] = [];
  const guests = new Set<string>();
  const outcome = runner.run(parsePlan(plan), undefined, undefined, {
    onMachine: (machine) => void machine.events.listen((event) => events.push(event)),
    events: (_event, guest) => void guests.add(guest),
  });
  return { outcome, events, guests };
}

const kinds = (events: readonly HostEvent[]) =>
  events.flatMap((event) => {
    if (event.kind === 'stage') return [`stage ${event.stage}`];
    if (event.kind === 'handoff') return [`${event.stage} ${event.end}`];
    if (event.kind === 'injected') return [`fault ${event.fault}`];
    return event.kind === 'verdict' ? [event.verdict] : [];
  });

/** A plan of each place. */
const PLANS = [
  'none',
  'loader:none',
  'step.120/handoff',
  'call.7/status:19',
  'register.3/refuse',
  'owner.0/left:all',
  'message.4/drop',
  'packet.5/drop',
  'rndis.3/late:20000',
  'transmit.2/withhold',
  'alloc.2/fail',
  'read.9/value:max',
  'race.9/store-buffer',
  'push:packet.5/drop',
];

watched('comes to the same as one that nobody watches', () => {
  const runner = newRunner();
  for (const plan of PLANS) {
    const alone: RunOutcome = runner.run(parsePlan(plan));
    assert.equal(watch(runner, plan).outcome, alone, plan);
  }
});

watched('tells who had the machine, each fault that was carried out, and the verdict', () => {
  const runner = newRunner();
  const { events, guests } = watch(runner, 'message.4/drop');
  assert.equal(kinds(events), [
    'stage firmware',
    'fault message.4/drop',
    'firmware handoff',
    'stage second boot',
    'second boot handoff',
    'clean',
  ]);
  const fault = events.find(({ kind }) => kind === 'injected') as { what: string };
  assert.is(fault.what, 'message of the host 4 (OFFER_CHANNEL): it is lost');
  // Of a word that is read again: where it lies, and who reads it
  const again = watch(runner, 'read.9/value:max').events.find(({ kind }) => kind === 'injected');
  const where = /^word 9 \(0x[0-9a-f]+ of \w.*, at .* < word \(reference-tsc\.ts:.*\)\): it is /;
  assert.match((again as { what: string }).what, where);
  assert.equal([...guests], ['firmware', 'second boot']);
  assert.equal(kinds(watch(runner, 'loader:none').events).slice(0, 3), [
    'stage loader',
    'loader quiesce',
    'loader handoff',
  ]);
  assert.is(kinds(watch(runner, 'owner.0/left:all').events)[0], 'stage previous owner');
});

watched('has each finding on its stream: of the audit, with its grant, and its own', () => {
  // Leaves all that it has opened to the next one
  const leak: ExploredFirmware = {
    ...firmware,
    boot: ((machine: Parameters<typeof firmware.createDriver>[0], options: object) => {
      const driver = firmware.createDriver(machine, options);
      driver.probe();
      for (const device of driver.devices) device.open();
      return { status: 'failed', memoryMap: machine.memoryMap };
    }) as unknown as ExploredFirmware['boot'],
  };
  const { outcome, events } = watch(newRunner(leak), 'none');
  const found = events.filter((event) => event.kind === 'finding');
  for (const { text } of outcome.findings)
    assert.ok(
      found.some((event) => text.endsWith(event.text)),
      text,
    );
  assert.ok(found.some(({ check, grant }) => check === 'channels' && grant !== undefined));
  assert.ok(
    found.some(({ check }) => check === 'run'),
    'the usable memory that was written',
  );
  assert.ok(events.some(({ kind }) => kind === 'late-write'));
  assert.is(kinds(events).at(-1), 'findings');
});

watched.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** What `hypxe explore --only PLAN --record` writes replays without a difference, on any host. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as sources from '../../../src/index.ts';
import { parseTrace, replayTrace, reportText, type Firmware } from '../../../tools/replay/index.ts';
import { PROFILES, profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { RunRecordings } from '../../rigs/lab/recorded-run.ts';

/** Plans that are drawn, the first from this seed on; SEED=N and PLANS=N try others. */
const SEED = Number(process.env['SEED'] ?? 1);
const PLANS = Number(process.env['PLANS'] ?? 4);

const hosts = new Map<string, RunRecordings>();

function on(host: string): RunRecordings {
  const known = hosts.get(host) ?? new RunRecordings(sources, profileNamed(host)!);
  hosts.set(host, known);
  return known;
}

/** @param plan what is done; by default what the seed draws */
function assertReplays(host: string, seed: number, plan = on(host).draw(seed)): void {
  const { file } = on(host).record(plan);
  const result = replayTrace(sources as unknown as Firmware, parseTrace(file));
  const where = `SEED=${seed} ${host} ${plan}`;
  assert.ok(result.ok, `${where}\n${reportText(result)}`);
  for (const { kind, recorded, guest, same } of result.counts)
    assert.equal([guest, same], [recorded, recorded], `${where}: ${kind}`);
  assert.equal(result.notes, [], where);
}

const plans = suite('recordings of explored plans');

plans('drawn', () => {
  for (let i = 0; i < PLANS; i++) {
    const seed = SEED + i;
    assertReplays(PROFILES[seed % PROFILES.length]!.name, seed);
  }
});

/** What once was not the same. */
const ONCE: readonly (readonly [what: string, host: string, plan: string])[] = [
  ['a wait is over a turn later than another', 'copper', 'network.0/is:dhcp-failover'],
  ['the link comes back when a guest has waited', 'server2012r2', 'nic.0/unplugged:1'],
  ['a packet comes in the first read of the time', 'server2019', 'packet.27/inject:1'],
  ['a packet comes while a loader takes the frame before it', 'copper', 'loader:rndis.9/after:7'],
  ['a loader uses a device that was lost', 'server2016', 'loader:message.20/field:type=0'],
];

for (const [what, host, plan] of ONCE) plans(what, () => assertReplays(host, 0, plan));

plans.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** Whole boots through habits of networks and TFTP servers, any of them together, at random. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorEntry } from '../../../src/catalogue.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { TFTP_HABITS } from '../../../tools/simulator/network/index.ts';
import type { NetworkOptions, TftpHabit } from '../../../tools/simulator/network/index.ts';
import { complaints, runBoot, sameBytes, type Boot } from '../../rigs/boot-rig.ts';

const property = suite('boot: habits of networks at random');

/** What may go wrong, given what the network does: nothing else is a true reason. */
function reasons({ path, tftp }: Partial<NetworkOptions>, size: number, boot: Boot): string[] {
  const habits = tftp?.habits ?? [];
  const { drops } = boot.network.statistics;
  const names: string[] = [];
  // Neither an offer nor a block of 512 bytes goes through a path that is too narrow
  if (path?.fragments === 'dropped' && path.mtu < 548 && (drops['path-mtu'] ?? 0) > 0)
    names.push('NoDhcpAnswer', 'DhcpServerSilent', 'TftpStalled');
  // Where nobody tells the size, nobody knows that the block that never comes is empty
  const ends = size % 512 === 0 || size % 1468 === 0;
  if (habits.includes('no-last-block') && ends) names.push('TftpStalled');
  return names;
}

property('a boot has the right bytes, or names a reason that is true', () => {
  const names = Object.keys(TFTP_HABITS) as TftpHabit[];
  const outcomes = new Map<string, number>();
  for (let seed = 1; seed <= 80; seed++) {
    const random = new Random(seed);
    const pick = <T>(from: readonly T[]): T => from[random.below(from.length)]!;
    const size = pick([1, 512, 1468, 1468 * 8, 512 * 30, 20_000, 60_001, 1468 * 512]);
    const network: Partial<NetworkOptions> = {
      tftp: { habits: Array.from({ length: random.below(4) }, () => pick(names)) },
      ...(random.chance(0.3) && {
        path: {
          mtu: pick([68, 300, 548, 576, 1000, 1400, 1499]),
          fragments: pick(['in-order', 'reversed', 'dropped'] as const),
        },
      }),
      ...(random.chance(0.3) && { vlan: pick([0, 1, 100, 4094]) }),
      ...(random.chance(0.3) && {
        faults: { loss: 0.02, duplication: 0.05, reordering: 0.05, corruption: 0.02 },
      }),
    };
    const knobs = { vlanTag: pick(['info', 'always', 'frame'] as const) };
    const hint = `seed ${seed}: ${JSON.stringify({ size, ...network, ...knobs })}`;
    const flow = { secondBoot: false, os: false };
    const one = runBoot({ size, seed, network, knobs, flow });
    const { error } = one.report.boot ?? {};
    outcomes.set(error?.name ?? 'booted', (outcomes.get(error?.name ?? 'booted') ?? 0) + 1);
    if (error === undefined) {
      assert.equal(complaints(one.report), [], hint);
      assert.ok(sameBytes(one.inRam, one.image), hint);
    } else {
      assert.ok(errorEntry(error.name) !== undefined, hint);
      assert.ok(reasons(network, size, one).includes(error.name), `${hint}: ${error.name}`);
    }
    // Bounded: four transfers, each with its patience
    assert.ok(one.report.handoffAt < 400_000 * TICKS_PER_MS, hint);
  }
  assert.ok(outcomes.get('booted')! > 50, JSON.stringify([...outcomes]));
});

property.run();

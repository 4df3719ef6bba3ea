// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Whole boots through what networks and TFTP servers of other people did, each under the name of
 * its report; and through any of it together, at random.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TICKS_PER_MS } from '../../../tools/simulator/base/clock.ts';
import { TFTP_HABITS } from '../../../tools/simulator/network/index.ts';
import type { TftpHabit } from '../../../tools/simulator/network/index.ts';
import { FIRMWARES, complaints, runBoot, sameBytes } from '../../rigs/boot-rig.ts';
import type { Boot, Setting } from '../../rigs/boot-rig.ts';

const QUICK = { secondBoot: false, os: false } as const;

/** An image of a hundred blocks of 1468 bytes, and of 287 of 512 bytes, the last one not full. */
const SIZE = 146_800;

function boot(setting: Setting): Boot {
  return runBoot({ size: SIZE, flow: QUICK, ...setting });
}

function assertBooted({ report, inRam, image }: Boot, hint: string): void {
  assert.is(report.boot?.error, undefined, hint);
  assert.equal(complaints(report), [], hint);
  assert.ok(sameBytes(inRam, image), `${hint}: the image in RAM is what was served`);
}

/** What the firmware said, as one text. */
const said = ({ events }: Boot): string =>
  events.map((event) => (event.kind === 'log' ? event.text : '')).join('\n');

const field = suite('boot: field reports of networks');

for (const [knob, where] of [
  ['always', 'beside the frame'],
  ['info', 'in it, as the guest has not asked'],
  ['frame', 'in it'],
] as const)
  field(`openvmm#3552: an OFFER of VLAN 100 just before ours, its tag ${where}`, () => {
    const one = boot({ knobs: { vlanTag: knob }, network: { vlan: 100 } });
    assertBooted(one, where);
    assert.match(said(one), /192\.168\.77\.\d+\/255\.255\.255\.0 .* from 192\.168\.77\.1/);
    assert.is(one.network.statistics.dhcp.offers, 2);
    assert.is(one.network.statistics.dhcp.acks, 1);
  });

for (const [name, firmware] of Object.entries(FIRMWARES))
  field(`openvmm#3552: only the other VLAN answers: named in the error (${name})`, () => {
    const network = { vlan: 100, dhcp: { mode: 'silent' } } as const;
    const { report } = boot({ firmware, knobs: { vlanTag: 'always' }, network });
    assert.is(report.boot?.error?.name, 'NoDhcpAnswer');
    assert.match(String(report.boot?.error?.message), /vlanForeign \d+/);
  });

for (const knob of ['always', 'frame'] as const)
  field(`opnsense-plugins#94: everything with a priority tag, ${knob}`, () => {
    assertBooted(boot({ knobs: { vlanTag: knob }, network: { vlan: 0 } }), knob);
  });

for (const fragments of ['in-order', 'reversed'] as const)
  for (const mtu of [1400, 576, 100])
    field(`fogproject#455: fragments of ${mtu} bytes, ${fragments}`, () => {
      const one = boot({ network: { path: { mtu, fragments } } });
      assertBooted(one, fragments);
      assert.match(said(one), /blocks of 1468/);
    });

field('a path that drops what is too long, without a word: a smaller block', () => {
  const one = boot({ network: { path: { mtu: 1400, fragments: 'dropped' } } });
  assertBooted(one, 'dropped');
  assert.match(said(one), /beginning again[^]*blocks of 512/);
});

/** The report of each habit of TFTP servers, if it has one, and the longest time in ms. */
const REPORTS: Record<TftpHabit, readonly [report: string, ms: number]> = {
  'error-0': ['curl#481', 100],
  'error-4': ['bochs#305', 100],
  'error-8': ['RFC 2347', 100],
  'ignore-options': ['RFC 2347', 100],
  deaf: ['bochs#305', 8000],
  timeout: ['PyPXE#125', 50],
  padding: ['node-tftp#13', 50],
  'tsize-0': ['tftpy#45', 50],
  'tsize-minus-1': ['tftpy#45', 50],
  'tsize-small': ['tftpy#45', 100],
  'tsize-large': ['tftpy#45', 100],
  'wrap-to-1': ['tftp.net#6, Indy#242', 50],
  'no-last-block': ['PyPXE#96', 4000],
  'second-address': ['tftpy, pin/tftp#48', 1000],
  slow: ['T12', 31_000],
  'late-start': ['docker-netbootxyz#22', 1000],
  restart: ['aks-engine#4341', 2000],
  stall: ['aks-engine#4341', 24_000],
  'break-off': ['aks-engine#4341', 100],
};

for (const [habit, [report, ms]] of Object.entries(REPORTS))
  field(`${report}: ${TFTP_HABITS[habit as TftpHabit]}`, () => {
    const one = boot({ network: { tftp: { habits: [habit as TftpHabit] } } });
    assertBooted(one, habit);
    const took = one.report.handoffAt / TICKS_PER_MS;
    assert.ok(took < ms, `${took} ms`);
  });

field('tftp.net#6: block numbers wrap to 1 in an image of 66,000 blocks', () => {
  const tftp = { habits: ['wrap-to-1'], maxBlockSize: 8 } as const;
  for (const maxWindowSize of [1, 4]) {
    const network = { tftp: { ...tftp, maxWindowSize } };
    assertBooted(boot({ size: 66_000 * 8 + 3, network }), `window of ${maxWindowSize}`);
  }
});

field('aks-engine#4341: the cable is out for 14 s in the transfer', () => {
  for (const seconds of [1, 14, 40]) {
    let pulled = false;
    const one = boot({
      prepare: (machine, network) => {
        const look = (): void => {
          if (network.statistics.tftp.blocks < 30) return void machine.clock.schedule(1000, look);
          pulled = true;
          network.setLinkUp(0, false);
          const ticks = seconds * 1000 * TICKS_PER_MS;
          machine.clock.schedule(ticks, () => network.setLinkUp(0, true));
        };
        machine.clock.schedule(1000, look);
      },
    });
    assert.ok(pulled);
    assertBooted(one, `${seconds} s`);
    const took = one.report.handoffAt / TICKS_PER_MS;
    // The host waits up to five seconds before it tells of the next change
    assert.ok(took < Math.max(seconds, 5) * 1000 + 2000, `${took} ms`);
  }
});

field.run();

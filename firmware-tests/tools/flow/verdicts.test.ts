// SPDX-License-Identifier: GPL-2.0-or-later

/** Verdicts of flows on which it is easy to be wrong: what the host did, and what the guest did. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { auditOs, osStart } from '../../../tools/flow/os-findings.ts';
import type { FlowReport } from '../../../tools/flow/boot-flow.ts';
import { runBoot, type Setting } from '../../rigs/boot-rig.ts';

/** What is no mere information, as `check severity: text`. */
function told({ findings }: Pick<FlowReport, 'findings'>): string[] {
  return findings
    .filter(({ severity }) => severity !== 'info')
    .map(({ check, severity, text }) => `${check} ${severity}: ${text}`);
}

const nics = suite('verdicts: NICs that come and go');

/** Two NICs of which the first leaves while the firmware runs. */
const LEAVING: Setting = { nics: 2, size: 60_000, flow: { nicTimes: { leaves: 1 } } };

nics('a NIC that left before the OS came gives its number to the next one', () => {
  const { report } = runBoot({ ...LEAVING, flow: { ...LEAVING.flow, secondBoot: false } });
  assert.is(report.os!.nics.length, 1);
  assert.equal(told(report), []);
});

nics('one that comes or goes excuses itself, and no other', () => {
  const { report, machine } = runBoot({ nics: 3, flow: { secondBoot: false } });
  const os = report.os!;
  const start = osStart(machine);
  const [first, second] = machine.nics;
  machine.vmbus.rescind(first!);
  const texts = (changed: typeof os): string[] =>
    auditOs(changed, machine, start).map(({ severity, text }) => `${severity}: ${text}`);
  const without = os.nics.filter(({ instance }) => instance !== `{${first!.instanceId}}`);
  assert.equal(texts({ ...os, nics: without }), []);
  assert.equal(texts({ ...os, nics: without.slice(1) }), ['error: the OS found 1 of 2 NICs']);
  assert.equal(texts({ ...os, nics: without, outstanding: 1 }), [
    'error: the OS could not get back 1 of its own shared regions',
  ]);

  // The devices had their numbers before it went
  const { changes, numbers } = start.numbering;
  const { instanceId } = second!;
  const other = new Map([...numbers, [instanceId, 99]]);
  const found = auditOs(os, machine, { ...start, numbering: { changes, numbers: other } });
  assert.equal(
    found.filter(({ severity }) => severity === 'error').map(({ text }) => text),
    [`{${instanceId}} was channel 99 and is channel ${numbers.get(instanceId)!} for the OS`],
  );
});

nics.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Each step of the firmware's clean-up, left out alone: the audit tells it, or the table says why
 * no host can see it. Strictly judged a firmware that forgets nothing is clean in each of the
 * flows.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mutatedFirmware, type Patch } from '../../../mutants/bundle.ts';
import { OMISSION_FLOW_MUTANTS } from '../../../mutants/omission-flow-mutants.ts';
import { OMISSION_MUTANTS } from '../../../mutants/omission-mutants.ts';
import { SILENT_OMISSIONS } from '../../../mutants/silent-omissions.ts';
import {
  runOmission,
  type OmissionFlow,
  type OmissionResult,
  type WholeFirmware,
} from '../../../rigs/omission-rig.ts';

const omissions = suite('audit: forgotten steps');

/** What is worse than information. */
function told({ findings }: OmissionResult): string[] {
  return findings
    .filter(({ severity }) => severity !== 'info')
    .map(({ check, severity, text }) => `${check} ${severity}: ${text}`);
}

async function run(patches: readonly Patch[], where: Partial<OmissionFlow>) {
  const firmware = (await mutatedFirmware(patches)) as unknown as WholeFirmware;
  return runOmission(firmware, { flow: 'boot', host: 'server2022', ...where });
}

const CLEAN: readonly Partial<OmissionFlow>[] = [
  ...(['server2012r2', 'server2016', 'server2019', 'openvmm', 'qemu'] as const).map((host) => ({
    host,
  })),
  ...(['boot', 'owner', 'services', 'san', 'driver', 'os', 'resumed'] as const).map((flow) => ({
    flow,
  })),
];

for (const where of CLEAN) {
  omissions(
    `the firmware forgets nothing: ${where.flow ?? 'boot'}, ${where.host ?? ''}`,
    async () => {
      const result = await run([], where);
      assert.equal(told(result), []);
      assert.is(result.status, 'booted');
    },
  );
}

for (const { name, patches, finds, ...where } of [...OMISSION_MUTANTS, ...OMISSION_FLOW_MUTANTS]) {
  omissions(name, async () => {
    const mutant = await run(patches, where);
    const wanted = ({ check, severity, text }: (typeof mutant.findings)[number]): boolean =>
      check === finds.check && severity === finds.severity && finds.text.test(text);
    assert.ok(mutant.findings.some(wanted), `not told: ${told(mutant).join('\n') || 'nothing'}`);
    // Without it there is no such finding: it is not the flow that is told
    const sound = await run([], where);
    assert.not(sound.findings.some(wanted), told(sound).join('\n'));
  });
}

for (const { name, patches, reason, status, ...where } of SILENT_OMISSIONS) {
  omissions(`no step that the audit can see: ${name} (${reason})`, async () => {
    const mutant = await run(patches, where);
    const sound = await run([], where);
    assert.equal(told(mutant), told(sound));
    assert.is(mutant.status, status ?? sound.status);
  });
}

omissions('the forty steps, and more', () => {
  const all = [...OMISSION_MUTANTS, ...OMISSION_FLOW_MUTANTS, ...SILENT_OMISSIONS];
  assert.is(new Set(all.map(({ name }) => name)).size, all.length);
  assert.ok(OMISSION_MUTANTS.length + OMISSION_FLOW_MUTANTS.length >= 40);
});

omissions.run();

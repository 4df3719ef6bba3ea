// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Each step of the firmware's clean-up, forgotten alone, is told of; and strictly judged none of
 * these firmwares is clean, while the one that forgets nothing is.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Firmware } from '../../../../tools/flow/boot-flow.ts';
import { mutatedFirmware } from '../../../mutants/bundle.ts';
import { OMISSION_MUTANTS } from '../../../mutants/omission-mutants.ts';
import { complaints, runBoot } from '../../../rigs/boot-rig.ts';

const omissions = suite('audit: forgotten steps');

omissions('the firmware forgets nothing: strictly judged it is clean on every host', async () => {
  const firmware = (await mutatedFirmware([])) as unknown as Firmware;
  for (const host of ['server2012r2', 'server2016', 'server2019', 'server2022', 'openvmm']) {
    const { report } = runBoot({ firmware, host, flow: { strict: true } });
    assert.equal(complaints(report), [], host);
    assert.is(report.verdict, 'clean', host);
  }
});

for (const { name, patches, finds, host = 'server2022' } of OMISSION_MUTANTS) {
  omissions(name, async () => {
    const firmware = (await mutatedFirmware(patches)) as unknown as Firmware;
    const { report } = runBoot({ firmware, host, flow: { secondBoot: false, strict: true } });
    const told = report.findings.some(
      ({ check, severity, text }) =>
        check === finds.check && severity === finds.severity && finds.text.test(text),
    );
    assert.ok(told, `not told: ${complaints(report).join('\n') || 'nothing at all'}`);
    assert.is.not(report.verdict, 'clean');
  });
}

omissions.run();

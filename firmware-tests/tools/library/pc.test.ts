// SPDX-License-Identifier: GPL-2.0-or-later

/** A PC by the programming interface: what is chosen, what is served, what comes of it. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as hypxe from '../../../tools/library/index.ts';
import { bootProgram } from '../../../tools/guests/pc/boot-program.ts';
import { PC_PARTS, kernelOf } from '../../rigs/pc/pc-rig.ts';

const { memoryBytes: _, ...PARTS } = PC_PARTS;
/** Says "hi" on the serial line: mov dx, 3f8h; mov al, …; out dx, al; sti; hlt; again. */
const SAYS = kernelOf([
  ...[0xba, 0xf8, 0x03],
  ...[...'hi\n'].flatMap((each) => [0xb0, each.charCodeAt(0), 0xee]),
  ...[0xfb, 0xf4, 0xeb, 0xfd],
]);

const pc = suite('a PC by the programming interface');

pc('a run has an outcome, an exit code and a sentence', async () => {
  const set = { ...PARTS, kernel: { image: bootProgram() } };
  const stages: string[] = [];
  let nics = 0;
  const outcome = await hypxe.bootPc(set, hypxe.pcPlan({ host: 'server2019', nics: 3 }), {
    onMachine: (machine) => void (nics = machine.nics.length),
    onStage: ({ name }) => void stages.push(name),
  });
  assert.is(outcome.verdict, 'clean');
  assert.is(hypxe.pcExit(outcome), 0);
  assert.is(hypxe.pcSummary(outcome), 'no hypervisor interface was used, so nothing was shared');
  assert.is(nics, 3);
  assert.equal(
    stages,
    outcome.stages.map(({ name }) => name),
  );
});

pc('a script and a plan decide when it ends', async () => {
  const set = { ...PARTS, kernel: { image: SAYS } };
  const lines: string[] = [];
  const script = hypxe.parseScript('expect hi\n');
  const good = await hypxe.bootPc(set, hypxe.pcPlan({ script }), {
    onLine: (text, source, now) => void lines.push(`${source} ${text} ${now > 0}`),
  });
  assert.is(good.end, 'script');
  assert.equal(lines, ['serial hi true']);
  assert.equal(good.console, ['hi']);

  const late = await hypxe.bootPc(set, hypxe.pcPlan({ seconds: 2 }));
  assert.is(late.verdict, 'hang');
  assert.is(hypxe.pcExit(late), 3);
  let slices = 0;
  const early = await hypxe.bootPc(set, hypxe.pcPlan(), { alive: () => ++slices < 5 });
  assert.is(early.verdict, 'interrupted');
  assert.match(hypxe.pcSummary(early), /^the PC still ran; no hypervisor interface was used/);
});

pc('what is no host, no script and no kernel is refused', async () => {
  assert.throws(() => hypxe.pcPlan({ host: 'nowhere' }), /there is no host profile nowhere/);
  assert.throws(
    () => hypxe.parseScript('wait'),
    (error: unknown) => error instanceof hypxe.BadScript,
  );
  const refused = async (set: hypxe.PcSet, kind: new (...args: never[]) => Error) => {
    try {
      await hypxe.bootPc(set, hypxe.pcPlan());
      assert.unreachable(kind.name);
    } catch (error) {
      assert.instance(error, kind);
    }
  };
  await refused({ ...PARTS, kernel: { image: new Uint8Array(2000) } }, hypxe.BadPcProgram);
  await refused({ ...PARTS, wasm: new Uint8Array(100) }, hypxe.BadEmulator);
});

pc.run();

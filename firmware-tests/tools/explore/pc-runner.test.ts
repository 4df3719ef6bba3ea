// SPDX-License-Identifier: GPL-2.0-or-later

/** Programs of a few bytes on a PC, explored: what they do when something goes wrong. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BrokenFlowError } from '../../../tools/explore/exploration.ts';
import { PcRunner, type PcExplored } from '../../../tools/explore/pc-runner.ts';
import { samplePc } from '../../../tools/explore/pc-sample.ts';
import { parsePlan } from '../../../tools/explore/plan.ts';
import { parseScript, type ScriptStep } from '../../../tools/flow/pc-script.ts';
import { bootProgram, BOOT_PROGRAM_NAME } from '../../../tools/guests/pc/boot-program.ts';
import type { HostEvent } from '../../../tools/simulator/ledger/events.ts';
import { memoryFiles } from '../../../tools/simulator/network/index.ts';
import { profileNamed } from '../../../tools/simulator/profiles/profiles.ts';
import { compareForks } from '../../rigs/pc/fork-rig.ts';
import { PC_PARTS, kernelOf } from '../../rigs/pc/pc-rig.ts';

const word = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff];
const dword = (value: number): number[] => [...word(value), ...word(value >>> 16)];
/** mov ecx, msr; mov eax, low; mov edx, high; wrmsr. */
const wrmsr = (msr: number, low: number, high = 0): number[] => [
  ...[0x66, 0xb9, ...dword(msr), 0x66, 0xb8, ...dword(low), 0x66, 0xba, ...dword(high)],
  ...[0x0f, 0x30],
];
const GUEST_OS_ID = 0x40000000;
const SIMP = 0x40000083;

/** xor eax, eax; mov dx, 4858h; out dx, eax; cli; hlt: the boot program's word that it runs. */
const BOOTED = [0x66, 0x31, 0xc0, 0xba, 0x58, 0x48, 0x66, 0xef, 0xfa, 0xf4];
/** Vector 13 leads to 8020h:160h, where {@link HANDLER} lies. */
const HANDLER = 0x160;
const CATCH = [
  ...[0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
  ...[0xc7, 0x06, 0x34, 0, ...word(HANDLER), 0xc7, 0x06, 0x36, 0, 0x20, 0x80],
];

/** A program that maps a message page and takes it away; `onFault`: what it does after a #GP. */
function program(onFault: readonly number[], tidy = true): Uint8Array {
  const image = kernelOf([
    ...[...CATCH, ...wrmsr(GUEST_OS_ID, 1, 0x98ae0000), ...wrmsr(SIMP, 0x7001)],
    ...(tidy ? [...wrmsr(SIMP, 0), ...wrmsr(GUEST_OS_ID, 0)] : []),
    ...BOOTED,
  ]);
  image.set(onFault, 0x200 + HANDLER);
  return image;
}

function programOf(image: Uint8Array, script: readonly ScriptStep[] = []): PcExplored {
  return {
    ...{ parts: PC_PARTS, kernel: { image }, profile: profileNamed('server2022')! },
    files: memoryFiles({ [BOOT_PROGRAM_NAME]: bootProgram() }),
    ...{ bootFile: BOOT_PROGRAM_NAME, keys: '', script },
  };
}

const runnerOf = (image: Uint8Array, script?: readonly ScriptStep[]): PcRunner =>
  new PcRunner(programOf(image, script));

const explored = suite('exploring a PC');

explored('a register that is refused once: what is left mapped is found', async () => {
  const runner = runnerOf(program(BOOTED));
  const run = (text: string) => runner.run(parsePlan(text));
  assert.equal((await run('none')).findings, []);
  // Writes: identity, page on, page off, identity off
  const left = await run('register.2/refuse');
  assert.is(left.fired, 1);
  assert.is(left.status, 'booted');
  assert.ok(left.findings.some(({ cause }) => cause.startsWith('iPXE: synic-pages: SIMP of VP #')));
  assert.equal((await run('register.0/refuse')).findings, []);
  // Nobody can do better on a host that refuses for good
  const ever = await run('register.2/refuse-ever');
  assert.ok(!ever.findings.some(({ cause }) => cause.includes('SIMP')));
  assert.is((await run('register.9/refuse')).fired, 0);
});

explored('a program that ends badly has a finding of that kind', async () => {
  const cases: [readonly number[], string, string][] = [
    [[0xfa, 0xf4], 'hang', 'it halts with interrupts off'],
    // Protected mode without an interrupt table: mov eax, cr0; or al, 1; mov cr0, eax; int3
    [[0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0, 0xcc], 'crash', 'the processor meets a fault'],
  ];
  for (const [onFault, kind, cause] of cases) {
    const { findings, status } = await runnerOf(program(onFault)).run(
      parsePlan('register.1/refuse'),
    );
    assert.is(status, 'ended');
    assert.ok(findings.some((each) => each.kind === kind && each.cause.startsWith(cause)));
  }
});

explored('who gives up goes back to the BIOS, and must have cleaned up before', async () => {
  const reset = [0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe];
  const dirty = await runnerOf(program(reset)).run(parsePlan('register.2/refuse'));
  assert.is(dirty.status, 'failed');
  assert.ok(dirty.findings.some(({ cause }) => cause.startsWith('given up: synic-pages')));

  // Whoever listens hears of a handoff, and of each finding what it is about: a page has lanes
  const heard: HostEvent[] = [];
  await runnerOf(program(reset)).run(parsePlan('register.2/refuse'), undefined, {
    machine: (machine) => void machine.events.listen((event) => void heard.push(event)),
    line: () => {},
    screen: () => {},
  });
  const told = heard.filter(({ kind }) => kind === 'handoff' || kind === 'finding');
  assert.is(told[0]?.kind, 'handoff');
  const pages = told.find((event) => event.kind === 'finding' && event.check === 'synic-pages');
  assert.ok(pages !== undefined && 'grant' in pages);
  const clean = [...wrmsr(SIMP, 0), ...wrmsr(GUEST_OS_ID, 0), ...reset];
  const good = await runnerOf(program(clean)).run(parsePlan('register.2/refuse'));
  assert.is(good.status, 'failed');
  assert.equal(good.findings, []);
});

explored('a press of the reset button: it boots again, and has to', async () => {
  const runner = runnerOf(program(BOOTED));
  for (const step of [0, 1, 2]) {
    const { status, fired, findings } = await runner.run(parsePlan(`step.${step}/handoff`));
    assert.equal([status, fired, findings], ['booted', 1, []]);
  }
  // One that does not start a second time: it resets if it has been here before
  const flag = 0x1f00;
  const reset = [0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe];
  const once = kernelOf([
    ...[0x31, 0xc0, 0x8e, 0xd8, 0x83, 0x3e, ...word(flag), 0, 0x74, reset.length, ...reset],
    ...[0xc7, 0x06, ...word(flag), 1, 0, ...wrmsr(GUEST_OS_ID, 1, 0x98ae0000)],
    ...[...wrmsr(GUEST_OS_ID, 0), ...BOOTED],
  ]);
  const { findings } = await runnerOf(once).run(parsePlan('step.0/handoff'));
  assert.equal(
    findings.map(({ cause }) => cause),
    ['it does not boot again after a reset'],
  );
});

explored('a run that begins at a moment of another one is what it is from the start', async () => {
  // A program with more between its steps than a moment: cx is counted down for a while
  const wait = [0xb9, ...word(20_000), 0xe2, 0xfe];
  const writes = [0, 1].flatMap((turn) => [
    ...[...wrmsr(GUEST_OS_ID, 1 + turn, 0x98ae0000), ...wait, ...wrmsr(SIMP, 0x7001), ...wait],
    ...[...wrmsr(SIMP, 0), ...wait, ...wrmsr(GUEST_OS_ID, 0)],
  ]);
  const image = kernelOf([...CATCH, ...writes, ...BOOTED]);
  image.set(BOOTED, 0x200 + HANDLER);
  const { runs } = await compareForks(programOf(image), 5000, { samples: 26, seed: 3 });
  assert.ok(runs > 15, `${runs} runs`);
});

explored('behind a cut a script begins anew, and what was said before is past', async () => {
  // Sends "a\n" to the serial line, waits for a byte, has an identity, sends "b\n" and waits
  const say = (text: string): number[] =>
    [...text].flatMap((each) => [0xba, 0xf8, 0x03, 0xb0, each.charCodeAt(0), 0xee]);
  const wait = [0xba, 0xfd, 0x03, 0xec, 0xa8, 1, 0x74, -5 & 0xff, 0xba, 0xf8, 0x03, 0xec];
  const image = kernelOf([
    ...[...say('a\n'), ...wait, ...wrmsr(GUEST_OS_ID, 1, 0x98ae0000)],
    ...[...wrmsr(GUEST_OS_ID, 0), ...say('b\n'), 0xfb, 0xf4, 0xeb, 0xfd],
  ]);
  const script = parseScript('within 5\nexpect a\nsend x\nexpect b');
  const { status, findings } = await runnerOf(image, script).run(parsePlan('step.0/handoff'));
  assert.equal([status, findings], ['booted', []]);
});

explored('a sample has each kind, is decided by its seed, and has nothing twice', async () => {
  const runner = runnerOf(program(BOOTED));
  const all = await samplePc(runner, { samples: 1000, seed: 1, only: 'register' });
  assert.is(all.total, 8);
  assert.is(new Set(all.plans).size, 8);
  const draw = async (seed: number) => (await samplePc(runner, { samples: 8, seed })).plans;
  const first = await draw(1);
  assert.equal(await draw(1), first);
  assert.not.equal(await draw(2), first);
  const kinds = first.map((plan) => plan.replace(/[.:][^/]*/g, ''));
  assert.is(new Set(kinds).size, 8, kinds.join(' '));
});

explored('whoever looks at a run does not see those that begin at its moments', async () => {
  const runner = new PcRunner(programOf(program(BOOTED)), 1000);
  let seen = 0;
  await runner.run({ flow: 'boot', faults: [] }, () => void seen++);
  const before = seen;
  assert.ok(before > 0);
  await runner.run(parsePlan('register.1/refuse'));
  await runner.run(parsePlan('step.2/handoff'));
  assert.is(seen, before);
});

explored('what is not clean by itself is not explored', async () => {
  for (const [image, why] of [
    [program(BOOTED, false), /not clean without any fault: iPXE: /],
    [kernelOf([0xfa, 0xf4]), /not clean without any fault: no interrupt can wake it/],
  ] as const) {
    try {
      await samplePc(runnerOf(image), { samples: 1, seed: 1 });
      assert.unreachable();
    } catch (error) {
      assert.instance(error, BrokenFlowError);
      assert.match((error as Error).message, why);
    }
  }
});

explored.run();

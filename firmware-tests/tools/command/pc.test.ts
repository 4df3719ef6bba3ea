// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe pc` as a user runs it, with a BIOS of a few bytes instead of SeaBIOS. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { execFile } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bootProgram } from '../../../tools/guests/pc/boot-program.ts';
import { Exit } from '../../../tools/command/usage.ts';
import { CLI, assertRefused, directory, hypxe, lastLine, read, write } from '../../rigs/cli-rig.ts';
import { kernelOf, tinyBios } from '../../rigs/pc/pc-rig.ts';

write('bios/bios.bin', tinyBios());
write('bios/vgabios-stdvga.bin', new Uint8Array(512));
const BIOS = ['--bios', 'bios'];
const EXPECTED = write('expected.txt', 'expect a\n');
const NEXT = write('next.lkrn', bootProgram());
const HALTS = write('halts.lkrn', kernelOf([0xfa, 0xf4, 0xeb, 0xfd]));
const FAULTS = write(
  'faults.lkrn',
  kernelOf([0xfa, 0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0, 0xcc]),
);
const RESETS = write('resets.lkrn', kernelOf([0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe]));
/** Says "tick" on its serial line, and waits: mov dx, 3f8h; mov al, …; out dx, al. */
const TICKS = write(
  'ticks.lkrn',
  kernelOf([
    ...[0xba, 0xf8, 0x03],
    ...[...'tick\n'].flatMap((each) => [0xb0, each.charCodeAt(0), 0xee]),
    ...[0xfb, 0xf4, 0xeb, 0xfd],
  ]),
);
/** The same line, then an identity and a hypercall page that it leaves to the boot program. */
const LEAVES = write(
  'leaves.lkrn',
  kernelOf([
    ...[0xba, 0xf8, 0x03],
    ...[...'tick\n'].flatMap((each) => [0xb0, each.charCodeAt(0), 0xee]),
    // mov ecx, 40000000h; mov eax, 1; mov edx, 98ae0000h; wrmsr; inc ecx; mov ax, 7001h; cdq; wrmsr
    ...[0x66, 0xb9, 0, 0, 0, 0x40, 0x66, 0xb8, 1, 0, 0, 0, 0x66, 0xba, 0, 0, 0xae, 0x98],
    ...[0x0f, 0x30, 0x66, 0x41, 0xb8, 0x01, 0x70, 0x66, 0x99, 0x0f, 0x30],
    // xor eax, eax; mov dx, 4858h; out dx, eax
    ...[0x66, 0x31, 0xc0, 0xba, 0x58, 0x48, 0x66, 0xef, 0xfa, 0xf4, 0xeb, 0xfd],
  ]),
);

/** Has an identity for a moment. After a #GP (vector 13: 8020h:99h, where it ends) it halts. */
const TIDY = write(
  'tidy.lkrn',
  kernelOf([
    ...[0x31, 0xc0, 0x8e, 0xd8, 0xc7, 0x06, 0x34, 0, 0x99, 0, 0xc7, 0x06, 0x36, 0, 0x20, 0x80],
    ...[0x66, 0xb9, 0, 0, 0, 0x40, 0x66, 0xb8, 1, 0, 0, 0, 0x66, 0xba, 0, 0, 0xae, 0x98],
    ...[0x0f, 0x30, 0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30],
    ...[0xba, 0x58, 0x48, 0x66, 0xef, 0xfa, 0xf4, 0xeb, 0xfd],
  ]),
);

const pc = suite('hypxe pc');

pc('no input is written over', async () => {
  for (const [what, ...args] of [
    ['the program', NEXT, '--trace', NEXT],
    ['the program', NEXT, '--pcap', `./${NEXT}`],
    ['the boot file', NEXT, '--image', HALTS, '--trace', HALTS],
    ['the initrd', NEXT, '--initrd', FAULTS, '--pcap', FAULTS],
    ['the disk', NEXT, '--aoe', FAULTS, '--report', FAULTS],
  ] as const) {
    const before = fs.readFileSync(path.join(directory, args.at(-1)!));
    const { error, code } = await hypxe('pc', ...args, ...BIOS);
    assert.match(error, new RegExp(`^hypxe: OutputIsInput: .* would be written over ${what} `));
    assert.is(code, Exit.USAGE);
    assert.equal(fs.readFileSync(path.join(directory, args.at(-1)!)), before);
  }
});

pc('the boot program alone: nothing was shared, and that is said', async () => {
  const run = await hypxe('pc', NEXT, ...BIOS);
  assert.is(run.error, '');
  const none = 'no hypervisor interface was used, so nothing was shared';
  assert.is(lastLine(run), `verdict: clean: ${none}`);
  assert.is(run.code, Exit.CLEAN);
  assert.match(run.out, /^a PC boots .*next\.lkrn on server2022: 1 NIC, 64 MiB, seed 1; /);
});

pc('programs that go nowhere: a sentence, an exit code, the last screen', async () => {
  const none = 'no hypervisor interface was used, so nothing was shared';
  const cases: [string[], number, string][] = [
    [[HALTS], Exit.CRASH, 'hang: the processor has halted: no interrupt can wake it'],
    [[RESETS], Exit.FINDINGS, 'findings: nothing was booted: the PC was reset: it asked for it'],
    [[TICKS, '--time', '3'], Exit.CRASH, 'hang: the PC runs for more than 3 s'],
    [[TICKS], Exit.FINDINGS, 'findings: nothing was booted: nothing has come from the PC for 90 s'],
  ];
  for (const [args, code, verdict] of cases) {
    const run = await hypxe('pc', ...args, ...BIOS);
    assert.is(lastLine(run), `verdict: ${verdict}; ${none}`);
    assert.is(run.code, code);
    assert.match(run.out, /\nscreen {3}/);
  }
  const faults = await hypxe('pc', FAULTS, ...BIOS);
  assert.match(
    lastLine(faults),
    /^verdict: crash: the processor met a fault that it could not han/,
  );
  assert.is(faults.code, Exit.CRASH);
});

pc('a script whose text never comes: which line, and the last screen', async () => {
  const script = write('script.txt', 'expect tick\nwithin 2\nexpect tock\n');
  const run = await hypxe('pc', TICKS, ...BIOS, '--expect', script);
  assert.match(lastLine(run), /the script of --expect: line 3: "tock" has not come within 2 s/);
  assert.is(run.code, Exit.FINDINGS);
  const good = write('good.txt', 'expect tick\nend\n');
  assert.is((await hypxe('pc', TICKS, ...BIOS, '--expect', good)).code, Exit.CLEAN);
});

pc('files that are not what they should be', async () => {
  const form = 'Give a .lkrn or bzImage file, an ISO image or a disk image.';
  const of = (name: string): string => path.join(directory, name);
  const elf = write('elf', '\x7fELF\x02'.padEnd(2000));
  const efi = write('program.efi', 'MZ'.padEnd(2000));
  const text = write('text', 'x'.repeat(2000));
  const disk = write('disk.img', Uint8Array.of(...new Uint8Array(510), 0x55, 0xaa));
  const wide = write('wide.lkrn', kernelOf([0xf4], { 0x236: 1 }));
  const bad = write('bad.txt', 'wait 5\n');
  const cases: [string[], string, string, string, number?][] = [
    [[elf], 'BadProgram', `${of(elf)} is an ELF file for 64 bits: a BIOS starts none`, form],
    [[efi], 'BadProgram', `${of(efi)} is a program for UEFI (PE): a BIOS starts none`, form],
    [[text], 'BadProgram', `${of(text)} is no program that a BIOS starts`, form],
    [
      [wide],
      'Program64Bit',
      `${of(wide)}: it is a kernel for 64-bit processors, and the PC has one of 32 bits`,
      'Give an i386 kernel (Debian: linux-image-686).',
    ],
    [
      [disk, '--append', 'x'],
      'NotWithKernel',
      `--append is for a Linux kernel, and ${of(disk)} is none`,
      'Leave it out.',
    ],
    [
      [NEXT, '--expect', bad],
      'BadScript',
      'bad.txt: line 1: there is no step "wait" (expect, type, send, within, end)',
      'See hypxe pc --help.',
    ],
    [
      [NEXT, '--aoe', text],
      'BadDisk',
      '--aoe text: 2000 bytes are no whole sectors of 512',
      'Give an image of a whole disk.',
    ],
    [
      [NEXT, '--aoe', NEXT, '--link', 'passt'],
      'NotWithLink',
      '--aoe is of the network that is made here, and --link is of another',
      'Leave one of them out.',
    ],
    [
      [NEXT, '--bios', '.'],
      'BiosMissing',
      'there is no bios.bin of SeaBIOS in .',
      'Install it (Debian: apt-get install seabios), or name its place: --bios DIR.',
      Exit.ENVIRONMENT,
    ],
  ];
  for (const [args, name, message, advice, code] of cases) {
    const bios = args.includes('--bios') ? [] : BIOS;
    assertRefused(await hypxe('pc', ...args, ...bios), name, message, advice, code);
  }
  const none = await hypxe('pc');
  assert.match(none.error, /^hypxe: NoFile: no FILE to boot/);
  const gone = await hypxe('pc', 'gone.lkrn');
  assert.is(gone.code, Exit.ENVIRONMENT);
});

pc('an initrd for which there is no room: how much would be enough', async () => {
  const initrd = write('initrd', new Uint8Array(60 << 20));
  const run = await hypxe('pc', NEXT, ...BIOS, '--initrd', initrd);
  const text = `${path.join(directory, NEXT)}: there is not enough RAM for the initrd`;
  assertRefused(run, 'MemoryTooSmall', text, 'Give the PC more: --memory 128.');
});

/** The command line where no package of the project is near. */
function elsewhere(
  folder: string,
): (...args: string[]) => Promise<{ code: number; error: string }> {
  const own = path.join(directory, folder);
  fs.cpSync(path.dirname(CLI), path.join(own, 'dist'), { recursive: true });
  fs.writeFileSync(path.join(own, 'package.json'), '{ "type": "module" }');
  return (...args) =>
    new Promise((resolve) => {
      const cli = path.join(own, 'dist/cli.js');
      const child = execFile(
        process.execPath,
        [cli, ...args],
        { cwd: directory },
        (_, _out, error) => resolve({ code: child.exitCode!, error }),
      );
    });
}

pc('v86 is not there, or is another one: what to type', async () => {
  const run = elsewhere('lonely');
  const missing = await run('pc', NEXT, ...BIOS);
  assert.is(missing.code, Exit.ENVIRONMENT);
  const advice = '       Install it: npm install v86@0.5.462.\n';
  assert.is(
    missing.error,
    `hypxe: EmulatorMissing: the PC emulator v86 is not installed\n${advice}`,
  );
  // The page with a PC needs it, too
  assert.equal(await run('report', '--demo-pc', 'pc-demo'), missing);
  write(
    'lonely/node_modules/v86/package.json',
    '{ "version": "0.5.3+g1", "main": "build/libv86.mjs" }',
  );
  write('lonely/node_modules/v86/build/libv86.mjs', 'export class V86 {}');
  const other = await run('pc', NEXT, ...BIOS);
  assert.is(other.code, Exit.ENVIRONMENT);
  const text = 'v86 is of version 0.5.3+g1, and this works with 0.5.462';
  assert.is(other.error, `hypxe: EmulatorVersion: ${text}\n${advice}`);
});

pc(
  'a trace says what was run, who had the PC, and what came of it; a page is made of it',
  async () => {
    const run = await hypxe('pc', LEAVES, ...BIOS, '--host', 'server2016', '--trace', 'own.jsonl');
    assert.is(run.code, Exit.FINDINGS);
    const events = read('own.jsonl').trimEnd().split('\n');
    const [header, ...rest] = events.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(header, {
      ...{ ms: 0, kind: 'run', trace: 1, command: 'pc', host: 'server2016', seed: 1, nics: 1 },
      ...{ processors: 1, architecture: 'x64', memoryMiB: 64 },
      ...{ firmware: 'leaves.lkrn', image: 'hypxe.lkrn' },
    });
    const said = rest
      .filter(({ guest }) => guest === 'PC')
      .map(({ object, text }) => [object, text]);
    assert.equal(said, [['serial', 'tick']]);
    const stages = rest.filter(({ kind }) => kind === 'stage').map(({ stage }) => stage);
    assert.equal(stages, ['iPXE', 'boot program']);
    assert.is(rest.at(-1)!.verdict, 'findings');

    // By the way of the trace, and at once
    assert.is((await hypxe('report', 'own.jsonl', '-o', 'own.html')).code, Exit.CLEAN);
    const args = ['--host', 'server2016', '--report', 'once.html'];
    const once = await hypxe('pc', LEAVES, ...BIOS, ...args);
    assert.is(once.code, Exit.FINDINGS);
    assert.is(once.error, '');
    for (const page of ['own.html', 'once.html']) {
      assert.match(read(page), /<title>hypxe pc hypxe\.lkrn on server2016<\/title>/);
    }
    const perfetto = await hypxe(
      'pc',
      LEAVES,
      ...BIOS,
      '--trace',
      'own.json',
      '--format',
      'perfetto',
    );
    assert.is(perfetto.code, Exit.FINDINGS);
    assert.ok((JSON.parse(read('own.json')) as { traceEvents: unknown[] }).traceEvents.length > 5);
  },
);

pc('a page after losses has the run without them beside', async () => {
  const args = [NEXT, ...BIOS, '--loss', '0.5', '--report', 'lost.html', '--json'];
  const run = await hypxe('pc', ...args);
  assert.is(run.code, Exit.CLEAN);
  assert.not.match(read('lost.html'), /This run is clean: there is nothing to look for/);
  await hypxe('pc', NEXT, ...BIOS, '--report', 'whole.html', '--json');
  assert.match(read('whole.html'), /This run is clean: there is nothing to look for/);
});

pc('an exploration draws from all faults, shows what it finds, and one run of it', async () => {
  const args = ['explore', '--pc', LEAVES, ...BIOS];
  const broken = await hypxe(...args);
  assert.is(broken.code, Exit.USAGE);
  assert.match(broken.error, /^hypxe: BrokenProgram: the program is not clean without any fault: /);

  const sound = ['explore', '--pc', TIDY, ...BIOS, '--host', 'server2016'];
  const run = await hypxe(...sound, '--only', 'register/refuse', '--samples', '2', '-o', 'pc.json');
  assert.is(run.error, '');
  assert.match(run.out, /\nlist {6}2 single faults, of which 2 were drawn\nmade {6}2 runs in /);
  assert.is(run.code, Exit.CRASH);
  const document = JSON.parse(read('pc.json')) as { tally: { groups: { reproduction: string }[] } };
  const [{ reproduction } = { reproduction: '' }] = document.tally.groups;
  const again = await hypxe(...sound, '--only', reproduction, '--json');
  assert.is(again.code, Exit.CRASH);
  assert.is((JSON.parse(again.out) as { total: number }).total, 1);

  const cases: [string[], string][] = [
    [['--only', 'step.99/handoff'], 'PlaceNotReached'],
    [['--only', 'step.x/handoff'], 'BadPlan'],
    [['--samples', '0'], 'BadNumber'],
    [['--firmware', TIDY], 'BadOption'],
    [['-o', TIDY], 'OutputIsInput'],
    [['--expect', EXPECTED, '-o', EXPECTED], 'OutputIsInput'],
    [['-o', 'x.json', '--junit', 'x.json'], 'OutputsEqual'],
    [['--only', 'loader:step.1/give-up'], 'BadPlan'],
  ];
  for (const [more, name] of cases) {
    const { error, code } = await hypxe(...sound, ...more);
    assert.match(error, new RegExp(`^hypxe: ${name}: `));
    assert.is(code, Exit.USAGE);
  }
});

pc('what the workers cannot begin with is told, whoever of them is asked', async () => {
  const bare = ['--bios', path.join(directory, 'bare'), '--workers', '3'];
  fs.mkdirSync(path.join(directory, 'bare'), { recursive: true });
  const { error, code } = await hypxe('explore', '--pc', TIDY, ...bare);
  assert.match(error, /^hypxe: BiosMissing: /);
  assert.is(code, Exit.ENVIRONMENT);
});

pc('a finding has the command that shows it, with all that was said', async () => {
  const knob = ['--knob', 'echoVersion=false', '--append', "it's quiet"];
  const args = ['explore', '--pc', TIDY, ...BIOS, ...knob, '--host', 'server2016'];
  const { out } = await hypxe(...args, '--only', 'register/refuse', '--samples', '1');
  const bios = BIOS.join(' ');
  assert.ok(out.includes(`--append 'it'\\''s quiet' ${bios} --host server2016 --knob`), out);
});

pc('a run that comes to no end leaves the old trace', async () => {
  write('kept.jsonl', 'old\n');
  const run = await hypxe(
    'pc',
    NEXT,
    ...BIOS,
    '--trace',
    'kept.jsonl',
    '--pcap',
    'nowhere/x.pcapng',
  );
  assert.is(run.code, Exit.ENVIRONMENT);
  assert.is(read('kept.jsonl'), 'old\n');
});

pc('one document, and one trace for one seed', async () => {
  const args = ['pc', NEXT, ...BIOS, '--json'];
  const { out, code } = await hypxe(...args, '--trace', 'one.jsonl');
  await hypxe(...args, '--trace', 'two.jsonl');
  assert.is(read('one.jsonl'), read('two.jsonl'));
  const document = JSON.parse(out) as Record<string, unknown>;
  assert.is(code, 0);
  assert.is(document['exitCode'], 0);
  assert.is(document['verdict'], 'clean');
  assert.is(document['untouched'], true);
});

pc.run();

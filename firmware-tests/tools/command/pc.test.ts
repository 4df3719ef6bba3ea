// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe pc` as a user runs it, with a BIOS of a few bytes instead of SeaBIOS. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { execFile } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bootProgram } from '../../../tools/guests/pc/boot-program.ts';
import { Exit } from '../../../tools/command/usage.ts';
import {
  CLI,
  assertRefused,
  directory,
  hypxe,
  interrupted,
  lastLine,
  read,
  write,
} from '../../rigs/cli-rig.ts';
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
/** "tick" to the serial line: mov dx, 3f8h; mov al, …; out dx, al. */
const TICK = [
  ...[0xba, 0xf8, 0x03],
  ...[...'tick\n'].flatMap((each) => [0xb0, each.charCodeAt(0), 0xee]),
];
/** Says so, and waits. */
const TICKS = write('ticks.lkrn', kernelOf([...TICK, 0xfb, 0xf4, 0xeb, 0xfd]));
const LOOPS = write('loops.lkrn', kernelOf([...TICK, 0xeb, 0xfe]));
/** The same line, then an identity and a hypercall page that it leaves to the boot program. */
const LEAVES = write(
  'leaves.lkrn',
  kernelOf([
    ...TICK,
    // mov ecx, 40000000h; mov eax, 1; mov edx, 98ae0000h; wrmsr; inc ecx; mov ax, 7001h; cdq; wrmsr
    ...[0x66, 0xb9, 0, 0, 0, 0x40, 0x66, 0xb8, 1, 0, 0, 0, 0x66, 0xba, 0, 0, 0xae, 0x98],
    ...[0x0f, 0x30, 0x66, 0x41, 0xb8, 0x01, 0x70, 0x66, 0x99, 0x0f, 0x30],
    // xor eax, eax; mov dx, 4858h; out dx, eax
    ...[0x66, 0x31, 0xc0, 0xba, 0x58, 0x48, 0x66, 0xef, 0xfa, 0xf4, 0xeb, 0xfd],
  ]),
);

/** Has an identity for a moment. After a #GP (vector 13: its last two bytes) it halts. */
const tidy = (first: readonly number[]): Uint8Array =>
  kernelOf([
    ...first,
    ...[
      0x31,
      0xc0,
      0x8e,
      0xd8,
      0xc7,
      0x06,
      0x34,
      0,
      0x99 + first.length,
      0,
      0xc7,
      0x06,
      0x36,
      0,
      0x20,
      0x80,
    ],
    ...[0x66, 0xb9, 0, 0, 0, 0x40, 0x66, 0xb8, 1, 0, 0, 0, 0x66, 0xba, 0, 0, 0xae, 0x98],
    ...[0x0f, 0x30, 0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30],
    ...[0xba, 0x58, 0x48, 0x66, 0xef, 0xfa, 0xf4, 0xeb, 0xfd],
  ]);
const TIDY = write('tidy.lkrn', tidy([]));
/** The same, and says so first. */
const TELLS = write('tells.lkrn', tidy(TICK));

/** The descriptor of an ISO image that boots. */
const BOOT_RECORD = Buffer.from('\0CD001\x01EL TORITO SPECIFICATION');

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
  assert.not.match(run.out, /register access/);
  assert.match((await hypxe('pc', LEAVES, ...BIOS)).out, /\ncounts .*: \d+ register accesses/);
});

pc('programs that go nowhere: a sentence, an exit code, the last screen', async () => {
  const none = 'no hypervisor interface was used, so nothing was shared';
  const cases: [string[], number, string][] = [
    [[HALTS], Exit.CRASH, 'hang: the processor has halted: no interrupt can wake it'],
    [[RESETS], Exit.FINDINGS, 'findings: nothing was booted: the PC was reset: it asked for it'],
    [[TICKS, '--time', '3'], Exit.CRASH, 'hang: the PC runs for more than 3 s'],
    [
      [LOOPS, '--wall', '1'],
      Exit.CRASH,
      "hang: the PC still ran after 1 s of the wall's clock, where no two runs are alike " +
        '(see --wall)',
    ],
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
    /^verdict: crash: the processor met a triple fault at 0x802[0-9a-f]{2}: the #DF for a fault /,
  );
  assert.is(faults.code, Exit.CRASH);
});

pc('Ctrl-C that comes twice at once leaves the summary, and the screen', async () => {
  for (const twice of [1, 50]) {
    const run = await interrupted(['pc', LOOPS, ...BIOS], /a PC boots/, twice);
    // One that comes while Node.js takes itself down ends it as a signal does: 130 for a shell
    assert.ok(run.code === Exit.INTERRUPTED || run.code === null);
    assert.match(lastLine(run), /^verdict: interrupted: the PC still ran; no hypervisor interface/);
    assert.match(run.out, /\nscreen {3}/);
  }
});

pc('a line of the console has the time at which it began', async () => {
  // The line end comes 0.2 s later: 10 million rounds of two instructions
  const late = [
    ...[...TICK.slice(0, -3), 0x66, 0xb9, 0x80, 0x96, 0x98, 0x00, 0x66, 0x49, 0x75, 0xfc],
    ...[0xb0, 0x0a, 0xee, 0xfa, 0xf4, 0xeb, 0xfd],
  ];
  const { out } = await hypxe('pc', write('late.lkrn', kernelOf(late)), ...BIOS);
  assert.match(out, /\n {5}0\.000 s {2}tick\n/);
  assert.match(out, /\n {9}0\.[1-9][0-9]* s of the PC/);
});

pc('a script whose text never comes: which line, and the last screen', async () => {
  const script = write('script.txt', 'expect tick\nwithin 2\nexpect tock\n');
  const run = await hypxe('pc', TICKS, ...BIOS, '--expect', script);
  assert.match(lastLine(run), /the script of --expect: line 3: "tock" has not come within 2 s/);
  assert.is(run.code, Exit.FINDINGS);
  const good = write('good.txt', 'expect tick\nend\n');
  assert.is((await hypxe('pc', TICKS, ...BIOS, '--expect', good)).code, Exit.CLEAN);
});

pc('files that are packed, empty, cut off, or an image from which nothing boots', async () => {
  const form = 'Give a .lkrn or bzImage file, an ISO image or a disk image.';
  const of = (name: string): string => path.join(directory, name);
  const packed = write('packed', Uint8Array.of(0x1f, 0x8b, 8, ...new Uint8Array(2000)));
  const nothing = write('nothing', '');
  // A primary descriptor, another one, and the end of all; with a boot record behind the end
  const descriptors = new Uint8Array(0x9800);
  for (const [i, type] of [1, 2, 255].entries()) {
    descriptors.set([type, ...Buffer.from('CD001')], 0x8000 + i * 0x800);
  }
  const iso = write('data.iso', Uint8Array.of(...descriptors, ...BOOT_RECORD));
  const cut = write('cut.lkrn', bootProgram().subarray(0, 1024));
  const cases: [string[], string, string, string][] = [
    [[packed], 'BadProgram', `${of(packed)} is packed with gzip: unpack it first`, form],
    [[nothing], 'BadProgram', `${of(nothing)} is empty`, form],
    [
      [iso],
      'BadProgram',
      `${of(iso)} is an ISO image without a boot record (El Torito): nothing boots from it`,
      'Give an image that is made to boot a PC.',
    ],
    [
      [cut],
      'BadProgram',
      `${of(cut)}: it is cut off: its header says 1552 bytes, and it has 1024`,
      'Get the file once more.',
    ],
  ];
  for (const [args, ...refusal] of cases) {
    assertRefused(await hypxe('pc', ...args, ...BIOS), ...refusal);
  }
  write('wrong/bios.bin', new Uint8Array(0x10000));
  write('wrong/vgabios-stdvga.bin', new Uint8Array(512));
  const wrong = 'bios.bin in wrong is no BIOS of a PC';
  const advice = 'Take SeaBIOS (Debian: apt-get install seabios).';
  assertRefused(await hypxe('pc', NEXT, '--bios', 'wrong'), 'BadBios', wrong, advice);
});

pc(
  'what other commands have and a PC cannot have is refused with what there is instead',
  async () => {
    for (const [words, advice] of [
      [['--then', 'kexec'], /say what is typed with --expect/],
      [['--record=session.json'], /Take --trace; for a session of iPXE: hypxe guest ipxe/],
      [['--processors', '4'], /Leave it out/],
    ] as const) {
      const { error, code } = await hypxe('pc', NEXT, ...BIOS, ...words);
      assert.match(error, /^hypxe: NotForPc: --[a-z]+: /);
      assert.match(error, advice);
      assert.is(code, Exit.USAGE);
    }
    // Names that nobody has, and words that are values
    const none = await hypxe('pc', NEXT, ...BIOS, '--constructor', 'x');
    assert.match(none.error, /^hypxe: BadOption: there is no option --constructor\n/);
    const value = await hypxe('pc', NEXT, ...BIOS, '--append=--record', '--time', '0');
    assert.match(value.error, /^hypxe: BadNumber: --time /);
  },
);

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
      'bad.txt: line 1: there is no step "wait" (expect, type, send, within, boot, end)',
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
  // A manifest without a version, or that is none: the module is found by its name all the same
  for (const manifest of [
    '{ "main": "build/libv86.mjs" }',
    '{ "version": 5, "main": "build/libv86.mjs" }',
  ]) {
    write('lonely/node_modules/v86/package.json', manifest);
    const damaged = await run('pc', NEXT, ...BIOS);
    assert.is(damaged.code, Exit.ENVIRONMENT);
    const none = 'v86 is of no version, and this works with 0.5.462';
    assert.is(damaged.error, `hypxe: EmulatorVersion: ${none}\n${advice}`);
  }
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
      ...{ program: 'leaves.lkrn', image: 'hypxe.lkrn' },
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
      assert.match(read(page), /<title>hypxe pc leaves\.lkrn on server2016<\/title>/);
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
  assert.match(read('lost.html'), /loss 0\.5/);
  await hypxe('pc', NEXT, ...BIOS, '--report', 'whole.html', '--json');
  assert.match(read('whole.html'), /This run is clean: there is nothing to look for/);
});

pc('one run of an exploration: its story, its last screen, and its files', async () => {
  const explored = ['explore', '--pc', TELLS, ...BIOS, '--host', 'server2016'];
  const out = ['--trace', 'one.jsonl', '--report', 'one.html', '--pcap', 'one.pcapng'];
  const run = await hypxe(...explored, '--only', 'register.1/refuse-ever', ...out);
  assert.is(run.error, '');
  const lines = run.out.trimEnd().split('\n');
  const at = (pattern: RegExp): number => lines.findIndex((line) => pattern.test(line));
  const order = [
    ...[/^\[ +[0-9.]+\] {3}tick$/, /\] === iPXE$/, /\] {3}FAULT .*register\.1/],
    ...[/^screen {3}/, /^run {7}register\.1\/refuse-ever$/, /^verdict: /],
  ].map(at);
  assert.ok(!order.includes(-1), `${order}\n${run.out}`);
  assert.equal(
    order,
    [...order].sort((a, b) => a - b),
  );
  const [header = ''] = read('one.jsonl').split('\n');
  const { command, plan } = JSON.parse(header) as { command: string; plan: string };
  assert.equal([command, plan], ['explore', 'register.1/refuse-ever']);
  assert.match(
    read('one.html'),
    /<title>hypxe explore tells\.lkrn on server2016: register\.1\/refuse-ever</,
  );
  assert.ok(fs.statSync(path.join(directory, 'one.pcapng')).size > 100);
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
    [['--trace', 'all.jsonl'], 'BadOption'],
    [['--only', 'register.0/refuse', '--report', TIDY], 'OutputIsInput'],
    [['--only', 'step.99/handoff'], 'PlaceNotReached'],
    [['--only', 'step.x/handoff'], 'BadPlan'],
    [['--samples', '0'], 'BadNumber'],
    [['--firmware', TIDY], 'NotForPc'],
    [['-o', TIDY], 'OutputIsInput'],
    [['--expect', EXPECTED, '-o', EXPECTED], 'OutputIsInput'],
    [['-o', 'x.json', '--junit', 'x.json'], 'OutputsEqual'],
    [['--only', 'loader:step.1/give-up'], 'BadPlan'],
    [['--only', 'step.1/give-up'], 'BadPlan'],
    [['--only', 'step.1/handoff+race.1/strong'], 'BadPlan'],
    [['--only', 'step.1/handoff', '--samples', '3'], 'NotWithPlan'],
  ];
  for (const [more, name] of cases) {
    const { error, code } = await hypxe(...sound, ...more);
    assert.match(error, new RegExp(`^hypxe: ${name}: `));
    assert.is(code, Exit.USAGE);
  }
});

pc(
  'an exploration that is stopped goes on; its shards are the whole; all says what is refused',
  async () => {
    const sound = ['explore', '--pc', TIDY, ...BIOS, '--host', 'server2016', '--samples', '7'];
    interface PartRead {
      complete: boolean;
      lanes?: number[];
      fingerprint: string;
      tally: { runs: number };
    }
    const part = (name: string): PartRead => JSON.parse(read(name)) as PartRead;
    const whole = await hypxe(...sound, '--workers', '2', '-o', 'whole.json');
    assert.is(whole.error, '');
    const { tally, fingerprint } = part('whole.json');
    assert.is(tally.runs, 7);

    // As Ctrl-C leaves it before the first run, and after some of the second of two workers
    const none = { runs: 0, outcomes: {}, unreached: 0, groups: [] };
    for (const [lanes, runs, came] of [
      [[0], none, 7],
      [[2, 5], none, 4],
    ] as const) {
      write(
        'cut.json',
        JSON.stringify({ ...part('whole.json'), complete: false, lanes, tally: runs }),
      );
      const rest = await hypxe(...sound, '--resume', 'cut.json');
      assert.is(rest.error, '');
      assert.is(part('cut.json').tally.runs, came);
      assert.is(part('cut.json').complete, true);
      if (came === 7) assert.equal(part('cut.json').tally, tally);
    }
    const timed = await hypxe(...sound, '--time', '.1', '-o', 'timed.json');
    assert.is(timed.error, '');
    assert.is(/\nmade .*, stopped early\n/.test(timed.out), !part('timed.json').complete);

    const shards = ['1/2', '2/2'].map((shard, i) =>
      hypxe(...sound, '--shard', shard, '-o', `part-${i}.json`),
    );
    for (const { error } of await Promise.all(shards)) assert.is(error, '');
    const merged = await hypxe('explore', '--merge', 'part-0.json', 'part-1.json', '--json');
    assert.is(merged.error, '');
    const both = JSON.parse(merged.out) as PartRead;
    assert.equal([both.tally, both.fingerprint], [tally, fingerprint]);
    const told = await hypxe('explore', '--merge', 'part-0.json', 'part-1.json');
    assert.match(
      told.out,
      /hypxe explore --pc tidy\.lkrn --bios bios --host server2016 --only [a-z]/,
    );

    const cases: [string[], string, RegExp][] = [
      [['--resume', 'cut.json'], 'NothingToResume', /cut\.json is complete/],
      [['--resume', 'part-0.json', '--seed', '2'], 'NothingToResume', /is complete/],
      [['--resume', 'cut.json', '--workers', '2'], 'BadOption', /--workers/],
      [['--shard', '3/2'], 'BadShard', /3\/2/],
      [['--only', 'step.1/handoff', '--time', '1'], 'NotWithPlan', /--time is for a draw/],
      [['--merge'], 'NotForPc', /--merge: results say themselves/],
      [['--walks', '5'], 'NotForPc', /--walks: only single faults/],
      [['--loss', '.1'], 'NotForPc', /--loss: all runs have one NIC/],
      [['--guest-memory-limit', '64'], 'NotForPc', /--guest-memory-limit: /],
    ];
    for (const [more, name, why] of cases) {
      const args = name === 'NotWithPlan' ? sound.slice(0, -2) : sound;
      const { error, code } = await hypxe(...args, ...more);
      assert.match(error, new RegExp(`^hypxe: ${name}: `));
      assert.match(error, why);
      assert.is(code, Exit.USAGE);
    }
  },
);

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

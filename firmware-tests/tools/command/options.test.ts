// SPDX-License-Identifier: GPL-2.0-or-later

/** What `hypxe boot` and `hypxe replay` refuse before anything runs: named, with what to do. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseArguments } from '../../../tools/command/arguments.ts';
import { parseBoot } from '../../../tools/command/boot/boot-options.ts';
import { parseExplore } from '../../../tools/command/explore/explore-options.ts';
import { CommandError, Exit } from '../../../tools/command/usage.ts';
import { assertRefused, directory, hypxe, write } from '../../rigs/cli-rig.ts';

write('empty', '');
write('large', new Uint8Array(4 * 2 ** 20));
write('image', 'a small image');
write('served/pxe/image', 'a small image');
write('no-trace.json', '{"hello": 1}');
write('no-json.json', 'GIF89a');
fs.symlinkSync(path.join(directory, 'image'), path.join(directory, 'served/link'));
fs.writeFileSync(path.join(directory, 'secret'), 'x', { mode: 0o000 });

/** A file that is there; it is not loaded. */
const FIRMWARE = write('firmware.mjs', '');
const SEED_MAX = Number.MAX_SAFE_INTEGER;
const BYTES = 'bytes from 1 to 2147483648, as a number or with K, M or G';

/** Arguments of `hypxe boot`, and the refusal: name, text, advice. */
const REFUSED: readonly [args: string, name: string, text: string, advice: string][] = [
  ['missing', 'FileMissing', 'missing does not exist', 'Check the path.'],
  ['served', 'NotAFile', 'served is not a file', 'Check the path.'],
  ['empty', 'FileEmpty', 'empty is empty', 'Serve a file that has contents.'],
  [
    'large --memory 4',
    'FileTooLarge',
    'large has 4194304 bytes, more than 4 MiB of guest RAM',
    'Give the guest more: --memory 20.',
  ],
  ['--size 4294967296 --memory 4', 'BadNumber', '--size cannot be 4294967296', `Give ${BYTES}.`],
  [
    '--size 2147483648',
    'FileTooLarge',
    'the image of --size has 2147483648 bytes, more than 64 MiB of guest RAM',
    'A guest has at most 2048 MiB: boot something smaller.',
  ],
  [
    'image other',
    'TooManyFiles',
    'more than one FILE: image, other',
    'Give one FILE, or --serve a directory.',
  ],
  [
    '--host server2023',
    'UnknownHost',
    'there is no host profile server2023',
    'Did you mean server2022?',
  ],
  [
    '--host vax',
    'UnknownHost',
    'there is no host profile vax',
    'Choose one of server2008, server2008r2, server2012, server2012r2, server2016, server2019, ' +
      'server2022, copper, qemu, openvmm.',
  ],
  ['--arch mips', 'UnknownArchitecture', 'there is no architecture mips', 'Choose x64 or arm64.'],
  ['--hvc smccc', 'UnknownConvention', '--hvc smccc is nothing that x64 has', 'Add --arch arm64.'],
  [
    '--arch arm64 --hvc eret',
    'UnknownConvention',
    'there is no form of HVC eret',
    'Choose smccc or immediate.',
  ],
  [
    '--arch arm64 --page-size 8',
    'BadPageSize',
    'arm64 has no pages of 8 KiB',
    'Choose one of 4, 16, 64.',
  ],
  [
    '--knob maskedSynt=keep',
    'UnknownKnob',
    'there is no knob maskedSynt',
    'Did you mean maskedSint?',
  ],
  [
    '--knob x=1 --host qemu',
    'UnknownKnob',
    'there is no knob x',
    'hypxe hosts qemu lists the knobs.',
  ],
  [
    '--knob maskedSint=lose',
    'BadKnob',
    'knob maskedSint cannot be lose',
    'Write --knob maskedSint=VALUE: drop or keep; now drop.',
  ],
  [
    '--knob unloadAnswer',
    'BadKnob',
    'knob unloadAnswer has no value',
    'Write --knob unloadAnswer=VALUE: never or 0 to 36000000000; now 0.',
  ],
  ['--preset fast', 'UnknownPreset', 'there is no preset fast', 'Choose default or ipxe.'],
  ['--nics 9', 'BadNumber', '--nics cannot be 9', 'Give a whole number from 1 to 8.'],
  ['--nics -1', 'BadNumber', '--nics cannot be -1', 'Give a whole number from 1 to 8.'],
  ['--size -1', 'BadNumber', '--size cannot be -1', `Give ${BYTES}.`],
  ['--size 3G', 'BadNumber', '--size cannot be 3G', `Give ${BYTES}.`],
  ['--size M', 'BadNumber', '--size cannot be M', `Give ${BYTES}.`],
  ['--seed 1 --seed 2', 'BadOption', '--seed is given twice', 'See hypxe boot --help.'],
  ['-v --verbose', 'BadOption', '--verbose is given twice', 'See hypxe boot --help.'],
  ['--seed', 'BadOption', '--seed has no value', 'See hypxe boot --help.'],
  ['--trace --strict', 'BadOption', '--trace has no value', 'See hypxe boot --help.'],
  ['--strict=yes', 'BadOption', '--strict takes no value', 'See hypxe boot --help.'],
  ['--constructor', 'BadOption', 'there is no option --constructor', 'See hypxe boot --help.'],
  ['--stric', 'BadOption', 'there is no option --stric', 'Did you mean --strict?'],
  ['--memory 3', 'BadNumber', '--memory cannot be 3', 'Give a whole number from 4 to 2048.'],
  ['--seed 0x1', 'BadNumber', '--seed cannot be 0x1', `Give a whole number from 0 to ${SEED_MAX}.`],
  ['--loss 1.5', 'BadNumber', '--loss cannot be 1.5', 'Give a probability from 0 to 1.'],
  ['--delay soon', 'BadNumber', '--delay cannot be soon', 'Give a whole number from 0 to 10000.'],
  ['--watchdog 0', 'BadNumber', '--watchdog cannot be 0', 'Give a whole number from 1 to 3600.'],
  ['--sede 1', 'BadOption', 'there is no option --sede', 'Did you mean --seed?'],
  [
    '--serve served',
    'NoBootFile',
    '--serve without FILE',
    'Name the boot file: its path below the directory.',
  ],
  [
    '--serve nowhere image',
    'DirectoryMissing',
    'nowhere does not exist',
    'Check the path of --serve.',
  ],
  ['--serve image image', 'NoDirectory', 'image is no directory', 'Check the path of --serve.'],
  [
    '--serve served missing',
    'FileMissing',
    'served/missing does not exist',
    'FILE is a path below the directory of --serve.',
  ],
  [
    '--serve served ../image',
    'OutsideDirectory',
    '../image lies outside of the served directory served',
    'Serve a directory that has the file below it; links must not lead out of it.',
  ],
  [
    '--serve served link',
    'OutsideDirectory',
    'link lies outside of the served directory served',
    'Serve a directory that has the file below it; links must not lead out of it.',
  ],
];

const options = suite('command line: boot refuses');

/** What is not there: no mistake in the options. */
const ENVIRONMENT: readonly string[] = ['FileMissing', 'DirectoryMissing'];

/** How many are run as a user does; a process each is a tenth of a second. */
const SPAWNED = 4;

for (const [index, [args, name, text, advice]] of REFUSED.entries()) {
  options(args, async () => {
    const words = args.split(' ');
    const code = ENVIRONMENT.includes(name) ? Exit.ENVIRONMENT : Exit.USAGE;
    if (index < SPAWNED) assertRefused(await hypxe('boot', ...words), name, text, advice, code);
    const error = refusal(words);
    assert.is(error.code, code);
    assert.is(error.name, name);
    assert.is(error.message, text);
    assert.is(error.advice, advice);
  });
}

/** What the options are refused with; in this process, but in the directory of the tests. */
function refusal(args: readonly string[]): CommandError {
  const before = process.cwd();
  process.chdir(directory);
  try {
    parseBoot(args, 'image');
  } catch (error) {
    if (error instanceof CommandError) return error;
    throw error;
  } finally {
    process.chdir(before);
  }
  throw new Error('not refused');
}

options('a firmware that is not there', async () => {
  const run = await hypxe('boot', '--firmware', 'mine.js');
  const text = `${path.join(directory, 'mine.js')} does not exist`;
  const advice =
    'Give the path of an ES module that exports boot(machine, options), ' +
    'or of a WebAssembly module.';
  assertRefused(run, 'FileMissing', text, advice, Exit.ENVIRONMENT);
});

options('a file that may not be read', async () => {
  const run = await hypxe('boot', 'secret');
  // Root may read everything: then it boots
  if (process.getuid?.() === 0) assert.is(run.code, 0);
  else assert.match(run.error, /^hypxe: FileUnreadable: secret cannot be read: permission denied/);
});

for (const [text, bytes] of [
  ['512', 512],
  ['3K', 3072],
  ['2m', 2 << 20],
  ['1MiB', 1 << 20],
] as const) {
  options(`--size ${text} is ${bytes} bytes`, () => {
    const { served } = parseBoot(
      ['--size', text, '--firmware', path.join(directory, FIRMWARE)],
      FIRMWARE,
    )!;
    assert.is(served.size, bytes);
  });
}

for (const [text, seconds] of [
  ['.5', 0.5],
  ['2.25', 2.25],
  ['90', 90],
] as const) {
  options(`explore --time ${text} is ${seconds} s`, () => {
    assert.is(parseExplore(['--time', text], path.join(directory, FIRMWARE), 1)!.seconds, seconds);
  });
}

options('an empty value of a short option is refused as one', () => {
  const known = {
    output: { type: 'string', short: 'o' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  const read = () => parseArguments('record', ['-o', '', '-h', 'word'], known);
  assert.throws(read, /-o has an empty value/);
});

options('explore --time nonsense', () => {
  for (const text of ['0', '.', '1e3', '5s', '-1']) {
    assert.throws(
      () => parseExplore(['--time', text], path.join(directory, FIRMWARE), 1),
      /--time cannot be/,
    );
  }
});

options('an empty word is none: of an option, long or short, and behind the command', async () => {
  const cases: [words: string[], name: string, text: string][] = [
    [['boot', '--trace', ''], 'BadOption', '--trace has an empty value'],
    [['boot', '--nics='], 'BadOption', '--nics has an empty value'],
    [['boot', '--json', '--firmware', ''], 'BadOption', '--firmware has an empty value'],
    [['report', 'x.jsonl', '-o', ''], 'BadOption', '-o has an empty value'],
    [['record', '-o', ''], 'BadOption', '-o has an empty value'],
    [['pc', ''], 'EmptyArgument', 'one of the words behind the command is empty'],
    [['guest', 'new', 'c', ''], 'EmptyArgument', 'one of the words behind the command is empty'],
  ];
  for (const [words, name, text] of cases) {
    const { code, error } = await hypxe(...words);
    assert.is(code, 2, words.join(' '));
    assert.ok(error.startsWith(`hypxe: ${name}: ${text}\n`), error);
  }
  // One that looks like an option goes with its own name, also the short one
  const [dashed, short] = await Promise.all([
    hypxe('record', '--output=--x/y'),
    hypxe('record', '-o-x/y'),
  ]);
  assert.match(dashed.error, /FileUnwritable: --x\/y cannot be written: no such file/);
  assert.match(short.error, /FileUnwritable: -x\/y cannot be written: no such file/);
});

options('a knob twice, a version with more, a directory as a file: told in own words', async () => {
  const twice = await hypxe('boot', '--knob', 'monitors=none', '--knob', 'monitors=none');
  assertRefused(twice, 'BadKnob', 'knob monitors is given twice', 'Give each knob once.');
  const more = await hypxe('version', 'one');
  assertRefused(more, 'UnexpectedArgument', 'nothing to do with one', 'Write hypxe version.');
  const here = await hypxe('hosts', '.');
  assert.match(here.error, /there is no host profile \.\n +Choose one of server2008/);
  const { error } = await hypxe('boot', '--junit', '.');
  assert.match(error, /FileUnwritable: \. cannot be written: it is a directory/);
});

options.run();

const replay = suite('command line: replay refuses');

replay('no trace', async () => {
  const run = await hypxe('replay');
  assertRefused(run, 'NoTrace', 'no trace file given', 'See hypxe replay --help.');
});

replay('a session that does not come with hypxe', async () => {
  const run = await hypxe('replay', '01-boots');
  const text = 'no session 01-boots comes with hypxe';
  assertRefused(run, 'UnknownTrace', text, 'Did you mean 01-boot?');

  write('recorded', '{}');
  const here = await hypxe('replay', 'recorded');
  const advice = 'For the file that lies here, write ./recorded.';
  assertRefused(here, 'UnknownTrace', 'no session recorded comes with hypxe', advice);
});

replay('a trace that is not there', async () => {
  const run = await hypxe('replay', 'missing.json');
  const text = 'missing.json does not exist';
  assertRefused(run, 'FileMissing', text, 'Check the path.', Exit.ENVIRONMENT);
});

for (const [file, name] of [
  ['no-json.json', 'TraceNotJson'],
  ['no-trace.json', 'TraceForeign'],
] as const) {
  replay(file, async () => {
    const { code, error } = await hypxe('replay', file);
    assert.match(error, new RegExp(`^hypxe: ${name}: ${file}: [^\\n]+\\n {7}[A-Z][^\\n]+\\.\\n$`));
    assert.is(code, 2);
  });
}

replay.run();

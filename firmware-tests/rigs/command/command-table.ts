// SPDX-License-Identifier: GPL-2.0-or-later

/** The words of the commands, each with its own kind of them, and hostile ones in between. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { chooseColour } from '../../../tools/command/colour.ts';
import { parseBoot } from '../../../tools/command/boot/boot-options.ts';
import { parseExplore } from '../../../tools/command/explore/explore-options.ts';
import { guestCommand } from '../../../tools/command/guest/guest-command.ts';
import { hostsCommand } from '../../../tools/command/hosts-command.ts';
import { readVersion } from '../../../tools/command/pc/pc-files.ts';
import { parsePcExplore } from '../../../tools/command/pc/pc-explore-options.ts';
import { parsePc } from '../../../tools/command/pc/pc-options.ts';
import { parseRecord } from '../../../tools/command/record/record-options.ts';
import { parseReplay } from '../../../tools/command/replay/replay-command.ts';
import { reportCommand } from '../../../tools/command/report/report-command.ts';
import { parseScenarios } from '../../../tools/command/scenarios-command.ts';
import { ROOT } from '../../../tools/build/build.mjs';
import { directory, write } from '../cli-rig.ts';
import { mutatedText, pick, random } from './mutations.ts';
import type { Parser } from './parser-table.ts';

const OWN = path.join(ROOT, 'dist/hypxe.js');
const TRACES = path.join(ROOT, 'firmware-tests/golden/ipxe-traces');
const PROGRAM = path.join(directory, write('program', 'MZ'));
const QUIET = { out: () => undefined, error: () => undefined };

/** What no command should stumble over, whatever it is for. */
const HOSTILE = [
  ...['--', '-', '---', '--=', '--=x', '-o', '-vh', '--no-json', '--__proto__=1', '--help=x'],
  ...[
    '-o=',
    '--output',
    '--firmware=',
    `--seed=${'9'.repeat(400)}`,
    '\0',
    '-\0',
    'x'.repeat(70_000),
  ],
];

type Words = readonly (readonly string[])[];

/**
 * Words of a command: some of its options, each with its value, in any order, behind those that it
 * must have. Now and then something is mutated, twice there, left out, or hostile.
 */
export function words(options: Words, must: Words = []): string[] {
  const rest = [...options];
  const taken = [...must];
  for (let i = random(5); i > 0 && rest.length > 0; i--)
    taken.splice(random(taken.length + 1), 0, ...rest.splice(random(rest.length), 1));
  const all = taken.flat();
  if (all.length === 0 || random(3) === 0) return all;
  const at = random(all.length);
  switch (random(5)) {
    case 0:
      all.splice(at, 0, pick(HOSTILE));
      break;
    case 1:
      all.splice(at, 1);
      break;
    case 2:
      all.push(...pick(options));
      break;
    default:
      all[at] = mutatedText(all[at]!);
  }
  return all;
}

const FILES = [
  ...[
    ['--report', 'r.html'],
    ['--trace', 't.jsonl'],
    ['--pcap', 'p.pcapng'],
    ['--format', 'jsonl'],
  ],
  ...[['--format', 'perfetto'], ['--junit', 'j.xml'], ['--tap'], ['--json'], ['-v']],
];
const GUEST = [
  ['--firmware', OWN],
  ['--watchdog', '3'],
  ['--guest-memory-limit', '512'],
];
const NETWORK = [
  ...[
    ['--loss', '0.5'],
    ['--delay', '3'],
    ['--mtu', '576:reversed'],
    ['--vlan', '3'],
  ],
  ...[['--tftp-habit', 'slow'], ['--proxy-dhcp', 'offer'], ['--dhcp-servers', '2'], ['--bootp']],
  ...[['--dhcp-nak', '3'], ['--dns', 'a.example'], ['--classless-routes'], ['--corrupt', '.1']],
];
const HOST = [
  ...[
    ['--host', 'qemu'],
    ['--knob', 'echoVersion=false'],
    ['--knob', 'maskedSint=keep'],
  ],
  ...[
    ['--seed', '7'],
    ['--memory', '64'],
    ['--nics', '2'],
  ],
];
const BOOT = [
  ...[...FILES, ...GUEST, ...NETWORK, ...HOST, ['--arch', 'arm64'], ['--hvc', 'immediate']],
  ...[['--nic-arrives', '5'], ['--nic-leaves', '900'], ['--nic-returns', '7'], ['--strict']],
  ...[
    ['--previous-owner', 'sints,timers'],
    ['--services', 'heartbeat'],
    ['--devices', 'keyboard'],
  ],
  ...[
    ['--then', 'kexec,crash@150'],
    ['--then', 'san,chainload'],
    ['--os', 'linux-6.12'],
  ],
  ...[['--no-second-boot'], ['--no-os'], ['--size', '512K'], ['--page-size', '16'], ['-h']],
  ...[['--push', PROGRAM], ['--push', `${PROGRAM}=b`], ['--preset', 'ipxe'], [PROGRAM]],
  ...[
    ['--link', 'stream:x'],
    ['--next-server', '10.0.0.1'],
    ['--boot-file', 'b'],
  ],
  ...[
    ['--serve', '.'],
    ['--record', 's.json'],
    ['--processors', '4'],
  ],
];
const EXPLORE = [
  ...[...FILES, ...GUEST, ...HOST, ...NETWORK, ['--only', 'message.4/drop'], ['-o', 'p.json']],
  ...[['--shard', '1/2'], ['--time', '.5'], ['--workers', '2'], ['--after', 'linux-6.1'], ['-h']],
  ...[
    ['--arch', 'arm64'],
    ['--resume', 'p.json'],
    ['--merge', 'a.json', 'b.json'],
  ],
  ['--walks', '3'],
];
const SCRIPT = path.join(directory, write('script', 'expect a\ntype b\nend\n'));
const PC = [
  ...[...FILES, ...NETWORK, ...HOST, ['--initrd', PROGRAM], ['--append', 'quiet'], ['--bios', '.']],
  ...[['--keys', 'a\\n'], ['--expect', SCRIPT], ['--time', '30'], ['--resets', '2'], ['-h']],
  ...[
    ['--image', PROGRAM],
    ['--serve', '.'],
    ['--aoe', PROGRAM],
    ['--devices', 'keyboard'],
  ],
  ...[['--link', 'stream:x'], ['--strict']],
];
const PC_EXPLORE = [
  ...[...FILES, ...HOST, ['--samples', '5'], ['--only', 'step.1/handoff'], ['--workers', '2']],
  ...[['--keys', 'a'], ['--expect', SCRIPT], ['--image', PROGRAM], ['--append', 'quiet'], ['-h']],
];
const RECORD = [
  ...[...GUEST, ...HOST, ...NETWORK, ['--with-defect', 'ipxe'], ['--os', 'linux-6.12']],
  ...[
    ['--with-defect', 'ranges-in-order'],
    ['--only', 'message.4/drop'],
    ['--arch', 'x64'],
  ],
  ...[
    ['--only', 'nic.0/arrives:500+call.7/status:19'],
    ['--only', 'race.1/strong'],
  ],
  ...[['--processors', '4'], ['--arch', 'arm64'], ['-h'], ['word']],
];

/** Run something where it may write whatever it is told to. */
function inDirectory<T>(run: () => T): T {
  const before = process.cwd();
  const own = path.join(directory, 'words');
  fs.mkdirSync(own, { recursive: true });
  process.chdir(own);
  try {
    return run();
  } finally {
    process.chdir(before);
  }
}

const USAGE: readonly string[] = ['CommandError'];

export const COMMANDS: readonly Parser[] = [
  {
    of: 'command/boot/boot-options.ts: parseBoot',
    run: () => inDirectory(() => parseBoot(words(BOOT), OWN)),
    errors: USAGE,
  },
  {
    of: 'command/explore/explore-options.ts: parseExplore',
    run: () => inDirectory(() => parseExplore(words(EXPLORE), OWN, 2)),
    errors: USAGE,
  },
  {
    of: 'command/pc/pc-options.ts: parsePc',
    run: () => inDirectory(() => parsePc(words(PC, [[PROGRAM]]))),
    errors: USAGE,
  },
  {
    of: 'command/pc/pc-explore-options.ts: parsePcExplore',
    run: () => inDirectory(() => parsePcExplore(words(PC_EXPLORE, [['--pc', PROGRAM]]), 2)),
    errors: USAGE,
  },
  {
    of: 'command/record/record-options.ts: parseRecord',
    run: () => parseRecord(words(RECORD, [['-o', 's.json']]), OWN),
    errors: USAGE,
  },
  {
    of: 'command/replay/replay-command.ts: parseReplay',
    run: () =>
      inDirectory(() =>
        parseReplay(words([...FILES, ...GUEST, ['./x.json'], ['-h']], [['01-boot']]), OWN, TRACES),
      ),
    errors: USAGE,
  },
  {
    of: 'command/scenarios-command.ts: parseScenarios',
    run: () => inDirectory(() => parseScenarios(words([...FILES, ...GUEST, ['kexec'], ['--all']]))),
    errors: USAGE,
  },
  {
    of: 'command/hosts-command.ts: hostsCommand',
    run: () => {
      const host = path.join(directory, write('host.json', mutatedText('{"extends":"qemu"}')));
      hostsCommand(words([['--json'], ['-v'], ['-h']], [pick([['qemu'], [host], [host]])]), QUIET);
    },
    errors: USAGE,
  },
  {
    of: 'command/guest/guest-command.ts: guestCommand',
    run: () => {
      const guests = path.join(ROOT, 'tools/guests');
      const some = [
        ['header', 'c'],
        ['header', 'rust'],
        ['new', 'c', 'made'],
        ['ipxe', '.'],
        ['-h'],
      ];
      inDirectory(() => guestCommand(words([...some, ['-o', 'x.wasm']]), { guests }, QUIET));
    },
    errors: USAGE,
  },
  {
    of: 'command/report/report-command.ts: reportCommand',
    run: () => {
      const reportPage = path.join(ROOT, 'dist/report-page.js');
      const some = [['t.jsonl'], ['-o', 'r.html'], ['--clean', 'c.jsonl'], ['--format', 'html']];
      const more = [['--bios', '.'], ['--demo', ''], ['--demo-pc', 'made'], ['-h']];
      inDirectory(() => reportCommand(words([...some, ...more]), { reportPage }, QUIET));
    },
    errors: USAGE,
  },
  {
    of: 'command/colour.ts: chooseColour',
    run: () => chooseColour(words([['--color', 'always'], ['--color=never'], ['--'], ['boot']])),
    errors: USAGE,
  },
  {
    of: 'command/pc/pc-files.ts: readVersion',
    run: () => readVersion(mutatedText('{"version": "0.5.462+g1", "main": "x"}')),
    errors: [],
  },
];

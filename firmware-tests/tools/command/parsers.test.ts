// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Every parser of what comes from outside, with random and mutated inputs: only errors with a name
 * come out. The table is compared with what the tree has.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readBootResult } from '../../../tools/flow/boot-result.ts';
import { parseKeys, parseScript } from '../../../tools/flow/pc-script.ts';
import { readText } from '../../../tools/guests/cell/cell-words.ts';
import { readEvent } from '../../../tools/guests/guest-event.ts';
import { thrown } from '../../../tools/guests/javascript-realm.ts';
import { withoutDynamicImport } from '../../../tools/guests/module-text.ts';
import { readBootParameters, readBootReport } from '../../../tools/guests/pc/boot-program.ts';
import { readModule } from '../../../tools/guests/wasm-module.ts';
import { parsePart } from '../../../tools/explore/part.ts';
import { parseFault, parsePlan } from '../../../tools/explore/plan.ts';
import { readRecording } from '../../../tools/replay/recording.ts';
import { parseTrace } from '../../../tools/replay/trace-file.ts';
import { readTrace, slim } from '../../../tools/report/read-trace.ts';
import { workerMessage } from '../../../tools/command/boot/boot-message.ts';
import { parseBoot } from '../../../tools/command/boot/boot-options.ts';
import { parseExplore, readOnly } from '../../../tools/command/explore/explore-options.ts';
import { parsePcExplore } from '../../../tools/command/pc/pc-explore-options.ts';
import { parsePc } from '../../../tools/command/pc/pc-options.ts';
import { exploreMessage } from '../../../tools/command/explore/explore-message.ts';
import { readHost } from '../../../tools/command/host-options.ts';
import { parseHostText } from '../../../tools/simulator/profiles/profile-file.ts';
import { directory, hypxe, write } from '../../rigs/cli-rig.ts';
import {
  mutatedBytes,
  mutatedData,
  mutatedText,
  pick,
  position,
  random,
  seed,
} from '../../rigs/command/mutations.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const OWN = path.join(ROOT, 'dist/hypxe.js');
const TRACES = path.join(ROOT, 'firmware-tests/golden/ipxe-traces');

/** Time for each parser, in ms. */
const TIME_MS = 300;

/** Most inputs of each. */
const INPUTS_MAX = 4000;
/** ... and at least, however slow the machine is. */
const INPUTS_MIN = 20;

/** A trace of a run, as `hypxe boot --trace` writes it, in small. */
const RUN_TRACE = [
  '{"ms":0,"kind":"run","trace":1,"command":"boot","host":"server2022"}',
  '{"ms":0.5,"kind":"grant","grant":{"id":1,"kind":"gpadl","purpose":"rings","pfns":[1,2,9]}}',
  '{"ms":1,"kind":"ring-packet","from":"host","channel":3,"type":6,"bytes":"0600020000"}',
  '{"ms":2,"kind":"revoke","grant":{"id":1,"pfns":[1,2,9]}}',
  '{"ms":3,"kind":"verdict","verdict":"clean","notRun":["rescind"]}',
].join('\n');

/** A parser, and what it is given. */
interface Parser {
  /** `file: function` where it is. */
  readonly of: string;
  /** One input, from the samples. */
  run(): unknown;
  /** Names of the errors that may come out. */
  readonly errors: readonly string[];
}

/** Errors of the command line. */
const USAGE: readonly string[] = ['CommandError'];

const PLANS = ['message.4/drop', 'step.120/handoff+call.7/status:19', 'loader:step.200/give-up'];
const COMMON = ['--memory', '64', '--seed', '7', '--loss', '0.5', '--mtu', '576', '--vlan', '3'];
const BOOT_ARGS = [
  ...COMMON,
  ...['--knob', 'echoVersion=false', '--nics', '2', '--then', 'kexec,crash@150', '--arch', 'x64'],
  ...[
    '--previous-owner',
    'sints',
    '--tftp-habit',
    'slow',
    '--devices',
    'keyboard',
    '--hvc',
    'smccc',
  ],
  ...['--services', 'heartbeat', '--trace', 't.jsonl', '--pcap', 'p.pcapng', '--push', 'a=b'],
  ...['--link', 'stream:x', '--next-server', '10.0.0.1', '--guest-memory-limit', '512', '--json'],
];
const EXPLORE_ARGS = [
  ...[
    '--only',
    'message.4/drop',
    '--walks',
    '3',
    '--shard',
    '1/2',
    '--time',
    '1',
    '--workers',
    '2',
  ],
  ...['--after', 'linux-6.1', '--arch', 'arm64', '--watchdog', '3', '--host', 'qemu', '--merge'],
];

const PC_ARGS = [
  ...[write('program', 'MZ'), '--seed', '7', '--host', 'qemu', '--memory', '64', '--keys', 'a\\n'],
  ...['--append', 'quiet', '--time', '30', '--nics', '2', '--loss', '0.1', '--json'],
];
const PC_EXPLORE_ARGS = [
  ...['--pc', write('program', 'MZ'), '--samples', '5', '--only', 'step.1/handoff', '--seed', '3'],
  ...[
    '--workers',
    '2',
    '--host',
    'qemu',
    '--memory',
    '64',
    '--knob',
    'echoVersion=false',
    '--json',
  ],
];
/** A type, an import, a memory, an export, a function. */
const WASM = [
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7f],
  ...[2, 15, 1, 5, 104, 121, 112, 120, 101, 5, 112, 97, 117, 115, 101, 0, 0, 3, 2, 1, 0],
  ...[5, 3, 1, 0, 1, 7, 10, 1, 6, 109, 101, 109, 111, 114, 121, 2, 0, 10, 6, 1, 4, 0, 65, 1, 11],
];

/** RAM with what a boot program, or a kernel's loader, may have left at its beginning. */
function bootRam(): DataView {
  const ram = new DataView(new ArrayBuffer(0x1000 + random(3)));
  for (let i = 0; i < 0xfff; i += 1 + random(200)) ram.setUint8(i, random(256));
  ram.setUint32(0x202, 0x53726448, true);
  ram.setUint8(0x1e8, pick([0, 1, 3, 128, 129, 255]));
  return ram;
}

const trace = fs.readFileSync(path.join(TRACES, '19-no-netvsc.json'), 'utf8');
const traceData = JSON.parse(trace) as object;
const host = { extends: 'server2022', knobs: { echoVersion: false }, name: 'x', slots: 1 };
const part = {
  ...{
    format: 'hypxe-exploration',
    version: 2,
    host: 'h',
    seed: 1,
    walks: 0,
    options: '',
    firmware: 'f',
  },
  ...{ fingerprint: 'p', total: 1, singles: 1, places: { boot: { step: 1 } }, complete: true },
  ...{ shard: { index: 1, count: 1 }, seconds: 1 },
  tally: {
    ...{ runs: 1, outcomes: { booted: 1 }, unreached: 0 },
    groups: [
      {
        ...{ kind: 'finding', cause: 'c', text: 't', runs: 1, faults: 1, run: 0 },
        reproduction: 'message.4/drop',
      },
    ],
  },
};
const range = { address: 0x1000, length: 0x1000, type: 'usable', purpose: 'p' };
const machine = { memory: new ArrayBuffer(1 << 22), memoryMap: [range] } as never;
const result = {
  ...{ status: 'booted', image: { name: 'i', address: 0x100000, length: 5, device: 'd' } },
  ...{ memoryMap: [range], attempts: [], error: undefined, files: [{ address: 1, length: 1 }] },
};
const event = { kind: 'log', level: 'info', layer: 'BOOT', object: '', text: 'x' };
const finding = { check: 'sints', severity: 'error', text: 't', vp: 0 };
const outcome = {
  ...{ verdict: 'clean', served: { name: 'n', length: 1 }, pushes: [], attempts: [] },
  ...{ vmbusVersions: ['3.0'], findings: [finding], notRun: ['sints'], memoryMap: [range] },
  stages: [{ name: 'OS', end: 'kexec', endedMs: 1, findings: [finding] }],
};

/** Some of the arguments, one of them something else. */
function mutatedArgs(args: readonly string[]): string[] {
  const from = random(args.length);
  const some = args.slice(from, from + random(6) + 1);
  if (some.length > 0) some[random(some.length)] = mutatedText(pick(some));
  return some;
}

const text = (sample: string): string => mutatedText(sample);
const json = (data: unknown): string => JSON.stringify(mutatedData(data));

const PARSERS: readonly Parser[] = [
  {
    of: 'explore/plan.ts: parsePlan',
    run: () => parsePlan(text(pick(PLANS))),
    errors: ['PlanError'],
  },
  {
    of: 'explore/plan.ts: parseFault',
    run: () => parseFault(text('message.4/field:status=max')),
    errors: ['PlanError'],
  },
  {
    of: 'explore/part.ts: parsePart',
    run: () => parsePart('part', random(4) === 0 ? text(JSON.stringify(part)) : json(part)),
    errors: ['PartError'],
  },
  {
    of: 'simulator/profiles/profile-file.ts: parseHostText',
    run: () => parseHostText(random(4) === 0 ? text(JSON.stringify(host)) : json(host)),
    // What is no JSON is told by whoever reads the file
    errors: ['HostProfileError', 'SyntaxError'],
  },
  {
    of: 'replay/trace-file.ts: parseTrace',
    run: () => readRecording(parseTrace(random(4) === 0 ? text(trace) : json(traceData))),
    errors: ['ReplayError'],
  },
  {
    of: 'report/read-trace.ts: readTrace',
    run: () => slim(readTrace(text(RUN_TRACE), random(2) === 0)),
    errors: ['BadTrace'],
  },
  {
    of: 'command/host-options.ts: readHost',
    run: () => readHost(text('server2022')),
    errors: USAGE,
  },
  {
    of: 'command/boot/boot-options.ts: parseBoot',
    run: () => parseBoot(mutatedArgs(BOOT_ARGS), OWN),
    errors: USAGE,
  },
  {
    of: 'command/explore/explore-options.ts: parseExplore',
    run: () => parseExplore(mutatedArgs(EXPLORE_ARGS), OWN, 2),
    errors: USAGE,
  },
  {
    of: 'command/boot/boot-message.ts: workerMessage',
    run: () => workerMessage(mutatedData({ kind: 'done', outcome }), ''),
    errors: ['ShapeError'],
  },
  {
    of: 'command/explore/explore-message.ts: exploreMessage',
    run: () => exploreMessage(mutatedData({ kind: 'progress', next: 1, tally: part.tally }), ''),
    errors: ['ShapeError'],
  },
  {
    of: 'flow/boot-result.ts: readBootResult',
    run: () => readBootResult(mutatedData(result), machine),
    errors: ['BadBootResult'],
  },
  {
    of: 'command/pc/pc-options.ts: parsePc',
    run: () => parsePc(mutatedArgs(PC_ARGS)),
    errors: USAGE,
  },
  {
    of: 'command/pc/pc-explore-options.ts: parsePcExplore',
    run: () => parsePcExplore(mutatedArgs(PC_EXPLORE_ARGS), 2),
    errors: USAGE,
  },
  {
    of: 'command/explore/explore-options.ts: readOnly',
    run: () => readOnly(text('message.4/drop+step.120/handoff')),
    errors: USAGE,
  },
  {
    of: 'guests/cell/cell-words.ts: readText',
    run: () => readText(mutatedBytes([...new TextEncoder().encode('a text\0 and more')])),
    errors: [],
  },
  {
    of: 'flow/pc-script.ts: parseScript',
    run: () => parseScript(text('# a\nwithin 30\nexpect iPXE\\x20\ntype a\\n\nsend b\nend\n')),
    errors: ['BadScript'],
  },
  {
    of: 'flow/pc-script.ts: parseKeys',
    run: () => parseKeys(text('\\x02echo seen\\n')),
    errors: ['BadScript'],
  },
  {
    of: 'guests/wasm-module.ts: readModule',
    run: () => readModule(mutatedBytes(WASM)),
    errors: ['WasmFormatError'],
  },
  {
    of: 'guests/pc/boot-program.ts: readBootReport',
    run: () => readBootReport(new Uint8Array(bootRam().buffer), random(0x1100)),
    errors: [],
  },
  {
    of: 'guests/pc/boot-program.ts: readBootParameters',
    run: () => readBootParameters(bootRam(), pick([0, 1, 0x1000, 2 ** 32])),
    errors: [],
  },
  { of: 'guests/guest-event.ts: readEvent', run: () => readEvent(mutatedData(event)), errors: [] },
  {
    of: 'guests/javascript-realm.ts: thrown',
    run: () => void thrown(mutatedData({ name: 'n', message: 'm', stack: 's', status: 1 })),
    errors: [],
  },
  {
    of: 'guests/module-text.ts: withoutDynamicImport',
    run: () => withoutDynamicImport(text('import /* a */ ("b"); [...import(c)]; x.import(d)')),
    errors: [],
  },
];

/** Other functions of these names, and why they are not in the table. */
const OTHERS: Readonly<Record<string, string>> = {
  'replay/recording.ts: readRecording': 'runs with parseTrace',
  'command/replay/read-session.ts: readTrace': 'runs with parseTrace',
  'simulator/profiles/profile-file.ts: parseHostProfile': 'runs with parseHostText',
  'simulator/profiles/knob-values.ts: readKnob': 'runs with parseHostText',
  'simulator/profiles/facts.ts: readNumber': 'runs with parseHostText',
  'command/boot/device-options.ts: readDevices': 'runs with parseBoot',
  'command/boot/fault-options.ts: readFaults': 'runs with parseBoot',
  'command/boot/link-options.ts: readLink': 'runs with parseBoot',
  'command/boot/push-options.ts: readPushes': 'runs with parseBoot',
  'command/boot/push-options.ts: readServices': 'runs with parseBoot',
  'command/boot/network-options.ts: readNetwork': 'runs with parseBoot',
  'command/boot/owner-options.ts: readBefore': 'runs with parseBoot',
  'command/boot/boot-options.ts: readRecord': 'runs with parseBoot',
  'command/boot/file-options.ts: readFiles': 'runs with parseBoot',
  'command/arguments.ts: parseArguments': 'runs with parseBoot',
  'command/files.ts: readText': 'reads, and parses nothing',
  'command/files.ts: readBytes': 'reads, and parses nothing',
  'manual/books.ts: readBooks': 'reads files of this tree',
  'bench/replays.ts: readSessions': 'reads files of this tree',
};

const parsers = suite('every parser');

parsers('the table has all that there are', () => {
  const files = fs.readdirSync(path.join(ROOT, 'tools'), { recursive: true }) as string[];
  const found = files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const lines = fs.readFileSync(path.join(ROOT, 'tools', file), 'utf8');
      const names = [...lines.matchAll(/^export (?:function|const) ((?:parse|read)[A-Z]\w*)/gm)];
      return names.map(([, name]) => `${file.replaceAll(path.sep, '/')}: ${name}`);
    });
  // What the simulated host reads of its guest has tests of its own, by the byte
  const ours = found.filter((name) => !/^simulator\/(?!profiles)/.test(name));
  const known = [...PARSERS.map(({ of }) => of), ...Object.keys(OTHERS)];
  assert.equal(
    ours.filter((name) => !known.includes(name)),
    [],
  );
  assert.equal(
    Object.keys(OTHERS).filter((name) => !ours.includes(name)),
    [],
  );
});

for (const { of, run, errors } of PARSERS) {
  parsers(`${of}: only errors with a name`, () => {
    const end = Date.now() + TIME_MS;
    let accepted = 0;
    let refused = 0;
    for (let i = 0; i < INPUTS_MAX && (i < INPUTS_MIN || Date.now() < end); i++) {
      const before = position();
      try {
        run();
        accepted++;
      } catch (error) {
        refused++;
        if (errors.some((name) => isNamed(error, name))) continue;
        const { stack } = error as Error;
        assert.unreachable(`seed ${seed}, input ${i} (state ${before}): ${stack}`);
      }
    }
    assert.ok(accepted + refused >= INPUTS_MIN, `${accepted + refused} inputs`);
    // Both happen, or the inputs are no good
    if (errors.length > 0) assert.ok(refused > 0, `seed ${seed}: nothing was refused`);
    assert.equal(({} as Record<string, unknown>)['kind'], undefined);
  });
}

/** Whether an error is of a class, by the name of the class. */
function isNamed(error: unknown, name: string): boolean {
  for (let at = error; at !== null && typeof at === 'object'; at = Object.getPrototypeOf(at)) {
    if ((at as { constructor?: { name?: string } }).constructor?.name === name) return true;
  }
  return false;
}

write('x', 'x');
fs.symlinkSync('loop', path.join(directory, 'loop'));

for (const args of [
  ['boot', 'loop'],
  ['boot', 'x', '--serve', 'loop'],
  ['boot', 'loop', '--serve', '.'],
  ['boot', 'loop/x', '--serve', '.'],
  ['boot', '--firmware', 'loop'],
  ['boot', '--host', './loop'],
  ['boot', '--push', 'loop'],
  ['boot', '--size', '1', '--trace', 'loop'],
  ['boot', '--size', '1', '--pcap', 'loop/x'],
  ['explore', '--merge', 'loop'],
  ['explore', '--firmware', 'loop'],
  ['replay', './loop'],
  ['replay', '01-boot', '--firmware', 'loop'],
  ['hosts', './loop'],
]) {
  parsers(`a link that leads to itself: ${args.join(' ')}`, async () => {
    const { code, error } = await hypxe(...args);
    assert.match(error, /^hypxe: (?!InternalError)\w+: .*\n {7}\S/);
    assert.ok(code === 2 || code === 4, `${code}: ${error}`);
  });
}

parsers.run();

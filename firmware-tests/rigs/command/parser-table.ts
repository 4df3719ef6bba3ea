// SPDX-License-Identifier: GPL-2.0-or-later

/** Every parser of what comes from outside, each with inputs that were made for it. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readBootResult } from '../../../tools/flow/boot-result.ts';
import { parseKeys, parseScript } from '../../../tools/flow/pc-script.ts';
import { readText } from '../../../tools/guests/cell/cell-words.ts';
import { readEvent } from '../../../tools/guests/guest-event.ts';
import { thrown } from '../../../tools/guests/javascript-realm.ts';
import { withoutDynamicImport } from '../../../tools/guests/module-text.ts';
import { readBootParameters, readBootReport } from '../../../tools/guests/pc/boot-program.ts';
import { loadKernel } from '../../../tools/guests/pc/pc-kernel.ts';
import { kindOfProgram } from '../../../tools/guests/pc/pc-program.ts';
import { patchEmulator } from '../../../tools/guests/pc/wasm-patch.ts';
import { checkModule } from '../../../tools/guests/wasm-check.ts';
import { importMemory } from '../../../tools/guests/wasm-memory.ts';
import { readModule } from '../../../tools/guests/wasm-module.ts';
import { StreamFrames } from '../../../tools/links/stream-frames.ts';
import { parsePart } from '../../../tools/explore/part.ts';
import { parseFault, parsePlan } from '../../../tools/explore/plan.ts';
import * as decoders from '../../../tools/replay/decode.ts';
import { readRecording } from '../../../tools/replay/recording.ts';
import { parseTrace } from '../../../tools/replay/trace-file.ts';
import { channelsOf, messageOf } from '../../../tools/report/model/message.ts';
import { readTrace, slim } from '../../../tools/report/read-trace.ts';
import { workerMessage } from '../../../tools/command/boot/boot-message.ts';
import { readOnly, readShard } from '../../../tools/command/explore/explore-options.ts';
import { exploreMessage } from '../../../tools/command/explore/explore-message.ts';
import { readHost } from '../../../tools/command/host-options.ts';
import { parseHostText } from '../../../tools/simulator/profiles/profile-file.ts';
import { buildModule, call, firmware, i32 } from '../guests/wasm-builder.ts';
import { mutatedBytes, mutatedData, mutatedText, pick, random } from './mutations.ts';
import * as assert from 'uvu/assert';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const TRACES = path.join(ROOT, 'firmware-tests/golden/ipxe-traces');

/** A trace of a run, as `hypxe boot --trace` writes it, in small. */
const RUN_TRACE = [
  '{"ms":0,"kind":"run","trace":1,"command":"boot","host":"server2022"}',
  '{"ms":0.5,"kind":"grant","grant":{"id":1,"kind":"gpadl","purpose":"rings","pfns":[1,2,9]}}',
  '{"ms":1,"kind":"ring-packet","from":"host","channel":3,"type":6,"bytes":"0600020000"}',
  '{"ms":2,"kind":"revoke","grant":{"id":1,"pfns":[1,2,9]}}',
  '{"ms":3,"kind":"verdict","verdict":"clean","notRun":["rescind"]}',
].join('\n');

/** A parser, and what it is given. */
export interface Parser {
  /** `file: function` where it is. */
  readonly of: string;
  /** One input, from the samples. */
  run(): unknown;
  /** Names of the errors that may come out. */
  readonly errors: readonly string[];
  /** So many inputs, where one takes long; else {@link INPUTS}. */
  readonly inputs?: number;
}

/** Inputs of each parser that is quick: a number, not a time, so that all machines see the same. */
export const INPUTS = 2000;

/** Errors of the command line. */
const USAGE: readonly string[] = ['CommandError'];

const PLANS = ['message.4/drop', 'step.120/handoff+call.7/status:19', 'loader:step.200/give-up'];
/** A type, an import, a memory, an export, a function. */
const WASM = [
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7f],
  ...[2, 15, 1, 5, 104, 121, 112, 120, 101, 5, 112, 97, 117, 115, 101, 0, 0, 3, 2, 1, 0],
  ...[5, 3, 1, 0, 1, 7, 10, 1, 6, 109, 101, 109, 111, 114, 121, 2, 0, 10, 6, 1, 4, 0, 65, 1, 11],
];

/** A module that is a guest, and one with the functions of the emulator that are changed. */
const GUEST = [...firmware(['pause'], (index) => [...call(index('pause')), ...i32(0)])];
const EMULATOR = [
  ...buildModule({
    imports: [{ module: 'env', name: 'io_port_read32', parameters: ['i32'], results: ['i32'] }],
    functions: ['instr_0FA2', 'instr_0F32', 'instr_0F30'].map((name) => ({ name, body: () => [] })),
  }),
];

/** RAM of a PC with no room for a kernel, and with some. */
const RAMS = [1 << 20, 16 << 20].map((bytes) => new Uint8Array(bytes));

/** A kernel as a loader sees it: its header, and nothing behind. */
function kernel(): Uint8Array {
  const image = new Uint8Array(0x4000);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, pick([0, 1, 4, 255]));
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, pick([0x0203, 0x0206, 0x020a, 0x020f]), true);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x37ffffff, true);
  view.setUint32(0x238, pick([2047, 4]), true);
  for (let i = random(4); i > 0; i--) view.setUint8(0x1f1 + random(0x70), random(256));
  return image.subarray(0, random(8) === 0 ? random(0x4000) : undefined);
}

/** Bytes of packets and messages, some of them with a type that there is. */
const wire = (): Uint8Array => {
  const bytes = Uint8Array.from({ length: random(200) }, () => pick([0, 1, 2, 6, 8, 255]));
  if (bytes.length > 0) bytes[0] = random(32);
  return bytes;
};

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
const host = {
  ...{ extends: 'server2022', name: 'x', hypervisorBuild: 20348, vmbusVersions: ['4.0', '5.3'] },
  ...{ features: '0x2fff', knobs: { echoVersion: false, unloadAnswer: 3, maskedSint: 'keep' } },
};
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

/** A sample, as it is now and then. */
const text = (sample: string): string => (random(8) === 0 ? sample : mutatedText(sample));
const json = (data: unknown): string => JSON.stringify(random(8) === 0 ? data : mutatedData(data));

export const PARSERS: readonly Parser[] = [
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
    inputs: 200,
  },
  {
    of: 'report/read-trace.ts: readTrace',
    run: () => {
      const records = slim(readTrace(text(RUN_TRACE), random(2) === 0));
      const channels = channelsOf(records);
      for (const record of records) messageOf(record, channels);
    },
    errors: ['BadTrace'],
  },
  {
    of: 'command/host-options.ts: readHost',
    run: () => readHost(text('server2022')),
    errors: USAGE,
    inputs: 500,
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
    of: 'command/explore/explore-options.ts: readOnly',
    run: () => readOnly(text('message.4/drop+step.120/handoff')),
    errors: USAGE,
  },
  {
    of: 'command/explore/explore-options.ts: readShard',
    run: () => readShard(text('12/345')),
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
    of: 'guests/wasm-check.ts: checkModule',
    run: () => importMemory(checkModule(mutatedBytes(GUEST)).module),
    errors: ['BadGuest'],
  },
  {
    of: 'guests/pc/wasm-patch.ts: patchEmulator',
    run: () => patchEmulator(mutatedBytes(EMULATOR)),
    errors: ['BadEmulator'],
  },
  {
    of: 'guests/pc/pc-kernel.ts: loadKernel',
    run: () => {
      const initrd = random(2) === 0 ? undefined : new Uint8Array(random(0x8000));
      loadKernel(pick(RAMS), { image: kernel(), initrd });
    },
    errors: ['BadPcProgram'],
  },
  {
    of: 'guests/pc/pc-program.ts: kindOfProgram',
    run: () => kindOfProgram(random(2) === 0 ? kernel() : wire(), 'x'),
    errors: ['BadPcProgram'],
  },
  {
    of: 'links/stream-frames.ts: StreamFrames',
    run: () => {
      const frames = new StreamFrames((frame) => assert.ok(frame.length > 0));
      for (let i = random(8); i > 0; i--) {
        const length = pick([0, 1, 60, 1514, 2 ** 31, 2 ** 32 - 1]);
        const head = [length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255];
        frames.write(Uint8Array.from([...head, ...new Uint8Array(random(70))]));
      }
    },
    errors: ['FrameLengthError'],
  },
  ...(['Message', 'Post', 'Signal', 'Nvsp', 'Rndis', 'Packet'] as const).map((name): Parser => ({
    of: `replay/decode.ts: decode${name}`,
    run: () => decoders[`decode${name}`](wire()),
    errors: [],
  })),
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

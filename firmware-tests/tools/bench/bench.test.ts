// SPDX-License-Identifier: GPL-2.0-or-later

/** The bench in its quick form: what are counts must hold on every machine. */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/index.ts';
import * as os from '../../../src/os.ts';
import { PARTS, runPart } from '../../../tools/bench/bench.ts';
import type { BootsFigure } from '../../../tools/bench/boots.ts';
import type { FramesFigure } from '../../../tools/bench/frames.ts';
import { leftOutSection } from '../../../tools/bench/guests.ts';
import { allocatedBytes, spread } from '../../../tools/bench/measure.ts';
import { count, sectionText, short } from '../../../tools/bench/section.ts';
import { measureHalves, measureReplays, readSessions } from '../../../tools/bench/replays.ts';
import type { RunsFigure } from '../../../tools/bench/runs.ts';
import type { PeersFigure } from '../../../tools/bench/peers.ts';
import type { PushFigure } from '../../../tools/bench/push.ts';
import type { SimulatorFigure } from '../../../tools/bench/simulator.ts';
import { COMPARED, compareWork, type WorkComparison } from '../../../tools/bench/work.ts';
import { DEFECTS, referenceFirmware } from '../../../tools/reference/index.ts';
import { parseTrace } from '../../../tools/replay/trace-file.ts';
import { missingCompiler } from '../../rigs/guests/compiled-guest.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TRACE = new URL('../../golden/ipxe-traces/01-boot.json', import.meta.url);
const QUICK = { firmware, os, root: ROOT, quick: true };

/**
 * Bytes of garbage for each frame, without the optimising compiler. Of the driver: none, the rest
 * is the engine's own. Of the whole path: some numbers of each exit are boxed, in a batch of 16.
 */
const GARBAGE_MAX = { driver: 1, whole: 16 };

// --- replays ---

const replays = suite('bench: replays');

replays('halves: without the rules that one alone shows it is right, and so is the other', () => {
  const all = readSessions(ROOT);
  // Of each half one that needs a rule of its own, and one that needs none
  const names = ['01-boot', '05b-rescind-in-offers', '10b-not-hyperv', '10c-no-hypercall-msr'];
  const sessions = new Map(names.map((name) => [name, all.get(name)!]));
  const { times, results } = measureReplays(firmware, sessions);
  assert.is(times.ok, 4);
  const halves = measureHalves(firmware, sessions, results);
  assert.equal(
    halves.map((half) => [half.right, half.rightWithOthers, half.rightWithNone]),
    [
      [2, 2, 2],
      [2, 2, 2],
    ],
  );
  // What iPXE does is refused where a rule is known, and not where there is none
  const ipxe = referenceFirmware(DEFECTS) as unknown as typeof firmware;
  const refused = measureReplays(ipxe, sessions);
  assert.equal(
    measureHalves(ipxe, sessions, refused.results).map((half) => [half.right, half.rightWithNone]),
    [
      [1, 2],
      [1, 2],
    ],
  );
});

replays.run();

// --- work ---

const work = suite('bench: work beside iPXE');

function trace() {
  return parseTrace(readFileSync(TRACE, 'utf8'));
}

work('iPXE is counted from the events of the recording', () => {
  const { counts } = JSON.parse(readFileSync(TRACE, 'utf8')) as { counts: Record<string, number> };
  const { recorded } = compareWork(firmware, trace());
  assert.is(recorded.hypercalls, counts['hypercall']);
  assert.is(recorded.messages + recorded.signals, recorded.hypercalls);
  assert.is(recorded.reads, counts['rdmsr']);
  assert.is(recorded.writes + recorded.eoms, counts['wrmsr']);
  assert.is(recorded.cpuids, counts['cpuid']);
  assert.is(recorded.clockReads, 0);
});

/**
 * What the probe reads besides: all that an earlier owner may have left on (16 SINTs, 4 timers, the
 * pages), before any memory is used. iPXE does not look.
 */
const OWNER_READS = 29;

work('no step needs more of anything than iPXE, and none is left out', async () => {
  const { data } = await runPart('work', QUICK);
  const { comparison, more } = data as { comparison: WorkComparison; more: string[] };
  const names = ['probe', 'open', 'transmit', 'poll', 'close', 'remove'];
  assert.equal(
    comparison.steps.map(({ name }) => name),
    names,
  );
  for (const { name, recorded, ours } of comparison.steps) {
    for (const key of COMPARED) {
      const most = recorded[key] + (name === 'probe' && key === 'reads' ? OWNER_READS : 0);
      assert.ok(ours[key] <= most, `${name}: ${ours[key]} ${key}, iPXE ${recorded[key]}`);
    }
  }
  assert.equal(more, ['reads']);
  assert.ok(comparison.ours.eoms <= comparison.recorded.eoms);
  // It is the same work: messages and register writes are the protocol's, not a matter of taste
  assert.is(comparison.ours.messages, comparison.recorded.messages);
  assert.is(comparison.ours.writes, comparison.recorded.writes);
});

work('work that is done in excess is seen', () => {
  const wasteful: typeof firmware = {
    ...firmware,
    createDriver(machine, options) {
      const driver = firmware.createDriver(machine, options);
      const probe = driver.probe.bind(driver);
      driver.probe = () => {
        probe();
        if (machine.architecture === 'x64') machine.rdmsr(0x40000080);
      };
      return driver;
    },
  };
  const usual = compareWork(firmware, trace());
  const { ours, recorded } = compareWork(wasteful, trace());
  assert.is(ours.reads, usual.ours.reads + 1);
  assert.ok(ours.reads > recorded.reads);
});

work.run();

// --- frames ---

const frames = suite('bench: frames');

const HOOK = fileURLToPath(new URL('../../../tools/build/ts-hook.mjs', import.meta.url));

/** In a child that can collect, without the compiler: that hides garbage, and makes some. */
function measureInChild(): FramesFigure[] {
  const child = fileURLToPath(new URL('../../rigs/bench/garbage.ts', import.meta.url));
  const args = ['--no-opt', '--expose-gc', '--import', HOOK, child];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as FramesFigure[];
}

frames('one signal for a batch, and no garbage, on either path, in either direction', () => {
  const figures = measureInChild();
  assert.is(figures.length, 8);
  for (const figure of figures) {
    const { path, direction, length, batch, perSecond, copies, hypercalls, allocated } = figure;
    const name = `${path} ${direction} ${length}`;
    assert.ok(hypercalls <= 1 / batch, `${name}: ${hypercalls} hypercalls for each frame`);
    assert.ok(perSecond > 0 && copies.min > 0 && copies.min <= copies.max, name);
    assert.type(allocated, 'number');
    const garbage = `${name}: ${allocated?.toFixed(2)} bytes of garbage for each frame`;
    assert.ok(allocated! < GARBAGE_MAX[path], garbage);
  }
});

frames('garbage is only measured where the process can collect', () => {
  assert.is(globalThis.gc, undefined);
  assert.is(
    allocatedBytes(() => undefined),
    undefined,
  );
});

frames.run();

// --- beside drivers in C ---

const peers = suite('bench: beside drivers in C');

peers('each length in each direction, or what is missing', async () => {
  const { data, notes } = await runPart('peers', { ...QUICK, ipxe: '/no/such/tree' });
  const figures = data as PeersFigure[];
  assert.match(notes.join('\n'), /left out: iPXE: /);
  if (missingCompiler('c')) {
    assert.equal(figures, []);
    return;
  }
  assert.equal(
    figures.map(({ guest, direction, length }) => `${guest} ${direction} ${length}`),
    ['transmit', 'receive'].flatMap((direction) =>
      [64, 512, 1514].map((length) => `C template ${direction} ${length}`),
    ),
  );
  for (const { ours, theirs, ratio } of figures)
    assert.ok(ours > 0 && theirs > 0 && ratio.min > 0 && ratio.min <= ratio.max);
});

peers.run();

// --- boots, simulator ---

const parts = suite('bench: boots, simulator');

parts('a boot is complete, and its work is counted', async () => {
  const [boot] = (await runPart('boots', QUICK)).data as BootsFigure[];
  assert.is(boot!.imageMiB, 1);
  // The image alone takes this many frames
  assert.ok(boot!.framesToGuest >= 2 ** 20 / 1468, `${boot!.framesToGuest} frames`);
  assert.ok(boot!.totalMs.min > boot!.handoffMs.min);
  const { hypercalls, messages, signals } = boot!.work;
  assert.is(hypercalls, messages + signals);
  assert.ok(signals < boot!.framesToGuest, `${signals} signals`);
});

parts('runs by the thousand are of each kind, and all of them clean', async () => {
  const figures = (await runPart('runs', QUICK)).data as RunsFigure[];
  assert.equal(
    figures.map(({ run }) => run),
    [
      ...['probe, open, remove, audit', 'the same, machine reset'],
      ...['boot, 4 MiB', 'boot, 16 MiB', 'boot, 16 MiB, all searched'],
      ...['probe and open, 4 MiB', 'a snapshot there', 'back to it'],
      ...['probe and open, 16 MiB', 'a snapshot there', 'back to it'],
      ...['explore, a single fault', 'explore, a walk'],
    ],
  );
  for (const { run, ms, perSecond } of figures) assert.ok(ms > 0 && perSecond > 0, run);
});

parts('a push is told in fragments, and in copies of its bytes', async () => {
  const [figure] = (await runPart('push', QUICK)).data as PushFigure[];
  assert.is(figure!.sizeMiB, 1);
  assert.is(figure!.fragments, Math.ceil(2 ** 20 / 6144));
  assert.ok(figure!.copies.median > 1 && figure!.virtualMs > 0);
});

parts('the seam is timed call by call', async () => {
  const figures = (await runPart('simulator', QUICK)).data as SimulatorFigure[];
  assert.is(figures.length, 4);
  for (const { call, ns } of figures) assert.ok(ns > 0 && Number.isFinite(ns), call);
});

parts('a part that cannot be measured says what is missing', () => {
  const missing = ['clang is not there: apt-get install clang', 'wasm-ld is not there'];
  const section = leftOutSection('guests', 'Guests', missing);
  assert.equal(section.data, { missing });
  assert.match(
    sectionText(section),
    /left out: clang is not there: apt-get install clang; wasm-ld/,
  );
});

parts('a part that there is not is refused', async () => {
  assert.equal(Object.keys(PARTS), [
    'size',
    'work',
    'replays',
    'frames',
    'peers',
    'boots',
    'runs',
    'push',
    'simulator',
    'guests',
    'exploration',
    'tftp',
  ]);
  try {
    await runPart('sizes', QUICK);
    assert.unreachable();
  } catch (error) {
    assert.instance(error, RangeError);
  }
});

parts('the command line names the parts that there are', () => {
  const cli = fileURLToPath(new URL('../../../tools/bench/cli.ts', import.meta.url));
  const args = ['--import', HOOK, cli, '--only', 'sizes'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.is(status, 2);
  assert.is(stdout, '');
  assert.is(
    stderr,
    'bench: there is no part sizes ' +
      '(size, work, replays, frames, peers, boots, runs, push, simulator, guests, ' +
      'exploration, tftp)\n' +
      '       See npm run bench -- --help.\n',
  );
});

parts.run();

// --- text ---

const text = suite('bench: text');

text('a section is a title, tables and notes', () => {
  const section = {
    name: 'x',
    title: 'Title',
    data: undefined,
    tables: [
      {
        columns: ['', 'a', 'bb'],
        rows: [
          ['one', '1', '22'],
          ['two', '', '3'],
        ],
      },
    ],
    notes: [`${'word '.repeat(20)}end.`],
  };
  assert.is(
    sectionText(section),
    [
      'Title',
      '',
      '       a  bb',
      '  one  1  22',
      '  two      3',
      '',
      `  ${'word '.repeat(19).trimEnd()}`,
      '  word end.',
      '',
    ].join('\n'),
  );
});

text('figures are written for people', () => {
  assert.equal([0, 999, 1000, 1234567.8].map(count), ['0', '999', '1 000', '1 234 568']);
  assert.equal([0, 0.01234, 3.14159, 42, 4200, Infinity].map(short), [
    ...['0', '0.0123', '3.14', '42.0', '4 200', '-'],
  ]);
  assert.equal(spread([3, 1, 2]), { median: 2, min: 1, max: 3 });
  assert.equal(spread([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
  assert.throws(() => spread([]), RangeError);
});

text.run();

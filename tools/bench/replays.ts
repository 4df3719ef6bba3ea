// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * All recorded sessions: how long their replays take, and how well the rules hold for sessions that
 * they were not taken from.
 */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DEFECTS, isDefect, type Defect } from '../reference/index.ts';
import { guestRam } from '../guests/guest-ram.ts';
import type { Firmware } from '../replay/firmware.ts';
import { replayMemoryBytes } from '../replay/replay-machine.ts';
import { replayTrace, type ReplayResult } from '../replay/replay.ts';
import { parseTrace, type TraceFile } from '../replay/trace-file.ts';
import type { BenchFirmware } from './firmware.ts';
import { cpuMs } from './measure.ts';
import { short, type Section } from './section.ts';

/** Where the sessions are. */
const TRACES = 'firmware-tests/golden/ipxe-traces';

/** What the replays took, in ms of processor time. */
export interface ReplayTimes {
  readonly sessions: number;
  readonly ok: number;
  readonly wholeMs: number;
  readonly longest: string;
  readonly longestMs: number;
}

/** One half of the sessions. */
export interface HalfFigure {
  readonly half: string;
  readonly sessions: number;
  /** Rules that the half shows. */
  readonly rules: readonly Defect[];
  /** Effects in which the firmware must differ from iPXE here, and sessions in which it must. */
  readonly differing: number;
  /** Sessions that are right with all rules, and with none that only this half shows. */
  readonly right: number;
  readonly rightWithOthers: number;
  /** Sessions that are right with no rule at all: by principles. */
  readonly rightWithNone: number;
}

/** The sessions, by name. */
export function readSessions(root: string): ReadonlyMap<string, TraceFile> {
  const directory = join(root, TRACES);
  const names = readdirSync(directory).filter((name) => name.endsWith('.json'));
  return new Map(
    names
      .sort()
      .map((name) => [
        name.slice(0, -'.json'.length),
        parseTrace(readFileSync(join(directory, name), 'utf8')),
      ]),
  );
}

function shown({ deliberate }: ReplayResult): readonly Defect[] {
  return deliberate.map(({ entry }) => entry.id).filter(isDefect);
}

/** Replay all of them, one after the other. */
export function measureReplays(
  firmware: BenchFirmware,
  sessions: ReadonlyMap<string, TraceFile>,
): { readonly times: ReplayTimes; readonly results: ReadonlyMap<string, ReplayResult> } {
  const results = new Map<string, ReplayResult>();
  let [wholeMs, longest, longestMs] = [0, '', 0];
  for (const [name, trace] of sessions) {
    const replay = (): void => {
      results.set(name, replayTrace(firmware as Firmware, trace));
    };
    const ms = cpuMs(replay);
    wholeMs += ms;
    if (ms > longestMs) [longest, longestMs] = [name, ms];
  }
  const ok = [...results.values()].filter((result) => result.ok).length;
  return { times: { sessions: sessions.size, ok, wholeMs, longest, longestMs }, results };
}

/**
 * The halves in turns: each is replayed with all rules, and with those alone that the other half
 * shows, as if nobody had ever seen this one.
 */
export function measureHalves(
  firmware: BenchFirmware,
  sessions: ReadonlyMap<string, TraceFile>,
  results: ReadonlyMap<string, ReplayResult>,
): readonly HalfFigure[] {
  const names = [...sessions.keys()];
  const halves = [0, 1].map((half) => names.filter((_, i) => i % 2 === half));
  const rulesOf = halves.map((half) => {
    const all = new Set(half.flatMap((name) => shown(results.get(name)!)));
    return DEFECTS.filter((defect) => all.has(defect));
  });
  return halves.map((half, i) => {
    const others = rulesOf[1 - i]!;
    const right = half.filter((name) => results.get(name)!.ok);
    const rightWith = (rules: readonly Defect[]): readonly string[] =>
      half.filter((name) => {
        const trace = sessions.get(name)!;
        const known = shown(results.get(name)!).every((defect) => rules.includes(defect));
        if (known) return results.get(name)!.ok;
        return replayTrace(firmware as Firmware, trace, guestRam(replayMemoryBytes(trace)), rules)
          .ok;
      });
    return {
      half: ['first', 'second'][i]!,
      sessions: half.length,
      rules: rulesOf[i]!,
      differing: half.filter((name) => shown(results.get(name)!).length > 0).length,
      right: right.length,
      rightWithOthers: rightWith(others).length,
      rightWithNone: rightWith([]).length,
    };
  });
}

/** The figures as tables. */
export function replaysSection(times: ReplayTimes, halves: readonly HalfFigure[]): Section {
  const percent = (part: number, whole: number): string =>
    `${part} of ${whole} (${Math.round((100 * part) / whole)} %)`;
  return {
    name: 'replays',
    title: 'Recorded sessions of iPXE',
    data: { times, halves },
    tables: [
      {
        columns: ['sessions', 'right', 'all, CPU s', 'longest, CPU s', ''],
        rows: [
          [
            String(times.sessions),
            String(times.ok),
            short(times.wholeMs / 1000),
            short(times.longestMs / 1000),
            times.longest,
          ],
        ],
      },
      {
        columns: [
          ...['half', 'differ', 'rules that show', 'right', "with the other half's rules only"],
          'with no rules',
        ],
        rows: halves.map((figures) => [
          figures.half,
          String(figures.differing),
          String(figures.rules.length),
          percent(figures.right, figures.sessions),
          percent(figures.rightWithOthers, figures.sessions),
          percent(figures.rightWithNone, figures.sessions),
        ]),
      },
    ],
    notes: [
      'On one core. The halves are every other session, by name. A rule is a switch of the ' +
        "reference guest, written from the description of iPXE's drivers and not from sessions; " +
        'the last columns are what is right with rules taken from the other half alone, and by ' +
        'principles alone.',
    ],
  };
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The replay: runs a firmware on a recorded session and compares its effects with those of the
 * recorded guest. What must differ is what the reference guest does without the recorded guest's
 * defects; each difference is on the list of deliberate differences, or it is a failure.
 */

import { guestRam } from '../guests/guest-ram.ts';
import { DEFECTS, referenceFirmware, type Defect } from '../reference/index.ts';
import type { Difference, KindCount } from './compare.ts';
import { DIFFERENCES, type DeliberateDifference } from './differences/index.ts';
import type { Firmware } from './firmware.ts';
import { CutStep } from './cut-step.ts';
import { compareEffects, judge, type Failure, type Principled } from './judge.ts';
import type { Effects } from './item.ts';
import { readRecording, type Recording } from './recording.ts';
import { replayMemoryBytes } from './replay-machine.ts';
import type { Script } from './host/script-types.ts';
import { buildScript } from './host/script.ts';
import type { GuestSide } from './guest-side.ts';
import { isKnownStep } from './recorded-step.ts';
import { ReplaySession } from './session.ts';
import { unproven } from './principles/unproven.ts';
import type { ReplayWatch, SessionLog } from './session.ts';
import { isReference, type TraceFile } from './trace-file.ts';

/** A deliberate difference as it was met in a replay: how many effects it changes. */
export interface MetDifference {
  readonly entry: DeliberateDifference;
  readonly count: number;
}

/** What a replay found. */
export interface ReplayResult {
  readonly scenario: string;
  readonly description: string;
  readonly driver: string;
  /** No failures. */
  readonly ok: boolean;
  /** The recording holds only the beginning: what comes after was not compared. */
  readonly truncated: boolean;
  readonly steps: number;
  readonly counts: readonly KindCount[];
  readonly deliberate: readonly MetDifference[];
  /** The differences that these explain. */
  readonly explained: readonly Difference[];
  /** Differences that no rule explains, and in which the guest is right by a principle. */
  readonly principled: readonly Principled[];
  readonly failures: readonly Failure[];
  /** Steps that the replay does not know: skipped. */
  readonly unsupported: readonly string[];
  /** Of the file: counts or digest do not match. */
  readonly warnings: readonly string[];
  /** Of the host: what it could not repeat. */
  readonly notes: readonly string[];
  /** What the driver logged. */
  readonly log: readonly SessionLog[];
}

/** Rounds in which the defects of the recorded guest are looked for. */
const SEARCH_ROUNDS = 2;

/** Events that are played in the search: of a long session fewer defects are tried. */
const SEARCH_EVENTS_MAX = 500_000;

const UNSEARCHED =
  'self-check: the session is too long to try every defect: what the recorded guest is, is not ' +
  'known, and its guest is judged by principles alone';

/** The difference that nearly every session shows. */
const USUAL: Defect = 'sints-as-at-reset';

/** One guest's way through a session. */
interface Run {
  readonly effects: Effects;
  readonly session: ReplaySession;
}

class Replay {
  readonly #trace: TraceFile;
  readonly #recording: Recording;
  readonly names: readonly string[];
  readonly recorded: Effects;
  readonly #script: Script;
  readonly #cut: CutStep | undefined;
  /** Memory of the reference guest: it writes only where it was told to. */
  #memory: ArrayBuffer | undefined;
  /** Not all defects were tried. */
  #unsearched = false;
  readonly #runs = new Map<string, Effects>();
  /** By run: what of the recorded host did not come out. */
  readonly #unaccounted = new Map<string, string | undefined>();

  constructor(trace: TraceFile) {
    this.#trace = trace;
    this.#recording = readRecording(trace);
    this.#script = buildScript(trace.events);
    const { steps, side } = this.#recording;
    this.names = steps.map(({ name }) => name);
    // A step that the recording does not finish is compared as far as it goes
    if (trace.truncated) this.#cut = new CutStep(steps.length - 1, side);
    this.recorded = this.#effectsOf(side);
  }

  run(firmware: Firmware, memory: ArrayBufferLike, watch?: ReplayWatch): Run {
    const session = new ReplaySession(firmware, this.#trace, memory, this.#script, watch);
    for (const step of this.#recording.steps) session.run(step);
    session.end();
    return { effects: this.#effectsOf(session.machine.side), session };
  }

  /** Of a step that nobody can be driven through there is nothing to compare. */
  #effectsOf(side: GuestSide): Effects {
    return this.names.map((name, step) => {
      if (!isKnownStep(name)) return [];
      const items = side.itemsOf(step);
      return this.#cut?.step === step ? this.#cut.itemsOf(items) : items;
    });
  }

  /** The reference guest with some defects. */
  reference(defects: readonly Defect[]): Effects {
    const key = defects.join();
    const known = this.#runs.get(key);
    if (known !== undefined) return known;
    const { effects, session } = this.run(
      referenceFirmware(defects) as Firmware,
      (this.#memory ??= guestRam(replayMemoryBytes(this.#trace))),
    );
    this.#runs.set(key, effects);
    this.#unaccounted.set(key, this.unaccounted(session));
    return effects;
  }

  /** What of the recorded host did not come out in a run. */
  unaccounted({ machine }: ReplaySession): string | undefined {
    if (!this.names.some(isKnownStep)) return undefined;
    return machine.unaccounted(this.#trace.events.length);
  }

  /**
   * The self-check: the recorded guest, played again, must get all that the recorded host did and
   * do what it did. What does not hold is a note, and no difference of the guest.
   */
  selfCheck(defects: readonly Defect[]): readonly string[] {
    const defective = this.reference(defects);
    const unaccounted = this.#unaccounted.get(defects.join());
    const count = this.distance(this.recorded, defective);
    const what = 'the reference guest differs from the recorded one';
    const other = `self-check: ${what} in ${count} effects`;
    return [
      ...this.#script.notes,
      ...(unaccounted === undefined ? [] : [unaccounted]),
      ...(count === 0 ? [] : [other]),
      ...(count > 0 && this.#unsearched ? [UNSEARCHED] : []),
    ];
  }

  /** What a register held before anybody wrote it. */
  initial(register: string, side: GuestSide): string | undefined {
    return side.initial.get(register) ?? this.#recording.side.initial.get(register);
  }

  /** What the reference guest does is kept, its memory is not. */
  rest(): void {
    this.#memory = undefined;
  }

  get recordedOpen(): readonly number[] {
    return this.#recording.open;
  }

  /** In how many effects two guests differ. */
  #changes(one: Effects, other: Effects): readonly Difference[] {
    return one === other ? [] : compareEffects(this.names, one, other).differences;
  }

  /**
   * How far a guest is from another, as far as that says who it is: which rules it broke is in
   * what it did, and when the host noticed is the host's affair.
   */
  distance(one: Effects, other: Effects): number {
    return this.#changes(one, other).filter(({ kind }) => kind !== 'violation').length;
  }

  /** The defects with which the reference guest comes closest to the recorded one. */
  defectsOfRecorded(rules: readonly Defect[]): readonly Defect[] {
    let best = rules;
    let least = this.distance(this.recorded, this.reference(best));
    let played = 0;
    const attempt = (defects: readonly Defect[]): void => {
      played += this.#trace.events.length;
      if (least === 0) return;
      if (played > SEARCH_EVENTS_MAX) {
        this.#unsearched = true;
        return;
      }
      const distance = this.distance(this.recorded, this.reference(defects));
      if (distance < least) [best, least] = [defects, distance];
    };
    attempt([]);
    if (!isReference(this.#trace.driver)) return best;
    for (const defect of rules) attempt([defect]);
    for (let round = 0; round < SEARCH_ROUNDS && least > 0; round++) {
      const before = least;
      for (const defect of rules) {
        const toggled = new Set(best);
        if (!toggled.delete(defect)) toggled.add(defect);
        attempt(rules.filter((each) => toggled.has(each)));
      }
      if (least === before) break;
    }
    return best;
  }

  /** Which of the defects show in this session, and in how many effects. */
  shown(defects: readonly Defect[]): readonly (readonly [Defect, number])[] {
    const whole = this.reference(defects);
    if (this.#changes(whole, this.reference([])).length === 0) return [];
    const found: [Defect, number][] = [];
    // Halves that change nothing are not looked into
    const search = (some: readonly Defect[]): void => {
      const count = this.#changes(this.reference([]), this.reference(some)).length;
      if (count === 0) return;
      if (some.length === 1) {
        found.push([some[0]!, count]);
        return;
      }
      const half = some.length >>> 1;
      search(some.slice(0, half));
      search(some.slice(half));
    };
    // This one shows in nearly every session
    search(defects.filter((each) => each === USUAL));
    search(defects.filter((each) => each !== USUAL));
    return found;
  }
}

/** Who is told of a replay while it goes on. */
export interface ReplaySurroundings {
  /** Reads what the firmware and its host do. */
  readonly watch?: ReplayWatch | undefined;
  /** The guest is through. */
  readonly ran?: (() => void) | undefined;
}

/** What is known of a session, for the next guest that is replayed. */
const replays = new WeakMap<TraceFile, Replay>();

/**
 * Replay a recorded session.
 *
 * @param firmware the sources or a bundle: whatever exports `createDriver`.
 * @param memory the guest's RAM, of {@link replayMemoryBytes}
 * @param rules those that may explain a difference; by default all
 * @param around who reads what the firmware and its host do, and who hears that the guest is
 *   through: what follows is the replay's own time
 */
export function replayTrace(
  firmware: Firmware,
  trace: TraceFile,
  memory: ArrayBufferLike = guestRam(replayMemoryBytes(trace)),
  rules: readonly Defect[] = DEFECTS,
  { watch, ran }: ReplaySurroundings = {},
): ReplayResult {
  const replay = replays.get(trace) ?? new Replay(trace);
  replays.set(trace, replay);
  const { effects: guest, session } = replay.run(firmware, memory, watch);
  ran?.();
  const { names, recorded } = replay;
  // The reference guest is drivers: a whole firmware is compared with itself alone
  const boots = names.includes('boot');
  const own = boots || !isReference(trace.driver);
  const same = boots || (own && replay.distance(recorded, guest) === 0);
  const defects = same ? [] : replay.defectsOfRecorded(rules);
  const fixed = same ? recorded : replay.reference([]);
  const defective = same ? recorded : replay.reference(defects);
  const { machine, unsupported, log } = session;
  const understood = same || replay.distance(recorded, defective) === 0;
  const { books, held, side } = machine;
  const initial = (register: string): string | undefined => replay.initial(register, side);
  const { transmits, taken } = session;
  const sides = { open: books.open, recordedOpen: replay.recordedOpen };
  const facts = { books, held, initial, cut: trace.truncated, transmits, taken, ...sides };
  const run = understood || own ? undefined : facts;
  const judgement = judge(names, { recorded, guest, defective, fixed, run }, own);
  const shown = same ? [] : replay.shown(defects);
  const checked = same ? [replay.unaccounted(session)] : replay.selfCheck(defects);
  const empty = unproven(names, recorded, guest, judgement.principled);
  replay.rest();
  const deliberate = shown.flatMap(([defect, count]) => {
    const entry = DIFFERENCES.find(({ id }) => id === defect);
    return entry === undefined ? [] : [{ entry, count }];
  });
  return {
    scenario: trace.scenario,
    description: trace.description,
    driver: trace.driver,
    ok: judgement.failures.length === 0,
    truncated: trace.truncated,
    steps: names.length,
    counts: judgement.counts,
    deliberate,
    explained: judgement.deliberate,
    principled: judgement.principled,
    failures: judgement.failures,
    unsupported,
    warnings: trace.warnings,
    notes: [...machine.notes, ...[...checked, empty].filter((note) => note !== undefined)],
    log,
  };
}

/**
 * Let the reference guest, without any defect, go through a session: what the firmware's run is
 * compared with.
 *
 * @param memory of {@link replayMemoryBytes}
 */
export function watchReference(
  trace: TraceFile,
  watch: ReplayWatch,
  memory: ArrayBufferLike = guestRam(replayMemoryBytes(trace)),
): void {
  new Replay(trace).run(referenceFirmware([]) as Firmware, memory, watch);
}

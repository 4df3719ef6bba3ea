// SPDX-License-Identifier: GPL-2.0-or-later

/** What a PC shows, as lines: of its text screen, and of its serial line. And what is typed. */

import type { V86Emulator } from './v86.ts';
import { SnapshotError, type Keeper } from '../../simulator/base/snapshot.ts';

/** Most lines of a transcript that are kept, and most characters of a line. */
const LINES_MAX = 10_000;
const LINE_MAX = 400;

/** Lines of the transcript in which the screen is looked for. */
const ROWS_MAX = 120;

/** Where a line comes from. */
export type ConsoleSource = 'screen' | 'serial';

export class PcConsole {
  /** Called for each line that is complete; `since`: when its first character came, in ticks. */
  onLine: ((text: string, source: ConsoleSource, since: number) => void) | undefined;
  /** Bytes that have come: a sign of life. */
  bytes = 0;
  /** Rows and lines that have come, also half of them, and were not there before. */
  news = 0;
  readonly #emulator: V86Emulator;
  readonly #now: () => number;
  readonly #decoder = new TextDecoder();
  #serial = '';
  /** Lines that the screen has shown and left below its last one. */
  #shown: string[] = [];
  /** Text since the last match of an expectation: by source. */
  #fresh = { screen: [] as string[], serial: '' };
  /** What is past of the last line of the screen: found, or {@link forget forgotten}. */
  #past: string | undefined;
  /** The screen at the last {@link forget}, until it was cleared: then all on it is new. */
  #old: readonly string[] | undefined;
  /** When the screen has changed first since the last look. */
  #dirtySince: number | undefined;
  /** The last line of the screen at the last look, and since when it has been there. */
  #last = '';
  #lastSince = 0;
  #serialSince = 0;
  /** What has come, as far as it is kept. */
  readonly #seen = new Set<string>();
  /** Whether the serial line is in the middle of a character. */
  #isWithin = false;

  /** `now`: the time of the PC, in ticks. */
  constructor(emulator: V86Emulator, now: () => number) {
    this.#emulator = emulator;
    this.#now = now;
    emulator.add_listener('serial0-output-byte', (byte: number) => this.#serialByte(byte));
    emulator.add_listener('screen-put-char', () => {
      this.bytes++;
      this.#dirtySince ??= now();
    });
  }

  /** For a snapshot: all that may change. @throws SnapshotError in the middle of a character */
  saveTo(keeper: Keeper): void {
    if (this.#isWithin) throw new SnapshotError('the serial line is in the middle of a character');
    keeper.put([this.bytes, this.#serial], (v) => ([this.bytes, this.#serial] = v));
    keeper.put([this.#shown, this.#fresh], (v) => ([this.#shown, this.#fresh] = v));
    keeper.put([this.#isWithin, this.news], (v) => ([this.#isWithin, this.news] = v));
    keeper.put([this.#dirtySince, this.#last], (v) => ([this.#dirtySince, this.#last] = v));
    keeper.put(
      [this.#lastSince, this.#serialSince],
      (v) => ([this.#lastSince, this.#serialSince] = v),
    );
    keeper.keep(this.#seen);
    keeper.put([this.#past, this.#old], (v) => ([this.#past, this.#old] = v));
  }

  /** The text screen as it is: lines without the blanks at their ends, and without empty ones. */
  get screen(): string[] {
    const rows = this.#emulator.screen_adapter.get_text_screen();
    return rows.map((row) => plain(row)).filter((row) => row !== '');
  }

  /** What the serial line has said since its last line end. */
  get serialRest(): string {
    return this.#serial;
  }

  /** Look at the screen: lines that are complete are told. */
  look(): void {
    this.#note(this.#serial);
    const changed = this.#dirtySince;
    if (changed === undefined) return;
    this.#dirtySince = undefined;
    const rows = this.screen;
    for (const row of rows) this.#note(row);
    // Whatever was not begun before began now
    const since = (line: string | undefined): number =>
      this.#last !== '' && line?.startsWith(this.#last) === true ? this.#lastSince : changed;
    // The last line may still be written; of the others those count that were not there before
    const complete = rows.slice(0, -1);
    if (this.#old !== undefined && isCleared(this.#old, rows)) {
      this.#old = this.#past = undefined;
      this.#shown = [];
    }
    const { keep, known } = overlap(this.#shown, complete);
    const fresh = complete.slice(known);
    const [begun, last] = [since(fresh[0]), rows.at(-1)];
    this.#lastSince = fresh.length === 0 ? since(last) : changed;
    this.#last = last ?? '';
    if (fresh.length === 0) {
      if (!begins(last, this.#past)) this.#past = undefined;
      return;
    }
    fresh.forEach((line, i) => this.#tell(line, 'screen', i === 0 ? begun : changed));
    this.#shown = [...this.#shown.slice(Math.max(0, keep - LINES_MAX), keep), ...fresh];
    // The first of them was the last line: what was past of it is so now that it is complete
    const [first = '', ...others] = fresh;
    const isSame = begins(first, this.#past);
    const found = isSame ? first.slice(this.#past!.length) : first;
    this.#fresh.screen = [...this.#fresh.screen, found, ...others].slice(-LINES_MAX);
    this.#past = undefined;
  }

  /** The line of the screen that is being written is told as it is. */
  finish(): void {
    this.look();
    const last = this.screen.at(-1);
    if (last !== undefined) this.#tell(last, 'screen', this.#lastSince);
    if (this.#serial !== '') this.#tell(plain(this.#serial), 'serial', this.#serialSince);
  }

  /**
   * Whether a text has come since the last one that was found; if so, it is found: it is past, and
   * so is all that came before it. What stands on the screen and on the serial line is found once.
   */
  find(text: string): boolean {
    this.look();
    const { screen, serial } = this.#fresh;
    const last = this.screen.at(-1) ?? '';
    const at = serial.indexOf(text);
    const row = screen.findIndex((line) => line.includes(text));
    const column = last.indexOf(text, begins(last, this.#past) ? this.#past!.length : 0);
    if (at < 0 && row < 0 && column < 0) return false;
    this.#fresh = {
      screen: row < 0 ? [] : [behind(screen[row]!, text), ...screen.slice(row + 1)],
      serial: at < 0 ? serial : behind(serial, text),
    };
    if (row < 0 && column >= 0) this.#past = last.slice(0, column + text.length);
    return true;
  }

  /** What has come until now is not found any more. */
  forget(): void {
    this.look();
    this.#fresh = { screen: [], serial: '' };
    this.#old = this.screen;
    this.#past = this.#old.at(-1);
  }

  /** Type on the keyboard: what {@link hasKey}, the rest is left out. */
  type(text: string): void {
    this.#emulator.keyboard_send_scancodes([...text].flatMap((each) => scanCodes(each) ?? []));
  }

  /** Send to the serial line. */
  send(text: string): void {
    this.#emulator.serial0_send(text);
  }

  #serialByte(byte: number): void {
    this.bytes++;
    const text = this.#decoder.decode(Uint8Array.of(byte), { stream: true });
    this.#isWithin = text === '';
    this.#fresh.serial = (this.#fresh.serial + text).slice(-LINE_MAX * 100);
    if (this.#serial === '') this.#serialSince = this.#now();
    if (text !== '\n' && this.#serial.length < LINE_MAX) {
      this.#serial += text;
      return;
    }
    // A line that is too long goes on in the next one, with the sequence that it would be cut in
    const begun = text === '\n' ? '' : (BEGUN.exec(this.#serial)?.[0] ?? '');
    const line = this.#serial.slice(0, this.#serial.length - begun.length);
    this.#note(line);
    this.#tell(plain(line), 'serial', this.#serialSince);
    this.#serial = text === '\n' ? '' : begun + text;
    this.#serialSince = this.#now();
  }

  /** Something stands there: it may be new. */
  #note(line: string): void {
    if (line === '' || this.#seen.has(line)) return;
    if (this.#seen.size >= LINES_MAX) this.#seen.clear();
    this.#seen.add(line);
    this.news++;
  }

  #tell(line: string, source: ConsoleSource, since: number): void {
    if (line !== '') this.onLine?.(line, source, since);
  }
}

/**
 * Where the screen's rows go on in what was shown: the first `known` of them are the last of the
 * first `keep` lines. What stood behind them was written over.
 */
function overlap(
  shown: readonly string[],
  rows: readonly string[],
): { readonly keep: number; readonly known: number } {
  let best = { keep: shown.length, known: 0 };
  for (let begin = Math.max(0, shown.length - ROWS_MAX); begin < shown.length; begin++) {
    let known = 0;
    while (known < rows.length && shown[begin + known] === rows[known]) known++;
    if (known > best.known) best = { keep: begin + known, known };
  }
  return best;
}

/** Whether a line begins with what is past of one. */
function begins(line: string | undefined, past: string | undefined): boolean {
  return line !== undefined && past !== undefined && line.startsWith(past);
}

/** What stands behind the first place of a part. */
function behind(text: string, part: string): string {
  return text.slice(text.indexOf(part) + part.length);
}

/** Whether a screen is no longer one to which something was added. */
function isCleared(old: readonly string[], rows: readonly string[]): boolean {
  return rows.length < old.length || old.slice(0, -1).some((row, i) => row !== rows[i]);
}

/** An escape sequence that has begun and not ended; what is longer is none. */
const BEGUN = /\x1b(?:\[[0-9;?]{0,30})?$/;

/** Without escape sequences, control characters and the blanks at the end. */
function plain(text: string): string {
  return text
    .replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b./g, '')
    .replace(/[\x00-\x1f\x7f]/g, '')
    .trimEnd();
}

/** Keys of a US keyboard in the order of their codes (set 1), without and with the shift key. */
const ROWS: readonly (readonly [code: number, keys: string, shifted: string])[] = [
  [0x02, '1234567890-=', '!@#$%^&*()_+'],
  [0x10, 'qwertyuiop[]', 'QWERTYUIOP{}'],
  [0x1e, "asdfghjkl;'`", 'ASDFGHJKL:"~'],
  [0x2b, '\\zxcvbnm,./', '|ZXCVBNM<>?'],
  [0x39, ' ', ' '],
  [0x1c, '\n', '\r'],
  [0x0f, '\t', '\t'],
  [0x01, '\x1b', '\x1b'],
];
const SHIFT = 0x2a;
const CONTROL = 0x1d;
const RELEASED = 0x80;

/** Whether a key has a character: printable ASCII, line ends, tabs, Ctrl-A to Ctrl-Z, escape. */
export function hasKey(character: string): boolean {
  return scanCodes(character) !== undefined;
}

/** The codes of pressing and releasing the keys of a character. */
function scanCodes(character: string): number[] | undefined {
  const press = (code: number): number[] => [code, code | RELEASED];
  for (const [first, keys, shifted] of ROWS) {
    const plainAt = keys.indexOf(character);
    if (plainAt >= 0) return press(first + plainAt);
    const at = shifted.indexOf(character);
    if (at < 0) continue;
    if (character === '\r') return press(first);
    return [SHIFT, ...press(first + at), SHIFT | RELEASED];
  }
  // Ctrl-A to Ctrl-Z
  const letter = character.charCodeAt(0);
  if (letter < 1 || letter > 26) return undefined;
  const key = scanCodes(String.fromCharCode(letter + 0x60))!;
  return [CONTROL, ...key, CONTROL | RELEASED];
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** What a PC shows, as lines: of its text screen, and of its serial line. And what is typed. */

import type { V86Emulator } from './v86.ts';

/** Most lines of a transcript that are kept, and most characters of a line. */
const LINES_MAX = 10_000;
const LINE_MAX = 400;

/** Lines of the transcript in which the screen is looked for. */
const ROWS_MAX = 120;

/** Where a line comes from. */
export type ConsoleSource = 'screen' | 'serial';

export class PcConsole {
  /** Called for each line that is complete. */
  onLine: ((text: string, source: ConsoleSource) => void) | undefined;
  /** Bytes that have come: a sign of life. */
  bytes = 0;
  readonly #emulator: V86Emulator;
  readonly #decoder = new TextDecoder();
  #serial = '';
  /** Lines that the screen has shown and left below its last one. */
  #shown: string[] = [];
  /** Text since the last match of an expectation: by source. */
  #fresh = { screen: [] as string[], serial: '' };
  #dirty = false;

  constructor(emulator: V86Emulator) {
    this.#emulator = emulator;
    emulator.add_listener('serial0-output-byte', (byte: number) => this.#serialByte(byte));
    emulator.add_listener('screen-put-char', () => {
      this.bytes++;
      this.#dirty = true;
    });
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
    if (!this.#dirty) return;
    this.#dirty = false;
    const rows = this.screen;
    // The last line may still be written; of the others those count that were not there before
    const complete = rows.slice(0, -1);
    const { keep, known } = overlap(this.#shown, complete);
    const fresh = complete.slice(known);
    if (fresh.length === 0) return;
    for (const line of fresh) this.#tell(line, 'screen');
    this.#shown = [...this.#shown.slice(Math.max(0, keep - LINES_MAX), keep), ...fresh];
    this.#fresh.screen.push(...fresh);
  }

  /** The line of the screen that is being written is told as it is. */
  finish(): void {
    this.look();
    const last = this.screen.at(-1);
    if (last !== undefined) this.#tell(last, 'screen');
    if (this.#serial !== '') this.#tell(plain(this.#serial), 'serial');
  }

  /** Whether a text has come since the last one that was found; if so, it is found. */
  find(text: string): boolean {
    this.look();
    const { screen, serial } = this.#fresh;
    const last = this.screen.at(-1) ?? '';
    if (!serial.includes(text) && ![...screen, last].some((line) => line.includes(text))) {
      return false;
    }
    const at = serial.indexOf(text);
    this.#fresh = { screen: [], serial: at < 0 ? serial : serial.slice(at + text.length) };
    return true;
  }

  /** Type on the keyboard: printable ASCII and line ends. Returns the first that no key has. */
  type(text: string): string | undefined {
    const unknown = [...text].find((character) => scanCodes(character) === undefined);
    if (unknown !== undefined) return unknown;
    this.#emulator.keyboard_send_scancodes([...text].flatMap((each) => scanCodes(each)!));
    return undefined;
  }

  /** Send to the serial line. */
  send(text: string): void {
    this.#emulator.serial0_send(text);
  }

  #serialByte(byte: number): void {
    this.bytes++;
    const text = this.#decoder.decode(Uint8Array.of(byte), { stream: true });
    this.#fresh.serial = (this.#fresh.serial + text).slice(-LINE_MAX * 100);
    if (text !== '\n' && this.#serial.length < LINE_MAX) {
      this.#serial += text;
      return;
    }
    this.#tell(plain(this.#serial), 'serial');
    this.#serial = '';
  }

  #tell(line: string, source: ConsoleSource): void {
    if (line !== '') this.onLine?.(line, source);
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

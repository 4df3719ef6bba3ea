// SPDX-License-Identifier: GPL-2.0-or-later

/** What a part of the bench has found: figures for machines, tables and notes for people. */

/** A table. The first column holds names and stands left, all others stand right. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** One part of the bench. */
export interface Section {
  readonly name: string;
  readonly title: string;
  /** The figures, as plain data. */
  readonly data: unknown;
  readonly tables: readonly Table[];
  /** How the figures came about, and how to read them. */
  readonly notes: readonly string[];
}

/** Columns that a note may have. */
const NOTE_COLUMNS = 96;

/** A section as text. */
export function sectionText(section: Section): string {
  const lines = [section.title, ''];
  for (const table of section.tables) lines.push(...tableLines(table), '');
  for (const note of section.notes) lines.push(...wrapped(note));
  if (section.notes.length > 0) lines.push('');
  return lines.join('\n');
}

function tableLines({ columns, rows }: Table): string[] {
  const all = [columns, ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)));
  return all.map((row) => {
    const cells = widths.map((width, i) => {
      const cell = row[i] ?? '';
      return i === 0 ? cell.padEnd(width) : cell.padStart(width);
    });
    return `  ${cells.join('  ')}`.trimEnd();
  });
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = '  ';
  for (const word of text.split(' ')) {
    if (line.length + word.length + 1 > NOTE_COLUMNS) {
      lines.push(line);
      line = '  ';
    }
    line += line === '  ' ? word : ` ${word}`;
  }
  return [...lines, line];
}

/** A count, with spaces between thousands. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
}

/** Three significant digits, for ratios and times. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 1000) return count(value);
  return value === 0 ? '0' : value.toPrecision(3);
}

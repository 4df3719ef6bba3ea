// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Names that stand twice in an object of a JSON text. `JSON.parse` takes the last of them in
 * silence, and whoever changed the first wonders.
 */

/** An object or a list that is open, from outside in. */
interface Level {
  /** Names so far; undefined in a list. */
  readonly names: Set<string> | undefined;
  /** The name of the value that is being read. */
  name: string;
}

/**
 * Path of the first name that stands twice (`knobs.overlay`), or undefined if none does.
 *
 * @param text JSON that `JSON.parse` accepts
 */
export function repeatedName(text: string): string | undefined {
  const levels: Level[] = [];
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '{':
        levels.push({ names: new Set(), name: '' });
        break;
      case '[':
        levels.push({ names: undefined, name: '' });
        break;
      case '}':
      case ']':
        levels.pop();
        break;
      case '"': {
        const end = endOfString(text, at);
        const level = levels.at(-1);
        if (level?.names !== undefined && isName(text, end)) {
          level.name = JSON.parse(text.slice(at, end)) as string;
          if (level.names.has(level.name)) return path(levels);
          level.names.add(level.name);
        }
        at = end - 1;
        break;
      }
      default:
        break;
    }
  }
  return undefined;
}

/** Where a string that begins at `at` ends: behind its quotation mark. */
function endOfString(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end + 1;
}

/** Whether what ends at `end` is a name: a colon follows. */
function isName(text: string, end: number): boolean {
  let at = end;
  while (' \t\r\n'.includes(text[at] ?? 'x')) at++;
  return text[at] === ':';
}

function path(levels: readonly Level[]): string {
  return levels
    .filter(({ names }) => names !== undefined)
    .map(({ name }) => name)
    .join('.');
}

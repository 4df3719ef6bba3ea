// SPDX-License-Identifier: GPL-2.0-or-later

/** The recorded sessions that a command names: a file, or one that comes with hypxe. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { UsageError, didYouMean, quoted } from '../usage.ts';

/** The names of the sessions that come with hypxe, in order. `folder`: where they are. */
export function shippedTraces(folder: string): readonly string[] {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort();
}

/**
 * The file of a session: a text with a slash in it, or that ends in `.json`, is a file; others are
 * names of sessions that come with hypxe.
 *
 * @throws UsageError UnknownTrace
 */
export function traceFile(text: string, folder: string): string {
  if (text.includes('/') || text.includes(path.sep) || text.endsWith('.json')) return text;
  const names = shippedTraces(folder);
  if (names.includes(text)) return path.join(folder, `${text}.json`);
  // Somebody may have meant a file that lies here
  const advice =
    fs.existsSync(text) && fs.statSync(text).isFile()
      ? `For the file that lies here, write ./${text}.`
      : didYouMean(text, names);
  throw new UsageError('UnknownTrace', `no session ${quoted(text)} comes with hypxe`, advice);
}

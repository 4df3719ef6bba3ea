// SPDX-License-Identifier: GPL-2.0-or-later

/** Results of explorations as files: those that go on, and those that are put together. */

import {
  PartError,
  mergeParts,
  parsePart,
  requireAgreement,
  type Part,
} from '../../explore/part.ts';
import { readText } from '../files.ts';
import { UsageError } from '../usage.ts';

/** Longest result of a shard that is read, in bytes. */
const PART_MAX = 1 << 28;

const PARTS_ADVICE = 'Give it the same options as the exploration that FILE is of.';

/** All shards of one exploration, as one. @throws CommandError */
export function mergeFiles(files: readonly string[]): Part {
  return partsCall(() => {
    const parts = new Map<string, Part>();
    for (const file of files) parts.set(file, parsePart(file, readText(file, PART_MAX)));
    if (parts.size < files.length) throw new PartError('a file is named twice');
    return mergeParts(parts);
  }, 'Merge the --json results of all shards of one exploration, each once.');
}

/** What has gone on until now, and is not done. @throws CommandError */
export function unfinishedPart(file: string): Part & { readonly lanes: readonly number[] } {
  const part = partsCall(() => parsePart(file, readText(file, PART_MAX)));
  if (part.lanes !== undefined) return { ...part, lanes: part.lanes };
  const why = part.complete ? 'is complete' : 'was put together from parts';
  const advice = 'Resume the result of one exploration that --time or Ctrl-C has stopped.';
  throw new UsageError('NothingToResume', `${file} ${why}`, advice);
}

/** Refuse to go on with something else. @throws UsageError */
export function requireRest(
  file: string,
  before: Part,
  now: Parameters<typeof requireAgreement>[3] & Pick<Part, 'shard'>,
): void {
  partsCall(() => requireAgreement(file, before, 'this exploration', now));
  const [a, b] = [before, now].map(({ shard: { index, count } }) => `${index}/${count}`);
  if (a === b) return;
  throw new UsageError('BadParts', `${file} is shard ${a}, not ${b}`, PARTS_ADVICE);
}

/** Files of parts that are none, or of something else, are the user's. @throws UsageError */
function partsCall<T>(call: () => T, advice = PARTS_ADVICE): T {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof PartError)) throw error;
    throw new UsageError('BadParts', error.message, advice);
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** The result of an exploration, or of one shard of it, as a file; and the parts put together. */

import type { PlaceCounts, Shard } from './exploration.ts';
import { PlanError, parsePlan } from './plan.ts';
import type { FindingKind } from './explored-guest.ts';
import { Tally, type TallyData } from './tally.ts';

/** First words of the file. */
export const PART_FORMAT = 'hypxe-exploration';
export const PART_VERSION = 2;

export interface Part {
  readonly format: typeof PART_FORMAT;
  readonly version: typeof PART_VERSION;
  /** What must agree in all parts. */
  readonly host: string;
  readonly seed: number;
  readonly walks: number;
  readonly only: string | undefined;
  /** The options that make a run what it is, as words of a command. */
  readonly options: string;
  /** SHA-256 of the firmware bundle, and fingerprint of the list of runs. */
  readonly firmware: string;
  readonly fingerprint: string;
  readonly total: number;
  readonly singles: number;
  readonly places: PlaceCounts;
  /** What this part has. */
  readonly shard: Shard;
  /** Whether all of its runs were made: `--time` ends it early. */
  readonly complete: boolean;
  /**
   * Of a part that is not: for each of its workers, the first run that was not made, by when it is
   * made. Each has every nth of them.
   */
  readonly lanes?: readonly number[] | undefined;
  readonly seconds: number;
  readonly tally: TallyData;
}

/** Parts that do not belong together, or a file that is no part. */
export class PartError extends Error {}

/** Most workers that a part may have had. */
export const LANES_MAX = 64;

/** What must agree, with what it is called. */
const AGREE = {
  host: 'host profile',
  seed: 'seed',
  walks: 'number of walks',
  only: 'choice of --only',
  options: 'options',
  firmware: 'firmware',
  fingerprint: 'list of runs',
  total: 'number of runs',
} as const;

/**
 * Read a part from the text of its file.
 *
 * @throws PartError if it is none
 */
export function parsePart(name: string, text: string): Part {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PartError(`${name} is no JSON: ${(error as Error).message}`);
  }
  const part = value as Partial<Part> | null;
  if (typeof part !== 'object' || part?.format !== PART_FORMAT) {
    throw new PartError(`${name} is no result of hypxe explore --json`);
  }
  if (part.version !== PART_VERSION) {
    throw new PartError(`${name} has version ${String(part.version)}, not ${PART_VERSION}`);
  }
  const damaged = damagedField(part);
  if (damaged !== undefined) throw new PartError(`${name} is damaged: ${damaged}`);
  return part as Part;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string';
const isFlag: Check = (value) => typeof value === 'boolean';
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;

/** What each field of a part may be; what stands in a file besides is not looked at. */
const FIELDS: Readonly<Record<Exclude<keyof Part, 'format' | 'version'>, Check>> = {
  host: isText,
  seed: isCount,
  walks: isCount,
  only: (value) => value === undefined || isText(value),
  options: isText,
  firmware: isText,
  fingerprint: isText,
  total: isCount,
  singles: isCount,
  places: (value) => areAll(value, (places) => areAll(places, isCount)),
  shard: (value) => {
    if (!isObject(value) || !isCount(value['index']) || !isCount(value['count'])) return false;
    const [index, count] = [value['index'] as number, value['count'] as number];
    return index >= 1 && index <= count;
  },
  complete: isFlag,
  // Each lane has runs of its own: which, its place in the list says
  lanes: (value) =>
    value === undefined ||
    (Array.isArray(value) &&
      value.length >= 1 &&
      value.length <= LANES_MAX &&
      value.every((next, lane) => isCount(next) && (next as number) % value.length === lane)),
  seconds: (value) => Number.isFinite(value) && (value as number) >= 0,
  tally: isTally,
};

/** Which field is not what it may be; undefined if all are. */
function damagedField(part: Partial<Part>): string | undefined {
  const fields = part as Readonly<Record<string, unknown>>;
  for (const [field, check] of Object.entries(FIELDS)) {
    if (!check(Object.hasOwn(fields, field) ? fields[field] : undefined)) return `its ${field}`;
  }
  return undefined;
}

function isTally(value: unknown): boolean {
  if (!isObject(value) || !isCount(value['runs']) || !isCount(value['unreached'])) return false;
  const groups = value['groups'];
  return areAll(value['outcomes'], isCount) && Array.isArray(groups) && groups.every(isGroup);
}

const KINDS: readonly unknown[] = ['finding', 'crash', 'hang'] satisfies FindingKind[];

function isGroup(value: unknown): boolean {
  if (!isObject(value) || !KINDS.includes(value['kind'])) return false;
  const { cause, text, runs, faults, run, reproduction } = value;
  return (
    isText(cause) && isText(text) && [runs, faults, run].every(isCount) && isPlan(reproduction)
  );
}

function isPlan(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  try {
    parsePlan(value);
    return true;
  } catch (error) {
    if (error instanceof PlanError) return false;
    throw error;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function areAll(value: unknown, check: Check): boolean {
  return isObject(value) && Object.values(value).every(check);
}

/**
 * Put all shards of one exploration together.
 *
 * @param parts by the names of their files
 * @throws PartError if they are not of one exploration, or one is there twice or missing
 */
export function mergeParts(parts: ReadonlyMap<string, Part>): Part {
  const [[firstName, first] = [undefined, undefined], ...others] = [...parts];
  if (first === undefined) throw new PartError('no parts to merge');
  for (const [name, part] of others) {
    requireAgreement(firstName!, first, name, part);
    if (part.shard.count === first.shard.count) continue;
    const [a, b] = [first.shard.count, part.shard.count];
    throw new PartError(`${firstName} is one of ${a} shards, ${name} one of ${b}`);
  }
  requireAllShards(parts, first.shard.count);

  const tally = new Tally();
  for (const part of parts.values()) tally.merge(part.tally);
  return {
    ...first,
    shard: { index: 1, count: 1 },
    complete: [...parts.values()].every(({ complete }) => complete),
    lanes: undefined,
    seconds: [...parts.values()].reduce((sum, { seconds }) => sum + seconds, 0),
    tally: tally.data,
  };
}

/** Two results of one exploration, or what is not known of one of them yet. @throws PartError */
export function requireAgreement(
  nameA: string,
  a: Pick<Part, keyof typeof AGREE>,
  nameB: string,
  b: Pick<Part, keyof typeof AGREE>,
): void {
  for (const key of Object.keys(AGREE) as (keyof typeof AGREE)[]) {
    if (a[key] === b[key]) continue;
    const values = `${String(a[key])} and ${String(b[key])}`;
    throw new PartError(`${nameA} and ${nameB} differ in the ${AGREE[key]}: ${values}`);
  }
}

function requireAllShards(parts: ReadonlyMap<string, Part>, count: number): void {
  const seen = new Map<number, string>();
  for (const [name, { shard }] of parts) {
    const other = seen.get(shard.index);
    if (other !== undefined) {
      throw new PartError(`${other} and ${name} are both shard ${shard.index}/${count}`);
    }
    seen.set(shard.index, name);
  }
  for (let index = 1; index <= count; index++) {
    if (!seen.has(index)) throw new PartError(`shard ${index}/${count} is missing`);
  }
}

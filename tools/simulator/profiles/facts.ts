// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The facts of a host profile as data: what each means in a line, what it may be, and how it stands
 * in a file. Numbers that are bits stand there in hexadecimal, versions as people write them.
 */

import { NvspVersion } from '../../../src/netvsc/protocol.ts';
import { versionText } from '../../../src/vmbus/protocol.ts';
import type { HostProfile } from './profile.ts';

/** What JSON has a form for. */
export type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue };

/** One fact. */
export interface Fact<T> {
  /** What it means. */
  readonly text: string;
  /** What it may be in a file, in words, to go behind "It may be". */
  readonly allowed: string;
  /** The fact that a value of a file stands for, or undefined if it can stand for none. */
  read(value: unknown): T | undefined;
  /** As it stands in a file: {@link read} gives the same again. */
  write(value: T): JsonValue;
}

/** Names of facts. */
export type FactName = Exclude<keyof HostProfile, 'knobs'>;

/** Longest text, and most versions of a list. */
const TEXT_MAX = 500;
const VERSIONS_MAX = 64;

/** Most bytes that a limit of shared memory may be: more than any guest has. */
const SHARED_MAX = 2 ** 40;

/** What a name of a host may be: it stands in messages and in file names. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** NVSP versions by the names that people use: 6.1. */
const NVSP_VERSIONS: ReadonlyMap<string, number> = new Map(
  Object.entries(NvspVersion).map(([name, value]) => [name.slice(1).replace('_', '.'), value]),
);

/** All facts, in the order of {@link HostProfile}. */
export const FACTS: { readonly [K in FactName]: Fact<HostProfile[K]> } = {
  name: {
    text: 'name, for messages and reports',
    allowed: '1 to 64 letters, digits, dots, hyphens and underscores',
    read: (value) => (typeof value === 'string' && NAME.test(value) ? value : undefined),
    write: (value) => value,
  },
  description: line('what it is, in a line'),
  source: line('where the facts come from'),
  hypervisorBuild: { ...word('build number: CPUID 0x40000002 EAX'), write: (value) => value },
  hypervisorVersion: word('major << 16 | minor: CPUID 0x40000002 EBX'),
  features: word('page registers: CPUID 0x40000003 EAX, "privilege flags low" of Linux'),
  privileges: word('privileges: CPUID 0x40000003 EBX, "privilege flags high" of Linux'),
  recommendations: word('recommendations: CPUID 0x40000004 EAX, "hints" of Linux'),
  miscFeatures: word('further features: CPUID 0x40000003 EDX, "misc" of Linux'),
  vmbusVersions: {
    text: 'VMBus versions that the host accepts',
    allowed: `a list of 1 to ${VERSIONS_MAX} different versions such as "5.3"`,
    read: (value) => readList(value, readVmbusVersion),
    write: (versions) => versions.map(versionText),
  },
  vmbusFeatures: word('VMBus feature flags, from 6.0 on'),
  multiClientPort: {
    text: 'the host has message connection 4, from 5.0 on',
    allowed: 'true or false',
    read: (value) => (typeof value === 'boolean' ? value : undefined),
    write: (value) => value,
  },
  nvspVersions: {
    text: 'NVSP versions that the host accepts',
    allowed: `a list of different versions out of ${[...NVSP_VERSIONS.keys()].join(', ')}`,
    read: (value) => readList(value, readNvspVersion),
    write: (versions) => versions.map(nvspVersionText),
  },
  sharedMemoryMax: {
    text: 'bytes that a guest may share at the same time; 0 where no limit is known',
    allowed: `a whole number from 0 to ${SHARED_MAX}`,
    read: (value) => readNumber(value, SHARED_MAX),
    write: (value) => value,
  },
};

/** An NVSP version as people write it: 6.1. */
export function nvspVersionText(version: number): string {
  for (const [name, value] of NVSP_VERSIONS) if (value === version) return name;
  return hexadecimal(version);
}

/** A whole number from 0 on: as such, or in hexadecimal as a text. Undefined for all else. */
export function readNumber(value: unknown, most: number): number | undefined {
  const number = typeof value === 'string' && HEXADECIMAL.test(value) ? Number(value) : value;
  return Number.isSafeInteger(number) && (number as number) >= 0 && (number as number) <= most
    ? (number as number) + 0
    : undefined;
}

const HEXADECIMAL = /^0x[0-9a-f]{1,16}$/i;

function hexadecimal(value: number): string {
  return `0x${value.toString(16)}`;
}

/** A text of one line. */
function line(text: string): Fact<string> {
  return {
    text,
    allowed: `a text of one line with at most ${TEXT_MAX} characters`,
    read(value) {
      if (typeof value !== 'string' || value.length > TEXT_MAX) return undefined;
      return /[\p{Cc}\u2028\u2029]/u.test(value) ? undefined : value;
    },
    write: (value) => value,
  };
}

/** A register of 32 bits. */
function word(text: string): Fact<number> {
  return {
    text,
    allowed: '"0x0" to "0xffffffff", or the same as a number',
    read: (value) => readNumber(value, 0xffffffff),
    write: hexadecimal,
  };
}

/** Different versions, at least one; as many as there are. */
function readList(
  value: unknown,
  read: (each: unknown) => number | undefined,
): readonly number[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > VERSIONS_MAX) return undefined;
  const versions: number[] = [];
  for (const each of value) {
    const version = read(each);
    if (version === undefined || versions.includes(version)) return undefined;
    versions.push(version);
  }
  return versions;
}

/** `"5.3"`, or the number that stands in INITIATE_CONTACT. */
function readVmbusVersion(value: unknown): number | undefined {
  const parts = typeof value === 'string' ? /^([0-9]{1,5})\.([0-9]{1,5})$/.exec(value) : null;
  if (parts === null) return readNumber(value, 0xffffffff) || undefined;
  const [major, minor] = [Number(parts[1]), Number(parts[2])];
  if (major > 0xffff || minor > 0xffff) return undefined;
  return major * 0x10000 + minor || undefined;
}

function readNvspVersion(value: unknown): number | undefined {
  if (typeof value === 'string' && NVSP_VERSIONS.has(value)) return NVSP_VERSIONS.get(value);
  const version = readNumber(value, 0xffffffff);
  return [...NVSP_VERSIONS.values()].find((known) => known === version);
}

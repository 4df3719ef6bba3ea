// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A host profile as data: a value of JSON that is checked field by field, and the value that stands
 * for a profile. A file may be complete, or it names a profile to start from and says what differs.
 */

import { didYouMean } from '../base/nearest.ts';
import { FACTS, type FactName, type JsonValue } from './facts.ts';
import { repeatedName } from './json-keys.ts';
import { KNOBS, isKnob, knobChoices, readKnob } from './knob-values.ts';
import type { HostKnobs, HostProfile } from './profile.ts';
import { DEFAULT_PROFILE, PROFILES, profileNamed } from './profiles.ts';

/** A value that is no host profile: which field, what is wrong with it, and what to do. */
export class HostProfileError extends Error {
  /** Path of the field: `knobs.maskedSint`; '' for the value as a whole. */
  readonly field: string;
  /** What to do. */
  readonly advice: string;

  constructor(field: string, message: string, advice: string) {
    super(message);
    this.name = 'BadHost';
    this.field = field;
    this.advice = advice;
  }
}

/** Fields besides the facts. */
const EXTENDS = 'extends';
const KNOBS_FIELD = 'knobs';
const FIELDS: readonly string[] = [EXTENDS, ...Object.keys(FACTS), KNOBS_FIELD];

/** Facts that are worth having, but that no host depends on. */
const OPTIONAL: Readonly<Partial<Record<FactName, string>>> = {
  description: 'described in a file',
  source: 'not said',
};

/** Longest value that a message repeats. */
const SHOWN_MAX = 40;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Read a host profile from a value of JSON.
 *
 * @param value an object with the facts and `knobs` of {@link HostProfile}, in which numbers may be
 *   hexadecimal texts (`"0x2e7f"`) and versions texts (`"5.3"`). With `extends`, the name of one of
 *   {@link PROFILES}, it has only what differs from that.
 * @param name the name of a host that says none
 * @throws HostProfileError for a field that is unknown, missing or not what it may be
 */
export function parseHostProfile(value: unknown, name?: string): HostProfile {
  const fields = fieldsOf(value, '');
  refuseUnknown(fields, FIELDS, '');
  const base = Object.hasOwn(fields, EXTENDS) ? readExtends(fields[EXTENDS]) : undefined;

  const facts: Record<string, unknown> = {};
  for (const fact of Object.keys(FACTS) as FactName[]) {
    if (Object.hasOwn(fields, fact)) facts[fact] = readFact(fact, fields[fact]);
    else facts[fact] = factWithout(fact, base, name);
  }
  const given = Object.hasOwn(fields, KNOBS_FIELD) ? fields[KNOBS_FIELD] : {};
  return { ...(facts as unknown as HostProfile), knobs: readKnobs(given, base?.knobs) };
}

/**
 * Read a host profile from the text of a file: as {@link parseHostProfile}, and no name may stand
 * twice.
 *
 * @throws SyntaxError for what is no JSON
 * @throws HostProfileError
 */
export function parseHostText(text: string, name?: string): HostProfile {
  const json = text.replace(/^\uFEFF/, '');
  const value: unknown = JSON.parse(json);
  const twice = repeatedName(json);
  if (twice === undefined) return parseHostProfile(value, name);
  const advice = 'Leave one of them: of two the last would count.';
  throw new HostProfileError(twice, `${shownName(twice)} stands twice`, advice);
}

/** The value that stands for a profile in a file: {@link parseHostProfile} gives it again. */
export function hostProfileJson(profile: HostProfile): { readonly [name: string]: JsonValue } {
  const json: Record<string, JsonValue> = {};
  for (const name of Object.keys(FACTS) as FactName[]) json[name] = writeFact(profile, name);
  const knobs = Object.keys(KNOBS) as (keyof HostKnobs)[];
  json[KNOBS_FIELD] = Object.fromEntries(knobs.map((name) => [name, profile.knobs[name]]));
  return json;
}

/**
 * What a host is called where runs on it are compared: its name, and for one that is not among
 * {@link PROFILES} the fingerprint of its facts and knobs behind it.
 */
export function hostIdentity(profile: HostProfile): string {
  const known = profileNamed(profile.name);
  const print = fingerprint(profile);
  return known !== undefined && fingerprint(known) === print
    ? profile.name
    : `${profile.name}#${print}`;
}

/**
 * What a host is called in reports: its name, but for one that has the name of one of
 * {@link PROFILES} and is another, which its {@link hostIdentity} tells apart.
 */
export function hostLabel(profile: HostProfile): string {
  return profileNamed(profile.name) === undefined ? profile.name : hostIdentity(profile);
}

// --- fields ---

function fieldsOf(value: unknown, field: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  const what = field === '' ? 'a host' : field;
  const advice =
    field === ''
      ? 'See what hypxe hosts NAME --json prints.'
      : 'Write an object with names of knobs and their values.';
  throw new HostProfileError(field, `${what} is an object, not ${shown(value)}`, advice);
}

/** Own names alone count: `constructor` is no field. */
function refuseUnknown(fields: Fields, known: readonly string[], prefix: string): void {
  const unknown = Object.keys(fields).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const path = `${prefix}${unknown}`;
  const text = `there is no field ${shownName(path)}`;
  throw new HostProfileError(path, text, elsewhere(unknown, known) ?? didYouMean(unknown, known));
}

/** Where a name belongs that is known, but not where it stands. */
function elsewhere(name: string, known: readonly string[]): string | undefined {
  if (isKnob(name)) return `It is a knob: write it into "${KNOBS_FIELD}".`;
  return FIELDS.includes(name) && known !== FIELDS
    ? `It is no knob: write it beside "${KNOBS_FIELD}".`
    : undefined;
}

function readExtends(value: unknown): HostProfile {
  const profile = typeof value === 'string' ? profileNamed(value) : undefined;
  if (profile !== undefined) return profile;
  const names = PROFILES.map(({ name }) => name);
  const advice = didYouMean(typeof value === 'string' ? value : '', names);
  const text = `${EXTENDS} is ${shown(value)}, which is no host profile`;
  throw new HostProfileError(EXTENDS, text, advice);
}

function readFact(name: FactName, value: unknown): unknown {
  const { allowed, read } = FACTS[name];
  const fact = read(value);
  if (fact !== undefined) return fact;
  throw new HostProfileError(name, `${name} is ${shown(value)}`, `It may be ${allowed}.`);
}

/** A fact that a file does not say. */
function factWithout(
  fact: FactName,
  base: HostProfile | undefined,
  name: string | undefined,
): unknown {
  if (fact === 'name' && name !== undefined) return readFact(fact, name);
  if (fact === 'description' && base !== undefined) return `as ${base.name}, with what a file says`;
  if (base !== undefined) return base[fact];
  return OPTIONAL[fact] ?? missing(fact);
}

function readKnobs(value: unknown, base: HostKnobs | undefined): HostKnobs {
  const fields = fieldsOf(value, KNOBS_FIELD);
  const names = Object.keys(KNOBS) as (keyof HostKnobs)[];
  refuseUnknown(fields, names, `${KNOBS_FIELD}.`);
  const knobs: Record<string, unknown> = {};
  for (const name of names) {
    const path = `${KNOBS_FIELD}.${name}`;
    if (!Object.hasOwn(fields, name)) {
      knobs[name] = base === undefined ? missing(path) : base[name];
      continue;
    }
    const knob = readKnob(name, fields[name]);
    if (knob === undefined) {
      const text = `${path} is ${shown(fields[name])}`;
      throw new HostProfileError(path, text, `It may be ${knobChoices(name)}.`);
    }
    knobs[name] = knob;
  }
  return knobs as unknown as HostKnobs;
}

function missing(path: string): never {
  const advice = `Give it, or start from a host that is known: "${EXTENDS}": "${DEFAULT_PROFILE}".`;
  throw new HostProfileError(path, `${path} is missing`, advice);
}

function writeFact<K extends FactName>(profile: HostProfile, name: K): JsonValue {
  return FACTS[name].write(profile[name]);
}

// --- messages ---

/** A value as a message shows it: short, and on one line. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return shownList(value);
  switch (typeof value) {
    case 'string':
      return cut(JSON.stringify(value));
    case 'number':
    case 'boolean':
      return String(value);
    case 'object':
      return value === null ? 'null' : 'an object';
    default:
      return `a ${typeof value}`;
  }
}

function shownList(values: readonly unknown[]): string {
  const plain = values.every((each) => ['string', 'number', 'boolean'].includes(typeof each));
  return plain ? cut(JSON.stringify(values)) : 'a list of other things';
}

function shownName(name: string): string {
  return /^[!-~]+$/.test(name) ? cut(name) : cut(JSON.stringify(name));
}

function cut(text: string): string {
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}...`;
}

/** FNV-1a over the facts and knobs, without the texts that no host depends on. */
function fingerprint(profile: HostProfile): string {
  const { name: _, description: __, source: ___, ...facts } = hostProfileJson(profile);
  const text = JSON.stringify(facts);
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

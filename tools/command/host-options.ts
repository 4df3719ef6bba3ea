// SPDX-License-Identifier: GPL-2.0-or-later

/** The host that a command names: a profile by its name, or a file that describes one. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { KNOBS, isKnob, knobChoices, knobValue } from '../simulator/profiles/knob-values.ts';
import { HostProfileError, parseHostText } from '../simulator/profiles/profile-file.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { PROFILES, profileNamed, withKnobs } from '../simulator/profiles/profiles.ts';
import { readText } from './files.ts';
import { UsageError, didYouMean, quoted } from './usage.ts';

/** Longest file that is read: a complete profile has 3 KB. */
const FILE_MAX = 1 << 20;

/** Knobs, as they were given. */
export type GivenKnobs = Readonly<Record<string, string | number | boolean>>;

/** Whether a host is named by its file. */
export function isHostFile(text: string | undefined): text is string {
  return text !== undefined && (text.includes('/') || text.endsWith('.json'));
}

/**
 * The host of `--host`: a text with a slash in it, or that ends in `.json`, is a file.
 *
 * @throws UsageError UnknownHost, HostNotJson, BadHost
 * @throws EnvironmentError for a file that cannot be read
 */
export function readHost(text: string): HostProfile {
  if (isHostFile(text)) return readHostFile(text);
  const profile = profileNamed(text);
  if (profile !== undefined) return profile;
  // Somebody may have meant a file that lies here
  const names = PROFILES.map(({ name }) => name);
  const advice =
    fs.existsSync(text) && fs.statSync(text).isFile()
      ? `For the file that lies here, write ./${text}.`
      : didYouMean(text, names);
  throw new UsageError('UnknownHost', `there is no host profile ${quoted(text)}`, advice);
}

/** A host with `NAME=VALUE` of `--knob`. @throws UsageError UnknownKnob, BadKnob */
export function turnKnobs(
  profile: HostProfile,
  texts: readonly string[],
): { readonly profile: HostProfile; readonly knobs: GivenKnobs } {
  const now: Readonly<Record<string, unknown>> = { ...profile.knobs };
  const knobs: Record<string, string | number | boolean> = {};
  for (const text of texts) {
    const [name = '', ...rest] = text.split('=');
    if (!isKnob(name)) {
      const otherwise = `hypxe hosts ${profile.name} lists the knobs.`;
      const advice = didYouMean(name, Object.keys(KNOBS), otherwise);
      throw new UsageError('UnknownKnob', `there is no knob ${quoted(name)}`, advice);
    }
    const value = knobValue(name, rest.join('='));
    if (value === undefined) {
      const what = rest.length === 0 ? 'has no value' : `cannot be ${quoted(rest.join('='))}`;
      const advice = `Write --knob ${name}=VALUE: ${knobChoices(name)}; now ${String(now[name])}.`;
      throw new UsageError('BadKnob', `knob ${name} ${what}`, advice);
    }
    if (Object.hasOwn(knobs, name)) {
      throw new UsageError('BadKnob', `knob ${name} is given twice`, 'Give each knob once.');
    }
    knobs[name] = value;
  }
  return { profile: withKnobs(profile, knobs), knobs };
}

function readHostFile(file: string): HostProfile {
  const text = readText(file, FILE_MAX);
  try {
    return parseHostText(text, nameOf(file));
  } catch (error) {
    if (error instanceof SyntaxError) {
      const advice = 'Write JSON: hypxe hosts NAME --json prints such a file.';
      throw new UsageError('HostNotJson', `${file}: ${error.message}`, advice);
    }
    if (!(error instanceof HostProfileError)) throw error;
    throw new UsageError(error.name, `${file}: ${error.message}`, error.advice);
  }
}

/** The name of a host that says none: that of its file, where it can be one. */
function nameOf(file: string): string {
  const stem = path.basename(file, '.json');
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(stem) ? stem : 'host';
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe hosts`: the host profiles, and the knobs of one. */

import { versionText } from '../../src/vmbus/protocol.ts';
import { nvspVersionText } from '../simulator/profiles/facts.ts';
import { KNOBS, isKnob, knobChoices } from '../simulator/profiles/knob-values.ts';
import { hostLabel, hostProfileJson } from '../simulator/profiles/profile-file.ts';
import type { HostProfile } from '../simulator/profiles/profile.ts';
import { DEFAULT_PROFILE, PROFILES } from '../simulator/profiles/profiles.ts';
import { parseArguments } from './arguments.ts';
import { readHost } from './host-options.ts';
import type { Terminal } from './terminal.ts';
import { EXIT_HELP, Exit, UsageError, type ExitCode } from './usage.ts';

const HELP = `Usage: hypxe hosts [NAME|FILE.json] [--json]

List the host profiles, or show one: its versions, its habits (knobs) and where they come from.
A habit is changed for one boot with hypxe boot --knob NAME=VALUE.

What --json prints of one host is a file that --host takes, complete. A file may also say only what
differs: { "extends": "server2022", "knobs": { "echoVersion": false } }. Numbers may be texts in
hexadecimal ("0x2e7f"), versions are texts ("5.3"). FILE.json has a slash in it or ends in .json.

Options
  --json         print JSON
  -v, --verbose  of a mistake of hypxe itself, say where
  -h, --help     this text

${EXIT_HELP}

Examples
  hypxe hosts
  hypxe hosts openvmm
  hypxe hosts server2022 --json > host.json
  hypxe hosts host.json
`;

/** Run the command; returns the exit code. @throws CommandError */
export function hostsCommand(args: readonly string[], terminal: Terminal): ExitCode {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    terminal.out(HELP);
    return Exit.CLEAN;
  }
  const [name, ...rest] = positionals;
  if (rest.length > 0) {
    const text = `more than one NAME: ${positionals.join(', ')}`;
    throw new UsageError('TooManyNames', text, 'Give one, or none for a list of all.');
  }
  const profile = name === undefined ? undefined : readHost(name);
  if (values.json === true) {
    const json = profile === undefined ? PROFILES.map(hostProfileJson) : hostProfileJson(profile);
    terminal.out(`${JSON.stringify(json, undefined, 2)}\n`);
  } else terminal.out(profile === undefined ? table() : details(profile));
  return Exit.CLEAN;
}

const OPTIONS = {
  json: { type: 'boolean' },
  verbose: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

function parse(args: readonly string[]) {
  return parseArguments('hosts', args, OPTIONS);
}

function table(): string {
  const rows = PROFILES.map((profile) => {
    const versions = [...profile.vmbusVersions].sort((a, b) => a - b);
    const range = `${versionText(versions[0]!)} to ${versionText(versions.at(-1)!)}`;
    const mark = profile.name === DEFAULT_PROFILE ? '*' : ' ';
    return `${mark} ${profile.name.padEnd(14)}${range.padEnd(14)}${profile.description}`;
  });
  return [`  ${'host'.padEnd(14)}${'VMBus'.padEnd(14)}`, ...rows, '', '* default', ''].join('\n');
}

function details(profile: HostProfile): string {
  const lines = [
    `${profile.name}: ${profile.description}`,
    ...otherThan(profile),
    `Source: ${profile.source}`,
    `VMBus: ${profile.vmbusVersions.map(versionText).join(', ')}`,
    `NVSP: ${profile.nvspVersions.map(nvspVersionText).join(', ')}`,
    `Message connection 4: ${profile.multiClientPort ? 'yes' : 'no'}`,
    '',
    'Knobs, with the value that this host has and what it may be (hypxe boot --knob NAME=VALUE):',
    ...Object.entries(profile.knobs).flatMap(([name, value]) => knobLines(name, value)),
  ];
  return `${lines.join('\n')}\n`;
}

/** A file that has the name of a known host, and says something else. */
function otherThan(profile: HostProfile): string[] {
  const label = hostLabel(profile);
  if (label === profile.name) return [];
  return [`It has the name of the host ${profile.name} and is another: reports call it ${label}.`];
}

function knobLines(name: string, value: unknown): string[] {
  if (!isKnob(name)) return [];
  const choices = knobChoices(name);
  return [`  ${name}=${String(value)} (${choices})`, `      ${KNOBS[name].text}`];
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** The generated parts of the manual: what the program prints, and lists that are data in code. */

import { TRACES } from '../build/targets.mjs';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERRORS, type ErrorEntry } from '../../src/catalogue.ts';
import { versionText } from '../../src/vmbus/protocol.ts';
import { BOOT_HELP } from '../command/boot/boot-help.ts';
import type { Terminal } from '../command/terminal.ts';
import { EXPLORE_HELP } from '../command/explore/explore-options.ts';
import { GUEST_HELP } from '../command/guest/guest-command.ts';
import { hostsCommand } from '../command/hosts-command.ts';
import { PC_HELP } from '../command/pc/pc-help.ts';
import { replayHelp } from '../command/replay/replay-command.ts';
import { REPORT_HELP } from '../command/report/report-command.ts';
import { SCENARIOS_HELP } from '../command/scenarios-command.ts';
import { ABI_EXPORTS, ABI_IMPORTS, type AbiFunction } from '../guests/abi/abi.ts';
import { LINUX_DIFFERENCES } from '../os/linux-differences.ts';
import { LINUX_CHANGES } from '../os/os-versions.ts';
import { DIFFERENCES } from '../replay/differences/index.ts';
import { SCENARIOS } from '../scenarios/index.ts';
import { AUDIT_CHECKS } from '../simulator/audit/audit-findings.ts';
import { KNOB_SOURCES } from '../simulator/profiles/knob-sources.ts';
import { KNOBS, knobChoices } from '../simulator/profiles/knob-values.ts';
import type { HostKnobs } from '../simulator/profiles/profile.ts';
import { DEFAULT_PROFILE, PROFILES, profileNamed } from '../simulator/profiles/profiles.ts';
import { ROOT } from './books.ts';

/** Texts that tests hold against what the program prints. */
const GOLDEN = join(ROOT, 'firmware-tests/golden');

const HELP = ['--help'];

/** Each generated part by the name that its marker has. */
export const PARTS: Readonly<Record<string, () => string>> = {
  'boot-log': () => fenced(readFileSync(join(GOLDEN, 'boot-default.txt'), 'utf8')),
  help: () => fenced(readFileSync(join(GOLDEN, 'cli-help.txt'), 'utf8')),
  'boot-help': () => fenced(BOOT_HELP),
  'pc-help': () => fenced(PC_HELP),
  'pc-verdicts': pcVerdicts,
  'pc-faults': pcFaults,
  'explore-help': () => fenced(EXPLORE_HELP),
  'scenarios-help': () => fenced(SCENARIOS_HELP),
  'report-help': () => fenced(REPORT_HELP),
  'replay-help': () => fenced(replayHelp(TRACES)),
  'hosts-help': () => printed((terminal) => hostsCommand(HELP, terminal)),
  hosts,
  knobs,
  facts,
  audit,
  scenarios,
  differences,
  errors,
  'guest-help': () => fenced(GUEST_HELP),
  'guest-imports': () => guestTable(ABI_IMPORTS, 'import'),
  'guest-exports': () => guestTable(ABI_EXPORTS, 'export'),
  'linux-differences': linuxDifferences,
  'linux-versions': linuxVersions,
};

/** Functions of the interface of guests. */
function guestTable(functions: readonly AbiFunction[], what: string): string {
  const rows = functions.map((each) => {
    const { name, parameters, result, text } = each;
    const list = parameters.map((one) => `${one.name}: ${one.type}`).join(', ');
    const back = result === undefined ? '' : ` → ${result}`;
    const optional = 'optional' in each ? 'optional: ' : '';
    return [`\`${name}\``, `(${list})${back}`, `${optional}${text}`];
  });
  return table([what, 'signature', 'what it does'], rows);
}

/** Where the loaded OS is not what Linux was recorded to be. */
function linuxDifferences(): string {
  const lines = (each: readonly string[]): string =>
    each.length === 0 ? 'nothing' : each.map((line) => `\`${line}\``).join('; ');
  return table(
    ['session', 'recorded', 'here', 'why'],
    LINUX_DIFFERENCES.map(({ session, recorded, own, reason }) => [
      ...[session, lines(recorded), lines(own), reason],
    ]),
  );
}

/** A row of what real programs come to; `npm run test:pc` holds them against it. */
interface PcVerdict {
  readonly program: string;
  readonly host: string;
  readonly flow: string;
  readonly exitCode: number;
  readonly verdict: string;
  readonly vmbus: readonly string[];
  readonly findings: readonly string[];
}

interface PcFault {
  readonly plan: string;
  readonly host: string;
  readonly fault: string;
  readonly status: string;
  readonly findings: readonly string[];
}

/** Program, host and flow, and what each comes to. */
function pcVerdicts(): string {
  const rows = JSON.parse(readFileSync(join(GOLDEN, 'pc-verdicts.json'), 'utf8')) as PcVerdict[];
  return table(
    ['program', 'host', 'flow', 'VMBus', 'exit code and verdict', 'errors and warnings'],
    rows.map(({ program, host, flow, vmbus, exitCode, verdict, findings }) => [
      ...[program, `\`${host}\``, flow, vmbus.join(', then ') || 'none'],
      `${exitCode}: ${verdict}`,
      findings.join('; ') || 'none',
    ]),
  );
}

/** What a real program does when something goes wrong. */
function pcFaults(): string {
  const rows = JSON.parse(readFileSync(join(GOLDEN, 'pc-faults.json'), 'utf8')) as PcFault[];
  return table(
    ['fault', '`--only`', 'host', 'it', 'findings'],
    rows.map(({ plan, host, fault, status, findings }) => [
      ...[fault, `\`${plan}\``, `\`${host}\``, status, findings.join('; ') || 'none'],
    ]),
  );
}

/** What each version of Linux does otherwise. */
function linuxVersions(): string {
  return table(
    ['kernel', 'what it does otherwise', 'source'],
    LINUX_CHANGES.map(({ since, what, source }) => [`\`${since}\``, what, source]),
  );
}

function fenced(text: string): string {
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\``;
}

/** What a command prints before it comes back or waits for anything. */
function printed(command: (terminal: Terminal) => unknown): string {
  let text = '';
  command({ out: (more) => void (text += more), error: (more) => void (text += more) });
  return fenced(text);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return lines.map((line) => line.replaceAll('\n', ' ')).join('\n');
}

function hosts(): string {
  const rows = PROFILES.map(({ name, description, vmbusVersions }) => {
    const sorted = [...vmbusVersions].sort((a, b) => a - b);
    const range = `${versionText(sorted[0]!)} to ${versionText(sorted.at(-1)!)}`;
    return [`\`${name}\``, range, description];
  });
  return table(['host', 'VMBus', 'what it is'], rows);
}

function knobs(): string {
  const standard = profileNamed(DEFAULT_PROFILE)!.knobs;
  const rows = (Object.keys(KNOBS) as (keyof HostKnobs)[]).map((name) => [
    `\`${name}\``,
    KNOBS[name].text,
    knobChoices(name),
    String(standard[name]),
    otherwise(name, standard[name]),
  ]);
  return table(['knob', 'what it decides', 'values', 'default', 'other hosts'], rows);
}

/** Fact of a host, where it is known from, its knob, its test. */
function facts(): string {
  const rows = (Object.keys(KNOBS) as (keyof HostKnobs)[]).map((name) => {
    const { from, file, title } = KNOB_SOURCES[name];
    const path = `../../firmware-tests/tools/simulator/${file}.test.ts`;
    return [KNOBS[name].text, from, `\`${name}\``, `[${file}](${path}): ${title.trim()}`];
  });
  return table(['fact', 'known from', 'knob', 'test'], rows);
}

/** The hosts that have another value than the default: `never (server2008, server2012)`. */
function otherwise(name: keyof HostKnobs, standard: HostKnobs[keyof HostKnobs]): string {
  const values = new Map<string, string[]>();
  for (const { name: host, knobs } of PROFILES) {
    if (knobs[name] === standard) continue;
    const value = String(knobs[name]);
    values.set(value, [...(values.get(value) ?? []), host]);
  }
  return [...values].map(([value, names]) => `${value} (${names.join(', ')})`).join('; ');
}

function audit(): string {
  const rows = Object.entries(AUDIT_CHECKS).map(([name, { number, text }]) => [
    String(number),
    `\`${name}\``,
    text,
  ]);
  return table(['#', 'check', 'what must hold'], rows);
}

function scenarios(): string {
  const rows = SCENARIOS.map(({ name, text, mistake, references }) => [
    `\`${name}\``,
    text,
    mistake,
    references.join('; '),
  ]);
  return table(['scenario', 'what goes wrong', 'whose mistake', 'reference'], rows);
}

function differences(): string {
  const rows = DIFFERENCES.map(({ title, sources, handling, ipxe, hypxe }) => {
    const does = handling === 'fixed' ? hypxe : `${hypxe} (${handling})`;
    return [title, ipxe, does, sources.join(', ')];
  });
  return table(['difference', 'iPXE', 'hypxe', 'source'], rows);
}

function errors(): string {
  const rows = Object.entries(ERRORS).flatMap(([layer, errorsOfLayer]) =>
    Object.entries<ErrorEntry>(errorsOfLayer).map(([name, [errno, advice]]) => [
      layer,
      `\`${name}\``,
      errno,
      advice,
    ]),
  );
  return table(['layer', 'error', 'class', 'what to do'], rows);
}

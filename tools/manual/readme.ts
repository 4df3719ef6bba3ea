// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Writes the generated parts of README.md: what the program prints, the lists that are data in the
 * code. `npm run readme` writes them, `--check` only looks whether they are up to date.
 *
 * A part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BootError } from '../../src/boot/boot.ts';
import { ScriptError } from '../../src/boot/boot-script.ts';
import { ImageError } from '../../src/boot/image.ts';
import { PushError } from '../../src/boot/push-boot.ts';
import type { ErrorKind } from '../../src/error.ts';
import { HypervError } from '../../src/hyperv/errors.ts';
import { MemoryError } from '../../src/memory/shared-memory.ts';
import { BootTargetError } from '../../src/net/boot-target.ts';
import { DhcpError } from '../../src/net/dhcp.ts';
import { NetError } from '../../src/net/net-error.ts';
import { NetbootError } from '../../src/net/netboot.ts';
import { TftpError } from '../../src/net/tftp-error.ts';
import { NetvscError } from '../../src/netvsc/errors.ts';
import { RndisError } from '../../src/rndis/errors.ts';
import { VmbusError } from '../../src/vmbus/errors.ts';
import { versionText } from '../../src/vmbus/protocol.ts';
import { BOOT_HELP } from '../command/boot-options.ts';
import { DIFFERENCES } from '../replay/differences/index.ts';
import { AUDIT_CHECKS } from '../simulator/audit/audit-findings.ts';
import { PROFILES } from '../simulator/profiles/profiles.ts';

const README = fileURLToPath(new URL('../../README.md', import.meta.url));
const BOOT_LOG = fileURLToPath(
  new URL('../../firmware-tests/golden/boot-default.txt', import.meta.url),
);

/** A part that no marker names, or a marker that names no part. */
class ReadmeError extends Error {}

const PARTS: Readonly<Record<string, () => string>> = {
  'boot-log': () => fenced(readFileSync(BOOT_LOG, 'utf8')),
  'boot-help': () => fenced(BOOT_HELP),
  hosts,
  audit,
  differences,
  errors,
};

/** The README with its generated parts made anew. */
export function regenerate(text: string): string {
  const seen = new Set<string>();
  const marker = /(<!-- generated: ([a-z-]+) -->\n)[\s\S]*?(<!-- end -->)/g;
  const result = text.replace(marker, (_all, begin: string, name: string, end: string) => {
    const part = PARTS[name];
    if (part === undefined) throw new ReadmeError(`README.md names no such part: ${name}`);
    seen.add(name);
    return `${begin}\n${part().trimEnd()}\n\n${end}`;
  });
  for (const name of Object.keys(PARTS)) {
    if (!seen.has(name)) throw new ReadmeError(`README.md lacks the part ${name}`);
  }
  return result;
}

function fenced(text: string): string {
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\``;
}

function hosts(): string {
  const rows = PROFILES.map(({ name, description, vmbusVersions }) => {
    const sorted = [...vmbusVersions].sort((a, b) => a - b);
    const range = `${versionText(sorted[0]!)} to ${versionText(sorted.at(-1)!)}`;
    return `| \`${name}\` | ${range} | ${description} |`;
  });
  return ['| host | VMBus | what it is |', '| --- | --- | --- |', ...rows].join('\n');
}

function audit(): string {
  const rows = Object.entries(AUDIT_CHECKS).map(
    ([name, { number, text }]) => `| ${number} | \`${name}\` | ${text} |`,
  );
  return ['| # | check | what must hold |', '| --- | --- | --- |', ...rows].join('\n');
}

function differences(): string {
  const rows = DIFFERENCES.map(({ title, sources, handling, ipxe, hypxe }) => {
    const does = handling === 'fixed' ? hypxe : `${hypxe} (${handling})`;
    return `| ${title} | ${ipxe} | ${does} | ${sources.join(', ')} |`;
  });
  const head = ['| difference | iPXE | hypxe | source |', '| --- | --- | --- | --- |'];
  return [...head, ...rows].map((row) => row.replaceAll('\n', ' ')).join('\n');
}

const TABLES: readonly (readonly [string, Readonly<Record<string, ErrorKind>>])[] = [
  ['hypervisor', HypervError],
  ['memory', MemoryError],
  ['VMBus', VmbusError],
  ['NetVSC', NetvscError],
  ['RNDIS', RndisError],
  ['network', { ...NetError, ...NetbootError }],
  ['DHCP', { ...DhcpError, ...BootTargetError }],
  ['TFTP', TftpError],
  ['boot', { ...BootError, ...ImageError, ...PushError, ...ScriptError }],
];

function errors(): string {
  const rows = TABLES.flatMap(([layer, kinds]) =>
    Object.values(kinds).map(
      ({ name, errno, advice }) => `| ${layer} | \`${name}\` | ${errno} | ${advice} |`,
    ),
  );
  return ['| layer | error | class | what to do |', '| --- | --- | --- | --- |', ...rows].join(
    '\n',
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = readFileSync(README, 'utf8');
  const wanted = regenerate(text);
  if (process.argv.includes('--check')) {
    if (text !== wanted) {
      process.stderr.write('README.md is out of date: run npm run readme\n');
      process.exitCode = 1;
    }
  } else if (text !== wanted) {
    writeFileSync(README, wanted);
  }
}

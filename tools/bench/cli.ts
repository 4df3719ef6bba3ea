// SPDX-License-Identifier: GPL-2.0-or-later

/** The command line of the bench: `npm run bench`. */

import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { LONG_PARTS, PARTS, runPart, type BenchOptions } from './bench.ts';
import type { BenchFirmware } from './firmware.ts';
import { sectionText, type Section } from './section.ts';

const HELP = `Usage: npm run bench [-- options]

Measure the firmware in dist/: its size, its work beside iPXE's, frames, boots, the simulator, a
guest in C. What takes minutes (${LONG_PARTS.join(', ')}) is done if it is named.

  --only NAME   only this part (${Object.keys(PARTS).join(', ')}); may be repeated
  --ipxe TREE   compare frames with iPXE's drivers, too: a checkout (part peers)
  --quick       short runs: counts are as good, times are not
  --json        print one JSON document
  -h, --help    this text
`;

/** The project's directory: from the sources two above this file, from `dist/` one. */
const ROOT = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../..' : '..', import.meta.url),
);
const FIRMWARE = pathToFileURL(join(ROOT, 'dist/hypxe.js'));
const OS = pathToFileURL(join(ROOT, 'dist/os.js'));

const OPTIONS = {
  only: { type: 'string', multiple: true },
  ipxe: { type: 'string' },
  quick: { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Returns the exit code: 0, or 2 for options that mean nothing. */
async function main(args: readonly string[]): Promise<number> {
  const values = parse(args);
  if (typeof values === 'string') {
    process.stderr.write(`bench: ${values}\n       See npm run bench -- --help.\n`);
    return 2;
  }
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const firmware = (await import(FIRMWARE.href)) as BenchFirmware;
  const os = (await import(OS.href)) as BenchFirmware;
  const { quick = false, ipxe } = values;
  const options: BenchOptions = { firmware, os, root: ROOT, quick, ipxe };
  const sections: Section[] = [];
  const usual = Object.keys(PARTS).filter((name) => !LONG_PARTS.includes(name));
  for (const name of values.only ?? usual) {
    const section = await runPart(name, options);
    sections.push(section);
    if (values.json !== true) process.stdout.write(`${sectionText(section)}\n`);
  }
  if (values.json === true) {
    const data = Object.fromEntries(sections.map((section) => [section.name, section.data]));
    process.stdout.write(`${JSON.stringify(data, undefined, 2)}\n`);
  }
  return 0;
}

/** The options, or what is wrong with them. */
function parse(args: readonly string[]) {
  try {
    const { values } = parseArgs({ args: [...args], options: OPTIONS });
    const unknown = values.only?.find((name) => !(name in PARTS));
    if (unknown === undefined) return values;
    return `there is no part ${unknown} (${Object.keys(PARTS).join(', ')})`;
  } catch (error) {
    return (error as Error).message;
  }
}

process.exitCode = await main(process.argv.slice(2));

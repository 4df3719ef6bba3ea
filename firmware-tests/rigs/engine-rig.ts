// SPDX-License-Identifier: GPL-2.0-or-later

/** The bundles as other engines get them, and what a boot comes to in Node. */

import * as fs from 'node:fs';
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { bootDigest, type BootDigest } from '../../tools/engines/boot-digest.ts';
import type * as Firmware from '../../src/index.ts';
import type * as Simulator from '../../tools/simulator/index.ts';

const DIST = new URL('../../dist/', import.meta.url);

/** A program as one module: `simulator.js` shares code with the command line. */
async function oneModule(file: URL): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(file)],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
  });
  return outputFiles[0]!.text;
}

/** The sources of the modules of an engine: the two bundles, and `engine.js`. */
export async function engineModules(): Promise<Readonly<Record<string, string>>> {
  return {
    'hypxe.js': fs.readFileSync(new URL('hypxe.js', DIST), 'utf8'),
    'simulator.js': await oneModule(new URL('simulator.js', DIST)),
    'engine.js': await oneModule(new URL('../../tools/engines/index.ts', import.meta.url)),
  };
}

/** The same boot, in Node, from the same bundles. */
export async function nodeDigest(): Promise<BootDigest> {
  const firmware = (await import(new URL('hypxe.js', DIST).href)) as typeof Firmware;
  const simulator = (await import(new URL('simulator.js', DIST).href)) as typeof Simulator;
  return bootDigest(firmware, simulator);
}

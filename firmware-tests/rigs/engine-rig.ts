// SPDX-License-Identifier: GPL-2.0-or-later

/** The bundles as other engines get them, and what a boot comes to in Node. */

import * as fs from 'node:fs';
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { bootDigest, type BootDigest } from '../../tools/engines/boot-digest.ts';
import type * as Firmware from '../../src/index.ts';
import type * as Simulator from '../../tools/simulator/index.ts';

const DIST = new URL('../../dist/', import.meta.url);

/** The sources of the modules of an engine: the two bundles as they are, and `engine.js`. */
export async function engineModules(): Promise<Readonly<Record<string, string>>> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../tools/engines/index.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
  });
  return {
    'hypxe.js': fs.readFileSync(new URL('hypxe.js', DIST), 'utf8'),
    'simulator.js': fs.readFileSync(new URL('simulator.js', DIST), 'utf8'),
    'engine.js': outputFiles[0]!.text,
  };
}

/** The same boot, in Node, from the same bundles. */
export async function nodeDigest(): Promise<BootDigest> {
  const firmware = (await import(new URL('hypxe.js', DIST).href)) as typeof Firmware;
  const simulator = (await import(new URL('simulator.js', DIST).href)) as typeof Simulator;
  return bootDigest(firmware, simulator);
}

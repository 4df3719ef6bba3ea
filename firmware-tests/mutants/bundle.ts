// SPDX-License-Identifier: GPL-2.0-or-later

/** Bundles the firmware with a patch applied, in memory: the sources stay as they are. */

import { readFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import type { ExploredFirmware } from '../../tools/explore/explored-guest.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Environment variable with the patches of `patching-hook.ts`, as JSON. */
export const PATCHES = 'HYPXE_TEST_PATCHES';

/** One change of one file: `search` stands in it exactly once. */
export interface Patch {
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}

const bundled = new Map<string, Promise<ExploredFirmware>>();

/**
 * The firmware with patches applied: the same one for the same patches.
 *
 * @throws Error if a patch does not apply: the sources have changed, and the mutant must follow
 */
export function mutatedFirmware(patches: readonly Patch[]): Promise<ExploredFirmware> {
  const key = JSON.stringify(patches);
  const known = bundled.get(key) ?? bundle(patches);
  bundled.set(key, known);
  return known;
}

async function bundle(patches: readonly Patch[]): Promise<ExploredFirmware> {
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/os.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
    plugins: [patchingPlugin(patches)],
    logLevel: 'silent',
  });
  const code = Buffer.from(outputFiles[0]!.contents).toString('base64');
  return (await import(`data:text/javascript;base64,${code}`)) as ExploredFirmware;
}

function patchingPlugin(patches: readonly Patch[]): Plugin {
  return {
    name: 'mutant',
    setup({ onLoad }) {
      // All others esbuild reads by itself: each that it asks for costs more than to bundle it
      const names = new Set(patches.map(({ file }) => file.split('/').at(-1)!));
      if (names.size === 0) return;
      const filter = new RegExp(`[\\\\/](?:${[...names].join('|')})$`);
      onLoad({ filter }, async ({ path }) => {
        const file = pathOf(path);
        let contents = await readFile(path, 'utf8');
        for (const patch of patches) {
          if (patch.file === file) contents = applied(contents, patch);
        }
        return { contents, loader: 'ts' };
      });
    },
  };
}

/** The path of a file in the tree, as patches name it. */
export function pathOf(path: string): string {
  return relative(ROOT, path).replaceAll('\\', '/');
}

/** @throws Error if the patch does not apply */
export function applied(text: string, { file, search, replace }: Patch): string {
  const parts = text.split(search);
  if (parts.length === 2) return parts.join(replace);
  throw new Error(`${file} has ${parts.length - 1} times: ${search}`);
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** The npm package as its users get it: built, packed and unpacked, outside the checkout. */

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { ROOT, buildAll } from '../../tools/build/build.mjs';

/** What `npm pack --json` says of a package, as far as the tests ask. */
export interface Pack {
  /** Packed, in bytes. */
  readonly size: number;
  readonly unpackedSize: number;
  readonly filename: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

/** A folder with `node_modules/hypxe` in it, and what was packed. */
export interface Installed {
  readonly folder: string;
  /** `node_modules/hypxe` in it. */
  readonly home: string;
  readonly pack: Pack;
}

/** What of the project, besides `dist`, npm may look at. */
const BESIDE_DIST = [
  ...['package.json', 'README.md', 'LICENSE', 'src'],
  ...['tools/capture', 'tools/guests/README.md', 'tools/library/README.md'],
];

/** Do what prepack does, pack, and unpack. The caller removes the folder. */
export async function installed(): Promise<Installed> {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-package-')));
  const stage = path.join(folder, 'stage');
  fs.mkdirSync(path.join(stage, 'tools'), { recursive: true });
  for (const name of BESIDE_DIST) {
    fs.cpSync(path.join(ROOT, name), path.join(stage, name), { recursive: true });
  }
  await buildAll({ root: stage, quiet: true, published: true });

  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const [pack] = JSON.parse(run('npm', args, stage)) as [Pack];
  const home = path.join(folder, 'node_modules', 'hypxe');
  fs.mkdirSync(home, { recursive: true });
  run(
    'tar',
    ['-xzf', path.join(folder, pack.filename), '--strip-components=1', '-C', home],
    folder,
  );
  fs.rmSync(stage, { recursive: true });
  return { folder, home, pack };
}

/** Run a program; returns what it printed. Throws, with all that it said, if it fails. */
export function run(program: string, args: readonly string[], cwd: string): string {
  return execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How the files that stand alone are made, readable and minified: for the build, and for the bench
 * that says how large they are. Minified are the numbers of `protocol.ts` folded, then esbuild
 * takes away what nobody uses and shortens names, then terser finds what it has left, and what
 * remains is spelt for gzip. Of terser's compressions only the safe ones: `unsafe_math` breaks
 * bigints, and `unsafe_comps` comparisons with what is no number.
 */

import { basename } from 'node:path';
import { build } from 'esbuild';
import { minify } from 'terser';
import { foldProtocol } from './fold-protocol.mjs';
import { respell } from './respell.mjs';

/** @typedef {import('esbuild').BuildOptions} BuildOptions */

/** Nothing is written, and it is known what went in. */
export const IN_MEMORY = /** @type {const} */ ({ write: false, metafile: true });

/** One file without imports. Imports of packages stay, and become findings. */
export const ALONE = /** @type {const} */ ({
  ...IN_MEMORY,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  packages: 'external',
  charset: 'utf8',
  legalComments: 'none',
  logLevel: 'silent',
});

/** @type {import('terser').MinifyOptions} */
const TERSER = {
  module: true,
  ecma: 2020,
  // No getter of the firmware does more than look, and nothing is called before its file is loaded
  compress: {
    ...{ passes: 3, hoist_funs: true, inline: 1, sequences: false },
    ...{ pure_getters: true, unsafe_arrows: true },
  },
  format: { comments: false },
};

/**
 * Bundle one entry in memory and minify it.
 *
 * @param {BuildOptions} options those of esbuild, beside {@link ALONE}: entry, folders, banner, and
 *   whether there is a source map
 */
export async function bundleMinified({ banner, sourcemap = false, ...options }) {
  const { metafile, outputFiles } = await build({
    ...options,
    ...ALONE,
    minify: true,
    sourcemap: sourcemap && 'external',
    plugins: [foldProtocol()],
  });
  const [file, ...others] = [...outputFiles].sort((a, b) => a.path.length - b.path.length);
  if (file === undefined || others.length > 1) throw new Error('one entry makes one file');
  const [map] = others;
  const { code = '', map: chained } = await minify(file.text, {
    ...TERSER,
    format: { ...TERSER.format, preamble: String(banner?.['js'] ?? '') },
    ...(map && { sourceMap: { content: map.text, url: basename(map.path), includeSources: true } }),
  });
  const spelt = respell(code, chained && String(chained));
  const files = [{ path: file.path, text: `${spelt.code}\n` }];
  if (map !== undefined) files.push({ path: map.path, text: String(spelt.map) });
  const contents = files.map((one) => ({ ...one, contents: Buffer.from(one.text) }));
  return { metafile, outputFiles: contents };
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** Sizes of the bundle: the whole firmware, and the drivers alone, as the build bundles them. */

import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { count, type Section } from './section.ts';

/** What is bundled, each by a module that exports what a user of it needs. */
const BUNDLES = [
  { name: 'firmware', entry: "export * from './src/index.ts';" },
  { name: 'drivers', entry: "export { createDriver } from './src/any.ts';" },
] as const;

/** Sizes in bytes. */
export interface BundleSize {
  readonly name: string;
  readonly files: number;
  readonly raw: number;
  readonly rawGzip: number;
  readonly minified: number;
  readonly minifiedGzip: number;
}

/** Bundle in memory. `root` is the directory that has `src/`. */
export async function bundleSizes(root: string): Promise<BundleSize[]> {
  return Promise.all(BUNDLES.map(({ name, entry }) => bundleSize(root, name, entry)));
}

async function bundleSize(root: string, name: string, entry: string): Promise<BundleSize> {
  const [raw, minified] = await Promise.all([
    bundle(root, name, entry, false),
    bundle(root, name, entry, true),
  ]);
  return {
    name,
    files: raw.files,
    raw: raw.contents.length,
    rawGzip: gzipSync(raw.contents, { level: 9 }).length,
    minified: minified.contents.length,
    minifiedGzip: gzipSync(minified.contents, { level: 9 }).length,
  };
}

async function bundle(root: string, name: string, contents: string, minify: boolean) {
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    stdin: { contents, loader: 'ts', resolveDir: root, sourcefile: `${name}.ts` },
    outfile: `${name}.js`,
    bundle: true,
    write: false,
    metafile: true,
    minify,
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'silent',
  });
  // The entry is no file of the firmware
  return { contents: outputFiles[0]!.contents, files: Object.keys(metafile.inputs).length - 1 };
}

export function sizeSection(sizes: readonly BundleSize[]): Section {
  return {
    name: 'size',
    title: 'Size of the bundle, in bytes',
    data: sizes,
    tables: [
      {
        columns: ['', 'files', 'raw', 'gzip', 'minified', 'gzip'],
        rows: sizes.map(({ name, files, raw, rawGzip, minified, minifiedGzip }) => [
          name,
          ...[files, raw, rawGzip, minified, minifiedGzip].map(count),
        ]),
      },
    ],
    notes: ['firmware: all of src/. drivers: createDriver alone, without boot and network client.'],
  };
}

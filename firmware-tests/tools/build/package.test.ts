// SPDX-License-Identifier: GPL-2.0-or-later

/** The npm package: small, complete, and nothing in it that its users do not need. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ROOT } from '../../../tools/build/build.mjs';
import { GUEST_FOLDERS, LIBRARIES, TARGETS, TRACES } from '../../../tools/build/targets.mjs';
import { brokenLinks, linksOf } from '../../../tools/manual/links.ts';
import { installed, run, type Installed } from '../../rigs/package-rig.ts';

/** Most that the package may have, packed, in bytes. */
const PACKED_MAX = 1_000_000;

/** Most bytes of all recorded sessions in it, unpacked: the others are for tests only. */
const TRACES_MAX = 200_000;

const NAMES = TARGETS.filter(({ unpublished }) => !unpublished).flatMap(({ entries }) =>
  Object.keys(entries),
);

/** All that may be in the package: what package.json names and what is built. */
const ALLOWED: readonly RegExp[] = [
  /^(?:LICENSE|README\.md|package\.json)$/,
  new RegExp(`^dist/(?:${NAMES.join('|').replaceAll('.', '\\.')})\\.js$`),
  /^dist\/shared-[A-Z0-9]+\.js$/,
  new RegExp(`^dist/traces/(?:${TRACES.join('|').replaceAll('.', '\\.')})\\.json$`),
  new RegExp(`^dist/guests/(?:${GUEST_FOLDERS.join('|')})/[\\w-]+\\.(?:c|h|rs)$`),
  /^dist\/guests\/(?:c|rust)\/Makefile$/,
  /^dist\/types\/(?:src|tools)\/.*\.d\.ts$/,
  /^tools\/capture\/hypxe\.lua$/,
  /^tools\/(?:guests|library)\/README\.md$/,
];

/** The parts of package.json that say where things are. */
interface Manifest {
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { types: string; default: string }>>;
}

let hypxe: Installed;
let manifest: Manifest;

const suitePackage = suite('package');

suitePackage.before(async () => {
  hypxe = await installed();
  const text = fs.readFileSync(path.join(hypxe.home, 'package.json'), 'utf8');
  manifest = JSON.parse(text) as Manifest;
});

suitePackage.after(() => fs.rmSync(hypxe.folder, { recursive: true, force: true }));

suitePackage('it is at most 1 MB, packed', () => {
  const { size, files } = hypxe.pack;
  const largest = [...files].sort((a, b) => b.size - a.size).slice(0, 5);
  assert.ok(size > 0 && size <= PACKED_MAX, `${size} bytes; largest: ${JSON.stringify(largest)}`);
});

suitePackage('nothing is in it but what users need', () => {
  const paths = hypxe.pack.files.map((file) => file.path);
  const others = paths.filter((file) => !ALLOWED.some((pattern) => pattern.test(file)));
  assert.equal(others, []);
});

suitePackage('all that is built for it is in it', () => {
  const paths = hypxe.pack.files.map((file) => file.path);
  const wanted = [
    ...NAMES.map((name) => `dist/${name}.js`),
    ...TRACES.map((name) => `dist/traces/${name}.json`),
    'tools/capture/hypxe.lua',
    'tools/guests/README.md',
    'tools/library/README.md',
  ];
  assert.equal(
    wanted.filter((file) => !paths.includes(file)),
    [],
  );
});

suitePackage('of the recorded sessions, only a few small ones are in it', () => {
  const traces = hypxe.pack.files.filter((file) => file.path.startsWith('dist/traces/'));
  const bytes = traces.reduce((sum, { size }) => sum + size, 0);
  assert.ok(bytes > 0 && bytes <= TRACES_MAX, `${bytes} bytes`);
});

suitePackage('no file names a source map that is not there', () => {
  for (const { path: file } of hypxe.pack.files) {
    if (!/\.(?:js|ts)$/.test(file)) continue;
    const text = fs.readFileSync(path.join(hypxe.home, file), 'utf8');
    assert.not.match(text, /^\/\/# sourceMappingURL=/m, file);
  }
});

/** What the package has of the manual. */
const MANUAL = ['README.md', 'tools/guests/README.md', 'tools/library/README.md'];

suitePackage('no link of its manual leads nowhere', () => {
  const books = MANUAL.map((file) => ({
    path: file,
    text: fs.readFileSync(path.join(hypxe.home, file), 'utf8'),
  }));
  // The table of contents says itself that most rooms are in a checkout alone
  const rooms = /^(?:src|tools|firmware-tests)\/(?:[\w-]+\/)*README\.md$/;
  const packed = (file: string): boolean => fs.existsSync(path.join(hypxe.home, file));
  const [contents, ...others] = books;
  assert.match(
    contents!.text,
    /\(the npm package has `tools\/guests` and `tools\/library` alone\)/,
  );
  const lost = linksOf(contents!).filter(({ file }) => !packed(file) && !rooms.test(file));
  assert.equal(lost, []);
  assert.equal(brokenLinks(others, packed), []);
});

suitePackage('files that its manual names are there in a checkout', () => {
  for (const file of MANUAL.slice(1)) {
    const text = fs.readFileSync(path.join(hypxe.home, file), 'utf8');
    const named = [...text.matchAll(/`((?:\.\.\/)*(?:[\w-]+\/)*[\w-]+(?<!\.test)\.(?:ts|h|md))`/g)];
    for (const [, name = ''] of named) {
      const source = path.join(ROOT, path.dirname(file), name);
      assert.ok(fs.existsSync(source) || name === 'hypxe.h', `${file}: ${name}`);
    }
  }
});

suitePackage('each library is exported, with the declarations of its entry', () => {
  for (const { specifier, name, entry } of LIBRARIES) {
    assert.equal(manifest.exports[specifier], {
      types: `./dist/types/${entry.replace(/\.ts$/, '.d.ts')}`,
      default: `./dist/${name}.js`,
    });
  }
  // And nothing is exported that nobody builds
  const specifiers = LIBRARIES.map(({ specifier }) => specifier);
  assert.equal(Object.keys(manifest.exports), [...specifiers, './package.json']);

  const config = fs.readFileSync(path.join(ROOT, 'tools/build/tsconfig.types.json'), 'utf8');
  const { files } = JSON.parse(config) as { files: string[] };
  assert.equal(
    files,
    LIBRARIES.map(({ entry }) => `../../${entry}`),
  );
});

suitePackage('all that package.json names is there, and programs can be started', () => {
  const exported = Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  );
  for (const file of [...exported, ...Object.values(manifest.bin)]) {
    assert.ok(fs.existsSync(path.join(hypxe.home, file)), file);
  }
  for (const file of Object.values(manifest.bin)) {
    fs.accessSync(path.join(hypxe.home, file), fs.constants.X_OK);
  }
});

/** What a user of both libraries writes; the last line must be an error, or no types were found. */
const CONSUMER = `import * as firmware from 'hypxe';
import { boot, type BootResult, type Machine } from 'hypxe';
import { Network, SimulatedMachine, memoryFiles, profileNamed } from 'hypxe/simulator';
import * as library from 'hypxe/simulator';

const files = memoryFiles({ 'a.img': new Uint8Array(600) });
const network = new Network({ files, bootFile: 'a.img' });
const profile = profileNamed('server2022');
if (profile === undefined) throw new Error('no such host');
const memory = new ArrayBuffer(8 << 20);
const machine = new SimulatedMachine({ memory, profile, links: [network.link(0)], seed: 1 });
const seam: Machine = machine.bootProcessor;
const result: BootResult = boot(seam, {});
export const size: number | undefined = result.image?.length;
const plan: library.BootPlan = library.bootPlan({ faults: { loss: 0.1 }, steps: ['kexec'] });
const guest = new library.TrustedGuest(firmware, plan.memoryMiB << 20);
const module = new library.WasmProgram('x.wasm', new Uint8Array()).instantiate(4 << 20);
const outcome: library.BootOutcome = library.bootGuest(guest, plan, {
  onMachine: ({ events, bootSeam }) => {
    const lines = new library.TraceLines(bootSeam.memory);
    events.listen((event, now) => lines.host(event, now));
  },
  events: (event, guest, now) => library.traceLine({ guest, ...event }, now),
});
export const first: library.RunHeader = library.bootHeader(plan, { image: 'a.img' });
export const lines: string[] = library.bootReport(library.bootGuest(module, plan));
export const state: library.CheckState = library.checkState(outcome, 'unload');
export const groups = library.explore({ boot: guest }, { walks: 1 }).tally.groups;
export const passed: boolean = library.runScenario(library.SCENARIOS[0]!).passed;
// @ts-expect-error there is no such choice
library.bootPlan({ hosts: 'qemu' });
// @ts-expect-error a boot takes a machine
boot(1);
`;

for (const resolution of ['nodenext', 'bundler'] as const) {
  suitePackage(`a user's TypeScript compiles with ${resolution} resolution`, () => {
    const project = path.join(hypxe.folder, resolution);
    fs.mkdirSync(project);
    fs.writeFileSync(path.join(project, 'package.json'), '{"type":"module"}');
    fs.writeFileSync(path.join(project, 'use.ts'), CONSUMER);
    const compilerOptions = {
      ...{ strict: true, noEmit: true, skipLibCheck: false, target: 'es2022', lib: ['es2022'] },
      ...{ types: [], module: resolution === 'bundler' ? 'esnext' : 'nodenext' },
      ...{ moduleResolution: resolution, exactOptionalPropertyTypes: true },
    };
    fs.writeFileSync(
      path.join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['use.ts'] }),
    );
    const typescript = path.dirname(
      createRequire(import.meta.url).resolve('typescript/package.json'),
    );
    const { status, stdout } = spawnSync(
      process.execPath,
      [path.join(typescript, 'bin/tsc'), '-p', project],
      { encoding: 'utf8' },
    );
    assert.is(stdout, '');
    assert.is(status, 0);
  });
}

suitePackage('a script imports both libraries by their names, and boots', () => {
  const script = `import { boot } from 'hypxe';
import { Network, SimulatedMachine, memoryFiles, profileNamed } from 'hypxe/simulator';
const files = memoryFiles({ 'a.img': new Uint8Array(600) });
const network = new Network({ files, bootFile: 'a.img' });
const machine = new SimulatedMachine({
  memory: new ArrayBuffer(8 << 20),
  profile: profileNamed('server2022'),
  links: [network.link(0)],
  seed: 1,
});
const result = boot(machine.bootProcessor, {});
console.log(result.image?.name ?? result);
`;
  fs.writeFileSync(path.join(hypxe.folder, 'use.mjs'), script);
  assert.is(run(process.execPath, ['use.mjs'], hypxe.folder), 'a.img\n');
});

suitePackage('the command line replays the sessions that come with it, and boots', () => {
  const cli = path.join(hypxe.home, manifest.bin['hypxe']!);
  const replayed = run(process.execPath, [cli, 'replay', ...TRACES], hypxe.folder);
  assert.match(replayed, new RegExp(`^${TRACES.length} of ${TRACES.length} traces`, 'm'));
  const booted = run(process.execPath, [cli, 'boot', '--size', '600'], hypxe.folder);
  assert.match(booted, /^verdict: clean/m);
});

suitePackage.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Runs what the manual shows: the files of its examples and its commands, as printed, in a copy of
 * the tree. Which blocks of a README mean what stands in `tools/manual/README.md`.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ROOT, blocksOf, type Book } from '../../tools/manual/books.ts';

/** Longest that one command may take, in ms. */
const COMMAND_MAX_MS = 500_000;

/** What is copied of the top of the project; what npm has installed is only linked. */
const COPIED = ['src', 'tools', 'firmware-tests', 'dist', 'package.json', 'tsconfig.json'];
const COPIED_TEXTS = ['README.md', 'LICENSE'];

/** A file that an example is. */
export interface ExampleFile {
  readonly file: string;
  readonly text: string;
}

/** A command, how it ends, and lines that it prints. */
export interface ExampleCommand {
  readonly command: string;
  readonly exitCode: number;
  readonly prints: readonly string[];
}

/** The examples of a file of the manual, in order. */
export function examplesOf({ path: book, text }: Book): (ExampleFile | ExampleCommand)[] {
  const examples: (ExampleFile | ExampleCommand)[] = [];
  for (const { language, text: body, line, follows } of blocksOf(text)) {
    if (language === 'js' || language === 'ts') {
      const file = /^(?:\/\/ SPDX.*\n)?\/\/ (\S+\.(?:js|ts))\n/.exec(body)?.[1];
      if (file === undefined) throw new Error(`${book}:${line}: the example has no file name`);
      examples.push({ file, text: body });
    } else if (language === 'sh') {
      examples.push(...body.trim().split('\n').map(command));
    } else if (language === 'text' && follows) {
      const before = examples.at(-1);
      if (before === undefined || !('command' in before)) continue;
      examples[examples.length - 1] = { ...before, prints: body.trimEnd().split('\n') };
    }
  }
  return examples;
}

function command(line: string): ExampleCommand {
  const [, text = line, code = '0'] = /^(.*?)\s+# exit code ([0-9]+)$/.exec(line) ?? [];
  return { command: text, exitCode: Number(code), prints: [] };
}

/** A copy of the tree, in a directory of its own: what is done there is not done to the tree. */
export function copyOfTree(): string {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-manual-'));
  const folder = fs.realpathSync(made);
  for (const name of [...COPIED, ...COPIED_TEXTS]) {
    const from = path.join(ROOT, name);
    if (!fs.existsSync(from)) continue;
    fs.cpSync(from, path.join(folder, name), { recursive: true, filter: isNeeded });
  }
  fs.symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  return folder;
}

/** Declarations and source maps are large, and no example needs those that are there. */
function isNeeded(file: string): boolean {
  return !/[/\\]dist[/\\](?:types$|.*\.map$)/.test(file);
}

/** All files of a copy but those in `out`, `dist` and the installed packages, with their sizes. */
function filesOf(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !/^(?:out|dist|node_modules)\//.test(path.relative(folder, file)))
    .map((file) => `${path.relative(folder, file)} ${fs.statSync(file).size}`)
    .sort();
}

/** Put an example's file where it belongs. */
export function writeExample(folder: string, { file, text }: ExampleFile): void {
  fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
  fs.writeFileSync(path.join(folder, file), text);
}

/**
 * Add a test for each example of some books, all in one copy of the tree, and for what they leave.
 *
 * @param skip examples of the first book that are left out
 */
export function testExamples(
  test: ReturnType<typeof suite>,
  books: readonly Book[],
  skip = 0,
): void {
  let folder = '';
  let before: string[] = [];
  test.before(() => {
    folder = copyOfTree();
    before = filesOf(folder);
  });
  test.after(() => fs.rmSync(folder, { recursive: true, force: true }));

  const written: string[] = [];
  for (const [index, book] of books.entries()) {
    for (const example of examplesOf(book).slice(index === 0 ? skip : 0)) {
      if ('file' in example) written.push(example.file);
      const what = 'file' in example ? `writes ${example.file}` : example.command;
      test(`${book.path} ${what}`, () => {
        if ('file' in example) writeExample(folder, example);
        else runExample(folder, example);
      });
    }
  }
  test('the examples leave nothing behind but what they say', () => {
    const left = filesOf(folder).filter((file) => !written.includes(file.split(' ')[0]!));
    assert.equal(left, before);
  });
}

function runExample(folder: string, { command, exitCode, prints }: ExampleCommand): void {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
    ...{ cwd: folder, encoding: 'utf8', timeout: COMMAND_MAX_MS },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  assert.is(status, exitCode, `${command}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  const lines = stdout.split('\n');
  for (const line of prints) assert.ok(lines.includes(line), `${command}\nlacks: ${line}`);
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Checks the project's own rules on the whole tree: `npm run check` calls it after the type checker
 * and prettier.
 *
 *     node tools/build/tidy.mjs [--warnings]
 *
 * Prints each error as `file:line: rule: text`; exit code 1 if there is one. Warnings are counted
 * in one line in front of the errors; `--warnings` lists them: files above the 300 lines that a
 * file should have, and what lies at the top without being a part of the project.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMain } from './is-main.mjs';
import { sourceFile } from './source-file.mjs';
import { unknownKinds } from './tidy-kinds.mjs';
import { checkSource } from './tidy-rules.mjs';
import { importCircles, looseFiles } from './tidy-tree.mjs';

/** @typedef {import('./source-file.mjs').Finding} Finding */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The three houses, and all that may stand beside them. */
const HOUSES = ['src', 'tools', 'firmware-tests'];
const AT_THE_TOP = [
  ...HOUSES,
  ...['package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'LICENSE'],
  ...['node_modules', 'dist'],
];

/** Files that are code or text of the project; the golden data are others' and stay as they are. */
const CHECKED = /\.(?:ts|mjs|js|json|md|sh|lua)$/;
const GOLDEN = 'firmware-tests/golden/';

/**
 * All findings in a tree.
 *
 * @param {string} root
 * @returns {Finding[]}
 */
export function checkTree(root = ROOT) {
  const all = [];
  const paths = [];
  const files = [];
  for (const house of HOUSES) {
    if (!existsSync(join(root, house))) continue;
    for (const entry of readdirSync(join(root, house), { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath ?? entry.path, entry.name);
      const path = relative(root, file).split(sep).join('/');
      if (entry.isDirectory()) continue;
      // A link has the name of one file and the contents of another
      all.push(entry.isFile() ? path : `${path} (no file)`);
      if (!entry.isFile() || path.startsWith(GOLDEN)) continue;
      paths.push(path);
      if (!CHECKED.test(path)) continue;
      files.push(sourceFile(path, readFileSync(file, 'utf8')));
    }
  }
  const findings = [
    ...atTheTop(root),
    ...unknownKinds(all),
    ...looseFiles(paths),
    ...importCircles(files),
    ...files.flatMap(checkSource),
  ];
  return findings.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.line - b.line));
}

/**
 * What lies at the top of the tree and does not belong there. What somebody works with there (a
 * log, an own firmware) is no part of the project, and only a warning: committing it is the error.
 *
 * @param {string} root
 * @returns {Finding[]}
 */
function atTheTop(root) {
  const committed = gitFiles(root, '--cached');
  const ignored = gitFiles(root, '--others', '--ignored', '--exclude-standard', '--directory');
  return topLevel(readdirSync(root))
    .filter(({ path }) => !ignored?.has(path))
    .map((finding) => ({ ...finding, warning: !committed?.has(finding.path) }));
}

/**
 * The first parts of the paths that `git ls-files` lists, or undefined if there is no git here.
 *
 * @param {string} root
 * @param {readonly string[]} which
 */
function gitFiles(root, ...which) {
  try {
    const list = execFileSync('git', ['ls-files', '-z', ...which], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 1 << 26,
    });
    return new Set(list.split('\0').map((path) => path.split('/')[0] ?? ''));
  } catch {
    return undefined;
  }
}

/**
 * Nothing at the top but the houses, dot files, and what npm wants there.
 *
 * @param {readonly string[]} names
 * @returns {Finding[]}
 */
export function topLevel(names) {
  return names
    .filter((name) => !name.startsWith('.') && !AT_THE_TOP.includes(name))
    .map((name) => ({
      path: name,
      line: 1,
      rule: 'top-level',
      text: 'does not belong at the top',
    }));
}

/** @param {Finding} finding */
export function findingText({ path, line, rule, text, warning }) {
  return `${path}:${line}: ${rule}${warning ? ' (warning)' : ''}: ${text}`;
}

/**
 * What is printed about findings: the warnings first, in one line unless they are asked for, and
 * the errors last, where they are seen.
 *
 * @param {readonly Finding[]} findings
 * @param {boolean} [listWarnings]
 * @returns {string[]}
 */
export function report(findings, listWarnings = false) {
  const warnings = findings.filter(({ warning }) => warning);
  const errors = findings.filter(({ warning }) => !warning);
  const lines = [];
  if (listWarnings) lines.push(...warnings.map(findingText));
  else if (warnings.length > 0) lines.push(warningCount(warnings));
  lines.push(...errors.map(findingText));
  if (errors.length > 0) lines.push(`tidy: ${counted(errors.length, 'error')}`);
  return lines;
}

/** @param {readonly Finding[]} warnings */
function warningCount(warnings) {
  const rules = [...new Set(warnings.map(({ rule }) => rule))].sort();
  const parts = rules.map((name) => {
    const count = warnings.filter(({ rule }) => rule === name).length;
    return `${name} ${count}`;
  });
  const how = 'node tools/build/tidy.mjs --warnings lists them';
  return `tidy: ${counted(warnings.length, 'warning')} (${parts.join(', ')}); ${how}`;
}

/** @param {number} count @param {string} noun */
const counted = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** @param {readonly string[]} args */
function main(args) {
  const unknown = args.find((arg) => arg !== '--warnings');
  if (unknown !== undefined) {
    console.error(`tidy: unknown option ${unknown} (known: --warnings)`);
    return 2;
  }
  const findings = checkTree();
  for (const line of report(findings, args.includes('--warnings'))) console.log(line);
  return findings.some((finding) => !finding.warning) ? 1 : 0;
}

if (isMain(import.meta.url)) process.exitCode = main(process.argv.slice(2));

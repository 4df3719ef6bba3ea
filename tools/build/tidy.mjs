// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Checks the project's own rules on the whole tree: `npm run check` calls it after the type checker
 * and prettier. Prints each finding as `file:line: rule: text`; exit code 1 if there is one that is
 * not a warning.
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sourceFile } from './source-file.mjs';
import { checkSource } from './tidy-rules.mjs';
import { importCircles, looseFiles } from './tidy-tree.mjs';

/** @typedef {import('./source-file.mjs').Finding} Finding */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The three houses, and all that may stand beside them. */
const HOUSES = ['src', 'tools', 'firmware-tests'];
const AT_THE_TOP = [
  ...HOUSES,
  ...['package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'LICENSE'],
  ...['node_modules', 'dist', 'out'],
];

/** Files that are code or text of the project; the golden data are others' and stay as they are. */
const CHECKED = /\.(?:ts|mjs|js|json|md|sh)$/;
const GOLDEN = 'firmware-tests/golden/';

/**
 * All findings in a tree.
 *
 * @param {string} root
 * @returns {Finding[]}
 */
export function checkTree(root = ROOT) {
  const paths = [];
  const files = [];
  for (const house of HOUSES) {
    if (!existsSync(join(root, house))) continue;
    for (const entry of readdirSync(join(root, house), { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath ?? entry.path, entry.name);
      const path = relative(root, file).split(sep).join('/');
      if (!entry.isFile() || entry.name.startsWith('.') || path.startsWith(GOLDEN)) continue;
      paths.push(path);
      if (!CHECKED.test(path)) continue;
      files.push(sourceFile(path, readFileSync(file, 'utf8')));
    }
  }
  const findings = [
    ...topLevel(readdirSync(root)),
    ...looseFiles(paths),
    ...importCircles(files),
    ...files.flatMap(checkSource),
  ];
  return findings.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.line - b.line));
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const findings = checkTree();
  for (const finding of findings) console.log(findingText(finding));
  process.exitCode = findings.some((finding) => !finding.warning) ? 1 : 0;
}

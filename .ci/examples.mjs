// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Runs the examples of a README as printed, in the checkout itself: each line of each `sh` block
 * but the first one, which is the newcomer's. `# exit code N` behind a command says how it ends.
 * A `js` or `ts` block that begins with `// out/NAME` is that file.
 *
 *     node .ci/examples.mjs README.md
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Longest that one command may take, in ms. */
const COMMAND_MAX_MS = 600_000;

/** @param {string} line @returns {boolean} whether it ended as it should */
function run(line) {
  const [, command = line, code = '0'] = /^(.*?)\s+# exit code (\d+)$/.exec(line) ?? [];
  const begin = performance.now();
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: COMMAND_MAX_MS,
  });
  console.log(`${((performance.now() - begin) / 1000).toFixed(1).padStart(6)} s  ${command}`);
  if (status === Number(code)) return true;
  console.log(`examples: exit code ${status}, not ${code}: ${command}\n${stdout}${stderr}`);
  return false;
}

/** @param {string} text @returns {boolean} whether all commands ended as they should */
function runAll(text) {
  let newcomers = true;
  let commands = 0;
  for (const [, language, body = ''] of text.matchAll(/^```([a-z]*)\n([\s\S]*?)^```$/gm)) {
    const file = /^\/\/ (out\/\S+\.(?:js|ts))\n/.exec(body)?.[1];
    if ((language === 'js' || language === 'ts') && file !== undefined) {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, body);
    }
    if (language !== 'sh') continue;
    if (newcomers) {
      newcomers = false;
      continue;
    }
    for (const line of body.trim().split('\n')) {
      if (!run(line)) return false;
      commands++;
    }
  }
  console.log(`examples: ${commands} commands work as printed`);
  return commands > 0;
}

const [file, ...others] = process.argv.slice(2);
if (file === undefined || others.length > 0) {
  console.error('usage: node .ci/examples.mjs README.md');
  process.exitCode = 2;
} else {
  process.exitCode = runAll(readFileSync(file, 'utf8')) ? 0 : 1;
}

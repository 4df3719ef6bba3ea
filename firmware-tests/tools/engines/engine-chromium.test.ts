// SPDX-License-Identifier: GPL-2.0-or-later

/** The bundles in a browser: headless Chromium opens a page that boots and shows the digest. */

import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { engineModules, nodeDigest } from '../../rigs/engine-rig.ts';
import { missing, output, removeDirectory } from '../../rigs/tool-rig.ts';

const chromium = suite('engines: Chromium');

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A page of its own: modules are data, so that there need be no server. */
async function page(): Promise<string> {
  const modules = await engineModules();
  const url = (name: string): string => {
    const bytes = Buffer.from(modules[name]!);
    return JSON.stringify(`data:text/javascript;base64,${bytes.toString('base64')}`);
  };
  return `<!doctype html><meta charset="utf-8"><body><script type="module">
import * as firmware from ${url('hypxe.js')};
import * as simulator from ${url('simulator.js')};
import { bootDigest } from ${url('engine.js')};
document.body.textContent = JSON.stringify(bootDigest(firmware, simulator));
</script></body>`;
}

chromium('the same bundles boot, and all that happens is what happens in Node', async () => {
  if (missing('chromium', 'chromium')) return;
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-chromium-'));
  try {
    const file = path.join(directory, 'boot.html');
    fs.writeFileSync(file, await page());
    const profile = `--user-data-dir=${path.join(directory, 'profile')}`;
    const url = pathToFileURL(file).href;
    const document = await output('chromium', [...FLAGS, profile, '--dump-dom', url]);
    const body = /<body>(.*)<\/body>/s.exec(document)?.[1] ?? '';
    assert.match(body, /^\{/, 'the page shows no digest');
    const expected = await nodeDigest();
    assert.is(expected.status, 'booted');
    assert.equal(JSON.parse(body), expected);
  } finally {
    await removeDirectory(directory);
  }
});

chromium('a profile that is still written to when the browser has ended is removed', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-profile-'));
  const profile = path.join(directory, 'Default');
  fs.mkdirSync(profile);
  const writer = `for i in $(seq 50000); do : > '${profile}'/$i || exit 0; done 2>/dev/null`;
  const child = spawn('sh', ['-c', writer], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('close', resolve));
  while (fs.readdirSync(profile).length < 1000)
    await new Promise((resolve) => setTimeout(resolve, 1));
  await removeDirectory(directory);
  await ended;
  assert.not(fs.existsSync(directory));
});

chromium.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** The page of a PC, in a browser: made by the command, opened from disk, boots Debian's iPXE. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import * as assert from 'uvu/assert';
import { hypxe } from '../../rigs/cli-rig.ts';
import { PageSuite } from '../../rigs/report/page-suite.ts';

/** Debian's iPXE, and SeaBIOS. */
const IPXE = '/boot/ipxe.lkrn';
const BIOS = '/usr/share/seabios/bios.bin';

const pages = new PageSuite(
  'report: a PC in a browser',
  lacks(IPXE, 'ipxe') || lacks(BIOS, 'seabios'),
);
const { browser, directory, page, textOf } = pages;
const index = path.join(directory, 'pc', 'index.html');

/** Whether a file is missing: then as `missing` does. @throws Error */
function lacks(file: string, debianPackage: string): boolean {
  if (fs.existsSync(file)) return false;
  const text = `${file} is not there (apt-get install ${debianPackage})`;
  if (process.env.HYPXE_REQUIRE_TOOLS === '1') throw new Error(text);
  console.log(`\n  left out: ${text}`);
  return true;
}

pages.before(async () => {
  const { code, out, error } = await hypxe('report', '--demo-pc', path.dirname(index));
  assert.equal({ code, out, error }, { code: 0, out: '', error: '' });
});

const VERDICT = 'document.querySelector("p.verdict[role=status]")';
const LOG = 'document.querySelector("[role=log]").textContent';
const ALERT = 'document.querySelector("[role=alert]").textContent';

async function open(choices = '', file = index): Promise<void> {
  browser.complaints.length = browser.requests.length = 0;
  await browser.open('about:blank#');
  await browser.open(`${pathToFileURL(file).href}${choices}`);
  await browser.until('document.querySelector("form")');
}

/** Choose a file, and run: Enter in the form. */
async function run(file: string): Promise<void> {
  const { root } = await browser.send('DOM.getDocument');
  const at = { nodeId: (root as { nodeId: number }).nodeId, selector: 'input[type=file]' };
  const { nodeId } = await browser.send('DOM.querySelector', at);
  await browser.send('DOM.setFileInputFiles', { nodeId, files: [file] });
  await browser.evaluate('document.querySelector("input[name=seed]").focus()');
  await browser.press('Enter');
}

page('iPXE boots to its verdict: console, lanes, audit, nothing from a network', async () => {
  await open();
  await run(IPXE);
  await browser.until(`/iPXE 1/.test(${LOG})`);
  await browser.until(VERDICT);
  const said = await browser.evaluate<string>(`${VERDICT}.textContent`);
  assert.is(said, '✓ clean: the host has nothing of this guest any more, 2 warnings');
  assert.match(await browser.evaluate(LOG), /tftp:\/\/192\.168\.77\.1\/hypxe\.lkrn\.\.\. ok/);
  assert.match(await browser.evaluate(LOG), /hypxe: the boot program runs$/);
  assert.equal(browser.complaints, []);
  const others = browser.requests.filter((url) => !/^(?:file:|blob:null\/|about:)/.test(url));
  assert.equal(others, []);

  // The audit says what iPXE leaves, and its lanes are there by name
  assert.match(await textOf('#audit-leftovers'), /event flag 0 of SINT2 of VP 0 is set/);
  await browser.evaluate('document.getElementById("tab-audit").focus()');
  await browser.press('2');
  const names = (await browser.accessible()).filter(({ role }) => role === 'option');
  assert.ok(names.some(({ name }) => /^receive buffer.*: shared .* by the iPXE/.test(name)));
});

page('what is typed gets there, and a wrong key is said in words', async () => {
  const keys = (text: string) => `#keys=${encodeURIComponent(text)}`;
  await open(keys('\\q'));
  await run(IPXE);
  await browser.until(ALERT);
  assert.match(await browser.evaluate(ALERT), /^what is typed: .*Choose something else\.$/);

  await open(keys('\\x02echo seen\\n'));
  await run(IPXE);
  await browser.until(`/\\n.*s  seen(\\n|$)/.test(${LOG})`);
  await browser.until(VERDICT);
  const said = await browser.evaluate<string>(`${VERDICT}.textContent`);
  assert.match(said, /^✕ .*nothing has come from the PC for 90 s/);
});

page('what is missing, or is no program, is said in words', async () => {
  await open();
  await browser.evaluate('document.querySelector("button.main").click()');
  await browser.until(ALERT);
  assert.is(await browser.evaluate(ALERT), 'No file is chosen: Program is what runs.');
  const focused = 'document.activeElement.type';
  assert.is(await browser.evaluate(focused), 'file');

  await run('/bin/true');
  await browser.until(`/ELF/.test(${ALERT})`);
  assert.match(
    await browser.evaluate(ALERT),
    /^true is an ELF file for 64 bits: a BIOS starts none. Give a .lkrn or bzImage file, an ISO/,
  );

  const alone = path.join(directory, 'alone.html');
  fs.copyFileSync(index, alone);
  await open('', alone);
  await run(IPXE);
  await browser.until(ALERT);
  const text = 'v86.js and seabios.js must lie beside this page: keep them together.';
  assert.is(await browser.evaluate(ALERT), text);
});

pages.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** The page that boots, in a browser: made by the command, opened from disk, used by keyboard. */

import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import * as assert from 'uvu/assert';
import { hypxe } from '../../rigs/cli-rig.ts';
import { PageSuite } from '../../rigs/report/page-suite.ts';

const pages = new PageSuite('report: a demo in a browser');
const { browser, directory, page, focused, tabTo, textOf, count, named } = pages;
const file = path.join(directory, 'demo.html');

pages.before(async () => {
  const { code, out, error } = await hypxe('report', '--demo', file);
  assert.equal({ code, out, error }, { code: 0, out: '', error: '' });
});

/** The verdict, in words: set once a run is over. */
const VERDICT = 'document.querySelector("p.verdict[role=status]")';

/** Open the page, and wait for a run: its verdict. */
async function open(choices = '', width = 1280, dark = false): Promise<string> {
  browser.complaints.length = browser.requests.length = 0;
  // Another address is another page; one that differs behind the # only is not loaded anew
  await browser.open('about:blank#');
  await browser.open(`${pathToFileURL(file).href}${choices}`, width, 800, dark);
  return verdict();
}

async function verdict(): Promise<string> {
  await browser.until(VERDICT);
  return browser.evaluate<string>(`${VERDICT}.textContent`);
}

page('opened from disk it boots, loads nothing, and says the verdict in words', async () => {
  assert.is(await open(), '✓ clean: the host has nothing of this guest any more');
  assert.equal(browser.complaints, []);
  const others = browser.requests.filter((url) => !/^(?:file:|blob:null\/|about:)/.test(url));
  assert.equal(others, []);
  assert.is(await count('td.state.ok'), 18);
  const fields = ['Host', 'Network', 'Then', 'The host'];
  const boxes = await named('combobox');
  for (const field of fields) assert.ok(boxes.includes(field), `${field}: ${boxes.join()}`);
  assert.equal((await named('spinbutton')).slice(0, 3), ['NICs', 'Seed', 'Processors']);
  assert.ok((await named('group')).includes('The firmware forgets'));
  assert.equal(
    (await named('button')).filter((name) => /^(?:Run|Stop)$/.test(name)),
    ['Run', 'Stop'],
  );
});

page('a forgotten revocation, by keyboard: the red crossing, and what the audit says', async () => {
  await open();
  await tabTo(/^ ?UNLOAD$/);
  await browser.press(' ');
  await tabTo(/reserve what it could not/);
  await browser.press(' ');
  await browser.press('Tab');
  assert.is(await focused(), 'Run');
  await browser.press('Enter');
  await browser.until(`${VERDICT} && /findings/.test(${VERDICT}.textContent)`);
  assert.match(await verdict(), /^✕ findings: the audit has \d+ errors/);
  assert.match(await browser.evaluate('location.hash'), /forgets=unload%2Cuntold/);

  // The audit names it, and leads to the lane
  const row = await textOf('#audit-unload');
  assert.match(row, /ERROR/);
  assert.match(row, /no UNLOAD was sent: the host believes that the guest is connected/);
  await browser.evaluate(`[...document.querySelectorAll('#audit-shared-pages button.link')]
    .find((each) => each.textContent === 'interrupt page').focus()`);
  await browser.press('Enter');
  assert.match(await focused(), /^interrupt page: .*crosses the handoff of the firmware; written/);
  const lane = '#panel-ownership [aria-selected=true]';
  assert.is(await count(`${lane} rect[fill="var(--bad)"]`), 1);
  assert.is(await count(`${lane} rect[fill="url(#stripes)"]`), 1);

  // Beside the clean run it is the message that is missing
  await browser.press('5');
  const compared = await textOf('#panel-compare');
  assert.match(compared, /− missing: The clean run goes on with UNLOAD/);
});

page('a fault of the host is chosen, and the runs are compared', async () => {
  assert.match(await open('#fault=busy&seed=3'), /^✓ clean/);
  assert.match(await textOf('#run header'), /seed 3 .*fault busy/);
  await browser.press('5');
  assert.match(await textOf('#panel-compare'), /Where the runs part[^]*extra/);

  // Another one, by its list; the view that is looked at stays
  await browser.evaluate('document.querySelector("select[name=fault]").focus()');
  await browser.press('n', 'Tab');
  const chosen = 'document.querySelector("select[name=fault]").selectedOptions[0].text';
  assert.is(await browser.evaluate(chosen), 'never answers UNLOAD');
  await browser.evaluate('document.querySelector("button.main").focus()');
  await browser.press('Enter');
  await browser.until(`${VERDICT} && /NoResponse/.test(${VERDICT}.textContent)`);
  assert.match(await verdict(), /^✕ findings: nothing was booted \(NoResponse\)/);
  assert.is(await browser.evaluate('document.querySelector("#panel-compare").hidden'), false);
  assert.match(await textOf('#panel-compare'), /missing/);
});

page(
  'a wrong choice is an error that can be read, and the next run is as good as ever',
  async () => {
    await open();
    const seed = 'document.querySelector("input[name=seed]")';
    await browser.evaluate(`${seed}.removeAttribute('min'), ${seed}.value = '-1', ${seed}.focus()`);
    await browser.press('Enter');
    const alert = 'document.querySelector("[role=alert]").textContent';
    await browser.until(alert);
    assert.is(
      await browser.evaluate(alert),
      'seed is "-1": give a whole number from 0 to 4294967295. Choose something else.',
    );
    await browser.evaluate(`${seed}.value = '2', ${seed}.focus()`);
    await browser.press('Enter');
    assert.match(await verdict(), /^✓ clean/);
    assert.is(await browser.evaluate(alert), '');
  },
);

page('a run is stopped, and the page goes on', async () => {
  await open();
  await browser.evaluate('document.querySelector("button.main").click()');
  await browser.until('!document.querySelector(".run button:last-child").disabled');
  await browser.evaluate('document.querySelector(".run button:last-child").click()');
  assert.is(await textOf('[role=status]'), 'It was stopped.');
  await browser.evaluate('document.querySelector("button.main").click()');
  assert.match(await verdict(), /^✓ clean/);
});

page('a run that fails on its way: the error, and what there is of the run', async () => {
  await open();
  // The worker is a new one after a stop
  await browser.evaluate('document.querySelector("button.main").click()');
  await browser.until('!document.querySelector(".run button:last-child").disabled');
  await browser.evaluate(`(() => {
    const [run, stop] = document.querySelectorAll('.run button');
    stop.click();
    const told = [
      { kind: 'line', text: 'a line' },
      { kind: 'events', ms: 1, events: [{ ms: 1, kind: 'stage', stage: 'firmware' }] },
      { kind: 'failed', text: 'it is broken', advice: 'This is a mistake of the simulator.' },
    ];
    globalThis.Worker = class {
      postMessage() {
        for (const data of told) this.onmessage({ data });
      }
    };
    document.querySelector('#run').replaceChildren();
    run.click();
  })()`);
  const alert = 'document.querySelector("[role=alert]").textContent';
  await browser.until(alert);
  const said = 'it is broken. This is a mistake of the simulator.';
  assert.is(await browser.evaluate(alert), said);
  assert.match(await textOf('#run header'), /it failed/);
  await browser.press('5');
  assert.match(await textOf('#panel-compare'), /The run has failed\./);
});

page('dark and narrow: other colours, nothing wider than the window', async () => {
  const background = 'getComputedStyle(document.body).backgroundColor';
  await open();
  const light = await browser.evaluate(background);
  await open('#forgets=unload', 400, true);
  assert.is.not(await browser.evaluate(background), light);
  for (const key of ['1', '2', '3', '4', '5']) {
    await browser.press(key);
    const wide = await browser.evaluate<number>('document.documentElement.scrollWidth');
    assert.ok(wide <= 400, `view ${key} is ${wide} wide`);
  }
});

pages.run();

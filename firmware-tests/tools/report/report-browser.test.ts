// SPDX-License-Identifier: GPL-2.0-or-later

/** Reports in a browser: Chromium opens them from disk, and uses them by keyboard. */

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { reportHtml } from '../../../tools/report/html.ts';
import type { TraceRecord } from '../../../tools/report/model/record.ts';
import { Browser } from '../../rigs/report/browser.ts';
import { LEAK, madeTrace, tracedBoot } from '../../rigs/report/traces.ts';
import { missing } from '../../rigs/tool-rig.ts';

const inBrowser = suite('report: in a browser');

const script = fs.readFileSync(new URL('../../../dist/report-page.js', import.meta.url), 'utf8');
const left = missing('chromium', 'chromium');
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-report-browser-'));
let browser: Browser;

inBrowser.before(() => {
  if (!left) browser = new Browser();
});

inBrowser.after(async () => {
  if (!left) await browser.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** A test that leaves itself out where there is no browser. */
function page(name: string, test: () => Promise<void>): void {
  inBrowser(name, () => (left ? undefined : test()));
}

/** Open the report of a run. Nothing may be loaded, and nothing may be complained of. */
async function open(
  events: readonly TraceRecord[],
  { clean, width = 1280, dark = false }: Partial<Opening> = {},
): Promise<void> {
  const file = path.join(directory, 'report.html');
  fs.writeFileSync(file, reportHtml({ script, events, clean, title: 'a run' }));
  browser.complaints.length = 0;
  browser.requests.length = 0;
  await browser.open(pathToFileURL(file).href, width, 800, dark);
  await browser.until('document.querySelector("[role=tab]")');
  assert.equal(browser.complaints, []);
  assert.equal(
    browser.requests.filter((url) => !url.startsWith('file:')),
    [],
  );
}

interface Opening {
  readonly clean: readonly TraceRecord[];
  readonly width: number;
  readonly dark: boolean;
}

/** Name of the element with the focus, as a screen reader says it. */
const focused = () =>
  browser.evaluate<string>(
    'document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent',
  );

/** What stands beside the views. */
const details = () => browser.evaluate<string>('document.querySelector("aside").innerText');

/** Lengths of what is visible: how wide the page is, and how many rows there are. */
const count = (selector: string) =>
  browser.evaluate<number>(`document.querySelectorAll(${JSON.stringify(selector)}).length`);

/** Give the focus to the link of this name. */
const focusLink = (within: string, name: RegExp) =>
  browser.evaluate(
    `[...document.querySelectorAll('${within} button.link')]
      .find((each) => ${String(name)}.test(each.textContent)).focus()`,
  );

/** Names of what has this role. */
async function named(role: string): Promise<string[]> {
  return (await browser.accessible()).filter((each) => each.role === role).map(({ name }) => name);
}

page('a clean boot: verdict, checks, lanes, all by keyboard', async () => {
  await open(tracedBoot());
  const views = ['1 Audit', '2 Page ownership', '3 Addresses', '4 Sequence', '5 Compare'];
  assert.equal(await named('tab'), views);
  assert.match(await browser.evaluate('document.querySelector("header").innerText'), /✓ clean/);
  assert.is(await count('#panel-audit tbody tr'), 18);
  assert.is(await count('td.state.ok'), 18);

  // By the tabs' own arrows, then into the lanes
  await browser.press('Tab', 'ArrowRight');
  assert.is(await focused(), '2 Page ownership');
  const lanes = (await named('option')).filter((name) => name.includes(': shared'));
  assert.match(lanes[0]!, /^hypercall page: shared at [\d.]+ ms by the firmware with wrmsr HYPER/);
  assert.match(lanes[0]!, /; revoked at [\d.]+ ms by wrmsr HYPERCALL on VP 0$/);
  assert.not.ok(lanes.some((name) => /crosses/.test(name)));
  await browser.evaluate('document.querySelector("#panel-ownership [role=option]").focus()');
  await browser.press('ArrowDown', 'ArrowDown');
  assert.match(await focused(), /^event page of VP 0/);
  assert.match(await details(), /^event page of VP 0\n/);
  await browser.press('End');
  assert.ok((await focused()) !== '' && !/^event page of VP 0/.test(await details()));

  // In and out of a piece of it
  const times = () =>
    browser.evaluate<string>('document.querySelector("#panel-ownership .axis").textContent');
  const whole = await times();
  await browser.press('+');
  assert.is.not(await times(), whole);
  await browser.press('ArrowRight');
  const right = await times();
  await browser.press('ArrowLeft');
  assert.is.not(await times(), right);
  await browser.press('0');
  assert.is(await times(), whole);
});

page(
  'a leak: red and marked, written late, linked from the audit, missing in the comparison',
  async () => {
    await open(tracedBoot({ firmware: LEAK }), { clean: tracedBoot() });
    assert.ok((await count('td.state.error')) >= 4);
    await focusLink('#panel-audit', /^receive buffer/);
    await browser.press('Enter');
    const lane = await focused();
    assert.match(lane, /^receive buffer/);
    assert.match(lane, /crosses the handoff of the firmware; written late 1 times$/);

    // Its picture: stripes over the red, a sign at the handoff, a cross for the late write
    const row = '#panel-ownership [aria-selected=true]';
    assert.is(await count(`${row} rect[fill="url(#stripes)"]`), 1);
    assert.is(await count(`${row} rect[fill="var(--bad)"]`), 1);
    const texts = `[...document.querySelectorAll('${row} svg text')]`;
    assert.equal(await browser.evaluate(`${texts}.map((each) => each.textContent)`), ['!', '✕']);
    assert.match(await details(), /could still touch it after a handoff/);

    // To the message that shared it
    await focusLink('aside', /^GPADL_HEADER$/);
    await browser.press('Enter');
    assert.match(await focused(), /guest to host: GPADL_HEADER channel 3/);
    assert.match(await details(), /VMBUS: GPADL_HEADER/);

    await browser.press('5');
    const compared = await browser.evaluate<string>(
      'document.querySelector("#panel-compare").innerText',
    );
    assert.match(compared, /^Where the runs part\n\n− missing: The clean run goes on with SET in/);
    assert.match(compared, /− missing\t[\d.]+\tUNLOAD/);
  },
);

page('the addresses: from grant to grant by arrows, and to its lane', async () => {
  await open(tracedBoot({ firmware: LEAK }));
  await browser.press('3');
  await browser.evaluate('document.querySelector("canvas").focus()');
  assert.match(await focused(), /^Addresses by time: \d+ pages that were shared/);
  await browser.press('ArrowDown', 'ArrowDown', 'ArrowDown');
  const said = await browser.evaluate<string>(
    'document.querySelector("#panel-memory .legend").textContent',
  );
  assert.match(said, /: shared at [\d.]+ ms by the /);
  // Something is drawn, and not all in one colour
  const colours = await browser.evaluate<number>(`(() => {
    const canvas = document.querySelector('canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 3).join());
    return seen.size;
  })()`);
  assert.ok(colours > 4, `${colours} colours`);
  await browser.press('Enter');
  assert.is(await focused(), said);
});

page('the sequence: searched, filtered, with the answer that never came', async () => {
  await open(tracedBoot({ firmware: LEAK }));
  await browser.press('/');
  for (const key of 'unload') await browser.press(key);
  await browser.press('Enter');
  const selected = '#panel-sequence [aria-selected=true]';
  const name = `document.querySelector('${selected}').getAttribute('aria-label')`;
  assert.match(await browser.evaluate(name), /unload/i);
  await browser.evaluate(`document.querySelector('${selected}').focus()`);
  for (let i = 0; i < 10 && !/host to guest: UNLOAD_RESPONSE/.test(await focused()); i++) {
    assert.match(await focused(), /unload/i);
    await browser.press('n');
  }
  assert.match(await focused(), /host to guest: UNLOAD_RESPONSE/);

  // A frame is not shown until it is asked for
  const layers = 'document.querySelector("#panel-sequence input[name=net]")';
  const status = 'document.querySelector("#panel-sequence [role=status]").textContent';
  const events = async (): Promise<number> => {
    await browser.evaluate(`${layers}.click()`);
    return parseInt(await browser.evaluate<string>(status), 10);
  };
  const many = await events();
  assert.ok(many > (await events()));

  // Nobody answers: a row of its own, broken in the middle
  const post = (type: string) => `${'00'.repeat(16)}${type}${'00'.repeat(7)}`;
  await open(madeTrace({ kind: 'hypercall', code: 0x5c, input: post('10'), status: 0 }));
  await browser.press('4');
  assert.ok((await named('option')).some((name) => /never came: no answer to UNLOAD$/.test(name)));
  assert.is(await count('#panel-sequence .row line[stroke-dasharray="5 3"]'), 1);
});

page('a chain: each owner a band, each handoff a line', async () => {
  const chain = { memoryMiB: 64, machine: { processors: 2 } };
  await open(tracedBoot({ ...chain, flow: { steps: ['kexec', 'crash'] } }));
  await browser.press('2');
  const owners = `[...document.querySelectorAll('#panel-ownership select')].at(-1).innerText`;
  assert.equal((await browser.evaluate<string>(owners)).split('\n'), [
    ...['whole run', 'firmware', 'OS', 'kexec 1', 'crash kernel', 'second boot'],
  ]);
  assert.is(await count('#panel-ownership .axis rect'), 5);
  assert.is(await count('#panel-ownership .axis line[y2="100%"]'), 5);
  assert.ok(
    (await named('option')).some((name) => /crosses the handoff of the kexec 1/.test(name)),
  );
});

page('a hostile guest: its text is text', async () => {
  const own = "document.title='owned'";
  const hostile = `</script><img src=x onerror="${own}"><script>${own}</script>`;
  await open(
    madeTrace(
      { kind: 'run', trace: 1, command: hostile, [hostile]: hostile },
      { kind: 'stage', stage: hostile },
      { kind: 'log', guest: hostile, level: 'error', layer: hostile, object: '', text: hostile },
      { kind: 'grant', grant: { id: 1, kind: hostile, purpose: hostile, grantedBy: hostile } },
      { kind: 'finding', check: 'channels', severity: 'error', text: hostile, grant: 1 },
    ),
  );
  for (const key of ['2', '3', '4', '5', '1']) await browser.press(key);
  await browser.press('4', 'Tab');
  await browser.evaluate('document.querySelector("#panel-sequence [tabindex=\\"0\\"]").focus()');
  await browser.press('ArrowDown', 'ArrowDown');
  assert.ok((await details()).includes(hostile));
  assert.is(await browser.evaluate('document.title'), 'a run');
  assert.is(await count('img'), 0);
  assert.equal(browser.complaints, []);
});

page('dark and narrow: other colours, nothing wider than the window', async () => {
  const leak = tracedBoot({ firmware: LEAK });
  const background = 'getComputedStyle(document.body).backgroundColor';
  await open(leak);
  const light = await browser.evaluate(background);
  await open(leak, { dark: true, width: 420 });
  assert.is.not(await browser.evaluate(background), light);
  for (const key of ['1', '2', '3', '4', '5']) {
    await browser.press(key);
    const wide = await browser.evaluate<number>('document.documentElement.scrollWidth');
    assert.ok(wide <= 420, `view ${key} is ${wide} wide`);
  }
});

page('100,000 events: only what is visible is in the document', async () => {
  const boot = tracedBoot();
  const events: TraceRecord[] = [];
  while (events.length < 100_000) {
    for (const event of boot) if (event.kind !== 'rdmsr') events.push(event);
  }
  await open(events);
  assert.match(
    await browser.evaluate('document.querySelector("header").innerText'),
    /1\d{5} events/,
  );
  await browser.press('4');
  const off = '#panel-sequence input:not(:checked)[type=checkbox]';
  await browser.evaluate(`document.querySelectorAll('${off}').forEach((box) => box.click())`);
  await browser.evaluate('document.querySelector("#panel-sequence [tabindex=\\"0\\"]").focus()');
  for (const key of ['End', 'Home', 'PageDown', 'End']) {
    await browser.press(key);
    assert.ok((await count('#panel-sequence .row')) < 100);
  }
  const place = await browser.evaluate<number>(
    'Number(document.activeElement.getAttribute("aria-posinset"))',
  );
  assert.ok(place > 90_000, `row ${place}`);
  assert.ok((await count('*')) < 10_000);
});

inBrowser.run();

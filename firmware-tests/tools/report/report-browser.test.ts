// SPDX-License-Identifier: GPL-2.0-or-later

/** Reports in a browser: Chromium opens them from disk, and uses them by keyboard. */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import * as assert from 'uvu/assert';
import { reportHtml } from '../../../tools/report/html.ts';
import type { TraceRecord } from '../../../tools/report/model/record.ts';
import { PageSuite } from '../../rigs/report/page-suite.ts';
import { LEAK, madeTrace, tracedBoot } from '../../rigs/report/traces.ts';

const pages = new PageSuite('report: in a browser');
const { browser, directory, page, focused, tabTo, count, named } = pages;

const script = fs.readFileSync(new URL('../../../dist/report-page.js', import.meta.url), 'utf8');

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

/** What stands beside the views. */
const details = () => browser.evaluate<string>('document.querySelector("aside").innerText');

/** Give the focus to the link of this name. */
const focusLink = (within: string, name: RegExp) =>
  browser.evaluate(
    `[...document.querySelectorAll('${within} button.link')]
      .find((each) => ${String(name)}.test(each.textContent)).focus()`,
  );

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
    assert.match(compared, /− missing\t[\d.]+\t[\d.]+\tUNLOAD/);
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

page('each view by keys alone: what Tab, arrows and Enter lead to has a name', async () => {
  const leak = tracedBoot({ firmware: LEAK });
  await open(leak, { clean: tracedBoot() });

  // Audit: from the tabs to what is folded, and from there to a lane
  await tabTo(/^1 Audit$/);
  await tabTo(/^9 lanes$/);
  await browser.press('Enter');
  await tabTo(/^receive buffer \(GPADL/);
  await browser.press('Enter');
  assert.match(await focused(), /^receive buffer .*: shared at /);
  assert.match(await details(), /^receive buffer/);

  // Page ownership: which lanes, then along them, in and out of time
  await browser.press('2');
  await tabTo(/^Which lanes$/);
  await browser.press('ArrowDown');
  await tabTo(/crosses the handoff/);
  await browser.press('End', '+', 'ArrowRight', '0', 'Enter');
  assert.match(await focused(), /crosses the handoff/);

  // Addresses: from grant to grant, to its lane
  await browser.press('3');
  await tabTo(/^Addresses by time/);
  await browser.press('ArrowDown', 'Enter');
  assert.match(await focused(), /: shared at /);

  // Sequence: a layer on by its box, a channel, a row
  await browser.press('4');
  await tabTo(/^all channels|^Channel/);
  await tabTo(/network frames/);
  await browser.press(' ');
  assert.is(await browser.evaluate('document.activeElement.checked'), true);
  await tabTo(/firmware|owner/);
  await browser.press('ArrowDown', 'Enter');
  assert.ok((await details()).length > 20);

  // Compare: a difference, and the place of it
  await browser.press('5');
  await tabTo(/^\d+\.\d+ ms$/);
  await browser.press('Enter');
  assert.match(await focused(), /guest to host|host to guest|guest:|host:/);
});

page('the worst checks stand first', async () => {
  await open(tracedBoot({ firmware: LEAK }));
  const said = await browser.evaluate<string[]>(
    `[...document.querySelectorAll('td.state')].map((each) => each.textContent.slice(2))`,
  );
  const order = ['ERROR', 'WARNING', 'info', 'not run', 'ok'];
  const places = said.map((state) => order.indexOf(state));
  assert.ok(places.length >= 18 && places.every((place) => place >= 0), said.join());
  assert.equal(places, [...places].sort());
  assert.ok(said.includes('WARNING') && said.includes('ok'));
});

page('names of lanes can be read: none is cut, wide or narrow', async () => {
  const leak = tracedBoot({ firmware: LEAK });
  for (const width of [1600, 1280, 400, 320]) {
    await open(leak, { width });
    await browser.press('2');
    const cut = await browser.evaluate<string[]>(
      `[...document.querySelectorAll('#panel-ownership .row .lane-name')]
        .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.textContent)`,
    );
    assert.equal(cut, [], `${width} wide`);
    // And no row lies over the next one
    const over = await browser.evaluate<number>(`(() => {
      const rows = [...document.querySelectorAll('#panel-ownership .row')];
      const boxes = rows.map((row) => row.getBoundingClientRect());
      return boxes.filter((box, i) => i > 0 && box.top < boxes[i - 1].bottom - 1).length;
    })()`);
    assert.is(over, 0);
  }
  // One that is too long for its place shows all of it where the focus is
  const purpose = `a buffer ${'of a driver '.repeat(8)}`.trim();
  const grant = { id: 1, kind: 'gpadl', purpose, access: 'write', pfns: [1], grantedBy: 'x' };
  await open(madeTrace({ kind: 'stage', stage: 'firmware' }, { kind: 'grant', grant }));
  await browser.press('2');
  await tabTo(/^a buffer of a driver/);
  const shown =
    'getComputedStyle(document.querySelector("[aria-selected=true] .lane-name")).overflow';
  assert.is(await browser.evaluate(shown), 'visible');
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
  // The table of the audit stays one for who cannot see it
  assert.is((await named('row')).length, 18);
  for (const key of ['1', '2', '3', '4', '5']) {
    await browser.press(key);
    const wide = await browser.evaluate<number>('document.documentElement.scrollWidth');
    assert.ok(wide <= 420, `view ${key} is ${wide} wide`);
  }
});

page('on paper: all rows of a short list, and of a long one how many there are', async () => {
  // What the page says while it is printed: the report has heard of it before this listener does
  const printed = async (): Promise<string> => {
    const panel = 'document.querySelector("[role=tabpanel]:not([hidden])")';
    const listener = `() => { window.printed = ${panel}.innerText; }`;
    await browser.evaluate(`addEventListener('beforeprint', ${listener}, { once: true })`);
    await browser.send('Page.printToPDF');
    return browser.evaluate('window.printed');
  };
  const boot = tracedBoot();
  await open(boot);
  await browser.press('2');
  assert.match(await printed(), /hypercall page[^]*rings of channel/);
  const long = Array.from({ length: 4 }, () => boot).flat();
  await open(long);
  await browser.press('4');
  assert.match(await printed(), /The first 500 of \d{4} rows; choose fewer to print all\./);
  await browser.until('!/The first 500/.test(document.body.innerText)');
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

pages.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/** Tests of pages in a browser: what they have in common, and how a page is asked and used. */

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { suite } from 'uvu';
import { missing } from '../tool-rig.ts';
import { Browser } from './browser.ts';

/** Most times that Tab is pressed to get somewhere. */
const TABS_MAX = 60;

export class PageSuite {
  /** Started with the first page. */
  readonly browser = new Browser();
  /** For the files of the tests; removed in the end. */
  readonly directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hypxe-pages-'));
  /** Whether there is no browser, or nothing else that is needed: then all is left out. */
  readonly left: boolean;
  readonly #suite: ReturnType<typeof suite>;

  /** @param left whether something else is not there that the tests need */
  constructor(name: string, left = false) {
    this.left = missing('chromium', 'chromium') || left;
    this.#suite = suite(name);
    this.#suite.after(async () => {
      await this.browser.close();
      fs.rmSync(this.directory, { recursive: true, force: true });
    });
  }

  /** Before all tests, if they are not left out. */
  before(action: () => Promise<void>): void {
    this.#suite.before(() => (this.left ? undefined : action()));
  }

  /** A test that leaves itself out where there is no browser. */
  readonly page = (name: string, test: () => Promise<void>): void => {
    this.#suite(name, () => (this.left ? undefined : test()));
  };

  run(): void {
    this.#suite.run();
  }

  /** Name of the element with the focus, as a screen reader says it. */
  readonly focused = (): Promise<string> =>
    this.browser.evaluate<string>(`(() => {
      const { activeElement: it } = document;
      const label = it.labels?.[0];
      return it.getAttribute('aria-label') ?? (label ?? it).textContent;
    })()`);

  /** Press Tab until what has the focus is called so. @throws Error if nothing is */
  readonly tabTo = async (name: RegExp): Promise<void> => {
    const passed: string[] = [];
    for (let i = 0; i < TABS_MAX; i++) {
      await this.browser.press('Tab');
      const here = await this.focused();
      if (name.test(here)) return;
      passed.push(here.slice(0, 30));
    }
    throw new Error(`no Tab leads to ${String(name)}, but to ${passed.join(' | ')}`);
  };

  readonly textOf = (selector: string): Promise<string> =>
    this.browser.evaluate<string>(`document.querySelector(${JSON.stringify(selector)}).innerText`);

  /** How many elements there are of a selector. */
  readonly count = (selector: string): Promise<number> =>
    this.browser.evaluate<number>(`document.querySelectorAll(${JSON.stringify(selector)}).length`);

  /** Names of what has this role. */
  readonly named = async (role: string): Promise<string[]> =>
    (await this.browser.accessible()).filter((each) => each.role === role).map(({ name }) => name);
}

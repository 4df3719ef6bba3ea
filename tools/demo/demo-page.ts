// SPDX-License-Identifier: GPL-2.0-or-later

/** Puts together the page that boots the firmware: one file, made of what is built already. */

import { livePageHtml } from '../report/html.ts';
import type { LivePage } from '../report/live.ts';
import { BOOT_FIELDS } from './fields.ts';
import { linkModules } from './link.ts';

/** Names of the modules that are in the page. */
const FIRMWARE = 'hypxe.min';
const DEMO = 'demo';

const PAGE: LivePage = {
  title: 'hypxe: a boot on a simulated Hyper-V host',
  about:
    'The firmware boots over the network and hands over; the page shows which memory the host ' +
    'could write, when, and what crossed the handoff. Let the host go wrong, or the firmware ' +
    'forget a step of its clean-up. All of it runs here: nothing is loaded, nothing is sent.',
  fields: BOOT_FIELDS,
  starts: true,
  console: false,
};

/** What a page is made of. */
export interface BuiltScripts {
  /** The script of a page. */
  readonly script: string;
  /** The text of a built module, by its name without `.js`. */
  readonly read: (name: string) => string;
}

/** The page. @throws LinkError for modules of another build */
export function demoHtml({ script, read }: BuiltScripts): string {
  const end = `modules['${DEMO}'].serve(self,modules['${FIRMWARE}']);`;
  return livePageHtml({ script, page: PAGE, worker: linkModules([FIRMWARE, DEMO], read, end) });
}

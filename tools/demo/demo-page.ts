// SPDX-License-Identifier: GPL-2.0-or-later

/** Puts together the pages that run something, of what is built already. */

import { livePageHtml } from '../report/html.ts';
import type { LivePage } from '../report/live.ts';
import { BOOT_FIELDS, PC_FIELDS } from './fields.ts';
import { exportsOf, linkModules } from './link.ts';

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
  const end = `${exportsOf(DEMO)}.serve(self,${exportsOf(FIRMWARE)});`;
  return livePageHtml({ script, page: PAGE, worker: linkModules([FIRMWARE, DEMO], read, end) });
}

/** Scripts beside the page of a PC: a page from disk can read no other files. */
export const PC_SCRIPTS = { v86: 'v86.js', bios: 'seabios.js' } as const;

const PC_PAGE: LivePage = {
  title: 'hypxe: a PC on a simulated Hyper-V host',
  about:
    'Choose a program that a BIOS starts (iPXE as .lkrn, a Linux kernel for i386, an ISO or disk ' +
    'image): it boots as it is, in the PC emulator v86, and each of its handoffs is audited. The ' +
    'network offers it a small boot program. All of it runs here: the file goes nowhere.',
  fields: PC_FIELDS,
  starts: false,
  console: true,
  beside: Object.values(PC_SCRIPTS),
};

/** The page of a PC. @throws LinkError for modules of another build */
export function pcDemoHtml({ script, read }: BuiltScripts): string {
  // The class is what v86's script leaves in a worker
  const end = `${exportsOf(DEMO)}.servePc(self,self.V86);`;
  return livePageHtml({ script, page: PC_PAGE, worker: linkModules([DEMO], read, end) });
}

/**
 * A script that brings files to the page.
 *
 * @param files in base 64, by name
 * @param origin what they are, and under which licence: for who opens it
 */
export function partsScript(files: Readonly<Record<string, string>>, origin: string): string {
  const comment = origin.replaceAll('*/', '* /').trim();
  const table = 'globalThis.hypxeParts';
  return `/* ${comment} */\n${table}={...${table},...${JSON.stringify(files)}};\n`;
}

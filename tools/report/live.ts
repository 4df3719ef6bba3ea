// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a page that runs something, and the worker in which it runs, say to each other; and what one
 * can choose, as data: the page makes a form of it, and knows no host and no fault.
 */

import type { TraceRecord } from './model/record.ts';

/** One of several. */
export interface LiveOption {
  readonly value: string;
  readonly text: string;
}

/** Something that one can choose. `name`: what the worker knows it by; `label`: for people. */
export type LiveField = { readonly name: string; readonly label: string } & (
  | { readonly kind: 'select'; readonly options: readonly LiveOption[]; readonly value: string }
  | { readonly kind: 'checks'; readonly options: readonly LiveOption[] }
  | {
      readonly kind: 'number';
      readonly least: number;
      readonly most: number;
      readonly value: number;
    }
  | { readonly kind: 'text'; readonly value: string; readonly hint: string }
  /** A file of the user's: its bytes go to the worker. Nothing runs without it. */
  | { readonly kind: 'file'; readonly hint: string }
);

/** A page that runs something. */
export interface LivePage {
  readonly title: string;
  /** What it is, in a sentence or two. */
  readonly about: string;
  readonly fields: readonly LiveField[];
  /** Whether it runs as soon as it is opened. */
  readonly starts: boolean;
  /** Whether what runs has a console. */
  readonly console: boolean;
  /** Scripts that lie beside the page, and bring what it does not have. Default none. */
  readonly beside?: readonly string[];
}

/** A file of the user's. */
export interface LiveFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What was chosen, by the names of the fields; of `checks` the values, with commas between. */
export interface LiveRequest {
  readonly values: Readonly<Record<string, string>>;
  readonly file?: LiveFile | undefined;
  /** Files that lie beside the page, by their names. */
  readonly parts?: Readonly<Record<string, Uint8Array>> | undefined;
}

/** What the worker tells. */
export type LiveMessage =
  /** Events, in order, as they happen; and when that is, in ms of virtual time. */
  | { readonly kind: 'events'; readonly events: readonly TraceRecord[]; readonly ms: number }
  /** A line of what is said, or of the console. */
  | { readonly kind: 'line'; readonly text: string }
  /** It is over. `summary`: the verdict in words; `clean`: the same run without what was chosen. */
  | {
      readonly kind: 'done';
      readonly good: boolean;
      readonly summary: string;
      readonly clean: readonly TraceRecord[] | null;
      /** Why there is no clean run. */
      readonly noClean: string;
    }
  /** It cannot be run, or there is a mistake in the simulator. `advice`: what to do, or ''. */
  | { readonly kind: 'failed'; readonly text: string; readonly advice: string };

/** The worker's end of it: what a Web Worker has. */
export interface LivePort {
  postMessage(message: LiveMessage): void;
  onmessage: ((event: { readonly data: LiveRequest }) => void) | null;
}

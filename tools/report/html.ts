// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Puts a page together: one file that loads nothing. What comes from a guest is data in it, never
 * markup: the page's script makes all text with `textContent`, and the file forbids every script
 * but its own (Content-Security-Policy, by its digest).
 */

import { sha256 } from '../replay/sha256.ts';
import type { LivePage } from './live.ts';
import { slim } from './read-trace.ts';
import type { TraceRecord } from './model/record.ts';
import { STYLE } from './style.ts';

/** What a page is made of. */
export interface ReportParts {
  /** The page's script, as it was built: without `</script` in it. */
  readonly script: string;
  readonly events: readonly TraceRecord[];
  /** The same run without what is looked for, to compare with. */
  readonly clean?: readonly TraceRecord[] | undefined;
  /** What the run is: the title of the page. */
  readonly title: string;
}

/** What the page's script finds in the file: a run, or what can be run. */
export type PageData = ReportData | LiveData;

export interface LiveData {
  readonly live: LivePage;
}

export interface ReportData {
  readonly title: string;
  readonly events: readonly TraceRecord[];
  readonly clean: readonly TraceRecord[] | null;
  readonly noClean: string;
}

/** The file. */
export function reportHtml({ script, events, clean, title }: ReportParts): string {
  const data: ReportData = {
    ...{ title, events: slim(events) },
    clean: clean === undefined ? null : slim(clean),
    noClean: clean === undefined ? whyAlone(events) : '',
  };
  return pageHtml({ script, title, data });
}

/** A page that runs something: in a worker of its own, made of a text. */
export interface LiveParts {
  /** The page's script, as it was built: without `</script` in it. */
  readonly script: string;
  /** What one can choose. */
  readonly page: LivePage;
  /** The script of the worker. */
  readonly worker: string;
}

/** The file of a page that runs something. */
export function livePageHtml({ script, page, worker }: LiveParts): string {
  const data: LiveData = { live: page };
  const { beside = [] } = page;
  return pageHtml({ script, title: page.title, data, worker, beside });
}

interface PageParts {
  readonly script: string;
  readonly title: string;
  readonly data: PageData;
  readonly worker?: string;
  readonly beside?: readonly string[];
}

function pageHtml({ script, title, data, worker, beside = [] }: PageParts): string {
  // Files beside a page that was opened from disk have no origin in common with it
  const others = beside.length === 0 ? '' : " 'self' file: 'wasm-unsafe-eval'";
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${digest(script)}'${others}`,
    ...(worker === undefined ? [] : ['worker-src blob:']),
    `style-src 'sha256-${digest(STYLE)}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const parts = [
    ...(worker === undefined
      ? []
      : [`<script type="text/plain" id="worker">${escapeScript(worker)}</script>`]),
    ...beside.map((name) => `<script src="${escapeHtml(name)}"></script>`),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main id="report"><p>This page needs JavaScript: it draws what is in it.</p></main>
<script type="application/json" id="data">${escapeJson(JSON.stringify(data))}</script>
${parts.map((part) => `${part}\n`).join('')}<script>${script}</script>
</body>
</html>
`;
}

/** Why there is no run to compare with: a page says the same whoever makes it. */
function whyAlone(events: readonly TraceRecord[]): string {
  const verdict = events.filter(({ kind }) => kind === 'verdict').at(-1)?.verdict;
  if (verdict === undefined) return 'The run came to no end.';
  if (verdict === 'clean') return 'This run is clean: there is nothing to look for.';
  return 'Give a trace of a clean run of the same seed: --clean TRACE.jsonl.';
}

/** A script of the project's own that ends no element that it stands in: in texts only. */
function escapeScript(script: string): string {
  return script.replace(/<(?=\/script|!--|script)/gi, '\\x3c');
}

/** JSON that ends no element that it stands in. */
function escapeJson(json: string): string {
  return json.replaceAll('<', '\\u003c');
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** SHA-256 in base 64, as a policy names a script. */
function digest(source: string): string {
  const hex = sha256(new TextEncoder().encode(source));
  let bytes = '';
  for (let i = 0; i < hex.length; i += 2) {
    bytes += String.fromCharCode(parseInt(hex.slice(i, i + 2), 16));
  }
  return btoa(bytes);
}

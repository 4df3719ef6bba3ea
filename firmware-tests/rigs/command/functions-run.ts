// SPDX-License-Identifier: GPL-2.0-or-later

/** Which functions of `tools/` ran meanwhile: the engine counts them. */

import { Session, type Profiler } from 'node:inspector';
import { pathToFileURL } from 'node:url';
import * as path from 'node:path';
import { ROOT } from '../../../tools/build/build.mjs';

const TOOLS = `${pathToFileURL(path.join(ROOT, 'tools')).href}/`;

export class FunctionsRun {
  readonly #session = new Session();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  }

  /** `file: function` of each that ran since. */
  stop(): Set<string> {
    let scripts: readonly Profiler.ScriptCoverage[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error === null) scripts = result;
    });
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
    const names = new Set<string>();
    for (const { url, functions } of scripts) {
      if (!url.startsWith(TOOLS)) continue;
      const file = url.slice(TOOLS.length).replace(/\?.*$/, '');
      for (const { functionName, ranges } of functions)
        if (ranges.some(({ count }) => count > 0)) names.add(`${file}: ${functionName}`);
    }
    return names;
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What runs in the worker of a page: the firmware and the simulator, or a PC. Nothing of Node, and
 * nothing of a browser: its end of the page is a narrow port.
 */

import { BadPcProgram } from '../guests/pc/pc-kernel.ts';
import type { V86Class } from '../guests/pc/v86.ts';
import type { LivePort } from '../report/live.ts';
import { BadChoice } from './choice.ts';
import { PcDemo } from './pc-run.ts';
import { runDemo, type DemoFirmware } from './run.ts';

/** Serve a page that boots this firmware: one run for each request. */
export function serve(port: LivePort, firmware: DemoFirmware): void {
  port.onmessage = ({ data }) => {
    try {
      runDemo(firmware, data.values, (message) => port.postMessage(message));
    } catch (error) {
      port.postMessage(failure(error));
    }
  };
}

/** Serve a page that boots programs for a PC, in this emulator. */
export function servePc(port: LivePort, V86: V86Class): void {
  const demo = new PcDemo(V86, (message) => port.postMessage(message));
  port.onmessage = ({ data }) => {
    demo.run(data).catch((error: unknown) => port.postMessage(failure(error)));
  };
}

/** What a page says of an error. */
function failure(error: unknown) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof BadPcProgram)
    return { kind: 'failed', text: message, advice: error.advice } as const;
  // A choice that cannot be: all others are mistakes of the simulator
  const chosen = error instanceof BadChoice;
  const advice = chosen ? 'Choose something else.' : 'This is a mistake of the simulator.';
  return { kind: 'failed', text: chosen ? message : `${name}: ${message}`, advice } as const;
}

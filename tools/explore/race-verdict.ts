// SPDX-License-Identifier: GPL-2.0-or-later

/** What must hold of a boot on a host that does nothing wrong, but acts at the same time. */

import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import { messageOf, nameOf } from './finding-text.ts';

/** What a raced flow may take longer than usual, in ticks: any retry takes more. */
const RACE_SLACK_TICKS = 200 * TICKS_PER_MS;

/** It boots, and waits for nothing that is there; `late` is what it took longer than usual. */
export function judgeRace(
  { status, error }: { readonly status: string; readonly error?: unknown },
  late: number,
  report: (cause: string, text: string) => void,
): void {
  if (status !== 'booted') {
    const name = nameOf(error);
    report(`raced: the boot fails: ${name}`, `raced: ${name}: ${messageOf(error)}`);
  }
  if (late > RACE_SLACK_TICKS) {
    const ms = Math.floor(late / TICKS_PER_MS);
    report('raced: time is lost', `raced: ${ms} ms are lost: something was waited for`);
  }
}

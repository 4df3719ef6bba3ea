// SPDX-License-Identifier: GPL-2.0-or-later

/** Traces for the tests of reports: of boots, and made by hand. */

import { createDriver } from '../../../src/index.ts';
import { modelOf, type Model } from '../../../tools/report/model/model.ts';
import type { TraceRecord } from '../../../tools/report/model/record.ts';
import { readTrace, slim } from '../../../tools/report/read-trace.ts';
import type { Firmware } from '../../../tools/flow/boot-flow.ts';
import { runBoot, type Setting } from '../boot-rig.ts';

/** The events of a boot, as a reader of its trace has them. */
export function tracedBoot(setting: Setting = {}): TraceRecord[] {
  const { trace } = runBoot({ trace: true, ...setting });
  return readTrace(trace.join('\n'));
}

/** What a page shows of a boot. */
export function bootModel(setting: Setting = {}): Model {
  return modelOf(slim(tracedBoot(setting)));
}

/** Firmware that opens its devices and hands over without giving anything back. */
export const LEAK: Firmware = {
  boot: ((machine: Parameters<typeof createDriver>[0], options: object) => {
    const driver = createDriver(machine, options);
    driver.probe();
    for (const device of driver.devices) device.open();
    return { status: 'failed', memoryMap: driver.memoryMap() };
  }) as unknown as Firmware['boot'],
};

/** A trace made by hand: events a millisecond apart. */
export function madeTrace(...events: readonly Record<string, unknown>[]): TraceRecord[] {
  return events.map((event, ms) => ({ ms, ...event }) as unknown as TraceRecord);
}

/** HvPostMessage with these words behind the type of a VMBus message, and the reserved word. */
export function post(type: number, ...words: number[]): Record<string, unknown> {
  const input = `${'00'.repeat(16)}${[type, 0, ...words].map(word).join('')}`;
  return { kind: 'hypercall', code: 0x5c, name: 'HvPostMessage', input, status: 0 };
}

/** A VMBus message of the host. */
export function answer(type: number, ...words: number[]): Record<string, unknown> {
  const payload = [type, 0, ...words].map(word).join('');
  return { kind: 'host-message', change: 'deliver', vp: 0, sint: 2, type: 1, payload };
}

/** 32 bits as hexadecimal digits, little-endian. */
function word(value: number): string {
  const bytes = [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * New sessions for the tests of the replay: a recorded session is changed into one with another
 * host, and the reference guest, with some of its defects, is recorded on that host.
 */

import { guestRam } from '../../../tools/guests/guest-ram.ts';
import { recordSession } from '../../../tools/record/record.ts';
import { parseTrace, type Firmware, type TraceFile } from '../../../tools/replay/index.ts';
import { readRecording, type Recording } from '../../../tools/replay/recording.ts';
import { ReplayMachine, replayMemoryBytes } from '../../../tools/replay/replay-machine.ts';
import { ReplaySession } from '../../../tools/replay/session.ts';
import { DEFECTS, referenceFirmware, type Defect } from '../../../tools/reference/index.ts';
import type { Item } from '../../../tools/replay/item.ts';
import { traceText, type LooseEvent, type LooseTrace } from '../replay-rig.ts';

/** A recorded session with another host. What it says of its own digest is left out. */
export function otherHost(name: string, change: (events: LooseEvent[]) => void): TraceFile {
  const trace = JSON.parse(traceText(name)) as LooseTrace;
  change(trace.events);
  const { digest: _digest, counts: _counts, eventCount: _count, ...rest } = trace;
  return parseTrace(JSON.stringify(rest));
}

/** The reference guest on the host of a session, recorded. */
export function recordOn(
  host: TraceFile,
  firmware: Firmware,
  driver = 'reference guest',
): TraceFile {
  const machine = new ReplayMachine(host, guestRam(replayMemoryBytes(host)));
  let begun = false;
  const steps = readRecording(host).steps.map((step) => ({
    name: step.name as 'probe',
    ...(step.frame === undefined ? {} : { frame: step.frame }),
    before: () => {
      if (machine.stopped !== undefined) return;
      if (begun) machine.endStep();
      begun = true;
      machine.beginStep(step);
    },
  }));
  const { text } = recordSession({
    machine,
    run: () => undefined,
    firmware,
    steps,
    name: host.scenario,
    description: host.description,
    driver,
  });
  return parseTrace(text);
}

/** The reference guest as a firmware. */
export function reference(defects: Iterable<Defect> = DEFECTS): Firmware {
  return referenceFirmware(defects) as Firmware;
}

/** The effects of a guest on the host of a session, and the steps. */
export function effectsOn(
  host: TraceFile,
  firmware: Firmware,
): { readonly recording: Recording; readonly effects: readonly (readonly Item[])[] } {
  const recording = readRecording(host);
  const session = new ReplaySession(firmware, host, guestRam(replayMemoryBytes(host)));
  for (const step of recording.steps) session.run(step);
  session.end();
  const effects = recording.steps.map(({ index }) => session.machine.side.itemsOf(index));
  return { recording, effects };
}

/** Hexadecimal text with a little-endian number of `length` bytes put at `at`. */
export function put(hex: unknown, at: number, length: number, value: number): string {
  const bytes = Buffer.from(String(hex), 'hex');
  if (at + length <= bytes.length) bytes.writeUIntLE(value, at, length);
  return bytes.toString('hex');
}

/** Whether an event is a message of the host that begins with `start`. */
export function isMessage(event: LooseEvent, start: string): boolean {
  return event.op.startsWith('host-message') && String(event['payload']).startsWith(start);
}

/** A message of the host. */
export function hostMessage(payload: string, type = '0x1'): LooseEvent {
  const [sint, pending, via, gpa] = [2, 0, 'direct', '0x101200'];
  return { op: 'host-message', sint, type, payload, pending, via, gpa };
}

/** A packet of the host that carries its own length. */
export function hostPacket(bytes: string): LooseEvent {
  const prod = [0, bytes.length / 2];
  return { op: 'host-ring-write', channel: 5, type: 7, offset: 0, bytes, prod };
}

/** Index of the event that begins the first step of a name. */
export function stepBegin(events: readonly LooseEvent[], name: string): number {
  return events.findIndex(
    (event) => event.op === 'step' && event['name'] === name && event['phase'] === 'begin',
  );
}

/** The events of a step that sends a frame. */
export function transmit(frameNo: number, frame: string): LooseEvent[] {
  const about = { frameNo, len: frame.length / 2, frame };
  return [
    { op: 'step', name: 'transmit', phase: 'begin', ...about },
    { op: 'step', name: 'transmit', phase: 'end', err: 'OK' },
  ];
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Records a session: drives a guest's drivers through steps on a machine, and writes down what
 * crosses the seam in the format of the golden traces.
 */

import type { X64Machine } from '../../src/machine.ts';
import { errorText, type Firmware } from '../replay/firmware.ts';
import type { TraceEvent } from '../replay/trace-events.ts';
import { RecordingAllocator } from './allocator.ts';
import { Recorder } from './recorder.ts';
import { RECORD_BASE, sessionText } from './session-text.ts';
import type { TapSurroundings } from './tap-surroundings.ts';

/** A step of a recording. */
export interface RecordStep {
  readonly name:
    'probe' | 'open' | 'transmit' | 'poll' | 'close' | 'remove' | 'quiesce' | 'unquiesce';
  readonly frame?: Uint8Array;
  /** Time in ms that passes before the step, without the guest; and what else happens then. */
  readonly afterMs?: number;
  readonly before?: (() => void) | undefined;
}

/** What is recorded, and on what. */
export interface RecordPlan {
  readonly machine: X64Machine;
  /** Lets time pass without the guest. */
  readonly run: (ms: number) => void;
  readonly firmware: Firmware;
  readonly steps: readonly RecordStep[];
  readonly name: string;
  readonly description: string;
  /** What is recorded: `hypxe 1.0`, `reference guest (iPXE)`. */
  readonly driver: string;
  /** The guest's first open ID, and what follows. */
  readonly random?: (() => number) | undefined;
  /** Facts about the host. */
  readonly host?: object;
  /** What is known of a machine whose own calls are counted. */
  readonly around?: TapSurroundings | undefined;
  /** Whether the guest shall give up. */
  readonly cancel?: (() => boolean) | undefined;
  /** Whether an allocation fails. */
  readonly refuses?: ((purpose: string) => boolean) | undefined;
}

/** A recorded session, ready to be written. */
export interface RecordedSession {
  readonly text: string;
  readonly events: readonly TraceEvent[];
  /** How the guest ended, if it did not return. */
  readonly ended: unknown;
}

type Driver = ReturnType<Firmware['createDriver']>;

const NO_DEVICE = 'no network device';

/** Drives the guest. */
class Session {
  readonly #plan: RecordPlan;
  readonly #recorder: Recorder;
  readonly #driver: Driver;

  constructor(plan: RecordPlan, recorder: Recorder) {
    this.#plan = plan;
    this.#recorder = recorder;
    const { tap } = recorder;
    let state = 0x18ae;
    const { cancel, refuses } = plan;
    const random = plan.random ?? (() => (state = (Math.imul(state, 69069) + 1) >>> 0));
    this.#driver = plan.firmware.createDriver(tap, {
      preset: 'ipxe',
      events: (event) => recorder.event(event),
      allocator: new RecordingAllocator(tap.memory, RECORD_BASE, tap, refuses),
      random: recorder.random(random),
      ...(cancel === undefined ? {} : { cancel: recorder.cancel(cancel) }),
      livelock: () => tap.livelock(),
    });
    recorder.devices = () => this.#driver.devices;
  }

  run(): void {
    for (const step of this.#plan.steps) {
      const { afterMs = 0, before } = step;
      before?.();
      if (afterMs > 0) this.#plan.run(afterMs);
      try {
        this.#drive(step);
      } catch (error) {
        if (!errorText(error).startsWith('crash')) continue;
        this.#recorder.ended ??= error;
        return;
      }
    }
  }

  #drive({ name, frame }: RecordStep): void {
    const driver = this.#driver;
    const recorder = this.#recorder;
    const device = driver.devices[0];
    const none = (): undefined => undefined;
    switch (name) {
      case 'probe':
        return recorder.step(
          name,
          () => driver.probe(),
          () => 'OK',
        );
      case 'open':
        return recorder.step(name, () => device?.open(), device ? () => 'OK' : () => NO_DEVICE);
      case 'transmit':
        recorder.transmit(frame!, () => device?.transmit(frame!, frame!.length) ?? NO_DEVICE);
        return;
      case 'close':
        return recorder.step(name, () => device?.close(), device ? none : () => NO_DEVICE);
      case 'poll':
        return recorder.step(name, () => driver.devices.forEach((each) => each.poll()), none);
      case 'remove':
        return recorder.remove(driver);
      default:
        return recorder.step(name, () => driver[name](), none);
    }
  }
}

/** Record a session. What the guest does wrong is in it; only a mistake of ours is thrown. */
export function recordSession(plan: RecordPlan): RecordedSession {
  const recorder = new Recorder(plan.machine, plan.around);
  new Session(plan, recorder).run();
  const { tap, ended } = recorder;
  const text = sessionText(plan, tap.events, plan.machine.memory.byteLength);
  return { text, events: tap.events, ended };
}

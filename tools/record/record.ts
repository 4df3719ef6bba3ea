// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Records a session: drives a guest's drivers through steps on a machine, and writes down what
 * crosses the seam in the format of the golden traces.
 */

import { errnoOf } from '../../src/catalogue.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import type { X64Machine } from '../../src/machine.ts';
import { RndisHeader } from '../../src/rndis/protocol.ts';
import { errorText, type Firmware, type FirmwareDevice } from '../replay/firmware.ts';
import { hexNumber, toHex } from '../replay/hex.ts';
import { sha256 } from '../replay/sha256.ts';
import type { TraceEvent } from '../replay/trace-events.ts';
import { RecordingAllocator } from './allocator.ts';
import { RecordingTap } from './tap.ts';

/** Version of the format: the one of the golden traces has none. */
export const RECORD_VERSION = 1;

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
}

/** Memory that a recorded guest is given: below it lies what a machine keeps for itself. */
const BASE = 0x100000;

/** A recorded session, ready to be written. */
export interface RecordedSession {
  readonly text: string;
  readonly events: readonly TraceEvent[];
  /** How the guest ended, if it did not return. */
  readonly ended: unknown;
}

class Recorder {
  readonly tap: RecordingTap;
  readonly #plan: RecordPlan;
  readonly #watched = new Set<FirmwareDevice>();
  readonly #addresses = new Map<string, { hwAddr: string; llAddr: string }>();
  readonly #arrived: string[] = [];
  #frames = 0;
  #lastError = '';

  constructor(plan: RecordPlan) {
    this.#plan = plan;
    this.tap = new RecordingTap(plan.machine);
  }

  /** Record everything. Returns how the guest ended, if it did not return. */
  run(): unknown {
    const { tap } = this;
    const allocator = new RecordingAllocator(tap.memory, BASE, tap);
    let state = 0x18ae;
    const random = this.#plan.random ?? (() => (state = (Math.imul(state, 69069) + 1) >>> 0));
    const driver = this.#plan.firmware.createDriver(tap, {
      preset: 'ipxe',
      events: (event) => this.#event(event),
      allocator,
      random: () => {
        const value = random() >>> 0;
        tap.emit({ op: 'random', value: hexNumber(value) });
        return value;
      },
      livelock: () => tap.livelock(),
    });
    for (const step of this.#plan.steps) {
      this.#between(step);
      const about = step.name === 'transmit' ? this.#frameOf(step) : {};
      tap.emit({ op: 'step', name: step.name, phase: 'begin', ...about } as TraceEvent);
      let result: string | undefined;
      try {
        result = this.#drive(driver, step);
      } catch (error) {
        result = errorText(error);
        if (result.startsWith('crash')) return this.#ended(error);
      }
      tap.guestActed();
      this.#registered(driver.devices);
      const told = result === undefined ? {} : { err: result };
      tap.emit({ op: 'step', name: step.name, phase: 'end', ...told } as TraceEvent);
    }
    return undefined;
  }

  #ended(error: unknown): unknown {
    this.tap.emit({ op: 'guest-fault' });
    return error;
  }

  /** Time without the guest. */
  #between({ afterMs = 0, before }: RecordStep): void {
    const { tap } = this;
    before?.();
    if (afterMs > 0) this.#plan.run(afterMs);
    tap.passTime('harness');
    tap.hostActed();
  }

  #frameOf({ frame }: RecordStep): object {
    return { frameNo: this.#frames, len: frame!.length, frame: toHex(frame!) };
  }

  #drive(driver: ReturnType<Firmware['createDriver']>, step: RecordStep): string | undefined {
    const device = driver.devices[0];
    switch (step.name) {
      case 'probe':
        this.#frames = 0;
        driver.probe();
        return 'OK';
      case 'open':
        if (device === undefined) return 'no network device';
        device.open();
        return 'OK';
      case 'transmit':
        return this.#transmit(device, step.frame!);
      case 'close':
        if (device === undefined) return 'no network device';
        device.close();
        return undefined;
      case 'poll':
        for (const each of driver.devices) each.poll();
        return undefined;
      default:
        driver[step.name]();
        return undefined;
    }
  }

  #transmit(device: FirmwareDevice | undefined, frame: Uint8Array): string {
    if (device === undefined) return 'no network device';
    const frameNo = this.#frames++;
    this.#lastError = '';
    const result = device.transmit(frame, frame.length);
    if (result === 'deferred') this.tap.emit({ op: 'netdev-tx-defer', frameNo, len: frame.length });
    return result === 'dropped' ? this.#lastError || 'dropped' : 'OK';
  }

  // --- what the guest tells ---

  #event(event: FirmwareEvent): void {
    if (event.kind === 'link') this.tap.emit({ op: 'link', up: event.up });
    if (event.kind !== 'netdev') return;
    const { change, name } = event;
    if (change === 'register') this.#arrived.push(name);
    else this.#device('unregister', name);
  }

  #device(what: string, name: string): void {
    const addresses = this.#addresses.get(name) ?? { hwAddr: '', llAddr: '' };
    this.tap.emit({ op: 'netdev', what, name, ...addresses });
  }

  #registered(devices: readonly FirmwareDevice[]): void {
    for (const name of this.#arrived.splice(0)) {
      const device = devices.find((each) => each.name === name);
      if (device === undefined) continue;
      const hwAddr = toHex(device.permanentAddress);
      this.#addresses.set(name, { hwAddr, llAddr: toHex(device.address) });
      this.#device('register', name);
      if (!this.#watched.has(device)) this.#watch(device);
      this.#watched.add(device);
    }
  }

  #watch(device: FirmwareDevice): void {
    const { tap } = this;
    device.receiver = {
      receive: (buffer, offset, length) =>
        tap.emit({ op: 'netdev-rx', frame: toHex(buffer.slice(offset, offset + length)) }),
    };
    device.observer = {
      transmitted: (sequence, error) => {
        const err = error === undefined ? 'OK' : (errnoOf(error) ?? error);
        this.#lastError = error === undefined ? '' : err;
        tap.emit({ op: 'netdev-tx-complete', frameNo: sequence, err });
      },
      receiveError: (error, buffer, offset, length) => {
        const header = length >= RndisHeader.size ? RndisHeader.size : 0;
        const data = toHex(buffer.slice(offset + header, offset + length));
        tap.emit({ op: 'netdev-rx-err', err: errnoOf(error) ?? error, data });
      },
      linkChanged: () => undefined,
    };
  }
}

/** Record a session. What the guest does wrong is in it; only a mistake of ours is thrown. */
export function recordSession(plan: RecordPlan): RecordedSession {
  const recorder = new Recorder(plan);
  const ended = recorder.run();
  const { events } = recorder.tap;
  // As they will be read again
  const lines = events.map((event) => JSON.stringify(event));
  const size = plan.machine.memory.byteLength - BASE;
  const digest = sha256(new TextEncoder().encode(lines.join('\n')));
  const head = {
    version: RECORD_VERSION,
    scenario: plan.name,
    description: plan.description,
    driver: plan.driver,
    ram: { base: hexNumber(BASE), size: hexNumber(size) },
    host: plan.host ?? {},
    eventCount: events.length,
    digest: { events: digest },
  };
  const fields = Object.entries(head).map(
    ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)},`,
  );
  const text = ['{', ...fields, '"events":[', lines.join(',\n'), ']', '}', ''].join('\n');
  return { text, events, ended };
}

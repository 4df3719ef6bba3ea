// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest does, call by call: the steps that whoever drives it takes, what it tells of itself
 * meanwhile, and, by the tap, what crosses the seam.
 */

import { errnoOf } from '../../src/catalogue.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { HvCall, Msr } from '../../src/hyperv/protocol.ts';
import type { X64Machine } from '../../src/machine.ts';
import { RndisHeader } from '../../src/rndis/protocol.ts';
import {
  countersOf,
  errorText,
  mapOf,
  type FirmwareDevice,
  type FirmwareDriver,
} from '../replay/firmware.ts';
import { hexNumber, toHex } from '../replay/hex.ts';
import { isTimeRead } from '../replay/host/waits.ts';
import type { RecordedStepName } from '../replay/recorded-step.ts';
import type { TraceEvent } from '../replay/trace-events.ts';
import type { TapSurroundings } from './tap-surroundings.ts';
import { RecordingTap } from './tap.ts';

/** What a replay knows again: a message, a packet, a step. */
function isAction(event: TraceEvent): boolean {
  if (event.op === 'hypercall') return Number(event.code) === HvCall.POST_MESSAGE;
  return event.op === 'ring-write' || event.op === 'step' || event.op === 'above';
}

/** Whatever else a guest does, and does in the same order when it is replayed. */
function isAct(event: TraceEvent): boolean {
  if (event.op === 'wrmsr') return Number(event.msr) !== Msr.EOM;
  if (event.op === 'rdmsr') return !isTimeRead(event);
  return ['cpuid', 'page', 'page-free', 'alloc-fail'].includes(event.op);
}

/** Writes one session down. */
export class Recorder {
  readonly tap: RecordingTap;
  /** How the guest ended, if it did not return. */
  ended: unknown;
  readonly #watched = new Set<FirmwareDevice>();
  readonly #addresses = new Map<string, { hwAddr: string; llAddr: string }>();
  /** The guest's network devices. */
  devices: () => readonly FirmwareDevice[] = () => [];
  /** Devices that have arrived in this step; those of them that have not been told of yet. */
  readonly #arrived: string[] = [];
  readonly #late: string[] = [];
  #frames = 0;
  #lastError = '';
  #acts = 0;
  #asked = 0;
  #cancelled = false;
  #inStep = false;
  readonly #skipsIdle: boolean;

  /** @param skipsIdle polls in which nothing happens are left out: they may be very many */
  constructor(machine: X64Machine, around?: TapSurroundings, skipsIdle = false) {
    this.#skipsIdle = skipsIdle;
    this.tap = new RecordingTap(machine, around);
  }

  // --- steps ---

  /**
   * Take a step: call the guest.
   *
   * @param result what the recording says of what it returned; undefined: nothing
   * @throws what it throws
   */
  step<T>(
    name: RecordedStepName,
    call: () => T,
    result: (value: T) => string | undefined,
    about: object = {},
  ): T {
    const { tap } = this;
    // What a guest calls itself is a part of the step that goes on
    if (this.#inStep) return call();
    tap.passTime('harness');
    tap.hostActed();
    // A close may end frames, and a removal takes the device away
    if (name === 'close' || name === 'remove') this.#statistics();
    const begin = tap.events.length;
    tap.emit({ op: 'step', name, phase: 'begin', ...about } as TraceEvent);
    if (name === 'probe') this.#frames = 0;
    this.#inStep = true;
    try {
      const value = call();
      this.#end(name, begin, result(value));
      return value;
    } catch (error) {
      const text = errorText(error);
      if (text.startsWith('crash')) {
        this.ended = error;
        tap.emit({ op: 'guest-fault' });
      } else {
        this.#end(name, begin, text);
      }
      throw error;
    } finally {
      this.#inStep = false;
    }
  }

  /** The counters of the first device, which a session is about. */
  #statistics(): void {
    const counters = countersOf(this.devices()[0]);
    const none = { txErrors: [], rxErrors: [] };
    if (counters !== undefined) this.tap.emit({ op: 'netdev-stats', ...counters, ...none });
  }

  #end(name: string, begin: number, result: string | undefined): void {
    const { tap } = this;
    tap.guestActed();
    this.#registered();
    // A poll in which nothing happened is none
    if (this.#skipsIdle && name.startsWith('poll') && tap.events.length === begin + 1) {
      tap.events.pop();
      return;
    }
    const told = result === undefined ? {} : { err: result };
    tap.emit({ op: 'step', name, phase: 'end', ...told } as TraceEvent);
  }

  /** Drivers leave, and say what the next owner may use. */
  remove(driver: Pick<FirmwareDriver, 'remove' | 'memoryMap'>): void {
    const leave = (): void => {
      driver.remove();
      this.tap.handedOver(mapOf(driver));
    };
    this.step('remove', leave, () => undefined);
  }

  /** A frame is sent. */
  transmit<T extends string>(frame: Uint8Array, call: () => T, device: object = {}): T {
    const { tap } = this;
    const frameNo = this.#frames++;
    this.#lastError = '';
    const send = (): T => {
      const result = call();
      if (result === 'deferred') tap.emit({ op: 'netdev-tx-defer', frameNo, len: frame.length });
      return result;
    };
    const told = (result: T): string => {
      if (result === 'dropped') return this.#lastError || result;
      return result === 'sent' || result === 'deferred' ? 'OK' : result;
    };
    const about = { frameNo, len: frame.length, frame: toHex(frame), ...device };
    return this.step('transmit', send, told, about);
  }

  // --- what a guest is given ---

  /** Random numbers, written down. */
  random(random: () => number): () => number {
    return () => {
      const value = random() >>> 0;
      this.tap.emit({ op: 'random', value: hexNumber(value) });
      return value;
    };
  }

  /** Whether the guest shall give up: when it shall, by what it has done and asked since. */
  cancel(cancel: () => boolean): () => boolean {
    let seen = 0;
    return () => {
      const { events } = this.tap;
      for (; seen < events.length; seen++) {
        const event = events[seen]!;
        if (!isAction(event) && !isAct(event)) continue;
        this.#acts = isAction(event) ? 0 : this.#acts + 1;
        this.#asked = 0;
      }
      this.#asked++;
      const yes = cancel();
      const when = { acts: this.#acts, asked: this.#asked };
      if (yes && !this.#cancelled) this.tap.emit({ op: 'cancel', ...when });
      if (yes) this.#cancelled = true;
      return yes;
    };
  }

  // --- what a guest tells ---

  event(event: FirmwareEvent): void {
    if (event.kind === 'link') this.tap.emit({ op: 'link', up: event.up });
    if (event.kind !== 'netdev') return;
    const { change, name } = event;
    if (change === 'register') {
      // One that is there is told of at once: it may go again in the same step
      if (!this.#register(name)) this.#late.push(name);
      this.#arrived.push(name);
    } else {
      this.#device('unregister', name);
    }
  }

  #device(what: string, name: string): void {
    const addresses = this.#addresses.get(name) ?? { hwAddr: '', llAddr: '' };
    this.tap.emit({ op: 'netdev', what, name, ...addresses });
  }

  #find(name: string): FirmwareDevice | undefined {
    return this.devices().find((each) => each.name === name);
  }

  /** Tell of a device that has arrived. Returns whether it is there. */
  #register(name: string): boolean {
    const device = this.#find(name);
    if (device === undefined) return false;
    const hwAddr = toHex(device.permanentAddress);
    this.#addresses.set(name, { hwAddr, llAddr: toHex(device.address) });
    this.#device('register', name);
    return true;
  }

  /** Watch the devices that have arrived in this step, whichever it is. */
  #registered(): void {
    for (const name of this.#late.splice(0)) this.#register(name);
    for (const name of this.#arrived.splice(0)) {
      const device = this.#find(name);
      if (device === undefined || this.#watched.has(device)) continue;
      this.#watch(device);
      this.#watched.add(device);
    }
  }

  /** Who uses the device besides hears what it heard before. */
  #watch(device: FirmwareDevice): void {
    const { tap } = this;
    const { observer } = device;
    if (device.receiver !== undefined) this.receivers.set(device, device.receiver);
    device.receiver = {
      receive: (buffer, offset, length, vlan) => {
        tap.emit({ op: 'netdev-rx', frame: toHex(buffer.slice(offset, offset + length)) });
        tap.above(() => this.receivers.get(device)?.receive(buffer, offset, length, vlan));
      },
    };
    device.observer = {
      transmitted: (sequence, error) => {
        const err = error === undefined ? 'OK' : (errnoOf(error) ?? error);
        this.#lastError = error === undefined ? '' : err;
        tap.emit({ op: 'netdev-tx-complete', frameNo: sequence, err });
        observer?.transmitted(sequence, error);
      },
      receiveError: (error, buffer, offset, length) => {
        const header = length >= RndisHeader.size ? RndisHeader.size : 0;
        const data = toHex(buffer.slice(offset + header, offset + length));
        tap.emit({ op: 'netdev-rx-err', err: errnoOf(error) ?? error, data });
        observer?.receiveError(error, buffer, offset, length);
      },
      linkChanged: (up) => observer?.linkChanged(up),
    };
  }

  /** Who takes the frames of a device besides. */
  readonly receivers = new Map<FirmwareDevice, FirmwareDevice['receiver']>();
}

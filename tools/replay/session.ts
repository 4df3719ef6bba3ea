// SPDX-License-Identifier: GPL-2.0-or-later

/** Drives a firmware's driver through the steps of a recording and collects what it did. */

import { errnoOf } from '../../src/catalogue.ts';
import type { FirmwareEvent } from '../../src/events.ts';
import { RndisHeader } from '../../src/rndis/protocol.ts';
import type { HostEventSink } from '../simulator/ledger/events.ts';
import { countersOf, errorText, mapOf, resultOf } from './firmware.ts';
import type { Firmware, FirmwareDevice, FirmwareDriver } from './firmware.ts';
import { toHex } from './hex.ts';
import type { Item } from './item.ts';
import {
  completionItem,
  deviceItem,
  frameItem,
  linkItem,
  livelockItem,
  receiveErrorItem,
  resultItem,
  statisticsItem,
} from './normalise.ts';
import { DROPPED, LOADED_OS, STEP_NAMES, type RecordedStep } from './recorded-step.ts';
import { ReplayMachine } from './replay-machine.ts';
import { ReplayStop } from './host/replay-stop.ts';
import type { Script } from './host/script-types.ts';
import type { TraceEvent, TraceEventOf } from './trace-events.ts';
import { isReference, type TraceFile } from './trace-file.ts';

/** Result of a step for which the driver has no device: its probe did not find one. */
const NO_DEVICE = 'no network device';

/** One line of the driver's log, with the step in which it was written. */
export interface SessionLog {
  readonly step: number;
  readonly text: string;
}

/** Who watches a session: all times are since its start, in ticks. */
export interface ReplayWatch {
  /** What happens at the seam and on the bus. */
  readonly host: HostEventSink;
  /** What the firmware says. */
  guest(event: FirmwareEvent, now: number): void;
  /** A step of the recording begins. */
  step(name: string, now: number): void;
}

/** A firmware on a recording. */
export class ReplaySession {
  readonly machine: ReplayMachine;
  readonly log: SessionLog[] = [];
  /** Steps that the replay cannot drive. */
  readonly unsupported: string[] = [];
  readonly #events: readonly TraceEvent[];
  readonly #firmware: Firmware;
  readonly #options: TraceFile['options'];
  readonly #watcher: ReplayWatch | undefined;
  #driver: FirmwareDriver | undefined;
  #step = 0;
  /** Nobody may end a removal: whoever asks meanwhile is told to give up. */
  #mustEnd = false;
  readonly #isReference: boolean;
  /** Frame numbers of the recording, by the device's own count. */
  readonly #frames: number[] = [];
  /** How many frames were sent under each of these numbers. */
  readonly transmits = new Map<string, number>();
  /** The same of those that the device has taken. */
  readonly taken = new Map<string, number>();
  #lastError = '';
  /** Addresses of devices by name: an unregistered device has none to ask. */
  readonly #addresses = new Map<string, { permanent: string; current: string }>();
  /** Devices that have arrived, whether they are there or not. */
  readonly #watched: FirmwareDevice[] = [];
  /** Devices that have arrived in this step; those of them that have not been told of yet. */
  readonly #arrived: string[] = [];
  readonly #late: string[] = [];

  /**
   * @param script of an earlier run of the same session
   * @param watch reads what happens
   */
  constructor(
    firmware: Firmware,
    trace: TraceFile,
    memory: ArrayBufferLike,
    script?: Script,
    watch?: ReplayWatch,
  ) {
    this.#watcher = watch;
    this.#events = trace.events;
    this.machine = new ReplayMachine(trace, memory, script, watch?.host);
    this.#firmware = firmware;
    this.#options = trace.options;
    this.#isReference = isReference(trace.driver);
    const boots = trace.events.find(({ op }) => op === 'step') as TraceEventOf<'step'> | undefined;
    if (boots?.name !== 'boot') this.#driver = this.#createDriver();
  }

  #createDriver(): FirmwareDriver {
    const { machine } = this;
    return this.#firmware.createDriver(machine, {
      ...((this.#options ?? { preset: 'ipxe' }) as { readonly preset: 'ipxe' }),
      events: (event) => this.#firmwareEvent(event),
      allocator: machine.allocator,
      random: machine.random,
      cancel: () => machine.cancel() || this.#mustEnd,
      livelock: machine.livelock,
    });
  }

  /** A whole firmware. Its pages are the recording's, as its drivers' are. */
  #boot(step: RecordedStep): string | undefined {
    const { machine } = this;
    if (this.#firmware.boot === undefined) {
      this.unsupported.push(`step ${step.index} "boot": the guest is no whole firmware`);
      return undefined;
    }
    const result = this.#firmware.boot(machine, {
      ...this.#options,
      events: (event) => this.#firmwareEvent(event),
      pages: () => machine.allocator,
      ...(machine.drawsRandom ? { random: machine.random } : {}),
      cancel: machine.cancel,
    });
    this.#handsOver(result);
    return resultOf(result);
  }

  /** Run one step, unless the machine has ended the guest. */
  run(step: RecordedStep): void {
    const { machine } = this;
    if (machine.stopped !== undefined) return;
    this.#step = step.index;
    this.#watcher?.step(step.name, machine.now);
    this.#mustEnd = this.#isReference && step.name === 'remove';
    machine.beginStep(step);
    let result: string | undefined;
    try {
      result = this.#drive(step);
    } catch (error) {
      this.#checkMistake();
      if (error instanceof ReplayStop || machine.stopped !== undefined) return this.#stopped();
      result = errorText(error);
    }
    this.#checkMistake();
    this.#registered();
    machine.endStep();
    this.#finish(step, result);
    this.#statistics(step);
  }

  /** @throws what the replay itself has thrown, whatever the guest has made of it */
  #checkMistake(): void {
    if (this.machine.mistake !== undefined) throw this.machine.mistake;
  }

  /** The result, where the recording has one. A crash is never one. */
  #finish(step: RecordedStep, result: string | undefined): void {
    if (result === undefined) return;
    const { position } = this.machine;
    if (result.startsWith('crash')) this.#emit(livelockItem(result, position));
    const end = this.#events[step.end];
    if (end?.op !== 'step' || end.err === undefined) return;
    this.#emit(resultItem(step.name, result, position));
  }

  /** The session is over. */
  end(): void {
    if (this.machine.stopped === undefined) this.machine.end();
  }

  #emit(...items: Item[]): void {
    for (const item of items) this.machine.side.emit(item);
  }

  /** The machine ended the guest: what it says after that does not count. */
  #stopped(): void {
    this.log.push({ step: this.#step, text: `replay: ${this.machine.stopped!.message}` });
  }

  /** The guest says what its next owner may use. */
  #handsOver(told: unknown): void {
    if (this.machine.stopped === undefined) this.machine.rules.handedOver(mapOf(told));
  }

  /** Drive the step. Returns its result where the recording has one. */
  #drive(step: RecordedStep): string | undefined {
    if (step.name === 'boot') return this.#boot(step);
    const driver = (this.#driver ??= this.#createDriver());
    switch (step.name) {
      case 'probe':
        this.#frames.length = 0;
        driver.probe();
        return 'OK';
      case 'open':
      case 'transmit':
      case 'close':
        return this.#driveDevice(this.#deviceOf(step), step);
      case 'poll':
        return this.#poll(driver, step);
      case 'poll-bus':
        driver.poll?.();
        return undefined;
      case 'remove':
      case 'quiesce':
      case 'unquiesce':
        driver[step.name]();
        if (step.name === 'remove') this.#handsOver(driver);
        return undefined;
      case LOADED_OS:
        this.unsupported.push(
          `step ${step.index} "${LOADED_OS}": the loaded OS is no firmware: ` +
            'what it did is there to be read, and is not compared',
        );
        return undefined;
      default:
        this.unsupported.push(
          `step ${step.index} "${step.name}" is not known ` +
            `(known are ${STEP_NAMES.join(', ')}): skipped`,
        );
        return undefined;
    }
  }

  /** A poll of one device, or of all that are there. */
  #poll({ devices }: FirmwareDriver, step: RecordedStep): undefined {
    if (step.device !== undefined) this.#deviceOf(step)?.poll();
    else for (const device of devices) device.poll();
  }

  /** A step of the network device. */
  #driveDevice(device: FirmwareDevice | undefined, step: RecordedStep): string | undefined {
    if (device === undefined) return NO_DEVICE;
    if (step.name === 'transmit') return this.#transmit(device, step);
    if (step.name === 'close') {
      device.close();
      return undefined;
    }
    device.open();
    return 'OK';
  }

  /** The device that the recorded steps are about, unless they name another: the first. */
  get #device(): FirmwareDevice | undefined {
    return this.#driver?.devices[0];
  }

  /** The one that a step is about. Whoever drives the drivers may hold one that they have not. */
  #deviceOf({ device: name, gone }: RecordedStep): FirmwareDevice | undefined {
    if (name === undefined) return this.#device;
    const there = this.#driver?.devices ?? [];
    const left = this.#watched.filter((each) => each.name === name && !there.includes(each));
    return (gone ? left.at(-1) : undefined) ?? this.#find(name);
  }

  #transmit(device: FirmwareDevice, step: RecordedStep): string {
    const event = this.#events[step.begin]!;
    const frame = step.frame!;
    const number = (event.op === 'step' ? event.frameNo : undefined) ?? this.#frames.length;
    this.#frames.push(number);
    this.transmits.set(String(number), (this.transmits.get(String(number)) ?? 0) + 1);
    this.#lastError = '';
    const result = device.transmit(frame, frame.length);
    if (result !== 'dropped')
      this.taken.set(String(number), (this.taken.get(String(number)) ?? 0) + 1);
    if (result === 'deferred')
      this.#emit(completionItem(number, 'deferred', this.machine.position));
    return result === 'dropped' ? this.#lastError || DROPPED : 'OK';
  }

  #firmwareEvent(event: FirmwareEvent): void {
    this.#watcher?.guest(event, this.machine.now);
    if (event.kind === 'log') {
      const { level, layer, object, text } = event;
      this.log.push({ step: this.#step, text: `${level} ${layer} ${object} ${text}` });
    }
    if (this.machine.stopped !== undefined) return;
    if (event.kind === 'link') this.#emit(linkItem(event.up, this.machine.position));
    if (event.kind === 'netdev' && event.change === 'register') {
      // One that is there is told of at once: it may go again in the same step
      if (!this.#register(event.name)) this.#late.push(event.name);
      this.#arrived.push(event.name);
    }
    if (event.kind === 'netdev' && event.change === 'unregister') {
      const addresses = this.#addresses.get(event.name) ?? { permanent: '', current: '' };
      this.#emit(deviceItem('unregister', addresses, this.machine.position));
    }
  }

  /** Watch the devices that have arrived in this step. */
  #registered(): void {
    for (const name of this.#late.splice(0)) this.#register(name);
    for (const name of this.#arrived.splice(0)) {
      const device = this.#find(name);
      if (device !== undefined) this.#watch(device);
    }
  }

  #find(name: string): FirmwareDevice | undefined {
    return this.#driver?.devices.find((candidate) => candidate.name === name);
  }

  /** Tell of a device that has arrived. Returns whether it is there. */
  #register(name: string): boolean {
    const device = this.#find(name);
    if (device === undefined) return false;
    const addresses = {
      permanent: toHex(device.permanentAddress),
      current: toHex(device.address),
    };
    this.#addresses.set(name, addresses);
    this.#emit(deviceItem('register', addresses, this.machine.position));
    return true;
  }

  #watch(device: FirmwareDevice): void {
    this.#watched.push(device);
    const { machine } = this;
    const emit = (item: Item): void => {
      if (machine.stopped === undefined) this.#emit(item);
    };
    device.receiver = {
      receive: (buffer, offset, length) => {
        const frame = buffer.slice(offset, offset + length);
        emit(frameItem(frame, machine.position));
        if (machine.stopped === undefined) machine.handedUp(frame);
      },
    };
    device.observer = {
      transmitted: (sequence, error) => {
        const errno = error === undefined ? undefined : errnoOf(error);
        this.#lastError = errno ?? error ?? '';
        const number = this.#frames[sequence] ?? sequence;
        emit(completionItem(number, errno ?? error ?? 'OK', machine.position));
      },
      receiveError: (error, buffer, offset, length) => {
        // iPXE has taken the RNDIS header off by then, if there is one
        const header = length >= RndisHeader.size ? RndisHeader.size : 0;
        const data = buffer.slice(offset + header, offset + length);
        emit(receiveErrorItem(errnoOf(error) ?? error, data, machine.position));
      },
      linkChanged: () => undefined,
    };
  }

  /** Counters where the recording has asked for them between this step and the next. */
  #statistics(step: RecordedStep): void {
    for (let index = step.end + 1; index < this.#events.length; index++) {
      const event = this.#events[index]!;
      if (event.op === 'step') return;
      if (event.op !== 'netdev-stats') continue;
      const counters = countersOf(this.#device);
      if (counters !== undefined) this.#emit(statisticsItem({ ...counters }, index));
    }
  }
}

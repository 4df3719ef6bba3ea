// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A rig for the tests of the utility services: the firmware on a simulated machine with the host's
 * ends of the services, or the firmware's drivers alone, polled by hand.
 */

import * as assert from 'uvu/assert';
import {
  boot,
  createDriver,
  type BootImage,
  type BootOptions,
  type BootResult,
  type FirmwareEvent,
  type HypervDriver,
  type IcService,
  type ServiceName,
} from '../../src/os.ts';
import { serviceDrivers } from '../../src/services/driver.ts';
import {
  FileCopyData,
  FileCopyHeader,
  FileCopyOperation,
  FileCopyStart,
  IcFlag,
  IcHeader,
  IcType,
} from '../../src/services/protocol.ts';
import { DeviceClass, PIPE_TYPE_DATA, PipeHeader } from '../../src/vmbus/protocol.ts';
import { auditHandoff } from '../../tools/simulator/audit/audit.ts';
import type { ChannelDevice } from '../../tools/simulator/vmbus-server/channel-interface.ts';
import { TICKS_PER_MS } from '../../tools/simulator/base/clock.ts';
import type { HostEvent } from '../../tools/simulator/ledger/events.ts';
import { SimulatedMachine, type SimulatedMachineOptions } from '../../tools/simulator/machine.ts';
import { Network, memoryFiles } from '../../tools/simulator/network/index.ts';
import { profileNamed } from '../../tools/simulator/profiles/profiles.ts';
import {
  IC_BODY_AT,
  IC_HEADER_AT,
  IcHost,
  type IcHostFaults,
} from '../../tools/simulator/services/index.ts';
import type { IcHostOptions } from '../../tools/simulator/services/ic-host.ts';
import { complaints } from './flow-rig.ts';

const LIMITS = { virtualTicks: 3600_000 * TICKS_PER_MS, pauses: 2_000_000 };

export const ALL_SERVICES: readonly ServiceName[] = [
  'file-copy',
  'heartbeat',
  'shutdown',
  'time-sync',
];

export interface UtilityRigOptions extends Partial<SimulatedMachineOptions> {
  readonly devices: readonly ChannelDevice[];
  readonly host?: string;
  /** Network with these files, the first of which is booted; else the machine has no NIC. */
  readonly files?: Readonly<Record<string, Uint8Array>>;
  readonly memoryMiB?: number;
}

export class UtilityRig {
  readonly machine: SimulatedMachine;
  readonly events: FirmwareEvent[] = [];
  readonly violations: string[] = [];
  /** In-band packets: whose, of which channel, and the message from the pipe header on. */
  readonly packets: { from: 'host' | 'guest'; channel: number; id: bigint; message: Uint8Array }[] =
    [];
  driver: HypervDriver | undefined;
  /** Called after each event of the firmware. */
  onEvent: ((event: FirmwareEvent) => void) | undefined;

  constructor(options: UtilityRigOptions) {
    const { files, host = 'server2022', memoryMiB = 8, ...rest } = options;
    const names = Object.keys(files ?? {});
    const network = new Network({ files: memoryFiles(files ?? {}), bootFile: names[0] ?? '' });
    this.machine = new SimulatedMachine({
      memory: new ArrayBuffer(memoryMiB << 20),
      profile: profileNamed(host)!,
      links: files === undefined ? [] : [network.link(0)],
      seed: 1,
      limits: LIMITS,
      ...rest,
    });
    this.machine.events.listen((event) => this.#host(event));
  }

  #host(event: HostEvent): void {
    if (event.kind === 'violation') this.violations.push(`${event.layer}: ${event.text}`);
    if (event.kind !== 'ring-packet' || event.type !== 6) return;
    const { from, channel, transactionId: id, bytes } = event;
    this.packets.push({ from, channel, id, message: bytes.slice(16) });
  }

  #tell = (event: FirmwareEvent): void => {
    this.events.push(event);
    this.onEvent?.(event);
  };

  /** Boot the firmware. */
  boot(options: BootOptions = {}): BootResult {
    return boot(this.machine.bootProcessor, {
      services: ALL_SERVICES,
      events: this.#tell,
      ...options,
    });
  }

  /** The drivers with these services. */
  probe(services: readonly IcService[]): HypervDriver {
    const drivers = serviceDrivers(services);
    this.driver = createDriver(this.machine.bootProcessor, { drivers, events: this.#tell });
    this.driver.probe();
    return this.driver;
  }

  /** Poll until something is so. Fails after `ms` of virtual time. */
  until(done: () => boolean, ms = 60_000): void {
    const { driver, machine } = this;
    const end = machine.clock.now + ms * TICKS_PER_MS;
    while (!done()) {
      assert.ok(machine.clock.now < end, `did not happen within ${ms} ms`);
      driver!.clock.pause();
      driver!.poll();
    }
  }

  /** Poll for some virtual time. */
  run(ms: number): void {
    const end = this.machine.clock.now + ms * TICKS_PER_MS;
    this.until(() => this.machine.clock.now >= end, ms + 1000);
  }

  /** Log lines of the firmware, `error UTIL file copy: text`. */
  lines(level?: string): string[] {
    return this.events.flatMap((event) => {
      if (event.kind !== 'log' || (level !== undefined && event.level !== level)) return [];
      return [`${event.level} ${event.layer} ${event.object}: ${event.text}`];
    });
  }

  /** Whether a line matches. */
  said(pattern: RegExp): boolean {
    return this.lines().some((line) => pattern.test(line));
  }

  /** Nothing is left behind: take the drivers down and audit. */
  finish(): void {
    this.driver?.remove();
    const map = this.driver?.memoryMap() ?? this.machine.bootProcessor.memoryMap;
    this.audit(map);
  }

  /** `inUse`: the image, where one was booted. */
  audit(map: BootResult['memoryMap'], inUse: readonly BootImage[] = []): void {
    assert.equal(complaints(auditHandoff(this.machine, map, { inUse })), []);
  }
}

/** A message of a utility service, from the pipe header on. */
export function message(
  type: number,
  body: Uint8Array,
  fields: {
    readonly flags?: number;
    readonly id?: number;
    readonly pipeType?: number;
    readonly pipeLength?: number;
    readonly bodyLength?: number;
  } = {},
): Uint8Array {
  const bytes = new Uint8Array(IC_BODY_AT + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(PipeHeader.at.type, fields.pipeType ?? PIPE_TYPE_DATA, true);
  view.setUint32(PipeHeader.at.length, fields.pipeLength ?? IcHeader.size + body.length, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.frameworkMajor, 3, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.type, type, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.messageMajor, 1, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.messageMinor, 1, true);
  view.setUint16(IC_HEADER_AT + IcHeader.at.length, fields.bodyLength ?? body.length, true);
  view.setUint8(IC_HEADER_AT + IcHeader.at.transactionId, fields.id ?? 0);
  const flags = fields.flags ?? IcFlag.TRANSACTION | IcFlag.REQUEST;
  view.setUint8(IC_HEADER_AT + IcHeader.at.flags, flags);
  bytes.set(body, IC_BODY_AT);
  return bytes;
}

/** What an answer says. */
export function answerOf(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    type: view.getUint16(IC_HEADER_AT + IcHeader.at.type, true),
    length: view.getUint16(IC_HEADER_AT + IcHeader.at.length, true),
    status: view.getUint32(IC_HEADER_AT + IcHeader.at.status, true),
    id: view.getUint8(IC_HEADER_AT + IcHeader.at.transactionId),
    flags: view.getUint8(IC_HEADER_AT + IcHeader.at.flags),
  };
}

/** Bytes that are unlike each other. */
export function contentsOf(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

/** The host's end of any service, from which a test sends what it likes. */
export class RawHost extends IcHost {
  /** Answers in the session, from the pipe header on. */
  readonly bodies: { readonly status: number; readonly body: Uint8Array }[] = [];
  endings: string[] = [];
  #readyAt = 0;

  constructor(options: Omit<IcHostOptions, 'instanceId'> & { readonly instanceId?: string }) {
    super({ instanceId: '11111111-2222-3333-4444-555555555555', ...options });
  }

  /** How often a version was agreed on. */
  get negotiations(): number {
    return this.#readyAt;
  }

  protected override ready(): void {
    this.#readyAt++;
  }

  /** Send a request by the rules. */
  ask(body: Uint8Array): void {
    assert.ok(this.idle, 'the host waits for an answer');
    this.bodyBytes.set(body);
    this.request(body.length);
  }

  protected override answered(status: number, view: DataView, at: number, length: number): void {
    const body = new Uint8Array(view.buffer, view.byteOffset + at, length).slice();
    this.bodies.push({ status, body });
  }

  protected override ended(reason: string): void {
    this.endings.push(reason);
  }
}

/** A file copy service of the host for a test, and the bodies of its messages. */
export function rawFileCopy(faults: IcHostFaults = {}): RawHost {
  const host = new RawHost({
    name: 'file copy',
    interfaceId: DeviceClass.FILE_COPY,
    type: IcType.FILE_COPY,
    messageVersions: [0x00010001],
  });
  host.faults = faults;
  return host;
}

export interface StartFields {
  readonly path?: string;
  readonly flags?: number;
  readonly size?: number | bigint;
  /** Bytes of the name field instead of a text. */
  readonly nameBytes?: Uint8Array;
}

/** Body of START. */
export function startBody(name: string, fields: StartFields = {}): Uint8Array {
  const body = new Uint8Array(FileCopyStart.size);
  const view = new DataView(body.buffer);
  const { at } = FileCopyStart;
  view.setUint32(at.operation, FileCopyOperation.START, true);
  putText(view, at.fileName, name);
  if (fields.nameBytes !== undefined) body.set(fields.nameBytes, at.fileName);
  putText(view, at.pathName, fields.path ?? '');
  view.setUint32(at.copyFlags, fields.flags ?? 0, true);
  view.setBigUint64(at.fileSize, BigInt(fields.size ?? 0), true);
  return body;
}

/** Body of WRITE; `length` is what it says, whatever it has. */
export function writeBody(
  offset: number | bigint,
  data: Uint8Array,
  length: number = data.length,
  size: number = FileCopyData.size,
): Uint8Array {
  const body = new Uint8Array(Math.max(size, FileCopyData.at.data));
  const view = new DataView(body.buffer);
  view.setUint32(FileCopyData.at.operation, FileCopyOperation.WRITE, true);
  view.setBigUint64(FileCopyData.at.offset, BigInt(offset), true);
  view.setUint32(FileCopyData.at.length, length, true);
  body.set(data.subarray(0, body.length - FileCopyData.at.data), FileCopyData.at.data);
  return body;
}

/** Body of any other operation. */
export function operationBody(operation: number): Uint8Array {
  const body = new Uint8Array(FileCopyHeader.size);
  body[0] = operation;
  return body;
}

function putText(view: DataView, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) view.setUint16(at + 2 * i, text.charCodeAt(i), true);
}

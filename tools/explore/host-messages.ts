// SPDX-License-Identifier: GPL-2.0-or-later

/** Faults of control messages on their way to the guest. */

import { SynicMessage } from '../../src/hyperv/protocol.ts';
import {
  GpadlCreated,
  MessageHeader,
  MessageType,
  VMBUS_MESSAGE_SINT,
  VMBUS_MESSAGE_TYPE,
  VersionResponse,
} from '../../src/vmbus/protocol.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import type { MessageFault } from '../simulator/hypervisor/partition-faults.ts';
import type { PlaceCounter } from './counter.ts';
import { isOperation, mutate } from './mutation.ts';
import type { Fault } from './plan.ts';
import { messageFields } from './wire-fields.ts';
import type { Keeper } from '../simulator/base/snapshot.ts';

/** Length of an unsolicited message: every field that a guest may look for is there. */
const UNSOLICITED_LENGTH = 200;

/** What the message faults need of the run. */
export interface MessageHost {
  readonly counter: PlaceCounter;
  readonly machine: SimulatedMachine;
  /** Something happens on the bus. */
  happened(): void;
  /** A step is done. */
  step(what: string): void;
  /** The host confirms what is not so: no guest can know better. */
  lied(): void;
}

export class MessageFaults {
  readonly #host: MessageHost;
  readonly #mute = new Set<number>();
  #injecting = false;
  /** Channel and GPADL of the last message that named one: what unsolicited messages name. */
  #channel = 1;
  #gpadl = 0;

  constructor(host: MessageHost) {
    this.#host = host;
    host.machine.partition.faults.message = (_vp, sint, type, payload) =>
      this.#injecting || sint !== VMBUS_MESSAGE_SINT ? undefined : this.#message(type, payload);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#injecting], (v) => ([this.#injecting] = v));
    keeper.put([this.#channel, this.#gpadl], (v) => ([this.#channel, this.#gpadl] = v));
    keeper.keep(this.#mute);
  }

  #message(synicType: number, payload: Uint8Array): MessageFault | undefined {
    const { counter } = this.#host;
    this.#host.happened();
    const type = typeOf(payload);
    this.#learn(type, payload);
    const what = `message type ${type}`;
    const faults = counter.arrive('message', () => ({ what, bytes: payload.slice() }));
    this.#host.step(what);
    let result: MessageFault | undefined;
    if (this.#mute.has(type)) result = { drop: true };
    for (const fault of faults) {
      counter.fire(fault);
      const one = this.#apply(fault, type, result?.payload ?? payload);
      if (one !== undefined) result = { ...result, ...one };
    }
    if (result?.payload !== undefined) this.#judge(payload, result.payload);
    return result === undefined ? undefined : { type: synicType, ...result };
  }

  #apply(fault: Fault, type: number, payload: Uint8Array): MessageFault | undefined {
    const { argument } = fault;
    switch (fault.kind) {
      case 'drop':
        return { drop: true };
      case 'mute':
        this.#mute.add(type);
        return { drop: true };
      case 'late':
        return { delayTicks: Number(argument) };
      case 'twice':
        return { copies: 2 };
      case 'field': {
        const [name, operation] = argument.split('=') as [string, string];
        const field = messageFields(payload).find((other) => other.name === name);
        if (field === undefined || !isOperation(operation)) return undefined;
        return { payload: mutate(payload, field, operation) };
      }
      case 'cut':
        return { payload: payload.slice(0, Number(argument)) };
      case 'pad': {
        const padded = new Uint8Array(240).fill(Number(argument));
        padded.set(payload);
        return { payload: padded };
      }
      case 'before':
        this.#send(Number(argument));
        return undefined;
      case 'after':
        this.#host.machine.clock.schedule(0, () => this.#send(Number(argument)));
        return undefined;
      case 'synic-type':
        return { type: Number(argument) };
      default:
        this.#host.machine.clock.schedule(0, () => this.#pokeSlot(argument));
        return undefined;
    }
  }

  /** Send a message that nobody has asked for. */
  #send(type: number): void {
    const payload = new Uint8Array(UNSOLICITED_LENGTH);
    const view = new DataView(payload.buffer);
    view.setUint32(0, type, true);
    view.setUint32(8, type === MessageType.GPADL_TORNDOWN ? this.#gpadl : this.#channel, true);
    view.setUint32(12, this.#gpadl, true);
    this.#judge(undefined, payload);
    this.#injecting = true;
    try {
      const { partition } = this.#host.machine;
      partition.postMessage(0, VMBUS_MESSAGE_SINT, VMBUS_MESSAGE_TYPE, payload);
    } finally {
      this.#injecting = false;
    }
    this.#host.happened();
  }

  /** Write a field of the slot that the message lies in, as no hypervisor would. */
  #pokeSlot(argument: string): void {
    const [name, value] = argument.split('=') as [keyof typeof SynicMessage.at, string];
    const { inspection, ram } = this.#host.machine.partition;
    const page = inspection.overlays().find(({ kind }) => kind === 'message-page');
    if (page?.address === undefined || !Object.hasOwn(SynicMessage.at, name)) return;
    const slot = page.address + VMBUS_MESSAGE_SINT * SynicMessage.size;
    for (let i = 0; i < SynicMessage.sizes[name]; i++) {
      ram.setU8(slot + SynicMessage.at[name] + i, Math.floor(Number(value) / 256 ** i) & 0xff);
    }
  }

  /** Remember what the host talks about. */
  #learn(type: number, payload: Uint8Array): void {
    if (type !== MessageType.GPADL_CREATED) return;
    const view = new DataView(payload.buffer, payload.byteOffset);
    this.#channel = view.getUint32(GpadlCreated.at.channel, true);
    this.#gpadl = view.getUint32(GpadlCreated.at.gpadl, true);
  }

  /** Whether a message that the host did not mean says that the host has let go of something. */
  #judge(meant: Uint8Array | undefined, sent: Uint8Array): void {
    const type = typeOf(sent);
    const view = new DataView(sent.buffer, sent.byteOffset, sent.byteLength);
    const word = (at: number): number => (at + 4 <= sent.length ? view.getUint32(at, true) : 0);
    const changed = meant === undefined || typeOf(meant) !== type || !sameIn(meant, sent);
    if (!changed) return;
    const letGo =
      type === MessageType.GPADL_TORNDOWN ||
      type === MessageType.UNLOAD_RESPONSE ||
      (type === MessageType.GPADL_CREATED && word(GpadlCreated.at.status) !== 0) ||
      (type === MessageType.VERSION_RESPONSE &&
        (sent[VersionResponse.at.supported] === 0 ||
          sent[VersionResponse.at.connectionState] !== 0));
    if (letGo) this.#host.lied();
  }
}

function typeOf(payload: Uint8Array): number {
  if (payload.length < MessageHeader.size) return 0;
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0, true);
}

/** Whether two messages agree in all that both have, the padding of the header apart. */
function sameIn(a: Uint8Array, b: Uint8Array): boolean {
  const length = Math.min(a.length, b.length);
  for (let i = MessageHeader.size; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}

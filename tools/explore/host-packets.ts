// SPDX-License-Identifier: GPL-2.0-or-later

/** Faults of ring packets and RNDIS messages on their way to the guest. */

import { NVSP_MESSAGE_SIZE, NvspType } from '../../src/netvsc/protocol.ts';
import { RndisHeader, RndisType } from '../../src/rndis/protocol.ts';
import { PacketFooter, PacketHeader, PacketType, RingControl } from '../../src/vmbus/protocol.ts';
import type { FaultVerdict, OutgoingMessage } from '../simulator/netvsp/faults.ts';
import type { NetVsp } from '../simulator/netvsp/netvsp.ts';
import { IcHost } from '../simulator/services/index.ts';
import type { RingPoke } from '../simulator/vmbus-server/faults.ts';
import type { MessageHost } from './host-messages.ts';
import { isOperation, mutate, type FieldPlace } from './mutation.ts';
import type { Fault } from './plan.ts';
import { packetFields, rndisFields } from './wire-fields.ts';
import type { Keeper } from '../simulator/base/snapshot.ts';

/** What these faults need of the run. */
export interface PacketHost extends MessageHost {
  /** Do something after the guest has made so many exits. */
  afterExits(exits: number, action: () => void): void;
}

/** Bytes of the receive buffer that a broken host writes over. */
const SCRIBBLED = 65536;

/** Transaction ID of packets that nobody has asked for: no guest uses it. */
const UNKNOWN_TRANSACTION = 0x1234_5678_9abc_def0n;

/** Length of RNDIS messages that nobody has asked for. */
const RNDIS_UNSOLICITED = 52;

export class PacketFaults {
  readonly #host: PacketHost;
  #mute = false;
  /** Faults of the packet that is about to be published. */
  #published: readonly Fault[] = [];
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(host: PacketHost) {
    this.#host = host;
    const { machine } = host;
    machine.vmbus.faults = {
      ...machine.vmbus.faults,
      ringPacket: (channel, bytes) => this.#packet(channel, bytes),
      published: (channel, poke) => this.#afterPublish(channel, poke),
    };
    for (const nic of machine.nics) {
      nic.faults.message = (message) => this.#rndis(nic, message);
      nic.faults.withhold = () => this.#transmit();
    }
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#mute, this.#published], (v) => ([this.#mute, this.#published] = v));
    keeper.put([this.#bytes], (v) => ([this.#bytes] = v));
  }

  // --- ring packets ---

  #packet(channel: number, bytes: Uint8Array): Uint8Array | 'drop' | undefined {
    const { counter } = this.#host;
    this.#host.happened();
    const type = bytes[0]! | (bytes[1]! << 8);
    const what = `packet type ${type}`;
    const faults = counter.arrive('packet', () => ({ what, bytes: bytes.slice() }));
    this.#host.step(what);
    this.#published = faults;
    this.#bytes = bytes;
    let sent = bytes;
    let dropped = this.#mute;
    for (const fault of faults) {
      counter.fire(fault);
      const changed = this.#change(fault, channel, sent);
      if (changed === 'drop') dropped = true;
      else if (changed !== undefined) sent = changed;
    }
    if (dropped) return 'drop';
    return sent === bytes ? undefined : sent;
  }

  #change(fault: Fault, channel: number, bytes: Uint8Array): Uint8Array | 'drop' | undefined {
    switch (fault.kind) {
      case 'drop':
        return 'drop';
      case 'mute':
        this.#mute = true;
        return 'drop';
      case 'late':
        this.#host.machine.clock.schedule(Number(fault.argument), () => {
          this.#resend(channel, bytes);
        });
        return 'drop';
      case 'twice': {
        const both = new Uint8Array(2 * bytes.length);
        both.set(bytes);
        both.set(bytes, bytes.length);
        return both;
      }
      case 'field':
        return changedField(packetFields(bytes), fault.argument, bytes);
      case 'cut':
        return bytes.slice(0, Number(fault.argument));
      case 'inject':
        this.#host.afterExits(1, () => this.#inject(channel, Number(fault.argument)));
        return undefined;
      default:
        return undefined;
    }
  }

  #resend(channel: number, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const header = view.getUint16(PacketHeader.at.headerQlen, true) * 8;
    const end = bytes.length - PacketFooter.size;
    this.#device(channel)?.injectPacket(
      view.getUint16(PacketHeader.at.type, true),
      view.getUint16(PacketHeader.at.flags, true),
      view.getBigUint64(PacketHeader.at.transactionId, true),
      bytes.slice(PacketHeader.size, header),
      bytes.slice(header, end),
    );
  }

  #inject(channel: number, type: number): void {
    const payload = new Uint8Array(NVSP_MESSAGE_SIZE);
    new DataView(payload.buffer).setUint32(0, NvspType.SEND_VF_ASSOCIATION, true);
    const extra = new Uint8Array(type === PacketType.DATA_XFER_PAGES ? 8 : 0);
    this.#device(channel)?.injectPacket(type, 1, UNKNOWN_TRANSACTION, extra, payload);
  }

  /** The device behind a channel; of NICs there is one. */
  #device(channel: number): Pick<NetVsp, 'injectPacket'> | undefined {
    const { nics, devices } = this.#host.machine;
    const services = devices.filter((device) => device instanceof IcHost);
    return nics[0] ?? services.find(({ channelId }) => channelId === channel);
  }

  #afterPublish(channel: number, poke: RingPoke): void {
    for (const { kind, argument } of this.#published) {
      if (kind === 'index') {
        const [name, value] = argument.split('=') as [string, string];
        const side = name === 'prod' ? 'host-to-guest' : 'guest-to-host';
        const at = name === 'prod' ? RingControl.at.prod : RingControl.at.cons;
        poke(side, at, Number(value));
      } else if (kind === 'scribble') {
        const bytes = this.#bytes;
        this.#host.afterExits(Number(argument), () => this.#scribble(channel, bytes, poke));
      }
    }
    this.#published = [];
  }

  /** Write over a packet that the guest may have read in part. */
  #scribble(channel: number, bytes: Uint8Array, poke: RingPoke): void {
    const { channels, gpadls } = this.#host.machine.vmbus.inspect();
    const ring = channels.find(({ id }) => id === channel)?.ringGpadl;
    const pages = gpadls.find(({ id }) => id === ring)?.pfns.length;
    // The rings are gone: the host has let go of them
    if (pages === undefined) return;

    // Both rings are of one size
    const size = (pages / 2 - 1) * RingControl.size;
    const footer = bytes.length - PacketFooter.size + PacketFooter.at.offset;
    const start = new DataView(bytes.buffer, bytes.byteOffset).getUint32(footer, true);
    for (let i = 0; i < bytes.length; i += 4) {
      poke('host-to-guest', RingControl.size + ((start + i) % size), 0xffffffff);
    }
  }

  // --- RNDIS messages ---

  #rndis(nic: NetVsp, message: OutgoingMessage): FaultVerdict {
    const { counter } = this.#host;
    const bytes = message.bytes.slice(0, message.length);
    const faults = counter.arrive('rndis', () => ({ what: 'RNDIS message', bytes }));
    let verdict: FaultVerdict = 'send';
    for (const fault of faults) {
      counter.fire(fault);
      verdict = this.#changeRndis(nic, fault, message) ?? verdict;
    }
    return verdict;
  }

  #changeRndis(nic: NetVsp, fault: Fault, message: OutgoingMessage): FaultVerdict | undefined {
    const bytes = message.bytes.slice(0, message.length);
    switch (fault.kind) {
      case 'drop':
      case 'twice':
        return fault.kind;
      case 'late':
        return Number(fault.argument);
      case 'field':
        message.bytes = changedField(rndisFields(bytes), fault.argument, bytes) ?? bytes;
        return undefined;
      case 'cut':
        message.length = Math.min(message.length, Number(fault.argument));
        return undefined;
      case 'after':
        this.#host.afterExits(1, () => this.#unsolicitedRndis(nic, Number(fault.argument)));
        return undefined;
      default:
        this.#host.afterExits(Number(fault.argument), () => this.#scribbleBuffer());
        return undefined;
    }
  }

  #unsolicitedRndis(nic: NetVsp, type: number): void {
    const message = new Uint8Array(RNDIS_UNSOLICITED);
    const view = new DataView(message.buffer);
    view.setUint32(RndisHeader.at.type, type, true);
    view.setUint32(RndisHeader.at.length, message.length, true);
    if (type === RndisType.PACKET) view.setUint32(12, 0xffffffff, true);
    nic.injectRndis(message);
  }

  /** Write over the receive buffer: the longest thing that the guest has shared. */
  #scribbleBuffer(): void {
    const { grants } = this.#host.machine.partition;
    const shared = grants.live().filter(({ kind }) => kind === 'gpadl');
    const buffer = shared.sort((a, b) => b.length - a.length)[0];
    if (buffer === undefined) return;
    const length = Math.min(SCRIBBLED, buffer.length);
    grants.write(buffer, 0, new Uint8Array(length).fill(0xff));
  }

  // --- what the guest sends ---

  #transmit(): boolean {
    const { counter } = this.#host;
    const faults = counter.arrive('transmit', () => ({ what: 'RNDIS message of the guest' }));
    for (const fault of faults) counter.fire(fault);
    return faults.length > 0;
  }
}

function changedField(
  fields: readonly FieldPlace[],
  argument: string,
  bytes: Uint8Array,
): Uint8Array | undefined {
  const [name, operation] = argument.split('=') as [string, string];
  const field = fields.find((other) => other.name === name);
  if (field === undefined || !isOperation(operation)) return undefined;
  return mutate(bytes, field, operation);
}

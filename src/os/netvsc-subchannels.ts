// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The sub-channels of a NetVSC: more rings for the same device. Frames are spread over them by
 * their flow, so that each flow keeps its order (Linux netvsc_sc_open, netvsc_pick_tx,
 * netvsc_send_table).
 */

import { isNamed, type ErrorName } from '../error.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { RNDIS_BODY, RndisPacket } from '../rndis/protocol.ts';
import { waitFor } from '../time.ts';
import type { ChannelHandler, VmbusChannel } from '../vmbus/channel.ts';
import type { VmbusDevice } from '../vmbus/device.ts';
import type { Packet } from '../vmbus/packet.ts';
import type { OsNetvscPolicy } from './netvsc-policy.ts';
import { subchannelsOf } from './subchannels.ts';
import type { NetvscHost } from '../netvsc/part.ts';
import {
  NVSP_MESSAGE_SIZE_V6_1,
  NVSP_SEND_TABLE_SIZE,
  NvspSendTable,
  NvspVersion,
} from '../netvsc/protocol.ts';

/** How long the host may take to offer the sub-channels that it has granted, in ms. */
const OFFERS_TIMEOUT_MS = 1000;

/** Where the flow stands in a frame: Ethernet type, and the fields of IPv4 without options. */
const ETHERNET_TYPE = 12;
const IPV4_BIG_ENDIAN_TYPE = 0x0800;
const IPV4_VERSION = 14;
const IPV4_PLAIN = 0x45;
const IPV4_PROTOCOL = 23;
const IPV4_SOURCE = 26;
const IPV4_DESTINATION = 30;
const PORTS = 34;
const FLOW_END = 38;
const TCP = 6;
const UDP = 17;

/** One open sub-channel. */
class Queue implements ChannelHandler {
  readonly offered: VmbusDevice;
  readonly #owner: NetvscHost;
  channel: VmbusChannel | undefined;

  constructor(offered: VmbusDevice, owner: NetvscHost) {
    this.offered = offered;
    this.#owner = owner;
  }

  completed(packet: Packet): void {
    this.#owner.completed(packet);
  }

  receivedInband(packet: Packet): void {
    this.#owner.receivedInband(packet);
  }

  receivedPages(packet: Packet): void {
    this.#owner.receivedPages(packet, this.channel);
  }

  cancelled(packet: Packet): void {
    this.#owner.cancelled(packet);
  }

  writable(): void {
    this.#owner.writable?.();
  }

  interrupted(): void {
    this.#owner.interrupted?.();
  }

  malformed(kind: ErrorName, text: string): void {
    this.#owner.malformed(kind, text);
  }
}

export class NetvscSubchannels {
  readonly #netvsc: NetvscHost;
  readonly #policy: OsNetvscPolicy;
  readonly #memory: GuestMemory;
  readonly #queues: Queue[] = [];
  /** Which queue each hash goes to: 0 is the device's own channel. */
  readonly #table = new Uint32Array(NVSP_SEND_TABLE_SIZE);

  constructor(netvsc: NetvscHost, policy: OsNetvscPolicy) {
    this.#netvsc = netvsc;
    this.#policy = policy;
    this.#memory = netvsc.device.pages.memory;
  }

  /** Number of open sub-channels. */
  get count(): number {
    return this.#queues.length;
  }

  /** An open sub-channel. */
  channel(index: number): VmbusChannel {
    return this.#queues[index]!.channel!;
  }

  /**
   * Wait for the sub-channels that the host has granted to be offered, and open them. Those that
   * are not offered, or that cannot be opened, the device does without.
   *
   * @throws HypxeError ChannelRescinded if the device is gone; Cancelled
   */
  open(granted: number): void {
    const { log, name } = this.#netvsc.device;
    const subchannels = subchannelsOf(this.#netvsc.device);
    waitFor(this.#netvsc.clock, OFFERS_TIMEOUT_MS, () => this.#areOffered(granted));
    if (subchannels.length < granted) {
      const text = `${subchannels.length} of ${granted} sub-channels were offered`;
      log.warning('NETVSC', name, text);
    }
    // Until the host says better, flows are spread evenly (Linux netvsc_devinfo default table)
    for (let i = 0; i < this.#table.length; i++) this.#table[i] = i % (granted + 1);
    for (const offered of subchannels.slice(0, granted)) this.#openQueue(offered);
  }

  #areOffered(granted: number): boolean {
    const { device } = this.#netvsc;
    device.connection.poll();
    this.#netvsc.pollPackets();
    device.requireOffered();
    return subchannelsOf(device).length >= granted;
  }

  #openQueue(offered: VmbusDevice): void {
    const { outPages, inPages, packetLength, targetVps, flowControl } = this.#policy;
    const { log, device, packets, channel } = this.#netvsc;
    const queue = new Queue(offered, this.#netvsc);
    const targetVp = targetVps[this.#queues.length + 1] ?? 0;
    try {
      const sizes = { outPages, inPages, packetLength, packets, targetVp, flowControl };
      queue.channel = offered.open(queue, sizes);
    } catch (error) {
      if (!isNamed(error) || error.name === 'Cancelled') throw error;
      const text = `sub-channel ${offered.offer.subchannel} left out: ${error.message}`;
      log.error('NETVSC', device.name, text);
      return;
    }
    queue.channel.completionPayload = channel!.completionPayload;
    this.#queues.push(queue);
  }

  /** Forget the sub-channels: they are closed with the device. */
  forget(): void {
    this.#queues.length = 0;
  }

  /** Use those no more that the host has taken away, or that are broken. */
  dropLost(): void {
    for (let i = this.#queues.length - 1; i >= 0; i--) {
      const { offered, channel } = this.#queues[i]!;
      if (offered.rescinded || channel!.broken !== undefined) this.#queues.splice(i, 1);
    }
  }

  // --- spreading ---

  /** Take the host's table of queues by hash (Linux netvsc_send_table). */
  useTable(packet: Packet, version: number): void {
    const { payload, payloadLength, view } = packet;
    const { size, at } = NvspSendTable;
    const bytes = 4 * NVSP_SEND_TABLE_SIZE;
    const count = payloadLength < size ? 0 : view.getUint32(payload + at.count, true);
    let offset = payloadLength < size ? 0 : view.getUint32(payload + at.offset, true);
    // Hosts up to version 6 give a wrong offset: it is behind the longest message
    const long = payloadLength >= NVSP_MESSAGE_SIZE_V6_1 + bytes;
    if (version <= NvspVersion.V6 && long) offset = NVSP_MESSAGE_SIZE_V6_1;
    const inside = payloadLength >= bytes && offset <= payloadLength - bytes;
    if (count !== NVSP_SEND_TABLE_SIZE || !inside) {
      const text = `send table of ${count} entries at ${offset} of ${payloadLength} bytes ignored`;
      this.#netvsc.log.warning('NETVSC', this.#netvsc.device.name, text);
      return;
    }
    for (let i = 0; i < count; i++) {
      this.#table[i] = view.getUint32(payload + offset + 4 * i, true);
    }
  }

  /** The channel for a frame: `primary`, or a sub-channel. */
  channelFor(primary: VmbusChannel, buffer: number, length: number): VmbusChannel {
    const count = this.#queues.length;
    if (count === 0) return primary;
    const hash = flowHash(this.#memory, buffer, length);
    const index = this.#table[hash & (NVSP_SEND_TABLE_SIZE - 1)]! % (count + 1);
    return index === 0 ? primary : this.#queues[index - 1]!.channel!;
  }
}

/** A hash of the flow that a frame in an RNDIS packet belongs to; 0 for what is no IPv4. */
function flowHash(memory: GuestMemory, buffer: number, length: number): number {
  const offset = RNDIS_BODY + memory.u32(buffer + RndisPacket.at.dataOffset);
  if (offset + FLOW_END > length) return 0;
  const frame = buffer + offset;
  const type = (memory.u8(frame + ETHERNET_TYPE) << 8) | memory.u8(frame + ETHERNET_TYPE + 1);
  if (type !== IPV4_BIG_ENDIAN_TYPE) return 0;
  let hash = memory.u32(frame + IPV4_SOURCE) ^ memory.u32(frame + IPV4_DESTINATION);
  const protocol = memory.u8(frame + IPV4_PROTOCOL);
  const ports = protocol === TCP || protocol === UDP;
  if (ports && memory.u8(frame + IPV4_VERSION) === IPV4_PLAIN) hash ^= memory.u32(frame + PORTS);
  hash ^= hash >>> 16;
  hash ^= hash >>> 8;
  return (hash ^ (hash >>> 4)) & 0xff;
}

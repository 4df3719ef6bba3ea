// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What an OS does with a NetVSC beyond the firmware: NVSP up to 6.1, MTU and capabilities, a send
 * buffer, sub-channels, flow control. As Linux has it (drivers/net/hyperv/netvsc.c): it tells what
 * needs no answer, and cancels nothing at the end. Give {@link osNetvsc} to the NetvscDriver.
 */

import { HypxeError, isNamed } from '../error.ts';
import { PAGE_SIZE } from '../machine.ts';
import type { Region } from '../memory/shared-memory.ts';
import { ETHERNET_HEADER } from '../net/device.ts';
import type { NetvscHost, NetvscPart, NetvscPlug } from '../netvsc/part.ts';
import { BASE_ID } from '../netvsc/policy.ts';
import {
  NVSP_MESSAGE_SIZE,
  NVSP_MESSAGE_SIZE_V6_1,
  NVSP_SUBCHANNEL_ALLOCATE,
  NdisCapability,
  NvspInitComplete,
  NvspRndisPacket,
  NvspSendBufferComplete,
  NvspStatus,
  NvspSubchannelComplete,
  NvspType,
  NvspVersion,
  RndisChannel,
} from '../netvsc/protocol.ts';
import type { VmbusChannel } from '../vmbus/channel.ts';
import type { Gpadl } from '../vmbus/gpadl.ts';
import type { Packet } from '../vmbus/packet.ts';
import type { OsChannelSizes } from './channel.ts';
import type { OsNetvscPolicy } from './netvsc-policy.ts';
import { NetvscSubchannels } from './netvsc-subchannels.ts';

/** Transaction IDs of requests, relative to the base, beside iPXE's. */
const INIT_ID = 0x20;
const SEND_BUFFER_REQUEST_ID = 0x24;
const SUBCHANNEL_ID = 0x25;

/** NDIS version that is announced, up to NVSP 4 and from 5 on (Linux netvsc_connect_vsp). */
const NDIS_MAJOR = 6;
const NDIS_MINOR = 1;
const NDIS_MINOR_5 = 30;

/** ID of the send buffer (Linux NETVSC_SEND_BUFFER_ID). */
const SEND_BUFFER_ID = 0;

/** Least length of a section of the send buffer (Linux NETVSC_MTU_MIN). */
const SECTION_MIN = 68;

/** Guest memory that is shared lies below 4 GiB. */
const ADDRESS_MAX = 2 ** 32;

/** Packets of a channel handled in one poll: a host that never stops must not keep us. */
const PACKETS_PER_POLL_MAX = 4096;

/** The part for a NetvscDriver with the same policy. */
export function osNetvsc(policy: OsNetvscPolicy): NetvscPlug {
  return (netvsc) => new OsNetvscPart(netvsc, policy);
}

export class OsNetvscPart implements NetvscPart {
  readonly messageLength: number;
  readonly sizes: Partial<OsChannelSizes>;
  readonly #netvsc: NetvscHost;
  readonly #policy: OsNetvscPolicy;
  readonly #subchannels: NetvscSubchannels;
  readonly #stop: () => boolean;
  /** NVSP version that was agreed on, 0 before. */
  #version = 0;
  #sendBuffer: Region | undefined;
  #sendGpadl: Gpadl | undefined;
  /** Length of a section of the send buffer, 0 for no use of it; and how many there are. */
  #sectionSize = 0;
  #sections = 0;
  /** The message of a frame in the send buffer: section and length are filled in. */
  readonly #message: Uint8Array;
  readonly #view: DataView;

  /** @throws HypxeError BadPolicy */
  constructor(netvsc: NetvscHost, policy: OsNetvscPolicy) {
    const { sendBufferLength, nvspVersions, targetVps, flowControl } = policy;
    const wrong = sendBufferLength % PAGE_SIZE !== 0;
    if (wrong || sendBufferLength < 0 || sendBufferLength > ADDRESS_MAX) {
      throw new HypxeError('BadPolicy', `send buffer of ${sendBufferLength} bytes`);
    }
    this.#netvsc = netvsc;
    this.#policy = policy;
    this.#subchannels = new NetvscSubchannels(netvsc, policy);
    this.#stop = () => netvsc.isStopped;
    this.sizes = { targetVp: targetVps[0] ?? 0, flowControl };
    netvsc.pageSet = policy.receiveBufferId;
    netvsc.writable = () => netvsc.receiver?.writable();
    netvsc.interrupted = () => netvsc.pollPackets();

    // Linux always sends the length of 6.1
    const long = nvspVersions.includes(NvspVersion.V6_1);
    this.messageLength = long ? NVSP_MESSAGE_SIZE_V6_1 : NVSP_MESSAGE_SIZE;
    this.#message = new Uint8Array(this.messageLength);
    this.#view = new DataView(this.#message.buffer);
    this.#view.setUint32(NvspRndisPacket.at.type, NvspType.SEND_RNDIS_PACKET, true);
    this.#view.setUint32(NvspRndisPacket.at.channelType, RndisChannel.DATA, true);
  }

  // --- open and close ---

  /** @throws HypxeError OutOfMemory, and as VmbusDevice.establishGpadl */
  opening(): void {
    const { sendBufferLength } = this.#policy;
    if (sendBufferLength === 0) return;
    const { device } = this.#netvsc;
    this.#sendBuffer = device.pages.allocate('send-buffer', sendBufferLength);
    this.#sendGpadl = device.establishGpadl(this.#sendBuffer);
  }

  /** @throws HypxeError NvspVersionRefused, and as NetvscHost.request */
  negotiate(): void {
    this.#version = this.#agree();

    // Announce MTU and capabilities, from NVSP 2 on
    if (this.#version >= NvspVersion.V2) {
      let capabilities: number = NdisCapability.IEEE8021Q;
      // Without teaming a guest hears of no change of speed (Linux). Coalescing it could not undo
      if (this.#version >= NvspVersion.V5) {
        capabilities |= NdisCapability.SRIOV | NdisCapability.TEAMING;
      }
      const mtu = this.#policy.mtu + ETHERNET_HEADER;
      const config = [NvspType.SEND_NDIS_CONFIG, mtu, 0, capabilities, 0];
      this.#netvsc.tell('NDIS configuration', config);
    }

    // Announce the NDIS version
    const minor = this.#version >= NvspVersion.V5 ? NDIS_MINOR_5 : NDIS_MINOR;
    this.#netvsc.tell('NDIS version', [NvspType.SEND_NDIS_VERSION, NDIS_MAJOR, minor]);
  }

  /** The first version of the policy's that the host knows (Linux negotiate_nvsp_ver). */
  #agree(): number {
    const { nvspVersions } = this.#policy;
    let status = 0;
    for (const version of nvspVersions) {
      const init = [NvspType.INIT, version, version];
      const { INIT_COMPLETE } = NvspType;
      const { size, at } = NvspInitComplete;
      const answer = this.#netvsc.request(INIT_ID, 'INIT', init, INIT_COMPLETE, size);
      status = answer.getUint32(at.status, true);
      if (status === NvspStatus.SUCCESS) return version;
    }
    const asked = nvspVersions.map((version) => `0x${version.toString(16)}`).join(', ');
    throw new HypxeError('NvspVersionRefused', `NVSP ${asked} refused: status ${status}`);
  }

  /** Give the host the send buffer. @throws HypxeError SendBufferRefused, NetvscHost.request */
  opened(): void {
    if (this.#sendGpadl === undefined) return;
    const { length } = this.#sendBuffer!;
    const buffer = [NvspType.SEND_SEND_BUFFER, this.#sendGpadl.id, SEND_BUFFER_ID];
    const { size, at } = NvspSendBufferComplete;
    const type = NvspType.SEND_SEND_BUFFER_COMPLETE;
    const answer = this.#netvsc.request(SEND_BUFFER_REQUEST_ID, 'send buffer', buffer, type, size);

    // The host cuts it into sections
    const status = answer.getUint32(at.status, true);
    const sectionSize = answer.getUint32(at.sectionSize, true);
    if (status !== NvspStatus.SUCCESS || sectionSize < SECTION_MIN || sectionSize > length) {
      const text = `send buffer refused: status ${status}, sections of ${sectionSize} bytes`;
      throw new HypxeError('SendBufferRefused', text);
    }
    this.#sectionSize = sectionSize;
    this.#sections = Math.floor(length / sectionSize);
  }

  /**
   * Ask for sub-channels, where there can be any: not before RNDIS is initialised (Linux
   * rndis_set_subchannel). Without them everything works, if slower.
   *
   * @throws HypxeError ChannelRescinded, Cancelled
   */
  initialised(): void {
    const { subchannels } = this.#policy;
    if (subchannels === 0 || this.#version < NvspVersion.V5) return;
    const { log, device } = this.#netvsc;
    try {
      const granted = this.#requestSubchannels(subchannels);
      if (granted > 0) this.#subchannels.open(granted);
    } catch (error) {
      if (!isNamed(error) || error.name === 'Cancelled') throw error;
      if (this.#netvsc.failure !== undefined) throw error;
      log.warning('NETVSC', device.name, `no sub-channels: ${error.message}`);
    }
  }

  /** How many the host will offer: at most as many as asked for, 0 if it refuses. */
  #requestSubchannels(count: number): number {
    const { size, at } = NvspSubchannelComplete;
    const { SUBCHANNEL } = NvspType;
    const words = [SUBCHANNEL, NVSP_SUBCHANNEL_ALLOCATE, count];
    const answer = this.#netvsc.request(SUBCHANNEL_ID, 'sub-channels', words, SUBCHANNEL, size);
    if (answer.getUint32(at.status, true) !== NvspStatus.SUCCESS) return 0;
    return Math.min(answer.getUint32(at.count, true), count);
  }

  closing(): void {
    this.#revoke(NvspType.REVOKE_RECEIVE_BUFFER, this.#netvsc.pageSet);
    if (this.#sectionSize !== 0) this.#revoke(NvspType.REVOKE_SEND_BUFFER, SEND_BUFFER_ID);
  }

  #revoke(type: number, id: number): void {
    const { log, device } = this.#netvsc;
    log.attempt('info', 'NETVSC', device.name, 'revoke not confirmed', () => {
      this.#netvsc.tell('revoke', [type, id]);
    });
  }

  closed(): void {
    const { device } = this.#netvsc;
    this.#subchannels.forget();
    this.#sectionSize = this.#sections = 0;
    if (this.#sendGpadl !== undefined) device.teardownGpadl(this.#sendGpadl);
    if (this.#sendBuffer !== undefined) device.pages.free(this.#sendBuffer);
    this.#sendGpadl = this.#sendBuffer = undefined;
  }

  // --- frames ---

  /** Send a frame on the channel of its flow, through its section of the send buffer if it fits. */
  send(id: number, buffer: number, length: number): boolean {
    const channel = this.#subchannels.channelFor(this.#netvsc.channel!, buffer, length);
    if (id >= this.#sections || length > this.#sectionSize) {
      return this.#netvsc.sendDirect(channel, id, buffer, length, false);
    }
    // Copy it into the section that its ID has for itself (Linux netvsc_copy_to_send_buf)
    const section = this.#sendBuffer!.address + id * this.#sectionSize;
    this.#netvsc.device.pages.memory.bytes.copyWithin(section, buffer, buffer + length);
    this.#view.setUint32(NvspRndisPacket.at.sendBufferIndex, id, true);
    this.#view.setUint32(NvspRndisPacket.at.sendBufferSize, length, true);
    return channel.sendInband(BASE_ID + id, this.#message);
  }

  poll(channel: VmbusChannel): void {
    this.#pollChannel(channel);
    this.#subchannels.dropLost();
    for (let i = 0; i < this.#subchannels.count && !this.#netvsc.isStopped; i++) {
      this.#pollChannel(this.#subchannels.channel(i));
    }
  }

  #pollChannel(channel: VmbusChannel): void {
    if (channel.part !== undefined) channel.part.drain(PACKETS_PER_POLL_MAX, this.#stop);
    else this.#netvsc.pollChannel(channel);
  }

  receivedInband(packet: Packet): boolean {
    const type = packet.payloadLength >= 4 ? packet.view.getUint32(packet.payload, true) : 0;
    if (type !== NvspType.SEND_INDIRECTION_TABLE || this.#subchannels.count === 0) return false;
    this.#subchannels.useTable(packet, this.#version);
    return true;
  }
}

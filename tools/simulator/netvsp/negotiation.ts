// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NVSP from INIT to the first RNDIS message: version, NDIS configuration and version, receive and
 * send buffer, in the order that OpenVMM enforces (`initialize`); and revoking the buffers. Each
 * handler returns what the guest did wrong, which ends the channel, or undefined.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import {
  NVSP_MESSAGE_SIZE_V1,
  NVSP_MESSAGE_SIZE_V6_1,
  NvspInit,
  NvspInitComplete,
  NvspNdisConfig,
  NvspNdisVersion,
  NvspReceiveBufferComplete,
  NvspReceiveBufferSection,
  NvspRevokeBuffer,
  NvspSendBuffer,
  NvspSendBufferComplete,
  NvspStatus,
  NvspType,
  NvspVersion,
} from '../../../src/netvsc/protocol.ts';
import { COMPLETION_REQUESTED, PacketType, VmbusVersion } from '../../../src/vmbus/protocol.ts';
import type { DeviceChannel, GuestPacket } from '../vmbus-server/channel-interface.ts';
import type { Grant } from '../ledger/grants.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { putFields } from '../base/put-fields.ts';
import { NO_ROOM, type Outbox } from './faults.ts';
import { ReceiveBuffer, sectionSize } from './receive-buffer.ts';
import { SEND_SECTION_SIZE } from './transmit-path.ts';
import type { Keeper } from '../base/snapshot.ts';

/** The longest chain of buffers that the host takes, as hosts report it. */
const MAX_MDL_CHAIN_LENGTH = 34;

/** NvspInitComplete.version of all versions but the first. */
const VERSION_DEPRECATED = 0xffffffff;

/** MTU (with the Ethernet header) of a guest that gives none, or one out of range. */
export const MTU_DEFAULT = 1514;
const MTU_MAX = 9216;

/** NDIS_CONFIG capability bit 2: the guest can use a virtual function. */
const CAPABILITY_SRIOV = 1 << 2;

/** Bit 3: it takes VLAN tags beside the frame; bit 7: coalesced segments (Linux). */
const CAPABILITY_VLAN = 1 << 3;
const CAPABILITY_RSC = 1 << 7;

const NOTHING = new Uint8Array(0);

export class Negotiation {
  readonly #services: PartitionServices;
  readonly #channel: DeviceChannel;
  readonly #outbox: Outbox;
  /** The guest did something wrong that does not end the channel. */
  readonly #violation: (text: string) => void;
  readonly #reply = new Uint8Array(NVSP_MESSAGE_SIZE_V6_1);
  readonly #view = new DataView(this.#reply.buffer);
  /** NVSP version, 0 before INIT. */
  version = 0;
  /** MTU with the Ethernet header. */
  mtu: number;
  sriov = false;
  vlan = false;
  rsc = false;
  /** NDIS version, 0 before the guest gave it. */
  ndisMajor = 0;
  ndisMinor = 0;
  #configured = false;
  receiveBuffer: ReceiveBuffer | undefined;
  sendBuffer: Grant | undefined;
  sendBufferGpadl = 0;
  /** The guest has taken a buffer back by its message. */
  receiveRevoked = false;
  sendRevoked = false;
  /** The device runs: no more configuration. */
  started = false;
  /** RNDIS has come: the guest has heard that its buffers were taken. */
  used = false;
  /** A buffer was revoked and the host has fallen silent: nothing is read until the close. */
  stopped = false;

  constructor(
    services: PartitionServices,
    channel: DeviceChannel,
    outbox: Outbox,
    mtuDefault: number,
    violation: (text: string) => void,
  ) {
    this.#services = services;
    this.#channel = channel;
    this.#outbox = outbox;
    this.mtu = mtuDefault;
    this.#violation = violation;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.version, this.mtu], (v) => ([this.version, this.mtu] = v));
    keeper.put([this.sriov, this.vlan, this.rsc], (v) => ([this.sriov, this.vlan, this.rsc] = v));
    keeper.put([this.ndisMajor, this.ndisMinor], (v) => ([this.ndisMajor, this.ndisMinor] = v));
    keeper.put([this.#configured], (v) => ([this.#configured] = v));
    keeper.put([this.receiveBuffer], (v) => ([this.receiveBuffer] = v));
    keeper.put([this.sendBuffer], (v) => ([this.sendBuffer] = v));
    keeper.put([this.sendBufferGpadl], (v) => ([this.sendBufferGpadl] = v));
    keeper.put([this.receiveRevoked], (v) => ([this.receiveRevoked] = v));
    keeper.put([this.sendRevoked, this.started], (v) => ([this.sendRevoked, this.started] = v));
    keeper.put([this.used, this.stopped], (v) => ([this.used, this.stopped] = v));
    keeper.keep(this.#services, this.#channel, this.#outbox, this.#reply, this.#view);
  }

  /** Length of NVSP messages in bytes. */
  get messageSize(): number {
    return this.version >= NvspVersion.V6_1 ? NVSP_MESSAGE_SIZE_V6_1 : NVSP_MESSAGE_SIZE_V1;
  }

  /** All that RNDIS needs is there; the send buffer is optional. */
  get ready(): boolean {
    const configured = this.#configured || this.version < NvspVersion.V2;
    return configured && this.ndisMajor !== 0 && this.receiveBuffer !== undefined;
  }

  /** RNDIS comes. */
  use(): void {
    this.started = this.used = true;
  }

  /** Handle an in-band message of one of the types of this file. */
  handle(type: number, packet: GuestPacket): string | undefined {
    if (type === NvspType.INIT) return this.#init(packet);
    if (type === NvspType.REVOKE_RECEIVE_BUFFER || type === NvspType.REVOKE_SEND_BUFFER)
      return this.#revoke(type, packet);
    if (this.started) return `NVSP type ${type} after the device was started`;
    const bad = this.#configure(type, packet);
    if (bad === undefined && this.ready && this.sendBuffer !== undefined) this.started = true;
    return bad;
  }

  /** Complete a message with the first `length` bytes of `payload`. Returns what is wrong. */
  complete(packet: GuestPacket, payload: Uint8Array, length: number): string | undefined {
    const { transactionIdLow: low, transactionIdHigh: high } = packet;
    const copies = this.#outbox.send(
      PacketType.COMPLETION,
      0,
      low,
      high,
      NOTHING,
      0,
      payload,
      length,
    );
    // OpenVMM has no queue for these either: a guest that does not read its ring has lost
    return copies === NO_ROOM ? 'no room in the ring for an NVSP completion' : undefined;
  }

  /** An empty completion, if the guest wants one. */
  completeEmpty(packet: GuestPacket): string | undefined {
    if ((packet.flags & COMPLETION_REQUESTED) === 0) return undefined;
    return this.complete(packet, NOTHING, 0);
  }

  #configure(type: number, packet: GuestPacket): string | undefined {
    switch (type) {
      case NvspType.SEND_NDIS_CONFIG:
        return this.#config(packet);
      case NvspType.SEND_NDIS_VERSION:
        return this.#ndisVersion(packet);
      case NvspType.SEND_RECEIVE_BUFFER:
        return this.#takeReceiveBuffer(packet);
      case NvspType.SEND_SEND_BUFFER:
        return this.#takeSendBuffer(packet);
      default:
        return `unknown NVSP type ${type}`;
    }
  }

  /** INIT: only the first of the two versions counts, and only by exact match. */
  #init(packet: GuestPacket): string | undefined {
    if (this.version !== 0) return 'NVSP INIT twice';
    if ((packet.flags & COMPLETION_REQUESTED) === 0) return 'NVSP INIT without a transaction';
    const asked = field(packet, NvspInit.at.minVersion);
    const known = this.#services.profile.nvspVersions.includes(asked);

    // An unknown version gets status NONE and may be followed by another
    this.#begin(NvspType.INIT_COMPLETE);
    const first = known && asked === NvspVersion.V1;
    putFields(this.#view, NvspInitComplete, {
      version: first ? asked : VERSION_DEPRECATED,
      maxMdlChainLength: MAX_MDL_CHAIN_LENGTH,
      status: known ? NvspStatus.SUCCESS : NvspStatus.NONE,
    });
    const bad = this.complete(packet, this.#reply, NVSP_MESSAGE_SIZE_V1);
    if (known) this.version = asked;
    return bad;
  }

  #config(packet: GuestPacket): string | undefined {
    if (this.#configured) return 'NDIS configuration twice';
    this.#configured = true;
    const mtu = field(packet, NvspNdisConfig.at.mtu);
    this.mtu = mtu >= MTU_DEFAULT && mtu <= MTU_MAX ? mtu : MTU_DEFAULT;
    const capabilities = field(packet, NvspNdisConfig.at.capabilities);
    this.sriov = (capabilities & CAPABILITY_SRIOV) !== 0;
    this.vlan = (capabilities & CAPABILITY_VLAN) !== 0;
    this.rsc = (capabilities & CAPABILITY_RSC) !== 0;
    return this.completeEmpty(packet);
  }

  /** The completion may be empty, and is (OpenVMM: "the UEFI client expects" one). */
  #ndisVersion(packet: GuestPacket): string | undefined {
    if (this.ndisMajor !== 0) return 'NDIS version twice';
    this.ndisMajor = field(packet, NvspNdisVersion.at.major);
    this.ndisMinor = field(packet, NvspNdisVersion.at.minor);
    if (this.ndisMajor === 0) return 'NDIS version 0';
    return this.completeEmpty(packet);
  }

  #takeReceiveBuffer(packet: GuestPacket): string | undefined {
    if (this.receiveBuffer !== undefined) return 'receive buffer twice';
    if (this.version >= NvspVersion.V2 && !this.#configured)
      return 'receive buffer before the NDIS configuration';
    if ((packet.flags & COMPLETION_REQUESTED) === 0) return 'receive buffer without a transaction';
    const gpadl = field(packet, NvspSendBuffer.at.gpadl);
    const grant = this.#grant(gpadl);
    if (grant === undefined)
      return this.#failed(packet, `no GPADL 0x${gpadl.toString(16)} of whole pages for receiving`);
    const id = packet.view.getUint16(packet.payloadOffset + NvspSendBuffer.at.id, true);

    // Cut it into sections
    const { knobs } = this.#services.profile;
    const size = sectionSize(this.mtu, knobs.rxMessageLength);
    const { grants } = this.#services;
    const buffer = new ReceiveBuffer(grants, grant, gpadl, id, size, knobs.controlSections);
    if (!buffer.usable)
      return this.#failed(packet, `receive buffer of ${grant.length} bytes is too small`);
    this.receiveBuffer = buffer;
    grants.entitle(grant, `receive buffer (GPADL 0x${gpadl.toString(16)})`);
    return this.complete(packet, this.#sections(buffer), this.messageSize);
  }

  #sections(buffer: ReceiveBuffer): Uint8Array {
    this.#begin(NvspType.SEND_RECEIVE_BUFFER_COMPLETE);
    const { sectionCount, sectionSize } = buffer;
    const fields = { status: NvspStatus.SUCCESS, sectionCount: 1 };
    putFields(this.#view, NvspReceiveBufferComplete, fields);
    const section = {
      subAllocationSize: sectionSize,
      subAllocationCount: sectionCount,
      endOffset: sectionCount * sectionSize,
    };
    putFields(this.#view, NvspReceiveBufferSection, section, NvspReceiveBufferComplete.size);
    return this.#reply;
  }

  #takeSendBuffer(packet: GuestPacket): string | undefined {
    if (this.sendBuffer !== undefined) return 'send buffer twice';
    if ((packet.flags & COMPLETION_REQUESTED) === 0) return 'send buffer without a transaction';
    const gpadl = field(packet, NvspSendBuffer.at.gpadl);
    const grant = this.#grant(gpadl);
    if (grant === undefined)
      return this.#failed(packet, `no GPADL 0x${gpadl.toString(16)} of whole pages for sending`);
    this.sendBuffer = grant;
    this.sendBufferGpadl = gpadl;
    this.#services.grants.entitle(grant, `send buffer (GPADL 0x${gpadl.toString(16)})`);
    this.#begin(NvspType.SEND_SEND_BUFFER_COMPLETE);
    const fields = { status: NvspStatus.SUCCESS, sectionSize: SEND_SECTION_SIZE };
    putFields(this.#view, NvspSendBufferComplete, fields);
    return this.complete(packet, this.#reply, this.messageSize);
  }

  /** A buffer that cannot be used: the guest is told (Windows), or loses the channel (OpenVMM). */
  #failed(packet: GuestPacket, reason: string): string | undefined {
    if (this.#services.profile.knobs.failedBuffer === 'fatal') return reason;
    this.#violation(reason);
    const type = packet.view.getUint32(packet.payloadOffset, true);
    const receive = type === NvspType.SEND_RECEIVE_BUFFER;
    this.#begin(
      receive ? NvspType.SEND_RECEIVE_BUFFER_COMPLETE : NvspType.SEND_SEND_BUFFER_COMPLETE,
    );
    this.#view.setUint32(NvspReceiveBufferComplete.at.status, NvspStatus.FAIL, true);
    return this.complete(packet, this.#reply, this.messageSize);
  }

  /** Whether this host lets go of the GPADL of a buffer before the close. */
  mayLetGo(gpadl: number): boolean {
    const { torndownWhileOpen } = this.#services.profile.knobs;
    if (torndownWhileOpen !== 'by-version') return torndownWhileOpen === 'immediate';
    if (this.#channel.vmbusVersion >= VmbusVersion.V4_0) return false;
    // Below 4.0 the guest has revoked it first
    if (this.receiveBuffer?.gpadl === gpadl) return this.receiveBuffer.revoked;
    return this.sendBufferGpadl === gpadl && this.sendBuffer === undefined;
  }

  /** Windows completes a revoke and uses the buffer no more; OpenVMM falls silent. */
  #revoke(type: number, packet: GuestPacket): string | undefined {
    const receive = type === NvspType.REVOKE_RECEIVE_BUFFER;
    const buffer = receive ? this.receiveBuffer : this.sendBuffer;
    if (buffer === undefined) return 'revoke of a buffer that is not there';
    const id = packet.view.getUint16(packet.payloadOffset + NvspRevokeBuffer.at.id, true);
    if (receive && id !== this.receiveBuffer!.id)
      return `revoke of receive buffer 0x${id.toString(16)}`;
    if (this.#services.profile.knobs.revoke === 'silent') this.stopped = true;
    if (receive) this.receiveRevoked = this.receiveBuffer!.revoked = true;
    else {
      this.sendRevoked = true;
      this.sendBuffer = undefined;
    }
    return this.stopped ? undefined : this.completeEmpty(packet);
  }

  /**
   * The grant of a GPADL whose range is whole pages, as OpenVMM asks for (O-B2). That its pages
   * are RAM nobody checked.
   */
  #grant(gpadl: number): Grant | undefined {
    const grant = this.#channel.gpadl(gpadl);
    if (grant === undefined || grant.offset !== 0 || grant.length % PAGE_SIZE !== 0)
      return undefined;
    const { ram } = this.#services;
    const isRam = grant.pfns.every((pfn) => ram.has(pfn * PAGE_SIZE, PAGE_SIZE));
    return isRam ? grant : undefined;
  }

  #begin(type: number): void {
    this.#reply.fill(0);
    this.#view.setUint32(0, type, true);
  }
}

/** A 32-bit field of the NVSP message in a packet. */
function field(packet: GuestPacket, at: number): number {
  return packet.view.getUint32(packet.payloadOffset + at, true);
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The boundary between the VMBus server and a device behind a channel (NetVSP, later the utility
 * services). The server owns offers, GPADLs, open and close; the device owns the packets.
 */

import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import type { DeviceProtocol } from './device-protocol.ts';
import type { Grant } from '../ledger/grants.ts';

/** VMBus drivers in one guest: the one on SINT 2, and one on a SINT of its own (from 5.0 on). */
export type ClientName = 'primary' | 'secondary';

/**
 * Who closes a channel: the guest by CLOSE_CHANNEL, the guest by UNLOAD, or the host for any other
 * reason (a rescind, a reset).
 */
export type Closer = 'guest' | 'unload' | 'host';

/** A device that the VMBus server offers. */
export interface ChannelDevice {
  /** GUIDs in canonical text. */
  readonly interfaceId: string;
  readonly instanceId: string;
  /**
   * Whom it is offered to; by default the primary client. A device belongs to one client: a host
   * "can't have two connections to the same synthetic driver" (KB 2858695), and in OpenVMM each
   * server has offers of its own.
   */
  readonly client?: ClientName;
  /** From 1 on for sub-channels, which have the GUIDs of their primary channel; else 0. */
  readonly subchannelIndex?: number;
  /** Offer flags (`OfferFlag`) and, for pipes and others, the 120 bytes of user data. */
  readonly offerFlags: number;
  readonly userDefined?: Uint8Array;
  /** The guest may signal through the monitor page. */
  readonly monitored: boolean;
  /** Its messages, for traces and captures. */
  readonly protocol?: DeviceProtocol;
  /** Connected once by the server, before the first offer. */
  attach(services: PartitionServices): void;
  /**
   * The guest opens the channel: rings are mapped. Returns the NTSTATUS of OPEN_CHANNEL_RESULT
   * (0 is success); a device that fails leaves the channel closed.
   */
  open(channel: DeviceChannel): number;
  /**
   * The channel closes, by the guest's CLOSE_CHANNEL, UNLOAD, a new INITIATE_CONTACT, a rescind or
   * a reset. After the call the device touches neither rings nor GPADLs nor packets in flight.
   *
   * @param closer default `guest`: what it has not done by then it will not do. With `host` nobody
   *   can blame it; with `unload` the host makes up for what it left out.
   */
  close(closer?: Closer): void;
  /** The guest signalled, or the host looks at the rings of its own accord: read what is there. */
  signalled(): void;
  /**
   * The guest tears a GPADL of this channel down; what it had put into the ring before was read.
   * True if the device has let go (GPADL_TORNDOWN is sent), false if it keeps its view until it is
   * closed (sent then).
   */
  gpadlTeardown(gpadl: number): boolean;
}

/** An open channel, from the device's side. */
export interface DeviceChannel {
  /** Channel number (relid). */
  readonly id: number;
  /** Negotiated VMBus version. */
  readonly vmbusVersion: number;
  /** User data of OPEN_CHANNEL, 120 bytes. */
  readonly userData: Uint8Array;

  /**
   * The next packet of the guest, copied out of the ring before it is checked, or undefined if
   * the ring is empty or the channel is dead. The same object is filled again by the next call.
   * A malformed packet or ring index ends the channel as it does on real hosts: silence.
   *
   * @param atClose the channel closes: of a dead one, too, for what the guest had sent it has done;
   * the guest is told nothing then
   */
  receive(atClose?: boolean): GuestPacket | undefined;

  /** The guest's ring cannot be read any further: what it has sent nobody knows. */
  readonly unreadable: boolean;

  /** The guest has read all that was written to it. */
  readonly drained: boolean;
  /** A fault that was put in has changed what goes to the guest: it cannot be blamed. */
  readonly tampered: boolean;
  /** Of a dead one: what the guest did on it. */
  readonly reason: string;

  /** Bytes free for packets to the guest. */
  readonly writable: number;

  /**
   * Put a packet into the host to guest ring and signal the guest by the rules of the version.
   * `header` and `payload` are lengths into the given arrays; both multiples of 8 after padding.
   * Returns false if the ring has no room (or the channel is dead): nothing is written then.
   *
   * @param type packet type
   * @param flags packet flags
   * @param transactionId low and high 32 bits
   * @param extra type-specific header after the 16 bytes of the descriptor (may be empty)
   * @param payload payload, padded to 8 with zeros
   */
  send(
    type: number,
    flags: number,
    transactionIdLow: number,
    transactionIdHigh: number,
    extra: Uint8Array,
    extraLength: number,
    payload: Uint8Array,
    payloadLength: number,
  ): boolean;

  /**
   * Offer sub-channels of this channel. They are taken back, before this channel, when it closes
   * or goes away (OpenVMM: all rescinds of sub-channels precede the primary's). False if the bus
   * has no room for all of them, or if this channel is closed: none is offered then.
   */
  offerSubchannels(devices: readonly ChannelDevice[]): boolean;

  /** The accepted GPADL of this channel, or undefined. It has exactly one grant per range. */
  gpadl(id: number): Grant | undefined;

  /** Stop reading the rings until the channel is closed and opened anew: a guest's fatal error. */
  die(reason: string): void;
  readonly dead: boolean;
}

/** A packet of the guest, copied out of the ring. */
export interface GuestPacket {
  /** Header, type-specific header and payload, without the footer. Valid until the next receive. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Length of what is in `bytes`. */
  length: number;
  type: number;
  flags: number;
  /** Low and high 32 bits, unsigned. */
  transactionIdLow: number;
  transactionIdHigh: number;
  /** Where the payload begins: after the descriptor and the type-specific header. */
  payloadOffset: number;
}

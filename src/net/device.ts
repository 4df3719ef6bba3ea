// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The network device: what a NIC driver offers and what a protocol stack needs, and nothing of
 * either. RNDIS implements {@link NetDevice}; the stack implements {@link FrameReceiver}.
 */

import type { ErrorName } from '../error.ts';

/** Length of an Ethernet header, in bytes. */
export const ETHERNET_HEADER = 14;

/** Longest frame without its check sequence: header and 1500 bytes (iPXE ETH_FRAME_LEN). */
export const ETHERNET_FRAME_MAX = 1514;

/** State of the link. `unknown` until the device has told. */
export type LinkState = 'unknown' | 'up' | 'down';

/** Takes the frames that a device receives. */
export interface FrameReceiver {
  /**
   * One Ethernet frame without check sequence: `length` bytes at `offset` of `buffer`. The bytes
   * are the firmware's own copy (the host cannot change them) and valid only during the call.
   * `length` may be anything from 0 to the device's maximum: the receiver checks. `vlan` is the
   * VLAN whose tag the device has taken out of the frame, 0 for none and for a priority tag.
   */
  receive(buffer: Uint8Array, offset: number, length: number, vlan?: number): void;
}

/** What became of a frame handed to {@link NetDevice.transmit}. */
export type TransmitResult =
  /** On its way to the host. */
  | 'sent'
  /** Waits for room: sent by a later poll, once the host has completed others. */
  | 'deferred'
  /** Dropped: too many wait, device closed, or frame too long. Counted as bad. */
  | 'dropped';

/** Counters of a device. */
export interface NetStatistics {
  txGood: number;
  txBad: number;
  rxGood: number;
  rxBad: number;
}

/** Watches a device: for replays and tests. Must not call the device. */
export interface NetObserver {
  /** A frame was completed or given up. `sequence` counts the calls of transmit from 0. */
  transmitted(sequence: number, error: ErrorName | undefined): void;
  /** Something was received that is no good: its bytes, if it is a message. */
  receiveError(error: ErrorName, buffer: Uint8Array, offset: number, length: number): void;
  linkChanged(up: boolean): void;
}

/** A network interface. */
export interface NetDevice {
  /** `net0`, `net1`, … in order of the offers. */
  readonly name: string;
  /** Identity of the device below, for log lines: `{instance GUID}`. */
  readonly instance: string;
  /** Permanent MAC address, 6 bytes. */
  readonly permanentAddress: Uint8Array;
  /** Current MAC address, 6 bytes: the source address of frames. */
  readonly address: Uint8Array;
  /** Longest frame that can be sent, in bytes, Ethernet header included. */
  readonly maxFrame: number;
  readonly link: LinkState;
  readonly isOpen: boolean;
  readonly statistics: Readonly<NetStatistics>;
  /** Frames that wait in the queue of the device, if it has one: `deferredFrames` at most. */
  readonly waiting?: number;
  /** Where received frames go. Without a receiver they are dropped and counted. */
  receiver: FrameReceiver | undefined;
  observer?: NetObserver | undefined;

  /** Open the device. Does nothing if it is open. @throws HypxeError, device closed. */
  open(): void;
  /** Close the device. Never throws; what the host does not give back stays in the ledger. */
  close(): void;
  /** Send `length` bytes at the start of `frame`. The bytes are copied before the call returns. */
  transmit(frame: Uint8Array, length: number): TransmitResult;
  /** Take everything that the host has delivered, and pass frames to the receiver. */
  poll(): void;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** Where tests and the exploration of faults put themselves between guest and host. */

/** What shall happen to a message of the host instead of its delivery. */
export interface MessageFault {
  /** Lose it. */
  readonly drop?: boolean;
  /** Deliver it this many ticks later; messages sent meanwhile overtake it. */
  readonly delayTicks?: number;
  /** Deliver it this many times; 1 if unset. At most {@link MESSAGE_COPIES_MAX}. */
  readonly copies?: number;
  /** Another message type or payload (at most 240 bytes) in its place. */
  readonly type?: number;
  readonly payload?: Uint8Array;
}

/** Most copies of one message. */
export const MESSAGE_COPIES_MAX = 16;

/** The hooks of a partition; each may be unset. */
export interface PartitionFaults {
  /**
   * A hypercall with valid input is about to be carried out. `index` counts the calls of this code,
   * from 0. Returns the status to fail with, or undefined to let it pass.
   */
  hypercall?:
    ((code: number, connectionId: number, index: number) => number | undefined) | undefined;
  /**
   * A register is about to be read or written by HvGetVpRegisters or HvSetVpRegisters: on arm64 all
   * of them are. Returns the status to fail with, or undefined to let it pass.
   */
  register?: ((access: 'get' | 'set', register: number) => number | undefined) | undefined;
  /** The host sends a message. Returns what shall become of it, or undefined to let it pass. */
  message?:
    | ((vp: number, sint: number, type: number, payload: Uint8Array) => MessageFault | undefined)
    | undefined;
}

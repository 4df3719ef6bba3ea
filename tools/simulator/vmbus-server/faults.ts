// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Places where a test or a fault plan may interpose between the server and the guest. Each hook is
 * optional; one that returns undefined changes nothing. What was changed is a `fault` event.
 */

/** What becomes of a control message on its way to the guest. */
export type MessageFault =
  /** As it is. */
  | undefined
  /** Never sent. The host believes that it was. */
  | 'drop'
  /** This instead (at most 240 bytes). */
  | Uint8Array
  /** Later: others may overtake it. */
  | { readonly delayTicks: number }
  /** As it is, and this many times again. */
  | { readonly duplicates: number };

/** Which ring of a channel. */
export type RingSide = 'guest-to-host' | 'host-to-guest';

/** Writes a word of a ring's control page (`RingControl.at`), as a broken host would. */
export type RingPoke = (side: RingSide, offset: number, value: number) => void;

export interface ServerFaults {
  /** A control message is about to be sent. `payload` must not be changed in place. */
  message?(type: number, payload: Uint8Array): MessageFault;
  /**
   * A packet is about to be published: header, payload and footer. Returns other bytes (a multiple
   * of 8 that fits into the ring), or `drop` to lose it while the device believes that it was sent.
   */
  ringPacket?(channel: number, bytes: Uint8Array): Uint8Array | 'drop' | undefined;
  /** A packet was published, the guest not yet signalled: indices may be written raw. */
  published?(channel: number, poke: RingPoke): void;
  /**
   * A host that looks at a ring goes on looking, with signals masked, until it is told to end:
   * `VmbusServer.linger`.
   */
  lingers?: boolean;
  /** The guest is about to be signalled; true loses the signal. */
  loseSignal?(channel: number): boolean;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The boundary below RNDIS: something that carries whole RNDIS messages (NetVSC here, USB
 * elsewhere). RNDIS builds its messages in buffers of the transport, in place.
 */

import { HypxeError, isNamed, type ErrorName } from '../error.ts';
import type { Log } from '../events.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { waitFor, type Clock } from '../time.ts';

/** Longest RNDIS message that fits into a buffer of the transport, in bytes. */
export const RNDIS_BUFFER_SIZE = 2048;

/** Sequence number of control messages, which have buffers and transmit slots in reserve. */
export const SEQUENCE_CONTROL = -1;

/** Errors of a device that is slow, or silent: it may be opened once more. */
const TIMEOUTS: readonly ErrorName[] = ['NoAnswer', 'NoCompletion', 'NoResponse'];

/** Whether it is such an error. */
export function isTimeout(error: unknown): error is HypxeError {
  return isNamed(error) && TIMEOUTS.includes(error.name);
}

/** Takes what a transport receives. */
export interface RndisReceiver {
  /** One RNDIS message: a private copy, valid during the call. `length` is the message's extent. */
  received(bytes: Uint8Array, view: DataView, offset: number, length: number): void;
  /** A message that was sent is done: completed by the host, or given up. */
  transmitted(sequence: number, error: ErrorName | undefined): void;
  /** There may be room for another frame. */
  writable(): void;
  /** Something was received that could not be made a message of. */
  receiveFailed(error: ErrorName, text: string): void;
}

export interface RndisTransport {
  /** Identity for log lines. */
  readonly name: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Where the buffers lie. */
  readonly memory: GuestMemory;
  /**
   * How long the device may take to answer, in ms, how often it is opened if it does not, and how
   * many frames wait for room.
   */
  readonly policy: {
    readonly answerMs: number;
    readonly tries: number;
    readonly deferredFrames: number;
  };
  /** Set by RNDIS before anything else. */
  receiver: RndisReceiver | undefined;
  /** Why nothing can be sent any more (device gone, channel broken), or undefined. */
  readonly failure: ErrorName | undefined;

  /** @throws HypxeError with everything undone */
  open(): void;
  /**
   * The device has been initialised over the transport, which may now do what it could not before.
   *
   * @throws HypxeError if the transport is of no use any more
   */
  initialised(): void;
  /**
   * Never throws. Messages in flight are reported as given up. Nothing is said to whoever is gone.
   */
  close(): void;
  /**
   * A buffer of {@link RNDIS_BUFFER_SIZE} bytes for a frame or a control message: its address, or 0
   * if there is none. It must be sent before anything else is done.
   */
  allocate(control: boolean): number;
  /**
   * Send `length` bytes of a buffer. The buffer is the transport's again, whatever the result.
   *
   * @param sequence number of the frame, or {@link SEQUENCE_CONTROL}
   * @returns whether it was sent: false if there is no room
   */
  transmit(buffer: number, length: number, sequence: number): boolean;
  /** Take everything that has come. */
  poll(): void;
}

/**
 * Wait for an answer, as long as there is somebody who could give it.
 *
 * @param what for the text of errors
 * @param error if there is none in time
 * @param answered one look
 * @throws HypxeError `error`, or what broke the transport
 */
export function waitAnswer(
  transport: Pick<RndisTransport, 'clock' | 'failure'>,
  timeoutMs: number,
  what: string,
  error: ErrorName,
  answered: () => boolean,
): void {
  const inTime = waitFor(transport.clock, timeoutMs, () => {
    if (answered()) return true;
    const { failure } = transport;
    if (failure) throw new HypxeError(failure, `device gone during ${what}`);
    return false;
  });
  if (!inTime) throw new HypxeError(error, `no answer to ${what}`);
}

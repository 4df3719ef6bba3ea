// SPDX-License-Identifier: GPL-2.0-or-later

/** What the script of a session is made of: anchors, answers, stimuli. */

import type { PacketMeaning } from '../anchor-keys.ts';
import type { TraceEventOf } from '../trace-events.ts';
import type { Look } from './looks.ts';

/** Something that the host does. */
export interface HostEvent {
  /** Index of the recorded event. */
  readonly index: number;
  /** Recorded time, in ms. */
  readonly time: number;
  readonly what:
    | { readonly kind: 'message'; readonly event: SentMessage }
    | {
        readonly kind: 'packet';
        readonly event: TraceEventOf<'host-ring-write'>;
        /** Bytes of data of the recorded ring, if they are known. */
        readonly ringBytes: number | undefined;
      }
    | { readonly kind: 'memory' };
  /** How far the guest had come in this moment. */
  readonly look: Look;
  /** Somebody above the drivers was busy with a frame: not before this one is. */
  readonly behind: Anchor | undefined;
  /** The packet that it answers, also where that is answered already. */
  readonly asked: PacketMeaning | undefined;
  /** What it writes into the guest's memory first: into which GPADL, where. */
  readonly writes: readonly MemoryWrite[];
}

export type SentMessage = TraceEventOf<'host-message'> | TraceEventOf<'host-message-queued'>;

/** A write of the host into memory of the guest. */
export interface MemoryWrite {
  /** Recorded ID of the GPADL. */
  readonly gpadl: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** An action of the recorded guest. */
export interface Anchor {
  readonly index: number;
  readonly step: number;
  readonly key: string;
  readonly time: number;
  /** Status of the hypercall of a message. */
  readonly status: number;
  readonly message: Uint8Array | undefined;
  readonly packet: PacketMeaning | undefined;
  readonly channel: number;
  /** Statuses of the signals that followed a packet. */
  readonly signals: number[];
  /** When the host took the packet: recorded time; undefined if it never did. */
  consumed: number | undefined;
  consumedIndex: number;
  /** The guest's last action before that. */
  consumedBehind: Anchor | undefined;
  /** A signal has told the host of it. */
  woken: boolean;
  /** Or it looks by itself: that it did not take the packet is its own doing. */
  awake: boolean;
  /** What the GPADL of a GPADL_HEADER is called. */
  gpadlName: string;
  readonly answers: HostEvent[];
  readonly stimuli: HostEvent[];
  /** Recorded times, in ms, at which turns of the guest's wait behind it ended. */
  readonly turns: number[];
}

/** The recorded guest's view of one channel's outbound ring. */
export interface RecordedRing {
  /** Written and not taken. */
  waiting: Anchor[];
  awake: boolean;
  /** The host has masked the ring: it looks by itself. */
  masked: boolean;
}

/** A ring into which nothing was written. */
export function emptyRing(): RecordedRing {
  return { waiting: [], awake: false, masked: false };
}

/** A recorded session as the host of a replay needs it. */
export interface Script {
  readonly anchors: readonly Anchor[];
  /** Indices of the events that begin and end the steps. */
  readonly stepBegins: readonly number[];
  readonly stepEnds: readonly number[];
  /** Time that passes between steps, in ms, by the index of the step before. */
  readonly gaps: readonly number[];
  /** Offers of the host, as messages. */
  readonly offers: readonly Uint8Array[];
  /** When the guest was told to give up. */
  readonly cancel: Cancel | undefined;
  /** Whether the host has sent anything while the guest read the time. */
  readonly actsInReads: boolean;
  /** What could not be understood. */
  readonly notes: readonly string[];
}

/** When a guest was told to give up. */
export interface Cancel {
  /** Index of the event that says so. */
  readonly index: number;
  /** Recorded time, in ms. */
  readonly time: number;
  /** The last action before. */
  readonly after: Anchor | undefined;
  /** The last that the host had sent since, if it had sent anything. */
  readonly last: HostEvent | undefined;
  /** What else it had done since, and how often it had then asked. */
  readonly acts: number;
  readonly asked: number;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What crosses the seam or the bus, as one stream of typed events with the virtual time. The trace
 * file, the counters of the bench, the capture and the report are readers. Nothing is built when
 * nobody reads (`events.on`).
 */

import type { MemoryRange } from '../../../src/machine.ts';
import type { Grant } from './grants.ts';
import type { Keeper } from '../base/snapshot.ts';

/** One event of the simulated machine. */
export type HostEvent = Act & EventOfKind;

type EventOfKind =
  | { readonly kind: 'cpuid'; readonly leaf: number; readonly out: readonly number[] }
  | { readonly kind: 'rdmsr' | 'wrmsr'; readonly msr: number; readonly value: bigint }
  | {
      /** HvGetVpRegisters and HvSetVpRegisters, one register. */
      readonly kind: 'register-read' | 'register-write';
      /** Its number, and its name as in `Msr`. */
      readonly register: number;
      readonly name: string;
      /** Of registers of 128 bits the low half. */
      readonly value: bigint;
    }
  | {
      readonly kind: 'hypercall';
      readonly code: number;
      readonly name: string;
      /** The input as the host read it: 16 + length bytes for a message, 8 for a signal. */
      readonly input: Uint8Array;
      readonly status: number;
    }
  | {
      /** A message was put into a slot (`deliver`), queued behind it, or lost. */
      readonly kind: 'host-message';
      readonly change: 'deliver' | 'queue' | 'drop';
      readonly vp: number;
      readonly sint: number;
      readonly type: number;
      readonly payload: Uint8Array;
      readonly reason?: string;
    }
  | {
      /** The guest emptied a slot. */
      readonly kind: 'message-taken';
      readonly vp: number;
      readonly sint: number;
    }
  | {
      /** The host signalled an event flag of a SINT; `lost` where the guest takes none. */
      readonly kind: 'event-flag';
      readonly change: 'set' | 'already-set' | 'lost';
      readonly vp: number;
      readonly sint: number;
      readonly flag: number;
      readonly reason?: string;
    }
  | {
      /** A packet that the host read from (`guest`) or wrote to (`host`) a ring. */
      readonly kind: 'ring-packet';
      readonly from: 'guest' | 'host';
      readonly channel: number;
      /** Only for channels of a second VMBus driver; numbers are each driver's own. */
      readonly client?: 'secondary';
      readonly offset: number;
      readonly type: number;
      readonly transactionId: bigint;
      /** Header and payload, without the footer. */
      readonly bytes: Uint8Array;
      /** What it says, in words: of devices that describe themselves. */
      readonly message?: string;
    }
  | {
      readonly kind: 'signal';
      /** How the guest signalled. */
      readonly via: 'hypercall' | 'monitor';
      readonly channel: number;
      readonly client?: 'secondary';
    }
  | {
      readonly kind: 'frame';
      readonly from: 'guest' | 'host';
      readonly nic: number;
      readonly frame: Uint8Array;
    }
  | { readonly kind: 'frame-dropped'; readonly nic: number; readonly reason: string }
  | ({ readonly kind: 'grant' | 'revoke'; readonly grant: Grant } & Caused)
  | ({
      /** What the grant of this number is for has become known: a GPADL is a ring, a buffer. */
      readonly kind: 'purpose';
      readonly grant: number;
      readonly purpose: string;
    } & Caused)
  | FlowEvent
  | {
      /** VMBus connection and channel states. */
      readonly kind: 'vmbus';
      readonly change:
        | 'connected'
        | 'refused'
        | 'disconnected'
        | 'unloaded'
        | 'offered'
        | 'opened'
        | 'closed'
        | 'rescinded'
        | 'released';
      readonly version?: number;
      readonly channel?: number;
      readonly client?: 'secondary';
    }
  | {
      /** The guest broke the protocol: what it did, and what the host made of it. */
      readonly kind: 'violation';
      readonly layer: 'hypervisor' | 'vmbus' | 'ring' | 'nvsp' | 'rndis' | 'utility';
      readonly text: string;
    }
  | {
      /** Something that the simulator does not model was touched, by its name or number. */
      readonly kind: 'unmodelled';
      readonly what: string;
    }
  | { readonly kind: 'fault'; readonly text: string }
  | {
      /** A fault that was planned is carried out: its text, and the same in words. */
      readonly kind: 'injected';
      readonly fault: string;
      readonly what: string;
    }
  /** The guest ended by a fault or reported a crash; or exceeded a limit. */
  | { readonly kind: 'crash'; readonly text: string }
  | { readonly kind: 'hang'; readonly text: string };

/** What whoever runs guests says of them: who has the machine, and what is found. */
export type FlowEvent =
  /** From now on the machine is this owner's: `firmware`, `OS`, `kexec 1`, `second boot`. */
  | { readonly kind: 'stage'; readonly stage: string }
  | {
      /** An owner has handed over, and is audited: what the host holds now crosses the handoff. */
      readonly kind: 'handoff';
      readonly stage: string;
      /** How it ended: `handoff`, `quiesce`, `kexec`, `crash`, `panic`, `power-off`, `shutdown`. */
      readonly end: string;
      readonly memoryMap: readonly MemoryRange[];
    }
  | {
      /** The host has written to all of what a grant gives it, after a handoff. */
      readonly kind: 'late-write';
      readonly grant: number;
      /** Bytes that it wrote. */
      readonly length: number;
    }
  | {
      /** A finding of the audit, about what `stage` did or left. See `Finding`. */
      readonly kind: 'finding';
      readonly stage: string;
      readonly check: string;
      readonly severity: 'error' | 'warning' | 'info';
      readonly text: string;
      /** The grant that it is about, where it is about one. */
      readonly grant?: number;
      readonly vp?: number;
      readonly known?: string;
    }
  | {
      readonly kind: 'verdict';
      readonly verdict: string;
      /** Checks of the audit that had no occasion. */
      readonly notRun: readonly string[];
    };

/** What a guest does, by which others can name it: messages, packets, writes of registers. */
interface Act {
  /** Running number of all such events of a stream, from 1. */
  readonly act?: number;
}

/** What comes of an {@link Act}: its number, where there is one. */
interface Caused {
  readonly cause?: number;
}

/** A reader: gets the event and the virtual time in ticks. */
export type HostEventSink = (event: HostEvent, now: number) => void;

/** The stream: any number of readers, none by default. */
export class HostEvents {
  readonly #now: () => number;
  #sinks: HostEventSink[] = [];
  /** Whether somebody reads: ask before building an event. */
  on = false;
  #acts = 0;
  /** Number of the act that the host is at work on; undefined outside of one. */
  cause: number | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#sinks, this.on, this.#acts], (v) => ([this.#sinks, this.on, this.#acts] = v));
    keeper.put([this.cause], (v) => ([this.cause] = v));
  }

  /** Add a reader; the returned function takes it away. */
  listen(sink: HostEventSink): () => void {
    this.#sinks = [...this.#sinks, sink];
    this.on = true;
    return () => {
      this.#sinks = this.#sinks.filter((other) => other !== sink);
      this.on = this.#sinks.length > 0;
    };
  }

  /** The guest does something: what happens up to {@link end} comes of it. */
  begin(): { readonly act: number } {
    return { act: (this.cause = ++this.#acts) };
  }

  /** The host is done with it, or with what it has put off. */
  end(): void {
    this.cause = undefined;
  }

  /** What the host puts off comes of the same act when it does it. */
  later(action: () => void): () => void {
    const { cause } = this;
    return () => {
      this.cause = cause;
      action();
      this.end();
    };
  }

  /** What comes of the act that the host is at work on has its number. */
  get caused(): Caused {
    return this.cause === undefined ? {} : { cause: this.cause };
  }

  emit(event: HostEvent): void {
    const now = this.#now();
    for (const sink of this.#sinks) sink(event, now);
  }
}

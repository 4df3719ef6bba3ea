// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the firmware says about itself, as one stream of typed events. The boot log, the trace, the
 * replay and the report are readers of it. Without a reader nothing is built.
 */

import { isNamed, type HypxeError } from './error.ts';

/** Steps of a boot, in order. */
export type BootStep =
  'detect' | 'connect' | 'receive' | 'open' | 'configure' | 'download' | 'shutdown' | 'handoff';

/** The layer that speaks: the prefix of the log line. */
export type Layer =
  | 'HV'
  | 'VMBUS'
  | 'NETVSC'
  | 'RNDIS'
  | 'UTIL'
  | 'NET'
  | 'ARP'
  | 'IP'
  | 'UDP'
  | 'DHCP'
  | 'TFTP'
  | 'BOOT'
  /** A guest in WebAssembly: it says itself which of its layers speaks. */
  | 'GUEST';

export type LogLevel = 'error' | 'warning' | 'info' | 'debug';

/** One event of the firmware. */
export type FirmwareEvent =
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly layer: Layer;
      /** Identity of the object that it is about (channel, NIC), or ''. */
      readonly object: string;
      readonly text: string;
    }
  | { readonly kind: 'boot-step'; readonly step: BootStep; readonly phase: 'begin' | 'end' }
  | {
      /** A page of the firmware's ledger changes hands. `reserved`: could not be revoked. */
      readonly kind: 'ledger';
      readonly change: 'share' | 'revoke' | 'reserve';
      readonly purpose: string;
      readonly address: number;
      readonly length: number;
      /** Who shared it, what revoked it, or why it could not be revoked. */
      readonly by: string;
    }
  | { readonly kind: 'netdev'; readonly change: 'register' | 'unregister'; readonly name: string }
  | { readonly kind: 'link'; readonly name: string; readonly up: boolean }
  | {
      /** The host has told the time: `unixMs` (since 1970, UTC) was at reference time `ticks`. */
      readonly kind: 'wall-clock';
      readonly unixMs: number;
      readonly ticks: number;
    }
  | {
      /** Bytes of the image received so far, and its size if the server has told it. */
      readonly kind: 'progress';
      readonly received: number;
      readonly total: number | undefined;
    };

/** A reader of the stream. Must not throw, and must not call the firmware. */
export type EventSink = (event: FirmwareEvent) => void;

/** The writer's end: a log with levels over an optional sink. */
export class Log {
  readonly sink: EventSink | undefined;

  constructor(sink: EventSink | undefined) {
    this.sink = sink;
  }

  /** Whether somebody reads: ask before building anything expensive. */
  get on(): boolean {
    return this.sink !== undefined;
  }

  emit(event: FirmwareEvent): void {
    this.sink?.(event);
  }

  /** A step of the boot begins or ends. */
  step(step: BootStep, phase: 'begin' | 'end'): void {
    this.emit({ kind: 'boot-step', step, phase });
  }

  error(layer: Layer, object: string, text: string): void {
    this.#write('error', layer, object, text);
  }

  warning(layer: Layer, object: string, text: string): void {
    this.#write('warning', layer, object, text);
  }

  info(layer: Layer, object: string, text: string): void {
    this.#write('info', layer, object, text);
  }

  debug(layer: Layer, object: string, text: string): void {
    this.#write('debug', layer, object, text);
  }

  #write(level: LogLevel, layer: Layer, object: string, text: string): void {
    this.emit({ kind: 'log', level, layer, object, text });
  }

  /**
   * Do what may fail without stopping the rest: an error with a name becomes a line of the log.
   *
   * @param what what it means if it fails
   * @returns the error, or undefined if it was done
   * @throws what has no name
   */
  attempt(
    level: LogLevel,
    layer: Layer,
    object: string,
    what: string,
    action: () => void,
  ): HypxeError | undefined {
    try {
      action();
      return undefined;
    } catch (error) {
      if (!isNamed(error)) throw error;
      this[level](layer, object, `${what}: ${error.message}`);
      return error;
    }
  }
}

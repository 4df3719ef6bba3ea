// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Signals between guest and host: the shared and the dedicated event connections, the interrupt
 * page below 2.4, the monitor page, and interrupts to the guest.
 */

import { HvStatus } from '../../../src/hyperv/protocol.ts';
import {
  MONITOR_NONE,
  VMBUS_MESSAGE_SINT,
  VmbusVersion,
  VP_INDEX_DISABLE_INTERRUPT,
} from '../../../src/vmbus/protocol.ts';
import { TICKS_PER_US } from '../base/clock.ts';
import type { Alarm } from '../base/clock.ts';
import type { Channel } from './channel.ts';
import type { ServerContext } from './context.ts';
import type { Offers } from './offers.ts';
import type { SharedPages } from './shared-pages.ts';
import type { Keeper } from '../base/snapshot.ts';

/** How often the host looks at the monitor page: the latency of the network device (OpenVMM). */
export const MONITOR_LATENCY_TICKS = 100 * TICKS_PER_US;

export class GuestSignals {
  readonly #context: ServerContext;
  readonly #offers: Offers;
  readonly #pages: SharedPages;
  /** Signals of the shared connection that named no channel. */
  emptySignals = 0;
  #named = 0;
  /**
   * Channels and monitors that were closed after the last look at their page: the guest may have
   * set their bit before that, which is no mistake.
   */
  readonly #closed = new Set<number>();
  readonly #closedMonitors = new Set<number>();
  /** Open channels with a monitor; the page is polled while there are any. */
  #monitored = 0;
  /** Set again and again: a poll makes no object. */
  readonly #poll: Alarm;
  readonly #interruptFound: (channel: number) => void;
  readonly #monitorFound: (monitor: number) => void;

  constructor(context: ServerContext, offers: Offers, pages: SharedPages) {
    this.#context = context;
    this.#offers = offers;
    this.#pages = pages;
    this.#interruptFound = (id) => {
      this.#named++;
      const channel = this.#offers.byId(id);
      if (channel?.opening !== undefined) this.#signal(channel, 'hypercall');
      else if (!this.#closed.has(id))
        this.#context.violation('vmbus', `interrupt bit of channel ${id}, which is not open`);
    };
    this.#monitorFound = (monitor) => {
      const channel = this.#offers.byMonitor(monitor);
      if (channel?.opening !== undefined) this.#signal(channel, 'monitor');
      else if (!this.#closedMonitors.has(monitor))
        this.#context.violation('vmbus', `monitor ${monitor} triggered, which no channel uses`);
    };
    const action = () => {
      this.#pages.takeMonitors(this.#monitorFound);
      if (this.#closedMonitors.size > 0) this.#closedMonitors.clear();
      this.#armPoll();
    };
    const idle = (): boolean => this.#closedMonitors.size === 0 && !this.#pages.anyMonitor;
    const poll = { everyTicks: MONITOR_LATENCY_TICKS, idle };
    this.#poll = { at: 0, action, poll, next: undefined, state: 'cancelled' };
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.emptySignals, this.#named], (v) => ([this.emptySignals, this.#named] = v));
    keeper.put([this.#monitored], (v) => ([this.#monitored] = v));
    keeper.keep(this.#context, this.#offers, this.#pages, this.#closed, this.#closedMonitors);
    keeper.keep(this.#poll);
  }

  /** The guest signals the shared event connection. Its flag is not looked at (OpenVMM). */
  shared(): number {
    this.#named = 0;
    this.#pages.takeInterrupts(this.#interruptFound);
    // An empty set makes a new table when it is cleared
    if (this.#closed.size > 0) this.#closed.clear();
    if (this.#named === 0) {
      this.emptySignals++;
      this.#context.state.throttle.count();
    }
    return HvStatus.SUCCESS;
  }

  /** The guest signals the event connection of a channel. */
  dedicated(channel: Channel): number {
    // On a rescinded channel it succeeds and does nothing
    if (channel.opening !== undefined && !channel.rescinded) this.#signal(channel, 'hypercall');
    return HvStatus.SUCCESS;
  }

  /** A channel has closed: what the guest said before is stale. */
  closed(channel: Channel): void {
    this.#closed.add(channel.id);
    if (channel.monitor !== MONITOR_NONE) this.#closedMonitors.add(channel.monitor);
  }

  /** A channel has opened or closed: poll the monitor page only while somebody needs it. */
  monitor(change: 1 | -1): void {
    this.#monitored += change;
    if (this.#monitored > 0) this.#armPoll();
    else this.#context.services.clock.cancel(this.#poll);
  }

  /** The page is looked at before its time. */
  hear(): void {
    if (this.#monitored > 0) this.#pages.takeMonitors(this.#monitorFound);
  }

  /** Whether a channel with a monitor is open. */
  get monitored(): boolean {
    return this.#monitored > 0;
  }

  /** Interrupt the guest for a channel, by the rules of the version. */
  interrupt(channel: Channel): void {
    const { opening } = channel;
    if (opening === undefined || opening.targetVp === VP_INDEX_DISABLE_INTERRUPT) return;
    const { services } = this.#context;
    const { oldInterrupts } = services.profile.knobs;
    const old = opening.version < VmbusVersion.V2_4;
    if (old && oldInterrupts === 'page' && this.#pages.interruptPage !== undefined) {
      // No event flag is set: the guest looks at its page in every interrupt
      this.#pages.raise(channel.id);
    } else if (old && oldInterrupts === 'flag-0') {
      // The bit in the interrupt page says which channel; flag 0 always goes to VP 0
      this.#pages.raise(channel.id);
      services.signalEvent(0, VMBUS_MESSAGE_SINT, 0);
    } else if (opening.targetVp < services.processorCount) {
      services.signalEvent(opening.targetVp, opening.sint, opening.eventFlag);
    }
  }

  #signal(channel: Channel, via: 'hypercall' | 'monitor'): void {
    const { events } = this.#context.services;
    if (events.on)
      events.emit({ kind: 'signal', via, channel: channel.id, ...this.#context.origin });
    const needed = channel.opening!.rings.guestSignal();
    // Monitored signals cost the host nothing and are not counted against the guest
    if (!needed && via === 'hypercall') this.#context.state.throttle.count();
  }

  #armPoll(): void {
    if (this.#monitored > 0 && this.#poll.state !== 'waiting')
      this.#context.services.clock.reschedule(this.#poll, MONITOR_LATENCY_TICKS);
  }
}

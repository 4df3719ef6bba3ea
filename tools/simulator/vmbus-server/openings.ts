// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a channel has while it is open: rings, event port, monitor, the device's attention (OpenVMM
 * `open_channel` in lib.rs). Devices answer at once, so that there is nothing to wait for.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import { HV_EVENT_FLAGS_COUNT, HvStatus } from '../../../src/hyperv/protocol.ts';
import {
  MONITOR_NONE,
  VmbusVersion,
  VP_INDEX_DISABLE_INTERRUPT,
} from '../../../src/vmbus/protocol.ts';
import type { Grant } from '../ledger/grants.ts';
import type { Channel, Opening } from './channel.ts';
import type { Closer } from './channel-interface.ts';
import type { ServerContext } from './context.ts';
import { GrantMemory } from './grant-memory.ts';
import type { Gpadls } from './gpadls.ts';
import type { GuestSignals } from './guest-signals.ts';
import { CHANNEL_CONNECTION_BASE } from './host-protocol.ts';
import type { Offers } from './offers.ts';
import { RingChannel } from './ring-channel.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Least pages of a ring that can carry something: the control page and one of data. */
const RING_PAGES_MIN = 2;

/** What the guest asks for, whatever the message. */
export interface OpenRequest {
  /** Version of the connection. */
  readonly version: number;
  readonly openId: number;
  readonly gpadl: number;
  readonly outPages: number;
  readonly targetVp: number;
  /** SINT of the interrupts. */
  readonly sint: number;
  readonly userData: Uint8Array;
  /** Event flag and connection ID of the guest's choice, or undefined. */
  readonly chosen: Pick<Opening, 'eventFlag' | 'connectionId'> | undefined;
  readonly reserved: boolean;
}

export class Openings {
  readonly #context: ServerContext;
  readonly #offers: Offers;
  readonly #gpadls: Gpadls;
  readonly #signals: GuestSignals;

  constructor(context: ServerContext, offers: Offers, gpadls: Gpadls, signals: GuestSignals) {
    this.#context = context;
    this.#offers = offers;
    this.#gpadls = gpadls;
    this.#signals = signals;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#offers, this.#gpadls, this.#signals);
  }

  /** Open a channel. Returns the status of OPEN_CHANNEL_RESULT. */
  open(channel: Channel, request: OpenRequest): number {
    const grant = this.#gpadls.grant(channel, request.gpadl);
    const refused = this.#refusal(channel, request, grant);
    if (refused !== undefined || grant === undefined) {
      this.#context.violation('vmbus', `OPEN_CHANNEL of channel ${channel.id}: ${refused ?? ''}`);
      return this.#context.services.profile.knobs.failureStatus;
    }

    // Map the rings
    const rings = this.#map(channel, request, grant);
    const { knobs } = this.#context.services.profile;
    if (pagesOf(grant) - request.outPages < RING_PAGES_MIN || request.outPages < RING_PAGES_MIN) {
      rings.die('a ring without data');
    } else if (!rings.start()) {
      this.#context.violation('ring', `channel ${channel.id}: bad ring indices at OPEN_CHANNEL`);
      return knobs.failureStatus;
    }
    const { client } = this.#context;
    const gpadl = `GPADL 0x${request.gpadl.toString(16)}`;
    const purpose = `rings of channel ${channel.id} (${gpadl})${client.suffix}`;
    this.#context.services.grants.entitle(grant, purpose, request.outPages);
    channel.closedAt = 0;
    const { eventFlag, connectionId } = this.#port(channel, request);
    channel.opening = {
      rings,
      openId: request.openId,
      openedAt: this.#context.services.clock.now,
      ringGpadl: request.gpadl,
      version: request.version,
      targetVp: request.targetVp,
      sint: request.sint,
      eventFlag,
      connectionId,
      reserved: request.reserved,
    };

    // The guest's event port must be there before the device may talk
    this.#register(channel);
    const status = channel.device.open(rings);
    if (status !== 0) {
      const { connectionId, eventFlag } = channel.opening;
      if (knobs.refusedPort === 'kept') channel.keptPort = { connectionId, eventFlag };
      rings.close();
      this.#unregister(channel);
      channel.opening = undefined;
      return knobs.deviceStatus === 'told' ? status : knobs.failureStatus;
    }
    channel.keptPort = undefined;
    this.#gpadls.ringOpened(channel, request.gpadl);
    return 0;
  }

  /** The device stops. It has let go of everything when this returns. */
  closeDevice(channel: Channel, closer: Closer): void {
    const { rings } = channel.opening!;
    if (this.#polled(channel)) this.#signals.monitor(-1);
    this.#signals.closed(channel);
    channel.device.close(closer);
    rings.close();
    channel.signals += rings.signals;
    channel.unnecessarySignals += rings.unnecessarySignals;
    this.#context.changed('closed', { channel: channel.id });
  }

  /** Close an open channel: the device, then the event port. */
  shut(channel: Channel, closer: Closer): void {
    if (!channel.rescinded) {
      channel.state = 'closing';
      this.closeDevice(channel, closer);
    }
    const { connectionId, ringGpadl } = channel.opening!;
    this.#context.state.unregisterEventPort(connectionId);
    channel.opening = undefined;
    this.#gpadls.ringClosed(channel, ringGpadl);
  }

  #map(channel: Channel, request: OpenRequest, grant: Grant): RingChannel {
    const { ram } = this.#context.services;
    const pages = pagesOf(grant);
    const { outPages } = request;
    return new RingChannel(this.#context, {
      id: channel.id,
      vmbusVersion: request.version,
      userData: request.userData,
      device: channel.device,
      incoming: new GrantMemory(ram, grant, 0, outPages),
      outgoing: new GrantMemory(ram, grant, outPages, pages - outPages),
      interrupt: () => this.#signals.interrupt(channel),
      gpadl: (id) => this.#gpadls.grant(channel, id),
      offerSubchannels: (devices) => this.#offers.addSubchannels(channel, devices),
    });
  }

  /** Why the guest gets a failure, or undefined. */
  #refusal(channel: Channel, request: OpenRequest, grant: Grant | undefined): string | undefined {
    const { state, services } = this.#context;
    const { version, targetVp, chosen } = request;

    // Below 2.4 all interrupts go to VP 0, whatever the guest says
    const disabled = targetVp === VP_INDEX_DISABLE_INTERRUPT;
    const { targetVps, emptyRings } = services.profile.knobs;
    const exists = disabled || targetVps === 'any' || targetVp < services.processorCount;
    if (version >= VmbusVersion.V2_4 && !exists) return `no VP ${targetVp}`;
    if (chosen !== undefined) {
      if (chosen.eventFlag >= HV_EVENT_FLAGS_COUNT) return `event flag ${chosen.eventFlag}`;
      if (chosen.connectionId < CHANNEL_CONNECTION_BASE)
        return `connection ID ${chosen.connectionId}, which is the host's`;
    }
    const { connectionId } = this.#port(channel, request);
    if (state.taken(connectionId)) return `connection ID ${connectionId} is taken`;
    return ringRefusal(grant, request.outPages, emptyRings === 'opened' ? 1 : RING_PAGES_MIN);
  }

  /** Event flag and connection ID of a channel that is to be opened. */
  #port(channel: Channel, request: OpenRequest): Pick<Opening, 'eventFlag' | 'connectionId'> {
    return channel.keptPort ?? request.chosen ?? this.#offered(channel);
  }

  /** Event flag and connection ID that the offer named. */
  #offered(channel: Channel): Pick<Opening, 'eventFlag' | 'connectionId'> {
    const connectionId = this.#context.client.channelConnection(channel.id);
    return { eventFlag: channel.id, connectionId };
  }

  /** Event port and monitor of an opening channel. */
  #register(channel: Channel): void {
    const refuse = this.#context.services.profile.knobs.signalFlag === 'refuse';
    this.#context.state.registerEventPort(channel.opening!.connectionId, (flag) =>
      refuse && flag !== 0 ? HvStatus.INVALID_PORT_ID : this.#signals.dedicated(channel),
    );
    if (this.#polled(channel)) this.#signals.monitor(1);
  }

  #unregister(channel: Channel): void {
    if (this.#polled(channel)) this.#signals.monitor(-1);
    this.#context.state.unregisterEventPort(channel.opening!.connectionId);
  }

  /**
   * Whether the guest may signal through the monitor page: not without interrupts (OpenVMM), and
   * not if the channel outlives the page.
   */
  #polled(channel: Channel): boolean {
    const { targetVp, reserved } = channel.opening!;
    return channel.monitor !== MONITOR_NONE && targetVp !== VP_INDEX_DISABLE_INTERRUPT && !reserved;
  }
}

/** Why these cannot be rings, or undefined (OpenVMM `AlignedGpadlView`, QEMU). */
function ringRefusal(
  grant: Grant | undefined,
  outPages: number,
  least: number,
): string | undefined {
  if (grant === undefined) return 'the ring GPADL does not exist or is not one range';
  if (grant.offset !== 0 || grant.length % PAGE_SIZE !== 0)
    return 'the ring GPADL is not whole pages';
  const pages = pagesOf(grant);
  if (outPages < least || pages - outPages < least)
    return `rings of ${outPages} pages out of ${pages}`;
  return undefined;
}

function pagesOf(grant: Grant): number {
  return grant.length / PAGE_SIZE;
}

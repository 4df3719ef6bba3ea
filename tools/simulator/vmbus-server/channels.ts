// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Opening, closing, modifying, rescinding and releasing channels (OpenVMM `channels.rs`,
 * `open_channel` in lib.rs). Devices answer at once, so that there is nothing to wait for.
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import {
  MONITOR_NONE,
  OpenChannel,
  STATUS_UNSUCCESSFUL,
  VmbusVersion,
  VP_INDEX_DISABLE_INTERRUPT,
} from '../../../src/vmbus/protocol.ts';
import { HV_EVENT_FLAGS_COUNT } from '../../../src/hyperv/protocol.ts';
import type { Grant } from '../grants.ts';
import type { Channel } from './channel.ts';
import type { ServerContext } from './context.ts';
import {
  modifyChannelResponse,
  openChannelResult,
  rescindChannelOffer,
} from './control-messages.ts';
import { GrantMemory } from './grant-memory.ts';
import type { Gpadls } from './gpadls.ts';
import type { GuestSignals } from './guest-signals.ts';
import type { HostMessages } from './host-messages.ts';
import { CHANNEL_CONNECTION_BASE, FeatureFlag, OpenChannel2 } from './host-protocol.ts';
import type { Offers } from './offers.ts';
import { RingChannel } from './ring-channel.ts';

/** Least pages of a ring: the control page and one of data. */
const RING_PAGES_MIN = 2;

/** What was agreed at INITIATE_CONTACT. */
export interface Agreement {
  readonly version: number;
  readonly features: number;
}

/** The signal parameters of an open. */
type SignalParameters = Pick<NonNullable<Channel['opening']>, 'connectionId' | 'eventFlag'>;

export class Channels {
  readonly #context: ServerContext;
  readonly #messages: HostMessages;
  readonly #offers: Offers;
  readonly #gpadls: Gpadls;
  readonly #signals: GuestSignals;

  constructor(
    context: ServerContext,
    messages: HostMessages,
    offers: Offers,
    gpadls: Gpadls,
    signals: GuestSignals,
  ) {
    this.#context = context;
    this.#messages = messages;
    this.#offers = offers;
    this.#gpadls = gpadls;
    this.#signals = signals;
  }

  /** OPEN_CHANNEL. */
  open(view: DataView, agreement: Agreement): void {
    const id = view.getUint32(OpenChannel.at.channel, true);
    const openId = view.getUint32(OpenChannel.at.openId, true);
    const channel = this.#offers.byId(id);
    if (channel === undefined || channel.state !== 'closed') {
      // A guest may not know of the rescind yet: ignored without reproach
      if (channel?.rescinded) return;
      this.#wrong('OPEN_CHANNEL', id, channel);
      return;
    }
    channel.state = 'opening';
    const refused = this.#tryOpen(channel, view, agreement);
    channel.state = refused === 0 ? 'open' : 'closed';
    if (refused === 0) this.#context.changed('opened', { channel: id });
    this.#messages.send(openChannelResult(id, openId, refused));
    if (refused === 0) channel.opening!.rings.listen();
  }

  /** CLOSE_CHANNEL: has no answer. */
  close(id: number): void {
    const channel = this.#offers.byId(id);
    if (channel?.rescinded) return;
    if (channel?.state !== 'open') {
      this.#wrong('CLOSE_CHANNEL', id, channel);
      return;
    }
    this.#shut(channel);
    channel.state = 'closed';
    this.#gpadls.deviceClosed(channel);
  }

  /** MODIFY_CHANNEL: answered from 5.3 on. */
  modify(id: number, targetVp: number, version: number): void {
    const channel = this.#offers.byId(id);
    const opening = channel?.state === 'open' ? channel.opening : undefined;
    const allowed =
      opening !== undefined &&
      opening.targetVp !== VP_INDEX_DISABLE_INTERRUPT &&
      targetVp < this.#context.services.processorCount;
    if (allowed) opening.targetVp = targetVp;
    else this.#wrong('MODIFY_CHANNEL', id, channel);
    if (version < VmbusVersion.V5_3) return;
    this.#messages.send(modifyChannelResponse(id, allowed ? 0 : STATUS_UNSUCCESSFUL));
  }

  /** RELID_RELEASED: the guest forgets a channel. */
  released(id: number): void {
    const channel = this.#offers.byId(id);
    if (channel === undefined || (channel.state !== 'closed' && !channel.rescinded)) {
      this.#wrong('RELID_RELEASED', id, channel);
      return;
    }
    this.#context.changed('released', { channel: id });
    this.end(channel, 'RELID_RELEASED');
  }

  /** The device behind a channel is gone. */
  rescind(channel: Channel): void {
    if (channel.state === 'released') {
      this.#offers.remove(channel);
      return;
    }
    if (channel.state === 'reoffered') {
      channel.state = 'revoked';
      return;
    }
    // The device lets go; the port stays, so that signals of an unknowing guest succeed
    if (channel.opening !== undefined) this.#closeDevice(channel);
    channel.state = 'revoked';
    this.#gpadls.deviceClosed(channel);
    this.#messages.send(rescindChannelOffer(channel.id));
    this.#context.changed('rescinded', { channel: channel.id });
  }

  /** All that the guest has of a channel ends, without a message: UNLOAD and its like. */
  end(channel: Channel, by: string): void {
    if (channel.state === 'released') return;
    if (channel.opening !== undefined) this.#shut(channel);
    this.#gpadls.release(channel, by);
    this.#offers.release(channel);
  }

  /** Returns the status of OPEN_CHANNEL_RESULT. */
  #tryOpen(channel: Channel, view: DataView, agreement: Agreement): number {
    const gpadl = view.getUint32(OpenChannel.at.gpadl, true);
    const outPages = view.getUint32(OpenChannel.at.outPages, true);
    const parameters = this.#signalParameters(channel, view, agreement);
    const grant = this.#gpadls.grant(channel, gpadl);
    const targetVp = view.getUint32(OpenChannel.at.targetVp, true);
    let refused = refusal(grant, outPages);
    if (parameters === undefined) refused = 'bad signal parameters';
    if (!this.#targetExists(targetVp, agreement.version)) refused = `no VP ${targetVp}`;
    if (refused !== undefined || parameters === undefined || grant === undefined) {
      this.#context.violation('vmbus', `OPEN_CHANNEL of channel ${channel.id}: ${refused ?? ''}`);
      return STATUS_UNSUCCESSFUL;
    }

    // Map the rings
    const { ram } = this.#context.services;
    const pages = grant.length / PAGE_SIZE;
    const rings = new RingChannel(this.#context, {
      id: channel.id,
      vmbusVersion: agreement.version,
      userData: new Uint8Array(
        view.buffer.slice(
          view.byteOffset + OpenChannel.at.userData,
          view.byteOffset + OpenChannel.at.userData + OpenChannel.sizes.userData,
        ),
      ),
      device: channel.device,
      incoming: new GrantMemory(ram, grant, 0, outPages),
      outgoing: new GrantMemory(ram, grant, outPages, pages - outPages),
      interrupt: () => this.#signals.interrupt(agreement.version, channel),
      gpadl: (id) => this.#gpadls.grant(channel, id),
    });
    if (!rings.start()) {
      this.#context.violation('ring', `channel ${channel.id}: bad ring indices at OPEN_CHANNEL`);
      return STATUS_UNSUCCESSFUL;
    }
    grant.purpose = `rings of channel ${channel.id} (GPADL 0x${gpadl.toString(16)})`;
    const openId = view.getUint32(OpenChannel.at.openId, true);
    channel.opening = { rings, openId, ringGpadl: gpadl, targetVp, ...parameters };

    // The guest's event port must be there before the device may talk
    this.#register(channel);
    const status = channel.device.open(rings);
    if (status !== 0) {
      rings.close();
      this.#unregister(channel);
      channel.opening = undefined;
    }
    return status;
  }

  /** Below 2.4 all interrupts go to VP 0, whatever the guest says. */
  #targetExists(targetVp: number, version: number): boolean {
    if (version < VmbusVersion.V2_4 || targetVp === VP_INDEX_DISABLE_INTERRUPT) return true;
    return targetVp < this.#context.services.processorCount;
  }

  /** Event flag and connection ID: the offer's, or from 6.0 on perhaps the guest's. */
  #signalParameters(
    channel: Channel,
    view: DataView,
    { features }: Agreement,
  ): SignalParameters | undefined {
    if ((features & FeatureFlag.GUEST_SPECIFIED_SIGNAL_PARAMETERS) === 0)
      return { connectionId: CHANNEL_CONNECTION_BASE + channel.id, eventFlag: channel.id };
    const eventFlag = view.getUint16(OpenChannel2.at.eventFlag, true);
    const connectionId = view.getUint32(OpenChannel2.at.connectionId, true);
    if (eventFlag >= HV_EVENT_FLAGS_COUNT || this.#taken(connectionId)) return undefined;
    return { connectionId, eventFlag };
  }

  /** Whether a connection ID belongs to the server or to another open channel. */
  #taken(connectionId: number): boolean {
    if (connectionId < CHANNEL_CONNECTION_BASE) return true;
    if (connectionId === this.#context.services.profile.knobs.returnedConnectionId) return true;
    return this.#offers.channels.some((other) => other.opening?.connectionId === connectionId);
  }

  /** Event port and monitor of an opening channel. */
  #register(channel: Channel): void {
    const opening = channel.opening!;
    this.#context.services.registerEventPort(opening.connectionId, () =>
      this.#signals.dedicated(channel),
    );
    if (this.#polled(channel)) this.#signals.monitor(1);
  }

  #unregister(channel: Channel): void {
    if (this.#polled(channel)) this.#signals.monitor(-1);
    this.#context.services.unregisterPort(channel.opening!.connectionId);
  }

  /** Whether the guest may signal through the monitor page: not without interrupts (OpenVMM). */
  #polled(channel: Channel): boolean {
    return (
      channel.monitor !== MONITOR_NONE && channel.opening!.targetVp !== VP_INDEX_DISABLE_INTERRUPT
    );
  }

  /** The device stops. It has let go of everything when this returns. */
  #closeDevice(channel: Channel): void {
    const { rings } = channel.opening!;
    if (this.#polled(channel)) this.#signals.monitor(-1);
    channel.device.close();
    rings.close();
    channel.signals += rings.signals;
    channel.unnecessarySignals += rings.unnecessarySignals;
    this.#context.changed('closed', { channel: channel.id });
  }

  /** Close an open channel: the device, then the event port. */
  #shut(channel: Channel): void {
    if (!channel.rescinded) {
      channel.state = 'closing';
      this.#closeDevice(channel);
    }
    this.#context.services.unregisterPort(channel.opening!.connectionId);
    channel.opening = undefined;
  }

  #wrong(what: string, id: number, channel: Channel | undefined): void {
    const state = channel === undefined ? 'not offered' : channel.state;
    this.#context.violation('vmbus', `${what} for channel ${id}, which is ${state}`);
  }
}

/** Why these cannot be rings, or undefined (OpenVMM `AlignedGpadlView`, QEMU). */
function refusal(grant: Grant | undefined, outPages: number): string | undefined {
  if (grant === undefined) return 'the ring GPADL does not exist or is not one range';
  if (grant.offset !== 0 || grant.length % PAGE_SIZE !== 0)
    return 'the ring GPADL is not whole pages';
  const pages = grant.length / PAGE_SIZE;
  if (outPages < RING_PAGES_MIN || pages - outPages < RING_PAGES_MIN)
    return `rings of ${outPages} pages out of ${pages}`;
  return undefined;
}

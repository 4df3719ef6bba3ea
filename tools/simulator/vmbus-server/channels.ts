// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The states of channels: opening, closing, modifying, rescinding and releasing them, and those
 * that are reserved (OpenVMM `channels.rs`).
 */

import { SINT_COUNT } from '../../../src/hyperv/protocol.ts';
import {
  ModifyChannel,
  OpenChannel,
  VmbusVersion,
  VP_INDEX_DISABLE_INTERRUPT,
} from '../../../src/vmbus/protocol.ts';
import type { Channel } from './channel.ts';
import type { Closer } from './channel-interface.ts';
import type { ServerContext } from './context.ts';
import {
  closeReservedResponse,
  modifyChannelResponse,
  openChannelResult,
  rescindChannelOffer,
} from './control-messages.ts';
import type { Gpadls } from './gpadls.ts';
import type { GuestSignals } from './guest-signals.ts';
import type { HostMessages } from './host-messages.ts';
import {
  CloseReservedChannel,
  FeatureFlag,
  OPEN_CHANNEL2_FEATURES,
  OPEN_FLAG_REDIRECT_INTERRUPT,
  OpenChannel2,
  OpenReservedChannel,
  REDIRECT_SINT,
} from './host-protocol.ts';
import type { Offers } from './offers.ts';
import { Openings, type OpenRequest } from './openings.ts';
import type { Keeper } from '../base/snapshot.ts';

/** What was agreed at INITIATE_CONTACT. */
export interface Agreement {
  readonly version: number;
  readonly features: number;
}

export class Channels {
  readonly #context: ServerContext;
  readonly #messages: HostMessages;
  readonly #offers: Offers;
  readonly #gpadls: Gpadls;
  readonly #openings: Openings;

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
    this.#openings = new Openings(context, offers, gpadls, signals);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#messages, this.#offers, this.#gpadls, this.#openings);
  }

  /** OPEN_CHANNEL. */
  open(view: DataView, agreement: Agreement): void {
    const id = view.getUint32(OpenChannel.at.channel, true);
    const openId = view.getUint32(OpenChannel.at.openId, true);
    const channel = this.#offers.toOpen(id);
    if (channel === undefined || channel.state !== 'closed') {
      // A guest may not know of the rescind yet: ignored without reproach
      if (channel?.rescinded) return;
      this.#wrong('OPEN_CHANNEL', id, channel);
      return;
    }
    const { status, listen } = this.#tryOpen(channel, decodeOpen(view, agreement, this.#sint));
    this.#messages.send(openChannelResult(id, openId, status));
    listen();
  }

  /** CLOSE_CHANNEL: has no answer. */
  close(id: number): void {
    const channel = this.#offers.byId(id);
    if (channel?.rescinded) return;
    if (channel?.state !== 'open' || channel.opening?.reserved === true) {
      this.#wrong('CLOSE_CHANNEL', id, channel);
      return;
    }
    const { version } = channel.opening!;
    this.#shut(channel);
    channel.state = 'closed';
    this.#gpadls.deviceClosed(channel);
    channel.closedAt = version;
  }

  /** OPEN_RESERVED_CHANNEL: as OPEN_CHANNEL, with answers and interrupts to a target of its own. */
  openReserved(view: DataView, version: number): void {
    const { at } = OpenReservedChannel;
    const id = view.getUint32(at.channel, true);
    const targetVp = view.getUint32(at.targetVp, true);
    const sint = view.getUint32(at.targetSint, true);
    const channel = this.#offers.byId(id);
    if (channel?.rescinded) return;
    if (channel?.state !== 'closed' || !this.#isTarget(targetVp, sint)) {
      this.#wrong('OPEN_RESERVED_CHANNEL', id, channel);
      return;
    }
    const { status, listen } = this.#tryOpen(channel, {
      version,
      openId: 0,
      gpadl: view.getUint32(at.gpadl, true),
      outPages: view.getUint32(at.outPages, true),
      targetVp,
      sint,
      userData: new Uint8Array(OpenChannel.sizes.userData),
      chosen: undefined,
      reserved: true,
    });
    this.#messages.sendTo(targetVp, sint, openChannelResult(id, 0, status));
    listen();
  }

  /**
   * CLOSE_RESERVED_CHANNEL, also from a guest that is not connected: a crash dump has ended. The
   * answer goes to the target that this message names.
   */
  closeReserved(view: DataView): void {
    const { at } = CloseReservedChannel;
    const id = view.getUint32(at.channel, true);
    const targetVp = view.getUint32(at.targetVp, true);
    const sint = view.getUint32(at.targetSint, true);
    const channel = this.#offers.byId(id);
    if (channel?.opening?.reserved !== true || !this.#isTarget(targetVp, sint)) {
      this.#wrong('CLOSE_RESERVED_CHANNEL', id, channel);
      return;
    }

    // One that was rescinded has no device any more, but its guest waits for the answer
    this.#shut(channel);
    if (!channel.rescinded) channel.state = 'closed';
    this.#messages.sendTo(targetVp, sint, closeReservedResponse(id));

    // Nobody knows the channel any more if its connection is gone; the next one may want it
    if (channel.orphan) {
      this.end(channel, 'CLOSE_RESERVED_CHANNEL');
      this.#offers.offerAgain(channel);
    } else {
      this.#gpadls.deviceClosed(channel);
    }
  }

  /** MODIFY_CHANNEL: answered from 5.3 on. */
  modify(view: DataView, version: number): void {
    const id = view.getUint32(ModifyChannel.at.channel, true);
    const targetVp = view.getUint32(ModifyChannel.at.targetVp, true);
    const { processorCount, profile } = this.#context.services;
    const channel = this.#offers.byId(id);
    const opening = channel?.state === 'open' ? channel.opening : undefined;
    const allowed =
      opening !== undefined &&
      !opening.reserved &&
      opening.targetVp !== VP_INDEX_DISABLE_INTERRUPT &&
      (targetVp < processorCount || profile.knobs.targetVps === 'any');
    if (allowed) opening.targetVp = targetVp;
    else this.#wrong('MODIFY_CHANNEL', id, channel);
    if (version < VmbusVersion.V5_3) return;
    this.#messages.send(modifyChannelResponse(id, allowed ? 0 : profile.knobs.failureStatus));
  }

  /** RELID_RELEASED: the guest forgets a channel. */
  released(id: number): void {
    const channel = this.#offers.byId(id);
    if (channel === undefined || (channel.state !== 'closed' && !channel.rescinded)) {
      this.#wrong('RELID_RELEASED', id, channel);
      return;
    }
    const { relidReleased } = this.#context.services.profile.knobs;
    if (relidReleased === 'ignored' && !channel.rescinded) return;
    this.#context.changed('released', { channel: id });
    this.end(channel, 'RELID_RELEASED');
  }

  /** The device behind a channel is gone, and its sub-channels before it. */
  rescind(channel: Channel, closer: Closer = 'host'): void {
    if (channel.state === 'revoked') return;
    this.#rescindSubchannels(channel, closer);
    if (channel.state === 'released') {
      this.#offers.remove(channel);
      return;
    }
    // One that has outlived its connection has nobody who could be told
    if (channel.orphan) {
      this.end(channel, 'the end of the device');
      this.#offers.remove(channel);
      return;
    }
    if (channel.state === 'reoffered') {
      channel.state = 'revoked';
      return;
    }
    // The device lets go; the port stays, so that signals of an unknowing guest succeed
    if (channel.opening !== undefined) this.#openings.closeDevice(channel, closer);
    channel.state = 'revoked';
    this.#gpadls.deviceClosed(channel);
    this.#messages.send(rescindChannelOffer(channel.id));
    this.#context.changed('rescinded', { channel: channel.id });
  }

  /**
   * A new contact ends the connection, unless the guest was quiesced: iPXE does just that. `heard`:
   * the guest knows of the connection, as it has asked for offers, or has the answer and wants
   * another version. The same version again may be a second try.
   */
  noteContact(connectedAt: number, heard: boolean): void {
    const { client, services } = this.#context;
    if (!heard) return;
    const mapped = services.grants.history(connectedAt);
    if (mapped.some(({ kind }) => kind === 'message-page')) return;
    services.omissions.enter('UNLOAD', `the connection${client.suffix}`, connectedAt);
  }

  /** What UNLOAD does in the place of the guest; what was rescinded, the host has ended. */
  noteOmissions(): void {
    const { client, services } = this.#context;
    for (const { id, state, rescinded, opening, gpadls } of this.#offers.channels) {
      if (rescinded || opening?.reserved === true) continue;
      const channel = `channel ${id}${client.suffix}`;
      if (state === 'open') services.omissions.enter('CLOSE_CHANNEL', channel, opening!.openedAt);
      for (const gpadl of gpadls.values()) {
        const [grant] = gpadl.grants;
        if (gpadl.state !== 'accepted' || grant === undefined) continue;
        services.omissions.enter('GPADL_TEARDOWN', `the ${grant.purpose}`, grant.grantedAt);
      }
    }
  }

  /** All that the guest has of a channel ends, without a message: UNLOAD and its like. */
  end(channel: Channel, by: string): void {
    if (channel.state === 'released') return;
    this.#shutDown(channel, by);
    this.#gpadls.release(channel, by);
    this.#offers.release(channel);
  }

  /** The same of all channels, in order of their numbers, but for those that are reserved. */
  endAll(by: string): void {
    const known = this.#offers.channels.filter((channel) => channel.state !== 'released');
    known.sort((a, b) => a.id - b.id);
    // Reserved channels are for a guest that has crashed: they go on
    const goesOn = (channel: Channel): boolean =>
      channel.state === 'open' && channel.opening?.reserved === true;
    const ending = known.filter((channel) => !goesOn(channel));
    // Rings may lie in a GPADL of another channel: all close before any of them ends
    if (this.#gpadls.lent) for (const channel of ending) this.#shutDown(channel, by);
    this.#gpadls.releaseForeign(by);
    for (const channel of known) {
      if (goesOn(channel)) channel.orphan = true;
      else this.end(channel, by);
    }
  }

  #shutDown(channel: Channel, by: string): void {
    const closer = by === 'UNLOAD' ? 'unload' : 'host';
    if (channel.opening !== undefined) this.#openings.shut(channel, closer);
  }

  /** The status of the result, and what to do once it has been sent. */
  #tryOpen(channel: Channel, request: OpenRequest): { status: number; listen: () => void } {
    channel.state = 'opening';
    const status = this.#openings.open(channel, request);
    channel.state = status === 0 ? 'open' : 'closed';
    if (status !== 0) return { status, listen: () => {} };
    this.#context.changed('opened', { channel: channel.id });
    return { status, listen: () => channel.opening?.rings.listen() };
  }

  /** Close an open channel: sub-channels, which cannot be without it, go first. */
  #shut(channel: Channel): void {
    this.#rescindSubchannels(channel, 'guest');
    this.#openings.shut(channel, 'guest');
  }

  #rescindSubchannels(channel: Channel, closer: Closer): void {
    for (const subchannel of [...channel.subchannels]) this.rescind(subchannel, closer);
  }

  /** SINT of the client's interrupts. */
  get #sint(): number {
    return this.#context.client.sint ?? 0;
  }

  /** Whether messages can be sent there at all. */
  #isTarget(vp: number, sint: number): boolean {
    return vp < this.#context.services.processorCount && sint < SINT_COUNT;
  }

  #wrong(what: string, id: number, channel: Channel | undefined): void {
    const reserved = channel?.opening?.reserved === true ? 'reserved, and ' : '';
    const state = channel === undefined ? 'not offered' : reserved + channel.state;
    this.#context.violation('vmbus', `${what} for channel ${id}, which is ${state}`);
  }
}

/** OPEN_CHANNEL, with what the agreed features of 6.0 put behind it. */
function decodeOpen(view: DataView, agreement: Agreement, sint: number): OpenRequest {
  const { version, features } = agreement;
  const { at, sizes } = OpenChannel;
  const userData = view.byteOffset + at.userData;
  const chosen = (features & FeatureFlag.GUEST_SPECIFIED_SIGNAL_PARAMETERS) !== 0;
  const flags =
    (features & OPEN_CHANNEL2_FEATURES) !== 0 ? view.getUint16(OpenChannel2.at.flags, true) : 0;
  const redirected =
    (features & FeatureFlag.CHANNEL_INTERRUPT_REDIRECTION) !== 0 &&
    (flags & OPEN_FLAG_REDIRECT_INTERRUPT) !== 0;
  return {
    version,
    openId: view.getUint32(at.openId, true),
    gpadl: view.getUint32(at.gpadl, true),
    outPages: view.getUint32(at.outPages, true),
    targetVp: view.getUint32(at.targetVp, true),
    sint: redirected ? REDIRECT_SINT : sint,
    userData: new Uint8Array(view.buffer.slice(userData, userData + sizes.userData)),
    chosen: chosen
      ? {
          eventFlag: view.getUint16(OpenChannel2.at.eventFlag, true),
          connectionId: view.getUint32(OpenChannel2.at.connectionId, true),
        }
      : undefined,
    reserved: false,
  };
}

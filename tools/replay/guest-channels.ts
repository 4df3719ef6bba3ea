// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What the guest shares with the host, learnt from its own messages as a host learns it: contact
 * pages, GPADLs and the rings in them.
 */

import { MonitorPage, MonitorTrigger } from '../../src/hyperv/protocol.ts';
import {
  GpaRange,
  GpadlBody,
  GpadlCreated,
  GpadlHeader,
  GpadlTeardown,
  GpadlTorndown,
  InitiateContact,
  InterruptPage,
  MessageHeader,
  MessageType,
  OfferChannel,
  OpenChannel,
  OpenChannelResult,
  RescindChannelOffer,
  VersionResponse,
  VmbusVersion,
} from '../../src/vmbus/protocol.ts';
import { GuestRing } from './host/guest-ring.ts';

/** A channel that the guest has opened. */
export interface GuestChannel {
  readonly channel: number;
  readonly gpadl: number;
  /** Guest to host. */
  readonly out: GuestRing;
  /** Host to guest. */
  readonly in: GuestRing;
}

/** Memory that the guest has given to the host. */
export interface GuestGpadl {
  readonly id: number;
  /** What it is called: by what memory it is, and which of that. */
  readonly name: string;
  readonly channel: number;
  readonly pages: number[];
  /** Pages that the header announced. */
  readonly expected: number;
}

/** Most pages of one GPADL that are believed: 64 MiB. */
export const GPADL_PAGES_MAX = 16384;

/** Messages that take back a part of what the host has. */
const REVOCATIONS: readonly number[] = [
  ...[MessageType.CLOSE_CHANNEL, MessageType.GPADL_TEARDOWN, MessageType.RELID_RELEASED],
];

/** A page has 128 monitors: of the number in an offer these bits count. */
const MONITOR_MASK = 0x7f;

/** Reads the guest's control messages. */
export class GuestChannels {
  readonly #memory: Uint8Array;
  readonly gpadls = new Map<number, GuestGpadl>();
  readonly channels = new Map<number, GuestChannel>();
  /** Channels that are open as the host sees it. */
  readonly open = new Set<number>();
  /** Monitors of channels, from the offers: channel to monitor number. */
  readonly monitors = new Map<number, number>();
  /** Connections that signal one channel, from the offers: to the channel. */
  readonly #connections = new Map<number, number>();
  /** Receive buffers by channel. */
  readonly receiveBuffers = new Map<number, { readonly gpadl: number; readonly pageSet: number }>();
  /** Version of a contact that is not answered. */
  #contacting: number | undefined;
  /** GPADLs whose teardown is posted and not answered. */
  readonly #tearing = new Set<number>();
  /** Channels that the host has taken away, and the guest has not released. */
  readonly #rescinded = new Set<number>();
  /** UNLOAD is posted and not answered. */
  #unloading = false;
  /** UNLOAD is posted, and no contact since. */
  #hasUnloaded = false;
  /** And nobody has answered for so long that it may be lost: it may be said once more. */
  #lost = false;
  /** Addresses of the contact; 0 before. */
  interruptPage = 0;
  monitorOut = 0;
  /** Pages that the last contact named, while the host may have them. */
  contactPages: readonly number[] = [];
  #named: readonly number[] = [];
  /** The host has accepted the contact. */
  connected = false;
  /** It was asked and has not said no: it has heard, perhaps, whatever it said of itself. */
  mayBeConnected = false;

  constructor(memory: Uint8Array) {
    this.#memory = memory;
  }

  /** Take a message that the guest has posted successfully. `name`: of a GPADL that it makes. */
  posted(message: Uint8Array, name: string): void {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const type = message.length < 4 ? 0 : view.getUint32(0, true);
    if (type === MessageType.INITIATE_CONTACT && message.length >= InitiateContact.size) {
      this.#contacting = view.getUint32(InitiateContact.at.version, true);
      this.mayBeConnected = true;
      this.#hasUnloaded = false;
      this.interruptPage = this.#page(view, InitiateContact.at.interruptPage);
      this.monitorOut = this.#page(view, InitiateContact.at.monitorOut);
      const monitorIn = this.#page(view, InitiateContact.at.monitorIn);
      this.contactPages = this.#named = [this.interruptPage, monitorIn, this.monitorOut];
    }
    if (type === MessageType.UNLOAD)
      [this.#unloading, this.#lost, this.#hasUnloaded] = [true, false, true];
    if (type === MessageType.GPADL_HEADER && message.length >= GpadlHeader.size + GpaRange.size)
      this.#header(view, name);
    if (type === MessageType.GPADL_BODY && message.length >= GpadlBody.size) this.#body(view);
    if (type === MessageType.OPEN_CHANNEL && message.length >= OpenChannel.size)
      this.#openChannel(view);
    const closed = this.closes(message);
    if (closed !== undefined) this.open.delete(closed);
    this.#rescinded.delete(channelOf(message, MessageType.RELID_RELEASED) ?? -1);
    const gpadl = gpadlOf(message);
    if (gpadl !== undefined) this.#tearing.add(gpadl);
  }

  #page(view: DataView, at: number): number {
    const address = Number(view.getBigUint64(at, true));
    return address + 4096 <= this.#memory.length ? address : 0;
  }

  /** The channel that a message opens or closes, if it is such a message. */
  opens(message: Uint8Array): number | undefined {
    return channelOf(message, MessageType.OPEN_CHANNEL);
  }

  closes(message: Uint8Array): number | undefined {
    return channelOf(message, MessageType.CLOSE_CHANNEL);
  }

  /** Whether a message takes back what the host does not have. */
  isNeedless(message: Uint8Array): boolean {
    const type =
      message.length < 4 ? 0 : new DataView(message.buffer, message.byteOffset).getUint32(0, true);
    if (type === MessageType.UNLOAD)
      return this.contactPages.length === 0 || (this.#unloading && !this.#lost);
    // UNLOAD takes back all that there is, unless it is lost
    if (REVOCATIONS.includes(type) && this.#hasUnloaded && !this.#lost) return true;
    const closed = this.closes(message);
    if (closed !== undefined) return !this.open.has(closed);
    const released = channelOf(message, MessageType.RELID_RELEASED);
    if (released !== undefined) return !this.#rescinded.has(released);
    const gpadl = gpadlOf(message);
    return gpadl !== undefined && (!this.gpadls.has(gpadl) || this.#tearing.has(gpadl));
  }

  /** The host has been silent for long. */
  unanswered = (): void => void (this.#lost = true);

  /** Take a VMBus message of the host to the guest. */
  delivered(message: Uint8Array): void {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const word = (at: number): number => (at + 4 <= message.length ? view.getUint32(at, true) : 0);
    switch (word(0)) {
      case MessageType.VERSION_RESPONSE:
        return this.#answered(message);
      case MessageType.GPADL_CREATED:
        if (word(GpadlCreated.at.status) !== 0) this.gpadls.delete(word(GpadlCreated.at.gpadl));
        return;
      case MessageType.GPADL_TORNDOWN:
        return this.#torndown(word(GpadlTorndown.at.gpadl));
      case MessageType.RESCIND_CHANNEL_OFFER:
        this.#rescinded.add(word(RescindChannelOffer.at.channel));
        return;
      case MessageType.OFFER_CHANNEL:
        if (message.length <= OfferChannel.at.monitored) return;
        this.#connections.set(word(OfferChannel.at.connectionId), word(OfferChannel.at.channel));
        if (message[OfferChannel.at.monitored] !== 0)
          this.monitors.set(
            word(OfferChannel.at.channel),
            message[OfferChannel.at.monitor]! & MONITOR_MASK,
          );
        return;
      case MessageType.OPEN_CHANNEL_RESULT:
        if (word(OpenChannelResult.at.status) !== 0)
          this.open.delete(word(OpenChannelResult.at.channel));
        return;
      case MessageType.UNLOAD_RESPONSE:
        if (!this.#unloading || message.length < MessageHeader.size) return;
        this.#unload();
        this.contactPages = [];
        return;
      default:
    }
  }

  /**
   * Channels that a signal is for: the one with this connection of its own, and those whose bits
   * the guest has set in the interrupt page. A guest with a connection for each needs no page.
   */
  signalled(memory: Uint8Array, connection: number): readonly number[] {
    const own = this.#connections.get(connection);
    return [...this.channels.keys()].filter((channel) => {
      if (channel === own) return true;
      if (this.interruptPage === 0) return false;
      const at = this.interruptPage + InterruptPage.at.out + (channel >>> 3);
      return (memory[at]! & (1 << (channel & 7))) !== 0;
    });
  }

  /** The host has seen the bit of a channel. */
  clearInterrupt(memory: Uint8Array, channel: number): void {
    if (this.interruptPage === 0) return;
    const at = this.interruptPage + InterruptPage.at.out + (channel >>> 3);
    memory[at] = memory[at]! & ~(1 << (channel & 7));
  }

  /** The host has seen the bit of a monitor. */
  clearMonitor(memory: Uint8Array, monitor: number): void {
    if (this.monitorOut === 0) return;
    const group = MonitorPage.at.trigger + (monitor >>> 5) * MonitorTrigger.size;
    const at = this.monitorOut + group + ((monitor & 31) >>> 3);
    memory[at] = memory[at]! & ~(1 << (monitor & 7));
  }

  /** The GPADL, if it is there, whose pages overlap [address, address + length). */
  gpadlOver(address: number, length: number): GuestGpadl | undefined {
    for (const gpadl of this.gpadls.values()) {
      if (gpadl.pages.some((page) => page + 4096 > address && page < address + length))
        return gpadl;
    }
    return undefined;
  }

  /** Channels that the host may use: those that are open and not taken away. */
  get inUse(): readonly number[] {
    return [...this.open].filter((channel) => !this.#rescinded.has(channel));
  }

  /** The host has let go of all that there was. */
  get hasNothing(): boolean {
    return !this.connected && this.gpadls.size === 0 && this.contactPages.length === 0;
  }

  /** Pages of the receive buffer of a channel. */
  bufferPages(channel: number): readonly number[] {
    const buffer = this.receiveBuffers.get(channel);
    return buffer === undefined ? [] : (this.gpadls.get(buffer.gpadl)?.pages ?? []);
  }

  /** Whether a contact that the host has accepted names a page in [address, address + length). */
  isContactPage(address: number, length: number): boolean {
    if (!this.connected) return false;
    return this.contactPages.some((page) => page >= address && page < address + length);
  }

  /** Forget pages and rings that lie in memory which is no longer the guest's. */
  forget(address: number, length: number): void {
    const end = address + length;
    if (this.interruptPage >= address && this.interruptPage < end) this.interruptPage = 0;
    if (this.monitorOut >= address && this.monitorOut < end) this.monitorOut = 0;
    for (const [number, channel] of this.channels) {
      const at = channel.out.control.address(0);
      if (at >= address && at < end) this.channels.delete(number);
    }
  }

  #header(view: DataView, name: string): void {
    if (!this.connected) return;
    const id = view.getUint32(GpadlHeader.at.gpadl, true);
    const channel = view.getUint32(GpadlHeader.at.channel, true);
    const length = view.getUint32(GpadlHeader.size + GpaRange.at.byteCount, true);
    const expected = Math.min(Math.ceil(length / 4096), GPADL_PAGES_MAX);
    const gpadl = { id, name, channel, expected, pages: [] };
    this.gpadls.set(id, gpadl);
    this.#tearing.delete(id);
    this.#addPages(gpadl, view, GpadlHeader.size + GpaRange.size);
  }

  #body(view: DataView): void {
    const gpadl = this.gpadls.get(view.getUint32(GpadlBody.at.gpadl, true));
    if (gpadl !== undefined) this.#addPages(gpadl, view, GpadlBody.size);
  }

  #addPages(gpadl: GuestGpadl, view: DataView, from: number): void {
    for (let at = from; at + 8 <= view.byteLength && gpadl.pages.length < gpadl.expected; at += 8) {
      const address = Number(view.getBigUint64(at, true)) * 4096;
      if (address + 4096 <= this.#memory.length) gpadl.pages.push(address);
    }
  }

  #openChannel(view: DataView): void {
    const channel = view.getUint32(OpenChannel.at.channel, true);
    const gpadl = view.getUint32(OpenChannel.at.gpadl, true);
    const outPages = view.getUint32(OpenChannel.at.outPages, true);
    const pages = this.gpadls.get(gpadl)?.pages ?? [];
    if (outPages < 2 || pages.length < outPages + 2) return;
    const out = new GuestRing(this.#memory, pages.slice(0, outPages));
    const inward = new GuestRing(this.#memory, pages.slice(outPages));
    this.channels.set(channel, { channel, gpadl, out, in: inward });
    this.open.add(channel);
  }

  /** What nobody has asked back the host may have, whatever it says. */
  #torndown(gpadl: number): void {
    if (this.#tearing.delete(gpadl)) this.gpadls.delete(gpadl);
  }

  /** A contact is answered: the host has let go of what was before. */
  #answered(message: Uint8Array): void {
    const version = this.#contacting;
    // An answer that says nothing is none
    if (version === undefined || message.length <= VersionResponse.at.supported) return;
    this.#unload();
    this.mayBeConnected = (message[VersionResponse.at.supported] ?? 0) !== 0;
    // A refusal says not of what: the answer to this contact may follow
    if (this.mayBeConnected) this.#contacting = undefined;
    // Older hosts leave the state undefined
    const failed = (message[VersionResponse.at.connectionState] ?? 0) !== 0;
    this.connected = this.mayBeConnected && !(failed && version >= VmbusVersion.V2_4);
    this.contactPages = this.connected ? this.#named : [];
  }

  /** The host has let go of everything. */
  #unload(): void {
    this.#unloading = this.connected = this.mayBeConnected = false;
    this.gpadls.clear();
    this.#tearing.clear();
    this.#rescinded.clear();
    this.open.clear();
  }
}

/** The GPADL that a message takes back, if it is such a message. */
function gpadlOf(message: Uint8Array): number | undefined {
  if (message.length < GpadlTeardown.size) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (view.getUint32(0, true) !== MessageType.GPADL_TEARDOWN) return undefined;
  return view.getUint32(GpadlTeardown.at.gpadl, true);
}

/** The channel that a message of a type is about. */
function channelOf(message: Uint8Array, type: number): number | undefined {
  if (message.length < 12) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  return view.getUint32(0, true) === type ? view.getUint32(8, true) : undefined;
}

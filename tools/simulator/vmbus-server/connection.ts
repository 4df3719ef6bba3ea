// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * One client's connection to the bus: version, pages, channels, and how all of it ends (OpenVMM
 * `handle_initiate_contact`, `request_disconnect`, `complete_unload`).
 */

import {
  ConnectionState,
  MessageHeader,
  MessageType,
  GpadlHeader,
  GpadlTeardown,
  VMBUS_MESSAGE_SINT,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import { SINT_COUNT } from '../../../src/hyperv/protocol.ts';
import type { Alarm } from '../base/clock.ts';
import { Channels } from './channels.ts';
import type { Client } from './client.ts';
import { decodeContact, getAddress, knowsVersion, type Contact } from './contact.ts';
import type { ServerContext } from './context.ts';
import {
  contactAnswer,
  modifyConnectionResponse,
  plainMessage,
  tlConnectResult,
  versionRefused,
} from './control-messages.ts';
import { guestMessageFault } from './guest-message-check.ts';
import { Gpadls } from './gpadls.ts';
import { GuestSignals } from './guest-signals.ts';
import { ConnectionHistory } from './history.ts';
import { HostMessages } from './host-messages.ts';
import {
  GUEST_MESSAGES,
  IMPLEMENTED_FEATURES,
  ModifyConnection,
  STATUS_CONNECTION_REFUSED,
} from './host-protocol.ts';
import { Offers } from './offers.ts';
import { SharedPages } from './shared-pages.ts';
import type { Keeper } from '../base/snapshot.ts';

/** SINT 0 is the hypervisor's own (TLFS): no client can have it. */
const HYPERVISOR_SINT = 0;

/** `unloading`: the answer to UNLOAD is due after the knob's time. */
export type ConnectionPhase = 'disconnected' | 'connected' | 'unloading';

export class VmbusConnection {
  readonly #context: ServerContext;
  readonly messages: HostMessages;
  readonly pages: SharedPages;
  readonly offers: Offers;
  readonly channels: Channels;
  readonly signals: GuestSignals;
  readonly history = new ConnectionHistory();
  readonly #gpadls: Gpadls;
  phase: ConnectionPhase = 'disconnected';
  /** Negotiated version and features; 0 while disconnected. */
  version = 0;
  features = 0;
  /** Message connection that the guest contacted on. */
  contactPort = 0;
  #unloadAlarm: Alarm | undefined;
  /** An INITIATE_CONTACT that waits for the end of an unload, and takes the place of its answer. */
  #parked: Contact | undefined;
  /** The last contact was refused: some hosts answer an UNLOAD then. */
  #refused = false;
  /** Throws away what the guest has sent and the host has not read. */
  dropUnread: (() => void) | undefined;

  constructor(context: ServerContext, absoluteOrder: boolean) {
    this.#context = context;
    this.messages = new HostMessages(context);
    this.messages.lost = (type) => this.#lost(type);
    this.pages = new SharedPages(context);
    this.offers = new Offers(context, this.messages, this.pages, absoluteOrder);
    this.signals = new GuestSignals(context, this.offers, this.pages);
    this.#gpadls = new Gpadls(context, this.messages);
    this.channels = new Channels(context, this.messages, this.offers, this.#gpadls, this.signals);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.phase, this.version], (v) => ([this.phase, this.version] = v));
    keeper.put([this.features, this.contactPort], (v) => ([this.features, this.contactPort] = v));
    keeper.put([this.#unloadAlarm, this.#parked], (v) => ([this.#unloadAlarm, this.#parked] = v));
    keeper.put([this.#refused, this.dropUnread], (v) => ([this.#refused, this.dropUnread] = v));
    keeper.keep(this.#context, this.messages, this.pages, this.offers, this.channels, this.signals);
    keeper.keep(this.history, this.#gpadls);
  }

  /** A message of the guest that came on connection `port`. */
  handle(port: number, payload: Uint8Array): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    if (payload.length < MessageHeader.size) {
      this.#context.violation('vmbus', `message of ${payload.length} bytes`);
      return;
    }
    const type = view.getUint32(MessageHeader.at.type, true);
    const rule = GUEST_MESSAGES.get(type);
    const { client, services } = this.#context;
    const wrong = guestMessageFault(this, port, type, rule, payload.length, client.connectionId);
    const answered = this.#refused && services.profile.knobs.unloadRefused === 'answered';
    if (wrong !== undefined && !(type === MessageType.UNLOAD && answered)) {
      this.#context.violation('vmbus', `${rule?.name ?? `message type ${type}`}: ${wrong}`);
      return;
    }
    this.#dispatch(port, type, payload, view);
  }

  /** Everything ends at once and nothing is sent: the machine is reset. */
  reset(): void {
    if (this.phase === 'unloading') this.#cancelUnload();
    this.#release('reset');
    this.history.reset();
    for (const channel of [...this.offers.channels])
      if (channel.orphan) this.channels.end(channel, 'reset');
    this.messages.reset();
  }

  /** Who is connected. */
  get client(): Client {
    return this.#context.client;
  }

  #dispatch(port: number, type: number, payload: Uint8Array, view: DataView): void {
    // Only these three get through a pause, and each ends it
    const resumes =
      type === MessageType.RESUME ||
      type === MessageType.UNLOAD ||
      type === MessageType.INITIATE_CONTACT;
    if (this.messages.paused && !resumes) {
      this.#context.violation('vmbus', `message type ${type} while paused`);
      return;
    }
    this.#perform(port, type, payload, view);
    // What has waited goes where messages go now (OpenVMM), and before the answer
    if (resumes) this.messages.paused = false;
  }

  #perform(port: number, type: number, payload: Uint8Array, view: DataView): void {
    const id = payload.length >= 12 ? view.getUint32(GpadlHeader.at.channel, true) : 0;
    switch (type) {
      case MessageType.INITIATE_CONTACT:
        return this.#contacted(port, view);
      case MessageType.UNLOAD:
        return this.#unload();
      case MessageType.REQUEST_OFFERS:
        return this.offers.request();
      case MessageType.GPADL_HEADER:
        return this.#gpadls.header(view, this.offers.byId(id));
      case MessageType.GPADL_BODY:
        return this.#gpadls.body(view);
      case MessageType.GPADL_TEARDOWN:
        return this.#gpadls.teardown(
          view,
          this.offers.byId(view.getUint32(GpadlTeardown.at.channel, true)),
        );
      case MessageType.OPEN_CHANNEL:
        return this.channels.open(view, this);
      case MessageType.CLOSE_CHANNEL:
        return this.channels.close(id);
      case MessageType.RELID_RELEASED:
        return this.channels.released(id);
      case MessageType.MODIFY_CHANNEL:
        return this.channels.modify(view, this.version);
      default:
        return this.#rare(type, payload, view);
    }
  }

  /** Messages that boot firmware has no use for. */
  #rare(type: number, payload: Uint8Array, view: DataView): void {
    switch (type) {
      case MessageType.OPEN_RESERVED_CHANNEL:
        return this.channels.openReserved(view, this.version);
      case MessageType.CLOSE_RESERVED_CHANNEL:
        return this.channels.closeReserved(view);
      case MessageType.TL_CONNECT_REQUEST:
        // Nobody listens here; before 4.1 the guest is not told
        if (this.version >= VmbusVersion.V4_1)
          this.messages.send(tlConnectResult(payload, STATUS_CONNECTION_REFUSED));
        return;
      case MessageType.MODIFY_CONNECTION:
        return this.#modifyConnection(
          getAddress(view, ModifyConnection.at.monitorIn),
          getAddress(view, ModifyConnection.at.monitorOut),
        );
      case MessageType.PAUSE:
        this.messages.send(plainMessage(MessageType.PAUSE_RESPONSE));
        this.messages.paused = true;
        return;
      case MessageType.RESUME:
        return;
      default:
        this.#context.unmodelled(`VMBus message type ${type}`);
    }
  }

  #contacted(port: number, view: DataView): void {
    const { knobs } = this.#context.services.profile;
    const contact = decodeContact(port, view, knobs.contactVp === 'always');
    if (!contact.complete) {
      this.#context.violation('vmbus', 'INITIATE_CONTACT without the client ID it announces');
      return;
    }
    if (contact.vtl !== 0) {
      this.#context.unmodelled(`VMBus server of VTL ${contact.vtl}`);
      return;
    }
    if (this.#isMine(contact)) this.#initiate(contact);
  }

  /**
   * Whether a contact is for this client. If not, another SINT than its own is refused to that SINT
   * and this connection stays as it is; a second client without a connection may choose.
   */
  #isMine(contact: Contact): boolean {
    const { client } = this.#context;
    const { sint, targetVp } = contact;
    if (sint === client.sint) return true;
    const second = client.name === 'secondary';
    if (second && sint === VMBUS_MESSAGE_SINT) {
      this.#context.violation('vmbus', 'INITIATE_CONTACT without the SINT');
    } else if (sint >= SINT_COUNT || !this.#processorExists(contact)) {
      this.#context.violation('vmbus', `INITIATE_CONTACT for SINT ${sint}`);
    } else if (!second || this.phase !== 'disconnected' || sint === HYPERVISOR_SINT) {
      this.messages.sendTo(targetVp, sint, versionRefused());
    } else {
      // The answer of a refused version goes to the VP of before: here there was none
      client.sint = sint;
      this.messages.vp = targetVp;
      return true;
    }
    return false;
  }

  #initiate(contact: Contact): void {
    if (this.phase === 'unloading') {
      this.#parked = contact;
      return;
    }

    // Implicit disconnect, whatever the version
    if (this.phase === 'connected') {
      const { version } = contact;
      const { clock, profile } = this.#context.services;
      if (profile.knobs.reinitiate === 'ignore') {
        this.history.contact(version, clock.now, 'ignored');
        this.#context.violation('vmbus', 'INITIATE_CONTACT while connected: ignored');
        return;
      }
      const { connectedAt } = this.history;
      const answered = (): boolean => this.messages.wereTaken(connectedAt);
      const heard = this.offers.requested || (version !== this.version && answered());
      this.channels.noteContact(connectedAt, heard);
      this.#release('INITIATE_CONTACT');
      this.#context.changed('disconnected');
    }
    this.#connect(contact);
  }

  #connect(contact: Contact): void {
    const { clock, profile } = this.#context.services;
    const { version } = contact;
    this.#context.services.routeMessages?.(contact.targetVp, contact.sint);

    this.#refused = !knowsVersion(profile, version);
    // Versions match exactly or not at all; on some hosts the answer goes to the VP of before
    if (this.#refused) {
      const requested = profile.knobs.refusalVp === 'requested' && this.#processorExists(contact);
      if (requested) this.messages.vp = contact.targetVp;
      this.history.contact(version, clock.now, 'refused');
      this.#context.changed('refused', { version });
      this.messages.send(versionRefused());
      return;
    }

    // Pages: guests below 2.4 cannot read the connection state
    const features =
      version >= VmbusVersion.V6_0
        ? contact.features & profile.vmbusFeatures & IMPLEMENTED_FEATURES
        : undefined;
    const { contactPages, targetVps } = profile.knobs;
    const pages = contactPages === 'any' || this.pages.areValid(contact);
    if (!pages || !(targetVps === 'any' || this.#processorExists(contact))) {
      this.history.contact(version, clock.now, 'failed');
      this.#context.violation('vmbus', 'INITIATE_CONTACT with bad pages or virtual processor');
      this.#context.changed('refused', { version });
      this.messages.send(
        version < VmbusVersion.V2_4
          ? versionRefused()
          : contactAnswer(this.#context, ConnectionState.FAILED_UNKNOWN_FAILURE, version, features),
      );
      return;
    }
    const { interruptPage, monitorIn, monitorOut } = contact;
    if (interruptPage !== 0 && this.pages.canMap(interruptPage))
      this.pages.mapInterrupt(interruptPage);
    if (monitorIn !== 0 && this.pages.areMonitors(monitorIn, monitorOut))
      this.pages.mapMonitors(contact.monitorIn, contact.monitorOut, 'INITIATE_CONTACT');

    this.version = version;
    this.contactPort = contact.port;
    this.features = features ?? 0;
    this.messages.vp = contact.targetVp;
    this.offers.short = version < VmbusVersion.V1_1;
    this.phase = 'connected';
    this.history.contact(version, clock.now, 'accepted');
    this.#context.changed('connected', { version });
    this.messages.send(contactAnswer(this.#context, ConnectionState.SUCCESSFUL, version, features));
  }

  #processorExists({ targetVp }: Contact): boolean {
    return targetVp < this.#context.services.processorCount;
  }

  #modifyConnection(monitorIn: number, monitorOut: number): void {
    const { modifyMonitored } = this.#context.services.profile.knobs;
    const refused = modifyMonitored === 'refused' && this.signals.monitored;
    const valid = !refused && this.pages.areMonitors(monitorIn, monitorOut);
    if (valid) this.pages.moveMonitors(monitorIn, monitorOut, 'MODIFY_CONNECTION');
    this.messages.send(
      modifyConnectionResponse(
        valid ? ConnectionState.SUCCESSFUL : ConnectionState.FAILED_UNKNOWN_FAILURE,
      ),
    );
  }

  #unload(): void {
    const { clock, profile, events } = this.#context.services;
    this.history.unloadSeen(clock.now);

    // Hosts before 2012 R2: nothing happens, nothing is said
    const delay = profile.knobs.unloadAnswer;
    if (delay === 'never') return this.#context.unmodelled('UNLOAD on a host that ignores it');
    this.#refused = false;
    this.channels.noteOmissions();
    this.#releaseChannels('UNLOAD');
    this.phase = 'unloading';
    const complete = events.later(() => this.#completeUnload());
    if (delay === 0) complete();
    else this.#unloadAlarm = clock.schedule(delay, complete);
  }

  /** The devices are done: pages, then the answer. */
  #completeUnload(): void {
    const { clock, profile, events } = this.#context.services;
    const parked = this.#parked;
    this.#cancelUnload();
    this.#release('UNLOAD');
    this.#context.changed('unloaded');
    if (profile.knobs.behindUnload === 'dropped') this.dropUnread?.();
    if (parked !== undefined) {
      events.end();
      return this.#connect(parked);
    }
    this.history.unloadAnswered(clock.now);
    this.messages.send(plainMessage(MessageType.UNLOAD_RESPONSE));
  }

  /** The guest cannot get a message: it has closed its SINT or its page. */
  #lost(type: number): void {
    const { clock, profile } = this.#context.services;
    if (type === MessageType.UNLOAD_RESPONSE) this.history.unloadLostAt = clock.now;
    if (profile.knobs.lostMessage !== 'resets-bus') return;
    // Not in the middle of what sends it
    clock.schedule(0, () => {
      if (this.phase === 'disconnected') return;
      if (this.phase === 'unloading') this.#cancelUnload();
      this.#context.violation('vmbus', `message type ${type} is lost: the bus is reset`);
      this.#release('a lost message');
      this.#context.changed('disconnected');
    });
  }

  #cancelUnload(): void {
    if (this.#unloadAlarm !== undefined) this.#context.services.clock.cancel(this.#unloadAlarm);
    this.#unloadAlarm = undefined;
    this.#parked = undefined;
  }

  /** Channels in order of their numbers: devices close, GPADLs end, numbers are free. */
  #releaseChannels(by: string): void {
    this.offers.requested = false;
    this.channels.endAll(by);
  }

  /** Everything that the guest shared ends; no messages. */
  #release(by: string): void {
    this.#releaseChannels(by);
    this.pages.unmapAll(by);
    if (this.phase !== 'disconnected') this.history.ended(this.#context.services.clock.now, by);
    this.phase = 'disconnected';
    this.version = this.features = 0;
  }
}

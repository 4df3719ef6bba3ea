// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * RNDIS control messages: requests of the guest wait here until there is a section and room in the
 * ring for the answer; link changes, keepalives and indications of the host go the same way.
 */

import { RndisHeader, RndisStatus, RndisType } from '../../../src/rndis/protocol.ts';
import type { DeviceChannel } from '../vmbus-server/channel-interface.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import type { HostKnobs } from '../profiles/profile.ts';
import { isMeddledWith, type NetVspFaults } from './faults.ts';
import { HostStatus } from './host-protocol.ts';
import { HeardAnswers } from './left-undone.ts';
import type { LinkAnnouncer } from './link-announcer.ts';
import type { Negotiation } from './negotiation.ts';
import type { Offloads } from './offloads/offloads.ts';
import type { OidState } from './oid-answer.ts';
import type { ReceivePath } from './receive-path.ts';
import { RNDIS_FATAL, RndisDevice, type RndisListener } from './rndis-device.ts';
import type { ReceiveScaling } from './receive-scaling.ts';
import { CONTROL_BYTES_MAX } from './transmit-path.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Ring bytes that must be free before a control message is handled (OpenVMM). */
const CONTROL_RING_ROOM = 144;

/** Keepalives of the host that wait for a section. */
const KEEPALIVES_MAX = 16;

/** What the control path takes from the device. */
export interface ControlDevice {
  readonly services: PartitionServices;
  readonly faults: NetVspFaults;
  readonly link: LinkAnnouncer;
  readonly addresses: Pick<OidState, 'address' | 'permanentAddress'>;
  readonly counts: Pick<OidState, 'framesFromGuest' | 'framesToGuest' | 'framesDropped'>;
}

/** What it tells the session. */
export interface ControlHost {
  readonly receives: ReceivePath | undefined;
  /** Queues that the device may have, and how frames are spread over them. */
  readonly queuesMax: number;
  readonly scaling: ReceiveScaling;
  readonly offloads: Offloads;
  /** The guest has initialised RNDIS. */
  started(): void;
  /** The packet filter has changed: what was received before goes out. */
  flushReceives(): void;
  die(reason: string): void;
}

export class ControlPath implements RndisListener {
  readonly #host: ControlHost;
  readonly #device: ControlDevice;
  readonly #channel: DeviceChannel;
  readonly rndis: RndisDevice;
  /** The guest has sent HALT. */
  halted = false;
  /** What it has heard of. */
  readonly heard = new HeardAnswers();
  /** Control messages of the guest that wait for a section, and their bytes. */
  readonly #requests: Uint8Array[] = [];
  #requestBytes = 0;
  /** What the host has to say of its own accord. */
  #justInitialised = false;
  #offloadsDue = false;
  #linkDue = false;
  /** The host has told the state of the link of its own accord. */
  #announced = false;
  #networkDue = false;
  #keepalivesDue = 0;

  constructor(
    host: ControlHost,
    device: ControlDevice,
    channel: DeviceChannel,
    negotiation: Negotiation,
  ) {
    this.#host = host;
    this.#device = device;
    this.#channel = channel;
    this.rndis = new RndisDevice(new DeviceState(device, negotiation, host), this);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.halted], (v) => ([this.halted] = v));
    keeper.put([this.#requestBytes], (v) => ([this.#requestBytes] = v));
    keeper.put([this.#justInitialised], (v) => ([this.#justInitialised] = v));
    keeper.put([this.#offloadsDue, this.#linkDue], (v) => ([this.#offloadsDue, this.#linkDue] = v));
    keeper.put([this.#announced], (v) => ([this.#announced] = v));
    keeper.put([this.#networkDue], (v) => ([this.#networkDue] = v));
    keeper.put([this.#keepalivesDue], (v) => ([this.#keepalivesDue] = v));
    keeper.keep(this.#host, this.#device, this.#channel, this.rndis, this.#requests);
    keeper.keep(this.heard);
  }

  /** Take a control message of the guest. Returns what is wrong with it. */
  take(message: Uint8Array): string | undefined {
    const bad = this.rndis.check(message);
    if (bad !== undefined) {
      const { knobs } = this.#device.services.profile;
      // OpenVMM fails what is a header at most, and reads of the rest what it wants
      const empty = message.length <= RndisHeader.size;
      if (knobs.malformedControl === 'fail' || empty || !this.rndis.isShort(message)) return bad;
      this.#host.die(bad);
      return undefined;
    }
    const type = new DataView(message.buffer).getUint32(RndisHeader.at.type, true);
    // HALT has no answer, and the device goes on until the channel is closed
    if (type === RndisType.HALT) {
      // What it completes behind this it may have heard too late
      this.lookBack();
      this.halted = true;
      return undefined;
    }
    this.wentOn();
    if (this.#requestBytes + message.length > CONTROL_BYTES_MAX) {
      this.#host.die('too many RNDIS control messages');
      return undefined;
    }
    this.#requestBytes += message.length;
    this.#requests.push(message);
    return undefined;
  }

  /** The guest sends something else than HALT. */
  wentOn(): void {
    this.heard.wentOn(this.rndis);
  }

  /** What the guest has completed so far it has heard, unless it has taken leave before. */
  lookBack(): void {
    const buffer = this.#host.receives?.buffer;
    if (buffer === undefined || this.halted || this.#meddledWith) return;
    this.heard.completed(buffer.completedUpTo(0));
  }

  /** Whether what the guest hears may be something else than what the device has said. */
  get #meddledWith(): boolean {
    return isMeddledWith(this.#device.faults) || this.#channel.tampered;
  }

  /**
   * Send what waits, as far as there are sections, which come back with the guest's completions,
   * and room in the ring. False if it is the ring: nobody says when there is room again.
   */
  pump(receives: ReceivePath): boolean {
    while (this.#due && !this.#channel.dead) {
      if (receives.buffer.freeControl === 0) return true;
      if (this.#channel.writable < CONTROL_RING_ROOM) return false;
      this.#send(receives);
    }
    return true;
  }

  /** The guest shall hear of the link's state; {@link pump} sends it. */
  announceLink(): void {
    this.#linkDue = true;
  }

  /** The guest shall hear that its network is another one. False before it has initialised. */
  networkChanged(): boolean {
    if (!this.rndis.initialised) return false;
    this.#networkDue = true;
    return true;
  }

  /** Ask whether the guest is still there. False if it has not initialised or too many wait. */
  keepalive(): boolean {
    if (!this.rndis.initialised || this.#keepalivesDue >= KEEPALIVES_MAX) return false;
    this.#keepalivesDue++;
    return true;
  }

  // --- what the RNDIS device says ---

  initialised(): void {
    this.#justInitialised = true;
  }

  filterChanged(): void {
    this.#host.flushReceives();
    if (this.rndis.filter.bits !== 0) this.#announceAt('filter');
  }

  offloadsSet(): void {
    this.#offloadsDue = true;
  }

  // --- messages to the guest ---

  get #due(): boolean {
    return (
      this.#requests.length > 0 ||
      this.#offloadsDue ||
      this.#linkDue ||
      this.#networkDue ||
      this.#keepalivesDue > 0
    );
  }

  /** Send one control message: answers first, then what the host says of its own accord. */
  #send(receives: ReceivePath): void {
    const { rndis } = this;
    const request = this.#requests.shift();
    if (request !== undefined) {
      this.#requestBytes -= request.length;
      const length = rndis.handle(request);
      if (length === RNDIS_FATAL) return this.#host.die(rndis.fatal);
      if (length > 0) {
        receives.sendControl(rndis.answer, length);
        if (!this.#meddledWith) this.heard.sent(rndis, receives.buffer.lastNumber);
      }
      if (this.#justInitialised) this.#afterInitialise(receives);
    } else if (this.#offloadsDue) {
      this.#offloadsDue = false;
      receives.sendControl(rndis.answer, rndis.indicateOffloads(false));
    } else if (this.#linkDue) {
      this.#linkDue = false;
      const { told } = this.#device.link;
      const status = told ? RndisStatus.MEDIA_CONNECT : RndisStatus.MEDIA_DISCONNECT;
      receives.sendControl(rndis.answer, rndis.indicate(status));
    } else if (this.#networkDue) {
      this.#networkDue = false;
      receives.sendControl(rndis.answer, rndis.indicate(HostStatus.NETWORK_CHANGE));
    } else {
      this.#keepalivesDue--;
      receives.sendControl(rndis.answer, rndis.keepalive());
    }
  }

  /** What hosts do once the guest has initialised RNDIS. */
  #afterInitialise(receives: ReceivePath): void {
    const { knobs } = this.#device.services.profile;
    this.#justInitialised = false;
    this.#device.link.start();

    // The malformed status goes in front of whatever comes next, in the same packet, so that a
    // guest that looks for messages by their lengths loses something
    if (knobs.malformedStatus) {
      const length = this.rndis.indicateOffloads(true);
      receives.precede(this.rndis.answer.slice(0, length));
    }
    this.#host.started();
    this.#announceAt('initialise');
  }

  /** The state of the link is due, once, if this host tells it at this moment. */
  #announceAt(moment: HostKnobs['linkAnnouncement']): void {
    if (this.#announced || this.#device.services.profile.knobs.linkAnnouncement !== moment) return;
    this.#announced = true;
    this.#device.link.announced();
    this.#linkDue = true;
  }
}

/**
 * What the objects of the device show, read when they are asked for. A class: an object that is
 * written with its accessors in it is a table to the engine.
 */
class DeviceState implements OidState {
  readonly knobs: HostKnobs;
  readonly offloads: OidState['offloads'];
  readonly address: Uint8Array;
  readonly permanentAddress: Uint8Array;
  readonly #device: ControlDevice;
  readonly #negotiation: Negotiation;
  readonly #host: ControlHost;

  constructor(device: ControlDevice, negotiation: Negotiation, host: ControlHost) {
    this.knobs = device.services.profile.knobs;
    this.offloads = host.offloads;
    this.address = device.addresses.address;
    this.permanentAddress = device.addresses.permanentAddress;
    this.#device = device;
    this.#negotiation = negotiation;
    this.#host = host;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.setScaling], (v) => ([this.setScaling] = v));
    keeper.keep(this.offloads, this.address, this.permanentAddress, this.#device);
    keeper.keep(this.#negotiation, this.#host);
  }

  setScaling = (info: DataView): number => {
    const { queuesMax, scaling } = this.#host;
    return scaling.set(info, queuesMax, this.knobs.hashlessScaling);
  };

  get queuesMax(): number {
    return this.#host.queuesMax;
  }

  get mtu(): number {
    return this.#negotiation.mtu;
  }

  get ndisMajor(): number {
    return this.#negotiation.ndisMajor;
  }

  get ndisMinor(): number {
    return this.#negotiation.ndisMinor;
  }

  get linkUp(): boolean {
    return this.#device.link.up;
  }

  get framesFromGuest(): number {
    return this.#device.counts.framesFromGuest;
  }

  get framesToGuest(): number {
    return this.#device.counts.framesToGuest;
  }

  get framesDropped(): number {
    return this.#device.counts.framesDropped;
  }
}

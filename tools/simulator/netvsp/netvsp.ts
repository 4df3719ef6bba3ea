// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * NetVSP: the host's side of the synthetic NIC, a channel device between the VMBus server and a
 * link. Behaviour is OpenVMM's netvsp, with the knobs of the host profile where Windows differs.
 * What happens while the channel is open stands in the session.
 */

import { RndisHeader, RndisType } from '../../../src/rndis/protocol.ts';
import { DeviceClass, OfferFlag } from '../../../src/vmbus/protocol.ts';
import type {
  ChannelDevice,
  ClientName,
  Closer,
  DeviceChannel,
} from '../vmbus-server/channel-interface.ts';
import type { Link } from '../network/link.ts';
import type { PartitionServices } from '../hypervisor/partition-interface.ts';
import { QUEUES_MAX } from './subchannels.ts';
import type { NetVspState, NetVspStatistics } from './netvsp-state.ts';
import { latePacket, lateRndis } from '../profiles/late-answers.ts';
import type { NetVspFaults } from './faults.ts';
import { LinkAnnouncer } from './link-announcer.ts';
import { MTU_DEFAULT } from './negotiation.ts';
import { DataPath } from './host-protocol.ts';
import { Session } from './session.ts';
import type { Blame } from './guest-completion.ts';
import type { SessionDevice } from './session-device.ts';
import type { Keeper } from '../base/snapshot.ts';

/** What a NIC is made of. */
export interface NetVspOptions {
  /** Index of the NIC, from 0 to 65535. */
  readonly nic: number;
  /** What it is plugged into. */
  readonly link: Link;
  /** Current MAC address, 6 bytes; by default 00:15:5d:01 and the index. */
  readonly address?: Uint8Array | undefined;
  /** Permanent MAC address; by default the current one. */
  readonly permanentAddress?: Uint8Array | undefined;
  /** GUID of the instance; by default one with the default address at its end. */
  readonly instanceId?: string | undefined;
  /** The guest may signal through the monitor page. */
  readonly monitored?: boolean | undefined;
  /** Whom the NIC is offered to; by default the primary VMBus driver of the guest. */
  readonly client?: ClientName | undefined;
  /** Queues that it may have, its primary channel among them: 1 to 64, by default 64. */
  readonly queues?: number | undefined;
  /** MTU with the Ethernet header for guests that give none (NVSP 1): 1514 to 9216. */
  readonly mtu?: number | undefined;
}

/** Microsoft's prefix for MAC addresses of virtual machines. */
const ADDRESS_PREFIX = [0x00, 0x15, 0x5d, 0x01];

export class NetVsp implements ChannelDevice {
  readonly interfaceId = DeviceClass.NETWORK;
  readonly instanceId: string;
  readonly offerFlags = OfferFlag.ENUMERATE_DEVICE_INTERFACE;
  readonly monitored: boolean;
  readonly client: ClientName;
  readonly nic: number;
  readonly address: Uint8Array;
  readonly permanentAddress: Uint8Array;
  /** Faults that a test puts in; see {@link NetVspFaults}. */
  readonly faults: NetVspFaults = {};
  readonly link: Link;
  readonly #mtu: number;
  readonly #queuesMax: number;
  #services: PartitionServices | undefined;
  #announcer: LinkAnnouncer | undefined;
  #session: Session | undefined;
  /** Counts of sessions that are over are added in here. */
  readonly #counts: NetVspStatistics = {
    framesFromGuest: 0,
    framesToGuest: 0,
    framesDropped: 0,
    lastDrop: '',
    violations: 0,
    completions: 0,
    guestCompletions: 0,
    uncompletedAtClose: 0,
    uncompletedSkipped: 0,
    uncompletedOtherwise: 0,
  };

  /** @throws RangeError for an index, an address, an MTU or queues that no NIC can have. */
  constructor(options: NetVspOptions) {
    const { nic } = options;
    if (!Number.isInteger(nic) || nic < 0 || nic > 0xffff)
      throw new RangeError(`NIC index ${nic} is not between 0 and 65535`);
    const own = new Uint8Array([...ADDRESS_PREFIX, nic >> 8, nic & 0xff]);
    this.nic = nic;
    this.address = options.address ?? own;
    this.permanentAddress = options.permanentAddress ?? this.address;
    if (this.address.length !== 6 || this.permanentAddress.length !== 6)
      throw new RangeError('a MAC address has 6 bytes');
    const tail = [...own].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    this.instanceId = options.instanceId ?? `f8615163-0000-1000-2000-${tail}`;
    this.monitored = options.monitored ?? false;
    this.client = options.client ?? 'primary';
    this.#queuesMax = options.queues ?? QUEUES_MAX;
    if (!(this.#queuesMax >= 1 && this.#queuesMax <= QUEUES_MAX))
      throw new RangeError(`${this.#queuesMax} queues are not between 1 and ${QUEUES_MAX}`);
    this.#mtu = options.mtu ?? MTU_DEFAULT;
    if (this.#mtu < MTU_DEFAULT || this.#mtu > 9216)
      throw new RangeError(`MTU ${this.#mtu} is not between ${MTU_DEFAULT} and 9216`);
    this.link = options.link;
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#services, this.#announcer], (v) => ([this.#services, this.#announcer] = v));
    keeper.put([this.#session], (v) => ([this.#session] = v));
    keeper.keep(this.interfaceId, this.offerFlags, this.address, this.permanentAddress);
    keeper.keep(this.faults, this.#counts);
    keeper.plugged(this.link);
  }

  // --- as a channel device ---

  attach(services: PartitionServices): void {
    this.#services = services;
    const { knobs } = services.profile;
    if (knobs.lateAnswer !== 'none') {
      this.faults.packet ??= ({ type, payload }) => latePacket(knobs, type, payload) || 'send';
      this.faults.message ??= ({ bytes }) => lateRndis(knobs, bytes) || 'send';
    }
    // A packet's grant is worth an object of its own only while somebody reads the events
    services.grants.packetsWanted ??= () => services.events.on;
    this.#announcer = new LinkAnnouncer(services.clock, () => this.#announceLink());
    this.link.connect({
      clock: services.clock,
      random: services.random,
      nic: this.nic,
      address: this.address,
      deliver: (frame) => this.#deliver(frame),
      setLinkState: (up) => this.setLinkState(up),
    });
  }

  open(channel: DeviceChannel): number {
    this.close();
    this.#session = new Session(this.#forSession(), channel);
    return 0;
  }

  close(closer: Closer = 'guest'): void {
    const session = this.#session;
    if (session === undefined) return;
    // What lies in the ring the guest has done: only the host has not looked yet
    session.takeWhatIsLeft();
    const { outstanding, skipped, blame, steps, died, since } = session.leftUndone(closer);
    this.#uncompleted(outstanding, skipped, blame);
    if (closer !== 'host') {
      const { omissions } = this.#services!;
      const why = died === undefined ? '' : `, whose channel died of what the guest did (${died})`;
      for (const step of steps) omissions.enter(step, `NIC ${this.nic}${why}`, since);
    }
    session.close();
    this.#announcer?.stop();
    this.#session = undefined;
    this.#counts.completions += session.completions;
    this.#counts.guestCompletions += session.guestCompletions;
  }

  signalled(): void {
    this.#session?.signalled();
  }

  gpadlTeardown(gpadl: number): boolean {
    const session = this.#session;
    if (session === undefined || !session.holds(gpadl)) return true;
    if (!session.negotiation.mayLetGo(gpadl)) return false;
    session.letGo(gpadl);
    return true;
  }

  // --- for whoever runs the machine ---

  /** The link goes up or down; see {@link LinkAnnouncer} for when the guest hears of it. */
  setLinkState(up: boolean): void {
    this.#announcer?.set(up);
  }

  /**
   * The guest is moved to another network, as after a migration: NETWORK_CHANGE. False if it has
   * not initialised.
   */
  changeNetwork(): boolean {
    const session = this.#session;
    if (session === undefined || !session.control.networkChanged()) return false;
    session.pump();
    return true;
  }

  /** Send an RNDIS keepalive. False if the guest has not initialised or many wait. */
  sendKeepalive(): boolean {
    const session = this.#session;
    if (session === undefined || !session.control.keepalive()) return false;
    session.pump();
    return true;
  }

  /**
   * Tell the guest of a virtual function, or that it is gone. False if there is no change, or if
   * the guest has not initialised, cannot use one, or speaks an NVSP below 4.
   */
  setVirtualFunction(present: boolean): boolean {
    const session = this.#session;
    if (session === undefined || !session.control.rndis.initialised) return false;
    const { virtualFunction } = session;
    return present ? virtualFunction.announce() : virtualFunction.withdraw();
  }

  /** Complete the transmits that {@link NetVspFaults.withhold} kept back. */
  releaseTransmits(): void {
    this.#session?.releaseWithheld();
    this.#session?.signalled();
  }

  /**
   * Put any packet into the ring, past the device's state and faults; the transaction ID is the
   * low 64 bits. `extra` must be a multiple of 8 bytes. False if the channel is closed or full.
   */
  injectPacket(
    type: number,
    flags: number,
    transactionId: bigint,
    extra: Uint8Array,
    payload: Uint8Array,
  ): boolean {
    const low = Number(transactionId & 0xffffffffn);
    const high = Number((transactionId >> 32n) & 0xffffffffn);
    return this.#session?.inject(type, flags, low, high, extra, payload) ?? false;
  }

  /**
   * Send RNDIS messages, whatever they hold, as the ranges of one transfer-page packet. False
   * without an initialised receive buffer, free sections or room in the ring.
   *
   * @throws RangeError for a message that is longer than a section.
   */
  injectRndis(...messages: Uint8Array[]): boolean {
    const receives = this.#session?.receives;
    if (receives === undefined) return false;
    const size = receives.buffer.sectionSize;
    for (const message of messages)
      if (message.length > size) throw new RangeError(`message exceeds a section (${size} bytes)`);
    return receives.send(messages, !messages.some(isData));
  }

  /** Counts since the device was made. */
  get statistics(): Readonly<NetVspStatistics> {
    const session = this.#session;
    return {
      ...this.#counts,
      completions: this.#counts.completions + (session?.completions ?? 0),
      guestCompletions: this.#counts.guestCompletions + (session?.guestCompletions ?? 0),
    };
  }

  /** The state at this moment. */
  get state(): NetVspState {
    const session = this.#session;
    const buffer = session?.receives?.buffer;
    return {
      open: session !== undefined,
      version: session?.negotiation.version ?? 0,
      initialised: session?.control.rndis.initialised ?? false,
      filter: session?.control.rndis.filter.bits ?? 0,
      linkUp: this.#announcer?.up ?? true,
      sections: buffer?.sectionCount ?? 0,
      sectionsInUse: buffer?.inUse ?? 0,
      outstanding: buffer?.outstanding ?? 0,
      skipped: session?.leftUndone().blame === 'nobody' ? 0 : (buffer?.skipped() ?? 0),
      inFlight: session?.inFlight ?? 0,
      keepaliveAnswers: session?.control.rndis.keepaliveAnswers ?? 0,
      subchannels: session?.subchannels.offered.length ?? 0,
      subchannelsActive: session?.subchannels.active ?? 0,
      virtualFunction: session?.virtualFunction.state ?? 'none',
      dataPath: session?.virtualFunction.path === DataPath.VF ? 'vf' : 'synthetic',
    };
  }

  // --- frames ---

  /** A frame of the link. */
  #deliver(frame: Uint8Array): void {
    const session = this.#session;
    const deaf = session === undefined ? 'channel closed' : session.deaf;
    if (deaf !== undefined) return this.#dropped(1, deaf);
    if (!this.#announcer!.up) return this.#dropped(1, 'link down');
    const { events } = this.#services!;
    if (session!.deliver(frame) && events.on)
      events.emit({ kind: 'frame', from: 'host', nic: this.nic, frame: frame.slice() });
  }

  /** A frame of the guest. */
  #sendFrame(frame: Uint8Array): void {
    if (!this.#announcer!.up) return this.#dropped(1, 'link down');
    this.#counts.framesFromGuest++;
    const { events } = this.#services!;
    if (events.on)
      events.emit({ kind: 'frame', from: 'guest', nic: this.nic, frame: frame.slice() });
    this.link.transmit(frame);
  }

  /** A queue ends with packets that were not completed, some of them left out for later ones. */
  #uncompleted(packets: number, skipped: number, blame: Blame): void {
    if (blame === 'nobody') skipped = 0;
    this.#counts.uncompletedSkipped += skipped;
    if (blame === 'guest') this.#counts.uncompletedAtClose += packets - skipped;
    else this.#counts.uncompletedOtherwise += packets - skipped;
  }

  #announceLink(): void {
    this.#session?.control.announceLink();
    this.#session?.pump();
  }

  #dropped(count: number, reason: string): void {
    this.#counts.framesDropped += count;
    this.#counts.lastDrop = reason;
    const { events } = this.#services!;
    if (!events.on) return;
    for (let i = 0; i < count; i++) events.emit({ kind: 'frame-dropped', nic: this.nic, reason });
  }

  #violation(layer: 'nvsp' | 'rndis', text: string): void {
    this.#counts.violations++;
    const { events } = this.#services!;
    if (events.on) events.emit({ kind: 'violation', layer, text: `NIC ${this.nic}: ${text}` });
  }

  #forSession(): SessionDevice {
    return {
      services: this.#services!,
      faults: this.faults,
      link: this.#announcer!,
      addresses: this,
      counts: this.#counts,
      mtu: this.#mtu,
      identity: this,
      queuesMax: this.#queuesMax,
      vfSerial: this.nic + 1,
      sendFrame: (frame) => this.#sendFrame(frame),
      sent: (count) => (this.#counts.framesToGuest += count),
      dropped: (count, reason) => this.#dropped(count, reason),
      abandoned: (packets, skipped, blame) => this.#uncompleted(packets, skipped, blame),
      violation: (layer, text) => this.#violation(layer, text),
    };
  }
}

/** Whether an RNDIS message is a packet message: the data channel's. */
function isData(message: Uint8Array): boolean {
  if (message.length < RndisHeader.size) return false;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  return view.getUint32(RndisHeader.at.type, true) === RndisType.PACKET;
}

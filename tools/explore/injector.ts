// SPDX-License-Identifier: GPL-2.0-or-later

/** Carries a plan out: puts itself at every place between guest and host, counts, and acts. */

import { HvCall, HvStatus } from '../../src/hyperv/protocol.ts';
import { DeviceClass, MessageType } from '../../src/vmbus/protocol.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { Network } from '../simulator/network/index.ts';
import type { ChannelDevice, DeviceChannel } from '../simulator/vmbus-server/channel-interface.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { inertDevice } from '../simulator/vmbus-server/inert-device.ts';
import { PlaceCounter, type PlaceDetail, type PlaceObserver } from './counter.ts';
import { MessageFaults } from './host-messages.ts';
import { PacketFaults, type PacketHost } from './host-packets.ts';
import { RACES, type RaceModel } from './memory/race-policy.ts';
import { faultWords } from './fault-words.ts';
import { faultText, isLawful, type Fault, type Plan } from './plan.ts';
import type { SeamListener } from './stepped-machine.ts';
import type { Keeper } from '../simulator/base/snapshot.ts';

/** Instances of the devices that take the channel numbers of NICs, without a number at the end. */
const INTRUDER = '0e0b6031-0000-4000-8000';

const { ALL_OFFERS_DELIVERED } = MessageType;

/** How long a cable is out, in ms. */
const UNPLUGGED_MS = 5000;

/** A host that acts at the same time as the guest. */
export interface Race {
  readonly model: RaceModel;
  readonly number: number;
}

/** What waits for the guest's exits. */
interface Pending {
  exits: number;
  readonly action: () => void;
}

export class Injector implements Omit<SeamListener, 'activity'>, PacketHost {
  readonly machine: SimulatedMachine;
  readonly counter: PlaceCounter;
  /** Whether the host does nothing wrong in all of the plan. */
  sound: boolean;
  activity = 0;
  /** Whether the host has confirmed what was not so. */
  hostLied = false;
  /** Whether the boot shall end: what `cancel` answers. */
  cut = false;
  /** What the guest did last: for the report of a hang. */
  lastStep = 'nothing';
  #pending: Pending[] = [];
  #statusEver: number | undefined;
  /** Registers that the host refuses for good: what they hold then is not the guest's fault. */
  readonly refused = new Set<number>();
  #refusing = true;
  #rescinded = false;
  /** The explored part is over; and what puts the cable in again. */
  #stopped = false;
  #plug: (() => void) | undefined;
  #renumber = false;
  #intruders = 0;
  #plan: Plan;
  readonly #messages: MessageFaults;
  readonly #packets: PacketFaults;

  /** @param everywhere see {@link PlaceCounter} */
  constructor(machine: SimulatedMachine, plan: Plan, observer?: PlaceObserver, everywhere = false) {
    this.machine = machine;
    this.#plan = plan;
    this.counter = new PlaceCounter(plan, observer, everywhere);
    if (machine.events.on) this.counter.onFire = (fault, detail) => this.#tell(fault, detail);
    this.sound = plan.faults.every(isLawful);
    machine.partition.faults.hypercall = (code) => this.#call(code);
    if (machine.partition.architecture === 'arm64') {
      machine.partition.faults.register = (access, register) =>
        access === 'set' && this.refuses(register) ? HvStatus.ACCESS_DENIED : undefined;
    }
    this.#messages = new MessageFaults(this);
    this.#packets = new PacketFaults(this);
    for (const device of this.#devices) this.#watchGuestPackets(device);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.sound, this.#plan], (v) => ([this.sound, this.#plan] = v));
    keeper.put([this.activity, this.hostLied], (v) => ([this.activity, this.hostLied] = v));
    keeper.put([this.cut, this.lastStep], (v) => ([this.cut, this.lastStep] = v));
    keeper.put([this.#pending, this.#statusEver], (v) => ([this.#pending, this.#statusEver] = v));
    keeper.put([this.#refusing, this.#rescinded], (v) => ([this.#refusing, this.#rescinded] = v));
    keeper.put([this.#stopped, this.#plug], (v) => ([this.#stopped, this.#plug] = v));
    keeper.put([this.#renumber, this.#intruders], (v) => ([this.#renumber, this.#intruders] = v));
    keeper.keep(this.counter, this.refused, this.#messages, this.#packets);
  }

  /** Carry out another plan from now on: nothing that the last one has was due yet. */
  load(plan: Plan): void {
    this.#plan = plan;
    this.sound = plan.faults.every(isLawful);
    this.counter.load(plan);
  }

  /** The faults of the plan that were carried out so far. */
  get fired(): readonly Fault[] {
    return this.#plan.faults.filter((fault) => this.counter.fired.has(faultText(fault)));
  }

  /** Say on the stream of events that a fault is carried out. */
  #tell(fault: Fault, detail: PlaceDetail): void {
    const what = faultWords(fault, detail);
    this.machine.events.emit({ kind: 'injected', fault: faultText(fault), what });
  }

  /** The races that the plan has: each run could be raced in {@link RACES} ways. */
  races(architecture: string): readonly Race[] {
    return Array.from({ length: RACES }, () =>
      this.counter.arrive('race', () => ({ what: architecture })),
    )
      .flat()
      .map((fault) => {
        this.counter.fire(fault);
        return { model: fault.kind as RaceModel, number: fault.index };
      });
  }

  /** When the NIC comes, and when its cable is out for a while; both after the enumeration. */
  nic(network: Network): void {
    const { machine } = this;
    const faults = this.counter.begin('nic', 'NIC');
    if (faults.length === 0) return;
    const [nic] = machine.nics;
    const after = (ms: number, action: () => void): void => {
      machine.clock.schedule(ms * TICKS_PER_MS, () => {
        if (!this.#stopped) action();
      });
      this.happened();
    };
    this.#plug = () => network.setLinkUp(0, true);
    const arrives = faults.find(({ kind }) => kind === 'arrives');
    if (arrives !== undefined) {
      machine.vmbus.rescind(nic!);
      this.#rescinded = true;
    }
    const stop = machine.events.listen((event) => {
      if (event.kind !== 'host-message' || event.payload[0] !== ALL_OFFERS_DELIVERED) return;
      stop();
      for (const { kind, argument } of faults) {
        if (kind === 'arrives') {
          after(Number(argument), () => {
            this.#rescinded = false;
            machine.vmbus.hotAdd(nic!);
          });
        } else {
          after(Number(argument), () => network.setLinkUp(0, false));
          after(Number(argument) + UNPLUGGED_MS, () => network.setLinkUp(0, true));
        }
      }
    });
  }

  /** From now on the host does nothing wrong, and what it took away is back. */
  stop(): void {
    const { machine } = this;
    this.counter.stop();
    this.#stopped = true;
    this.#plug?.();
    this.cut = false;
    machine.partition.faults.hypercall = undefined;
    machine.partition.faults.register = undefined;
    this.#refusing = false;
    machine.partition.faults.message = undefined;
    machine.vmbus.faults = {};
    this.#pending = [];
    for (const nic of machine.nics) {
      nic.faults.message = nic.faults.withhold = undefined;
      nic.releaseTransmits();
    }
    if (this.#renumber) this.#reoffer();
    if (this.#rescinded) for (const device of this.#devices) machine.vmbus.hotAdd(device);
    this.#rescinded = this.#renumber = false;
  }

  // --- called by the seam and by the other faults ---

  exit(): void {
    if (this.#renumber) this.#reoffer();
    if (this.#pending.length === 0) return;
    for (const pending of this.#pending) pending.exits--;
    const due = this.#pending.filter(({ exits }) => exits <= 0);
    this.#pending = this.#pending.filter(({ exits }) => exits > 0);
    for (const { action } of due) action();
  }

  step(what: string): void {
    this.lastStep = what;
    if (what !== 'pause') this.activity++;
    const faults = this.counter.arrive('step', () => ({ what }));
    for (const fault of faults) this.#atStep(fault);
  }

  refuses(register: number): boolean {
    if (!this.#refusing) return false;
    const what = `write of register 0x${register.toString(16)}`;
    let refused = this.refused.has(register);
    for (const fault of this.counter.arrive('register', () => ({ what }))) {
      this.counter.fire(fault);
      refused = true;
      if (fault.kind === 'refuse-ever') this.refused.add(register);
    }
    return refused;
  }

  afterExits(exits: number, action: () => void): void {
    this.#pending.push({ exits, action });
  }

  happened(): void {
    this.activity++;
  }

  lied(): void {
    this.hostLied = true;
  }

  #atStep(fault: Fault): void {
    this.counter.fire(fault);
    switch (fault.kind) {
      case 'rescind':
      case 'renumber':
        // In between two operations of the guest, not inside of one
        this.afterExits(1, () => this.#rescind(fault.kind === 'renumber'));
        return;
      default:
        this.cut = true;
    }
  }

  // --- devices come and go ---

  /** Those that a guest may drive. */
  get #devices(): readonly ChannelDevice[] {
    return [...this.machine.nics, ...this.machine.devices];
  }

  #rescind(renumber: boolean): void {
    if (this.#rescinded) return;
    this.#rescinded = true;
    this.#renumber = renumber;
    for (const device of this.#devices) this.machine.vmbus.rescind(device);
    this.happened();
  }

  /** Offer the devices again, under other numbers, once the guest has released the old ones. */
  #reoffer(): void {
    const { vmbus } = this.machine;
    const known = new Set(vmbus.inspect().channels.map(({ instanceId }) => instanceId));
    if (this.#devices.some(({ instanceId }) => known.has(instanceId))) return;
    const number = String(this.#intruders++).padStart(12, '0');
    vmbus.hotAdd(inertDevice(DeviceClass.SHUTDOWN, `${INTRUDER}-${number}`));
    for (const device of this.#devices) vmbus.hotAdd(device);
    this.#rescinded = this.#renumber = false;
    this.happened();
  }

  // --- what the guest does ---

  #call(code: number): number | undefined {
    if (code !== HvCall.POST_MESSAGE && code !== HvCall.SIGNAL_EVENT) return undefined;
    const what = code === HvCall.POST_MESSAGE ? 'HvPostMessage' : 'HvSignalEvent';
    let status = this.#statusEver;
    for (const fault of this.counter.arrive('call', () => ({ what }))) {
      this.counter.fire(fault);
      // A call that succeeds and never gets anywhere
      status = fault.kind === 'lost' ? 0 : Number(fault.argument);
      if (fault.kind === 'status-ever') this.#statusEver = status;
    }
    return status;
  }

  /** Packets of the guest are steps when the host reads them. */
  #watchGuestPackets(device: ChannelDevice): void {
    const open = device.open.bind(device);
    device.open = (channel: DeviceChannel) => {
      const receive = channel.receive.bind(channel);
      channel.receive = (atClose) => {
        const packet = receive(atClose);
        // What is read of a dead channel is no step: the guest has long done it
        if (packet !== undefined && !channel.dead) this.step('packet of the guest');
        return packet;
      };
      return open(channel);
    };
  }
}

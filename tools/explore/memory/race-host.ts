// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A host that acts at the same time as the guest: at every access of the guest to what it shares.
 * It reads rings, takes completions, uses what was given back to it at once, and sees the guest's
 * stores as late, or in as odd an order, as the architecture allows. What a sound guest does right
 * is then right in any order.
 *
 * What orders stores: on x64 locked operations and fences (here Atomics), WRMSR and hypercalls; on
 * arm64 only barriers and acquire and release (here Atomics), an HVC alone does not. A pause takes
 * longer than any processor keeps a store to itself.
 */

import { PAGE_SHIFT, PAGE_SIZE } from '../../../src/machine.ts';
import { Sint, SynicMessage } from '../../../src/hyperv/protocol.ts';
import { MessageHeader } from '../../../src/vmbus/protocol.ts';
import type { HostEvent } from '../../simulator/ledger/events.ts';
import type { Grant, GrantListener } from '../../simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../../simulator/machine.ts';
import type { Step } from '../stepped-machine.ts';
import { callerFrames } from '../stack-frame.ts';
import type { RaceModel, RaceMoment, RacePolicy } from './race-policy.ts';
import { LateLoads } from './late-loads.ts';
import { StaleLoads } from './stale-loads.ts';
import { StoreBuffer } from './store-buffer.ts';
import type { MemoryWatch } from '../../guests/guest-program.ts';
import type { AccessListener, StoreListener } from '../../guests/watch/watched-memory.ts';

/** A message type that no host has ever sent (VMBus numbers end below 32). */
const UNKNOWN_MESSAGE = 0x7fffffff;

/** Part of the host that sees a violation of the protocol. */
export type ViolationLayer = Extract<HostEvent, { kind: 'violation' }>['layer'];

export interface RaceOptions {
  readonly machine: SimulatedMachine;
  readonly model: RaceModel;
  readonly policy: RacePolicy;
  /** Told of the guest's accesses before the host acts. */
  readonly watch: AccessListener;
  /** Called with what the guest does to memory that the host has: in general terms, in detail. */
  readonly touches: (cause: string, text: string) => void;
  /** Called with what the host sees that breaks the protocol. */
  readonly violates: (layer: ViolationLayer, text: string) => void;
}

export class RaceHost implements AccessListener, StoreListener {
  readonly stores: StoreListener = this;
  /** The views that the guest has; set once they are made. */
  memory: MemoryWatch | undefined;
  readonly #options: RaceOptions;
  readonly #buffer: StoreBuffer;
  /** By page: grants of it, and packets in flight that lie in it. */
  readonly #shared: Uint8Array;
  readonly #inFlight = new Map<number, Grant>();
  readonly #flights: Uint8Array;
  readonly #messagePages = new Set<number>();
  /** Slots of messages that were full when the host looked last. */
  readonly #full = new Set<number>();
  /** By byte: it belongs to the host, which may use it for something else. */
  readonly #returned: Uint8Array;
  readonly #undo: (() => void)[] = [];
  /** Loads that were done early, in a race that has them. */
  readonly #stale: StaleLoads | undefined;
  /** ... and that are done late, where the model has them. */
  readonly #late: LateLoads | undefined;
  #acting = false;
  #pauses = 0;
  #on = true;

  constructor(options: RaceOptions) {
    const { machine, policy, violates } = options;
    const bytes = new Uint8Array(machine.partition.ram.memory);
    this.#options = options;
    this.#buffer = new StoreBuffer(bytes);
    if (policy.hasEarlyLoads) this.#stale = new StaleLoads(machine.partition.ram);
    if (options.model === 'weak') this.#late = new LateLoads(machine.partition.ram.memory);
    this.#shared = new Uint8Array(bytes.length / PAGE_SIZE);
    this.#flights = new Uint8Array(bytes.length / PAGE_SIZE);
    this.#returned = new Uint8Array(bytes.length);
    this.#follow();
    machine.vmbus.faults = { ...machine.vmbus.faults, lingers: true };
    this.#undo.push(() => {
      machine.vmbus.faults = { ...machine.vmbus.faults, lingers: false };
      machine.vmbus.linger('end');
    });
    const unlisten = machine.events.listen((event) => {
      if (event.kind === 'violation') violates(event.layer, event.text);
    });
    this.#undo.push(unlisten);
    for (const { faults } of machine.nics) {
      faults.section = (change, address, length) => this.#section(change, address, length);
      this.#undo.push(() => (faults.section = undefined));
    }
  }

  /** The guest has ended: everything is visible, and nobody watches. */
  stop(): void {
    this.#on = false;
    this.#stale?.stop();
    this.#buffer.drain();
    for (const undo of this.#undo.splice(0)) undo();
  }

  // --- the seam ---

  /** The guest is about to make an exit. */
  exit(): void {
    // It returns to what stands behind it, and looks at nothing of it before
    this.#stale?.forget();
    this.#actOnWaiting();
    this.#late?.order();
    this.#stale?.begin();
    // WRMSR, CPUID and VMCALL are serializing or leave the guest, which drains the store buffer
    if (this.#options.model !== 'weak') this.#buffer.drain();
  }

  /** It has made one. */
  step(what: Step): void {
    if (what === 'pause') {
      // It takes longer than a look of the host, too, but for one that has just begun
      this.#buffer.drain();
      if (++this.#pauses % 2 === 0) this.#options.machine.vmbus.linger('end');
      // What the host did meanwhile it may as well do a little later, while the guest looks
      this.#stale?.end();
    } else if (this.#options.model === 'weak') this.#act();
  }

  // --- memory ---

  load(address: number, length: number): void {
    this.#options.watch.load(address, length);
    if (!this.#on || this.#acting) return;
    this.#stale?.restore();
    if (isAny(this.#shared, address, length)) {
      this.#act();
      this.#stale?.load(address, length, this.#options.policy.isEarly());
      this.#late?.load(address, length);
    }
    if (this.#hasReturned(address, length))
      this.#wrong('a received message is read after it was completed', address, length);
  }

  storing(address: number, length: number): void {
    this.#options.watch.stores?.storing(address, length);
    if (!this.#on || this.#acting) return;
    this.#stale?.restore();
    this.#stale?.store(address, length);
    this.#late?.store(address);
    if (isAny(this.#flights, address, length)) this.#checkFlights(address, length);
    if (this.#messagePages.has(address >>> PAGE_SHIFT)) this.#checkSlots(address, length);
    this.#actOnWaiting(this.#buffer.pushedOut(length));
    this.#buffer.enter(address, length);
  }

  stored(address: number, length: number): void {
    if (!this.#on || this.#acting) return;
    if (this.#options.model === 'strong') this.#buffer.drain();
    if (isAny(this.#shared, address, length)) this.#act();
  }

  acquired(): void {
    if (!this.#acting) this.#stale?.order();
  }

  ordered(): void {
    if (this.#acting) return;
    this.#stale?.order();
    this.#actOnWaiting();
    this.#late?.order();
    this.#buffer.drain();
  }

  fenced(what: 'loads' | 'stores'): void {
    if (this.#acting) return;
    // On x64 both are in order anyway
    if (what === 'stores') return this.#buffer.fence();
    this.#stale?.order();
    this.#late?.order();
  }

  // --- the host ---

  /**
   * Between the last access and what orders it: `count` stores, from the oldest, are about to be
   * visible, and the host may be looking for one of them.
   */
  #actOnWaiting(count = this.#buffer.count): void {
    if (!this.#on || count === 0) return;
    let awaited = false;
    let slot = false;
    this.#buffer.each((address, length) => {
      awaited ||= isAny(this.#shared, address, length);
      slot ||= this.#messagePages.has(address >>> PAGE_SHIFT);
    }, count);
    if (awaited) this.#act(slot ? 'slot' : 'order');
  }

  #act(moment: RaceMoment = 'access'): void {
    const { machine, policy } = this.#options;
    const act = policy.next(moment);
    if (act === 'nothing') return;
    this.#acting = true;
    const watched = this.memory?.suspend() ?? false;
    const apart = this.#buffer.isNewestApart;
    this.#buffer.hide((index, count) => policy.sees(index, count, apart));
    this.#stale?.begin();
    this.#late?.begin();
    let over: ReturnType<LateLoads['end']>;
    try {
      machine.partition.guard(() => {
        this.#useSlots();
        if (act === 'message') machine.vmbus.postUnsolicited(unknownMessage());
        else machine.vmbus.linger(act === 'read' && policy.hearsAtOnce ? 'hear' : act);
      });
    } finally {
      over = this.#late?.end();
      this.#buffer.show();
      this.#stale?.end();
      this.#buffer.each((address, length) => this.#stale?.store(address, length));
      if (watched) this.memory!.install();
      this.#acting = false;
    }
    if (over !== undefined)
      this.#wrong(`a ${over[0]} is given back before what is read of it is ordered`, over[1]);
  }

  /** A section of the receive buffer comes back to the host, or is used again. */
  #section(change: 'returned' | 'used', address: number, length: number): void {
    this.#returned.fill(change === 'returned' ? 1 : 0, address, address + length);
    // What is read of it now is anything but what was there
    if (change === 'returned')
      this.#options.machine.partition.ram.fill(0xa5, address, address + length);
  }

  /** What lay in a slot that the guest has emptied is not there any more. */
  #useSlots(): void {
    const { ram } = this.#options.machine.partition;
    for (const page of this.#messagePages) {
      for (let slot = page * PAGE_SIZE; slot < (page + 1) * PAGE_SIZE; slot += SynicMessage.size) {
        const full = ram.reader.getUint32(slot + SynicMessage.at.type, true) !== 0;
        if (full) this.#full.add(slot);
        else if (this.#full.delete(slot)) {
          const data = slot + SynicMessage.at.data;
          ram.fill(0xa5, data, slot + SynicMessage.size);
          // A length stays possible: what is read of it now is another message's
          ram.fill(0xff, slot + SynicMessage.at.length, slot + SynicMessage.at.length + 1);
        }
      }
    }
  }

  /** Keep up with what the host may touch. */
  #follow(): void {
    const { grants } = this.#options.machine.partition;
    const before: GrantListener | undefined = grants.listener;
    const wanted = grants.packetsWanted;
    grants.packetsWanted = () => true;
    grants.listener = (change, grant) => {
      before?.(change, grant);
      const step = change === 'grant' ? 1 : -1;
      for (const pfn of grant.pfns) this.#shared[pfn]! += step;
      this.#stale?.follow(change, grant);
      this.#late?.follow(change, grant);
      if (grant.kind === 'message-page') {
        for (const pfn of grant.pfns)
          if (change === 'grant') this.#messagePages.add(pfn);
          else this.#messagePages.delete(pfn);
      }
      if (grant.kind === 'packet') {
        for (const pfn of grant.pfns) this.#flights[pfn]! += step;
        if (change === 'grant') this.#inFlight.set(grant.id, grant);
        else this.#inFlight.delete(grant.id);
      } else if (change === 'revoke') {
        for (const pfn of grant.pfns)
          this.#returned.fill(0, pfn * PAGE_SIZE, (pfn + 1) * PAGE_SIZE);
      }
    };
    this.#undo.push(() => {
      grants.listener = before;
      grants.packetsWanted = wanted;
    });
  }

  /** Whether any byte has been given back. */
  #hasReturned(address: number, length: number): boolean {
    const end = Math.min(address + length, this.#returned.length);
    for (let i = address; i < end; i++) if (this.#returned[i] === 1) return true;
    return false;
  }

  /** A packet whose bytes the host reads must stay as it is until it is completed. */
  #checkFlights(address: number, length: number): void {
    for (const grant of this.#inFlight.values()) {
      let begin = grant.offset;
      let left = grant.length;
      for (const pfn of grant.pfns) {
        const run = Math.min(PAGE_SIZE - begin, left);
        const from = pfn * PAGE_SIZE + begin;
        if (address < from + run && from < address + length)
          return this.#wrong('a packet is written to while the host has it', address, length);
        left -= run;
        begin = 0;
      }
    }
  }

  /**
   * A slot that is empty is the host's, which may be filling it, as long as its SINT is unmasked. A
   * pending flag that a guest clears by itself in front of its EOM is left out.
   */
  #checkSlots(address: number, length: number): void {
    const { machine, violates } = this.#options;
    const { inspection, ram } = machine.partition;
    const { size } = SynicMessage;
    if (length === 1 && address % size === SynicMessage.at.flags) return;
    const end = Math.min(address + length, (1 + (address >>> PAGE_SHIFT)) * PAGE_SIZE);
    for (let slot = address - (address % size); slot < end; slot += size) {
      if (ram.reader.getUint32(slot + SynicMessage.at.type, true) !== 0) continue;
      const sint = (slot % PAGE_SIZE) / size;
      // There is one processor
      if (inspection.register(0, `SINT${sint}`) & Sint.MASKED) continue;
      return violates('hypervisor', `the empty slot of SINT${sint} is written to`);
    }
  }

  #wrong(what: string, address: number, length?: number): void {
    // The first frames are this function, its caller and the watched view
    const at = callerFrames(new Error(), 3, 3);
    const bytes = length === undefined ? '' : `${length} bytes at `;
    this.#options.touches(what, `${what}: ${bytes}0x${address.toString(16)}, at ${at}`);
  }
}

/** Whether any page that an access touches has a number other than 0. */
function isAny(pages: Uint8Array, address: number, length: number): boolean {
  const last = Math.min((address + length - 1) >>> PAGE_SHIFT, pages.length - 1);
  for (let page = address >>> PAGE_SHIFT; page <= last; page++) if (pages[page] !== 0) return true;
  return false;
}

function unknownMessage(): Uint8Array {
  const payload = new Uint8Array(MessageHeader.size);
  new DataView(payload.buffer).setUint32(MessageHeader.at.type, UNKNOWN_MESSAGE, true);
  return payload;
}

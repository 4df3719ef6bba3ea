// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The guest of an explored run: its flow on watched memory, at a seam that counts its steps, and
 * how it ended.
 */

import type { FirmwareEvent } from '../../src/events.ts';
import type { ServedBootResult as BootResult } from '../../src/services/boot-services.ts';
import { readBootResult } from '../flow/boot-result.ts';
import type { GuestInstance, MemoryWatch } from '../guests/guest-program.ts';
import { SavedAllocator } from '../guests/guest-pages.ts';
import { GuestCut } from '../guests/wasm-imports.ts';
import { TrustedGuest, type TrustedModule } from '../guests/trusted-guest.ts';
import { PAGE_SIZE, type Machine, type MemoryRange } from '../../src/machine.ts';
import type { PageAllocator } from '../../src/memory/allocator.ts';
import { TICKS_PER_MS } from '../simulator/base/clock.ts';
import type { Keeper, Saved } from '../simulator/base/snapshot.ts';
import { GuestCrash, GuestHang } from '../simulator/hypervisor/guest-end.ts';
import type { Finding } from '../simulator/audit/audit-findings.ts';
import type { Grant } from '../simulator/ledger/grants.ts';
import type { SimulatedMachine } from '../simulator/machine.ts';
import { contactsHeeded } from '../simulator/vmbus-server/inspection.ts';
import { withoutNumbers } from './finding-text.ts';
import type { Injector, Race } from './injector.ts';
import { Loader, type LoaderResult } from './loader.ts';
import { PageSource } from './memory/page-source.ts';
import { RaceHost } from './memory/race-host.ts';
import { RacePolicy } from './memory/race-policy.ts';
import { explainsTouch, explainsViolation } from './memory/race-excuses.ts';
import { ReadHistory, ReadWatch } from './memory/read-watch.ts';
import type { Fault, Plan } from './plan.ts';
import { PUSH_BOOT } from './push-flow.ts';
import { guestStack, stackFrames } from './stack-frame.ts';
import { steppedMachine, type Step } from './stepped-machine.ts';

/** A firmware of this tree that can be explored: of its flows those that it exports. */
export interface ExploredFirmware extends TrustedModule {
  boot(machine: Machine, options?: object): BootResult;
  /** Boots what the host pushes. */
  readonly bootPushed?: ExploredFirmware['boot'];
}

/** The guests of an exploration, each in its RAM of {@link MEMORY} bytes. */
export interface ExploredGuests {
  readonly boot: GuestInstance;
  /** Boots what the host pushes. */
  readonly push?: GuestInstance | undefined;
}

/** Firmware of this tree as guests. */
export function trustedGuests({
  boot,
  createDriver,
  bootPushed,
}: ExploredFirmware): ExploredGuests {
  return {
    boot: new TrustedGuest({ boot, ...(createDriver && { createDriver }) }, MEMORY),
    push: bootPushed && new TrustedGuest({ boot: bootPushed }, MEMORY),
  };
}

/** Whether accesses of this guest are told of: reads and races are places of such a one alone. */
export function canWatch({ watch, canWatch: can = true }: GuestInstance): boolean {
  return watch !== undefined && can;
}

/** Guest RAM: two boots whose memory is not given back fit beside each other. */
export const MEMORY = 3 << 20;

/**
 * Bounds of one guest. What every time limit of a boot comes to is far below them: a network that
 * never answers takes 490 000 pauses.
 */
export const LIMITS = {
  virtualTicks: 3600 * 1000 * TICKS_PER_MS,
  pauses: 2_000_000,
  seamCalls: 10_000_000,
};

/** `crash` and `hang`: the guest came to an end; `finding`: anything else that must not be. */
export type FindingKind = 'finding' | 'crash' | 'hang';

/** What a flow returns. */
export type Result = BootResult | LoaderResult;

/** Called with a finding: in general terms, in detail, its kind, and what the audit has found. */
export type Report = (cause: string, text?: string, kind?: FindingKind, found?: Finding) => void;

/** The pages of a range of a memory map, if it may be used. */
function mark(pages: Uint8Array, { address, length, type }: MemoryRange): void {
  if (type !== 'usable') return;
  pages.fill(1, Math.floor(address / PAGE_SIZE), Math.ceil((address + length) / PAGE_SIZE));
}

/** A boot under way: who stands between the guest and its machine. */
interface Boot {
  readonly map: readonly MemoryRange[];
  readonly seam: Machine & Saved;
  readonly watch: ReadWatch;
  readonly race: RaceHost | undefined;
  readonly memory: MemoryWatch | undefined;
  /** Watches an allocator. */
  readonly pages: (allocator: PageAllocator) => PageAllocator;
}

/** The guest of one run: each call of {@link run} is a boot on the same machine. */
export class Guest implements Saved {
  readonly #guest: GuestInstance;
  readonly #machine: SimulatedMachine;
  readonly #injector: Injector;
  readonly #history: ReadHistory;
  readonly #report: Report;
  /** Called each time that the guest has left the machine to somebody else for a while. */
  quiesced: ((memoryMap: readonly MemoryRange[]) => void) | undefined;
  /** Called with what the guest says. */
  says: ((event: FirmwareEvent) => void) | undefined;
  /** What there was when it began: contacts, and what an earlier owner has shared. */
  #contacts = 0;
  #earlier: ReadonlySet<Grant> = new Set();
  /** The boot of a loader, and the loader: what goes with a snapshot. */
  #loading: { readonly boot: Boot; readonly loader: Loader } | undefined;
  /** Called where a loader has nothing on the stack; in a snapshot it is not. */
  atBorder: (() => void) | undefined;

  constructor(
    guest: GuestInstance,
    machine: SimulatedMachine,
    injector: Injector,
    history: ReadHistory,
    report: Report,
  ) {
    this.#guest = guest;
    this.#machine = machine;
    this.#injector = injector;
    this.#history = history;
    this.#report = report;
  }

  /** For a snapshot at a border: all that may change. @throws SnapshotError as a driver does */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#contacts, this.#earlier], (v) => ([this.#contacts, this.#earlier] = v));
    keeper.put([this.#loading], (v) => ([this.#loading] = v));
    keeper.demand('the guest', this.#loading?.loader);
  }

  /** Whether the connection is an earlier owner's still: only the next contact ends that. */
  get inherits(): boolean {
    return (
      this.#earlier.size > 0 && contactsHeeded(this.#machine.vmbus.inspect()) === this.#contacts
    );
  }

  /** The host of the first race, if there is one: two cannot act at the same access. */
  #raceHost([race]: readonly Race[], watch: ReadWatch): RaceHost | undefined {
    if (race === undefined) return undefined;
    const { model, number } = race;
    const policy = new RacePolicy(model, number);
    const report = this.#report;
    const fired = (): readonly Fault[] => this.#injector.fired;
    return new RaceHost({
      ...{ machine: this.#machine, model, policy, watch },
      touches: (cause, text) => {
        if (!explainsTouch(fired())) report(cause, text);
      },
      violates: (layer, text) => {
        // Until the host is contacted, all on the bus is of an earlier owner
        if (layer !== 'hypervisor' && this.inherits) return;
        if (!explainsViolation(fired(), layer)) report(`the host sees: ${text}`, text);
      },
    });
  }

  /** What the guest may use. One that lies in RAM lies at its beginning, and all of it is its. */
  #given(map: readonly MemoryRange[], allocated: Uint8Array): readonly MemoryRange[] {
    const end = Math.max(0, ...this.#guest.image.map(({ address, length }) => address + length));
    if (end === 0) return map;
    const given = [{ address: 0, length: end, type: 'usable' } as const, ...map];
    for (const range of given) mark(allocated, range);
    return given;
  }

  /** Boot. Undefined if the guest crashed, hung or threw: then nothing else can be said of it. */
  run(
    flow: Plan['flow'],
    map: readonly MemoryRange[],
    watched: boolean,
    races: readonly Race[] = [],
  ): Result | undefined {
    const boot = this.#begin(map, watched, races);
    return this.#carry(boot, () => {
      this.#machine.partition.recover(LIMITS);
      // A guest may name a constructor before it asks for the memory that it has views of
      boot.memory?.install();
      return this.#start(flow, boot);
    });
  }

  /** The same from the border on that the machine has gone back to, with another plan. */
  goOn(): Result | undefined {
    const { boot, loader } = this.#loading!;
    boot.watch.reload();
    boot.memory?.install();
    return this.#carry(boot, () => loader.run());
  }

  #begin(map: readonly MemoryRange[], watched: boolean, races: readonly Race[]): Boot {
    const machine = this.#machine;
    const injector = this.#injector;
    this.#contacts = contactsHeeded(machine.vmbus.inspect());
    this.#earlier = new Set(machine.partition.grants.live());
    const allocated = new Uint8Array(MEMORY / PAGE_SIZE);
    const { counter } = injector;
    const given = this.#given(map, allocated);
    const watch = new ReadWatch(this.#history, machine, counter, allocated, given);
    const race = this.#raceHost(races, watch);
    const memory = watched ? this.#guest.watch?.(race ?? watch) : undefined;
    if (race !== undefined) race.memory = memory;
    const { partition } = machine;
    // Made once: there are thousands of exits in a run
    const atExit = (): void => {
      memory?.remove();
      watch.exit();
      race?.exit();
      injector.exit();
    };
    let done: Step = 'pause';
    const atStep = (): void => {
      injector.step(done);
      race?.step(done);
    };
    const listener = {
      exit: () => partition.guard(atExit),
      step: (what: Step) => {
        done = what;
        partition.guard(atStep);
      },
      refuses: (register: number) => !this.#guest.faultsEnd && injector.refuses(register),
      activity: () => injector.activity,
    };
    const seam = steppedMachine(machine, map, listener, () => {
      memory?.install();
      return machine.partition.ram.memory;
    });
    const pages = (allocator: PageAllocator): PageAllocator =>
      new PageSource(
        allocator,
        counter,
        allocated,
        (first, end) => machine.partition.grants.liveAt(first, end),
        (purpose, grant) => this.#freedEarly(purpose, grant),
      );
    return { map, seam, watch, race, memory, pages };
  }

  #carry({ watch, race, memory }: Boot, action: () => Result): Result | undefined {
    const { partition } = this.#machine;
    try {
      const result = action();
      partition.settle();
      const { ended } = partition;
      if (ended !== undefined || partition.failure !== undefined) throw ended;
      if (watch.outside !== undefined)
        this.#report('read outside of any allocation', watch.outside);
      if (watch.strayStore !== undefined)
        this.#report('written to memory that it was not given', watch.strayStore);
      return result;
    } catch (error) {
      // A mistake of the tool says nothing about the guest, which it was thrown through
      if (partition.failure !== undefined) throw partition.failure.error;
      this.#ended(error);
      return undefined;
    } finally {
      race?.stop();
      memory?.release();
      watch.stop();
    }
  }

  #start(flow: Plan['flow'], boot: Boot): Result {
    const { map, seam, pages } = boot;
    const cancel = (): boolean => this.#injector.cut;
    const guest = this.#guest;
    const events = this.says && { events: this.says };
    if (flow === 'loader' && guest.createDriver !== undefined) {
      const driver = guest.createDriver(seam, {
        ...{ allocator: pages(new SavedAllocator(map)), cancel },
        ...events,
      });
      const loader = new Loader(driver, cancel, (left) => this.quiesced?.(left));
      if (this.atBorder !== undefined) loader.atBorder = () => this.atBorder?.();
      this.#loading = { boot, loader };
      return loader.run();
    }
    const pushed = flow === 'push' ? PUSH_BOOT : {};
    const options = { pages, cancel, ...pushed, ...events };
    const { memory } = this.#machine.partition.ram;
    return readBootResult(guest.boot!(seam, options), { memory, memoryMap: map });
  }

  #freedEarly(purpose: string, grant: Grant): void {
    if (this.#injector.hostLied) return;
    // Where an earlier owner has shared memory the guest got it so, and gives it back so
    if (this.inherits && this.#earlier.has(grant)) return;
    const what = `${purpose} is freed while the host holds it (${grant.kind})`;
    this.#report(what, `${what}${whereOf(new Error())}`);
  }

  #ended(error: unknown): void {
    // Cut off in the middle by the plan: nothing else can be said of it
    if (error instanceof GuestCut) return;
    const after = `after step ${this.#injector.counter.counts.step} (${this.#injector.lastStep})`;
    if (error instanceof GuestHang) {
      this.#report(`guest hang: ${error.limit}`, `${error.message}, ${after}`, 'hang');
      return;
    }
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    const guest = error instanceof GuestCrash;
    const what = guest ? message : `${name}: ${message}`;
    const cause = `${guest ? 'guest crash' : 'exception'}: ${withoutNumbers(what)}`;
    const thrown = guest || !(error instanceof Error) ? '' : ` at ${stackFrames(error, 0, 2)}`;
    this.#report(cause, `${what}${whereOf(error) || thrown}, ${after}`, 'crash');
  }
}

/** Where a guest was that has called the tool, for the end of a text. */
function whereOf(error: unknown): string {
  const at = error instanceof Error ? guestStack(error, 3) : undefined;
  return at === undefined ? '' : ` at ${at}`;
}

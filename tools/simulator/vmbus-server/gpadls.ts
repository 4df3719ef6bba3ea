// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * GPADLs: put together from header and bodies, checked, entered in the ledger, torn down when the
 * device has let go (OpenVMM `handle_gpadl_*`, `gparange::parse`).
 */

import { PAGE_SIZE } from '../../../src/machine.ts';
import {
  GpadlBody,
  GpadlHeader,
  GpadlTeardown,
  GpaRange,
  VmbusVersion,
} from '../../../src/vmbus/protocol.ts';
import { hex } from '../base/hex.ts';
import type { Grant } from '../ledger/grants.ts';
import { Channel } from './channel.ts';
import type { Gpadl } from './channel.ts';
import type { ServerContext } from './context.ts';
import { gpadlCreated, gpadlTorndown } from './control-messages.ts';
import type { HostMessages } from './host-messages.ts';
import { inertDevice } from './inert-device.ts';
import type { Keeper } from '../base/snapshot.ts';

/** Most GPADLs of a connection, complete or not. */
export const GPADLS_MAX = 4096;

/** Most pages of all GPADLs of a connection together: 4 GiB. */
export const GPADL_PAGES_MAX = 1 << 20;

/** What GPADLs of channels that do not exist belong to. */
const NOBODY = inertDevice('', '');

/** What ends a GPADL, in words. */
const REVOKED_WITH = 'GPADL_TEARDOWN or UNLOAD';

/** A checked range. */
interface Range {
  readonly offset: number;
  readonly length: number;
  readonly pfns: number[];
}

export class Gpadls {
  readonly #context: ServerContext;
  readonly #messages: HostMessages;
  /** Incomplete ones by their ID alone: GPADL_BODY does not name a channel. */
  readonly #incomplete = new Map<number, Gpadl>();
  /** All of them by their ID, where a host looks at nothing else (knob `gpadlChecks`). */
  readonly #all = new Map<number, Gpadl>();
  readonly #shapeOnly: boolean;
  #count = 0;
  #pages = 0;

  constructor(context: ServerContext, messages: HostMessages) {
    this.#context = context;
    this.#messages = messages;
    this.#shapeOnly = context.services.profile.knobs.gpadlChecks === 'shape';
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#count, this.#pages], (v) => ([this.#count, this.#pages] = v));
    keeper.keep(this.#context, this.#messages, this.#incomplete, this.#all);
  }

  /** GPADL_HEADER for `channel`, undefined if the guest named one that does not exist. */
  header(view: DataView, channel: Channel | undefined): void {
    const channelId = view.getUint32(GpadlHeader.at.channel, true);
    const id = view.getUint32(GpadlHeader.at.gpadl, true);
    if (this.#shapeOnly) return this.#headerByShape(view, channelId, id, channel);
    const refused = this.#checkHeader(id, channel);
    if (refused !== undefined || channel === undefined) {
      this.#refuse(channelId, id, refused ?? 'no such channel');
      return;
    }

    // Room for the ranges; a rest below 8 bytes is cut off
    const length = view.getUint16(GpadlHeader.at.rangeLength, true) & ~7;
    const gpadl = newGpadl(id, channel, view.getUint16(GpadlHeader.at.rangeCount, true), length);
    // Bodies name no channel: only what needs some may not share its ID with another (OpenVMM)
    const whole = view.byteLength - GpadlHeader.at.range >= length;
    if (!whole && this.#incomplete.has(id)) {
      this.#refuse(channelId, id, 'another GPADL with this ID is incomplete');
      return;
    }
    gpadl.act = this.#context.services.events.cause;
    channel.gpadls.set(id, gpadl);
    if (!whole) this.#incomplete.set(id, gpadl);
    this.#count++;
    this.#fill(gpadl, view, GpadlHeader.at.range);
  }

  /** GPADL_BODY: an unknown ID is not answered, the host knows no channel for it. */
  body(view: DataView): void {
    const id = view.getUint32(GpadlBody.at.gpadl, true);
    const gpadl = this.#incomplete.get(id);
    if (gpadl === undefined) {
      this.#context.violation('vmbus', `GPADL_BODY for unknown GPADL ${hex(id)}`);
      return;
    }
    this.#fill(gpadl, view, GpadlBody.at.pfn);
  }

  /** GPADL_TEARDOWN of a GPADL of `channel`. Unknown ones are not answered. */
  teardown(view: DataView, channel: Channel | undefined): void {
    const id = view.getUint32(GpadlTeardown.at.gpadl, true);
    if (this.#shapeOnly) channel = this.#all.get(id)?.channel;
    const gpadl = channel?.gpadls.get(id);
    if (this.#shapeOnly && gpadl?.state === 'in-progress') return this.#torndown(gpadl);
    const reserved = channel?.opening?.reserved === true;
    if (channel === undefined || gpadl?.state !== 'accepted' || reserved) {
      const state = reserved ? 'of a reserved channel' : (gpadl?.state ?? 'unknown');
      this.#context.violation('vmbus', `GPADL_TEARDOWN of GPADL ${hex(id)}, which is ${state}`);
      return;
    }
    gpadl.state = 'tearing-down';
    if (this.#deviceLetsGo(gpadl)) return this.#torndown(gpadl);
    if (this.#context.services.profile.knobs.torndownWhileOpen !== 'immediate') return;
    // The guest is told, and the host goes on with the pages
    gpadl.state = 'torn-down';
    this.#messages.send(gpadlTorndown(gpadl.id));
  }

  /** The accepted GPADL of a channel if it has exactly one range. */
  grant(channel: Channel, id: number): Grant | undefined {
    const gpadl = this.#shapeOnly ? this.#all.get(id) : channel.gpadls.get(id);
    if (gpadl === undefined || gpadl.state === 'in-progress') return undefined;
    return gpadl.grants.length === 1 ? gpadl.grants[0] : undefined;
  }

  /** The device of a channel has closed or gone: answer what waited for that. */
  deviceClosed(channel: Channel): void {
    for (const gpadl of [...channel.gpadls.values()]) {
      if (gpadl.state === 'tearing-down') this.#torndown(gpadl);
      else if (gpadl.state === 'torn-down' && gpadl.lent === 0)
        this.#forget(gpadl, 'the close of its channel');
    }
  }

  /** A channel has opened with a GPADL for its rings, which may be that of another channel. */
  ringOpened(channel: Channel, id: number): void {
    const gpadl = this.#all.get(id);
    if (gpadl !== undefined && gpadl.channel !== channel) gpadl.lent++;
  }

  /** It has closed again. */
  ringClosed(channel: Channel, id: number): void {
    const gpadl = this.#all.get(id);
    if (gpadl === undefined || gpadl.channel === channel) return;
    if (--gpadl.lent === 0 && gpadl.state === 'torn-down') {
      this.#forget(gpadl, 'the close of the channel that had it');
    }
  }

  /** Those of channels that do not exist end without a message. */
  releaseForeign(by: string): void {
    for (const gpadl of [...this.#all.values()])
      if (gpadl.channel.device === NOBODY) this.#forget(gpadl, by);
  }

  /** All GPADLs of a channel end without a message: UNLOAD, INITIATE_CONTACT, release, reset. */
  release(channel: Channel, by: string): void {
    for (const gpadl of [...channel.gpadls.values()]) {
      if (gpadl.lent === 0) this.#forget(gpadl, by);
      else gpadl.state = 'torn-down';
    }
  }

  /** Whether a channel has the GPADL of another one for its rings. */
  get lent(): boolean {
    for (const { lent } of this.#all.values()) if (lent > 0) return true;
    return false;
  }

  #checkHeader(id: number, channel: Channel | undefined): string | undefined {
    if (channel === undefined) return 'no such channel';
    if (channel.opening?.reserved === true) return 'the channel is reserved';
    if (channel.gpadls.has(id)) return 'duplicate GPADL';
    if (this.#count >= GPADLS_MAX) return `more than ${GPADLS_MAX} GPADLs`;
    return undefined;
  }

  /**
   * GPADL_HEADER where the host looks at the shape alone (QEMU `handle_gpadl_header`): one range of
   * as many whole pages as there are numbers, and an ID that none has. All else is not answered.
   */
  #headerByShape(view: DataView, relid: number, id: number, channel: Channel | undefined): void {
    const { at, size } = GpadlHeader;
    const range = at.range;
    const count = view.getUint16(at.rangeCount, true);
    const length = view.getUint16(at.rangeLength, true);
    const pages = Math.floor((length - GpaRange.size) / 8);
    const fits = view.byteLength >= size + GpaRange.size;
    const shape =
      fits &&
      count === 1 &&
      pages >= 0 &&
      view.getUint32(range + GpaRange.at.byteOffset, true) === 0 &&
      view.getUint32(range + GpaRange.at.byteCount, true) === pages * PAGE_SIZE;
    if (!shape || this.#all.has(id) || this.#count >= GPADLS_MAX) {
      const why = shape ? 'its ID is taken' : 'it is not one range of whole pages';
      this.#context.violation('vmbus', `GPADL ${hex(id)} of channel ${relid} is ignored: ${why}`);
      return;
    }
    const owner = channel ?? new Channel(NOBODY, 0);
    if (channel === undefined) owner.id = relid;
    const gpadl = newGpadl(id, owner, count, GpaRange.size + pages * 8);
    gpadl.act = this.#context.services.events.cause;
    owner.gpadls.set(id, gpadl);
    this.#all.set(id, gpadl);
    this.#incomplete.set(id, gpadl);
    this.#count++;
    this.#fill(gpadl, view, range);
  }

  /** Take what a message carries; complete the GPADL if that was all. */
  #fill(gpadl: Gpadl, view: DataView, from: number): void {
    // Whole page numbers only, and none beyond the announced length
    const length = Math.min((view.byteLength - from) & ~7, gpadl.data.length - gpadl.filled);
    gpadl.data.set(new Uint8Array(view.buffer, view.byteOffset + from, length), gpadl.filled);
    gpadl.filled += length;
    if (gpadl.filled < gpadl.data.length) return;

    // Check the ranges
    if (this.#incomplete.get(gpadl.id) === gpadl) this.#incomplete.delete(gpadl.id);
    const ranges = this.#shapeOnly ? this.#trust(gpadl) : this.#parse(gpadl);
    if (typeof ranges === 'string') {
      this.#forget(gpadl, 'refused');
      if (this.#ignores(gpadl.rangeCount, undefined)) return;
      this.#refuse(gpadl.channel.id, gpadl.id, ranges);
      return;
    }
    const ignored = !this.#shapeOnly && this.#ignores(ranges.length, ranges[0]);
    if (ignored) return this.#forget(gpadl, 'ignored');
    this.#accept(gpadl, ranges);
  }

  /** QEMU answers nothing but one range of whole pages. */
  #ignores(count: number, range: Range | undefined): boolean {
    if (this.#context.services.profile.knobs.oddGpadls === 'accept') return false;
    const whole = range === undefined || (range.offset === 0 && range.length % PAGE_SIZE === 0);
    if (count === 1 && whole) return false;
    this.#context.violation('vmbus', 'a GPADL that is not one range of whole pages is ignored');
    return true;
  }

  /** The range of a GPADL whose pages nobody looks at; none if the ledger cannot hold it. */
  #trust(gpadl: Gpadl): Range[] {
    const view = new DataView(gpadl.data.buffer);
    const length = view.getUint32(GpaRange.at.byteCount, true);
    const pfns: number[] = [];
    for (let at: number = GpaRange.size; at < view.byteLength; at += 8) {
      const pfn = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
      if (this.#context.services.ram.has(pfn * PAGE_SIZE, PAGE_SIZE)) pfns.push(pfn);
    }
    return length > 0 && pfns.length * PAGE_SIZE === length ? [{ offset: 0, length, pfns }] : [];
  }

  #accept(gpadl: Gpadl, ranges: readonly Range[]): void {
    const { suffix } = this.#context.client;
    // Its last part has come: what has begun it names it
    this.#context.services.events.cause = gpadl.act;
    for (const range of ranges) {
      gpadl.grants.push(
        this.#context.services.grants.grant({
          kind: 'gpadl',
          purpose: `GPADL ${hex(gpadl.id)} of channel ${gpadl.channel.id}${suffix}`,
          access: 'write',
          pfns: range.pfns,
          offset: range.offset,
          length: range.length,
          grantedBy: 'GPADL_HEADER',
          revokedWith: REVOKED_WITH,
          channel: gpadl.channel.id,
          gpadl: gpadl.id,
        }),
      );
      this.#pages += range.pfns.length;
      this.#context.state.sharedMemory.add(range.pfns.length);
    }
    gpadl.state = 'accepted';
    this.#messages.send(gpadlCreated(gpadl.channel.id, gpadl.id, 0));
  }

  /** The ranges, or what is wrong with them. */
  #parse(gpadl: Gpadl): Range[] | string {
    const view = new DataView(gpadl.data.buffer);
    const ranges: Range[] = [];
    let pages = 0;
    let at = 0;
    const { emptyGpadls } = this.#context.services.profile.knobs;
    if (gpadl.rangeCount === 0 && emptyGpadls === 'refused') return 'no range';
    for (let i = 0; i < gpadl.rangeCount; i++) {
      if (at + GpaRange.size > view.byteLength) return `range ${i} is missing`;
      const length = view.getUint32(at + GpaRange.at.byteCount, true);
      const offset = view.getUint32(at + GpaRange.at.byteOffset, true);
      if (length === 0) return `range ${i} is empty`;
      if (offset >= PAGE_SIZE) return `range ${i} begins at ${offset} of a page`;
      const count = Math.ceil((offset + length) / PAGE_SIZE);
      at += GpaRange.size;
      if (at + count * 8 > view.byteLength) return `range ${i} has too few pages`;

      // OpenVMM lets the device find bad pages; here the ledger holds nothing but RAM
      const pfns: number[] = [];
      for (let page = 0; page < count; page++, at += 8) {
        const high = view.getUint32(at + 4, true);
        const low = view.getUint32(at, true);
        // A list of small integers, if they are that: floating-point ones are boxed at each use
        const pfn = high === 0 ? low : high * 2 ** 32 + low;
        if (!this.#context.services.ram.has(pfn * PAGE_SIZE, PAGE_SIZE))
          return `page 0x${pfn.toString(16)} is not RAM`;
        pfns.push(pfn);
      }
      pages += count;
      ranges.push({ offset, length, pfns });
    }
    if (this.#pages + pages > GPADL_PAGES_MAX) return `more than ${GPADL_PAGES_MAX} pages`;
    if (!this.#context.state.sharedMemory.fits(pages))
      return `more memory than the host lets a guest share`;
    return ranges;
  }

  #refuse(channel: number, id: number, why: string): void {
    this.#context.violation('vmbus', `GPADL ${hex(id)} of channel ${channel} refused: ${why}`);
    const { failureStatus } = this.#context.services.profile.knobs;
    this.#messages.send(gpadlCreated(channel, id, failureStatus));
  }

  /** Whether nothing on the host's side uses the pages any more. */
  #deviceLetsGo(gpadl: Gpadl): boolean {
    const { channel } = gpadl;
    if (gpadl.lent > 0) return false;
    if (channel.opening === undefined || channel.rescinded) return true;
    // A host reads in order: the revoke that the guest has sent before lies in the ring
    channel.opening.rings.readAll();
    if (channel.opening.ringGpadl !== gpadl.id) return channel.device.gpadlTeardown(gpadl.id);
    return false;
  }

  #torndown(gpadl: Gpadl): void {
    this.#forget(gpadl, 'GPADL_TEARDOWN');
    if (this.#silent(gpadl.channel)) return;
    this.#messages.send(gpadlTorndown(gpadl.id));
  }

  /** Old hosts let go of a closed channel's GPADLs without a word. */
  #silent({ closedAt }: Channel): boolean {
    const { teardownAfterClose } = this.#context.services.profile.knobs;
    return teardownAfterClose !== 'answered' && closedAt > 0 && closedAt < VmbusVersion.V4_0;
  }

  #forget(gpadl: Gpadl, by: string): void {
    for (const grant of gpadl.grants) {
      this.#context.services.grants.revoke(grant, by);
      this.#pages -= grant.pfns.length;
      this.#context.state.sharedMemory.remove(grant.pfns.length);
    }
    gpadl.channel.gpadls.delete(gpadl.id);
    if (this.#incomplete.get(gpadl.id) === gpadl) this.#incomplete.delete(gpadl.id);
    this.#all.delete(gpadl.id);
    this.#count--;
  }
}

/** A GPADL of which nothing has come yet. */
function newGpadl(id: number, channel: Channel, rangeCount: number, length: number): Gpadl {
  const data = new Uint8Array(length);
  const state = 'in-progress';
  return { id, channel, state, rangeCount, data, filled: 0, grants: [], lent: 0, act: undefined };
}

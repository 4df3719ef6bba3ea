// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A disk on the wire: ATA over Ethernet (AoE specification, revision 11). It knows no IP; a boot
 * loader's name for it is `aoe:e0.0`. What is written stays until the network ends: the bytes that
 * it was given are never changed.
 */

import type { NetworkContext } from '../context.ts';
import type { Frame } from '../frame.ts';
import { NetworkOptionError, whole } from '../options.ts';
import { ETH, ETH_PADDED } from '../protocol.ts';
import type { SwitchEntry, SwitchPort } from '../switch.ts';
import type { Keeper } from '../../base/snapshot.ts';

/** What is on the wire. */
export interface AoeOptions {
  /** Whole sectors of 512 bytes. */
  readonly disk: Uint8Array;
  /** Its address: shelf (0 to 65534) and slot (0 to 254). Default 0 and 0. */
  readonly shelf?: number;
  readonly slot?: number;
}

const ETHERTYPE = 0x88a2;
const SECTOR = 512;

/** Sectors that a frame has room for. */
const SECTORS_MAX = 2;

/** Requests that may be on their way to it, as it says. */
const BUFFERS = 16;

/** The common header (section 2), and the arguments of its two commands (sections 3.1 and 3.2). */
const At = {
  VERSION_FLAGS: ETH.end,
  ERROR: ETH.end + 1,
  SHELF: ETH.end + 2,
  SLOT: ETH.end + 4,
  COMMAND: ETH.end + 5,
  COMMAND_END: ETH.end + 10,
  ATA_FLAGS: ETH.end + 10,
  ATA_ERROR: ETH.end + 11,
  ATA_COUNT: ETH.end + 12,
  ATA_COMMAND: ETH.end + 13,
  ATA_LBA: ETH.end + 14,
  ATA_DATA: ETH.end + 22,
  CONFIG_BUFFERS: ETH.end + 10,
  CONFIG_FIRMWARE: ETH.end + 12,
  CONFIG_SECTORS: ETH.end + 14,
  CONFIG_COMMAND: ETH.end + 15,
  CONFIG_LENGTH: ETH.end + 16,
  CONFIG_STRING: ETH.end + 18,
} as const;

const VERSION = 1;
const Flag = { RESPONSE: 0x08, ERROR: 0x04 } as const;
const Command = { ATA: 0, CONFIG: 1 } as const;
const AoeError = { COMMAND: 1, ARGUMENT: 2, CONFIG_PRESENT: 4, VERSION: 5 } as const;
/** Of the configuration string, which is empty: compare it, compare its beginning; 0 reads it. */
const ConfigCommand = { TEST: 1, PREFIX: 2 } as const;
const ANY_SHELF = 0xffff;
const ANY_SLOT = 0xff;

const AtaFlag = { EXTENDED: 0x40, WRITE: 0x01 } as const;
const Ata = {
  READ: 0x20,
  READ_EXTENDED: 0x24,
  WRITE: 0x30,
  WRITE_EXTENDED: 0x34,
  CHECK_POWER: 0xe5,
  FLUSH: 0xe7,
  FLUSH_EXTENDED: 0xea,
  IDENTIFY: 0xec,
} as const;
const AtaStatus = { READY: 0x40, ERROR: 0x01 } as const;
const AtaError = { ABORTED: 0x04, NO_SUCH_ADDRESS: 0x10 } as const;

/** Words of IDENTIFY DEVICE (ATA/ATAPI-6, 8.15): LBA, 48-bit addresses, and how many sectors. */
const Identify = { SERIAL: 10, FIRMWARE: 23, MODEL: 27, LBA: 49, SECTORS: 60, SETS: 83 } as const;
const IDENTIFY_ENABLED = 86;
const IDENTIFY_SECTORS_48 = 100;
const HAS_LBA = 0x0200;
const HAS_LBA_48 = 0x0400;
const IS_VALID = 0x4000;
const LBA_28_MAX = 0x0fffffff;

/** Check options. @throws NetworkOptionError */
export function planAoe({ disk, shelf, slot }: AoeOptions): Required<AoeOptions> {
  if (disk.length === 0 || disk.length % SECTOR !== 0) {
    const text = `${disk.length} bytes are no whole sectors of ${SECTOR}`;
    throw new NetworkOptionError('aoe.disk', text);
  }
  return {
    disk,
    shelf: whole('aoe.shelf', shelf, 0, 0, ANY_SHELF - 1),
    slot: whole('aoe.slot', slot, 0, 0, ANY_SLOT - 1),
  };
}

export class AoeTarget implements SwitchPort {
  readonly #context: NetworkContext;
  readonly #switch: SwitchEntry;
  readonly #mac: Uint8Array;
  readonly #plan: Required<AoeOptions>;
  readonly #sectors: number;
  readonly #written = new Map<number, Uint8Array>();

  constructor(
    context: NetworkContext,
    to: SwitchEntry,
    mac: Uint8Array,
    plan: Required<AoeOptions>,
  ) {
    this.#context = context;
    this.#switch = to;
    this.#mac = mac;
    this.#plan = plan;
    this.#sectors = plan.disk.length / SECTOR;
    to.attach(this);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.keep(this.#context, this.#switch, this.#mac, this.#written);
  }

  output(frame: Frame): void {
    const reason = this.#refusal(frame);
    if (reason !== undefined) {
      this.#context.drop(reason, frame);
      return;
    }

    // The answer is the request, with what is new in it
    const { bytes, view } = frame;
    const asked = bytes[At.VERSION_FLAGS]! >> 4;
    bytes[At.ERROR] = 0;
    view.setUint16(At.SHELF, this.#plan.shelf);
    bytes[At.SLOT] = this.#plan.slot;
    const error = asked === VERSION ? this.#do(frame) : AoeError.VERSION;
    bytes[At.ERROR] = error;
    bytes[At.VERSION_FLAGS] = (VERSION << 4) | Flag.RESPONSE | (error === 0 ? 0 : Flag.ERROR);
    bytes.copyWithin(ETH.destination, ETH.source, ETH.source + 6);
    bytes.set(this.#mac, ETH.source);
    if (frame.length < ETH_PADDED) {
      bytes.fill(0, frame.length, ETH_PADDED);
      frame.length = ETH_PADDED;
    }
    this.#switch.input(frame, this);
  }

  /** Why a frame is none for this target. */
  #refusal({ bytes, view, length }: Frame) {
    if (length < ETH.end || view.getUint16(ETH.type) !== ETHERTYPE) return 'unknown-protocol';
    const isGroup = (bytes[ETH.destination]! & 1) !== 0;
    const isOurs = this.#mac.every((byte, i) => bytes[ETH.destination + i] === byte);
    if (!isGroup && !isOurs) return 'other-station';
    const isRequest = (bytes[At.VERSION_FLAGS]! & Flag.RESPONSE) === 0;
    if (length < At.COMMAND_END || !isRequest) return 'bad-aoe';
    const shelf = view.getUint16(At.SHELF);
    const slot = bytes[At.SLOT];
    const { shelf: ownShelf, slot: ownSlot } = this.#plan;
    const isShelf = shelf === ownShelf || shelf === ANY_SHELF;
    if (!isShelf || (slot !== ownSlot && slot !== ANY_SLOT)) return 'other-address';
    return this.#isOtherString(bytes, view, length) ? 'other-config' : undefined;
  }

  /** Who asks for another configuration string than ours is asking somebody else (section 3.2). */
  #isOtherString(bytes: Uint8Array, view: DataView, length: number): boolean {
    if (bytes[At.COMMAND] !== Command.CONFIG || length < At.CONFIG_STRING) return false;
    const command = bytes[At.CONFIG_COMMAND]! & 0xf;
    const isCompared = command === ConfigCommand.TEST || command === ConfigCommand.PREFIX;
    return isCompared && view.getUint16(At.CONFIG_LENGTH) !== 0;
  }

  /** Do what is asked for. Returns 0, or the error. */
  #do(frame: Frame): number {
    switch (frame.bytes[At.COMMAND]) {
      case Command.ATA:
        if (frame.length < At.ATA_DATA) return AoeError.ARGUMENT;
        this.#ata(frame);
        return 0;
      case Command.CONFIG:
        return this.#config(frame);
      default:
        return AoeError.COMMAND;
    }
  }

  #config(frame: Frame): number {
    const { bytes, view } = frame;
    if (frame.length < At.CONFIG_STRING) return AoeError.ARGUMENT;
    const command = bytes[At.CONFIG_COMMAND]! & 0xf;
    if (command > ConfigCommand.PREFIX) return AoeError.CONFIG_PRESENT;
    view.setUint16(At.CONFIG_BUFFERS, BUFFERS);
    view.setUint16(At.CONFIG_FIRMWARE, 1);
    bytes[At.CONFIG_SECTORS] = SECTORS_MAX;
    bytes[At.CONFIG_COMMAND] = (VERSION << 4) | command;
    view.setUint16(At.CONFIG_LENGTH, 0);
    frame.length = At.CONFIG_STRING;
    return 0;
  }

  /** What the drive does; its own errors are in its registers. */
  #ata(frame: Frame): void {
    const { bytes } = frame;
    const command = bytes[At.ATA_COMMAND]!;
    const count = bytes[At.ATA_COUNT]!;
    const asked = frame.length;
    frame.length = At.ATA_DATA;
    let error = 0;
    switch (command) {
      case Ata.IDENTIFY:
        bytes.set(this.#identity(), At.ATA_DATA);
        frame.length += SECTOR;
        break;
      case Ata.READ:
      case Ata.READ_EXTENDED:
        error = this.#range(frame, count);
        if (error !== 0) break;
        for (let i = 0; i < count; i++) {
          bytes.set(this.#sector(lbaOf(bytes) + i), At.ATA_DATA + i * SECTOR);
        }
        frame.length += count * SECTOR;
        break;
      case Ata.WRITE:
      case Ata.WRITE_EXTENDED:
        error = this.#range(frame, count);
        if (asked < At.ATA_DATA + count * SECTOR) error ||= AtaError.ABORTED;
        for (let i = 0; i < count && error === 0; i++) {
          const at = At.ATA_DATA + i * SECTOR;
          this.#written.set(lbaOf(bytes) + i, bytes.slice(at, at + SECTOR));
        }
        break;
      case Ata.CHECK_POWER:
        bytes[At.ATA_COUNT] = 0xff;
        break;
      case Ata.FLUSH:
      case Ata.FLUSH_EXTENDED:
        break;
      default:
        error = AtaError.ABORTED;
    }
    bytes[At.ATA_ERROR] = error;
    bytes[At.ATA_COMMAND] = AtaStatus.READY | (error === 0 ? 0 : AtaStatus.ERROR);
  }

  /** Whether sectors can be transferred: 0, or the drive's error. */
  #range({ bytes }: Frame, count: number): number {
    if (count === 0 || count > SECTORS_MAX) return AtaError.ABORTED;
    const isLong = (bytes[At.ATA_FLAGS]! & AtaFlag.EXTENDED) !== 0;
    if (!isLong) bytes.set([bytes[At.ATA_LBA + 3]! & 0xf, 0, 0], At.ATA_LBA + 3);
    return lbaOf(bytes) + count > this.#sectors ? AtaError.NO_SUCH_ADDRESS : 0;
  }

  #sector(lba: number): Uint8Array {
    const at = lba * SECTOR;
    return this.#written.get(lba) ?? this.#plan.disk.subarray(at, at + SECTOR);
  }

  #identity(): Uint8Array {
    const words = new DataView(new ArrayBuffer(SECTOR));
    const word = (at: number, value: number): void => words.setUint16(at * 2, value, true);
    const text = (at: number, length: number, value: string): void => {
      // The first character of a word is its upper half
      for (let i = 0; i < length; i++) {
        const code = i < value.length ? value.charCodeAt(i) : 0x20;
        words.setUint8(at * 2 + (i ^ 1), code);
      }
    };
    word(0, 0x0040);
    text(Identify.SERIAL, 20, `e${this.#plan.shelf}.${this.#plan.slot}`);
    text(Identify.FIRMWARE, 8, '1');
    text(Identify.MODEL, 40, 'hypxe AoE disk');
    word(Identify.LBA, HAS_LBA);
    words.setUint32(Identify.SECTORS * 2, Math.min(this.#sectors, LBA_28_MAX), true);
    word(Identify.SETS, IS_VALID | HAS_LBA_48);
    word(IDENTIFY_ENABLED, HAS_LBA_48);
    words.setBigUint64(IDENTIFY_SECTORS_48 * 2, BigInt(this.#sectors), true);
    return new Uint8Array(words.buffer);
  }
}

/** The first sector, from six bytes. */
function lbaOf(bytes: Uint8Array): number {
  return bytes.subarray(At.ATA_LBA, At.ATA_LBA + 6).reduceRight((sum, byte) => sum * 256 + byte, 0);
}

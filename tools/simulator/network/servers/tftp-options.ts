// SPDX-License-Identifier: GPL-2.0-or-later

/** What the TFTP server can be told to do, and what it agrees on with a client. */

import { Port, TFTP_BLOCK_DEFAULT, TFTP_HEADER } from '../../../../src/net/protocol.ts';
import { TICKS_PER_MS } from '../../base/clock.ts';
import { plainPath } from '../files.ts';
import { choice, NetworkOptionError, whole } from '../options.ts';
import { UDP_PAYLOAD_MAX } from '../protocol.ts';

/** Habits of TFTP servers that were met in the field, each with what it is. */
export const TFTP_HABITS = {
  'error-0': 'options are answered with error 0',
  'error-4': 'options are answered with error 4',
  'error-8': 'options are answered with error 8',
  'ignore-options': 'options are ignored, as by a server of 1992',
  deaf: 'requests with options are not answered',
  timeout: 'an option is granted that was not asked for: timeout',
  padding: 'blanks and NULs around the values of options',
  'tsize-0': 'the size of the file is said to be 0',
  'tsize-minus-1': 'the size of the file is said to be -1',
  'tsize-small': 'the size of the file is said to be smaller than it is',
  'tsize-large': 'the size of the file is said to be larger than it is',
  'wrap-to-1': 'block 65535 is followed by block 1',
  'no-last-block': 'the empty block behind a last one that is full is never sent',
  'second-address': 'answers come from another address of the server',
  slow: 'the first answer takes 30 seconds',
  'late-start': 'nobody listens when the first request comes',
  restart: 'the server is gone after 20 blocks, and there again',
  stall: 'the first transfer stops after 20 blocks',
  'break-off': 'the first transfer ends with an error after 20 blocks',
} as const satisfies Record<string, string>;

export type TftpHabit = keyof typeof TFTP_HABITS;

/** The block after which a transfer breaks, the time of a slow answer, and a size that is wrong. */
export const BREAK_BLOCK = 20;
export const SLOW_TICKS = 30_000 * TICKS_PER_MS;
export const WRONG_SIZE = 1000;

/** Options of the TFTP server. */
export interface TftpServerOptions {
  /**
   * Address of the server if it is not the DHCP server's: another one of the network, or one
   * outside that is reached through the gateway.
   */
  readonly address?: string;
  /** Port for requests (default 69). */
  readonly port?: number;
  /** Transfers from a port of their own (RFC 1350), or from the port for requests (dnsmasq can). */
  readonly transferPort?: 'new' | 'same';
  /** Options of clients: answered, ignored as by a server of 1992, or refused with error 8. */
  readonly options?: 'accept' | 'ignore' | 'refuse';
  /** Largest block and window that the OACK grants. Blocks are at most 1468: no fragments. */
  readonly maxBlockSize?: number;
  readonly maxWindowSize?: number;
  /** Time to the first retransmission in ticks (default 1 s), if the client asks for none. */
  readonly timeoutTicks?: number;
  /** Retransmissions without any progress before the transfer is given up. */
  readonly maxTries?: number;
  /** Transfers at one time; more are refused. */
  readonly maxTransfers?: number;
  /** What it does as servers in the field do. */
  readonly habits?: readonly TftpHabit[];
  readonly misbehaviour?: TftpMisbehaviour;
}

/** Faults of a server that only tests want. Block numbers count from 1 and do not wrap. */
export interface TftpMisbehaviour {
  /** No answer to any request. */
  readonly silent?: boolean;
  /** Error for a file, by its plain path: code and text. */
  readonly errors?: Readonly<Record<string, { readonly code: number; readonly text: string }>>;
  /** In front of each block another one with inverted data comes from a wrong port. */
  readonly wrongPort?: boolean;
  /** This block is one byte shorter, so that it looks like the last one. */
  readonly shortBlock?: number;
  /** This block is 4 bytes longer than agreed. Blocks are at most 1464 bytes then. */
  readonly oversizedBlock?: number;
  /** Every nth block is sent twice. */
  readonly duplicateEvery?: number;
  /** Silence after this block; 0: after the OACK. */
  readonly stopAfterBlock?: number;
  /** Bytes by which the size in the OACK is wrong. */
  readonly tsizeError?: number;
}

/** Complete options. */
export interface TftpPlan {
  readonly port: number;
  readonly samePort: boolean;
  readonly options: 'accept' | 'ignore' | 'refuse';
  readonly maxBlockSize: number;
  readonly maxWindowSize: number;
  readonly timeoutTicks: number;
  readonly maxTries: number;
  readonly maxTransfers: number;
  readonly habits: ReadonlySet<TftpHabit>;
  readonly silent: boolean;
  readonly errors: ReadonlyMap<string, { readonly code: number; readonly text: string }>;
  readonly wrongPort: boolean;
  /** 0: no such block. */
  readonly shortBlock: number;
  readonly oversizedBlock: number;
  readonly duplicateEvery: number;
  readonly stopAfterBlock: number;
  readonly tsizeError: number;
}

/** Largest block of a frame, and by how much an oversized one is longer. */
export const BLOCK_SIZE_MAX = UDP_PAYLOAD_MAX - TFTP_HEADER;
export const OVERSIZE = 4;

const BLOCKS_MAX = 2 ** 31;
const WINDOW_MAX = 1024;
const TIMEOUT_MAX = 255 * 1000 * TICKS_PER_MS;

/** @throws NetworkOptionError */
export function planTftp(options: TftpServerOptions): TftpPlan {
  const faults = options.misbehaviour ?? {};
  const block = (name: 'shortBlock' | 'oversizedBlock' | 'duplicateEvery'): number =>
    whole(`tftp.misbehaviour.${name}`, faults[name], 0, 1, BLOCKS_MAX);
  const oversizedBlock = block('oversizedBlock');
  const blockLimit = oversizedBlock === 0 ? BLOCK_SIZE_MAX : BLOCK_SIZE_MAX - OVERSIZE;
  return {
    port: whole('tftp.port', options.port, Port.TFTP, 1, 0xffff),
    samePort: choice('tftp.transferPort', options.transferPort, 'new', ['new', 'same']) === 'same',
    options: choice('tftp.options', options.options, 'accept', ['accept', 'ignore', 'refuse']),
    maxBlockSize: Math.min(
      blockLimit,
      whole('tftp.maxBlockSize', options.maxBlockSize, BLOCK_SIZE_MAX, 8, BLOCK_SIZE_MAX),
    ),
    maxWindowSize: whole('tftp.maxWindowSize', options.maxWindowSize, 64, 1, WINDOW_MAX),
    timeoutTicks: whole(
      'tftp.timeoutTicks',
      options.timeoutTicks,
      1000 * TICKS_PER_MS,
      1,
      TIMEOUT_MAX,
    ),
    maxTries: whole('tftp.maxTries', options.maxTries, 5, 0, 1000),
    maxTransfers: whole('tftp.maxTransfers', options.maxTransfers, 16, 1, 256),
    habits: new Set(
      (options.habits ?? []).map((habit) =>
        choice('tftp.habits', habit, habit, Object.keys(TFTP_HABITS) as TftpHabit[]),
      ),
    ),
    silent: faults.silent ?? false,
    errors: planErrors(faults.errors ?? {}),
    wrongPort: faults.wrongPort ?? false,
    shortBlock: block('shortBlock'),
    oversizedBlock,
    duplicateEvery: block('duplicateEvery'),
    stopAfterBlock: whole(
      'tftp.misbehaviour.stopAfterBlock',
      faults.stopAfterBlock,
      Infinity,
      0,
      BLOCKS_MAX,
    ),
    tsizeError: whole(
      'tftp.misbehaviour.tsizeError',
      faults.tsizeError,
      0,
      -BLOCKS_MAX,
      BLOCKS_MAX,
    ),
  };
}

function planErrors(errors: NonNullable<TftpMisbehaviour['errors']>): TftpPlan['errors'] {
  const plan = new Map<string, { readonly code: number; readonly text: string }>();
  for (const [path, error] of Object.entries(errors)) {
    const option = `tftp.misbehaviour.errors[${path}]`;
    const plain = plainPath(path);
    if (plain === undefined) throw new NetworkOptionError(option, 'the path has a ..');
    whole(`${option}.code`, error.code, 0, 0, 0xffff);
    plan.set(plain, error);
  }
  return plan;
}

/** What server and client agreed on. */
export interface TftpTerms {
  readonly blockSize: number;
  readonly windowSize: number;
  readonly timeoutTicks: number;
  /** Contents of the OACK; undefined: there is none. */
  readonly oack: ReadonlyMap<string, string> | undefined;
}

/**
 * Answer the options of a client: blksize (RFC 2348), timeout and tsize (RFC 2349), windowsize (RFC
 * 7440). An option that is unknown or has a value out of range is left out of the OACK (RFC 2347).
 */
export function agree(
  plan: TftpPlan,
  options: ReadonlyMap<string, string>,
  size: number,
): TftpTerms {
  let blockSize = TFTP_BLOCK_DEFAULT;
  let windowSize = 1;
  let { timeoutTicks } = plan;
  const oack = new Map<string, string>();
  const { habits } = plan;
  if (plan.options === 'accept' && !habits.has('ignore-options')) {
    for (const [name, text] of options) {
      if (name === 'blksize' && inRange(text, 8, 65464)) {
        blockSize = Math.min(Number(text), plan.maxBlockSize);
        oack.set(name, String(blockSize));
      } else if (name === 'windowsize' && inRange(text, 1, 65535)) {
        windowSize = Math.min(Number(text), plan.maxWindowSize);
        oack.set(name, String(windowSize));
      } else if (name === 'timeout' && inRange(text, 1, 255)) {
        timeoutTicks = Number(text) * 1000 * TICKS_PER_MS;
        oack.set(name, text);
      } else if (name === 'tsize' && inRange(text, 0, Number.MAX_SAFE_INTEGER)) {
        oack.set(name, String(saidSize(habits, Math.max(0, size + plan.tsizeError))));
      }
    }
  }
  if (habits.has('timeout') && oack.size > 0 && !oack.has('timeout')) oack.set('timeout', '6');
  if (habits.has('padding')) for (const [name, value] of oack) oack.set(name, ` ${value} \0\0`);
  return { blockSize, windowSize, timeoutTicks, oack: oack.size === 0 ? undefined : oack };
}

/** What the server says of the size of a file. */
function saidSize(habits: ReadonlySet<TftpHabit>, size: number): number {
  if (habits.has('tsize-0')) return 0;
  if (habits.has('tsize-minus-1')) return -1;
  if (habits.has('tsize-small')) return Math.max(1, size - WRONG_SIZE);
  return habits.has('tsize-large') ? size + WRONG_SIZE : size;
}

function inRange(text: string, least: number, most: number): boolean {
  return /^\d{1,16}$/.test(text) && Number(text) >= least && Number(text) <= most;
}

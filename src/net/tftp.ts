// SPDX-License-Identifier: GPL-2.0-or-later

/** The TFTP client: reads one file of a server into a sink. */

import { quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DownloadSink } from './download.ts';
import type { NetworkInterface } from './network-interface.ts';
import {
  Ipv4Header,
  TFTP_BLOCK_MAX,
  TFTP_BLOCK_MIN,
  TFTP_HEADER,
  TFTP_REQUEST_MAX,
  UdpHeader,
} from './protocol.ts';
import { readRequest } from './tftp-packet.ts';
import type { TftpValues } from './tftp-packet.ts';
import { Transfer } from './tftp-transfer.ts';
import type { TftpResult, TransferOptions } from './tftp-transfer.ts';
import { HypxeError } from '../error.ts';

/** Blocks that the server may send before one is acknowledged. */
export const TFTP_WINDOW = 4;
export const TFTP_WINDOW_MAX = 64;

/** Ephemeral ports (RFC 6335, 6). */
const PORT_FIRST = 49152;
const PORT_COUNT = 16384;

/** What can be asked for. All times in milliseconds. */
export interface TftpOptions extends TransferOptions {
  /** Bytes in a block, 8 to what the MTU holds (the default): fragments are not put together. */
  readonly blockSize?: number;
  /** 1 (no such option is sent) to {@link TFTP_WINDOW_MAX}. Default {@link TFTP_WINDOW}. */
  readonly windowSize?: number;
}

/**
 * Read `file` of `server` into `sink`. `random` gives u32s (local port).
 *
 * A server that refuses the options is asked once more without them.
 *
 * @throws HypxeError a TftpError, a NetError, or what the sink throws.
 */
export function tftp(
  net: NetworkInterface,
  random: () => number,
  server: Ipv4Address,
  file: string,
  sink: DownloadSink,
  limits: TftpOptions = {},
): TftpResult {
  // Options in iPXE's order, with that of RFC 7440 behind
  const room = net.mtu - Ipv4Header.size - UdpHeader.size - TFTP_HEADER;
  const largest = Math.min(room, TFTP_BLOCK_MAX);
  const blockSize = clamp(limits.blockSize ?? largest, TFTP_BLOCK_MIN, largest);
  const windowSize = clamp(limits.windowSize ?? TFTP_WINDOW, 1, TFTP_WINDOW_MAX);
  const ask: TftpValues = new Map([
    ['blksize', blockSize],
    ['tsize', 0],
  ]);
  if (windowSize > 1) ask.set('windowsize', windowSize);
  const length = 2 + readRequest(file, ask).length;
  if (file === '' || /[^\x01-\xff]/.test(file) || length > TFTP_REQUEST_MAX)
    throw new HypxeError('BadFileName', `cannot ask for ${quoted(file)}`);

  // Ask with options, and without if the server does not want them
  net.resolve(server);
  const port = random() >>> 0;
  const read = (from: number, options: TftpValues): TftpResult | undefined =>
    new Transfer(net, server, file, PORT_FIRST + (from % PORT_COUNT), options, sink, limits).run();
  const result = read(port, ask);
  if (result !== undefined) return result;
  net.log.warning('TFTP', net.name, 'server refuses options, asking without');
  return read(port + 1, new Map())!;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(Math.floor(value), low), high);
}

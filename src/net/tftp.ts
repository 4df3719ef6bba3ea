// SPDX-License-Identifier: GPL-2.0-or-later

/** The TFTP client: reads one file of a server into a sink. */

import { quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { DownloadSink } from './download.ts';
import type { PlainInterface } from './interface.ts';
import {
  Ipv4Header,
  Port,
  TFTP_BLOCK_MAX,
  TFTP_BLOCK_MIN,
  TFTP_HEADER,
  TFTP_REQUEST_MAX,
  UdpHeader,
} from './protocol.ts';
import { readRequest } from './tftp-packet.ts';
import type { TftpValues } from './tftp-packet.ts';
import { TFTP_PATIENCE } from './tftp-options.ts';
import type { TftpResult, TransferOptions } from './tftp-options.ts';
import { Transfer } from './tftp-transfer.ts';
import { HypxeError } from '../error.ts';
import { TICKS_PER_MS } from '../time.ts';

/** Blocks that the server may send before one is acknowledged. */
export const TFTP_WINDOW = 4;
export const TFTP_WINDOW_MAX = 64;

/** Ephemeral ports (RFC 6335, 6). */
const PORT_FIRST = 49152;
const PORT_COUNT = 16384;

/** What can be asked for. All times in milliseconds. */
export interface TftpOptions extends TransferOptions {
  /** Bytes in a block, 8 to what the MTU holds (the default). */
  readonly blockSize?: number;
  /** 1 (no such option is sent) to {@link TFTP_WINDOW_MAX}. Default {@link TFTP_WINDOW}. */
  readonly windowSize?: number;
}

/**
 * Read `file` of `server` into `sink`. `random` gives u32s (local port).
 *
 * A transfer that breaks may be begun again by a part, with a port of its own, so that nothing late
 * is taken for an answer.
 *
 * @throws HypxeError a TftpError, a NetError, or what the sink throws.
 */
export function tftp(
  net: PlainInterface,
  random: () => number,
  server: Ipv4Address,
  file: string,
  sink: DownloadSink,
  options: TftpOptions = {},
): TftpResult {
  // Options in iPXE's order, with that of RFC 7440 behind
  const room = net.mtu - Ipv4Header.size - UdpHeader.size - TFTP_HEADER;
  const largest = Math.min(room, TFTP_BLOCK_MAX);
  const blockSize = clamp(options.blockSize ?? largest, TFTP_BLOCK_MIN, largest);
  const windowSize = clamp(options.windowSize ?? TFTP_WINDOW, 1, TFTP_WINDOW_MAX);
  let ask: TftpValues = new Map([
    ['blksize', blockSize],
    ['tsize', 0],
  ]);
  if (windowSize > 1) ask.set('windowsize', windowSize);
  const length = 2 + readRequest(file, ask).length;
  if (file === '' || /[^\x01-\xff]/.test(file) || length > TFTP_REQUEST_MAX)
    throw new HypxeError('BadFileName', `cannot ask for ${quoted(file)}`);

  net.resolve(server);
  const { port: serverPort = Port.TFTP, totalMs = TFTP_PATIENCE.totalMs } = options;
  const deadline = net.clock.now() + totalMs * TICKS_PER_MS;
  const ends: number[] = [];
  let number = random() >>> 0;
  for (let transfers = 1; ; transfers++) {
    const port = PORT_FIRST + (number++ % PORT_COUNT);
    const request = { server, serverPort, file, port, ask, sink, deadline, options, ends };
    const transfer = new Transfer(net, request);
    try {
      return transfer.run();
    } catch (error) {
      const { length } = transfer.result;
      const again = net.parts.restartTransfer?.(net, error, length, ask, transfers);
      if (!again) throw error;
      ask = again;
    }
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(Math.floor(value), low), high);
}

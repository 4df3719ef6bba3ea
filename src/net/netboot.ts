// SPDX-License-Identifier: GPL-2.0-or-later

/** The network boot of one device: lease, file. */

import { bootTarget } from './boot-target.ts';
import type { BootOverride } from './boot-target.ts';
import { ipv4Text, macText, quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import type { NetDevice } from './device.ts';
import { dhcp } from './dhcp.ts';
import type { DhcpOptions } from './dhcp.ts';
import type { DownloadSink } from './download.ts';
import { dropsText } from './drops.ts';
import type { DropCounters } from './drops.ts';
import type { Lease } from './lease.ts';
import { PlainInterface } from './interface.ts';
import type { NetworkInterfaceOptions } from './udp.ts';
import type { NetParts } from './part.ts';
import { NET_PARTS } from './parts.ts';
import { tftp } from './tftp.ts';
import type { TftpOptions } from './tftp.ts';
import type { TftpResult } from './tftp-transfer.ts';
import { isNamed } from '../error.ts';
import type { Log } from '../events.ts';
import type { Clock } from '../time.ts';

/** What a network boot needs. */
export interface NetbootOptions {
  readonly clock: Clock;
  /** Unsigned 32-bit random numbers: transaction IDs and ports. */
  readonly random: () => number;
  readonly log: Log;
  readonly sink: DownloadSink;
  readonly dhcp?: DhcpOptions;
  readonly tftp?: TftpOptions;
  readonly net?: NetworkInterfaceOptions;
  /** What to boot instead of what the DHCP server says. */
  readonly override?: BootOverride;
}

/** What a network boot did. */
export interface NetbootResult {
  readonly lease: Lease;
  /** Who served the file: print it with `ipv4Text`. */
  readonly server: Ipv4Address;
  /** The file as it was asked for. */
  readonly file: string;
  /** Length in bytes. */
  readonly length: number;
  readonly transfer: TftpResult;
  /** Received frames that went no further, by reason. */
  readonly drops: Readonly<DropCounters>;
}

/**
 * Boot over an open device, with all parts of the client: get a lease, fetch the file into the
 * sink. The steps `configure` and `download` are told to the log; a step that fails has no end. The
 * device is left open and without a receiver, whatever happens.
 *
 * @throws HypxeError a NetError, DhcpError, BootTargetError or TftpError, or what the sink throws.
 */
export function netboot(device: NetDevice, options: NetbootOptions): NetbootResult {
  return netbootWith(NET_PARTS, device, options);
}

/** The same, with those parts of the client only. */
export function netbootWith(
  parts: NetParts,
  device: NetDevice,
  options: NetbootOptions,
): NetbootResult {
  const { log, random } = options;
  const net = new PlainInterface(device, options.clock, log, options.net, parts);
  try {
    log.info('NET', device.name, `${macText(device.address)}, link ${device.link}`);

    // An offer without a boot file is as good as another if the caller names the file
    log.step('configure', 'begin');
    const override = options.override ?? {};
    const lease = dhcp(net, random, { preferBootFile: !override.bootFile, ...options.dhcp });
    const { server, port, file } = bootTarget(net, random, lease, override);
    log.info('NET', device.name, `next server ${ipv4Text(server)}, file ${quoted(file)}`);
    log.step('configure', 'end');

    log.step('download', 'begin');
    const transfer = tftp(net, random, server, file, options.sink, { port, ...options.tftp });
    log.info('TFTP', device.name, `ok, ${transfer.length} bytes in ${transfer.blocks} blocks`);
    log.step('download', 'end');
    return { lease, server, file, length: transfer.length, transfer, drops: net.drops };
  } catch (error) {
    // What came and was of no use may be why
    const drops = dropsText(net.drops);
    if (isNamed(error) && drops !== 'none') error.message += `; dropped: ${drops}`;
    throw error;
  } finally {
    net.detach();
  }
}

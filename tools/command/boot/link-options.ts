// SPDX-License-Identifier: GPL-2.0-or-later

/** The options of `hypxe boot` for real networks. */

import { isIPv4 } from 'node:net';
import * as path from 'node:path';
import { PASST_GATEWAY, type LinkRequest } from '../../links/link-start.ts';
import { UsageError, quoted } from '../usage.ts';

/** What a boot over a real network is told. Plain data. */
export interface LinkOptions {
  readonly link: LinkRequest | undefined;
  /** Boot file and next server, instead of what DHCP says. */
  readonly bootFile: string | undefined;
  readonly nextServer: string | undefined;
}

/** Options of `hypxe boot` that a real link excludes: they are of the network that is made here. */
const SIMULATED = [
  ...['serve', 'image', 'aoe', 'size', 'loss', 'duplicate', 'reorder', 'corrupt', 'delay'],
  ...['vlan', 'mtu', 'tftp-habit', 'proxy-dhcp', 'dhcp-servers', 'dhcp-relay', 'dhcp-failover'],
  ...['dhcp-nak', 'classless-routes', 'bootp', 'dns'],
] as const;

/** Longest path of a Unix socket on Linux, in bytes. */
const SOCKET_PATH_MAX = 107;

/** Options as they were given. */
export type GivenOptions = Readonly<Record<string, unknown>>;

/**
 * Read them.
 *
 * @param file FILE, if one was given: what shall have been booted
 * @throws UsageError UnknownLink, NotWithLink, OnlyWithLink, BadAddress, NoBootFile
 */
export function readLink(values: GivenOptions, file: string | undefined): LinkOptions {
  const {
    link: text,
    'boot-file': bootFile,
    'next-server': nextServer,
  } = values as {
    readonly [name: string]: string | undefined;
  };
  if (text === undefined) {
    const alone = ['boot-file', 'next-server'].find((name) => values[name] !== undefined);
    if (alone === undefined) return { link: undefined, bootFile, nextServer };
    const advice = 'The network that is made here names them by itself: FILE says which.';
    throw new UsageError('OnlyWithLink', `--${alone} without --link`, advice);
  }
  const link = linkNamed(text);
  checkExcluded(values);
  if (nextServer !== undefined && !isIPv4(nextServer)) {
    const what = `--next-server cannot be ${quoted(nextServer)}`;
    throw new UsageError('BadAddress', what, 'Give an IPv4 address: 192.0.2.1.');
  }
  if (link.kind !== 'passt') return { link, bootFile, nextServer };

  // passt tells its guest of no boot server: its gateway is the loopback of this machine
  const name = bootFile ?? (file === undefined ? undefined : path.basename(file));
  if (name === undefined) {
    const advice = 'Add --boot-file NAME, or FILE, of which the name counts.';
    throw new UsageError('NoBootFile', 'passt names no boot file', advice);
  }
  return { link, bootFile: name, nextServer: nextServer ?? PASST_GATEWAY };
}

function linkNamed(text: string): LinkRequest {
  if (text === 'passt') return { kind: 'passt' };
  const socket = /^stream:(.+)$/.exec(text)?.[1];
  if (socket === undefined) {
    const advice = 'Choose passt, or stream:PATH for a Unix socket.';
    throw new UsageError('UnknownLink', `there is no link ${quoted(text)}`, advice);
  }
  if (Buffer.byteLength(socket) > SOCKET_PATH_MAX) {
    const what = `the path of a socket has at most ${SOCKET_PATH_MAX} bytes`;
    throw new UsageError('UnknownLink', what, 'Put the socket where its path is shorter.');
  }
  return { kind: 'stream', path: socket };
}

/** @throws UsageError NotWithLink */
function checkExcluded(values: GivenOptions): void {
  const other = SIMULATED.find((name) => values[name] !== undefined);
  if (other !== undefined) {
    const text = `--${other} is of the network that is made here, and --link is of another`;
    throw new UsageError('NotWithLink', text, 'Leave one of them out.');
  }
  if (values['nics'] !== undefined && values['nics'] !== '1') {
    const text = `--nics ${String(values['nics'])}: a link is one cable, with one NIC at its end`;
    throw new UsageError('NotWithLink', text, 'Leave --nics out.');
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** From a lease to what is fetched from whom: next server and boot file. */

import { ipv4Text, parseIpv4, quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { optionAddress, optionText } from './dhcp-message.ts';
import { isHost } from './ipv4.ts';
import { bootFileOf } from './lease.ts';
import type { Lease } from './lease.ts';
import { DhcpOption, Port } from './protocol.ts';
import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';

/** What the caller prescribes instead of what the DHCP server says. */
export interface BootOverride {
  /** IPv4 address as text. */
  readonly nextServer?: string | undefined;
  /** Path, or `tftp://ADDRESS[:PORT]/FILE`. */
  readonly bootFile?: string | undefined;
}

/** What to fetch. */
export interface BootTarget {
  readonly server: Ipv4Address;
  readonly port: number;
  readonly file: string;
}

const URL_PATTERN = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/:]*)(?::([0-9]{1,5}))?(?:\/(.*))?$/s;

/**
 * Choose. The boot file: what the caller says, the header field, option 67. The next server: what
 * the caller says, the address in the boot file if that is a URL, siaddr, option 66, option 150,
 * the header field sname, the DHCP server itself. iPXE takes the header fields first, too.
 *
 * @throws HypxeError NoBootFile, NoNextServer, BadNextServer, UnsupportedUrl.
 */
export function bootTarget(
  lease: Lease,
  override: BootOverride,
  log: Log,
  name: string,
): BootTarget {
  const file = override.bootFile || chooseFile(lease, log, name);
  const url = URL_PATTERN.exec(file);
  if (url === null)
    return {
      server: prescribed(override) ?? chooseServer(lease, log, name),
      port: Port.TFTP,
      file,
    };

  // A URL names server and file in one
  const [, scheme, host, portText, path = ''] = url;
  const server = hostOf(host!);
  const port = Number(portText ?? Port.TFTP);
  const fits = scheme!.toLowerCase() === 'tftp' && server !== 0 && path !== '';
  if (!fits || port < 1 || port > 0xffff)
    throw new HypxeError('UnsupportedUrl', `boot file ${quoted(file)}`);
  return { server: prescribed(override) ?? server, port, file: path };
}

function chooseFile(lease: Lease, log: Log, name: string): string {
  const bootFile = optionText(lease.message, DhcpOption.BOOT_FILE);
  const file = bootFileOf(lease);
  if (file === '') {
    const text = 'names no boot file, neither in its header nor in option 67';
    throw new HypxeError('NoBootFile', `${ipv4Text(lease.server)} ${text}`);
  }
  if (bootFile !== '' && bootFile !== file) {
    const text = `header says file ${quoted(file)}, option 67 ${quoted(bootFile)}`;
    log.warning('DHCP', name, `${text}: the header counts`);
  }
  return file;
}

/** The next server that the caller says, if so. @throws HypxeError BadNextServer */
function prescribed({ nextServer }: BootOverride): Ipv4Address | undefined {
  if (nextServer === undefined) return undefined;
  const server = hostOf(nextServer);
  if (server === 0) throw new HypxeError('BadNextServer', `next server ${quoted(nextServer)}`);
  return server;
}

function chooseServer(lease: Lease, log: Log, name: string): Ipv4Address {
  // A name that is no address is told, as there is no DNS
  const named = (text: string, where: string): Ipv4Address => {
    const server = hostOf(text);
    if (server === 0 && text !== '')
      log.warning('DHCP', name, `${where} ${quoted(text)} is no IPv4 address, and there is no DNS`);
    return server;
  };
  const host = (address: Ipv4Address): Ipv4Address => (isHost(address) ? address : 0);
  const { message } = lease;
  const server =
    host(message.siaddr) ||
    named(optionText(message, DhcpOption.TFTP_SERVER_NAME), 'option 66') ||
    host(optionAddress(message, DhcpOption.TFTP_SERVER_ADDRESS)) ||
    named(message.sname, 'field sname') ||
    host(lease.server);
  if (server !== 0) return server;
  throw new HypxeError(
    'NoNextServer',
    'neither siaddr nor option 66, 150, sname or the server identifier is the address of a host',
  );
}

/** The address of a host that a text is, or 0. */
function hostOf(text: string): Ipv4Address {
  const address = parseIpv4(text) ?? 0;
  return isHost(address) ? address : 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** From a lease to what is fetched from whom: next server and boot file. */

import { ipv4Text, parseIpv4, quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { isHost } from './ipv4.ts';
import type { Lease } from './lease.ts';
import { Port } from './protocol.ts';
import { HypxeError } from '../error.ts';
import type { Log } from '../events.ts';

/** What the caller prescribes instead of what the DHCP server says. */
export interface BootOverride {
  /** IPv4 address as text. */
  readonly nextServer?: string;
  /** Path, or `tftp://ADDRESS[:PORT]/FILE`. */
  readonly bootFile?: string;
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
  const file = chooseFile(lease, override, log, name);
  const url = URL_PATTERN.exec(file);
  if (url === null)
    return { server: chooseServer(lease, override, log, name), port: Port.TFTP, file };

  // A URL names server and file in one
  const [, scheme, host, portText, path] = url;
  const server = parseIpv4(host!);
  const port = portText === undefined ? Port.TFTP : Number(portText);
  const fits = scheme!.toLowerCase() === 'tftp' && server !== undefined && isHost(server);
  if (!fits || port < 1 || port > 0xffff || path === undefined || path === '')
    throw new HypxeError('UnsupportedUrl', `boot file ${quoted(file)}`);
  const prescribed = override.nextServer !== undefined;
  return { server: prescribed ? prescribedServer(override) : server, port, file: path };
}

function chooseFile(lease: Lease, override: BootOverride, log: Log, name: string): string {
  if (override.bootFile !== undefined && override.bootFile !== '') return override.bootFile;
  const file = lease.file === '' ? lease.bootFile : lease.file;
  if (file === '')
    throw new HypxeError(
      'NoBootFile',
      `${ipv4Text(lease.server)} names no boot file, neither in its header nor in option 67`,
    );
  if (lease.bootFile !== '' && lease.bootFile !== file)
    log.warning(
      'DHCP',
      name,
      `header says file ${quoted(file)}, option 67 ${quoted(lease.bootFile)}: the header counts`,
    );
  return file;
}

function prescribedServer(override: BootOverride): Ipv4Address {
  const server = parseIpv4(override.nextServer!);
  if (server === undefined || !isHost(server))
    throw new HypxeError('BadNextServer', `next server ${quoted(override.nextServer!)}`);
  return server;
}

function chooseServer(lease: Lease, override: BootOverride, log: Log, name: string): Ipv4Address {
  if (override.nextServer !== undefined) return prescribedServer(override);
  if (isHost(lease.nextServer)) return lease.nextServer;
  const byName = hostOf(lease.tftpServerName, 'option 66', log, name);
  if (byName !== 0) return byName;
  if (isHost(lease.tftpServerAddress)) return lease.tftpServerAddress;
  const bySname = hostOf(lease.serverName, 'field sname', log, name);
  if (bySname !== 0) return bySname;
  if (isHost(lease.server)) return lease.server;
  throw new HypxeError(
    'NoNextServer',
    'neither siaddr nor option 66, 150, sname or the server identifier is the address of a host',
  );
}

/** The address that a name is, or 0; a name that is none is told, as there is no DNS. */
function hostOf(text: string, where: string, log: Log, name: string): Ipv4Address {
  if (text === '') return 0;
  const address = parseIpv4(text);
  if (address !== undefined && isHost(address)) return address;
  log.warning('DHCP', name, `${where} ${quoted(text)} is no IPv4 address, and there is no DNS`);
  return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** From a lease to what is fetched from whom: next server and boot file. */

import { ipv4Text, parseIpv4, quoted } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { isPxe, optionAddresses, optionText, SIADDR, SNAME } from './dhcp-message.ts';
import { isHost } from './ipv4.ts';
import type { Lease } from './lease.ts';
import type { PlainInterface } from './interface.ts';
import { DhcpOption, Port } from './protocol.ts';
import { HypxeError } from '../error.ts';

/** What the caller prescribes instead of what the DHCP server says. */
export interface BootOverride {
  /** IPv4 address as text, or a name. */
  readonly nextServer?: string | undefined;
  /** Path, or `tftp://HOST[:PORT]/FILE`. */
  readonly bootFile?: string | undefined;
}

/** What to fetch. */
export interface BootTarget {
  readonly server: Ipv4Address;
  readonly port: number;
  readonly file: string;
}

/** Scheme, host, port if there is one, path. */
const URL_PATTERN = /^(\w[\w+.-]*):\/\/([^/:]*):?(\d*)\/?(.*)/s;

/**
 * Choose. The boot file: what the caller says, or the message that says what to boot. The next
 * server: what the caller says, the host in the boot file if that is a URL, siaddr, option 66,
 * option 150, the header field sname, who sent the message. A host may be a name.
 *
 * @throws HypxeError NoBootFile, NoNextServer, BadNextServer, UnsupportedUrl, or a NetError.
 */
export function bootTarget(
  net: PlainInterface,
  random: () => number,
  lease: Lease,
  override: BootOverride,
): BootTarget {
  const { boot, message } = lease;
  /** What would help. */
  let hint = '';
  const hostOf = (text: string): Ipv4Address => {
    text = text.trim();
    const address = text === '' ? 0 : (parseIpv4(text) ?? lookUp(text));
    return isHost(address) ? address : 0;
  };
  const lookUp = (text: string): Ipv4Address => {
    // A name without a dot is one of our domain
    const domain = optionText(message, DhcpOption.DOMAIN_NAME);
    const name = text.includes('.') || domain === '' ? text : `${text}.${domain}`;
    const servers = optionAddresses(message, DhcpOption.NAME_SERVER);
    const address = net.parts.resolveName?.(net, random, name, servers) ?? 0;
    if (!net.parts.resolveName) hint = ': names take the part resolveName';
    if (address === 0) net.log.warning('NET', net.name, `no address of ${quoted(name)}${hint}`);
    return address;
  };

  const file = override.bootFile || optionText(boot, DhcpOption.BOOT_FILE);
  if (file === '') {
    if (isPxe(boot) && !net.parts.bootServers) hint = ': boot servers take the part bootServers';
    throw new HypxeError('NoBootFile', `${ipv4Text(boot.server)} names no boot file${hint}`);
  }

  // A URL names server and file in one
  let [path, port, server] = [file, Port.TFTP as number, 0];
  const url = URL_PATTERN.exec(file);
  if (url !== null) {
    const scheme = url[1]!.toLowerCase();
    path = url[4]!;
    port = Number(url[3] || port);
    if (scheme === 'tftp' && path !== '' && port > 0 && port <= 0xffff) server = hostOf(url[2]!);
    if (server === 0) throw new HypxeError('UnsupportedUrl', `boot file ${quoted(file)}${hint}`);
  }

  const { nextServer } = override;
  if (nextServer !== undefined) {
    server = hostOf(nextServer);
    if (server === 0)
      throw new HypxeError('BadNextServer', `next server ${quoted(nextServer)}${hint}`);
  }
  const address = (code: number): Ipv4Address => optionAddresses(boot, code).find(isHost) ?? 0;
  server ||=
    address(SIADDR) ||
    hostOf(optionText(boot, DhcpOption.TFTP_SERVER_NAME)) ||
    address(DhcpOption.TFTP_SERVER_ADDRESS) ||
    hostOf(optionText(boot, SNAME)) ||
    (isHost(boot.server) ? boot.server : 0);
  if (server !== 0) return { server, port, file: path };
  throw new HypxeError('NoNextServer', `${ipv4Text(boot.server)} names no host to ask${hint}`);
}

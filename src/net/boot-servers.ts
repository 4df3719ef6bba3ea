// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * ProxyDHCP and boot servers (PXE 2.1), a part of the DHCP client: a ProxyDHCP server that has not
 * said what to boot is asked on its own port, and a menu of boot servers is followed.
 */

import { get16, get32, ipv4Text, IPV4_BROADCAST } from './bytes.ts';
import type { Ipv4Address } from './bytes.ts';
import { isPxe, option, PXE, u16, u32 } from './dhcp-message.ts';
import type { DhcpMessage } from './dhcp-message.ts';
import type { BootServers } from './part.ts';
import { DhcpOption, DhcpType, PxeControl, PxeOption } from './protocol.ts';
import { HypxeError } from '../error.ts';

export const bootServers: BootServers = {
  boots: (message) => bootMenu(message).length > 0,

  follow(offer, ask) {
    // Who has not said it says it on its own port
    let boot = offer;
    const boots = (message: DhcpMessage): boolean =>
      message.options.has(DhcpOption.BOOT_FILE) || bootServers.boots(message);
    if (boot.type === DhcpType.OFFER && !boots(boot)) {
      const options = [DhcpOption.SERVER_IDENTIFIER, 4, ...u32(boot.server)];
      boot = ask(boots, options, boot.server) ?? boot;
    }

    // Nobody chooses from the menu: its first item it is
    const menu = bootMenu(boot);
    if (menu.length < 3) return boot;
    const type = get16(menu, 0);
    if (type === 0)
      throw new HypxeError('NoBootFile', `${ipv4Text(boot.server)} says to boot locally`);
    const control = option(boot, PXE + PxeOption.DISCOVERY_CONTROL)[0]!;
    const servers = serversOf(option(boot, PXE + PxeOption.BOOT_SERVERS), type);
    const fits = (message: DhcpMessage): boolean =>
      message.options.has(DhcpOption.BOOT_FILE) &&
      get16(option(message, PXE + PxeOption.BOOT_ITEM), 0) === type &&
      (!(control & PxeControl.LISTED_SERVERS) || servers.includes(message.server));
    const item = [PxeOption.BOOT_ITEM, 4, ...u16(type), 0, 0, DhcpOption.END];
    const options = [DhcpOption.VENDOR_ENCAPSULATED, item.length, ...item];
    const asked = control & PxeControl.NO_BROADCAST ? servers : [IPV4_BROADCAST, ...servers];
    for (const to of asked) {
      const answer = ask(fits, options, to);
      if (answer) return answer;
    }
    return boot;
  },
};

/** The menu of boot servers that is to be followed, or nothing (iPXE have_pxe_menu). */
function bootMenu(message: DhcpMessage): ArrayLike<number> {
  const control = option(message, PXE + PxeOption.DISCOVERY_CONTROL)[0]!;
  const skip = control & PxeControl.USE_BOOT_FILE && message.options.has(DhcpOption.BOOT_FILE);
  return option(message, isPxe(message) && !skip ? PXE + PxeOption.BOOT_MENU : DhcpOption.PAD);
}

/** The boot servers of a type, from a list of PXE. */
function serversOf(list: ArrayLike<number>, type: number): Ipv4Address[] {
  const servers: Ipv4Address[] = [];
  for (let i = 0; i + 3 <= list.length;) {
    const own = get16(list, i) === type;
    const end = Math.min(i + 3 + 4 * list[i + 2]!, list.length);
    for (i += 3; i < end; i += 4) if (own && i + 4 <= end) servers.push(get32(list, i));
  }
  return servers;
}

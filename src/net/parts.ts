// SPDX-License-Identifier: GPL-2.0-or-later

/** All parts of the network client, for who does not count bytes. */

import { bootServers } from './boot-servers.ts';
import { resolveName } from './dns.ts';
import { Reassembler } from './fragment.ts';
import { unreachableDatagram } from './icmp.ts';
import type { NetParts } from './part.ts';
import { restartTransfer } from './restart.ts';

export const NET_PARTS: Required<NetParts> = {
  reassembler: () => new Reassembler(),
  resolveName,
  bootServers,
  restartTransfer,
  unreachable: unreachableDatagram,
};

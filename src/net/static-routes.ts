// SPDX-License-Identifier: GPL-2.0-or-later

/** Classless static routes (RFC 3442), as a part of the DHCP client. */

import { get32 } from './bytes.ts';
import type { StaticRoutes } from './part.ts';

export const staticRoutes: StaticRoutes = (bytes, local, canRoute) => {
  const routes = [];
  for (let i = 0; i < bytes.length;) {
    // The width of the prefix in bits, as many bytes as it has, the router. Up to the first that
    // cannot be one
    const width = bytes[i]!;
    const at = i + 1 + ((width + 7) >> 3);
    if (width > 32 || at + 4 > bytes.length) break;
    const netmask = width === 0 ? 0 : -1 << (32 - width);
    const network = get32(bytes, i + 1) & netmask;
    const router = get32(bytes, at);
    if (router === 0 || canRoute(router)) routes.push({ network, netmask, router });
    i = at + 4;
  }
  if (routes.length > 0) routes.push(local);
  return routes.sort((a, b) => (b.netmask >>> 0) - (a.netmask >>> 0));
};

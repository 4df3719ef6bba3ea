// SPDX-License-Identifier: GPL-2.0-or-later

/** A flipped bit that a checksum finds. */

import { EtherType, IpProtocol, IPV4_FRAGMENT_MASK } from '../../../src/net/protocol.ts';
import type { Random } from '../base/random.ts';
import type { Frame } from './frame.ts';
import { ETH, IP, UDP } from './protocol.ts';

/**
 * Flip one bit that the checksum of the IPv4 header or of the transport covers: one flipped bit
 * always changes a ones' complement sum (RFC 1071). Left alone are the header's length, the length
 * of UDP (they move what is summed) and the checksum of UDP (0 would mean that there is none).
 *
 * @returns false if no checksum covers anything in the frame
 */
export function corrupt(frame: Frame, random: Random): boolean {
  const { bytes, view, length } = frame;
  const bit = 1 << random.below(8);
  const position = random.u32();
  if (length < IP.end || view.getUint16(ETH.type) !== EtherType.IPV4) return false;
  const header = (bytes[IP.versionLength]! & 0x0f) * 4;
  const end = Math.min(ETH.end + view.getUint16(IP.totalLength), length);
  const transport = ETH.end + header;
  if (header < 20 || transport > end) return false;

  // From the second byte of the header to the end of what is covered
  const first = IP.versionLength + 1;
  const covered = transportCovered(frame, transport, end) ? end : transport;
  let at = first + (position % (covered - first));
  const isUdp = bytes[IP.protocol] === IpProtocol.UDP;
  const skipFrom = transport + (UDP.length - IP.end);
  if (isUdp && at >= skipFrom && at < skipFrom + 4) at = IP.identification;
  bytes[at] = bytes[at]! ^ bit;
  return true;
}

/** Whether the transport has a checksum over all that it carries in this packet. */
function transportCovered({ bytes, view }: Frame, transport: number, end: number): boolean {
  if ((view.getUint16(IP.fragment) & IPV4_FRAGMENT_MASK) !== 0) return false;
  switch (bytes[IP.protocol]) {
    case IpProtocol.UDP: {
      const checksum = transport + (UDP.checksum - IP.end);
      return end >= transport + 8 && view.getUint16(checksum) !== 0;
    }
    case IpProtocol.TCP:
      return end >= transport + 20;
    case IpProtocol.ICMP:
      return end >= transport + 4;
    default:
      return false;
  }
}

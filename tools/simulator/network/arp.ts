// SPDX-License-Identifier: GPL-2.0-or-later

/** ARP packets for Ethernet and IPv4 (RFC 826): checked, built and turned round. */

import type { Frame } from './frame.ts';
import { ARP, ArpOperation, ETH, EtherType, MAC_BROADCAST } from './protocol.ts';

/** Whether a frame of type ARP has an ARP packet of Ethernet and IPv4. */
export function isArpForIp({ bytes, view, length }: Frame): boolean {
  return (
    length >= ARP.end &&
    view.getUint16(ARP.hardware) === 1 &&
    view.getUint16(ARP.protocol) === EtherType.IPV4 &&
    bytes[ARP.hardwareLength] === 6 &&
    bytes[ARP.protocolLength] === 4
  );
}

/** Turn a request into the reply of `mac` and `address`. The Ethernet source is left open. */
export function turnIntoReply({ bytes, view }: Frame, mac: Uint8Array, address: number): void {
  bytes.copyWithin(ARP.targetMac, ARP.senderMac, ARP.senderMac + 10);
  view.setUint16(ARP.operation, ArpOperation.REPLY);
  bytes.set(mac, ARP.senderMac);
  view.setUint32(ARP.senderIp, address);
  bytes.copyWithin(ETH.destination, ETH.source, ETH.source + 6);
}

/** Build a request for `target`. The Ethernet source is left open. */
export function buildRequest(
  { bytes, view }: Frame,
  mac: Uint8Array,
  address: number,
  target: number,
): void {
  bytes.set(MAC_BROADCAST, ETH.destination);
  view.setUint16(ETH.type, EtherType.ARP);
  view.setUint16(ARP.hardware, 1);
  view.setUint16(ARP.protocol, EtherType.IPV4);
  bytes[ARP.hardwareLength] = 6;
  bytes[ARP.protocolLength] = 4;
  view.setUint16(ARP.operation, ArpOperation.REQUEST);
  bytes.set(mac, ARP.senderMac);
  view.setUint32(ARP.senderIp, address);
  bytes.fill(0, ARP.targetMac, ARP.targetMac + 6);
  view.setUint32(ARP.targetIp, target);
}

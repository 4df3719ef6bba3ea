// SPDX-License-Identifier: GPL-2.0-or-later

/** ARP packets for Ethernet and IPv4 (RFC 826): checked, built and turned round. */

import { ArpOperation, EtherType } from '../../../src/net/protocol.ts';
import type { Frame } from './frame.ts';
import { ARP, ETH, MAC_BROADCAST } from './protocol.ts';

/** Whether a frame of type ARP has an ARP packet of Ethernet and IPv4. */
export function isArpForIp({ bytes, view, length }: Frame): boolean {
  return (
    length >= ARP.end &&
    view.getUint16(ARP.hardwareType) === 1 &&
    view.getUint16(ARP.protocolType) === EtherType.IPV4 &&
    bytes[ARP.hardwareLength] === 6 &&
    bytes[ARP.protocolLength] === 4
  );
}

/** Turn a request into the reply of `mac` and `address`. The Ethernet source is left open. */
export function turnIntoReply({ bytes, view }: Frame, mac: Uint8Array, address: number): void {
  bytes.copyWithin(ARP.targetHardware, ARP.senderHardware, ARP.senderHardware + 10);
  view.setUint16(ARP.operation, ArpOperation.REPLY);
  bytes.set(mac, ARP.senderHardware);
  view.setUint32(ARP.senderProtocol, address);
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
  view.setUint16(ARP.hardwareType, 1);
  view.setUint16(ARP.protocolType, EtherType.IPV4);
  bytes[ARP.hardwareLength] = 6;
  bytes[ARP.protocolLength] = 4;
  view.setUint16(ARP.operation, ArpOperation.REQUEST);
  bytes.set(mac, ARP.senderHardware);
  view.setUint32(ARP.senderProtocol, address);
  bytes.fill(0, ARP.targetHardware, ARP.targetHardware + 6);
  view.setUint32(ARP.targetProtocol, target);
}

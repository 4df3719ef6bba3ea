// SPDX-License-Identifier: GPL-2.0-or-later

/** The first TFTP transfer in a capture of libpcap's format, as passt writes it. */

/** File header, and header of a packet: seconds, microseconds, captured and original length. */
const FILE_HEADER = 24;
const PACKET_HEADER = 16;
const MAGIC = 0xa1b2c3d4;

const ETHERNET_HEADER = 14;
const ETHERTYPE_AT = 12;
const IPV4 = 0x0800;
const IP_PROTOCOL_AT = 9;
const UDP = 17;
const UDP_HEADER = 8;
const TFTP_PORT = 69;
const TftpOp = { RRQ: 1, DATA: 3 } as const;
const DATA_HEADER = 4;

export interface Transfer {
  /** From its request to its last packet, either way. */
  readonly ms: number;
  readonly packets: number;
  /** Of the file; those of a block that came twice count twice. */
  readonly bytes: number;
}

/**
 * The transfer that the first read request begins: all packets from and to its port.
 *
 * @returns undefined if there is no request
 * @throws RangeError for what is no such capture, or ends in the middle of a packet
 */
export function transferOf(file: Uint8Array): Transfer | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < FILE_HEADER || view.getUint32(0, true) !== MAGIC) {
    throw new RangeError('not a capture of libpcap, in little endian and microseconds');
  }
  let port: number | undefined;
  let [begin, end, packets, bytes] = [0, 0, 0, 0];
  for (let at = FILE_HEADER; at < file.length;) {
    const us = view.getUint32(at, true) * 1e6 + view.getUint32(at + 4, true);
    const length = view.getUint32(at + 8, true);
    if (at + PACKET_HEADER + length > file.length) throw new RangeError('half a packet at the end');
    const frame = new DataView(view.buffer, view.byteOffset + at + PACKET_HEADER, length);
    at += PACKET_HEADER + length;
    const udp = udpOf(frame);
    if (udp === undefined) continue;
    const { source, destination, op, payload } = udp;
    if (port === undefined && destination === TFTP_PORT && op === TftpOp.RRQ) {
      port = source;
      begin = us;
    }
    if (port === undefined || (source !== port && destination !== port)) continue;
    end = us;
    packets++;
    if (op === TftpOp.DATA) bytes += payload - DATA_HEADER;
  }
  return port === undefined ? undefined : { ms: (end - begin) / 1000, packets, bytes };
}

/** Ports of a UDP datagram, the first word and the length of what is in it. */
function udpOf(frame: DataView) {
  if (frame.byteLength < ETHERNET_HEADER + 20 + UDP_HEADER + 2) return undefined;
  if (frame.getUint16(ETHERTYPE_AT) !== IPV4) return undefined;
  if (frame.getUint8(ETHERNET_HEADER + IP_PROTOCOL_AT) !== UDP) return undefined;
  const at = ETHERNET_HEADER + 4 * (frame.getUint8(ETHERNET_HEADER) & 15);
  if (frame.byteLength < at + UDP_HEADER + 2) return undefined;
  return {
    source: frame.getUint16(at),
    destination: frame.getUint16(at + 2),
    op: frame.getUint16(at + UDP_HEADER),
    payload: frame.getUint16(at + 4) - UDP_HEADER,
  };
}

// SPDX-License-Identifier: GPL-2.0-or-later

/** What the network counts. All of it is plain data, filled while the network runs. */

/** Why a frame or a datagram went no further. */
export type DropReason =
  /** Shorter than an Ethernet header, or longer than the network carries. */
  | 'runt'
  | 'giant'
  /** All frames of the network are on their way. */
  | 'no-frame'
  | 'link-down'
  /** Unicast to a station that is known to be on the port that it came from. */
  | 'same-port'
  /** A server got what is not for it: other MAC address, other IP address, other protocol. */
  | 'other-station'
  | 'other-address'
  | 'unknown-protocol'
  | 'bad-arp'
  | 'bad-ip-header'
  | 'bad-checksum'
  | 'fragment'
  /** Longer than the path to the guest carries, which makes no fragments. */
  | 'path-mtu'
  | 'no-port'
  /** A server cannot send: no answer to ARP, too many wait for one, or nowhere to send it. */
  | 'no-neighbour'
  | 'no-route'
  /** A disk of the network has another configuration string than is asked for. */
  | 'other-config'
  | 'bad-aoe'
  | 'bad-dhcp'
  | 'bad-dns'
  | 'bad-tftp';

/** What faults did in one direction, all links together. */
export interface FaultCounters {
  /** Frames that came in. */
  frames: number;
  lost: number;
  duplicated: number;
  /** Frames that another one has overtaken. */
  reordered: number;
  corrupted: number;
  /** Frames that got an extra delay, and the sum of these in ticks. */
  delayed: number;
  delayTicks: number;
}

/** Messages of the DHCP servers. */
export interface DhcpCounters {
  discovers: number;
  offers: number;
  requests: number;
  acks: number;
  naks: number;
  /** Of these, NAKs that the client had not asked for: a habit of the server. */
  refusals: number;
  declines: number;
  releases: number;
  informs: number;
  /** Requests without an answer: for another server, from an unknown client, silent mode. */
  unanswered: number;
}

/** How a transfer ended. */
export type TransferOutcome =
  'running' | 'complete' | 'timed-out' | 'ended-by-client' | 'ended-by-error';

/** One TFTP transfer. */
export interface TransferRecord {
  readonly path: string;
  /** The client as `address:port`, and the server's port. */
  readonly client: string;
  readonly port: number;
  /** Size of the file, and how much of it the client has acknowledged, in bytes. */
  readonly size: number;
  acknowledged: number;
  readonly blockSize: number;
  readonly windowSize: number;
  /** Data blocks that were sent, those sent again included, and these alone. */
  blocks: number;
  retransmissions: number;
  /** Ticks. */
  readonly startedAt: number;
  endedAt: number | undefined;
  outcome: TransferOutcome;
  /** What the client or the server said when it ended the transfer. */
  message: string;
}

export interface TftpCounters {
  /** Read requests, and those answered with an error. */
  requests: number;
  refused: number;
  /** Transfers begun and how they ended. */
  started: number;
  completed: number;
  timedOut: number;
  failed: number;
  /** Bytes of files that clients have acknowledged. */
  bytes: number;
  blocks: number;
  retransmissions: number;
  /** Errors sent to strangers who spoke to the port of a transfer. */
  unknownTids: number;
}

/** Everything counted. */
export interface NetworkStatistics {
  fromGuest: FaultCounters;
  toGuest: FaultCounters;
  /** Bytes of frames that guests sent, and of frames that reached guests. */
  bytesFromGuest: number;
  bytesToGuest: number;
  framesToGuest: number;
  drops: Partial<Record<DropReason, number>>;
  dhcp: DhcpCounters;
  tftp: TftpCounters;
  /** The latest transfers, at most {@link TRANSFER_RECORDS_MAX}. */
  transfers: TransferRecord[];
}

/** Transfers that the statistics remember. */
export const TRANSFER_RECORDS_MAX = 256;

function faultCounters(): FaultCounters {
  return {
    frames: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    corrupted: 0,
    delayed: 0,
    delayTicks: 0,
  };
}

/** Statistics with nothing counted. */
export function emptyStatistics(): NetworkStatistics {
  return {
    fromGuest: faultCounters(),
    toGuest: faultCounters(),
    bytesFromGuest: 0,
    bytesToGuest: 0,
    framesToGuest: 0,
    drops: {},
    dhcp: {
      discovers: 0,
      offers: 0,
      requests: 0,
      acks: 0,
      naks: 0,
      refusals: 0,
      declines: 0,
      releases: 0,
      informs: 0,
      unanswered: 0,
    },
    tftp: {
      requests: 0,
      refused: 0,
      started: 0,
      completed: 0,
      timedOut: 0,
      failed: 0,
      bytes: 0,
      blocks: 0,
      retransmissions: 0,
      unknownTids: 0,
    },
    transfers: [],
  };
}

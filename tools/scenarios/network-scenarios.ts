// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Networks that were met in the field: ProxyDHCP, relays, trunks, tunnels, and habits of TFTP
 * servers. The broken half is a firmware that lacks what it takes, by its options or by a link that
 * keeps it away.
 */

import { DhcpOption, DhcpType, Port, TftpOpcode } from '../../src/net/protocol.ts';
import { NETWORK_CONDITIONS } from '../simulator/network/index.ts';
import type { NetworkCondition, TftpHabit } from '../simulator/network/index.ts';
import {
  dhcpOptionAt,
  isFragment,
  isTagged,
  rewritten,
  udpOf,
  untagged,
  type FrameFilter,
  type UdpFrame,
} from './lossy-link.ts';
import { auditLeft, bootOn, guestsOf, makeMachine, ownGuest } from './rig.ts';
import type { HalfResult, Scenario, MachineSeen } from './scenario.ts';

/** Address of the servers, and of a TFTP server that only a name or a route leads to. */
const SERVER = '192.168.77.1';
const OTHER_SERVER = '192.168.77.9';
const FAR_SERVER = '10.55.0.9';

/** What a firmware is told, as `BootOptions.net`. */
type NetOptions = Record<string, Record<string, unknown>>;

interface Field {
  readonly text: string;
  readonly references: readonly string[];
  readonly network: NetworkCondition;
  /** What both halves are told, and what only the broken one is. */
  readonly net?: NetOptions;
  readonly lacks: FrameFilter | NetOptions;
}

/** A boot through such a network. One that fails is a finding. */
function bootThrough(
  field: Field,
  broken: boolean,
  guest = ownGuest(),
  seen?: MachineSeen,
): HalfResult {
  const { network, net = {}, lacks } = field;
  const filter = broken && typeof lacks === 'function' ? lacks : undefined;
  // A tag stays in its frame, where the firmware must look for it
  const machine = makeMachine({ seen, network, filter, knobs: { vlanTag: 'frame' } }, {}, guest);
  const guests = guestsOf(machine);
  const options = { net: { ...net, ...(broken && typeof lacks === 'object' ? lacks : {}) } };
  const result = bootOn(guests, guest, machine.bootSeam, options);
  if (result === undefined) return { findings: [], ended: guests.ended };
  const inUse = result.image === undefined ? [] : [result.image];
  const findings = auditLeft(machine, result.memoryMap, { inUse });
  if (result.status === 'failed') {
    const text = `the boot failed: ${result.error?.message ?? 'no reason given'}`;
    findings.push({ check: 'second-boot', severity: 'error', text });
  }
  return { findings, ended: guests.ended };
}

// --- what a firmware lacks ---

/** Who does not look for a better offer takes the first. */
const HASTY: NetOptions = { dhcp: { preferBootFile: false } };

/** UDP datagrams for which this is true do not get through. */
const without =
  (is: (datagram: UdpFrame, way: 'in' | 'out') => boolean): FrameFilter =>
  (frame, way) => {
    const datagram = udpOf(frame);
    return datagram !== undefined && is(datagram, way) ? undefined : frame;
  };

const dhcpReply = ({ port }: UdpFrame): boolean => port === Port.DHCP_CLIENT;
const isTftp = ({ payload, port, sourcePort }: UdpFrame, opcode: number): boolean =>
  port !== Port.DHCP_CLIENT && sourcePort !== Port.DNS && payload[1] === opcode && payload[0] === 0;
const serverOf = ({ payload }: UdpFrame): string => {
  const at = dhcpOptionAt(payload, DhcpOption.SERVER_IDENTIFIER);
  return Array.from(payload.subarray(at + 2, at + 6)).join('.');
};
const isPlainRequest = (datagram: UdpFrame): boolean =>
  isTftp(datagram, TftpOpcode.RRQ) && !String.fromCharCode(...datagram.payload).includes('blksize');

/** A client that asks once: no second transfer. With a lease it begins anew. */
const oneTransfer = (): FrameFilter => {
  let first: number | undefined;
  return without((datagram) => {
    if (datagram.port === Port.DHCP_SERVER) first = undefined;
    if (!isTftp(datagram, TftpOpcode.RRQ)) return false;
    first ??= datagram.sourcePort;
    return datagram.sourcePort !== first;
  });
};

const refusesOptions = without(
  (datagram) => isTftp(datagram, TftpOpcode.OACK) || isPlainRequest(datagram),
);

/** Nor does it ask for smaller blocks, which need no fragments. */
const noFragments: FrameFilter = (frame, way) =>
  isFragment(frame) ? undefined : without(isPlainRequest)(frame, way);

const noClasslessRoutes: FrameFilter = (frame, way) => {
  const datagram = udpOf(frame);
  if (way === 'out' || datagram === undefined || !dhcpReply(datagram)) return frame;
  const at = dhcpOptionAt(datagram.payload, DhcpOption.STATIC_ROUTES);
  if (at >= 0) datagram.payload[at] = 250;
  return rewritten(datagram);
};

const noSize: FrameFilter = (frame, way) => {
  const datagram = udpOf(frame);
  if (datagram === undefined) return frame;
  if (isPlainRequest(datagram)) return undefined;
  const at = String.fromCharCode(...datagram.payload).indexOf('tsize');
  if (way === 'out' || !isTftp(datagram, TftpOpcode.OACK) || at < 0) return frame;
  datagram.payload[at] = 0x78;
  return rewritten(datagram);
};

// --- the networks ---

const condition = (name: string): NetworkCondition => NETWORK_CONDITIONS[name]!;

const SERVERS: Readonly<Record<string, Field>> = {
  'network-proxy-dhcp': {
    text: 'one server has the addresses, another one the boot file: who hears one boots nothing',
    references: ['iPXE #954', 'edk2 #6944', 'PXE 2.1, 2.2'],
    network: condition('proxy-dhcp-late'),
    lacks: HASTY,
  },
  'network-proxy-dhcp-4011': {
    text: 'the boot file is told on port 4011 only: who does not ask there has none',
    references: ['AdGuardHome #2395', 'PXE 2.1, 2.2.3'],
    network: condition('proxy-dhcp-4011'),
    lacks: without(({ port }) => port === Port.PXE),
  },
  'network-proxy-dhcp-menu': {
    text: 'a ProxyDHCP server offers a menu of boot servers, which must be asked',
    references: ['PXE 2.1, 2.2.4', 'dnsmasq pxe-service'],
    network: condition('proxy-dhcp-menu'),
    lacks: HASTY,
  },
  'network-boot-server-broadcast': {
    text: 'the boot server of a menu is found by broadcast',
    references: ['PXE 2.1, 2.2.4'],
    network: condition('proxy-dhcp-broadcast'),
    lacks: HASTY,
  },
  'network-dhcp-servers': {
    text: 'the first of several DHCP servers knows no boot file: who takes the first boots nothing',
    references: ['u-root #637', 'iPXE dhcp.c (DHCP_DISC_PROXY_TIMEOUT)'],
    network: condition('dhcp-servers'),
    lacks: HASTY,
  },
  'network-dhcp-relay': {
    text: 'a relay sends what the server says: who compares the addresses hears nobody',
    references: ['RFC 1542, 4.1', 'smee #382'],
    network: condition('dhcp-relay'),
    lacks: without((datagram) => dhcpReply(datagram) && serverOf(datagram) !== datagram.source),
  },
  'network-dhcp-failover': {
    text: 'one server of a pair offers, its partner acknowledges the same address',
    references: ['ndhc #3', 'ISC dhcpd failover'],
    network: condition('dhcp-failover'),
    lacks: without((datagram) => {
      if (!dhcpReply(datagram)) return false;
      const type = datagram.payload[dhcpOptionAt(datagram.payload, DhcpOption.MESSAGE_TYPE) + 2];
      return type === DhcpType.ACK && serverOf(datagram) !== SERVER;
    }),
  },
  'network-dhcp-refuses': {
    text: 'requests are refused for 5 s, as by a server that has just started',
    references: ['iPXE #66', 'systemd #2429'],
    network: condition('dhcp-nak'),
    lacks: { dhcp: { totalMs: 3000 } },
  },
  'network-dhcp-port': {
    text: 'the DHCP server does not send from port 67',
    references: ['smee #382'],
    network: condition('dhcp-port'),
    lacks: without((datagram) => dhcpReply(datagram) && datagram.sourcePort !== Port.DHCP_SERVER),
  },
  'network-classless-routes': {
    text: 'the way to the TFTP server is in option 121, and option 3 leads nowhere',
    references: ['RFC 3442'],
    network: { ...condition('classless-routes'), tftp: { address: FAR_SERVER } },
    lacks: noClasslessRoutes,
  },
  'network-bootp': {
    text: 'the server is one of 1985: its replies have no message type',
    references: ['systemd #34885', 'RFC 951', 'RFC 1534'],
    network: condition('bootp'),
    lacks: without(
      (datagram) =>
        dhcpReply(datagram) && dhcpOptionAt(datagram.payload, DhcpOption.MESSAGE_TYPE) < 0,
    ),
  },
  'network-dns': {
    text: 'option 66 is the name of a TFTP server, an alias besides',
    references: ['RFC 2132, 9.4', 'iPXE dns.c'],
    network: {
      dhcp: { nextServerName: 'tftp.example', nameServers: [SERVER] },
      dns: { 'tftp.example': 'a.tftp.example', 'a.tftp.example': OTHER_SERVER },
      tftp: { address: OTHER_SERVER },
    },
    lacks: without(({ port }) => port === Port.DNS),
  },
  'network-vlan-trunk': {
    text: 'the port is a trunk: a DHCP server of VLAN 100 answers before ours',
    references: ['OpenVMM #3552', 'DPDK netvsc guide'],
    network: condition('vlan-trunk'),
    lacks: (frame) => (isTagged(frame) ? untagged(frame) : frame),
  },
  'network-priority-tags': {
    text: 'what the servers send has a priority tag: who knows no tags hears nothing',
    references: ['opnsense-plugins #94', '802.1Q 9.6'],
    network: condition('priority-tags'),
    lacks: (frame) => (isTagged(frame) ? undefined : frame),
  },
  'network-fragments': {
    text: 'a tunnel on the path makes fragments of 576 bytes, the last first',
    references: ['fogproject #455', 'RFC 791, 3.2'],
    network: condition('fragments-reversed'),
    lacks: noFragments,
  },
  'network-path-mtu': {
    text: 'a tunnel on the path drops what is too long, and says nothing',
    references: ['fogproject #455', 'RFC 2348'],
    network: condition('path-mtu'),
    lacks: without(isPlainRequest),
  },
};

/** What is said of a habit: text, reference, and what the broken half lacks. */
const HABITS: Readonly<
  Partial<Record<TftpHabit, Pick<Field, 'text' | 'references' | 'lacks'> & Partial<Field>>>
> = {
  'error-0': {
    text: 'the TFTP server answers options with error 0: they must be left out',
    references: ['curl #481'],
    lacks: without(isPlainRequest),
  },
  'error-4': {
    text: 'the TFTP server answers options with error 4, as if the operation were unknown',
    references: ['bochs #305'],
    lacks: without(isPlainRequest),
  },
  'error-8': {
    text: 'the TFTP server refuses options as the document says',
    references: ['RFC 2347'],
    lacks: without(isPlainRequest),
  },
  'ignore-options': {
    text: 'the TFTP server is one of 1992, and begins with the first block',
    references: ['RFC 1350', 'RFC 2347'],
    lacks: without((datagram) => isTftp(datagram, TftpOpcode.DATA)),
  },
  deaf: {
    text: 'the TFTP server does not answer requests with options at all',
    references: ['bochs #305'],
    lacks: without(isPlainRequest),
  },
  timeout: {
    text: 'the TFTP server grants an option that nobody has asked for',
    references: ['PyPXE #125'],
    lacks: refusesOptions,
  },
  padding: {
    text: 'the TFTP server puts blanks and NULs around the values of options',
    references: ['node-tftp #13'],
    lacks: refusesOptions,
  },
  'tsize-0': {
    text: 'the TFTP server says that the file has no bytes',
    references: ['tftpy #45'],
    lacks: refusesOptions,
  },
  'tsize-minus-1': {
    text: 'the TFTP server says that the file has -1 bytes',
    references: ['tftpy #45'],
    lacks: refusesOptions,
  },
  'tsize-small': {
    text: 'the TFTP server says that the file is smaller than it is',
    references: ['tftpy #45', 'RFC 2349'],
    lacks: oneTransfer(),
  },
  'tsize-large': {
    text: 'the TFTP server says that the file is larger than it is',
    references: ['tftpy #45', 'RFC 2349'],
    lacks: oneTransfer(),
  },
  'no-last-block': {
    text: 'the empty last block of a file of whole blocks never comes',
    references: ['PyPXE #96'],
    net: { tftp: { blockSize: 1000 } },
    lacks: noSize,
  },
  'second-address': {
    text: 'the TFTP server answers from another one of its addresses',
    references: ['tftpy', 'pin/tftp #48'],
    lacks: without(
      (datagram, way) => way === 'in' && !dhcpReply(datagram) && datagram.source !== SERVER,
    ),
  },
  slow: {
    text: 'the TFTP server takes 30 s for its first answer',
    references: ['iPXE TFTP_MAX_TIMEOUT'],
    lacks: { tftp: { longestTimeoutMs: 2000 } },
  },
  'late-start': {
    text: 'the TFTP server starts a moment after the first request: its port is unreachable',
    references: ['docker-netbootxyz #22'],
    lacks: { tftp: { tries: 1 } },
  },
  restart: {
    text: 'the TFTP server is started anew in the middle of the file',
    references: ['aks-engine #4341'],
    lacks: oneTransfer(),
  },
  stall: {
    text: 'the TFTP server stops in the middle of the file',
    references: ['aks-engine #4341'],
    lacks: oneTransfer(),
  },
  'break-off': {
    text: 'the TFTP server breaks off in the middle of the file with an error',
    references: ['tftp-hpa'],
    lacks: oneTransfer(),
  },
};

const FIELDS: readonly (readonly [string, Field])[] = [
  ...Object.entries(SERVERS),
  ...Object.entries(HABITS).map(([habit, field]): readonly [string, Field] => [
    `network-tftp-${habit}`,
    { ...field, network: condition(`tftp-${habit}`) },
  ]),
];

export const NETWORK_SCENARIOS: readonly Scenario[] = FIELDS.map(([name, field]) => ({
  name,
  text: field.text,
  mistake: 'firmware',
  references: field.references,
  caughtBy: { check: 'second-boot', says: /the boot failed/ },
  asks: 'boot',
  run: (half, guest, seen) => bootThrough(field, half === 'broken', guest, seen),
}));

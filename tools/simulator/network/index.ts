// SPDX-License-Identifier: GPL-2.0-or-later

/** The built-in network of the simulator: what others use of it. */

export { ipText, macText } from './address.ts';
export type { NetworkCondition } from './conditions.ts';
export { combined, NETWORK_CONDITION_NAMES, NETWORK_CONDITIONS } from './conditions.ts';
export type { NetworkLog } from './context.ts';
export type { DhcpMode, DhcpServerOptions, DhcpStyle } from './servers/dhcp-options.ts';
export type { AoeOptions } from './servers/aoe-target.ts';
export { planAoe } from './servers/aoe-target.ts';
export type { DnsNames } from './servers/dns-server.ts';
export { planDns } from './servers/dns-server.ts';
export type { ProxyDhcpOptions, ProxyDhcpTells } from './servers/proxy-dhcp-server.ts';
export type { DirectionFaults, NetworkFaults } from './faults.ts';
export { HOLD_TICKS } from './faults.ts';
export type { FileSource } from './files.ts';
export { memoryFiles, plainPath, syntheticImage } from './files.ts';
export { FRAMES_MAX } from './frame.ts';
export type { NetworkOptions } from './network.ts';
export { Network } from './network.ts';
export { NetworkOptionError } from './options.ts';
export type {
  DhcpCounters,
  DropReason,
  FaultCounters,
  NetworkStatistics,
  TftpCounters,
  TransferOutcome,
  TransferRecord,
} from './statistics.ts';
export type { PathOptions } from './path.ts';
export { VLAN_MAX } from './path.ts';
export type { TftpHabit, TftpMisbehaviour, TftpServerOptions } from './servers/tftp-options.ts';
export { TFTP_HABITS } from './servers/tftp-options.ts';

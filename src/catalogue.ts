// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * All errors by name, each with the POSIX class that iPXE would report and with what the reader can
 * do about it. The ROM throws names only: nothing that runs on a machine needs what stands here. A
 * name means one thing, whatever layer it comes from.
 */

/** The POSIX class of an error, as iPXE's errno has it. */
export type Errno =
  | 'EACCES'
  | 'ECANCELED'
  | 'EINVAL'
  | 'EIO'
  | 'ENOBUFS'
  | 'ENODEV'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOTSUP'
  | 'EPIPE'
  | 'EPLATFORM'
  | 'EPROTO'
  | 'ERANGE'
  | 'ETIMEDOUT';

/** POSIX class, and what to do next, in one sentence. */
export type ErrorEntry = readonly [errno: Errno, advice: string];

const NOT_HYPERV = 'Run on Hyper-V or on a host that shows its interface, or use another driver.';
const PRIVILEGE = 'Enable the Hyper-V enlightenments (SynIC, messages, events) for this guest.';
const BROKE_VMBUS = 'Report the host with a trace: it broke the VMBus protocol.';
const BROKE_NVSP = 'Report the host with a trace: it broke the NVSP protocol.';
const GUEST = 'Ask the guest: -v shows what it logs, --trace what it did.';
const BROKE_RNDIS = 'Report the device with a trace: it broke the RNDIS protocol.';

const errors = <N extends string>(table: Readonly<Record<N, ErrorEntry>>) => table;

/** The errors of each layer, in the order in which a boot can meet them. */
export const ERRORS = {
  hypervisor: errors({
    BadMachine: ['EINVAL', 'Give a machine with all members of the seam: src/machine.ts.'],
    BadArgument: ['EINVAL', 'Call the library with what the text names: its types say what.'],
    ArchitectureUnsupported: ['ENOTSUP', 'Run this firmware on x86-64 or arm64.'],
    NoHypervisor: ['ENODEV', NOT_HYPERV],
    NotHyperV: ['ENODEV', NOT_HYPERV],
    NoHypercallRegister: ['ENODEV', PRIVILEGE],
    NoSynic: ['ENODEV', PRIVILEGE],
    NoPostMessages: ['EACCES', PRIVILEGE],
    NoSignalEvents: ['EACCES', PRIVILEGE],
    NoReferenceTime: ['ENODEV', 'Enable the partition reference counter for this guest.'],
    OwnedByUefi: ['ENOTSUP', "Use the firmware's own network protocol (SNP) on Gen 2 VMs."],
    RegisterRefused: ['EPLATFORM', 'Look the status up in the TLFS; the host lacks a register.'],
    HypercallPageLocked: [
      'ENOTSUP',
      'Reset the VM: an earlier owner has locked the hypercall page.',
    ],
    HypercallPageRefused: ['EIO', 'Report the host: it did not enable the hypercall page.'],
    NoSyntheticTimers: ['ENOTSUP', 'Use the clock: the host lacks timers, or direct ones.'],
    BadTimer: ['EINVAL', 'Choose timer 0 to 3, and one of each: time or period, SINT or vector.'],
    ClockStopped: ['EIO', 'Report the host: its reference time does not advance.'],
    PostFailed: [
      'EPLATFORM',
      'Look the hypercall status up in the TLFS; the host refused a message.',
    ],
    PostThrottled: ['EPLATFORM', 'The host stayed out of buffers; try again later.'],
    SignalFailed: [
      'EPLATFORM',
      'Look the hypercall status up in the TLFS; the host refused an event.',
    ],
    BadSint: ['EINVAL', 'Choose a SINT from 1 to 15.'],
    SintInUse: ['EINVAL', 'Choose a SINT that no other driver and no timer uses.'],
    Cancelled: ['ECANCELED', 'Nothing: whoever started the boot asked for it to end.'],
    Quiesced: ['EPIPE', 'Call unquiesce() before using the connection.'],
  }),
  memory: errors({
    OutOfMemory: ['ENOMEM', 'Give the guest more memory, or choose smaller rings and buffers.'],
  }),
  VMBus: errors({
    VersionRefused: [
      'ENOTSUP',
      'Use a host from Windows Server 2012 R2 on: older ones cannot disconnect a guest cleanly.',
    ],
    VersionTooOld: [
      'ENOTSUP',
      'A secondary driver needs VMBus 5.0, another processor than 0 needs 3.0: use a newer host.',
    ],
    PortShared: ['EPROTO', 'Unload the other VMBus driver first: this host serves only one.'],
    ContactFailed: ['EIO', 'Look at the connection state; the host could not map our pages.'],
    NoResponse: [
      'ETIMEDOUT',
      'Check that the host offers VMBus to this guest and is not overloaded.',
    ],
    TooManyMessages: ['EPROTO', BROKE_VMBUS],
    MessageTooShort: ['EPROTO', BROKE_VMBUS],
    GpadlTooLarge: ['EINVAL', 'Choose buffers and rings of at most 8190 pages.'],
    GpadlRefused: ['EPROTO', 'Free guest memory on the host, or choose smaller buffers.'],
    OpenRefused: ['EPROTO', "Look the status up as an NTSTATUS; the host's device is not ready."],
    ModifyRefused: ['EPROTO', 'Check that the processor exists and that the channel is open.'],
    NotSupported: ['ENOTSUP', 'Use a host with a newer version of VMBus, or do without.'],
    ChannelRescinded: ['EPIPE', 'The host took the device away; wait for it to be offered again.'],
    ChannelBroken: ['EPROTO', BROKE_VMBUS],
    RingFull: ['ENOBUFS', 'Choose a larger ring, or send less at once.'],
    BadRingSize: ['EINVAL', 'Choose a power of two of data pages from 1 to 4096.'],
    PacketHeaderTooShort: ['EINVAL', BROKE_VMBUS],
    PacketLengthMismatch: ['EINVAL', BROKE_VMBUS],
    PacketTooLong: ['ERANGE', 'Choose a larger packet buffer.'],
    PacketTypeUnknown: ['ENOTSUP', BROKE_VMBUS],
    BadBuffer: ['EINVAL', 'Give 1 to 32 pages, with offsets and lengths that lie within them.'],
    RangeCountMismatch: ['EINVAL', BROKE_VMBUS],
  }),
  NetVSC: errors({
    NoCompletion: ['ETIMEDOUT', "Check the host's virtual switch: its network service is silent."],
    BadCompletion: ['EPROTO', BROKE_NVSP],
    NvspVersionRefused: ['EPROTO', 'Use a host that speaks NVSP version 1; all known ones do.'],
    SendBufferRefused: ['EPROTO', 'Choose another size of the send buffer, or none.'],
    ReceiveBufferRefused: ['EPROTO', 'Choose another size of the receive buffer.'],
    UnexpectedCompletion: ['EPIPE', BROKE_NVSP],
    UnknownPageSet: ['ENOENT', BROKE_NVSP],
    RangeOutsideBuffer: ['ERANGE', BROKE_NVSP],
    RangesTooLong: ['ERANGE', BROKE_NVSP],
    BadNvspMessage: ['EINVAL', BROKE_NVSP],
    UnsupportedMessage: ['ENOTSUP', BROKE_NVSP],
    TransmitFailed: ['EIO', 'The host refused a frame; it is lost.'],
    TransmitCancelled: ['ECANCELED', 'The device was closed; send the frame again.'],
    BadPolicy: ['EINVAL', 'Choose whole pages for buffers and at least one transmit slot.'],
  }),
  RNDIS: errors({
    NoAnswer: ['ETIMEDOUT', 'Check the virtual switch of the host: its RNDIS device is silent.'],
    RequestFailed: ['EIO', 'Look the status up as an NDIS status; the device refused a request.'],
    NoBuffer: ['ENOBUFS', 'The device completes nothing: close and open it again.'],
    TransportFailed: ['EPIPE', 'The device below is gone; close this one.'],
    BadRndisMessage: ['EINVAL', BROKE_RNDIS],
    BadAddress: ['EINVAL', 'The device reports no 6-byte MAC address: configure one on the host.'],
    UnknownMessage: ['EPROTO', BROKE_RNDIS],
    UnknownStatus: ['ENOTSUP', 'A status that this driver does not know; it was ignored.'],
    FrameTooLong: ['EINVAL', 'Lower the MTU.'],
    FrameTooShort: ['EINVAL', BROKE_RNDIS],
    NotOpen: ['EPIPE', 'Open the device first.'],
  }),
  network: errors({
    DeviceClosed: [
      'ENODEV',
      'The device went away during the boot: see the log lines of its driver for the reason.',
    ],
    DeviceUnfit: ['ENOTSUP', 'Use a device whose MTU is at least 576 bytes.'],
    Flooded: [
      'ENOBUFS',
      'Look at the drop counters for what floods the interface, and move it to a quieter network.',
    ],
    NoRoute: [
      'EINVAL',
      'Let the DHCP server hand out a router (option 3), or use a next server in the same subnet.',
    ],
    NoNeighbour: [
      'ETIMEDOUT',
      'Check that this host is up, in the same network, and answers ARP requests.',
    ],
    LinkDown: ['EPIPE', 'Connect the virtual network adapter to a virtual switch.'],
  }),
  DHCP: errors({
    NoDhcpAnswer: [
      'ETIMEDOUT',
      'Check that a DHCP server with free addresses runs in this network (VLAN, switch, relay).',
    ],
    DhcpRefused: [
      'EACCES',
      'Look into the log of the DHCP server for why it takes its offers back.',
    ],
    DhcpServerSilent: [
      'ETIMEDOUT',
      'The server offers but does not acknowledge: look into its log, and for a second server.',
    ],
    BadLease: [
      'EPROTO',
      'Correct the subnet, router or address range in the configuration of the DHCP server.',
    ],
    NoBootFile: [
      'ENOENT',
      'Let the DHCP or a ProxyDHCP server name a boot file (file, or option 67), or give one.',
    ],
    NoNextServer: [
      'ENOENT',
      'Let the DHCP server name a next server (siaddr, or option 66), or give one.',
    ],
    BadNextServer: [
      'EINVAL',
      'Give the next server as an IPv4 address, or as a name that the DNS servers know.',
    ],
    UnsupportedUrl: ['ENOTSUP', 'Serve the file by TFTP, as `tftp://HOST[:PORT]/FILE` or a path.'],
  }),
  TFTP: errors({
    BadFileName: ['EINVAL', 'Use a file name without NUL and of at most about 450 bytes.'],
    NoTftpAnswer: [
      'ETIMEDOUT',
      'Start a TFTP server on the next server; let no firewall drop answers from new ports.',
    ],
    TftpStalled: [
      'ETIMEDOUT',
      'Look into the log of the server, and try a smaller block size or a window size of 1.',
    ],
    TftpTooSlow: [
      'ETIMEDOUT',
      'Allow more time for the download, or look for loss in the network.',
    ],
    TftpPortUnreachable: ['EPIPE', 'Start a TFTP server on the next server, or name another one.'],
    TftpFileNotFound: [
      'ENOENT',
      'Check the name of the boot file against the root directory of the TFTP server.',
    ],
    TftpAccessDenied: ['EACCES', 'Let the TFTP server read the file: check its permissions.'],
    TftpServerError: ['EIO', 'Look into the log of the TFTP server.'],
    TftpBadOptions: [
      'EPROTO',
      'The server answers options against RFC 2347: turn them off there, or use another server.',
    ],
    TftpOversizedBlock: [
      'EPROTO',
      'The server sends blocks longer than agreed: use a smaller block size, or another server.',
    ],
    TftpBeyondSize: [
      'EPROTO',
      'The file is longer than the server told: was it replaced meanwhile? Try again.',
    ],
    TftpTruncated: [
      'EPROTO',
      'The file ended before the size that the server told: was it replaced meanwhile? Try again.',
    ],
  }),
  boot: errors({
    NoNetworkDevice: [
      'ENODEV',
      'Give the VM a synthetic network adapter; the log says why one could not be probed.',
    ],
    ShutDown: ['ECANCELED', 'Start the VM again: somebody on the host has shut it down.'],
    ImageTooLarge: ['ENOMEM', 'Give the guest more memory, or boot a smaller image.'],
    ImageEmpty: ['EINVAL', 'Serve a file that has contents.'],
    PushedFileMissing: ['ENOENT', 'Push the file, too, under the name that the script has for it.'],
    PushedFileEmpty: ['EINVAL', 'Push a file that has contents.'],
    CommandLineTooLong: ['ERANGE', 'Push a command line of at most 4096 bytes.'],
    BadScript: [
      'EINVAL',
      'Use set filename, set next-server, kernel FILE [ARGUMENTS], initrd FILE, imgargs FILE ' +
        '[ARGUMENTS], autoboot or boot.',
    ],
  }),
  guest: errors({
    GuestNoDevice: ['ENODEV', GUEST],
    GuestNoAccess: ['EACCES', GUEST],
    GuestNotSupported: ['ENOTSUP', GUEST],
    GuestNoMemory: ['ENOMEM', 'Give the guest more memory: --memory MIB.'],
    GuestNoBuffers: ['ENOBUFS', GUEST],
    GuestTimedOut: ['ETIMEDOUT', GUEST],
    GuestProtocol: ['EPROTO', GUEST],
    GuestPipe: ['EPIPE', GUEST],
    GuestFailed: ['EIO', GUEST],
  }),
} as const;

type Layers = typeof ERRORS;

/** The name of an error: stable, for scripts and tests. */
export type ErrorName = { [L in keyof Layers]: keyof Layers[L] }[keyof Layers];

const BY_NAME: ReadonlyMap<string, ErrorEntry> = new Map(
  Object.values(ERRORS).flatMap((table): [string, ErrorEntry][] => Object.entries(table)),
);

/** The entry of an error, or undefined if the name is none of ours. */
export function errorEntry(name: string): ErrorEntry | undefined {
  return BY_NAME.get(name);
}

/** The POSIX class of an error, or undefined if the name is none of ours. */
export function errnoOf(name: string | undefined): Errno | undefined {
  return BY_NAME.get(name ?? '')?.[0];
}

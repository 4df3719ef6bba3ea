// SPDX-License-Identifier: GPL-2.0-or-later

/** The named errors of the VMBus layer. */

import { errorKinds } from '../error.ts';

const REPORT = 'Report the host with a trace: it broke the VMBus protocol.';

export const VmbusError = errorKinds({
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
  TooManyMessages: ['EPROTO', REPORT],
  MessageTooShort: ['EPROTO', REPORT],
  GpadlTooLarge: ['EINVAL', 'Choose buffers and rings of at most 8190 pages.'],
  GpadlRefused: ['EPROTO', 'Free guest memory on the host, or choose smaller buffers.'],
  OpenRefused: ['EPROTO', "Look the status up as an NTSTATUS; the host's device is not ready."],
  ModifyRefused: ['EPROTO', 'Check that the processor exists and that the channel is open.'],
  NotSupported: ['ENOTSUP', 'Use a host with a newer version of VMBus, or do without.'],
  ChannelRescinded: ['EPIPE', 'The host took the device away; wait for it to be offered again.'],
  ChannelBroken: ['EPROTO', REPORT],
  RingFull: ['ENOBUFS', 'Choose a larger ring, or send less at once.'],
  BadRingSize: ['EINVAL', 'Choose a power of two of data pages from 1 to 4096.'],
  PacketHeaderTooShort: ['EINVAL', REPORT],
  PacketLengthMismatch: ['EINVAL', REPORT],
  PacketTooLong: ['ERANGE', 'Choose a larger packet buffer.'],
  PacketTypeUnknown: ['ENOTSUP', REPORT],
  BadBuffer: ['EINVAL', 'Give 1 to 32 pages, with offsets and lengths that lie within them.'],
  RangeCountMismatch: ['EINVAL', REPORT],
});

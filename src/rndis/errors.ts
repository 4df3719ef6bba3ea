// SPDX-License-Identifier: GPL-2.0-or-later

/** The named errors of the RNDIS layer. */

import { errorKinds } from '../error.ts';

const REPORT = 'Report the device with a trace: it broke the RNDIS protocol.';

export const RndisError = errorKinds({
  NoAnswer: ['ETIMEDOUT', 'Check the virtual switch of the host: its RNDIS device is silent.'],
  RequestFailed: ['EIO', 'Look the status up as an NDIS status; the device refused a request.'],
  NoBuffer: ['ENOBUFS', 'The device completes nothing: close and open it again.'],
  TransportFailed: ['EPIPE', 'The device below is gone; close this one.'],
  BadMessage: ['EINVAL', REPORT],
  BadAddress: ['EINVAL', 'The device reports no 6-byte MAC address: configure one on the host.'],
  UnknownMessage: ['EPROTO', REPORT],
  UnknownStatus: ['ENOTSUP', 'A status that this driver does not know; it was ignored.'],
  FrameTooLong: ['EINVAL', 'Lower the MTU.'],
  FrameTooShort: ['EINVAL', REPORT],
  NotOpen: ['EPIPE', 'Open the device first.'],
});

// SPDX-License-Identifier: GPL-2.0-or-later

/** The named errors of the NetVSC layer. */

import { errorKinds } from '../error.ts';

const REPORT = 'Report the host with a trace: it broke the NVSP protocol.';

export const NetvscError = errorKinds({
  NoCompletion: ['ETIMEDOUT', "Check the host's virtual switch: its network service is silent."],
  BadCompletion: ['EPROTO', REPORT],
  VersionRefused: ['EPROTO', 'Use a host that speaks NVSP version 1; all known ones do.'],
  SendBufferRefused: ['EPROTO', 'Choose another size of the send buffer, or none.'],
  ReceiveBufferRefused: ['EPROTO', 'Choose another size of the receive buffer.'],
  UnexpectedCompletion: ['EPIPE', REPORT],
  UnknownPageSet: ['ENOENT', REPORT],
  RangeOutsideBuffer: ['ERANGE', REPORT],
  RangesTooLong: ['ERANGE', REPORT],
  BadMessage: ['EINVAL', REPORT],
  UnsupportedMessage: ['ENOTSUP', REPORT],
  TransmitFailed: ['EIO', 'The host refused a frame; it is lost.'],
  TransmitCancelled: ['ECANCELED', 'The device was closed; send the frame again.'],
  BadPolicy: ['EINVAL', 'Choose whole pages for buffers and at least one transmit slot.'],
});

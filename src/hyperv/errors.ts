// SPDX-License-Identifier: GPL-2.0-or-later

/** The named errors of the hypervisor layer. */

import { errorKinds } from '../error.ts';

const NOT_HYPERV = 'Run on Hyper-V or on a host that shows its interface, or use another driver.';
const PRIVILEGE = 'Enable the Hyper-V enlightenments (SynIC, messages, events) for this guest.';

export const HypervError = errorKinds({
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
  HypercallPageLocked: ['ENOTSUP', 'Reset the VM: an earlier owner has locked the hypercall page.'],
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
});

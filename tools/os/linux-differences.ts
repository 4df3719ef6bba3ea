// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Where the loaded OS is not what Linux was recorded to be, and why. A test compares: no other
 * difference is accepted, and none that is not there any more.
 */

/** A recorded session, in the order in which it is compared. */
export type LinuxSession = 'boot-kexec' | 'boot-crash' | 'drivers';

export interface LinuxDifference {
  readonly session: LinuxSession;
  /** Lines of the recording that the loaded OS does not have, and what it has in their place. */
  readonly recorded: readonly string[];
  readonly own: readonly string[];
  readonly reason: string;
}

export const LINUX_DIFFERENCES: readonly LinuxDifference[] = [
  {
    session: 'boot-kexec',
    recorded: ['write REFERENCE_TSC 0x0'],
    own: [],
    reason:
      'Linux clears the register though CPUID does not grant it, and survives the fault: ' +
      'here a fault ends the guest',
  },
];

// SPDX-License-Identifier: GPL-2.0-or-later

/** The option that names a loaded OS, wherever one can be named. */

import { LINUX_VERSIONS, isLinuxName, type LinuxName } from '../os/os-versions.ts';
import { UsageError, didYouMean, quoted } from './usage.ts';

/** @throws UsageError UnknownOs */
export function knownLinux(name: string): LinuxName {
  if (isLinuxName(name)) return name;
  const advice = didYouMean(name, Object.keys(LINUX_VERSIONS));
  throw new UsageError('UnknownOs', `there is no OS ${quoted(name)}`, advice);
}

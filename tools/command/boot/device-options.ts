// SPDX-License-Identifier: GPL-2.0-or-later

/** The further devices of a machine, by their names. */

import { DEVICES, deviceNamed } from '../../simulator/services/devices.ts';
import { UsageError, didYouMean, quoted } from '../usage.ts';

/** For helps: the devices, each with what it is. */
export const DEVICES_HELP = DEVICES.map(({ name, text }) => `${name} (${text})`).join(', ');

/** The names of `--devices`. @throws UsageError UnknownDevice, DeviceTwice */
export function readDevices(text: string | undefined): readonly string[] {
  const names = text === undefined ? [] : text.split(',');
  for (const [i, name] of names.entries()) {
    if (deviceNamed(name) === undefined) {
      const advice = didYouMean(
        name,
        DEVICES.map((device) => device.name),
      );
      throw new UsageError('UnknownDevice', `there is no device ${quoted(name)}`, advice);
    }
    if (names.indexOf(name) === i) continue;
    throw new UsageError('DeviceTwice', `--devices has ${name} twice`, 'Name each once.');
  }
  return names;
}

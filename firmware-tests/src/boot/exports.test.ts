// SPDX-License-Identifier: GPL-2.0-or-later

/** What each entry exports: a name that goes, or comes, is a decision. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as arm64 from '../../../src/arm64.ts';
import * as hypxe from '../../../src/index.ts';
import * as os from '../../../src/os.ts';
import * as x64 from '../../../src/x64.ts';

const ENTRIES = { hypxe, x64, arm64, os };

/** The firmware of one architecture. */
const SMALL = ['boot', 'createDriver'];

/** The firmware: of what the first `hypxe` exported, what a ROM has. */
const FIRMWARE = [
  ...SMALL,
  'ETHERNET_FRAME_MAX',
  'GuestMemory',
  'HyperV',
  'HypervDriver',
  'HypxeError',
  'Log',
  'MapAllocator',
  'NETVSC_PRESETS',
  'NET_PARTS',
  'NetvscDriver',
  'PAGE_SIZE',
  'SharedMemory',
  'VmbusBus',
  'anyPlatform',
  'contactAsFirmware',
];

/** What only an OS does; those of the first line the first `hypxe` exported, too. */
const OS = [
  ...['FileCopyService', 'HeartbeatService', 'LATER', 'OS_BUS', 'SERVICE_NAMES'],
  ...['ShutdownService', 'TimeSyncService', 'contactAsOs', 'contactAsSecondary'],
  ...['contactNewestOf', 'secondaryBus', 'wallTimeMs'],
  ...['BootServices', 'ERRORS', 'FileStore', 'PUSHED', 'crashReport', 'errnoOf', 'errorEntry'],
  ...['serviceDrivers', 'OS_NETVSC', 'OS_VERSIONS', 'OsChannel', 'PageBuffers'],
  ...['SyntheticTimers', 'channelById', 'dispatchEvents', 'initiateUnload', 'modifyChannel'],
  ...['osNetvsc', 'osSint', 'reportCrash', 'sendMultiPageBuffer', 'sendPageBuffers'],
  'subchannelsOf',
  ...['ReferenceTsc', 'takeEventFlags'],
];

const EXPORTS: Readonly<Record<keyof typeof ENTRIES, readonly string[]>> = {
  hypxe: FIRMWARE,
  x64: SMALL,
  arm64: SMALL,
  os: [...FIRMWARE, ...OS],
};

const test = suite('exports');

for (const [name, entry] of Object.entries(ENTRIES) as [keyof typeof ENTRIES, object][])
  test(`of ${name}, of its bundle, and of its minified one`, async () => {
    const expected = [...EXPORTS[name]].sort();
    const bundles = await Promise.all(
      [`${name}.js`, `${name}.min.js`].map(
        (file) => import(new URL(`../../../dist/${file}`, import.meta.url).href) as object,
      ),
    );
    for (const one of [entry, ...bundles]) assert.equal(Object.keys(one).sort(), expected);
  });

test.run();

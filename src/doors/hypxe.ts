// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe` as programs import it: the ROM, with a look at what it is handed. */

import { guardBoot } from './boot-shapes.ts';
import { FIRMWARE_SHAPES } from './firmware-shapes.ts';
import { boot as bareBoot, createDriver as bareDriver } from '../index.ts';

export {
  GuestMemory,
  HyperV,
  HypervDriver,
  Log,
  MapAllocator,
  NetvscDriver,
  SharedMemory,
  VmbusBus,
  anyPlatform,
  contactAsFirmware,
} from './drivers.ts';
export { ETHERNET_FRAME_MAX, HypxeError, NETVSC_PRESETS, NET_PARTS, PAGE_SIZE } from '../index.ts';

export const { boot, createDriver } = /* @__PURE__ */ guardBoot(FIRMWARE_SHAPES, {
  boot: bareBoot,
  createDriver: bareDriver,
});

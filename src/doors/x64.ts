// SPDX-License-Identifier: GPL-2.0-or-later

/** `hypxe/x64` as programs import it: the ROM, with a look at what it is handed. */

import { BOOT_SHAPES, guardBoot } from './boot-shapes.ts';
import { boot as bareBoot, createDriver as bareDriver } from '../x64.ts';

export const { boot, createDriver } = /* @__PURE__ */ guardBoot(BOOT_SHAPES, {
  boot: bareBoot,
  createDriver: bareDriver,
});

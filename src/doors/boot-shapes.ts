// SPDX-License-Identifier: GPL-2.0-or-later

/** What the firmware of one architecture is handed, for {@link Guard}: the shapes of the types. */

import { HypxeError } from '../error.ts';
import { Guard, type Shapes } from './guard.ts';

const COMMON = 'architecture:string memory:buffer memoryMap:MemoryRange[] pause:function';
const MORE = 'pageSize?:number uuid?:bytes';

export const DRIVER_OPTIONS =
  "preset?:'default'|'ipxe' policy?:object netvsc?:function events?:function random?:function " +
  "contact?:function clock?:'best'|'counter' guestOsId?:bigint firstGpadl?:number " +
  'drivers?:VmbusDriver[] cancel?:function allocator?:Allocator';

export const BOOT_OPTIONS =
  `${DRIVER_OPTIONS} bootFile?:string nextServer?:string device?:string pages?:function ` +
  'net?:Net parts?:object[]';

export const BOOT_SHAPES: Shapes = {
  // The machine
  Machine: (value) => {
    const { architecture } = value as { architecture?: unknown };
    if (architecture === 'arm64') return 'Arm64Machine';
    return architecture === 'x64' ? 'X64Machine' : 'OtherMachine';
  },
  X64Machine:
    `a machine;${COMMON} cpuid:function rdmsr:function wrmsr:function ` +
    `callHypercallPage:function ${MORE}`,
  Arm64Machine:
    `a machine;${COMMON} hvc:function readCounter:function ` + `counterFrequency:number ${MORE}`,
  OtherMachine: `a machine;${COMMON} ${MORE}`,
  MemoryRange: "a range;address:number length:number type:'usable'|'reserved'",

  // Options
  DriverOptions: DRIVER_OPTIONS,
  BootOptions: BOOT_OPTIONS,
  Net: 'dhcp?:object tftp?:object net?:object parts?:object linkWaitMs?:number',

  // What others put in the place of parts
  Allocator: 'an allocator;allocate:function free:function',
  VmbusDriver: 'a driver;interfaceId:string probe:function',
};

/** An error of the firmware: of the machine, or of anything else that was handed in. */
export function firmwareRefusal(path: string, text: string): HypxeError {
  return new HypxeError(/^machine\b/.test(path) ? 'BadMachine' : 'BadArgument', text);
}

/** The guard of a library of the firmware. */
export const guardFirmware = (shapes: Shapes): Guard => new Guard(shapes, firmwareRefusal);

/** What boots, of one entry: both functions of it, as they are in all. */
export function guardBoot<
  B extends (...values: never[]) => unknown,
  D extends (...values: never[]) => unknown,
>(shapes: Shapes, bare: { readonly boot: B; readonly createDriver: D }) {
  const guard = guardFirmware(shapes);
  return {
    boot: guard.of('boot', 'machine:Machine options?:BootOptions', bare.boot),
    createDriver: guard.of(
      'createDriver',
      'machine:Machine options?:DriverOptions',
      bare.createDriver,
    ),
  };
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The ACPI table by which an operating system finds VMBus: Linux's `hv_vmbus` binds to the device
 * with the identifier `VMBus` (drivers/hv/vmbus_drv.c, `vmbus_acpi_device_ids`). The PC's BIOS has
 * no such device; this table adds it (ACPI specification 6.5, sections 5.2.11.2 and 20.2).
 */

/** The namespace path and the methods of the device. */
const HEADER_SIZE = 36;

const ascii = (text: string): number[] => [...text].map((each) => each.charCodeAt(0));

/** A package: its length includes the bytes that say it. */
function withLength(contents: readonly number[]): number[] {
  const short = contents.length + 1;
  if (short < 0x40) return [short, ...contents];
  const long = contents.length + 2;
  return [0x40 | (long & 0xf), long >> 4, ...contents];
}

const name = (of: string, value: readonly number[]): number[] => [0x08, ...ascii(of), ...value];

/** The table: `Scope (\_SB) { Device (VMBS) { _HID, _UID, _STA, _CRS } }`. */
export function vmbusTable(): Uint8Array {
  const device = [
    ...ascii('VMBS'),
    ...name('_HID', [0x0d, ...ascii('VMBus'), 0]),
    ...name('_UID', [0x00]),
    // Present, enabled, shown, working
    ...name('_STA', [0x0a, 0x0f]),
    // No resources: a buffer of 2 bytes, the end tag
    ...name('_CRS', [0x11, ...withLength([0x0a, 0x02, 0x79, 0x00])]),
  ];
  const scope = [0x5c, ...ascii('_SB_'), 0x5b, 0x82, ...withLength(device)];
  const code = [0x10, ...withLength(scope)];

  const table = new Uint8Array(HEADER_SIZE + code.length);
  const view = new DataView(table.buffer);
  table.set(ascii('SSDT'));
  view.setUint32(4, table.length, true);
  table[8] = 1; // revision: integers of 32 bits
  table.set(ascii('HYPXE '), 10);
  table.set(ascii('VMBUS   '), 16);
  view.setUint32(24, 1, true);
  table.set(ascii('HPXE'), 28);
  view.setUint32(32, 1, true);
  table.set(code, HEADER_SIZE);
  table[9] = -table.reduce((sum, byte) => sum + byte, 0);
  return table;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The ACPI table by which an operating system finds VMBus: Linux's `hv_vmbus` binds to the device
 * with the identifier `VMBus`, and asks the devices above it for the windows of addresses that its
 * children may claim (drivers/hv/vmbus_drv.c, `vmbus_acpi_add`). The PC's BIOS has no such devices;
 * this table adds them, as mu_msvm has them for Hyper-V (MsvmPkg/AcpiTables, VMOD and VMBS). Coded
 * after the ACPI specification 6.5, sections 5.2.11.2, 6.4 and 20.2.
 */

/** Length of what each ACPI table begins with. */
const HEADER_SIZE = 36;

/**
 * The window: from where Hyper-V has it, and above all RAM that a PC can have. What v86 has on PCI
 * lies below it and above it (seen in Linux's log: 0xe0000000 and 0xfeb00000). Without a window
 * Linux goes up to the root of the namespace, where 5.10 crashes (seen: acpi_ns_lookup).
 */
const MMIO_WINDOW = { address: 0xf8000000, length: 0x4000000 };

const ascii = (text: string): number[] => [...text].map((each) => each.charCodeAt(0));

const dword = (value: number): number[] => [0, 8, 16, 24].map((bits) => (value >>> bits) & 0xff);

/** A package: its length includes the bytes that say it. */
function withLength(contents: readonly number[]): number[] {
  const short = contents.length + 1;
  if (short < 0x40) return [short, ...contents];
  const long = contents.length + 2;
  return [0x40 | (long & 0xf), long >> 4, ...contents];
}

const name = (of: string, value: readonly number[]): number[] => [0x08, ...ascii(of), ...value];

const text = (value: string): number[] => [0x0d, ...ascii(value), 0];

const device = (of: string, contents: readonly number[]): number[] => [
  ...[0x5b, 0x82],
  ...withLength([...ascii(of), ...contents]),
];

/** A buffer with descriptors of resources, up to the tag at their end. */
function resources(descriptors: readonly number[]): number[] {
  const bytes = [...descriptors, 0x79, 0x00];
  return [0x11, ...withLength([0x0a, bytes.length, ...bytes])];
}

/** A window of memory of 32 bits, for the devices below: both ends fixed, cacheable, read/write. */
function memoryWindow({ address, length }: typeof MMIO_WINDOW): number[] {
  const [granularity, translation] = [0, 0];
  const range = [granularity, address, address + length - 1, translation, length].flatMap(dword);
  return [0x87, range.length + 3, 0, 0x00, 0x0c, 0x03, ...range];
}

/** Edge, active high, exclusive: mu_msvm gives VMBus one for Linux, of which old ones want it. */
const IRQ_5 = [0x23, 1 << 5, 0, 0x01];

/**
 * The table: `Scope (\_SB) { Device (VMOD) { _HID, _UID, _CRS, Device (VMBS) { _HID, _UID, _DDN,
 * _STA, _CRS } } }`.
 */
export function vmbusTable(): Uint8Array {
  const bus = device('VMBS', [
    ...name('_HID', text('VMBus')),
    ...name('_UID', [0x00]),
    ...name('_DDN', text('VMBUS')),
    // Present, enabled, shown, working
    ...name('_STA', [0x0a, 0x0f]),
    ...name('_CRS', resources(IRQ_5)),
  ]);
  // A module device
  const module = device('VMOD', [
    ...name('_HID', text('ACPI0004')),
    ...name('_UID', [0x00]),
    ...name('_CRS', resources(memoryWindow(MMIO_WINDOW))),
    ...bus,
  ]);
  const code = [0x10, ...withLength([0x5c, ...ascii('_SB_'), ...module])];

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

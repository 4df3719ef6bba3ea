// SPDX-License-Identifier: GPL-2.0-or-later

/** The ACPI table of VMBus, against what ACPICA's compiler makes of it. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { vmbusTable } from '../../../../tools/guests/pc/vmbus-acpi.ts';

const acpi = suite('the ACPI table of VMBus');

/**
 * What `iasl -vw 6033` (version 20200925) compiles from this, behind the header of 36 bytes; the
 * compiler warns of the identifier VMBus, which is none that the specification allows:
 *
 *     DefinitionBlock ("", "SSDT", 1, "HYPXE ", "VMBUS   ", 1) {
 *       Scope (\_SB) {
 *         Device (VMOD) {
 *           Name (_HID, "ACPI0004")
 *           Name (_UID, 0)
 *           Name (_CRS, ResourceTemplate () {
 *             DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
 *               0, 0xF8000000, 0xFBFFFFFF, 0, 0x04000000)
 *           })
 *           Device (VMBS) {
 *             Name (_HID, "VMBus")
 *             Name (_UID, 0)
 *             Name (_DDN, "VMBUS")
 *             Name (_STA, 0x0F)
 *             Name (_CRS, ResourceTemplate () { IRQ (Edge, ActiveHigh, Exclusive) { 5 } })
 *           }
 *         }
 *       }
 *     }
 */
const COMPILED = `
  1044085c5f53425f5b824b07564d4f44085f4849440d414350493030303400085f55494400
  085f435253111f0a1c871700000c0300000000000000f8fffffffb00000000000000047900
  5b8239564d4253085f4849440d564d42757300085f55494400085f44444e0d564d42555300
  085f5354410a0f085f43525311090a06232000017900`.replaceAll(/\s/g, '');

const HEADER_SIZE = 36;

acpi('the devices are those that the compiler makes', () => {
  const code = Buffer.from(vmbusTable().subarray(HEADER_SIZE));
  assert.is(code.toString('hex'), COMPILED);
});

acpi('the header says what follows, and the sum of all bytes is zero', () => {
  const table = vmbusTable();
  const header = Buffer.from(table.subarray(0, HEADER_SIZE));
  assert.is(header.toString('latin1', 0, 4), 'SSDT');
  assert.is(header.readUInt32LE(4), HEADER_SIZE + COMPILED.length / 2);
  assert.is(header[8], 1);
  assert.is(header.toString('latin1', 10, 24), 'HYPXE VMBUS   ');
  assert.is(
    table.reduce((sum, byte) => (sum + byte) & 0xff, 0),
    0,
  );
});

acpi.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Puts a TAP device onto a Unix socket, for `hypxe boot --link stream:PATH`: frames with their
 * length before them. The device is inherited as standard input; `socat` makes it, without root in
 * a network namespace of one's own:
 *
 *     unshare -Urn socat TUN,tun-type=tap,tun-name=tap0,iff-no-pi,up \
 *       EXEC:'node tools/links/tap-bridge.mjs PATH',nofork
 *
 * TAG, a number of 16 bits, is for networks that have no VLAN devices: with VLAN 0 in it what goes
 * to the guest gets that priority tag, with another VLAN a copy with that tag goes before it.
 *
 * One guest at a time; the next may connect when one has gone.
 */

import * as fs from 'node:fs';
import * as net from 'node:net';

/** Descriptor of the TAP device. */
const TAP = 0;

/** Bytes of the length, and the longest frame. */
const LENGTH_BYTES = 4;
const FRAME_MAX = 65535;

/** Bytes that may wait for a guest that does not read: frames beyond that are lost. */
const BACKLOG_MAX = 2 ** 20;

/** Where a VLAN tag goes in a frame, its type, and the VLAN in it (802.1Q). */
const TAG_AT = 12;
const TAG_TYPE = 0x8100;
const VLAN_MASK = 0xfff;

const [path, tag] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: tap-bridge.mjs PATH [TAG] (with a TAP device as standard input)');
  process.exit(2);
}

/** @type {net.Socket | undefined} */
let guest;

/**
 * @param {net.Socket} socket
 * @param {Uint8Array} frame
 */
function send(socket, frame) {
  const record = Buffer.allocUnsafe(LENGTH_BYTES + frame.length);
  record.writeUInt32BE(frame.length);
  record.set(frame, LENGTH_BYTES);
  socket.write(record);
}

/**
 * A frame with a tag.
 *
 * @param {Buffer} frame
 * @param {number} control priority and VLAN
 */
function tagged(frame, control) {
  const bytes = Buffer.from([0, 0, 0, 0]);
  bytes.writeUInt16BE(TAG_TYPE);
  bytes.writeUInt16BE(control, 2);
  return Buffer.concat([frame.subarray(0, TAG_AT), bytes, frame.subarray(TAG_AT)]);
}

/** From the TAP device to the guest. */
const buffer = Buffer.alloc(FRAME_MAX);
function wantsTap() {
  fs.read(TAP, buffer, 0, FRAME_MAX, null, (error, length) => {
    if (error !== null) return stop(`the TAP device: ${error.message}`);
    if (length === 0) return stop('the TAP device has gone');
    if (guest !== undefined && guest.writableLength < BACKLOG_MAX) {
      const frame = buffer.subarray(0, length);
      const isPriority = tag !== undefined && (Number(tag) & VLAN_MASK) === 0;
      if (tag !== undefined) send(guest, tagged(frame, Number(tag)));
      if (!isPriority) send(guest, frame);
    }
    wantsTap();
  });
}

/**
 * From the guest to the TAP device.
 *
 * @param {net.Socket} socket
 */
function serve(socket) {
  if (guest !== undefined) {
    console.error('tap-bridge: there is a guest already');
    socket.destroy();
    return;
  }
  guest = socket;
  let pending = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= LENGTH_BYTES) {
      const length = pending.readUInt32BE();
      if (length === 0 || length > FRAME_MAX) {
        console.error(`tap-bridge: a frame of ${length} bytes`);
        socket.destroy();
        return;
      }
      if (pending.length < LENGTH_BYTES + length) break;
      writeTap(pending.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
      pending = pending.subarray(LENGTH_BYTES + length);
    }
  });
  socket.on('error', (error) => console.error(`tap-bridge: ${error.message}`));
  socket.on('close', () => (guest = undefined));
}

/** @param {Buffer} frame */
function writeTap(frame) {
  try {
    fs.writeSync(TAP, frame);
  } catch (error) {
    // A device that is down, or a frame that it does not want: lost, as on a wire
    console.error(`tap-bridge: ${error instanceof Error ? error.message : error}`);
  }
}

/** @param {string} reason */
function stop(reason) {
  console.error(`tap-bridge: ${reason}`);
  process.exit(1);
}

fs.rmSync(path, { force: true });
net
  .createServer(serve)
  .on('error', (error) => stop(error.message))
  .listen(path);
wantsTap();

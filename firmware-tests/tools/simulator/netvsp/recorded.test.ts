// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The simulated network device against recorded sessions of iPXE: what the guest wrote into its
 * ring is played to the device, and what it answers is compared with what the recorded host did.
 */

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PacketType } from '../../../../src/vmbus/protocol.ts';
import { NetRig, RX_ADDRESS, hex, unhex, type HostPacket } from '../../../rigs/netvsp-rig.ts';

/** What is used of a recorded event. */
interface Event {
  readonly op: string;
  readonly channel?: number;
  readonly type?: number;
  readonly name?: string;
  readonly phase?: string;
  readonly purpose?: string;
  readonly gpa?: string;
  readonly bytes?: string;
  readonly gpaData?: string;
  readonly frame?: string;
}

function recorded(name: string): Event[] {
  const url = new URL(`../../../golden/ipxe-traces/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { events: Event[] }).events;
}

/** What the recorded host answered that this one answers otherwise, and why. */
const MASKED: readonly (readonly [string, RegExp, string])[] = [
  // The recorded host gives the last byte of the sections, Linux and OpenVMM the byte behind it
  ['end of the sections', /^(66000000.{40})bff90000/, '$1c0f90000'],
  // Limits of the device: packets per message, transfer size, alignment; as OpenVMM has them
  ['limits', /^(0200008034000000.{48}).{24}/, '$108000000ffffffef03000000'],
];

function masked(text: string): string {
  return MASKED.reduce((result, [, from, to]) => result.replace(from, to), text);
}

/** Completions by transaction, in-band or not, and RNDIS messages: what the guest saw. */
interface Seen {
  readonly completions: string[];
  readonly messages: string[];
}

/** What the recorded host sent. */
function fromTrace(events: readonly Event[]): Seen {
  const seen: Seen = { completions: [], messages: [] };
  const memory = new Map<string, string>();
  let buffer = 0;
  for (const event of events) {
    if (event.op === 'page' && event.purpose === 'rx-buffer') buffer = parseInt(event.gpa!, 16);
    if (event.op === 'host-mem-write' && event.purpose === 'receive-buffer')
      memory.set((parseInt(event.gpa!, 16) - buffer).toString(), event.bytes!);
    if (event.op !== 'host-ring-write') continue;
    // Without descriptor and footer
    const bytes = event.bytes!;
    if (event.type === PacketType.COMPLETION)
      seen.completions.push(bytes.slice(16, 32) + masked(bytes.slice(32, -16)));
    if (event.type !== PacketType.DATA_XFER_PAGES) continue;
    const view = new DataView(unhex(bytes).buffer);
    for (let i = 0; i < view.getUint32(20, true); i++) {
      const length = view.getUint32(24 + i * 8, true);
      let text = '';
      for (let at = view.getUint32(28 + i * 8, true); text.length < length * 2;) {
        const piece = memory.get(at.toString()) ?? assert.unreachable('not written');
        text += piece;
        at += String(piece).length / 2;
      }
      seen.messages.push(masked(text));
    }
  }
  return seen;
}

/** Play the guest's side of a session; frames of the host go in where the host put them. */
function play(rig: NetRig, events: readonly Event[]): Seen & { readonly frames: string[] } {
  const seen: Seen = { completions: [], messages: [] };
  const owed: HostPacket[] = [];
  const take = (packets: readonly HostPacket[]) => {
    for (const packet of packets) {
      const id = new DataView(new ArrayBuffer(8));
      id.setUint32(0, packet.low, true);
      id.setUint32(4, packet.high, true);
      const padded = packet.payload.padEnd(Math.ceil(packet.payload.length / 16) * 16, '0');
      if (packet.type === PacketType.COMPLETION)
        seen.completions.push(hex(new Uint8Array(id.buffer)) + padded);
      else {
        owed.push(packet);
        seen.messages.push(...packet.messages);
      }
    }
  };
  let first = true;
  for (const event of events) {
    if (event.op === 'page' && event.purpose === 'rx-buffer') {
      if (!first) rig.device.close();
      first = false;
      rig.open();
    }
    if (event.op !== 'ring-write') continue;
    const bytes = unhex(event.bytes!).slice(0, -8);
    const view = new DataView(bytes.buffer);
    const type = view.getUint16(0, true);
    // GPADLs have other numbers here, and transactions of the host
    if (type === PacketType.DATA_INBAND && view.getUint32(16, true) === 101)
      rig.channel.gpadls.set(view.getUint32(20, true), rig.channel.gpadl(0xe1e12)!);
    if (type === PacketType.COMPLETION) {
      const packet = owed.shift();
      if (packet === undefined) continue;
      view.setUint32(8, packet.low, true);
      view.setUint32(12, packet.high, true);
    }
    if (event.gpaData !== undefined) {
      const address = view.getUint32(32, true) * 4096 + view.getUint32(28, true);
      const inBuffer = address >= RX_ADDRESS && address < RX_ADDRESS + 0x10000;
      assert.not(inBuffer, 'the trace has its pages elsewhere');
      rig.ram.bytes.set(unhex(event.gpaData), address);
    }
    rig.channel.toHost.push(bytes);
    take(rig.signal());
  }
  return { ...seen, frames: rig.frames };
}

const sessions = suite('recorded sessions');

for (const name of ['01-boot', '14-monitored', '18-reopen-reprobe'])
  sessions(`${name}: iPXE gets the answers that it got`, () => {
    const events = recorded(name);
    const rig = new NetRig({
      nic: { address: unhex('00155d01c901'), permanentAddress: unhex('00155d01c900') },
    });
    const seen = play(rig, events);
    const expected = fromTrace(events);
    // Frames of the host were up to the recording; the rest are answers
    const answers = expected.messages.filter((message) => !message.startsWith('01000000'));
    assert.equal(seen.completions, expected.completions);
    assert.equal(seen.messages, answers);
    const frames = events.flatMap((event) => (event.op === 'host-frame' ? [event.frame] : []));
    assert.equal(seen.frames, frames);
    assert.equal(rig.violations, []);
    assert.ok(answers.length > 6);
  });

sessions.run();

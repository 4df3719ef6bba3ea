// SPDX-License-Identifier: GPL-2.0-or-later

/** The recorded sessions of Linux, and sessions of the loaded OS on the host that they had. */

import { readFileSync } from 'node:fs';
import { HvCall, Msr } from '../../src/hyperv/protocol.ts';
import { MessageType, OfferChannel, PacketType } from '../../src/vmbus/protocol.ts';
import type { KernelPlan } from '../../tools/flow/os-chain.ts';
import { runOsChain } from '../../tools/flow/os-chain.ts';
import { LINUX_BUFFERS, type NetvscBuffers } from '../../tools/os/os-netvsc-buffers.ts';
import type { LinuxName } from '../../tools/os/os-versions.ts';
import { guestsOf, makeMachine } from '../../tools/scenarios/rig.ts';
import { withKnobs } from '../../tools/simulator/profiles/profiles.ts';
import { parseHostProfile } from '../../tools/simulator/profiles/profile-file.ts';
import type { HostEvent } from '../../tools/simulator/ledger/events.ts';
import { HeartbeatHost, ShutdownHost, TimeSyncHost } from '../../tools/simulator/services/index.ts';
import { SessionReader, type SessionEvent } from './linux-session.ts';

const FOLDER = new URL('../golden/linux-sessions/', import.meta.url);

/** RAM of the machine: room for Linux's own buffers. */
const MEMORY = 96 << 20;

/** CPUID 0x40000003 EAX: synthetic timers, reference TSC page, frequencies. */
const CLOCKS = 0xa08;

/** The lines of a recorded session. */
export function recordedSession(name: string): string[] {
  const reader = new SessionReader();
  const text = readFileSync(new URL(`linux-6.1.176-686-${name}.json`, FOLDER), 'utf8');
  for (const event of JSON.parse(text) as readonly SessionEvent[]) reader.add(event);
  return reader.end();
}

/** Registers and types of messages as the text names them. */
const WIRE_REGISTERS: Readonly<Record<string, number>> = {
  SIMP: Msr.SIMP,
  SIEFP: Msr.SIEFP,
  SINT2: Msr.SINT0 + 2,
  SCONTROL: Msr.SCONTROL,
  EOM: Msr.EOM,
};
const WIRE_TYPES: Readonly<Record<string, number>> = {
  INITIATE: MessageType.INITIATE_CONTACT,
  REQUEST_OFFERS: MessageType.REQUEST_OFFERS,
  GPADL_HEADER: MessageType.GPADL_HEADER,
  GPADL_BODY: MessageType.GPADL_BODY,
  GPADL_TEARDOWN: MessageType.GPADL_TEARDOWN,
  OPEN: MessageType.OPEN_CHANNEL,
  CLOSE: MessageType.CLOSE_CHANNEL,
  RELID_RELEASED: MessageType.RELID_RELEASED,
  UNLOAD: MessageType.UNLOAD,
};

/** Channel number of the sub-channel in that session: offered after all others. */
const WIRE_SUBCHANNEL = 4;

/**
 * Buffers in that session. `netvsc_drv.c`, which says how large they are, is not among the files
 * that were compiled: what stood in for it asked for 192 sections of 6144 bytes to send, where the
 * kernel of the same version asks for 170.
 */
export const WIRE_BUFFERS: NetvscBuffers = { ...LINUX_BUFFERS, send: 192 * 6144 };

/** Parts of the session of the drivers alone. */
export type WirePart = 'start' | 'remove' | 'kexec';

/**
 * The lines of a part of the session of the drivers alone: of its registers those of the SynIC,
 * since the others are of what stood in for the kernel. It tells no flags of packets.
 */
export function recordedWire(part: WirePart): string[] {
  const reader = new SessionReader();
  const text = readFileSync(new URL('linux-6.1.176-drivers-wire-server2022.txt', FOLDER), 'utf8');
  let now: WirePart | 'rebind' = 'start';
  let offers = 0;
  for (const line of text.trim().split('\n')) {
    if (line === '-- close/remove') now = 'remove';
    else if (line === '-- rebind') now = 'rebind';
    else if (line === 'kexec') now = 'kexec';
    if (line.includes(' OFFER ')) offers++;
    const event = wireEvent(line, offers);
    // Offers are of the whole session: they name the channels
    if (event !== undefined && (now === part || event.kind === 'host-message')) reader.add(event);
  }
  return reader.end().filter(isDriverLine);
}

/** Whether a line is of the drivers: no register but the SynIC's. */
export function isDriverLine(line: string): boolean {
  return (
    !/^(read|write|call) /.test(line) || /^(read|write) (SIMP|SIEFP|SINT2|SCONTROL)/.test(line)
  );
}

/** A line of the text as an event of the other recordings. */
function wireEvent(line: string, offers: number): SessionEvent | undefined {
  const words = line.split(' ');
  const cut = (word: string | undefined): string => word?.match(/^[0-9a-f]*/)?.[0] ?? '';
  if (words[0] === 'rdmsr' || words[0] === 'wrmsr') {
    const msr = WIRE_REGISTERS[words[1]!];
    if (msr === undefined) return undefined;
    return { kind: words[0], msr, value: `0x${words[2]}` };
  }
  if (words[0] === '>') {
    const [, , port, type, , length] = words;
    const payload = Buffer.alloc(256);
    payload.writeUInt32LE(Number(port), 0);
    payload.writeUInt32LE(1, 8);
    payload.writeUInt32LE(Number(length), 12);
    payload.writeUInt32LE(WIRE_TYPES[type!]!, 16);
    payload.write(cut(words[6]), 24, 'hex');
    const status = Number(words.at(-1));
    const input = payload.toString('hex', 0, 16 + Number(length));
    return { kind: 'hypercall', code: HvCall.POST_MESSAGE, input, status };
  }
  if (words[0] === 'ring') {
    const type = Number(words[4]);
    const id = BigInt(`0x${words[6]}`);
    const header = Buffer.alloc(16);
    header.writeUInt16LE(type, 0);
    header.writeUInt16LE(type === PacketType.DATA_GPA_DIRECT ? 5 : 2, 2);
    const asked = type !== PacketType.COMPLETION && id < 1n << 63n;
    header.writeUInt16LE(asked ? 1 : 0, 6);
    const channel = Number(words[2]!.slice(2));
    const bytes = header.toString('hex') + cut(words[7]);
    return { kind: 'ring-packet', channel, type, transactionId: `0x${words[6]}`, bytes };
  }
  if (!line.includes(' OFFER ')) return undefined;

  // An offer is cut behind its GUIDs: the number is its place, the sub-channel comes after all
  const offer = Buffer.alloc(196);
  offer.writeUInt32LE(MessageType.OFFER_CHANNEL, 0);
  offer.write(cut(words.at(-1)).slice(0, 64), 8, 'hex');
  const number = Math.min(offers, WIRE_SUBCHANNEL);
  offer.writeUInt16LE(number === WIRE_SUBCHANNEL ? 1 : 0, OfferChannel.at.subchannelIndex);
  offer.writeUInt32LE(number, OfferChannel.at.channel);
  return { kind: 'host-message', payload: offer.toString('hex') };
}

/** How the loaded OS is run. */
export interface OwnSession {
  readonly kernel: KernelPlan;
  readonly processors?: number;
  /** CPUID hides reference TSC page, synthetic timers and frequencies. */
  readonly hideClocks?: boolean;
  readonly services?: boolean;
  /** From a signal to reading the ring, in ticks: by default the guest is slower than that. */
  readonly ringLatencyTicks?: number;
  readonly linux?: LinuxName;
  /** Default: Linux's own. */
  readonly buffers?: NetvscBuffers;
}

/** The lines of the loaded OS on the host of the recordings. */
export function ownSession(session: OwnSession): string[] {
  const { kernel, processors = 1, hideClocks = false, services = true, linux } = session;
  const { ringLatencyTicks = 0, buffers = LINUX_BUFFERS } = session;
  const file = readFileSync(new URL('host-843f499.json', FOLDER), 'utf8');
  const profile = parseHostProfile(JSON.parse(file), 'host-843f499');
  const features = hideClocks ? profile.features & ~CLOCKS : profile.features;
  const machine = makeMachine(
    { processors },
    {
      memory: new ArrayBuffer(MEMORY),
      profile: withKnobs({ ...profile, features }, { ringLatencyTicks }),
      devices: services ? [new ShutdownHost(), new HeartbeatHost(), new TimeSyncHost()] : [],
    },
  );
  const reader = new SessionReader();
  machine.events.listen((event) => reader.add(sessionEvent(event)));
  const guests = guestsOf(machine);
  runOsChain({
    machine,
    memoryMap: machine.bootSeam.memoryMap,
    kernels: [{ buffers, ...kernel }],
    guest: (name, run) => guests.run(name, run),
    linux,
  });
  return reader.end();
}

/** An event of the simulator as the recordings have it. */
function sessionEvent(event: HostEvent): SessionEvent {
  const text = (value: bigint): string => `0x${value.toString(16)}`;
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  switch (event.kind) {
    case 'rdmsr':
    case 'wrmsr':
      return { kind: event.kind, msr: event.msr, value: text(event.value) };
    case 'hypercall':
      return { kind: event.kind, code: event.code, input: hex(event.input), status: event.status };
    case 'host-message':
      if (event.change !== 'deliver' || event.type !== 1) return { kind: 'other' };
      return { kind: event.kind, payload: hex(event.payload) };
    case 'ring-packet': {
      if (event.from !== 'guest') return { kind: 'other' };
      const { channel, type, bytes } = event;
      const transactionId = text(event.transactionId);
      return { kind: event.kind, channel, type, transactionId, bytes: hex(bytes) };
    }
    default:
      return { kind: 'other' };
  }
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A driver that needs no compiler, and whose answers come from variables that it does not export:
 * it has a NIC that plays its own DHCP server, takes a page, and says who it is. Memory that it was
 * in before it does not like.
 */

import { dhcpReply, udpFrame } from '../net-peer.ts';
import {
  Op,
  abiImport,
  buildModule,
  call,
  i32,
  i64,
  load32,
  store32,
  type BuiltFunction,
} from './wasm-builder.ts';

/** Where it keeps its page, and its frames. */
const [PAGE, BUFFER, OFFER, ACK] = [64, 1024, 4096, 5120];

/** Variables: polls so far, frames that are out, and polls once more, in 64 bits. */
const [POLLS, OUT, TURNS] = [1, 2, 3];

/** Frames that may be out. */
const OUT_MAX = 6;

/** Memory that it changes once. */
const MARK = 2 << 20;

const GUEST_OS_ID = 0x4000_0000;
const IDENTITY = 0x8100n << 48n;
const AGAIN = -11;
const NO_MEMORY = -12;
const NO_DEVICE = -19;

type Index = (name: string) => number;

const get = (variable: number): number[] => [Op.GLOBAL_GET, variable];
const set = (variable: number): number[] => [Op.GLOBAL_SET, variable];
const add = (variable: number, value: number): number[] => [
  ...[...get(variable), ...i32(value), Op.I32_ADD, ...set(variable)],
];
const when = (condition: readonly number[], then: readonly number[]): number[] => [
  ...[...condition, Op.IF, Op.VOID, ...then, Op.END],
];
const identity = (value: bigint, index: Index): number[] => [
  ...[...i32(GUEST_OS_ID), ...i64(value), ...call(index('wrmsr'))],
];

/** An answer; the number of the transaction is put in later. */
function frameOf(type: number): number[] {
  const payload = dhcpReply({ type, xid: [0, 0, 0, 0] });
  const to = '255.255.255.255';
  return udpFrame({ sourcePort: 67, port: 68, to, payload, noChecksum: true });
}

/** Where that number stands in a frame: behind the headers of Ethernet, IPv4 and UDP. */
const XID = 14 + 20 + 8 + 4;

const [offer, ack] = [frameOf(2), frameOf(5)];

const functions: BuiltFunction[] = [
  { name: 'hypxe_abi', results: ['i32'], body: () => i32(1) },
  {
    name: 'hypxe_probe',
    results: ['i32'],
    body: (index) => [
      ...when(load32(MARK), [...i32(NO_DEVICE), Op.RETURN]),
      ...store32(MARK, i32(1)),
      ...store32(PAGE, [...i32(4096), ...i32(PAGE), ...i32(0), ...call(index('page_alloc'))]),
      ...when([...load32(PAGE), Op.I32_EQZ], [...i32(NO_MEMORY), Op.RETURN]),
      ...[...identity(IDENTITY, index), ...call(index('pause')), ...call(index('pause'))],
      ...i32(1),
    ],
  },
  {
    name: 'hypxe_mac',
    parameters: ['i32', 'i32'],
    body: () => [
      ...[Op.LOCAL_GET, 1, ...i32(0x015d1500), 0x36, 2, 0],
      ...[Op.LOCAL_GET, 1, ...i32(0x0302), 0x36, 2, 4],
    ],
  },
  { name: 'hypxe_link', parameters: ['i32'], results: ['i32'], body: () => i32(1) },
  {
    name: 'hypxe_open',
    parameters: ['i32'],
    results: ['i32'],
    // As long as chance will have it
    body: (index) => [
      ...[...call(index('random')), ...i32(15), Op.I32_AND, Op.LOCAL_SET, 1],
      ...[Op.LOOP, Op.VOID, ...call(index('pause'))],
      ...[Op.LOCAL_GET, 1, ...i32(1), Op.I32_SUB, Op.LOCAL_SET, 1],
      ...[...i32(0), Op.LOCAL_GET, 1, Op.I32_LT_SIGNED, Op.BRANCH_IF, 0, Op.END, ...i32(0)],
    ],
    locals: 1,
  },
  { name: 'hypxe_close', parameters: ['i32'], body: () => [] },
  { name: 'hypxe_buffer', results: ['i32'], body: () => i32(BUFFER) },
  {
    name: 'hypxe_transmit',
    parameters: ['i32', 'i32', 'i32'],
    results: ['i32'],
    body: (index) => [
      ...when([...get(OUT), ...i32(OUT_MAX), Op.I32_EQ], [...i32(AGAIN), Op.RETURN]),
      ...[OFFER, ACK].flatMap((frame) => store32(frame + XID, load32(BUFFER + XID))),
      ...[...add(OUT, 1), ...call(index('pause')), ...i32(0)],
    ],
  },
  {
    // The answers to the first two, and all that is out is done but one
    name: 'hypxe_poll',
    parameters: ['i32'],
    body: (index) => [
      ...[...add(POLLS, 1), ...get(TURNS), ...i64(1n), Op.I64_ADD, ...set(TURNS)],
      ...[[1, OFFER, offer.length] as const, [2, ACK, ack.length] as const].flatMap(
        ([poll, at, length]) =>
          when(
            [...get(POLLS), ...i32(poll), Op.I32_EQ],
            [...i32(0), ...i32(at), ...i32(length), ...call(index('received'))],
          ),
      ),
      ...[Op.LOOP, Op.VOID],
      ...when(
        [...i32(1), ...get(OUT), Op.I32_LT],
        [...add(OUT, -1), ...i32(0), ...i32(0), ...call(index('transmitted')), Op.BRANCH, 1],
      ),
      Op.END,
    ],
  },
  { name: 'hypxe_quiesce', body: (index) => identity(0n, index) },
  {
    name: 'hypxe_unquiesce',
    results: ['i32'],
    body: (index) => [...identity(IDENTITY, index), ...i32(0)],
  },
  {
    // As many pauses as there were polls, and one more if they are odd
    name: 'hypxe_remove',
    locals: 1,
    body: (index) => [
      ...[Op.LOOP, Op.VOID, ...call(index('pause'))],
      ...[Op.LOCAL_GET, 0, ...i32(1), Op.I32_ADD, Op.LOCAL_SET, 0],
      ...[Op.LOCAL_GET, 0, ...get(POLLS), Op.I32_LT, Op.BRANCH_IF, 0, Op.END],
      ...when([...get(TURNS), Op.I32_WRAP, ...i32(1), Op.I32_AND], call(index('pause'))),
      ...identity(0n, index),
      ...[...load32(PAGE), ...i32(4096), ...call(index('page_free'))],
    ],
  },
];

const IMPORTS = [
  ...['wrmsr', 'pause', 'random', 'page_alloc', 'page_free', 'received', 'transmitted'],
];

/** Its module. @param hides instructions that `hypxe_open` has besides */
export function toyDriver(hides: readonly number[] = []): Uint8Array {
  return buildModule({
    imports: IMPORTS.map((name) => abiImport(name)),
    functions: functions.map((each) =>
      each.name === 'hypxe_open'
        ? { ...each, body: (index) => [...hides, ...each.body(index)] }
        : each,
    ),
    variables: ['i32', 'i32', 'i64'],
    data: [
      [OFFER, offer],
      [ACK, ack],
    ],
    heapBase: 8192,
  });
}

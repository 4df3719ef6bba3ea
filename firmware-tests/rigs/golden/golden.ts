// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The golden data: layouts and constants as other implementations have them (Linux and iPXE as the
 * compiler lays them out, OpenVMM as its sources write them), and the look-ups that the tests need.
 */

import { readFileSync } from 'node:fs';
import type { Struct } from '../../../src/wire.ts';

/** A structure that the golden files give. */
export interface GoldenStruct {
  readonly size: number;
  readonly fields: Readonly<Record<string, GoldenField>>;
}

export interface GoldenField {
  readonly offset: number;
  readonly size: number;
  /** Bit fields: number of the first bit from the start of the structure, and how many. */
  readonly abs_bit?: number;
  readonly bits?: number;
}

/** A sample encoding. */
export interface GoldenSample {
  readonly what: string;
  readonly len: number;
  readonly hex: string;
}

/** Where a definition comes from. */
export type Source = 'linux' | 'ipxe' | 'openvmm';

export const SOURCES = ['linux', 'ipxe', 'openvmm'] as const;

/** OpenVMM's structures do not count the eight bytes of the message header. */
const OPENVMM_HEADER = 8;

interface Layouts {
  readonly structs: Readonly<Record<string, GoldenStruct>>;
  readonly constants: Readonly<Record<string, string>>;
  readonly guids: Readonly<Record<string, { readonly text?: string; readonly canonical?: string }>>;
}

interface OpenvmmStruct {
  readonly size_without_header: number;
  readonly fields: Readonly<Record<string, GoldenField>>;
}

interface OpenvmmMessage {
  readonly type: number;
  readonly variants: readonly { readonly struct: string; readonly min_version: string }[];
}

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../golden/${name}.json`, import.meta.url), 'utf8'));
}

const linux = read('linux-layouts') as Layouts & {
  readonly samples: Readonly<Record<string, GoldenSample>>;
};
const ipxe = read('ipxe-layouts') as Layouts;
const openvmm = read('openvmm-constants') as Readonly<Record<string, unknown>> & {
  readonly vmbus_structs: { readonly values: Readonly<Record<string, OpenvmmStruct>> };
};

export const SAMPLES = linux.samples;

/** A golden structure by source and name. @throws Error if there is none. */
export function goldenStruct(source: Source, name: string): GoldenStruct {
  if (source !== 'openvmm') {
    const found = (source === 'linux' ? linux : ipxe).structs[name];
    if (found === undefined) throw new Error(`no structure ${name} in the layouts of ${source}`);
    return found;
  }
  const found = openvmm.vmbus_structs.values[name];
  if (found === undefined) throw new Error(`no structure ${name} in the data of openvmm`);
  const fields: Record<string, GoldenField> = {};
  for (const [key, { offset, size }] of Object.entries(found.fields)) {
    fields[key] = { offset: offset + OPENVMM_HEADER, size };
  }
  return { size: found.size_without_header + OPENVMM_HEADER, fields };
}

/**
 * All values that the golden files have for a name:
 *
 * - `NAME`: a constant of Linux and of iPXE;
 * - `arm64:NAME`: what Linux defines NAME to be on arm64;
 * - `group.name` or `group.list.name`: a value of OpenVMM;
 * - `guid:NAME`: the text of a GUID;
 * - `size:struct`, `mask:struct.field`, `shift:struct.field`: from the layouts of Linux;
 * - `count:struct.field`: how many elements of 8 bytes a field of Linux holds.
 *
 * @throws Error if no file has it
 */
export function goldenValues(name: string): (bigint | string)[] {
  const values = name.includes(':') ? [special(name)] : plain(name);
  if (values.length === 0) throw new Error(`no golden file has ${name}`);
  return values;
}

function plain(name: string): bigint[] {
  if (name.includes('.')) return [BigInt(openvmmValue(name))];
  return [linux, ipxe]
    .map(({ constants }) => constants[name])
    .filter((value) => value !== undefined)
    .map(BigInt);
}

function special(name: string): bigint | string {
  const [kind, rest = ''] = name.split(':');
  if (kind === 'guid') {
    if (rest.includes('.')) return openvmmValue(rest);
    const guid = linux.guids[rest] ?? ipxe.guids[rest];
    return guid?.text ?? guid?.canonical ?? missing(name);
  }
  if (kind === 'arm64') {
    const aliases = (linux as unknown as { arm64_msr_aliases: Record<string, string> })
      .arm64_msr_aliases;
    return BigInt(aliases[rest] ?? missing(name));
  }
  if (kind === 'size') return BigInt(goldenStruct('linux', rest).size);

  // What is left is about one field
  const dot = rest.indexOf('.');
  const field = goldenStruct('linux', rest.slice(0, dot)).fields[rest.slice(dot + 1)];
  if (kind === 'mask') {
    const { abs_bit = missing(name), bits = missing(name) } = field ?? missing(name);
    return ((1n << BigInt(bits)) - 1n) << BigInt(abs_bit);
  }
  if (kind === 'shift') return BigInt(field?.abs_bit ?? missing(name));
  return missing(name);
}

/** A value of OpenVMM by its path: `hv_status.Success`, `rndis.oids.OID_GEN_LINK_SPEED`. */
function openvmmValue(path: string): string {
  const keys = path.split('.');
  let at: unknown = openvmm[keys[0] ?? ''];
  for (const key of keys.slice(1)) {
    const here = at as Readonly<Record<string, unknown>> & { values?: Record<string, unknown> };
    at = here?.values?.[key] ?? here?.[key];
  }
  const leaf = at as { value?: string; type?: number; guid?: string } | string | number | undefined;
  if (leaf === undefined) return missing(path);
  if (typeof leaf !== 'object') return String(leaf);
  return String(leaf.value ?? leaf.type ?? leaf.guid ?? missing(path));
}

function missing(name: string): never {
  throw new Error(`no golden file has ${name}`);
}

/**
 * A control message as OpenVMM has it in its smallest form: its length with the header, and the
 * version that it needs (0: any).
 */
export function openvmmMessage(type: number): { size: number; minVersion: number } {
  const messages = (openvmm['vmbus_messages'] as { values: Record<string, OpenvmmMessage> }).values;
  const message = Object.values(messages).find((candidate) => candidate.type === type);
  const smallest = message?.variants.at(-1) ?? missing(`message ${type}`);
  const { struct, min_version: version } = smallest;
  const minVersion = version === '0' ? 0 : Number(openvmmValue(`vmbus_versions.${version}`));
  // Messages of nothing but the header have no structure of their own
  const empty = openvmm.vmbus_structs.values[struct] === undefined;
  return { size: empty ? OPENVMM_HEADER : goldenStruct('openvmm', struct).size, minVersion };
}

/** Whether something that a protocol file exports is a structure. */
export function isStruct(value: unknown): value is Struct<string> {
  return typeof value === 'object' && value !== null && 'at' in value && 'sizes' in value;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The interface of a guest in WebAssembly, version 1: the one description from which the C header,
 * the Rust module, the check of a module and the manual are made. Names stay as they are, so that
 * guests that others have compiled keep running.
 */

/** Version that `hypxe_abi` returns. */
export const ABI_VERSION = 1;

/** Module that the imports are of. */
export const ABI_MODULE = 'hypxe';

/** What a value is: `address` and `length` are i64 in a module whose memory is 64-bit, else i32. */
export type AbiType = 'u32' | 'i32' | 'u64' | 'address' | 'length';

export interface AbiParameter {
  readonly name: string;
  readonly type: AbiType;
  /** In C: what the address points to; it is a `uintptr_t` of guest physical memory without. */
  readonly pointer?: string;
}

export interface AbiFunction {
  readonly name: string;
  readonly parameters: readonly AbiParameter[];
  readonly result?: AbiType;
  /** In C: what the result points to. */
  readonly pointer?: string;
  readonly text: string;
}

export interface AbiExport extends AbiFunction {
  /** Which kind of guest has it, and whether it must. */
  readonly of: 'all' | 'firmware' | 'driver';
  readonly optional?: true;
}

const u32 = (name: string): AbiParameter => ({ name, type: 'u32' });
const i32 = (name: string): AbiParameter => ({ name, type: 'i32' });
const u64 = (name: string): AbiParameter => ({ name, type: 'u64' });
const at = (name: string, pointer: string): AbiParameter => ({ name, type: 'address', pointer });
const address = (name: string): AbiParameter => ({ name, type: 'address' });
const length = (name: string): AbiParameter => ({ name, type: 'length' });
const PURPOSE = [at('purpose', 'const char'), length('purpose_length')];

/** What a guest may import. */
export const ABI_IMPORTS: readonly AbiFunction[] = [
  {
    name: 'cpuid',
    parameters: [u32('leaf'), u32('subleaf'), at('out', 'struct hypxe_cpuid')],
    text: 'CPUID: writes EAX, EBX, ECX and EDX, four u32, to out. x64 only.',
  },
  {
    name: 'rdmsr',
    parameters: [u32('msr')],
    result: 'u64',
    text: 'RDMSR. A fault ends the guest. x64 only.',
  },
  {
    name: 'wrmsr',
    parameters: [u32('msr'), u64('value')],
    text: 'WRMSR. A fault ends the guest. x64 only.',
  },
  {
    name: 'hypercall',
    parameters: [address('page'), u64('control'), u64('input'), u64('output')],
    result: 'u64',
    text:
      'CALL into the hypercall page at page with RCX = control, RDX = input, R8 = ' +
      'output; returns ' +
      'RAX. A page that is not the enabled hypercall page ends the guest. x64 only.',
  },
  { name: 'rdtsc', parameters: [], result: 'u64', text: 'RDTSC. x64 only.' },
  {
    name: 'hvc',
    parameters: [u32('immediate'), at('registers', 'uint64_t')],
    text: 'HVC: X0 to X17 are 18 u64 at registers, updated in place. arm64 only.',
  },
  { name: 'cntvct', parameters: [], result: 'u64', text: 'The virtual counter. arm64 only.' },
  { name: 'cntfrq', parameters: [], result: 'u64', text: 'Its frequency in Hz. arm64 only.' },
  {
    name: 'barrier',
    parameters: [u32('kind')],
    text:
      'Where a real machine needs a fence: 0 between loads, 1 between stores, 2 between all ' +
      'accesses. Compilers drop fences from WebAssembly, so a guest says it.',
  },
  {
    name: 'pause',
    parameters: [],
    text:
      'One turn of a polling loop. Only this, a delay, a register access or a ' +
      'hypercall gives time ' +
      'to the rest of the machine.',
  },
  {
    name: 'delay',
    parameters: [u32('microseconds')],
    text: 'Wait for so long, without an access.',
  },
  {
    name: 'memory_map',
    parameters: [u32('index'), at('out', 'struct hypxe_memory_range')],
    result: 'u32',
    text:
      'Number of ranges of the memory map; writes the one with this index to out, if ' +
      'there is one.',
  },
  {
    name: 'page_alloc',
    parameters: [length('bytes'), ...PURPOSE],
    result: 'address',
    pointer: 'void',
    text:
      'Whole pages of usable memory, zeroed; 0 if there are none. What is not freed ' +
      'when the guest ' +
      'hands over is reserved in its memory map, with this purpose.',
  },
  {
    name: 'page_free',
    parameters: [at('pages', 'void'), length('bytes')],
    text: 'Give pages back. Freeing what was not allocated ends the guest.',
  },
  {
    name: 'reserve',
    parameters: [at('pages', 'void'), length('bytes'), ...PURPOSE],
    text: 'For a guest with an allocator of its own: this range is kept beyond the handoff.',
  },
  {
    name: 'log',
    parameters: [u32('level'), at('text', 'const char'), length('text_length')],
    text:
      'A line for people, in UTF-8. Level 0 is an error, 1 a warning, 2 information, 3 ' +
      'debugging.',
  },
  {
    name: 'cancelled',
    parameters: [],
    result: 'u32',
    text: 'Not 0 if whatever is being done shall end and be undone. Not asked while undoing.',
  },
  {
    name: 'random',
    parameters: [],
    result: 'u32',
    text: 'A random number: the same run gets the same ones.',
  },
  {
    name: 'received',
    parameters: [u32('device'), at('frame', 'const void'), length('frame_length')],
    text: 'Drivers: a frame has come. It is read before the call returns.',
  },
  {
    name: 'transmitted',
    parameters: [u32('device'), i32('status')],
    text: 'Drivers: the oldest frame out is done: 0, or given up with a negative errno.',
  },
];

/** What a guest exports. */
export const ABI_EXPORTS: readonly AbiExport[] = [
  { name: 'hypxe_abi', of: 'all', parameters: [], result: 'u32', text: 'Returns 1: the version.' },
  {
    name: 'hypxe_boot',
    of: 'firmware',
    parameters: [at('result', 'struct hypxe_result')],
    result: 'i32',
    text:
      'A whole firmware: finds the devices, boots over the network by itself, undoes ' +
      'everything, and ' +
      'tells what it has loaded. Returns 0 or a negative errno. A result of zeros loads nothing.',
  },
  {
    name: 'hypxe_probe',
    of: 'driver',
    parameters: [],
    result: 'i32',
    text: 'Number of NICs, or a negative errno with everything undone.',
  },
  {
    name: 'hypxe_mac',
    of: 'driver',
    parameters: [u32('device'), at('out', 'uint8_t')],
    text: 'The MAC address of a NIC, 6 bytes.',
  },
  {
    name: 'hypxe_link',
    of: 'driver',
    parameters: [u32('device')],
    result: 'i32',
    text: '1 if the link is up, 0 if it is down, -1 if that is not known.',
  },
  {
    name: 'hypxe_open',
    of: 'driver',
    parameters: [u32('device')],
    result: 'i32',
    text: '0, or a negative errno with everything undone.',
  },
  {
    name: 'hypxe_close',
    of: 'driver',
    parameters: [u32('device')],
    text: 'Undo hypxe_open. Also called for a NIC that is closed.',
  },
  {
    name: 'hypxe_buffer',
    of: 'driver',
    parameters: [],
    result: 'address',
    pointer: 'void',
    text: '2 KiB that a frame is written to before hypxe_transmit is called.',
  },
  {
    name: 'hypxe_transmit',
    of: 'driver',
    parameters: [u32('device'), at('frame', 'const void'), length('frame_length')],
    result: 'i32',
    text: '0 if sent or queued, -EAGAIN (-11) if not now, another negative errno if dropped.',
  },
  {
    name: 'hypxe_poll',
    of: 'driver',
    parameters: [u32('device')],
    text: 'Take what the host has delivered: calls received and transmitted.',
  },
  {
    name: 'hypxe_quiesce',
    of: 'driver',
    optional: true,
    parameters: [],
    text: 'SAN boot: leave the machine to somebody else for a while, channels stay open.',
  },
  {
    name: 'hypxe_unquiesce',
    of: 'driver',
    optional: true,
    parameters: [],
    result: 'i32',
    text: 'SAN boot: take the machine back, unless somebody else has it.',
  },
  {
    name: 'hypxe_remove',
    of: 'driver',
    parameters: [],
    text: 'Undo everything. Never fails.',
  },
  {
    name: 'hypxe_interrupt',
    of: 'all',
    optional: true,
    parameters: [u32('vector')],
    text:
      'Called for an unmasked SINT or a timer in direct mode, at the end of the import ' +
      'during which ' +
      'it came, never within itself.',
  },
];

/** A structure in guest memory. */
export interface AbiStruct {
  readonly name: string;
  readonly text: string;
  readonly fields: readonly (readonly [name: string, type: 'u32' | 'u64', text: string])[];
}

export const ABI_STRUCTS: readonly AbiStruct[] = [
  {
    name: 'hypxe_cpuid',
    text: 'What CPUID returns.',
    fields: [
      ['eax', 'u32', ''],
      ['ebx', 'u32', ''],
      ['ecx', 'u32', ''],
      ['edx', 'u32', ''],
    ],
  },
  {
    name: 'hypxe_memory_range',
    text: 'A range of the memory map.',
    fields: [
      ['address', 'u64', ''],
      ['length', 'u64', ''],
      ['kind', 'u32', '0 usable, 1 reserved'],
      ['zero', 'u32', ''],
    ],
  },
  {
    name: 'hypxe_result',
    text: 'What hypxe_boot has loaded.',
    fields: [
      ['image', 'u64', 'address of the first byte, or 0'],
      ['length', 'u64', 'in bytes'],
      ['name', 'u32', 'address of its name, UTF-8'],
      ['name_length', 'u32', ''],
    ],
  },
];

/** A type in WebAssembly: of a module with 32-bit or 64-bit memory. */
export function wasmType(type: AbiType, memory64: boolean): 'i32' | 'i64' {
  if (type === 'u64') return 'i64';
  return memory64 && (type === 'address' || type === 'length') ? 'i64' : 'i32';
}

/** Error numbers that the calls return, negative: as Linux numbers them. */
export const ABI_ERRNO = {
  ENOENT: 2,
  EIO: 5,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  ENODEV: 19,
  EINVAL: 22,
  EPIPE: 32,
  ERANGE: 34,
  EPROTO: 71,
  ENOTSUP: 95,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
  ECANCELED: 125,
} as const;

// SPDX-License-Identifier: GPL-2.0-or-later

/** Programs of a few bytes on the PC: what they see of the host, and how they end. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bootProgram } from '../../../../tools/guests/pc/boot-program.ts';
import type { Pc } from '../../../../tools/guests/pc/pc.ts';
import { BadPcProgram } from '../../../../tools/guests/pc/pc-kernel.ts';
import { HvStatus } from '../../../../src/hyperv/protocol.ts';
import { profileNamed } from '../../../../tools/simulator/profiles/profiles.ts';
import { kernelOf, runPc } from '../../../rigs/pc/pc-rig.ts';

const word = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff];
const dword = (value: number): number[] => [...word(value), ...word(value >>> 16)];

// Instructions of 32 bits in 16-bit code
const eax = (value: number): number[] => [0x66, 0xb8, ...dword(value)];
const ecx = (value: number): number[] => [0x66, 0xb9, ...dword(value)];
const edx = (value: number): number[] => [0x66, 0xba, ...dword(value)];
const ebx = (value: number): number[] => [0x66, 0xbb, ...dword(value)];
const CPUID = [0x0f, 0xa2];
const RDMSR = [0x0f, 0x32];
const WRMSR = [0x0f, 0x30];
const HALT = [0xfa, 0xf4, 0xeb, 0xfd];
const wrmsr = (msr: number, low: number, high = 0): number[] => [
  ...[...ecx(msr), ...eax(low), ...edx(high)],
  ...WRMSR,
];
/** Send EAX to COM1, byte by byte. */
const TELL = [
  ...[0x66, 0x50, 0xb9, 4, 0, 0xba, 0xf8, 0x03], // push eax; mov cx, 4; mov dx, 3f8h
  // again: pop eax; out dx, al; shr eax, 8; push eax
  ...[0x66, 0x58, 0xee, 0x66, 0xc1, 0xe8, 0x08, 0x66, 0x50],
  ...[0xe2, 0xf5, 0x66, 0x58], // loop; pop eax
];
const newline = [0xb0, 0x0a, 0xba, 0xf8, 0x03, 0xee];
const HYPERCALL_PAGE = 0x7000;
const HYPERCALL_ENABLED = HYPERCALL_PAGE + 1;

/** What a program sends to its serial line, as text. */
async function told(code: readonly number[], host = 'server2022'): Promise<string> {
  const lines: string[] = [];
  await runPc(kernelOf([...code, ...newline, ...HALT]), {
    profile: profileNamed(host)!,
    onLine: (text, source) => void (source === 'serial' && lines.push(text)),
  });
  return lines.join('|');
}

const pc = suite('a PC on the host');

pc("CPUID tells of the host, the rest of it is the emulator's", async () => {
  const leaf = (number: number, then: readonly number[] = []): number[] => [
    ...[...eax(number), ...ecx(0x1234), ...CPUID],
    ...then,
    ...TELL,
  ];
  assert.is(await told(leaf(0x40000001)), 'Hv#1');
  // mov eax, ebx
  assert.is(await told(leaf(0x40000000, [0x66, 0x89, 0xd8])), 'Micr');
  // "Genu" is the emulator's; mov eax, ebx
  assert.is(await told(leaf(0, [0x66, 0x89, 0xd8])), 'Genu');
  // The hypervisor's bit: mov eax, ecx; shr eax, 31; or eax, "0000"
  const bit = [0x66, 0x89, 0xc8, 0x66, 0xc1, 0xe8, 0x1f, 0x66, 0x0d, ...dword(0x30303030)];
  assert.is(await told(leaf(1, bit)), '1000');
});

pc("registers of the hypervisor are the host's, and others the emulator's", async () => {
  const { events } = await runPc(
    kernelOf([...wrmsr(0x40000000, 0x1234, 0x98ae0000), ...wrmsr(0x174, 8), ...HALT]),
  );
  const writes = events.filter(({ kind }) => kind === 'wrmsr');
  const value = 0x98ae_0000_0000_1234n;
  assert.equal(writes, [{ kind: 'wrmsr', msr: 0x40000000, value, act: 1 }]);
});

pc('the hypercall page is called, and its result comes back', async () => {
  // GUEST_OS_ID, HYPERCALL at 7000h; HvPostMessage with an input that is not aligned. The page has
  // a near return, so it is called in segment 0: 0:600h jumps on to the code at 8020h:160h
  const image = kernelOf([
    ...[0x31, 0xc0, 0x8e, 0xc0, 0xbf, 0x00, 0x06], // xor ax, ax; mov es, ax; mov di, 600h
    ...[0xb0, 0xea, 0xaa, 0xb8, 0x60, 0x01, 0xab, 0xb8, 0x20, 0x80, 0xab],
    ...wrmsr(0x40000000, 1, 0x98ae0000),
    ...wrmsr(0x40000001, HYPERCALL_ENABLED),
    ...[...eax(0x5c), ...edx(0), ...ebx(0), ...ecx(7)],
    ...[0x66, 0xbe, ...dword(0), 0x66, 0xbf, ...dword(0)], // mov esi, 0; mov edi, 0
    ...[0x68, ...word(0x0600), 0xea, ...word(HYPERCALL_PAGE), ...word(0)],
  ]);
  // add eax, "0000"
  image.set([0x66, 0x05, ...dword(0x30303030), ...TELL, ...newline, ...HALT], 0x360);
  const lines: string[] = [];
  const { events } = await runPc(image, { onLine: (text) => void lines.push(text) });
  const calls = events.filter((event) => event.kind === 'hypercall');
  assert.equal(
    calls.map(({ code, status }) => [code, status]),
    [[0x5c, HvStatus.INVALID_ALIGNMENT]],
  );
  assert.equal(lines, [`${String.fromCharCode(0x30 + HvStatus.INVALID_ALIGNMENT)}000`]);
});

pc('a register that there is not is a fault, which the program handles', async () => {
  // Vector 13 at 0:34h: tell "#GP!" and halt
  const handler = 0x160;
  const code = [
    ...[0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
    ...[0xc7, 0x06, 0x34, 0, ...word(handler), 0xc7, 0x06, 0x36, 0, 0x20, 0x80],
    ...[...ecx(0x40000190), ...RDMSR],
    ...HALT,
  ];
  const image = kernelOf(code);
  image.set([...eax(0x21504723), ...TELL, ...newline, ...HALT], 0x200 + handler);
  const lines: string[] = [];
  const { report, events } = await runPc(image, { onLine: (text) => void lines.push(text) });
  assert.ok(events.some(({ kind }) => kind === 'crash'));
  assert.equal(lines, ['#GP!']);
  assert.is(report.end, 'halted');
});

/** Vector 75h is handled at 8020h:160h; the APIC is on; a timer's message to SINT3, twice. */
const timers = (sint: number): number[] => [
  ...[0x31, 0xc0, 0x8e, 0xd8, 0x31, 0xed], // xor ax, ax; mov ds, ax; xor bp, bp
  ...[0xc7, 0x06, 0xd4, 1, 0x60, 0x01, 0xc7, 0x06, 0xd6, 1, 0x20, 0x80],
  ...[0x67, 0x66, 0xc7, 0x05, ...dword(0xfee000f0), ...dword(0x1ff)], // mov [fee000f0h], 1ffh
  ...wrmsr(0x40000000, 1, 0x98ae0000),
  ...wrmsr(0x40000083, 0x9001), // SIMP
  ...wrmsr(0x40000093, sint), // SINT3
  ...wrmsr(0x40000080, 1), // SCONTROL
  ...[...wrmsr(0x400000b1, 1_000_000), ...wrmsr(0x400000b0, 0x30001)],
  ...[...wrmsr(0x400000b3, 2_000_000), ...wrmsr(0x400000b2, 0x30001)],
  ...[0xfb, 0xf4, 0xeb, 0xfd], // sti; hlt; again
];
/** inc bp; mov [slot of SINT3], 0; and, if wanted, the end of the interrupt; iret. */
const handler = (...end: readonly number[]): number[] => [
  ...[0x45, 0x66, 0xc7, 0x06, 0x00, 0x93, ...dword(0)],
  ...[...end, 0xcf],
];
const EBP = 5;

pc('the interrupt of a SINT comes, and the next one after its end, or by itself', async () => {
  const eoi = [0x67, 0x66, 0xc7, 0x05, ...dword(0xfee000b0), ...dword(0)];
  const eoiMsr = wrmsr(0x40000070, 0);
  const cases: [string, number, readonly number[], number][] = [
    ['AutoEOI', 0x20075, [], 2],
    ['no end', 0x75, [], 1],
    ['EOI of the APIC', 0x75, eoi, 2],
    ['EOI of the hypervisor', 0x75, eoiMsr, 2],
    ['masked', 0x10075, [], 0],
  ];
  for (const [name, sint, end, count] of cases) {
    const image = kernelOf(timers(sint));
    image.set(handler(...end), 0x360);
    let made: Pc | undefined;
    const { report } = await runPc(image, {
      limits: { silentSeconds: 2 },
      profile: profileNamed('server2019')!,
      onReady: (pc) => void (made = pc),
    });
    assert.is(report.end, 'silent', name);
    assert.is(made!.emulator.register(EBP) & 0xffff, count, name);
  }
});

pc('the counter agrees with reference time', async () => {
  const code = [
    ...[0x0f, 0x31, 0x66, 0x89, 0xc6, 0x66, 0x89, 0xd7], // rdtsc; mov esi, eax; mov edi, edx
    ...[...ecx(0x40000020), ...RDMSR],
    ...HALT,
  ];
  let made: Pc | undefined;
  await runPc(kernelOf(code), { onReady: (pc) => void (made = pc) });
  const register = (place: number): number => made!.emulator.register(place) >>> 0;
  const counter = register(7) * 2 ** 32 + register(6);
  const ticks = register(2) * 2 ** 32 + register(0);
  // 100 counts in a tick; the second reading comes two exits later
  assert.ok(ticks - counter / 100 > 0 && ticks - counter / 100 < 4, `${counter}, ${ticks}`);
});

pc('guest RAM may move while the machine runs', async () => {
  const image = kernelOf([
    ...wrmsr(0x40000000, 1, 0x98ae0000),
    ...wrmsr(0x40000001, HYPERCALL_ENABLED),
    ...HALT,
  ]);
  let made: Pc | undefined;
  await runPc(image, {
    onReady: (pc) => {
      made = pc;
      pc.emulator.exports.v86_malloc(64 << 20);
    },
  });
  // The page is where the program sees it
  const { emulator, machine } = made!;
  assert.is(machine.partition.ram.buffer, emulator.exports.memory.buffer);
  const page = emulator.ramOffset + HYPERCALL_PAGE;
  assert.equal([...emulator.bytes.subarray(page, page + 4)], [0xe6, 0xec, 0xc3, 0xcc]);
});

pc('the boot program alone: nothing was shared', async () => {
  const { report } = await runPc(bootProgram());
  assert.is(report.end, 'booted');
  assert.is(report.untouched, true);
  assert.equal(report.findings, []);
});

pc('whoever leaves its pages to the next owner is found out', async () => {
  // Identity and hypercall page, and then the boot program's word that it runs
  const { report } = await runPc(
    kernelOf([
      ...wrmsr(0x40000000, 1, 0x98ae0000),
      ...wrmsr(0x40000001, HYPERCALL_ENABLED),
      ...[...eax(0), 0xba, ...word(0x4858), 0x66, 0xef],
      ...HALT,
    ]),
  );
  assert.is(report.end, 'booted');
  assert.equal(
    report.stages.map(({ name, end }) => [name, end]),
    [['iPXE', 'handoff']],
  );
  const errors = report.findings.filter(({ severity }) => severity === 'error');
  assert.ok(errors.some(({ check }) => check === 'hypercall'));
});

pc('owners are told apart by their identity, and by what they clear', async () => {
  const iPXE = 0x98ae0000;
  const linux = 0x81000006;
  const { report, events } = await runPc(
    kernelOf([
      ...[...wrmsr(0x40000000, 0, iPXE), ...wrmsr(0x40000000, 0)],
      ...[...wrmsr(0x40000000, 0x01b00000, linux), ...wrmsr(0x40000000, 0)],
      // The next kernel begins with its clock, before it says who it is
      ...wrmsr(0x40000021, 0x8001),
      ...HALT,
    ]),
  );
  assert.equal(
    report.stages.map(({ name, end }) => [name, end]),
    [
      ['iPXE', 'handoff'],
      ['Linux 6.1.176', 'kexec'],
      ['a program', 'running'],
    ],
  );
  // The stream of events has who had the machine when, each handoff, and the verdict
  const told = events.flatMap((event): string[] => {
    if (event.kind === 'stage') return [event.stage];
    if (event.kind === 'handoff') return [`${event.end} of ${event.stage}`];
    return event.kind === 'verdict' ? [event.verdict] : [];
  });
  assert.equal(told, [
    ...['iPXE', 'handoff of iPXE', 'Linux 6.1.176', 'kexec of Linux 6.1.176'],
    ...['a program', 'hang'],
  ]);
});

/** mov word [vector 13h], offset and segment. */
const disks = (segment: number): number[] => [
  ...[0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
  ...[0xc7, 0x06, 0x4c, 0, ...word(0x10), 0xc7, 0x06, 0x4e, 0, ...word(segment)],
];
/** Of the next owner RAM ends at 448 KiB: the zero page has one range. */
const BASE_MEMORY = { 0x1e8: 1, 0x2d0: 0, 0x2da: 7, 0x2e0: 1 };

pc('a loader that serves disks stays: what it keeps is hidden, and is no leak', async () => {
  const cases: [string, number, readonly number[], string, string][] = [
    ['it serves from memory that it hides', 0x9000, [], 'quiesce', 'error'],
    ['the BIOS serves', 0xf000, [], 'handoff', 'warning'],
    ['the next one has the memory', 0x6000, [], 'handoff', 'warning'],
    ['a page lies in the open', 0x9000, wrmsr(0x40000082, 0x5001), 'handoff', 'warning'],
  ];
  for (const [name, segment, more, end, severity] of cases) {
    const { report } = await runPc(
      kernelOf(
        [
          ...[...disks(segment), ...wrmsr(0x40000000, 0, 0x98ae0000)],
          ...[...wrmsr(0x40000083, 0x1000001), ...more],
          ...[...wrmsr(0x40000000, 0x01b00000, 0x81000006), ...HALT],
        ],
        BASE_MEMORY,
      ),
    );
    const [stage] = report.stages;
    assert.is(stage!.end, end, name);
    // It stays, but it must quiesce
    const simp = stage!.findings.find(({ text }) => text.startsWith('SIMP'));
    assert.is(simp?.severity, severity, name);
  }
});

pc('a loader that has quiesced and comes back is the same one', async () => {
  for (const [segment, stages] of [
    [0x9000, ['quiesce', 'running']],
    [0xf000, ['handoff', 'handoff', 'running']],
  ] as const) {
    const iPXE = wrmsr(0x40000000, 0, 0x98ae0000);
    const gone = wrmsr(0x40000000, 0);
    const { report } = await runPc(
      kernelOf([
        ...[...disks(segment), ...iPXE, ...wrmsr(0x40000073, 0x1000001)],
        ...[...gone, ...iPXE, ...gone, ...iPXE, ...HALT],
      ]),
    );
    assert.equal(
      report.stages.map(({ end }) => end),
      stages,
    );
  }
});

pc('a kernel that begins while the loader is there is another owner at its first act', async () => {
  const { report } = await runPc(
    kernelOf([
      ...wrmsr(0x40000000, 0, 0x98ae0000),
      // xor ax, ax; mov ds, ax; mov dword [7000h], 83h: a page of 4 MiB; CR4.PSE, CR3, CR0.PG, PE
      ...[0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xc7, 0x06, ...word(0x7000), ...dword(0x83)],
      ...[...eax(0x10), 0x0f, 0x22, 0xe0, ...eax(0x7000), 0x0f, 0x22, 0xd8],
      ...[...eax(0x80000011), 0x0f, 0x22, 0xc0],
      ...[...wrmsr(0x40000021, 0x8001), ...wrmsr(0x40000000, 0x01b00000, 0x81000006), ...HALT],
    ]),
  );
  assert.equal(
    report.stages.map(({ name, end }) => [name, end]),
    [
      ['iPXE', 'handoff'],
      ['Linux 6.1.176', 'running'],
    ],
  );
  // The clock's page is the kernel's own
  const clock = report.findings.filter(({ check }) => check === 'clock-pages');
  assert.equal(clock, []);
});

pc('pages in memory that the next owner does not use are a warning, and it says so', async () => {
  // iPXE leaves its message page at 16 MiB. The next kernel's boot parameters end there, or beyond
  for (const [megabytes, severity] of [
    [16, 'warning'],
    [32, 'error'],
  ] as const) {
    const map = { 0x1e8: 1, 0x2d0: 0, 0x2db: megabytes / 16, 0x2e0: 1 };
    const image = kernelOf(
      [
        ...[...wrmsr(0x40000000, 0, 0x98ae0000), ...wrmsr(0x40000083, 0x1000001)],
        ...[...wrmsr(0x40000000, 0x01b00000, 0x81000006), ...HALT],
      ],
      map,
    );
    const { report } = await runPc(image);
    const [stage] = report.stages;
    const simp = stage!.findings.find(({ check }) => check === 'synic-pages');
    assert.is(simp?.severity, severity);
    assert.is(simp?.pages?.reserved, megabytes === 16);
  }
});

pc('programs that go nowhere end in their own way', async () => {
  const limits = { silentInstructions: 20_000_000, silentSeconds: 5 };
  const ends: [string, readonly number[]][] = [
    ['halted', HALT],
    ['loop', [0xeb, 0xfe]],
    // The same line again and again
    [
      'repeats',
      [
        ...eax(0x6b636974),
        ...TELL,
        ...newline,
        0xeb,
        -(6 + TELL.length + newline.length + 2) & 0xff,
      ],
    ],
    ['silent', [0xfb, 0xf4, 0xeb, 0xfd]], // sti; hlt; again
    ['reset', [0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe]], // the keyboard controller's reset
    // Protected mode without an interrupt table: mov eax, cr0; or al, 1; mov cr0, eax; int3
    ['triple-fault', [0xfa, 0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0, 0xcc]],
  ];
  for (const [end, code] of ends) {
    const { report } = await runPc(kernelOf(code), { limits });
    assert.is(report.end, end);
    assert.is(report.untouched, true);
    assert.is(report.booted, false);
  }
});

pc('a fault whose handlers are in no memory is a triple fault, and no lack of room', async () => {
  // Paging of 4 MiB, of which only the first is there, and an interrupt table beyond them; int3
  const code = [
    ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8], // cli; xor ax, ax; mov ds, ax
    ...[0x66, 0xc7, 0x06, ...word(0x7000), ...dword(0x83)],
    ...[0xc7, 0x06, ...word(0x6000), ...word(0x7ff), 0x66, 0xc7, 0x06, ...word(0x6002)],
    ...[...dword(0x800000), 0x0f, 0x01, 0x1e, ...word(0x6000)], // lidt [6000h]
    ...[...eax(0x10), 0x0f, 0x22, 0xe0, ...eax(0x7000), 0x0f, 0x22, 0xd8],
    ...[...eax(0x80000011), 0x0f, 0x22, 0xc0, 0xcc],
  ];
  const { report } = await runPc(kernelOf(code));
  assert.is(report.end, 'triple-fault');
  assert.is(report.verdict, 'crash');
  assert.match(report.text, /^at 0x8[0-9a-f]{4}: the #DF for a fault has no handler either; its /);
  assert.match(report.text, /interrupt table is at 0x800000, of 2048 bytes$/);
});

pc(
  'a PC that was reset begins anew, with its kernel, its time, and the host as at reset',
  async () => {
    // At first it leaves a hypercall page, damages its kernel and resets; then it says so and halts
    const flag = 0x1f00;
    const reset = [0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe];
    const first = [
      ...[...wrmsr(0x40000000, 1, 0x98ae0000), ...wrmsr(0x40000001, HYPERCALL_ENABLED)],
      ...[0x67, 0xc6, 0x05, ...dword(0x80268), 0xf4], // mov byte [80268h], hlt
      ...[0xc7, 0x06, ...word(flag), 1, 0, ...reset], // mov word [flag], 1
    ];
    const code = [
      ...[0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
      ...[0x83, 0x3e, ...word(flag), 0, 0x75, first.length], // cmp word [flag], 0; jnz behind
      ...first,
      ...[...eax(0x73656179), ...TELL, ...newline, ...HALT],
    ];
    const lines: string[] = [];
    let made: Pc | undefined;
    const { report } = await runPc(kernelOf(code), {
      limits: { resets: 1 },
      onLine: (text) => void lines.push(text),
      onReady: (pc) => void (made = pc),
    });
    assert.is(report.end, 'halted');
    assert.equal(lines, ['yaes']);
    assert.equal(
      report.stages.map(({ name, end }) => [name, end]),
      [
        ['iPXE', 'power-off'],
        ['a program', 'running'],
      ],
    );
    assert.is(made!.machine.partition.inspection.msr(0, 0x40000001), 0n);
    // Each of both starts is some hundred instructions, and so are the ticks
    assert.ok(report.instructions < 100_000, `${report.instructions}`);
    assert.ok(report.endedAt < 100_000, `${report.endedAt}`);
    // One more than it may have
    const again = await runPc(kernelOf([...first.slice(-6)]), { limits: { resets: 3 } });
    assert.is(again.report.end, 'reset');
  },
);

pc(
  'a press of the reset button ends it within its instruction, also where it is compiled',
  async () => {
    // Hypercalls again and again, by code at 0:600h: a call of the page is a near one
    const loop = [
      ...[0x66, 0xbd, ...dword(60_000)], // mov ebp, count
      ...[...eax(0x5c), ...edx(0)],
      // call; dec ebp; jnz again
      ...[0xe8, ...word(HYPERCALL_PAGE - 0x615), 0x66, 0x4d, 0x75, -19 & 0xff],
      ...HALT,
    ];
    const image = kernelOf([
      ...[...wrmsr(0x40000000, 1, 0x98ae0000), ...wrmsr(0x40000001, HYPERCALL_ENABLED)],
      // An input that is not aligned; the code goes to es:di = 0:600h from ds:si
      ...[...ebx(0), 0x31, 0xc0, 0x8e, 0xc0, 0xbf, ...word(0x600)],
      ...[0x0e, 0x1f, 0xbe, ...word(0x160), 0xb9, ...word(loop.length), 0xfc, 0xf3, 0xa4],
      ...[...ecx(7), 0xea, ...word(0x600), ...word(0)],
    ]);
    image.set(loop, 0x360);
    for (const call of [0, 5, 40_000]) {
      let calls = 0;
      let cutAt: number | undefined;
      let made: Pc | undefined;
      const step = (what: 'wrmsr' | 'hypercall'): void => {
        if (what !== 'hypercall' || calls++ !== call) return;
        cutAt = made!.board.instructions;
        made!.emulator.cut();
      };
      const { report } = await runPc(image, {
        onReady: (pc) => {
          made = pc;
          pc.board.steps = { exit: () => {}, refuses: () => false, step };
        },
        onReset: () => assert.is(made!.board.instructions, cutAt),
      });
      assert.is(report.end, 'reset');
      assert.is(calls, call + 1);
    }
  },
);

pc('a script ends a run, and what does not come ends it, too', async () => {
  const image = kernelOf([...eax(0x6b636974), ...TELL, ...newline, 0xfb, 0xf4, 0xeb, 0xfd]);
  const step = (text: string) => ({ step: 'expect' as const, text, line: 1 });
  const good = await runPc(image, { script: [step('tick')] });
  assert.is(good.report.end, 'script');
  const within = { step: 'within' as const, seconds: 2, line: 1 };
  const bad = await runPc(image, { script: [within, { ...step('tock'), line: 2 }] });
  assert.is(bad.report.end, 'expected');
  assert.is(bad.report.text, 'line 2: "tock" has not come within 2 s');

  // What ends the run before says what the script waits for
  const halts = await runPc(kernelOf(HALT), { script: [{ ...step('tock'), line: 3 }] });
  assert.is(halts.report.end, 'halted');
  assert.match(halts.report.text, /; of the script, line 3: "tock" has not come$/);
  const boots = await runPc(bootProgram(), { script: [step('tock')] });
  assert.is(boots.report.end, 'expected');
  assert.is(boots.report.text, 'line 1: "tock" has not come, and the boot program runs');
});

pc('a script that waits for the boot program ends with it', async () => {
  const boot = { step: 'boot', line: 2 } as const;
  const expect = { step: 'expect', text: 'tick', line: 1 } as const;
  const says = [...eax(0x6b636974), ...TELL, ...newline];
  const report = [...eax(0), 0xba, ...word(0x4858), 0x66, 0xef, ...HALT];
  const good = await runPc(kernelOf([...says, ...report]), { script: [expect, boot] });
  assert.equal([good.report.end, good.report.verdict], ['booted', 'clean']);
  const within = { step: 'within', seconds: 2, line: 1 } as const;
  const waits = kernelOf([...says, 0xfb, 0xf4, 0xeb, 0xfd]);
  const bad = await runPc(waits, { script: [within, expect, boot] });
  assert.is(bad.report.end, 'expected');
  assert.is(bad.report.text, 'line 2: the boot program does not run within 2 s');
});

pc('a script ends once what it types is typed', async () => {
  const image = kernelOf([...eax(0x6b636974), ...TELL, ...newline, 0xfb, 0xf4, 0xeb, 0xfd]);
  const expect = { step: 'expect', text: 'tick', line: 1 } as const;
  const type = { step: 'type', text: 'abcd', line: 2 } as const;
  for (const more of [[], [{ step: 'end', line: 3 } as const]]) {
    const { report } = await runPc(image, { script: [expect, type, ...more] });
    assert.is(report.end, 'script');
    // 50 ms from key to key
    assert.ok(report.endedAt > 150 * 10_000, `${report.endedAt}`);
  }
});

pc('one seed is one run, with the compiler and without', async () => {
  // Read the reference counter in a loop, 200000 times: long enough to be compiled
  const loop = [
    ...[0x66, 0xbe, ...dword(200_000)], // mov esi, count
    ...[...ecx(0x40000020), ...RDMSR], // again: rdmsr
    ...[0x66, 0x4e, 0x75, -12 & 0xff], // dec esi; jnz again
    ...HALT,
  ];
  const runs = [];
  for (const compile of [true, true, false]) {
    const { report, events } = await runPc(kernelOf(loop), { compile });
    const reads = events.filter(({ kind }) => kind === 'rdmsr').length;
    runs.push({ compile, at: report.endedAt, count: report.instructions, reads });
  }
  assert.equal(runs[1], runs[0]);
  assert.equal({ ...runs[2], compile: true }, runs[0]);
  assert.is(runs[0]!.reads, 200_000);
});

pc('kernels that cannot be booted are refused by name', async () => {
  const cases: [Uint8Array, string, RegExp][] = [
    [new Uint8Array(4096), 'BadProgram', /not the header of a Linux kernel/],
    [kernelOf(HALT, { 0x236: 1 }), 'Program64Bit', /for 64-bit processors/],
    [kernelOf(HALT, { 0x207: 1 }), 'BadProgram', /boot protocol is 1\.12/],
    [
      kernelOf(HALT, { 0x1f4: 2 }),
      'BadProgram',
      /cut off: its header says 1056 bytes, and it has 1040/,
    ],
    [kernelOf(HALT, { 0x211: 0 }), 'BadProgram', /loaded low/],
    [kernelOf(HALT, { 0x263: 0x10 }), 'MemoryTooSmall', /not enough RAM for the kernel/],
  ];
  for (const [image, name, why] of cases) {
    try {
      await runPc(image);
      assert.unreachable(name);
    } catch (error) {
      assert.instance(error, BadPcProgram);
      assert.is((error as BadPcProgram).name, name);
      assert.match((error as BadPcProgram).message, why);
    }
  }
});

pc.run();

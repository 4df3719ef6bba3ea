// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Mistakes of the example in C (`tools/guests/c`) that only a host shows which acts at the same
 * time: each is a change of its sources, and a race in which it is found.
 */

/** What is replaced by what, in which file of the example: it stands there exactly once. */
export type Edit = readonly [file: string, from: string, to: string];

export interface CRaceMutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** A race that finds it. */
  readonly race: string;
  /** Default x64: what the example's registers are. On arm64: `rigs/guests/arm64-header.ts`. */
  readonly architecture?: 'arm64';
}

/** A change that is no mistake: every race of the other list stands with it. */
export interface CEquivalent extends Pick<CRaceMutant, 'name' | 'edits'> {
  readonly reason: string;
}

const ORDERED_SLOT = '\t\tslot->type = 0;\n\t\thypxe_barrier(2);\n';
const NO_BARRIER_BEHIND_SLOT: Edit = ['hyperv.c', ORDERED_SLOT, '\t\tslot->type = 0;\n'];
const ONLY_BEHIND_MESSAGE: Edit = [
  'hyperv.c',
  'if (slot->flags & 1) {',
  'if (taken && (slot->flags & 1)) {',
];

/** A barrier of `ring.c`, found by what stands behind it, of another kind or left out. */
const barrier = (of: number, behind: string, instead = ''): Edit => [
  'ring.c',
  `\thypxe_barrier(${of});\n${behind}`,
  `${instead}${behind}`,
];
const PUBLISHED = '\tout->prod = at;';
const ASKED = '\tif (!out->interrupt_mask';
const READ = '\n\t/* Check its lengths';
const GIVEN_BACK = '\tin->cons = channel->cons;';
const OF_LOADS = '\thypxe_barrier(0);\n';
const OF_STORES = '\thypxe_barrier(1);\n';

const onArm64 = (name: string, race: string, ...edits: readonly Edit[]): CRaceMutant => ({
  ...{ name: `C, arm64: ${name}`, race, edits, architecture: 'arm64' },
});

export const C_RACE_MUTANTS: readonly CRaceMutant[] = [
  {
    name: 'C: a packet is published before it is written',
    edits: [
      [
        'ring.c',
        'at = put(out, old, &packet, sizeof(packet));',
        'out->prod = (old + total + FOOTER) & MASK;\n' +
          '\tat = put(out, old, &packet, sizeof(packet));',
      ],
    ],
    race: 'race.0/strong',
  },
  {
    name: 'C: a ring is given back before the packet is copied out',
    edits: [
      [
        'ring.c',
        'get(channel, 0, packet->data, length);\n\tconsume(channel, length + FOOTER);',
        'consume(channel, length + FOOTER);\n\tchannel->cons -= length + FOOTER;\n' +
          '\tget(channel, 0, packet->data, length);\n' +
          '\tchannel->cons = (channel->cons + length + FOOTER) & MASK;',
      ],
    ],
    race: 'race.0/strong',
  },
  {
    name: 'C: a received packet is completed before it is copied out',
    edits: [
      [
        'netvsc.c',
        '\tfor (i = 0; i < count; i++) {',
        '\tcomplete(nic, packet.id);\n\tfor (i = 0; i < count; i++) {',
      ],
      ['netvsc.c', '\tcomplete(nic, packet.id);\n\tfor (i = 0, at = 0', '\tfor (i = 0, at = 0'],
    ],
    race: 'race.0/strong',
  },
  {
    name: 'C: no barrier between the index and the question whether the host sleeps',
    edits: [
      ['ring.c', '\thypxe_barrier(2);\n\tif (!out->interrupt_mask', '\tif (!out->interrupt_mask'],
    ],
    race: 'race.4/store-buffer',
  },
  {
    name: 'C: a signal is decided before the index is published',
    edits: [
      [
        'ring.c',
        '\tout->prod = at;\n',
        '\told |= (!out->interrupt_mask && out->cons == old);\n\tout->prod = at;\n',
      ],
      ['ring.c', '\tif (!out->interrupt_mask && out->cons == old)\n', '\tif (old & 1)\n'],
    ],
    race: 'race.4/store-buffer',
  },
  {
    name: 'C: no barrier behind a slot that is emptied, and its flag looked at only then',
    edits: [NO_BARRIER_BEHIND_SLOT, ONLY_BEHIND_MESSAGE],
    race: 'race.8/store-buffer',
  },
  onArm64('no barrier between a packet and its index', 'race.1/weak', barrier(2, PUBLISHED)),
  onArm64(
    'a barrier of stores alone between a frame that was read and its completion',
    'race.1/weak',
    barrier(2, PUBLISHED, OF_STORES),
  ),
  onArm64(
    'no barrier between the index and the question whether the host sleeps',
    'race.4/weak',
    barrier(2, ASKED),
  ),
  onArm64(
    'a barrier of stores alone between the index and that question',
    'race.4/weak',
    barrier(2, ASKED, OF_STORES),
  ),
  onArm64(
    'no barrier between the index of a ring and its packets',
    'race.16/weak',
    barrier(0, READ),
  ),
  onArm64(
    'no barrier between the copy of a packet and the index that gives it back',
    'race.1/weak',
    barrier(2, GIVEN_BACK),
  ),
  onArm64(
    'a barrier of stores alone between that copy and that index',
    'race.1/weak',
    barrier(2, GIVEN_BACK, OF_STORES),
  ),
  onArm64('no barrier between the type of a message and its bytes', 'race.16/weak', [
    'hyperv.c',
    '\t\thypxe_barrier(0);\n\t\tmessage->length',
    '\t\tmessage->length',
  ]),
  onArm64('no barrier between the copy of a message and the release of its slot', 'race.12/weak', [
    'hyperv.c',
    '\t\thypxe_barrier(2);\n\t\tslot->type = 0;',
    '\t\tslot->type = 0;',
  ]),
];

export const C_EQUIVALENT: readonly CEquivalent[] = [
  {
    name: 'C: no barrier behind a slot that is emptied',
    edits: [NO_BARRIER_BEHIND_SLOT],
    reason: 'the flag is looked at in an empty slot, too: with the next poll it is seen',
  },
  {
    name: 'C: the flag of a slot looked at only behind a message',
    edits: [ONLY_BEHIND_MESSAGE],
    reason: 'the barrier stands between: whoever found the slot full has set the flag by then',
  },
  {
    name: 'C: a barrier of loads alone between a copy and the index that gives it back',
    edits: [barrier(2, GIVEN_BACK, OF_LOADS)],
    reason: 'loads in front of it are done before whatever is behind it (virt_rmb of Linux)',
  },
];

/** A mistake that no race finds. */
export const C_MISSED: readonly CEquivalent[] = [
  {
    name: 'C: no barrier between the index that gives a packet back and the question behind it',
    edits: [['ring.c', `${GIVEN_BACK}\n\thypxe_barrier(2);\n`, `${GIVEN_BACK}\n`]],
    reason: 'no race has a host that waits for room in its ring',
  },
];

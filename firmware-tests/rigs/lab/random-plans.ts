// SPDX-License-Identifier: GPL-2.0-or-later

/** Random plans of faults for recordings: of every kind that a session can show. */

import * as assert from 'uvu/assert';
import { singleFaults } from '../../../tools/explore/enumeration.ts';
import { planText, type Plan } from '../../../tools/explore/plan.ts';
import { isRecordable, withFaults } from '../../../tools/explore/recorded-faults.ts';
import { noPlaces } from '../../../tools/explore/recording.ts';
import { Walks } from '../../../tools/explore/walks.ts';
import { guestRam } from '../../../tools/guests/guest-ram.ts';
import type { WasmProgram } from '../../../tools/guests/wasm-guest.ts';
import { RECORD_MEMORY, recordHostSession } from '../../../tools/record/host-session.ts';
import type { RecordedSession } from '../../../tools/record/record.ts';
import { asFirmware, parseTrace, replayTrace, reportText } from '../../../tools/replay/index.ts';
import type { Firmware } from '../../../tools/replay/index.ts';
import { replayMemoryBytes } from '../../../tools/replay/replay-machine.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import type { HostProfile } from '../../../tools/simulator/profiles/profile.ts';
import { PROFILES } from '../../../tools/simulator/profiles/profiles.ts';

/** A recording that is drawn: all of it is decided by its seed. */
export interface DrawnRecording {
  readonly profile: HostProfile;
  readonly seed: number;
  readonly plan: Plan;
  readonly processors: number;
  readonly nics: number;
  readonly faults: object;
}

/** A guest as it is when the machine is switched on, of so many bytes of RAM. */
export type FreshGuest = (memoryBytes: number) => {
  readonly firmware: Firmware;
  readonly memory: ArrayBufferLike;
};

/** A guest in JavaScript keeps nothing: each is the same. */
export function javascriptGuest(firmware: Firmware): FreshGuest {
  return (memoryBytes) => ({ firmware, memory: guestRam(memoryBytes) });
}

/** A guest in WebAssembly is an instance of its own each time. */
export function wasmGuest(program: WasmProgram): FreshGuest {
  return (memoryBytes) => {
    const guest = program.instantiate(memoryBytes);
    return { firmware: asFirmware(guest), memory: guest.memory };
  };
}

const NO_FAULTS: Plan = { flow: 'boot', faults: [] };

/** What is drawn: one fault, or several; a host, and a network that loses frames or does not. */
export function drawRecording(guest: FreshGuest, seed: number): DrawnRecording {
  const random = new Random(seed, 1);
  const profile = PROFILES[random.below(PROFILES.length)]!;
  const chance = (): number => (random.below(3) === 0 ? random.below(5) / 10 : 0);
  const faults = { loss: chance(), duplication: chance(), reordering: chance() };
  const host = { profile, seed, processors: 1 + random.below(3), nics: 1 + random.below(2) };
  const drawn = { ...host, faults };
  const places = noPlaces();
  record(guest, { ...drawn, plan: NO_FAULTS }, (place, detail) => places[place].push(detail));
  const single = singleFaults({ flow: 'boot', places }).filter(({ faults: [fault] }) =>
    isRecordable(fault!),
  );
  const walk = new Walks(seed, single).plan(0);
  const plan = random.below(2) === 0 ? walk : { ...walk, faults: walk.faults.slice(0, 1) };
  return { ...drawn, plan };
}

type Places = ReturnType<typeof noPlaces>;
type Place = keyof Places;

/** Record what was drawn. */
export function record(
  guest: FreshGuest,
  { profile, seed, plan, processors, nics, faults }: DrawnRecording,
  observer?: (place: Place, detail: Places[Place][number]) => void,
): RecordedSession {
  const around = withFaults(
    plan,
    { faults },
    observer && ((place, _index, detail) => observer(place, detail)),
  );
  return recordHostSession({
    ...{ ...guest(RECORD_MEMORY), profile, seed, driver: 'hypxe' },
    ...{ processors, nics },
    ...around,
  });
}

/** What a seed draws is recorded, and replays against the same guest without a difference. */
export function assertReplays(guest: FreshGuest, seed: number): void {
  const drawn = drawRecording(guest, seed);
  const trace = parseTrace(record(guest, drawn).text);
  const { firmware, memory } = guest(replayMemoryBytes(trace));
  const result = replayTrace(firmware, trace, memory);
  const where = `SEED=${seed} ${drawn.profile.name} ${planText(drawn.plan)}`;
  assert.ok(result.ok, `${where}\n${reportText(result)}`);
  for (const { kind, recorded, guest: replayed, same } of result.counts)
    assert.equal([replayed, same], [recorded, recorded], `${where}: ${kind}`);
  assert.equal(result.notes, [], where);
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A guest that makes a call of the seam with its stack nearly full, whose end then comes somewhere
 * in the tool: the call is done, or that is how the guest has ended, whatever it catches. `SEED`
 * chooses other calls and depths.
 */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as firmware from '../../../src/index.ts';
import type { Machine } from '../../../src/machine.ts';
import { runBootFlow, type Firmware } from '../../../tools/flow/boot-flow.ts';
import { makeMachine } from '../../../tools/scenarios/rig.ts';
import { Random } from '../../../tools/simulator/base/random.ts';
import { Watchdog } from '../../../tools/simulator/hypervisor/watchdog.ts';
import { HostEvents } from '../../../tools/simulator/ledger/events.ts';
import { VirtualClock } from '../../../tools/simulator/base/clock.ts';

const stack = suite('flow: a guest without room on its stack');

const random = new Random(Number(process.env['SEED'] ?? 1));

/** Boots of each architecture: at least, and at most until enough of them have gone each way. */
const BOOTS = 40;
const BOOTS_MOST = 600;

/** Of each way that the call can go, at least. */
const WAYS = 4;

/** Calls of the seam that a boot makes, about. */
const CALLS = 500;

/**
 * Frames of the guest's that are left where it calls, at first: from here and up to so many more.
 * How many a call needs is the engine's matter, and becomes fewer while it compiles; so the range
 * follows what is seen. And so many that there is room for anything: also to compile what is called
 * for the first time.
 */
const FRAMES = 5;
const FRAMES_SPREAD = 21;
const FRAMES_ENOUGH = 3000;

/** Call something with so many frames left. Returns whether it came to an end. */
function withRoom(frames: number, action: () => void, filler: readonly number[]): boolean {
  let left = frames;
  let done = false;
  const down = (...more: readonly number[]): void => {
    try {
      down(...more);
    } catch {
      // The end: from here on upwards there is a frame more of room each time
    }
    if (left-- !== 0) return;
    try {
      action();
      done = true;
    } catch {
      // Whatever it is: this guest goes on
    }
  };
  down(...filler);
  return done;
}

/**
 * hypxe's firmware, which makes one call so, and then once more if nothing came of it.
 *
 * @param around makes the call, and returns whether it came to an end
 */
function cramped(nth: number, frames: number, around: (call: () => boolean) => boolean): Firmware {
  let calls = 0;
  const boot = (machine: Machine, options?: object): unknown => {
    const seam = new Proxy(machine, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...values: unknown[]): unknown => {
          const call = (): unknown => Reflect.apply(value, target, values);
          if (calls++ !== nth) return call();
          let result: unknown;
          const filler = Array.from({ length: random.below(12) }, () => 1);
          const done = around(() => withRoom(frames, () => void (result = call()), filler));
          return done ? result : call();
        };
      },
    });
    return firmware.boot(seam, options);
  };
  return { boot } as unknown as Firmware;
}

for (const architecture of ['x64', 'arm64'] as const) {
  stack(`${architecture}: a call comes to its end, or the guest does`, () => {
    // Done, cut short in the machine, or in front of it
    const seen = { done: 0, ended: 0, never: 0 };
    const enough = (): boolean => seen.done >= WAYS && seen.ended >= WAYS;
    let least = FRAMES;
    for (let i = 0; i < BOOTS || (i < BOOTS_MOST && !enough()); i++) {
      const nth = random.below(CALLS);
      const frames = i === 0 ? FRAMES_ENOUGH : least + random.below(FRAMES_SPREAD);
      const machine = makeMachine({}, { architecture });
      const { inspection } = machine.partition;
      let what: keyof typeof seen | undefined;
      const guest = cramped(nth, frames, (call) => {
        const before = inspection.counts.seamCalls;
        const done = call();
        what = done ? 'done' : inspection.counts.seamCalls === before ? 'never' : 'ended';
        return done;
      });
      // Nothing of this is an error of the tool's: that would be thrown here
      const { verdict, ended } = runBootFlow({ machine, firmware: guest, secondBoot: false });
      if (what === undefined) continue;
      seen[what]++;
      // About as many calls come through the machine as do not
      if (what === 'never' || (what === 'ended' && seen.ended > seen.done)) least++;
      else if (what === 'done' && i > 0) least = Math.max(0, least - 1);
      const text = `call ${nth}, ${frames} frames, ${what}: ${JSON.stringify(ended)}`;
      assert.is(verdict, what === 'ended' ? 'crash' : 'clean', text);
    }
    assert.ok(enough(), JSON.stringify(seen));
  });
}

stack('a call that was cut short and told of by nobody: the guest has crashed', () => {
  const watchdog = new Watchdog(new VirtualClock(), new HostEvents(() => 0));
  watchdog.enter(0, 'wrmsr', 0x40000000);
  // Neither leave() nor fail(): there was no room for either
  assert.throws(() => watchdog.enter(0, 'pause', 0), /#DF on VP 0: its stack was used up in the/);
  assert.match(String(watchdog.ended), '#DF');
  watchdog.recover();
  watchdog.enter(0, 'wrmsr', 0x40000000);
  watchdog.settle();
  assert.match(String(watchdog.ended), '#DF');
  watchdog.recover();
  watchdog.enter(0, 'wrmsr', 0x40000000);
  watchdog.leave();
  watchdog.settle();
  assert.is(watchdog.ended, undefined);
});

stack('... on the processor that has called, if only to pause', () => {
  const watchdog = new Watchdog(new VirtualClock(), new HostEvents(() => 0));
  const overflow = (): never => {
    throw new RangeError('Maximum call stack size exceeded');
  };
  watchdog.enter(0, 'wrmsr', 0x40000000);
  watchdog.leave();
  watchdog.enter(3, 'pause', 0);
  watchdog.settle();
  assert.match(String(watchdog.ended), '#DF on VP 3');
  watchdog.recover();
  watchdog.enter(2, 'pause', 0);
  watchdog.leave();
  assert.throws(() => watchdog.guard(overflow), /#DF on VP 2/);
  assert.match(watchdog.lastAccess, 'on VP 0');
});

stack.run();

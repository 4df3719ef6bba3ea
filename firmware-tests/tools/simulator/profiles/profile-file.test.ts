// SPDX-License-Identifier: GPL-2.0-or-later

/** A host as data: what a file may say, what is refused, and that it comes back as it went. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  FACTS,
  HostProfileError,
  KNOBS,
  PROFILES,
  Random,
  hostIdentity,
  hostProfileJson,
  parseHostProfile,
  profileNamed,
  withKnobs,
  type FactName,
  type HostKnobs,
  type HostProfile,
} from '../../../../tools/simulator/index.ts';

/** Through the text of a file, as it would be read. */
function throughText(profile: HostProfile): HostProfile {
  return parseHostProfile(JSON.parse(JSON.stringify(hostProfileJson(profile))));
}

/** A property of JSON: read it from its text, as `__proto__` in a literal is something else. */
function json(text: string): unknown {
  return JSON.parse(text);
}

function refusal(value: unknown): HostProfileError {
  try {
    parseHostProfile(value, 'test');
  } catch (error) {
    assert.instance(error, HostProfileError);
    return error as HostProfileError;
  }
  throw new Error(`accepted: ${JSON.stringify(value)}`);
}

const reading = suite('host files: reading');

reading('every profile comes back as it went, complete', () => {
  for (const profile of PROFILES) {
    assert.equal(throughText(profile), profile);
    assert.is(hostIdentity(throughText(profile)), profile.name);
    const fields = Object.keys(hostProfileJson(profile));
    assert.equal(fields, [...Object.keys(FACTS), 'knobs']);
  }
});

reading('a file says what differs from the profile that it extends', () => {
  const base = profileNamed('server2022')!;
  const host = parseHostProfile(
    json(`{"extends": "server2022", "name": "odd", "features": "0x2E7F", "privileges": 48,
      "vmbusVersions": ["4.0", 327683, "0xd"], "nvspVersions": ["6.1", 2],
      "knobs": {"echoVersion": false, "throttleStatus": "0x13", "unloadAnswer": "never"}}`),
  );
  assert.equal(host, {
    ...base,
    name: 'odd',
    description: 'as server2022, with what a file says',
    features: 0x2e7f,
    privileges: 48,
    vmbusVersions: [0x40000, 0x50003, 0xd],
    nvspVersions: [0x60001, 2],
    knobs: { ...base.knobs, echoVersion: false, throttleStatus: 0x13, unloadAnswer: 'never' },
  });
  assert.equal(profileNamed('server2022'), base, 'the profile itself is left alone');
});

reading('a host without a name has that of its file, or of what it extends', () => {
  assert.is(parseHostProfile({ extends: 'qemu' }, 'my-host').name, 'my-host');
  assert.is(parseHostProfile({ extends: 'qemu' }).name, 'qemu');
});

reading('hosts are told apart by what they do, not by what they are called', () => {
  const qemu = profileNamed('qemu')!;
  const odd = withKnobs(qemu, { messageQueue: 17 });
  assert.match(hostIdentity(odd), /^qemu#[0-9a-f]{8}$/);
  assert.is.not(hostIdentity(odd), hostIdentity(withKnobs(qemu, { messageQueue: 18 })));
  assert.is(hostIdentity(withKnobs(odd, { messageQueue: 16 })), 'qemu');
  assert.is(hostIdentity({ ...odd, source: 'other words' }), hostIdentity(odd));
});

reading.run();

const refusing = suite('host files: refusing');

for (const [text, field, message, advice] of [
  ['[]', '', 'a host is an object, not []', 'See what hypxe hosts NAME --json prints.'],
  ['null', '', 'a host is an object, not null', 'See what hypxe hosts NAME --json prints.'],
  [
    '{"extends": "server2023"}',
    'extends',
    'extends is "server2023", which is no host profile',
    'Did you mean server2022?',
  ],
  ['{"extends": "qemu", "feature": 1}', 'feature', 'there is no field feature', /features/],
  ['{"constructor": 1}', 'constructor', 'there is no field constructor', /^Choose one of ext/],
  ['{"__proto__": {}}', '__proto__', 'there is no field __proto__', /^Choose one of ext/],
  ['{"extends": "toString"}', 'extends', /toString/, /^Choose one of server2008/],
  [
    '{"extends": "qemu", "knobs": {"maskedSynt": "keep"}}',
    'knobs.maskedSynt',
    'there is no field knobs.maskedSynt',
    'Did you mean maskedSint?',
  ],
  ['{"extends": "qemu", "knobs": {"hasOwnProperty": 1}}', 'knobs.hasOwnProperty', /no field/, /./],
  ['{"extends": "qemu", "knobs": {"__proto__": 1}}', 'knobs.__proto__', /no field/, /./],
  [
    '{"extends": "qemu", "maskedSint": "keep"}',
    'maskedSint',
    'there is no field maskedSint',
    'It is a knob: write it into "knobs".',
  ],
  [
    '{"extends": "qemu", "knobs": {"features": 1}}',
    'knobs.features',
    'there is no field knobs.features',
    'It is no knob: write it beside "knobs".',
  ],
  [
    '{"extends": "qemu", "knobs": {"maskedSint": "lose"}}',
    'knobs.maskedSint',
    'knobs.maskedSint is "lose"',
    'It may be drop or keep.',
  ],
  [
    '{"extends": "qemu", "knobs": {"echoVersion": "false"}}',
    'knobs.echoVersion',
    /"false"/,
    /true/,
  ],
  ['{"extends": "qemu", "knobs": {"messageQueue": 0}}', 'knobs.messageQueue', /is 0$/, /1 to/],
  ['{"extends": "qemu", "knobs": {"messageQueue": 1.5}}', 'knobs.messageQueue', /1\.5$/, /1 to/],
  ['{"extends": "qemu", "knobs": []}', 'knobs', 'knobs is an object, not []', /names of knobs/],
  ['{"extends": "qemu", "features": "0x1ffffffff"}', 'features', /0x1ffffffff/, /0xffffffff/],
  ['{"extends": "qemu", "features": -1}', 'features', 'features is -1', /0xffffffff/],
  ['{"extends": "qemu", "features": null}', 'features', 'features is null', /0xffffffff/],
  ['{"extends": "qemu", "features": {}}', 'features', 'features is an object', /0xffffffff/],
  ['{"extends": "qemu", "name": "two words"}', 'name', 'name is "two words"', /letters/],
  ['{"extends": "qemu", "source": "a\\nb"}', 'source', 'source is "a\\nb"', /one line/],
  ['{"extends": "qemu", "vmbusVersions": []}', 'vmbusVersions', 'vmbusVersions is []', /list of/],
  ['{"extends": "qemu", "vmbusVersions": ["4.0", "4.0"]}', 'vmbusVersions', /4\.0/, /different/],
  ['{"extends": "qemu", "vmbusVersions": ["4.0.1"]}', 'vmbusVersions', /4\.0\.1/, /5\.3/],
  ['{"extends": "qemu", "vmbusVersions": [0]}', 'vmbusVersions', 'vmbusVersions is [0]', /5\.3/],
  ['{"extends": "qemu", "nvspVersions": ["3"]}', 'nvspVersions', /"3"/, /1, 2, 4, 5, 6, 6\.1/],
  ['{"extends": "qemu", "multiClientPort": 1}', 'multiClientPort', /is 1$/, /true or false/],
  [
    '{"features": 1}',
    'hypervisorBuild',
    'hypervisorBuild is missing',
    'Give it, or start from a host that is known: "extends": "server2022".',
  ],
] as const) {
  refusing(text, () => {
    const error = refusal(json(text));
    assert.is(error.name, 'BadHost');
    assert.is(error.field, field);
    for (const [is, expected] of [
      [error.message, message],
      [error.advice, advice],
    ] as const) {
      if (typeof expected === 'string') assert.is(is, expected);
      else assert.match(is, expected);
    }
  });
}

refusing('a complete file without one of its knobs', () => {
  const whole = hostProfileJson(PROFILES[0]!) as Record<string, Record<string, unknown>>;
  const { revoke: _, ...knobs } = whole['knobs']!;
  assert.is(refusal({ ...whole, knobs }).message, 'knobs.revoke is missing');
});

refusing.run();

const properties = suite('host files: properties');

/** Rounds of each property. */
const ROUNDS = 400;

function oneOf<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)]!;
}

/** A value that a knob may have. */
function someKnob(random: Random, name: keyof HostKnobs): string | number | boolean {
  const { only = [], range } = KNOBS[name];
  if (range === undefined || (only.length > 0 && random.below(2) === 0)) {
    return oneOf(random, only);
  }
  return oneOf(random, [range[0], range[1], range[0] + random.below(range[1] - range[0] + 1)]);
}

function someProfile(random: Random): HostProfile {
  const base = oneOf(random, PROFILES);
  const names = Object.keys(KNOBS) as (keyof HostKnobs)[];
  const knobs: Record<string, unknown> = {};
  for (let i = random.below(6); i > 0; i--) {
    const name = oneOf(random, names);
    knobs[name] = someKnob(random, name);
  }
  const word = (): number => random.u32();
  return {
    ...withKnobs(base, knobs as Partial<HostKnobs>),
    ...(random.below(2) === 0 ? { features: word(), privileges: word() } : {}),
    ...(random.below(2) === 0 ? { vmbusVersions: [random.below(0xffffffff) + 1] } : {}),
    ...(random.below(2) === 0 ? { sharedMemoryMax: word() * 16 } : {}),
    ...(random.below(2) === 0 ? { name: `host-${random.below(1000)}` } : {}),
  };
}

properties('random hosts come back as they went', () => {
  const random = new Random(11);
  for (let round = 0; round < ROUNDS; round++) {
    const profile = someProfile(random);
    assert.equal(throughText(profile), profile);
    assert.is(hostIdentity(throughText(profile)), hostIdentity(profile));
  }
});

/** Any JSON, with names that are known among others. */
function someJson(random: Random, depth: number): unknown {
  const names = ['extends', 'knobs', 'constructor', '__proto__', 'toString', '', 'x'];
  const words = [...names, 'qemu', 'drop', 'keep', '5.3', '0x10', '6.1', 'never', '\u0000'];
  switch (random.below(depth > 0 ? 8 : 6)) {
    case 0:
      return null;
    case 1:
      return random.below(2) === 0;
    case 2:
      return oneOf(random, [0, -1, 1.5, 1e300, 2 ** 53, 4, 0x50003]);
    case 3:
    case 4:
      return oneOf(random, words);
    case 5:
      return [];
    case 6:
      return Array.from({ length: random.below(4) }, () => someJson(random, depth - 1));
    default: {
      const keys = [...names, ...Object.keys(FACTS), ...Object.keys(KNOBS)];
      const count = random.below(5);
      const entries = Array.from({ length: count }, () => {
        const value = JSON.stringify(someJson(random, depth - 1));
        return `${JSON.stringify(oneOf(random, keys))}: ${value}`;
      });
      return json(`{${entries.join(', ')}}`);
    }
  }
}

properties('random JSON is read, or refused with a name and what to do', () => {
  const random = new Random(12);
  let refused = 0;
  for (let round = 0; round < 10 * ROUNDS; round++) {
    const value = someJson(random, 3);
    try {
      parseHostProfile(value, 'random');
    } catch (error) {
      assert.instance(error, HostProfileError, JSON.stringify(value));
      const { message, advice } = error as HostProfileError;
      assert.ok(message.length > 0 && message.length < 200, message);
      assert.match(advice, /[.?]$/);
      assert.not.match(message + advice, /undefined|\n/);
      refused++;
    }
  }
  assert.ok(refused > ROUNDS);
});

properties('one wrong field in a good file is refused by its name', () => {
  const random = new Random(13);
  const facts = Object.keys(FACTS) as FactName[];
  const knobs = Object.keys(KNOBS);
  for (let round = 0; round < ROUNDS; round++) {
    const file = structuredClone(hostProfileJson(oneOf(random, PROFILES))) as Record<
      string,
      unknown
    >;
    const wrong = oneOf<unknown>(random, [null, {}, [], -1, 0.5, '\n', [[]]]);
    const inKnobs = random.below(2) === 0;
    const name = oneOf(random, inKnobs ? knobs : facts);
    (inKnobs ? (file['knobs'] as Record<string, unknown>) : file)[name] = wrong;
    assert.is(refusal(file).field, inKnobs ? `knobs.${name}` : name, JSON.stringify(wrong));
  }
});

properties.run();

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a guest does to its host, as far as it is its own decision and not a matter of time: the
 * registers that it writes and the VMBus messages that it posts, in their order; those about a
 * channel in the order of that channel, because a kernel opens several at once. Of addresses only
 * counts whether they are there; EOM, timers and packets come as often as they come.
 */

/** An event of a trace, as JSON. */
interface TraceEvent {
  readonly kind: string;
  readonly msr?: number;
  readonly value?: string;
  readonly code?: number;
  readonly input?: string;
}

const EOM = 0x40000084;
/** SIEFP, SIMP, HYPERCALL, REFERENCE_TSC, VP_ASSIST_PAGE: a page, and bit 0. */
const PAGES = [0x40000001, 0x40000021, 0x40000073, 0x40000082, 0x40000083];
const STIMERS = [0x400000b0, 0x400000b7] as const;
/** Parameters of a crash report: addresses, and what was in a processor. */
const CRASH_PARAMETERS = [0x40000100, 0x40000104] as const;
const POST_MESSAGE = 0x5c;

/** Input of HvPostMessage: its header, then the message; where that says which channel it is of. */
const HEADER = 16;
const CHANNEL = HEADER + 8;
/** OPEN, CLOSE, GPADL_HEADER, GPADL_TEARDOWN. GPADL_BODY comes as often as a buffer has pages. */
const OF_CHANNELS = [5, 7, 8, 11];
const GPADL_BODY = 9;

/** The acts of a trace, a line each; those about channels at the end, a line for each channel. */
export function guestActs(lines: Iterable<string>): string[] {
  const acts: string[] = [];
  const channels = new Map<number, string[]>();
  for (const line of lines) {
    if (line === '') continue;
    const { kind, msr = 0, value = '', code, input = '' } = JSON.parse(line) as TraceEvent;
    if (kind === 'wrmsr') {
      const act = write(msr, BigInt(value));
      if (act !== undefined) acts.push(act);
    } else if (kind === 'hypercall' && code === POST_MESSAGE) {
      const bytes = Buffer.from(input, 'hex');
      const type = bytes.readUInt32LE(HEADER);
      const act = `${type} (${bytes.readUInt32LE(12)} bytes)`;
      if (type === GPADL_BODY) continue;
      if (!OF_CHANNELS.includes(type)) acts.push(`post ${act}`);
      else {
        const channel = bytes.readUInt32LE(CHANNEL);
        channels.set(channel, [...(channels.get(channel) ?? []), act]);
      }
    }
  }
  const each = [...channels.values()].map((posts) => `channel: post ${posts.join(', ')}`);
  return [...acts, ...each.sort()];
}

function write(msr: number, value: bigint): string | undefined {
  const within = ([first, last]: readonly [number, number]): boolean => msr >= first && msr <= last;
  if (msr === EOM || within(STIMERS) || within(CRASH_PARAMETERS)) return undefined;
  const name = `wrmsr 0x${msr.toString(16)}`;
  if (PAGES.includes(msr)) return `${name} ${(value & 1n) === 0n ? 'off' : 'on'}`;
  return `${name} 0x${value.toString(16)}`;
}

// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * How the simulator ends a guest: an error thrown through the guest's own call, and again through
 * every later one, so that a guest that catches it cannot go on.
 */

/** The fault that ended the guest: general protection, invalid opcode, no stack left. */
export type GuestFault = '#GP' | '#UD' | '#DF';

/** The guest did what would have crashed it on a real machine. */
export class GuestCrash extends Error {
  /** Virtual processor that faulted. */
  readonly vp: number;
  readonly fault: GuestFault;

  constructor(vp: number, fault: GuestFault, reason: string) {
    super(`${fault} on VP ${vp}: ${reason}`);
    this.name = 'GuestCrash';
    this.vp = vp;
    this.fault = fault;
  }
}

/** The guest was ended from outside: it gave no sign of life, or its process grew too large. */
export class GuestStopped extends Error {
  readonly kind: 'hang' | 'out-of-memory';
  /** Where it was, in lines of a stack, if that could be seen. */
  readonly where: string | undefined;

  constructor(kind: GuestStopped['kind'], message: string, where = '') {
    super(message);
    this.name = 'GuestStopped';
    this.kind = kind;
    this.where = where === '' ? undefined : where;
  }
}

/** The guest used up one of the limits that the machine was given. */
export class GuestHang extends Error {
  /** Which limit was exceeded. */
  readonly limit: 'virtualTicks' | 'seamCalls' | 'pauses';
  /** What the guest did last, in words. */
  readonly lastActivity: string;

  constructor(limit: GuestHang['limit'], reason: string, lastActivity: string) {
    super(`${reason}; last activity: ${lastActivity}`);
    this.name = 'GuestHang';
    this.limit = limit;
    this.lastActivity = lastActivity;
  }
}

/** What engines say of a stack that is used up (V8; QuickJS; SpiderMonkey). */
const STACK_OVERFLOW = /^Maximum call stack size exceeded|^stack overflow$|^too much recursion$/;

/**
 * Whether an error that came up in the simulator is one of the guest's making: the guest was ended,
 * or has left no room on the stack that both have.
 */
export function isOfGuest(error: unknown): 'ended' | 'stack' | undefined {
  const ends = [GuestCrash, GuestHang, GuestStopped];
  if (ends.some((kind) => error instanceof kind)) return 'ended';
  return error instanceof Error && STACK_OVERFLOW.test(error.message) ? 'stack' : undefined;
}
